//! `keyglass backup` and `keyglass restore`: the identity in a sealed file, and its return.
//!
//! What is in it: the identity key, the account as this home knew it, and the people whom it has met, so that whoever takes an
//! identity's place meanwhile is noticed. What is not: the secrets of devices. A restored home is a new device of the account,
//! which the identity signs.
//!
//! A backup is a sealed file (see [`keyglass_crypto::sealed`]) with the identity and a key of its own, and after it one line in
//! hexadecimal digits: the people met, encrypted under that key, with the sealed file as associated data.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
};

use keyglass_account::{author::Draft, record::MAX_RECORD_LEN, verify::ValidRecord};
use keyglass_crypto::{aead, sealed::MAX_CONTENT_LEN, secret::Secret, sign::SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    context::{Context, now},
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
    passphrase, random,
    resolve::hex,
};
use crate::{
    state::{Contact, Format, OwnAccount, OwnIdentity, Record, Seed},
    verdict::Verdict,
};

/// What a sealed file says that it holds.
const HOLDS: &str = "keyglass-identity-backup";

/// The content of a backup, as JSON. Its format number changes with its members.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    format: Format<1>,
    origin: String,
    label: String,
    identity_seed: OwnIdentity,
    version: u32,
    record: Record,
    /// Milliseconds since the Unix epoch.
    made: u64,
    /// Of the people met. It is drawn for this backup and encrypts nothing else, so that its nonce is 0.
    contacts_key: Seed,
}

// Every account can be backed up: its record is in it in base64, and the rest is short.
const _: () = assert!(MAX_CONTENT_LEN >= MAX_RECORD_LEN.div_ceil(3) * 4 + 4096);

type Met = BTreeMap<String, Contact>;

/// The longest backup that is read, in bytes: some ten thousand people met.
const MAX_FILE: usize = 32 << 20;

/// Runs `keyglass backup`.
///
/// # Errors
/// [`Verdict::Usage`]; [`Verdict::Failed`].
pub fn backup(
    context: &Context,
    file: &Path,
    from: Option<&str>,
    passphrase_file: Option<&Path>,
) -> Result<Outcome, Failure> {
    let account = own::account(context, from)?;
    if account.pending.is_some() {
        let message = "a new version of the account is on its way: `keyglass monitor` finds out what became of it first";
        return Err(Failure::new(Verdict::Usage, "version_pending", message));
    }
    own::identity(&account)?;
    let passphrase = passphrase::read(passphrase_file)?;
    let version = own::known(context, &account)?.version();
    let met = context.contacts.by_label.len();
    let contacts_key = random::secret()?;
    let contacts = to_json(&context.contacts.by_label)?;
    let OwnAccount { origin, label, identity, record, .. } = account;
    let backup = Backup {
        format: Format,
        origin,
        label: label.clone(),
        identity_seed: identity,
        version,
        record: Record(record),
        made: now().0,
        contacts_key: Seed(Secret::new(*contacts_key.expose())),
    };
    let sealed = passphrase::seal_text(HOLDS, &to_json(&backup)?, &passphrase)?;
    let contacts = aead::seal(&contacts_key, &[0; 12], sealed.as_bytes(), &contacts)
        .map_err(|error| Failure::new(Verdict::Failed, "sealing", error))?;
    passphrase::write_new_file(file, format!("{sealed}{}\n", hex(&contacts)).as_bytes())?;
    let mut outcome = Outcome::new(Verdict::Verified);
    outcome.line(format!("{label}: the identity and {met} contacts are sealed in {}", file.display()));
    outcome.line("  it holds no device and no message: who restores it joins the account as a new device");
    outcome.line(
        "  after `keyglass rotate` or `keyglass recover` it is of no use any more: make another one then",
    );
    outcome.field("label", label);
    outcome.field("version", version);
    outcome.field("contacts", met);
    outcome.field("file", file);
    Ok(outcome)
}

/// Runs `keyglass restore`: the account of the backup, with a new device in this home and without the devices `remove`.
///
/// # Errors
/// [`Verdict::Rejected`] for a wrong passphrase or a damaged file; [`Verdict::Usage`] over an account that is here;
/// [`Verdict::Unexpected`] if the identity was replaced since; the verdicts of a look-up and of a request.
pub async fn restore(
    context: &mut Context,
    file: &Path,
    passphrase_file: Option<&Path>,
    remove: &[u32],
) -> Result<Outcome, Failure> {
    let (backup, contacts) = read(context, file, passphrase_file)?;
    let label = backup.label.clone();
    let (mut account, known) = match context.home.account(&label)? {
        None => begin(context, &backup)?,
        Some(account)
            if account.devices.is_empty() && account.identity_key() == backup.identity_seed.key() =>
        {
            // An earlier run went this far.
            let known = own::known(context, &account)?;
            (account, known)
        }
        Some(_) => {
            let message = format!("this home has an account {label} already, which nothing is restored over");
            return Err(Failure::new(Verdict::Usage, "account_exists", message));
        }
    };
    let standing = own::last_valid(context, &label, Some(&known)).await?;
    let identity = standing.account.valid().record().identity_key;
    if identity != account.identity_key() {
        return Err(replaced(&label, standing.account.valid().version()));
    }
    let met = meet(context, contacts)?;
    context.home.store_account(&account)?;
    let published = own::change(context, &mut account, &Authority::Identity, |draft, before, account| {
        if let Some(id) = remove.iter().find(|id| before.device(**id).is_none()) {
            let message = format!("the account has no device {id}");
            return Err(Failure::new(Verdict::Usage, "no_such_device", message));
        }
        next(draft, account, remove)
    })
    .await?;
    for index in 0..account.devices.len() {
        context.supply_prekeys(&mut account, index).await?;
    }
    let devices: Vec<u32> = account.devices.iter().map(|device| device.id).collect();
    let mut outcome = own::outcome(&label, published);
    let ids: Vec<String> = devices.iter().map(u32::to_string).collect();
    outcome.line(format!(
        "{label}: restored, version {}; this home is device {}",
        published.version,
        ids.join(", ")
    ));
    outcome.line(format!("  {met} contacts are known again as they were when the backup was made"));
    let others = own::known(context, &account)?;
    let others = others.record().devices.iter().map(|device| device.id).filter(|id| !devices.contains(id));
    let others: Vec<u32> = others.collect();
    if !others.is_empty() {
        let ids: Vec<String> = others.iter().map(u32::to_string).collect();
        outcome.line(format!(
            "  other devices of the account: {}; a lost one goes with `keyglass device remove`",
            ids.join(", ")
        ));
    }
    outcome.field("devices", devices);
    outcome.field("other_devices", others);
    outcome.field("removed_devices", remove);
    outcome.field("contacts", met);
    outcome.field("identity_key", hex(&account.identity_key().to_bytes()));
    Ok(outcome)
}

/// Opens a backup of an account in this log.
fn read(context: &Context, file: &Path, passphrase_file: Option<&Path>) -> Result<(Backup, Met), Failure> {
    let text = passphrase::read_secret(file, MAX_FILE)?;
    let damaged = || Failure::new(Verdict::Rejected, "damaged", "the backup is incomplete or damaged");
    // The head of a sealed file has four lines, its ciphertext is the fifth.
    let place = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(4).map(|(place, _)| place);
    let (sealed, contacts) = match place.and_then(|place| text.split_at_checked(place.saturating_add(1))) {
        Some((sealed, contacts)) => (sealed, contacts.strip_suffix(b"\n").and_then(unhex)),
        None => (text.as_slice(), None),
    };
    let passphrase = passphrase::read(passphrase_file)?;
    let content = passphrase::open_sealed(sealed, HOLDS, &passphrase)?;
    let backup: Backup = serde_json::from_slice(&content).map_err(|_| {
        Failure::new(Verdict::Rejected, "unknown_format", "a backup of a format that is not known")
    })?;
    if backup.origin != context.origin {
        let message = format!("the backup is of an account in another log, {}", backup.origin);
        return Err(Failure::new(Verdict::Usage, "other_log", message));
    }
    let contacts = aead::open(&backup.contacts_key.0, &[0; 12], sealed, &contacts.ok_or_else(damaged)?);
    let contacts = serde_json::from_slice(&contacts.map_err(|_| damaged())?).map_err(|_| damaged())?;
    Ok((backup, contacts))
}

fn to_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let json = serde_json::to_vec(value).map(Zeroizing::new);
    json.map_err(|error| Failure::new(Verdict::Failed, "encoding", error))
}

/// The bytes of lower-case hexadecimal digits.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a').and_then(|digit| digit.checked_add(10)),
        _ => None,
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn begin(context: &Context, backup: &Backup) -> Result<(OwnAccount, ValidRecord), Failure> {
    let OwnIdentity::Held(seed) = &backup.identity_seed else {
        return Err(Failure::new(Verdict::Rejected, "no_identity", "the backup holds no identity key"));
    };
    let identity = OwnIdentity::Held(keyglass_crypto::secret::Secret::new(*seed.expose()));
    let record = backup.record.0.clone();
    let mut account =
        OwnAccount::new(context.origin.clone(), backup.label.clone(), identity, record, Vec::new());
    account.published = Some(backup.version);
    let known = own::known(context, &account)?;
    let of_identity = SigningKey::from_seed(seed.expose()).verifying_key() == known.record().identity_key;
    if !of_identity {
        let message = "the backup's identity key is not its account's";
        return Err(Failure::new(Verdict::Rejected, "no_identity", message));
    }
    Ok((account, known))
}

/// The version with a new device of this home.
fn next(draft: Draft<'_>, account: &OwnAccount, remove: &[u32]) -> Result<Change, Failure> {
    let identity = own::identity(account)?;
    let draft = remove.iter().fold(draft, |draft, id| draft.remove_device(*id));
    let id = draft.next_device_id();
    let (state, device) = own::device::new(&account.origin, account.label.as_bytes(), id)?;
    Ok(Change { devices: vec![state], ..Change::of(draft.add_device(device).sign(&identity))? })
}

/// Remembers whom the backup knows and this home does not. Says how many those are.
fn meet(context: &mut Context, met: Met) -> Result<usize, Failure> {
    let mut contacts = context.contacts.clone();
    let mut count = 0_usize;
    for (label, contact) in met {
        if let Entry::Vacant(place) = contacts.by_label.entry(label) {
            place.insert(contact);
            count = count.saturating_add(1);
        }
    }
    context.home.store_contacts(&contacts)?;
    context.contacts = contacts;
    Ok(count)
}

fn replaced(label: &str, version: u32) -> Failure {
    let message = format!(
        "since the backup was made, {label} got another identity (by version {version}): this one signs nothing any more. If \
         it was not you, and you hold the recovery key, `keyglass recover` takes the account back"
    );
    Failure::new(Verdict::Unexpected, "another_identity", message).with("version", version)
}
