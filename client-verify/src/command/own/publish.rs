//! The next version of one's own account: made, stored, sent, verified as its owner, stored as published.
//!
//! A crash between any two of these steps loses nothing. Before the version is stored, nothing has happened; after that it is
//! sent again, as it is, until the log shows it or another in its place. A version binds its number and its predecessor, so
//! that one which came too late is valid nowhere else.

use keyglass_account::{
    author::Draft,
    problem::Problem,
    record::{AccountRecord, RecordError},
};
use keyglass_crypto::{secret::Secret, sign::SigningKey};
use keyglass_keytrans::{
    client::{StateUpdate, VerifyError, decode_update_responses},
    wire::Wire as _,
};

use super::{
    super::{
        context::{Context, now},
        outcome::Failure,
        ownership::MAX_UPDATE_RESPONSE,
    },
    pending, standing,
};
use crate::{
    http::{OCTETS, Request},
    state::{OwnAccount, OwnDeviceState, PendingVersion},
    verdict::Verdict,
};

/// How often a version is made anew because another device was faster.
const MAX_ATTEMPTS: usize = 4;

/// By what right the next version is made.
pub enum Authority {
    /// The identity key of this home. The account must be under it.
    Identity,
    /// The account, as the caller has it, is already brought to the version to follow; the label's greatest version is this.
    AsItStands(u32),
}

/// A version that is to be published, with the secrets that it brings.
pub struct Change {
    /// The signed record.
    pub record: AccountRecord,
    /// The seed of the identity key that it introduces.
    pub identity_seed: Option<Secret<32>>,
    /// The devices that it adds whose secrets are here.
    pub devices: Vec<OwnDeviceState>,
}

impl Change {
    /// A version that brings no secrets.
    ///
    /// # Errors
    /// [`Verdict::Usage`] for what the rules of accounts forbid.
    pub fn of(signed: Result<AccountRecord, RecordError>) -> Result<Self, Failure> {
        let record = signed.map_err(|error| Failure::new(Verdict::Usage, "record", error))?;
        Ok(Self { record, identity_seed: None, devices: Vec::new() })
    }
}

/// What was published.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// The version.
    pub version: u32,
    /// How many versions lie directly before it that none of the account's keys signed. They are an alarm.
    pub skipped: u32,
}

enum Sent {
    /// The log has the pending version.
    Ours,
    /// The log has other versions in its place.
    Others,
}

/// Publishes the next version of an own account, which `make` makes of a draft of it and the identity key. If another device
/// of the account is faster, `make` is asked again, with what that one made. The identity to sign with is that of the account
/// that `make` is given: settling an earlier run's rotation replaces it. What was still open from an earlier run is
/// settled first.
///
/// # Errors
/// What `make` fails with; [`Verdict::Unexpected`] if the account has another identity; the verdicts of a look-up and of a
/// request. After [`Verdict::Unreachable`] the version may or may not be in the log: the next run finds out.
pub async fn change(
    context: &mut Context,
    account: &mut OwnAccount,
    authority: &Authority,
    mut make: impl FnMut(Draft<'_>, &AccountRecord, &OwnAccount) -> Result<Change, Failure>,
) -> Result<Published, Failure> {
    settle_open(context, account).await?;
    for _ in 0..MAX_ATTEMPTS {
        let (valid, greatest) = match authority {
            Authority::Identity => {
                let standing = standing::learn(context, account).await?;
                (standing.account.valid().clone(), standing.greatest)
            }
            Authority::AsItStands(greatest) => (standing::known(context, account)?, *greatest),
        };
        let version = greatest.checked_add(1).ok_or_else(|| {
            Failure::new(
                Verdict::Usage,
                "no_versions_left",
                "the label has as many versions as a label can have",
            )
        })?;
        let (origin, label) = (context.origin.clone(), account.label.clone());
        let draft = Draft::after(&origin, label.as_bytes(), &valid, version);
        let Change { record, identity_seed, devices } = make(draft, valid.record(), account)?;
        let record = record.encode();
        account.pending = Some(PendingVersion { version, record, identity_seed, devices });
        context.home.store_account(account)?;
        match send(context, account).await {
            Ok(Sent::Ours) => {
                pending::settle(context, account)?;
                let skipped = greatest.saturating_sub(valid.version());
                return Ok(Published { version, skipped });
            }
            Ok(Sent::Others) => {
                account.pending = None;
                context.home.store_account(account)?;
                if matches!(authority, Authority::AsItStands(_)) {
                    break;
                }
            }
            Err(failure) => {
                set_refused_aside(context, account, &failure).await?;
                return Err(failure);
            }
        }
    }
    let message =
        "other versions of the account were published at the same time: look at what they are, and try again";
    Err(Failure::new(Verdict::Unexpected, "overtaken", message))
}

/// Finds out what became of the version of an earlier run; one that is not in the log is sent again.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn settle_open(context: &mut Context, account: &mut OwnAccount) -> Result<(), Failure> {
    if !pending::find_out(context, account).await? {
        return Ok(());
    }
    let greatest = account.pending.as_ref().and_then(|pending| pending.version.checked_sub(1)).unwrap_or(0);
    standing::owned(context, account.label.clone().as_bytes(), greatest).await?;
    match send(context, account).await {
        Ok(Sent::Ours) => pending::settle(context, account),
        Ok(Sent::Others) => {
            account.pending = None;
            Ok(context.home.store_account(account)?)
        }
        Err(failure) => {
            set_refused_aside(context, account, &failure).await?;
            if account.pending.is_some() { Err(failure) } else { Ok(()) }
        }
    }
}

/// Sets a version aside that the server refused and the log does not have. One whose fate is not known stays as it is.
async fn set_refused_aside(
    context: &mut Context,
    account: &mut OwnAccount,
    failure: &Failure,
) -> Result<(), Failure> {
    let only_busy = failure.fields.get("problem").is_some_and(|kind| kind == Problem::RateLimited.uri());
    if failure.verdict == Verdict::Declined && !only_busy && pending::find_out(context, account).await? {
        account.set_pending_aside();
        context.home.store_account(account)?;
    }
    Ok(())
}

/// Sends the pending version and verifies the answer as the label's owner.
async fn send(context: &mut Context, account: &OwnAccount) -> Result<Sent, Failure> {
    let Some(pending) = &account.pending else { return Ok(Sent::Others) };
    let label = account.label.as_bytes();
    let request = context.verifier.update_request(&context.state, label, vec![pending.record.clone()]);
    let request = request.ok_or(VerifyError::NotOwned)?;
    let body = request.encode().map_err(|error| Failure::new(Verdict::Failed, "encoding", error))?;
    let answer = context.server.send(MAX_UPDATE_RESPONSE, Request::post("v1/update", OCTETS, body)).await?;
    let responses = decode_update_responses(&answer, context.verifier.response_context())
        .map_err(|error| Failure::new(Verdict::Invalid, "malformed", error))?;
    // The first answer continues what this home knows. Others, if there are any, are of later versions.
    let Some(response) = responses.first() else { return Ok(Sent::Others) };
    let verified = context
        .verifier
        .verify_update(&context.state, &request, response, now())
        .map_err(|error| context.refused(error))?;
    context.require_witnesses(&verified.head)?;
    let is_ours = |(version, value): &(u32, Option<Vec<u8>>)| {
        *version == pending.version && value.as_ref() == Some(&pending.record)
    };
    if verified.result.versions.iter().any(is_ours) {
        context.retain(verified.update)?;
        return Ok(Sent::Ours);
    }
    // What was learned of the log is kept; the versions are judged when they are looked up.
    context.retain(StateUpdate { label: None, ..verified.update })?;
    Ok(Sent::Others)
}

/// The identity key of this home, for what only it can sign.
///
/// # Errors
/// [`Verdict::Usage`] on a linked device.
pub fn identity(account: &OwnAccount) -> Result<SigningKey, Failure> {
    account.identity.signing_key().ok_or_else(|| super::not_held(&account.label))
}
