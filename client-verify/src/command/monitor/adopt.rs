//! Accepting a version of one's own label that another of one's devices made.

use super::own::maker;
use crate::{
    command::{context::Context, outcome::Failure},
    verdict::Verdict,
    watching::words::{self, Maker},
};

/// Takes the newest version of an own label over as one's own, if one's own identity key signed it and still is the
/// account's. Says whether there was anything to take over.
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
    if maker != Maker::OwnIdentity {
        let message = words::unexpected(label, Some(version), maker);
        let failure = Failure::new(Verdict::Unexpected, "not_acceptable", message);
        return Err(failure.with("version", version).with("made_by", maker.name()));
    }
    account.record = found.value.bytes().to_vec();
    account.published = Some(version);
    // Should this be all that happens, the next round learns of the versions between.
    context.home.store_account(&account)?;
    Ok(true)
}
