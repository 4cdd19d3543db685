//! `keyglass evidence verify`: offline, for anybody who knows the log's key.

use std::path::Path;

use keyglass_tlog::{evidence::Evidence, note::Vkey, policy::Policy};

use super::{
    context::read_file,
    outcome::{Failure, Outcome},
};
use crate::verdict::Verdict;

/// The longest evidence that is read, in bytes: two notes and a proof.
const MAX_EVIDENCE: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// [`Verdict::Usage`] for files and keys that cannot be used, [`Verdict::Unproven`] for what convicts nobody.
pub fn verify(file: &Path, log_keys: &[String], policy: Option<&Path>) -> Result<Outcome, Failure> {
    let log_keys: Result<Vec<Vkey>, _> = log_keys.iter().map(|key| Vkey::parse(key)).collect();
    let log_keys = log_keys.map_err(|error| Failure::new(Verdict::Usage, "vkey", error))?;
    let log_keys: Vec<&Vkey> = log_keys.iter().collect();
    let policy = policy
        .map(|path| {
            let bytes = read_file(path, 32 << 20)?;
            Policy::parse(&bytes).map_err(|error| Failure::new(Verdict::Usage, "policy", error))
        })
        .transpose()?;
    let bytes = read_file(file, MAX_EVIDENCE)?;
    let evidence =
        Evidence::parse(&bytes).map_err(|error| Failure::new(Verdict::Unproven, "malformed", error))?;
    let conviction = evidence
        .verify(&log_keys, policy.as_ref())
        .map_err(|error| Failure::new(Verdict::Unproven, "no_conviction", error))?;

    let (a, b) = conviction.sizes();
    let witnesses: Vec<String> = conviction.faulty_witnesses().iter().map(|name| name.to_string()).collect();
    let mut outcome = Outcome::new(Verdict::Verified);
    let kind = match &evidence {
        Evidence::SameSize { .. } => {
            outcome.line(format!("PROVEN: {} signed two different logs of {a} entries", conviction.origin()));
            "same-size"
        }
        Evidence::EmptyTree { .. } => {
            outcome.line(format!("PROVEN: {} signed an impossible empty log", conviction.origin()));
            "empty-tree"
        }
        Evidence::Inconsistent { .. } => {
            outcome.line(format!(
                "PROVEN: {} signed a log of {b} entries that does not extend the one of {a} entries that it signed",
                conviction.origin()
            ));
            "inconsistent"
        }
        Evidence::AfterHandover { .. } => {
            outcome.line(format!(
                "PROVEN: {} declared its end at {a} entries and signed a log of {b} entries all the same",
                conviction.origin()
            ));
            "after-handover"
        }
    };
    match (&policy, witnesses.as_slice()) {
        (None, _) => outcome.line("  witnesses   give a policy to learn which of them signed both sides"),
        (Some(_), []) => outcome.line("  witnesses   none of the policy's signed both sides"),
        (Some(_), names) => outcome.line(format!("  witnesses   signed both sides: {}", names.join(", "))),
    }
    outcome.field("kind", kind);
    outcome.field("origin", conviction.origin());
    outcome.field("sizes", [a, b]);
    outcome.field("faulty_witnesses", witnesses);
    Ok(outcome)
}
