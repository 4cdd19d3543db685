//! `keyglass proof verify`: whether an entry was logged and witnessed, offline.

use std::path::Path;

use keyglass_keytrans::{
    config::DeploymentMode,
    wire::{Context, LogEntry, Wire as _},
};
use keyglass_tlog::{
    proof::{MAX_LEN, TlogProof},
    rfc6962::leaf_hash,
    time::UnixMillis,
    witnessed::{Horizon, Judge, Judged},
};
use serde_json::json;

use super::{
    context::read_file,
    outcome::{Failure, Outcome},
    policy,
    resolve::hex,
    shown,
};
use crate::verdict::Verdict;

/// The longest entry that is read, in bytes: no bundle holds a longer one.
const MAX_ENTRY: u64 = 65_535;

/// Runs the command. The log's keys are those of the policy's `log` lines, and times are not judged, as tlog-proof says.
///
/// # Errors
/// [`Verdict::Rejected`] for what proves nothing, [`Verdict::Usage`] for files that cannot be read.
pub fn verify(proof: &Path, entry: &Path, policy: Option<&Path>) -> Result<Outcome, Failure> {
    let policy = policy
        .ok_or_else(|| Failure::new(Verdict::Usage, "missing_option", "this command needs --policy"))?;
    let policy = policy::read(policy)?;
    let entry = read_file(entry, MAX_ENTRY)?;
    let bytes = read_file(proof, u64::try_from(MAX_LEN).unwrap_or(u64::MAX).saturating_add(1))?;
    let rejected = |reason, error: &dyn std::fmt::Display| {
        Failure::new(Verdict::Rejected, reason, format!("{}: {error}", proof.display()))
    };
    let parsed = TlogProof::parse(&bytes).map_err(|error| rejected("malformed", &error))?;
    let judged = parsed
        .verify(&leaf_hash(&entry), &Judge::new(&policy, Horizon::ignored()))
        .map_err(|error| rejected("not_proven", &error))?;
    let cosigners = judged.cosigners().to_vec();
    let witnessed = matches!(judged, Judged::Witnessed(_));
    let checkpoint = judged.into_unverified();
    let mut outcome = Outcome::new(Verdict::Verified);
    outcome.line(format!(
        "PROVEN: these {} bytes are entry {} of a log that had {} entries",
        entry.len(),
        parsed.index(),
        checkpoint.tree_size()
    ));
    outcome.line(format!("  log        {}", shown::octets(checkpoint.origin().as_bytes())));
    for cosigned in &cosigners {
        let (name, at) = (shown::name(&cosigned.witness), shown::seconds(cosigned.time));
        outcome.line(format!("  witness    {name}, {at}"));
    }
    if !witnessed {
        outcome.line("  NOTHING IS WITNESSED: the policy asks for no witness, and only the log itself vouches for this");
    }
    if let Some(LogEntry { timestamp, prefix_tree }) = log_entry(&entry) {
        let at = shown::millis(UnixMillis(timestamp));
        outcome.line(format!("  entry      as one of a log of accounts: {at},"));
        outcome.line(format!("             prefix tree {}", hex(&prefix_tree)));
        outcome.field("log_entry", json!({ "timestamp": timestamp, "prefix_tree": hex(&prefix_tree) }));
    }
    if !parsed.unauthenticated_extra().is_empty() {
        let length = parsed.unauthenticated_extra().len();
        outcome.line(format!("  extra      {length} bytes that nothing vouches for"));
    }
    let witnesses = cosigners
        .iter()
        .map(|cosigned| json!({ "name": shown::name(&cosigned.witness), "time": cosigned.time.0 }));
    outcome.field("origin", checkpoint.origin());
    outcome.field("index", parsed.index());
    outcome.field("tree_size", checkpoint.tree_size());
    outcome.field("witnesses", witnesses.collect::<Vec<_>>());
    outcome.field("witnessed", witnessed);
    Ok(outcome)
}

/// What the entry says if it is one of a log of accounts. Other logs may have entries of that length, too.
fn log_entry(entry: &[u8]) -> Option<LogEntry> {
    LogEntry::decode(entry, Context::new(DeploymentMode::ContactMonitoring)).ok()
}
