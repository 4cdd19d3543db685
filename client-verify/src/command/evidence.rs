//! `keyglass evidence verify` and `evidence show`: offline, for anybody who knows the log's key.

use std::path::Path;

use keyglass_tlog::{
    evidence::{Evidence, Explanation, Side, Signer},
    note::Vkey,
    policy::Policy,
};
use serde_json::{Value, json};

use super::{
    context::read_file,
    outcome::{Failure, Outcome},
};
use crate::verdict::Verdict;

/// The longest evidence that is read, in bytes: two notes and a proof.
const MAX_EVIDENCE: u64 = 1 << 20;

/// What both commands read.
struct Given {
    log_keys: Vec<Vkey>,
    policy: Option<Policy>,
    evidence: Evidence,
}

fn read(file: &Path, log_keys: &[String], policy: Option<&Path>) -> Result<Given, Failure> {
    let log_keys: Result<Vec<Vkey>, _> = log_keys.iter().map(|key| Vkey::parse(key)).collect();
    let log_keys = log_keys.map_err(|error| Failure::new(Verdict::Usage, "vkey", error))?;
    let policy = policy
        .map(|path| {
            let bytes = read_file(path, 32 << 20)?;
            Policy::parse(&bytes).map_err(|error| Failure::new(Verdict::Usage, "policy", error))
        })
        .transpose()?;
    let bytes = read_file(file, MAX_EVIDENCE)?;
    let evidence =
        Evidence::parse(&bytes).map_err(|error| Failure::new(Verdict::Unproven, "malformed", error))?;
    Ok(Given { log_keys, policy, evidence })
}

/// Runs `evidence show`.
///
/// # Errors
/// As [`verify`]; [`Verdict::Unproven`] comes with all that the file claims.
pub fn show(file: &Path, log_keys: &[String], policy: Option<&Path>) -> Result<Outcome, Failure> {
    let given = read(file, log_keys, policy)?;
    let of_policy = given.policy.iter().flat_map(|policy| policy.logs()).map(|log| log.vkey());
    let keys: Vec<&Vkey> = given.log_keys.iter().chain(of_policy).collect();
    let explanation = given.evidence.explain(&keys, given.policy.as_ref());
    let fields = fields(&explanation);
    let words = explanation.words();
    let mut lines = vec![words.headline, format!("  {}", words.reason)];
    for statement in &words.statements {
        lines.push(String::new());
        for (index, sentence) in statement.iter().enumerate() {
            lines.push(format!("{}{sentence}", if index == 0 { "  " } else { "    " }));
        }
    }
    if !words.witnesses.is_empty() {
        lines.push(String::new());
        lines.extend(words.witnesses.iter().map(|sentence| format!("  {sentence}")));
    }
    match &explanation.verdict {
        Ok(_) => {
            let mut outcome = Outcome::new(Verdict::Verified);
            lines.into_iter().for_each(|line| outcome.line(line));
            fields.into_iter().for_each(|(name, value)| outcome.field(name, value));
            Ok(outcome)
        }
        Err(_) => {
            let mut failure = Failure::new(Verdict::Unproven, "no_conviction", "");
            failure.message = lines.join("\n");
            Err(fields.into_iter().fold(failure, |failure, (name, value)| failure.with(name, value)))
        }
    }
}

/// The explanation as members of a JSON object.
fn fields(explanation: &Explanation) -> Vec<(&'static str, Value)> {
    let statements = explanation.statements.iter().map(|statement| {
        let lines = statement.lines.iter().map(|line| {
            let (status, witness) = match &line.signer {
                Signer::Log => ("log", None),
                Signer::Witness(name) => ("witness", Some(name.to_string())),
                Signer::Forged => ("forged", None),
                Signer::Unknown => ("unknown", None),
            };
            let (key, id, time) = (line.key.as_str(), line.id.to_string(), line.time.map(|time| time.0));
            json!({ "key": key, "id": id, "signer": status, "witness": witness, "time": time })
        });
        json!({
            "side": match statement.side { Side::A => "first", Side::B => "second" },
            "origin": statement.origin,
            "size": statement.size,
            "root": keyglass_tlog::shown::base64(&statement.root),
            "successor": statement.successor.as_ref().map(|name| name.as_str()),
            "signatures": lines.collect::<Vec<_>>(),
        })
    });
    let time = |part: Option<Option<keyglass_tlog::time::UnixSeconds>>| part.flatten().map(|time| time.0);
    let witnesses = explanation.witnesses().into_iter().map(|part| {
        json!({
            "name": part.name.to_string(),
            "first": part.first.is_some(),
            "first_time": time(part.first),
            "second": part.second.is_some(),
            "second_time": time(part.second),
            "faulty": part.is_faulty,
        })
    });
    let mut fields = vec![("kind", json!(explanation.kind))];
    if let Ok(conviction) = &explanation.verdict {
        let faulty: Vec<String> = conviction.faulty_witnesses().iter().map(ToString::to_string).collect();
        let (a, b) = conviction.sizes();
        fields.extend([
            ("origin", json!(conviction.origin())),
            ("sizes", json!([a, b])),
            ("faulty_witnesses", json!(faulty)),
        ]);
    }
    let other_root = explanation.other_root.map(|root| keyglass_tlog::shown::base64(&root));
    fields.extend([
        ("other_root", json!(other_root)),
        ("statements", Value::Array(statements.collect())),
        ("witnesses", Value::Array(witnesses.collect())),
        ("explanation", json!(explanation.words().lines().collect::<Vec<_>>())),
    ]);
    fields
}

/// Runs `evidence verify`.
///
/// # Errors
/// [`Verdict::Usage`] for files and keys that cannot be used, [`Verdict::Unproven`] for what convicts nobody.
pub fn verify(file: &Path, log_keys: &[String], policy: Option<&Path>) -> Result<Outcome, Failure> {
    let Given { log_keys, policy, evidence } = read(file, log_keys, policy)?;
    let log_keys: Vec<&Vkey> = log_keys.iter().collect();
    let conviction = evidence
        .verify(&log_keys, policy.as_ref())
        .map_err(|error| Failure::new(Verdict::Unproven, "no_conviction", error))?;

    let (a, b) = conviction.sizes();
    let witnesses: Vec<String> = conviction.faulty_witnesses().iter().map(|name| name.to_string()).collect();
    let mut outcome = Outcome::new(Verdict::Verified);
    match &evidence {
        Evidence::SameSize { .. } => {
            outcome.line(format!("PROVEN: {} signed two different logs of {a} entries", conviction.origin()));
        }
        Evidence::EmptyTree { .. } => {
            outcome.line(format!("PROVEN: {} signed an impossible empty log", conviction.origin()));
        }
        Evidence::Inconsistent { .. } => {
            outcome.line(format!(
                "PROVEN: {} signed a log of {b} entries that does not extend the one of {a} entries that it signed",
                conviction.origin()
            ));
        }
        Evidence::AfterHandover { .. } => {
            outcome.line(format!(
                "PROVEN: {} declared its end at {a} entries and signed a log of {b} entries all the same",
                conviction.origin()
            ));
        }
    }
    match (&policy, witnesses.as_slice()) {
        (None, _) => outcome.line("  witnesses   give a policy to learn which of them signed both sides"),
        (Some(_), []) => outcome.line("  witnesses   none of the policy's signed both sides"),
        (Some(_), names) => outcome.line(format!("  witnesses   signed both sides: {}", names.join(", "))),
    }
    outcome.field("kind", evidence.kind());
    outcome.field("origin", conviction.origin());
    outcome.field("sizes", [a, b]);
    outcome.field("faulty_witnesses", witnesses);
    Ok(outcome)
}
