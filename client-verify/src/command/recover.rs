//! `keyglass recover`: the recovery key puts a new identity in the place of one that was lost or stolen.

use std::path::Path;

use keyglass_account::{
    author::Draft,
    record::{AccountRecord, Authorisation},
    verify::ValidRecord,
};
use keyglass_crypto::sign::SigningKey;

use super::{
    context::Context,
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
    random,
    recovery::RecoveryKey,
    resolve::hex,
};
use crate::{
    proven::Identity,
    state::{OwnAccount, OwnIdentity},
    verdict::Verdict,
};

/// How to recover.
pub struct Options<'a> {
    /// Which account.
    pub label: &'a str,
    /// Where the recovery key is.
    pub key: &'a Path,
    /// What opens it, if it is sealed.
    pub passphrase: Option<&'a Path>,
    /// Whether devices that are not in this home stay in the account.
    pub keep_devices: bool,
    /// Whether to go on although the provider has reset the account.
    pub accept_change: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Verdict::Rejected`] for a key that is none; [`Verdict::Refused`] if it is not the account's; the verdicts of a look-up
/// and of a request.
pub async fn run(context: &mut Context, options: &Options<'_>) -> Result<Outcome, Failure> {
    let label = options.label;
    let key = RecoveryKey::read(options.key, options.passphrase)?;
    if key.account.as_ref().is_some_and(|(origin, of)| *origin != context.origin || of != label) {
        let message = "the recovery key is for another account or another log";
        return Err(Failure::new(Verdict::Usage, "other_account", message));
    }
    let signer = key.signing_key();
    let (mut account, greatest) = match unfinished(context, label, &signer).await? {
        Unfinished::Done(account) => {
            let version = account.published.unwrap_or(0);
            return finish(context, *account, own::Published { version, skipped: 0 }, &[]).await;
        }
        Unfinished::Known(known) => {
            as_it_stands(context, options, known.map(|known| *known), &signer).await?
        }
    };
    let removed = leaving(context, &account, options.keep_devices)?;
    own::owned(context, label.as_bytes(), greatest).await?;
    let published =
        own::change(context, &mut account, &Authority::AsItStands(greatest), |draft, _, account| {
            next(draft, account, &removed, &signer)
        })
        .await?;
    finish(context, account, published, &removed).await
}

enum Unfinished {
    /// An earlier run had recovered the account, and did not live to say so.
    Done(Box<OwnAccount>),
    /// What this home knows of the account.
    Known(Option<Box<OwnAccount>>),
}

async fn unfinished(context: &mut Context, label: &str, signer: &SigningKey) -> Result<Unfinished, Failure> {
    let Some(mut account) = context.home.account(label)?.filter(|account| account.published.is_some()) else {
        return Ok(Unfinished::Known(None));
    };
    let was_open = account.pending.is_some();
    own::find_out_pending(context, &mut account).await?;
    let by_this_key = |record: &AccountRecord| match &record.authorisation {
        Authorisation::Recovery(grant) => grant.key == signer.verifying_key(),
        _ => false,
    };
    let settled = was_open && account.pending.is_none();
    if settled && by_this_key(own::known(context, &account)?.record()) {
        return Ok(Unfinished::Done(Box::new(account)));
    }
    Ok(Unfinished::Known(Some(Box::new(account))))
}

/// The account as the log has it, in this home's hands but for its identity.
async fn as_it_stands(
    context: &mut Context,
    options: &Options<'_>,
    known: Option<OwnAccount>,
    signer: &SigningKey,
) -> Result<(OwnAccount, u32), Failure> {
    let label = options.label;
    let before = match &known {
        Some(account) => Some(own::known(context, account)?),
        None => contact(context, label)?,
    };
    let standing = own::last_valid(context, label, before.as_ref()).await?;
    let valid = standing.account.valid();
    let record = valid.record();
    let named = record.recovery.as_ref().map(|grant| grant.key);
    if named != Some(signer.verifying_key()) {
        let message = match named {
            None => {
                "the account names no recovery key: only its provider can still give it back, with a reset"
            }
            Some(_) => "this is not the recovery key that the account names",
        };
        return Err(
            Failure::new(Verdict::Refused, "not_the_recovery_key", message).with("version", record.version)
        );
    }
    if standing.account.identity() == Identity::Broken && !options.accept_change {
        let message = "the provider has reset this account: what it names as its recovery key is the provider's word. \
                       --accept-change goes on";
        return Err(Failure::new(Verdict::Changed, "identity_reset", message).with("version", record.version));
    }
    let elsewhere = OwnIdentity::Elsewhere { key: record.identity_key };
    let mut account = match known {
        // A key that is still the account's is not given up before the new one counts.
        Some(account) if account.identity_key() == record.identity_key => account,
        Some(mut account) => {
            account.identity = elsewhere;
            account
        }
        None => {
            let origin = context.origin.clone();
            OwnAccount::new(origin, label.to_owned(), elsewhere, Vec::new(), Vec::new())
        }
    };
    own::take_over(&mut account, valid);
    Ok((account, standing.greatest))
}

/// The account as a contact, if this home has met it as one.
fn contact(context: &Context, label: &str) -> Result<Option<ValidRecord>, Failure> {
    let Some(contact) = context.contacts.by_label.get(label) else { return Ok(None) };
    ValidRecord::restore(&context.origin, label.as_bytes(), contact.version, &contact.record)
        .map(Some)
        .map_err(|error| Failure::new(Verdict::Failed, "home_damaged", format!("{label}: {error}")))
}

/// The devices that leave the account: all that are not in this home, unless they are to stay.
fn leaving(context: &Context, account: &OwnAccount, keep: bool) -> Result<Vec<u32>, Failure> {
    if keep {
        return Ok(Vec::new());
    }
    let valid = own::known(context, account)?;
    let ids = valid.record().devices.iter().map(|device| device.id);
    Ok(ids.filter(|id| account.devices.iter().all(|own| own.id != *id)).collect())
}

/// The recovered version: a new identity, and a device of this home if it has none.
fn next(
    draft: Draft<'_>,
    account: &OwnAccount,
    removed: &[u32],
    signer: &SigningKey,
) -> Result<Change, Failure> {
    let seed = random::secret()?;
    let mut draft = removed.iter().fold(draft, |draft, id| draft.remove_device(*id));
    let mut devices = Vec::new();
    if account.devices.is_empty() {
        let id = draft.next_device_id();
        let (state, device) = own::device::new(&account.origin, account.label.as_bytes(), id)?;
        draft = draft.add_device(device);
        devices.push(state);
    }
    let signed = draft.sign_recovery(signer, &SigningKey::from_seed(seed.expose()));
    Ok(Change { identity_seed: Some(seed), devices, ..Change::of(signed)? })
}

async fn finish(
    context: &mut Context,
    mut account: OwnAccount,
    published: own::Published,
    removed: &[u32],
) -> Result<Outcome, Failure> {
    for index in 0..account.devices.len() {
        context.supply_prekeys(&mut account, index).await?;
    }
    let mut outcome = own::outcome(&account.label, published);
    let label = &account.label;
    outcome.line(format!(
        "{label}: recovered, version {}: a new identity key is in this home",
        published.version
    ));
    outcome.line(format!("  the identity: {}", own::identity_digits(label, &account.identity_key())));
    if !removed.is_empty() {
        let ids: Vec<String> = removed.iter().map(u32::to_string).collect();
        outcome.line(format!("  devices that left the account: {}", ids.join(", ")));
    }
    outcome.line("  whoever knows you is told that your recovery key replaced your identity");
    outcome.line("  if others may have seen the recovery key, make another one: `keyglass recovery create`");
    outcome.field("removed_devices", removed);
    outcome.field("devices", account.devices.iter().map(|device| device.id).collect::<Vec<_>>());
    outcome.field("identity_key", hex(&account.identity_key().to_bytes()));
    Ok(outcome)
}
