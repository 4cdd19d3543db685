//! One entry of a log, with the proof that it is under the head that witnesses cosigned.
//!
//! The log is asked for the entry and for the nodes of the proof; both are believed only if they lead to a head that this
//! auditor has replayed.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use keyglass_keytrans::{
    config::DeploymentMode,
    wire::{Context, LogEntry, Wire as _},
};
use keyglass_tlog::{
    Digest,
    proof::TlogProof,
    rfc6962::{inclusion_nodes, inclusion_proof, leaf_hash, verify_inclusion},
    shown::base64,
    tile::{FULL_WIDTH, parse_bundle},
};
use maud::{Markup, html};
use serde::Deserialize;
use thiserror::Error;

use super::{
    Pages, alerts,
    layout::{Place, at, number, page, text},
};
use crate::{
    chunk::bundles,
    fetch::{FetchError, LogSource, NodesError},
    followed::Followed,
    head::SignedHead,
    records::{Records, Standing},
};

/// How long a log may take to hand out an entry with its proof: less than an answer of this auditor may take.
const MAX_TIME: Duration = Duration::from_secs(8);

/// Which entry.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    index: u64,
}

/// Why an entry is not shown.
#[derive(Debug, Error)]
enum EntryError {
    #[error("the number of an entry is a whole number from 0")]
    NotANumber,
    #[error("this auditor does not follow a log of that id")]
    UnknownLog,
    #[error("there is no head of this log yet under which everything was replayed")]
    NoHead,
    #[error("the log has {0} entries so far")]
    Beyond(u64),
    #[error("too many entries are being looked up; try again in a moment")]
    Busy,
    #[error("the log did not hand it out in time")]
    TooSlow,
    #[error("this auditor failed")]
    Failed,
    #[error("the log did not hand out the entry: {0}")]
    Entry(#[from] FetchError),
    #[error("the log did not hand out the proof: {0}")]
    Nodes(#[from] NodesError),
    #[error(
        "what the log handed out is not an entry of its tree: it does not lead to the head that was replayed"
    )]
    Unproven,
}

impl EntryError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotANumber => StatusCode::BAD_REQUEST,
            Self::UnknownLog | Self::Beyond(_) => StatusCode::NOT_FOUND,
            Self::NoHead | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Entry(_) | Self::Nodes(_) | Self::Unproven => StatusCode::BAD_GATEWAY,
        }
    }
}

/// An entry that is proven.
struct Proven {
    index: u64,
    entry: Vec<u8>,
    leaf: Digest,
    proof: Vec<Digest>,
    head: SignedHead,
}

type Asked = Result<Query<Which>, QueryRejection>;

/// `GET /logs/<id>/entry?index=<n>`.
pub(super) async fn serve(State(pages): State<Arc<Pages>>, Path(id): Path<String>, which: Asked) -> Response {
    match prove(&pages, &id, which).await {
        Ok((log, proven)) => {
            let overview = pages.overview();
            let title = format!("Entry {}", proven.index);
            let content = content(&id, &log, &proven, overview.now_ms);
            page(&overview, Place::Elsewhere, &title, &alerts::banner(&overview), &content)
        }
        Err(error) => pages.refuse(error.status(), &format!("The entry is not shown: {error}.")),
    }
}

/// `GET /logs/<id>/entry/proof?index=<n>`, a C2SP tlog-proof, and `GET /logs/<id>/entry/raw?index=<n>`, the entry's bytes.
pub(super) async fn download(
    State(pages): State<Arc<Pages>>,
    Path((id, file)): Path<(String, String)>,
    which: Asked,
) -> Response {
    if !matches!(file.as_str(), "proof" | "raw") {
        return pages.refuse(StatusCode::NOT_FOUND, "An entry has no such file.");
    }
    let proven = match prove(&pages, &id, which).await {
        Ok((_, proven)) => proven,
        Err(error) => return pages.refuse(error.status(), &format!("There is no proof: {error}.")),
    };
    let (index, is_proof) = (proven.index, file == "proof");
    let mut response = if is_proof {
        let proof = TlogProof::new(Vec::new(), index, proven.proof, proven.head.note().clone());
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], proof.to_string()).into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/octet-stream")], proven.entry).into_response()
    };
    let name = if is_proof { "tlog-proof" } else { "entry" };
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{index}.{name}\""));
    if let Ok(disposition) = disposition {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

async fn prove(pages: &Pages, id: &str, which: Asked) -> Result<(Arc<Followed>, Proven), EntryError> {
    let Query(Which { index }) = which.map_err(|_| EntryError::NotANumber)?;
    let log = pages.log(id).ok_or(EntryError::UnknownLog)?;
    let source = pages.sources.get(id).ok_or(EntryError::NoHead)?;
    let busy = |_| EntryError::Busy;
    let _permits = (source.asking.try_acquire().map_err(busy)?, pages.asking.try_acquire().map_err(busy)?);
    let records = log.records().map_err(|_| EntryError::NoHead)?;
    let largest = |records: &mut Records| {
        Ok(records.standing(Standing::Agrees).next_back().map(|known| known.head.clone()))
    };
    let head = records.with(largest).await.map_err(|_| EntryError::Failed)?.ok_or(EntryError::NoHead)?;
    let asked = tokio::time::timeout(MAX_TIME, ask(&source.log, index, head)).await;
    Ok((Arc::clone(log), asked.map_err(|_| EntryError::TooSlow)??))
}

async fn ask(source: &LogSource, index: u64, head: SignedHead) -> Result<Proven, EntryError> {
    let size = head.size();
    if index >= size {
        return Err(EntryError::Beyond(size));
    }
    let bundle = bundles(index, index.saturating_add(1), size).next().ok_or(EntryError::Beyond(size))?;
    let bytes = source.tile(&bundle).await?;
    let entries = parse_bundle(&bundle, &bytes).map_err(|_| EntryError::Unproven)?;
    let within = usize::try_from(index % u64::from(FULL_WIDTH)).map_err(|_| EntryError::Failed)?;
    let entry = entries.get(within).ok_or(EntryError::Unproven)?.to_vec();
    let nodes = source.nodes(size, &inclusion_nodes(index, size)).await?;
    let proof = inclusion_proof(index, size, |id| nodes.get(&id).copied().ok_or(()));
    let proof = proof.map_err(|_| EntryError::Unproven)?;
    let leaf = leaf_hash(&entry);
    verify_inclusion(&leaf, index, size, &proof, head.root()).map_err(|_| EntryError::Unproven)?;
    Ok(Proven { index, entry, leaf, proof, head })
}

fn content(id: &str, log: &Followed, proven: &Proven, now: u64) -> Markup {
    let Proven { index, entry, leaf, proof, head } = proven;
    // A log entry takes nothing from the context.
    let context = Context::new(DeploymentMode::ContactMonitoring);
    let decoded = LogEntry::decode(entry, context).ok();
    let cosigners = head.cosigners(log.trust().policy());
    let link = |other: u64| format!("/logs/{id}/entry?index={other}");
    html! {
        h1 { "Entry " (number(*index)) }
        p { a href={ "/logs/" (id) } { (text(log.status().name(), 64)) } }
        p.note.good {
            "This entry is in the log. Its place is proven under the head of " (number(head.size())) " entries that the log signed"
            @if !cosigners.is_empty() {
                " and " @for (i, name) in cosigners.iter().take(32).enumerate() { @if i > 0 { ", " } strong { (text(&name.to_string(), 64)) } } " cosigned"
            }
            ". This auditor has just verified it."
        }
        dl.facts {
            @if let Some(entry) = &decoded {
                div { dt { "Added" } dd { (at(entry.timestamp, now)) } }
                div { dt { "Root of the tree of keys after it" } dd { code { (base64(&entry.prefix_tree)) } } }
            }
            div { dt { "Its hash as a leaf" } dd { code { (base64(leaf)) } } }
            div { dt { "Root of the head" } dd { code { (base64(head.root())) } } }
        }
        p { "An entry names nobody: it holds a time and one hash over the keys of all users at that time." }
        h2 { "The proof" }
        p {
            "From the entry's own hash, each of these leads one step up, to the root of that head."
            @if proof.is_empty() { " There is no step: the entry is the whole log." }
        }
        ol.plain { @for hash in proof { li { code { (base64(hash)) } } } }
        p {
            a.button href={ "/logs/" (id) "/entry/proof?index=" (index) } { "Download the proof" } " "
            a.button href={ "/logs/" (id) "/entry/raw?index=" (index) } { "Download the entry" }
        }
        p { "Checked offline with " code { "keyglass proof verify " (index) ".tlog-proof --entry " (index) ".entry --policy POLICY" } "." }
        nav aria-label="Neighbours" {
            ul {
                @if let Some(before) = index.checked_sub(1) { li { a href=(link(before)) rel="prev" { "Entry before" } } }
                @if index.saturating_add(1) < head.size() { li { a href=(link(index.saturating_add(1))) rel="next" { "Entry after" } } }
            }
        }
    }
}
