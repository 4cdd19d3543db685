//! From a search response to a value that the log proved.

use keyglass_account::origin::of_configuration;
use keyglass_keytrans::{
    client::{StateUpdate, UserState, VerifiedHead, Verifier, VerifyError},
    wire::{SearchRequest, Wire as _},
};
use keyglass_tlog::time::UnixMillis;

use super::Unverified;

/// A label's value at a version, proven under a head that a quorum of witnesses cosigned.
///
/// Made by [`search`] only.
#[derive(Debug, Clone)]
pub struct ProvenValue {
    pub(super) origin: String,
    pub(super) label: Vec<u8>,
    pub(super) version: u32,
    pub(super) value: Vec<u8>,
    pub(super) head: VerifiedHead,
}

impl ProvenValue {
    /// The version of the label.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The value's bytes. As an account's record they are good only through [`prove`](super::prove).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }

    /// The head that it was proven under.
    #[must_use]
    pub fn head(&self) -> &VerifiedHead {
        &self.head
    }

    /// A value that nothing proved, for tests of what comes after.
    #[cfg(test)]
    pub(crate) fn for_tests(origin: &str, label: &[u8], version: u32, value: Vec<u8>) -> Self {
        let head = VerifiedHead::Draft { tree_size: 1, root: [0; 32] };
        Self { origin: origin.to_owned(), label: label.to_vec(), version, value, head }
    }
}

/// A value that is proven under a head for which the log alone vouches: whoever asks may be the only one who is shown it.
#[derive(Debug)]
pub struct UnwitnessedValue(ProvenValue);

impl UnwitnessedValue {
    /// Uses the value although no witness saw its head. The log can then show every user other keys, unnoticed. For logs
    /// without witnesses only, and only when a person has asked for exactly this.
    #[must_use]
    pub fn trust_the_log_alone(self) -> ProvenValue {
        self.0
    }
}

/// Whether a quorum of witnesses stands behind a value.
#[derive(Debug)]
#[must_use]
pub enum Witnessing {
    /// It does.
    Witnessed(ProvenValue),
    /// The policy requires none, or the suite knows none.
    Unwitnessed(UnwitnessedValue),
}

/// A verified search.
#[derive(Debug)]
#[must_use]
pub struct Search {
    /// The value.
    pub value: Witnessing,
    /// The head that it holds under.
    pub head: VerifiedHead,
    /// A log entry whose prefix tree was shown to hold the version.
    pub terminal: u64,
    /// Whether the label must be monitored from now on; the update puts it into the monitoring map.
    pub watch_pending: bool,
    /// What to retain. Until it is stored, the search has not happened.
    pub update: StateUpdate,
}

/// Verifies the response to `request`, which was made from `state`.
///
/// # Errors
/// [`VerifyError`]; nothing of the response may be used then, and the state stays as it is.
pub fn search(
    verifier: &Verifier,
    state: &UserState,
    request: &SearchRequest,
    response: &Unverified<Vec<u8>>,
    now: UnixMillis,
) -> Result<Search, VerifyError> {
    let origin = origin(verifier)?;
    let verified = verifier.verify_search(state, request, &response.0, now)?;
    let value = ProvenValue {
        origin,
        label: request.label.clone(),
        version: verified.result.version,
        value: verified.result.value,
        head: verified.head.clone(),
    };
    let value = match &verified.head {
        VerifiedHead::Witnessed(_) => Witnessing::Witnessed(value),
        VerifiedHead::LogSigned(_) | VerifiedHead::Draft { .. } => {
            Witnessing::Unwitnessed(UnwitnessedValue(value))
        }
    };
    Ok(Search {
        value,
        head: verified.head,
        terminal: verified.result.terminal,
        watch_pending: verified.result.monitored,
        update: verified.update,
    })
}

/// The origin of a verifier's log, by which accounts and prekeys are bound to it.
///
/// # Errors
/// Never for a configuration that was decoded; the type is the codec's.
pub fn origin(verifier: &Verifier) -> Result<String, VerifyError> {
    match verifier.origin() {
        Some(origin) => Ok(origin.to_owned()),
        None => Ok(of_configuration(&verifier.configuration().encode()?)),
    }
}
