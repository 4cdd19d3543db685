//! One's own account beyond its registration: where it stands in the log, and its next version.

pub(super) mod device;
mod pending;
mod publish;
mod standing;

use keyglass_account::safety_number::SafetyNumber;
use keyglass_crypto::sign::VerifyingKey;

pub(super) use pending::find_out as find_out_pending;
pub(super) use publish::{Authority, Change, Published, change, identity, settle_open};
pub(super) use standing::{known, last_valid, learn, owned, take_over};

use super::{
    context::Context,
    outcome::{Failure, Outcome},
};
use crate::{state::OwnAccount, verdict::Verdict};

/// The own account that is meant: `label`, or the only one of the home. It is published.
///
/// # Errors
/// [`Verdict::Usage`].
pub(super) fn account(context: &Context, label: Option<&str>) -> Result<OwnAccount, Failure> {
    super::send::own_account(context, label)
}

/// A command that only the holder of the identity key can carry out.
pub(super) fn not_held(label: &str) -> Failure {
    let message = format!(
        "this home is a linked device of {label} and does not hold its identity key: do this where the account was made"
    );
    Failure::new(Verdict::Usage, "identity_held_elsewhere", message)
}

/// The outcome of a command that published a version: an alarm if somebody else's lies before it.
pub(super) fn outcome(label: &str, published: Published) -> Outcome {
    let Published { version, skipped } = published;
    let mut outcome = Outcome::new(if skipped == 0 { Verdict::Verified } else { Verdict::Unexpected });
    if skipped > 0 {
        let versions =
            super::shown::counted(usize::try_from(skipped).unwrap_or(usize::MAX), "version", "versions");
        outcome.note(format!(
            "  SOMEBODY PUT {versions} of {label} into the log before this one that NONE OF YOUR KEYS SIGNED. Nobody who checks \
             used them, and this version goes past them: ask the provider how they came there"
        ));
    }
    outcome.field("label", label);
    outcome.field("version", version);
    outcome.field("skipped_versions", skipped);
    outcome
}

/// The person was told of the versions made elsewhere that are built upon.
///
/// # Errors
/// [`Verdict::Failed`].
pub(super) fn told_of_built_upon(context: &Context, label: &str) -> Result<(), Failure> {
    let Some(mut account) = context.home.account(label)? else { return Ok(()) };
    account.built_upon_since = None;
    Ok(context.home.store_account(&account)?)
}

/// Thirty digits for the identity of one account, by which its own devices are compared: the half of every safety number that
/// stands for it.
pub(super) fn identity_digits(label: &str, key: &VerifyingKey) -> String {
    let party = (label.as_bytes(), key);
    SafetyNumber::new(party, party)
        .map_or_else(|_| String::new(), |number| number.groups().take(6).collect::<Vec<_>>().join(" "))
}
