//! `keyglass proof export`: an offline proof of one log entry, from the log's tiles.

use std::path::Path;

use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::SignedNote,
    proof::TlogProof,
    rfc6962::{inclusion_nodes, inclusion_proof, leaf_hash},
    tile::{Content, FULL_WIDTH, Tile, parse_bundle},
    witnessed::{Horizon, Judge},
};

use super::{
    args::ExportOptions,
    context::Context,
    outcome::{Failure, Outcome},
    reconcile::{Nodes, Unexplained},
    shown,
};
use crate::{
    http::{HttpError, Request},
    verdict::Verdict,
};

/// The bytes of a bundle of as many entries as it can hold: each is 40 bytes after its length.
const FULL_BUNDLE: usize = 256 * 42;

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up; [`Verdict::Usage`] for an entry that the log does not have, or a log without checkpoints.
pub async fn run(context: &mut Context, options: &ExportOptions) -> Result<Outcome, Failure> {
    let (index, version) = match (&options.label, options.index) {
        (Some(label), _) => {
            let found = context.search(label.as_bytes(), None).await?;
            (found.terminal, Some(found.value.version()))
        }
        (None, index) => {
            context.walk_heads().await?;
            (index.unwrap_or_default(), None)
        }
    };
    let note = context.retained_note().ok_or_else(|| {
        let message = "heads of this log are no checkpoints, so that there are no tlog-proofs of its entries";
        Failure::new(Verdict::Usage, "no_checkpoints", message)
    })?;
    let (entry, proof) = prove(context, index, note).await?;
    write(options.entry_out.as_deref(), &entry)?;
    let text = proof.to_string();
    write(options.out.as_deref(), text.as_bytes())?;
    Ok(describe(context, options, &entry, &proof, version))
}

/// The entry and its proof, which verifies as a stranger will verify it.
async fn prove(context: &Context, index: u64, note: SignedNote) -> Result<(Vec<u8>, TlogProof), Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::new(Verdict::Invalid, "proof", error);
    let head = Checkpoint::from_note(&note).map_err(|error| invalid(&error))?;
    let size = head.tree_size();
    if index >= size {
        let message =
            format!("the log's newest head has {size} entries, counted from 0: there is no entry {index}");
        return Err(Failure::new(Verdict::Usage, "no_such_entry", message).with("tree_size", size));
    }
    let entry = fetch_entry(context, index, size).await?;
    let nodes = Nodes::fetch(&context.server, inclusion_nodes(index, size), size).await;
    let nodes = nodes.map_err(unexplained)?;
    let hashes = inclusion_proof(index, size, |node| nodes.get(node))
        .map_err(|_| unexplained(Unexplained::Incomplete))?;
    let proof = TlogProof::new(Vec::new(), index, hashes, note);
    let policy = context
        .verifier
        .policy()
        .ok_or_else(|| Failure::new(Verdict::Usage, "missing_option", "this command needs --policy"))?;
    let judge = Judge::of_log(policy, context.verifier.log_keys(), Horizon::ignored());
    match proof.verify(&leaf_hash(&entry), &judge) {
        Ok(_) => Ok((entry, proof)),
        Err(error) => Err(invalid(&error)),
    }
}

/// The bytes of an entry, from its bundle. A log may have replaced a partial bundle by the full one.
async fn fetch_entry(context: &Context, index: u64, size: u64) -> Result<Vec<u8>, Failure> {
    let full = u64::from(FULL_WIDTH);
    let (bundle, place) = (index / full, index % full);
    let width = size.saturating_sub(bundle.saturating_mul(full)).min(full);
    let width = u16::try_from(width).unwrap_or(FULL_WIDTH);
    let tile = Tile::new(Content::Entries, bundle, width)
        .map_err(|error| Failure::new(Verdict::Invalid, "tiles", error))?;
    let fetch = |tile: Tile| context.server.send(FULL_BUNDLE, Request::get(tile.to_string()));
    let (tile, contents) = match fetch(tile).await {
        Err(HttpError::Declined(_)) if !tile.is_full() => (tile.to_full(), fetch(tile.to_full()).await?),
        fetched => (tile, fetched?),
    };
    let entries =
        parse_bundle(&tile, &contents).map_err(|error| Failure::new(Verdict::Invalid, "tiles", error))?;
    let entry = usize::try_from(place).ok().and_then(|place| entries.get(place));
    entry.map(|entry| entry.to_vec()).ok_or_else(|| unexplained(Unexplained::Incomplete))
}

fn unexplained(why: Unexplained) -> Failure {
    match why {
        Unexplained::Http(error) => error.into(),
        other => Failure::new(Verdict::Invalid, "tiles", other),
    }
}

fn write(path: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    let Some(path) = path else {
        return Ok(());
    };
    std::fs::write(path, bytes)
        .map_err(|error| Failure::new(Verdict::Failed, "output", format!("{}: {error}", path.display())))
}

fn describe(
    context: &Context,
    options: &ExportOptions,
    entry: &[u8],
    proof: &TlogProof,
    version: Option<u32>,
) -> Outcome {
    let mut outcome = Outcome::new(Verdict::Verified);
    let text = proof.to_string();
    match &options.out {
        Some(_) => {}
        None => text.lines().for_each(|line| outcome.line(line)),
    }
    let size = Checkpoint::from_note(proof.note()).map(|head| head.tree_size()).unwrap_or_default();
    let what = match (&options.label, version) {
        (Some(label), Some(version)) => format!(
            ": its prefix tree was shown to hold version {version} of {}, which the proof itself does not show",
            shown::octets(label.as_bytes())
        ),
        _ => String::new(),
    };
    outcome.note(format!("entry {} of {size}, verified{what}", proof.index()));
    for (path, what) in [(&options.out, "proof"), (&options.entry_out, "entry")] {
        if let Some(path) = path {
            outcome.note(format!("the {what} is in {}", path.display()));
        }
    }
    if let ([vkey], Some(policy)) = (context.verifier.log_keys(), context.verifier.policy())
        && policy.logs().is_empty()
    {
        outcome
            .note("this policy does not name the log; `keyglass proof verify` needs one that has this line:");
        outcome.note(format!("log {vkey}"));
    }
    outcome.field("index", proof.index());
    outcome.field("tree_size", size);
    outcome.field("label", &options.label);
    outcome.field("version", version);
    outcome.field("entry", super::resolve::hex(entry));
    outcome.field("proof", text);
    outcome
}
