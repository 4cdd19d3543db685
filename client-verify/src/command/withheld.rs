//! When the log says that something is not there. It has no negative proofs, so that this is only its word; and where it
//! has shown the very thing to this home before, it is holding it back.

use keyglass_account::problem::Problem;

use super::{context::Context, outcome::Failure};
use crate::verdict::Verdict;

impl Context {
    /// What the log's word means that it has no such label, or that the label has no such version. `version` is the one
    /// asked for, if it was not the newest. `None` for a problem that says something else.
    pub(super) fn absence(&self, label: &[u8], version: Option<u32>, problem: Problem) -> Option<Failure> {
        if !matches!(
            problem,
            Problem::UnknownLabel
                | Problem::UnknownVersion
                | Problem::ErasedVersion
                | Problem::ExpiredVersion
        ) {
            return None;
        }
        let shown = match self.greatest_shown(label) {
            Ok(shown) => shown,
            Err(failure) => return Some(failure),
        };
        let not_found = |reason, message: &str| Failure::new(Verdict::NotFound, reason, message);
        let withheld = |reason, message: &str| Failure::new(Verdict::Withheld, reason, message);
        Some(match (problem, shown) {
            (Problem::UnknownLabel, Some(_)) => withheld(
                "label_withheld",
                "the log says that it has no such label, and has proven it to this home before",
            ),
            (Problem::UnknownLabel, None) => {
                not_found("unknown_label", "the log says that it has no such label")
            }
            (Problem::UnknownVersion, Some(shown)) if version.is_none_or(|version| version <= shown) => {
                let message =
                    "the log says that the label has no such version, and has proven it to this home before";
                withheld("version_withheld", message).with("version", version)
            }
            (Problem::UnknownVersion, _) => {
                not_found("unknown_version", "the log says that the label has no such version")
            }
            (Problem::ExpiredVersion, _) if self.verifier.configuration().maximum_lifetime.is_none() => {
                withheld("never_expires", "the log says that this has expired, and nothing in it ever does")
            }
            (Problem::ErasedVersion, _) => {
                not_found("erased_version", "the log says that the version was erased")
            }
            _ => not_found("expired_version", "the log says that the version has expired"),
        })
    }

    /// The greatest version of a label that this home knows to be in the log: proven to it, or made by it.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub(super) fn greatest_shown(&self, label: &[u8]) -> Result<Option<u32>, Failure> {
        let monitored = self.state.label(label).and_then(|state| {
            let owned = state.owner.as_ref().and_then(|owner| owner.greatest_version());
            let watched = state.map.entries().map(|entry| entry.version).max();
            owned.max(watched)
        });
        let Ok(name) = std::str::from_utf8(label) else {
            return Ok(monitored);
        };
        let met = self.contacts.by_label.get(name).map(|contact| contact.version);
        let own = self.home.account(name)?.and_then(|account| account.published);
        Ok(monitored.max(met).max(own))
    }
}

/// The newest version that the log shows is older than one that it has shown before.
#[must_use]
pub fn hidden(label: &str, newest: u32, known: u32) -> Failure {
    let message = format!(
        "the log shows version {newest} of {label} as the newest, and has proven version {known} to this home before"
    );
    Failure::new(Verdict::Withheld, "version_hidden", message).with("version", newest).with("known", known)
}

/// The log says that its tree is smaller than the one that this home has seen.
#[must_use]
pub fn tree_shrank() -> Failure {
    let message = "the log says that its tree is smaller than it was";
    Failure::new(Verdict::Unreconciled, "tree_shrank", message)
}
