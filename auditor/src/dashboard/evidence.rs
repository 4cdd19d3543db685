//! A file of evidence, in words.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use keyglass_tlog::{evidence::Evidence, note::Vkey};
use maud::{Markup, html};

use super::{
    Pages, alerts,
    layout::{Place, page, text},
};
use crate::followed::Followed;

/// The longest file that is shown as it is; longer ones are to be downloaded.
const SHOWN: usize = 16 * 1024;

/// `GET /evidence/<file>`. Names are looked up among those known, never in the file system.
pub(super) async fn serve(State(pages): State<Arc<Pages>>, Path(file): Path<String>) -> Response {
    for log in pages.logs.all() {
        // One log that cannot be opened does not hide the evidence against others.
        let Ok(Some(bytes)) = log.evidence_text(file.clone()).await else { continue };
        let Ok(permit) = Arc::clone(&pages.explaining).try_acquire_owned() else {
            return pages.refuse(StatusCode::SERVICE_UNAVAILABLE, "Too much is being explained; try again.");
        };
        let log = Arc::clone(log);
        let explained = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            content(&log, &file, &bytes)
        });
        let overview = pages.overview();
        return match explained.await {
            Ok(Some(content)) => {
                page(&overview, Place::Elsewhere, "Evidence", &alerts::banner(&overview), &content)
            }
            _ => pages.refuse(StatusCode::INTERNAL_SERVER_ERROR, "The file is not evidence any more."),
        };
    }
    pages.refuse(StatusCode::NOT_FOUND, "There is no evidence of that name.")
}

fn content(log: &Followed, file: &str, bytes: &[u8]) -> Option<Markup> {
    let evidence = Evidence::parse(bytes).ok()?;
    let trust = log.trust();
    let keys: Vec<&Vkey> = trust.log_keys().iter().collect();
    let words = evidence.explain(&keys, Some(trust.policy())).words();
    let path = format!("/v1/evidence/{file}");
    let raw = evidence.to_string();
    Some(html! {
        h1 { (words.headline) }
        p.note { (words.reason) }
        h2 { "What was signed" }
        @for statement in &words.statements {
            ul { @for (i, sentence) in statement.iter().enumerate() { li { @if i == 0 { strong { (sentence) } } @else { (sentence) } } } }
        }
        @if !words.witnesses.is_empty() {
            h2 { "What that means for the witnesses" }
            ul { @for sentence in &words.witnesses { li { (sentence) } } }
        }
        h2 { "Check it yourself" }
        p {
            "Nobody need believe this page. The file holds what was signed, word for word; whoever has the log's key checks it, "
            "offline, with " code { "keyglass evidence show " (file) " --policy POLICY" } " or with the short script "
            code { "docs/verify_evidence.py" } ", which shares no code with Keyglass."
        }
        p { a.button href=(path) download=(file) { "Download the evidence" } }
        p { "The key that it is checked with, which must come from somebody whom you trust and not from here:" }
        @for key in keys.iter().take(16) { p { code { (text(&key.to_string(), 4000)) } } }
        @if raw.len() <= SHOWN {
            h2 { "The file" }
            pre tabindex="0" aria-label="The file of evidence" { (lines(&raw)) }
        }
    })
}

/// A stranger's text in lines, each shown for what it is.
fn lines(of: &str) -> String {
    of.lines().map(|line| format!("{}\n", text(line, SHOWN))).collect()
}
