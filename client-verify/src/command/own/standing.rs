//! Where an own account stands in the log: the last version that its keys vouch for, and whatever came after.

use keyglass_account::verify::ValidRecord;

use super::super::{context::Context, outcome::Failure, withheld::hidden};
use crate::{
    http::printable,
    proven::{Identity, ProvenAccount},
    state::OwnAccount,
    verdict::Verdict,
    watching::words,
};

/// Versions without any of the account's signatures that are passed over in search of one with them.
const MAX_INVALID: u32 = 64;

/// The last valid version of a label, and what the log holds beyond it.
pub struct Standing {
    /// The version, proven.
    pub account: ProvenAccount,
    /// The label's greatest version in the log. What lies between is not vouched for by the account's keys.
    pub greatest: u32,
}

/// Proves the last version of `label` that its account's keys vouch for, passing over those that they do not. `known` is the
/// version that is known to be valid; nothing older is accepted.
///
/// # Errors
/// The verdicts of a look-up; [`Verdict::Refused`] if too many versions, or all of them, are not vouched for.
pub async fn last_valid(
    context: &mut Context,
    label: &str,
    known: Option<&ValidRecord>,
) -> Result<Standing, Failure> {
    let mut found = context.search(label.as_bytes(), None).await?;
    let greatest = found.value.version();
    let floor = known.map_or(0, ValidRecord::version);
    if greatest < floor {
        return Err(hidden(label, greatest, floor));
    }
    loop {
        let version = found.value.version();
        let refused = match context.prove_newest(label, found.value, known).await {
            Ok((account, _)) => return Ok(Standing { account, greatest }),
            Err(failure) if failure.verdict == Verdict::Refused => failure,
            Err(failure) => return Err(failure),
        };
        if version <= floor || greatest.saturating_sub(version) >= MAX_INVALID {
            return Err(refused);
        }
        found = context.search(label.as_bytes(), Some(version.saturating_sub(1))).await?;
    }
}

/// Makes sure that this home owns the label in the log up to `version`, so that it is answerable for every version since.
/// Versions in between may be anybody's; those that matter were proven.
///
/// # Errors
/// The verdicts of a look-up.
pub async fn owned(context: &mut Context, label: &[u8], version: u32) -> Result<(), Failure> {
    if context.state.label(label).is_none_or(|state| state.owner.is_none()) {
        let start = context.begin_to_own(label).await?.start;
        context.own_from(label, start).await?;
    }
    let greatest = |context: &Context| {
        context.state.label(label).and_then(|state| state.owner.as_ref()?.greatest_version())
    };
    if greatest(context) < Some(version) {
        let wanted = |created: &keyglass_keytrans::client::CreatedVersions| {
            created.versions.iter().all(|(created, _)| *created <= version)
        };
        context.learn_versions(label, wanted).await?;
    }
    Ok(())
}

/// The version of an own account that this home has as published.
///
/// # Errors
/// [`Verdict::Failed`] for a damaged home.
pub fn known(context: &Context, account: &OwnAccount) -> Result<ValidRecord, Failure> {
    let (label, version) = (&account.label, account.published.unwrap_or(0));
    ValidRecord::restore(&context.origin, label.as_bytes(), version, &account.record)
        .map_err(|error| Failure::new(Verdict::Failed, "home_damaged", format!("{label}: {error}")))
}

/// Brings an own account up to what the log has of it. A version that the same identity key signed is another device's, and is
/// taken over.
///
/// # Errors
/// [`Verdict::Unexpected`] for a version under another identity; the verdicts of a look-up.
pub async fn learn(context: &mut Context, account: &mut OwnAccount) -> Result<Standing, Failure> {
    let label = account.label.clone();
    let published = account.published.unwrap_or(0);
    let known = known(context, account)?;
    let standing = last_valid(context, &label, Some(&known)).await?;
    let valid = standing.account.valid();
    if valid.version() == published && valid.record().encode() != account.record {
        let message =
            format!("version {published} of {label} is not what it was when this home published it");
        return Err(Failure::new(Verdict::Invalid, "rewritten", message));
    }
    let same = valid.record().identity_key == account.identity_key();
    if standing.account.identity() == Identity::Broken || !same {
        return Err(another_identity(&label, valid.version()));
    }
    if valid.version() > published {
        // With the identity key alone nobody can tell a person's other home from a thief: it is said, and said again by
        // `monitor` if this command does not come to it.
        account.built_upon_since.get_or_insert(published);
        take_over(account, valid);
        context.home.store_account(account)?;
        context
            .built_upon
            .push((label.clone(), words::built_upon(&printable(label.clone()), standing.account.change())));
    }
    owned(context, label.as_bytes(), standing.greatest).await?;
    Ok(standing)
}

/// Another device of the account made this version: it is the account from now on.
pub fn take_over(account: &mut OwnAccount, valid: &ValidRecord) {
    let record = valid.record();
    account.record = record.encode();
    account.published = Some(valid.version());
    account.devices.retain(|device| record.device(device.id).is_some());
    account.declined.retain(|declined| declined.version > valid.version());
}

fn another_identity(label: &str, version: u32) -> Failure {
    let message = format!(
        "version {version} of your own account {label} has another identity, which this home did not make: nothing was \
         published. `keyglass monitor` says who authorised it; if you hold the recovery key, `keyglass recover` takes the \
         account back"
    );
    Failure::new(Verdict::Unexpected, "another_identity", message).with("version", version)
}
