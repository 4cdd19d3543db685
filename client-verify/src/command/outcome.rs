//! What a command came to, for people and for scripts.

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    algorithms::Violation,
    client::{HeadError, VerifyError},
};
use keyglass_tlog::witnessed::JudgeError;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    http::{HttpError, one_line},
    proven::{BundleError, ProveError},
    state::{LockError, StateError},
    verdict::Verdict,
};

/// What a command found or did.
#[derive(Debug)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Lines for a person, on standard output.
    pub lines: Vec<String>,
    /// Lines for a person, on standard error: what is not the answer itself.
    pub notes: Vec<String>,
    /// The members of the JSON object beside `verdict`.
    pub fields: Map<String, Value>,
}

impl Outcome {
    /// An outcome without anything to say yet.
    #[must_use]
    pub fn new(verdict: Verdict) -> Self {
        Self { verdict, lines: Vec::new(), notes: Vec::new(), fields: Map::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Adds a line that is not the answer itself.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a member.
    pub fn field(&mut self, name: &str, value: impl Serialize) {
        // Only maps with keys that are not strings fail to serialise, of which there are none here.
        self.fields.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The verdict.
    pub verdict: Verdict,
    /// A stable name of the exact cause, for scripts.
    pub reason: &'static str,
    /// What happened, for a person.
    pub message: String,
    /// Further members of the JSON object.
    pub fields: Map<String, Value>,
}

impl Failure {
    /// A failure.
    pub fn new(verdict: Verdict, reason: &'static str, message: impl ToString) -> Self {
        Self { verdict, reason, message: one_line(&message.to_string()), fields: Map::new() }
    }

    /// The failure with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.fields.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match &error {
            HttpError::Address => Self::new(Verdict::Usage, "server_address", error),
            HttpError::Unreachable(_) => Self::new(Verdict::Unreachable, "no_answer", error),
            HttpError::Unavailable(problem) => {
                let kind = problem.kind.clone();
                // The log goes on, and its auditor does not vouch for what it adds.
                let behind = kind == Problem::AuditorBehind.uri();
                let (verdict, reason) = if behind {
                    (Verdict::Stale, "auditor_behind")
                } else {
                    (Verdict::Unreachable, "not_ready")
                };
                Self::new(verdict, reason, error).with("problem", kind)
            }
            HttpError::TooLong { .. } => Self::new(Verdict::Invalid, "answer_too_long", error),
            HttpError::Declined(problem) => {
                let kind = problem.kind.clone();
                Self::new(Verdict::Declined, "declined", error).with("problem", kind)
            }
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let reason = match &error {
            StateError::File(_) => "home_file",
            StateError::Lock(LockError::Watched { .. }) => "already_watched",
            StateError::Lock(_) => "home_in_use",
            StateError::Document { .. } => "home_damaged",
            StateError::Foreign { .. } => "home_foreign",
            StateError::Misplaced { .. } => "home_misplaced",
        };
        Self::new(Verdict::Failed, reason, error)
    }
}

impl From<VerifyError> for Failure {
    /// What a response that does not verify means where nothing can be learned from asking again.
    fn from(error: VerifyError) -> Self {
        match &error {
            VerifyError::Head(HeadError::Judge(JudgeError::QuorumNotMet {
                have,
                from_the_future,
                missing,
            })) => {
                let names = |cosigned: &[keyglass_tlog::witnessed::Cosigned]| -> Vec<String> {
                    cosigned.iter().map(|cosigned| cosigned.witness.to_string()).collect()
                };
                let message = if have.is_empty() {
                    format!("no witness has signed this head; {missing} must")
                } else {
                    let names = names(have).join(", ");
                    format!("only {names} signed this head; {missing} more must")
                };
                Self::new(Verdict::Unwitnessed, "quorum_not_met", message)
                    .with("have", names(have))
                    .with("have_count", have.len())
                    .with("missing", *missing)
                    .with("from_the_future", names(from_the_future))
            }
            VerifyError::Head(HeadError::TooFarBehind(age)) => {
                Self::new(Verdict::Stale, "head_too_old", &error).with("head_age_ms", *age)
            }
            VerifyError::Head(HeadError::TooFarAhead(ahead)) => {
                let message = format!("{error}; check this machine's clock");
                Self::new(Verdict::Invalid, "head_from_the_future", message).with("ahead_ms", *ahead)
            }
            VerifyError::Head(HeadError::AuditorTime) => {
                Self::new(Verdict::Stale, "auditor_head_too_old", &error)
            }
            VerifyError::Head(HeadError::Judge(JudgeError::LogSignatureMissing)) => {
                let message = "no key that the policy (or, where it has no log lines, the configuration) names for this \
                               log has signed the head; if the log's operator has changed its keys, the policy is old";
                Self::new(Verdict::Invalid, "log_key_unknown", message)
            }
            VerifyError::Head(_) => Self::new(Verdict::Invalid, "head", &error),
            VerifyError::Violation(Violation::NotFound) => {
                Self::new(Verdict::Invalid, "version_not_there", &error)
            }
            VerifyError::Violation(Violation::Expired) => {
                Self::new(Verdict::NotFound, "expired_version", &error)
            }
            VerifyError::Violation(Violation::MonitoredVersionMissing(_)) => {
                Self::new(Verdict::Invalid, "monitored_version_missing", &error)
            }
            VerifyError::Violation(Violation::UnexpectedVersion(_)) => {
                Self::new(Verdict::Invalid, "another_greatest_version", &error)
            }
            VerifyError::Wire(_) => Self::new(Verdict::Invalid, "malformed", &error),
            VerifyError::Vrf(_) => Self::new(Verdict::Invalid, "vrf", &error),
            VerifyError::Rewritten(_) => Self::new(Verdict::Invalid, "rewritten", &error),
            _ => Self::new(Verdict::Invalid, "proof", &error),
        }
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::NotVouchedFor { version, .. } => {
                Self::new(Verdict::Refused, "version_not_vouched_for", error).with("version", version)
            }
            ProveError::NotWanted => Self::new(Verdict::Invalid, "another_value", error),
        }
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let (verdict, reason) = match &error {
            BundleError::NoSuchDevice(_) => (Verdict::Refused, "device_not_proven"),
            BundleError::IdentityNotAccepted => (Verdict::Changed, "identity_not_accepted"),
            BundleError::NoCommonSuite(_) => (Verdict::Refused, "no_common_suite"),
            BundleError::NoKemPreKey(_) => (Verdict::Refused, "no_kem_prekey"),
            BundleError::PreKey(_) => (Verdict::Refused, "bundle_not_proven"),
        };
        Self::new(verdict, reason, error)
    }
}
