//! Accepting a version of one's own label that another of one's devices made.

use keyglass_account::verify::ValidRecord;

use super::own::maker;
use crate::{
    command::{context::Context, outcome::Failure, own::take_over},
    state::OwnIdentity,
    verdict::Verdict,
    watching::words::{self, Maker},
};

/// Takes the newest version of an own label over as one's own, if one's own identity key signed it and still is the
/// account's; on a linked device also if that key or its recovery key authorised another. Says whether there was anything to take over.
///
/// # Errors
/// [`Verdict::Usage`] if the label is not one of this home's, [`Verdict::Unexpected`] for a version of another origin, and
/// the verdicts of a look-up.
pub async fn adopt(context: &mut Context, label: &str) -> Result<bool, Failure> {
    let account = context.home.account(label)?;
    let Some((mut account, published)) =
        account.and_then(|account| account.published.map(|published| (account, published)))
    else {
        let message = format!("this home has no published account {label}");
        return Err(Failure::new(Verdict::Usage, "no_account", message));
    };
    let found = context.search(label.as_bytes(), None).await?;
    let version = found.value.version();
    if version == published && found.value.bytes() == account.record {
        return Ok(false);
    }
    let maker = maker(context, &account, published, &found).await?;
    // A linked device follows an identity that the one it knew, or its recovery key, has authorised.
    let elsewhere = matches!(account.identity, OwnIdentity::Elsewhere { .. });
    if maker != Maker::OwnIdentity && !(elsewhere && matches!(maker, Maker::Successor(_))) {
        let message = words::unexpected(label, Some(version), maker);
        let failure = Failure::new(Verdict::Unexpected, "not_acceptable", message);
        return Err(failure.with("version", version).with("made_by", maker.name()));
    }
    let valid = ValidRecord::restore(&context.origin, label.as_bytes(), version, found.value.bytes())
        .map_err(|error| Failure::new(Verdict::Invalid, "another_value", error))?;
    if elsewhere {
        account.identity = OwnIdentity::Elsewhere { key: valid.record().identity_key };
    }
    take_over(&mut account, &valid);
    // Should this be all that happens, the next round learns of the versions between.
    context.home.store_account(&account)?;
    Ok(true)
}
