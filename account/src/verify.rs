//! Whether a version of a label is valid, and what it changes.
//!
//! A version is valid if its own signatures hold, those of its identity chain too, and if it follows from the last
//! valid version: [`verify`] checks all that can be checked with the record that the caller knows. Where the root of
//! the chain lies after that record (or no record is known), the log must be searched first: the answer is then
//! [`Verified::NeedsHistory`], and only the finished search gives a [`ValidRecord`].

use keyglass_crypto::{
    hash::{Digest, sha256},
    sign::VerifyingKey,
};

use crate::{
    chain::{Chain, Predecessor, Statement},
    label,
    record::{AccountRecord, Authorisation, RecordError},
    root::{Finding, RootSearch},
    succession, tag,
};

/// A record that is valid for the label, log and version that it was verified for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidRecord {
    record: AccountRecord,
    hash: Digest,
    account: Digest,
}

impl ValidRecord {
    pub(crate) fn new(origin: &str, label: &[u8], record: AccountRecord) -> Self {
        Self { hash: record.hash(), account: account(origin, label), record }
    }

    /// Takes back a record that the caller found valid before and kept where only it can write.
    ///
    /// What the record alone shows is checked again; that it followed from the versions before it is not.
    ///
    /// # Errors
    /// The first rule that the record breaks.
    pub fn restore(origin: &str, label: &[u8], version: u32, bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(Self::new(origin, label, alone(origin, label, version, bytes)?))
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &AccountRecord {
        &self.record
    }

    /// The label's version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.record.version
    }

    /// Its hash, by which the next version names it.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// What the next version names as its predecessor.
    #[must_use]
    pub fn as_predecessor(&self) -> Predecessor {
        Predecessor { version: self.record.version, hash: self.hash }
    }

    /// Whether it belongs to `label` in the log `origin`.
    #[must_use]
    pub fn is_of(&self, origin: &str, label: &[u8]) -> bool {
        self.account == account(origin, label)
    }
}

/// Who authorised something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorisedBy {
    /// The genesis of the account: nobody was there before.
    Genesis,
    /// The holder of this identity key.
    Identity(VerifyingKey),
    /// The holder of this recovery key.
    Recovery(VerifyingKey),
    /// The provider alone.
    Provider,
}

/// An identity key took the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityChange {
    /// The version that brought it.
    pub version: u32,
    /// Who authorised it.
    pub by: AuthorisedBy,
    /// The key before; absent at a root, whose predecessor is not in the chain.
    pub from: Option<VerifyingKey>,
    /// The key since.
    pub to: VerifyingKey,
}

/// What a version changes against the one that the caller knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version known before.
    pub since: Option<u32>,
    /// Who authorised the version itself.
    pub by: AuthorisedBy,
    /// The identity keys that came since, the oldest first; at first contact all since the root.
    pub identity: Vec<IdentityChange>,
    /// Ids of devices that were not there.
    pub devices_added: Vec<u32>,
    /// Ids of devices that are gone.
    pub devices_removed: Vec<u32>,
    /// Ids of devices that announce other suites.
    pub suites_changed: Vec<u32>,
    /// Whether the recovery key is another, new or gone.
    pub recovery_changed: bool,
    /// Whether the lockdown was switched.
    pub lockdown_changed: bool,
    /// Versions directly before this one that its author says were invalid.
    pub skipped: u32,
}

impl Change {
    /// Whether the provider alone replaced the identity key since the version known before.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.identity.iter().any(|change| change.by == AuthorisedBy::Provider)
    }

    /// Whether nothing is different from the version known before.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.identity.is_empty()
            && self.devices_added.is_empty()
            && self.devices_removed.is_empty()
            && self.suites_changed.is_empty()
            && !self.recovery_changed
            && !self.lockdown_changed
    }
}

/// A version whose own proofs hold.
#[derive(Debug)]
pub enum Verified {
    /// The version is valid.
    Valid {
        /// The record.
        record: Box<ValidRecord>,
        /// What it changes.
        change: Box<Change>,
        /// What is known of the identity chain's root.
        root: Finding,
    },
    /// Whether it is valid depends on versions that the caller must search for in the log.
    NeedsHistory(Box<RootSearch>),
}

/// Verifies the value that the log holds for `version` of `label`.
///
/// `known` is the last record of this label that the caller found valid. A caller that passes the record directly
/// before gets [`Verified::Valid`] or an error, never [`Verified::NeedsHistory`].
///
/// # Errors
/// The first rule that the record breaks.
pub fn verify(
    origin: &str,
    label: &[u8],
    version: u32,
    bytes: &[u8],
    known: Option<&ValidRecord>,
) -> Result<Verified, RecordError> {
    if known.is_some_and(|known| !known.is_of(origin, label)) {
        return Err(RecordError::WrongAccount);
    }
    let record = alone(origin, label, version, bytes)?;
    let Some(known) = known else {
        return match record.authorisation {
            Authorisation::Genesis => Ok(valid(origin, label, None, record, Finding::Genesis)),
            _ => Ok(Verified::NeedsHistory(Box::new(RootSearch::new(origin, label, None, record)?))),
        };
    };
    match succession::check(known.record(), &record)? {
        succession::Outcome::Follows => {
            let is_new = version > known.version();
            let finding = if is_new && record.authorisation == Authorisation::Reset {
                Finding::Reset { version, before: Some(known.as_predecessor()) }
            } else {
                Finding::AlreadyKnown
            };
            Ok(valid(origin, label, Some(known), record, finding))
        }
        succession::Outcome::ResetBetween => {
            Ok(Verified::NeedsHistory(Box::new(RootSearch::new(origin, label, Some(known.clone()), record)?)))
        }
    }
}

pub(crate) fn valid(
    origin: &str,
    label: &[u8],
    known: Option<&ValidRecord>,
    record: AccountRecord,
    root: Finding,
) -> Verified {
    let change = describe(known.map(ValidRecord::record), &record);
    Verified::Valid {
        record: Box::new(ValidRecord::new(origin, label, record)),
        change: Box::new(change),
        root,
    }
}

/// Everything that can be checked of a record without any other record.
pub(crate) fn alone(
    origin: &str,
    label: &[u8],
    version: u32,
    bytes: &[u8],
) -> Result<AccountRecord, RecordError> {
    label::check(label)?;
    let record = AccountRecord::decode(bytes)?;
    if record.version != version {
        return Err(RecordError::WrongVersion { found: record.version, expected: version });
    }
    check_kind(&record)?;
    if let Some(chain) = &record.chain {
        chain.verify(origin, label)?;
    }
    check_signatures(origin, label, &record)?;
    if let Some(grant) = &record.recovery {
        let since = match (&record.chain, record.new_identity_signature) {
            (Some(chain), None) => chain.identity_since(),
            _ => record.version,
        };
        if grant.since < since || grant.since > record.version {
            return Err(RecordError::BadRecoveryGrant);
        }
        grant.verify(origin, label, &record.identity_key)?;
    }
    for device in &record.devices {
        device.verify(origin, label)?;
    }
    Ok(record)
}

/// Which fields each kind of authorisation requires and forbids.
fn check_kind(record: &AccountRecord) -> Result<(), RecordError> {
    let follows = match &record.chain {
        None => false,
        Some(chain) => {
            let predecessor = record.predecessor.as_ref().ok_or(RecordError::WrongAuthorisation)?;
            if !chain.end().admits(record.version, predecessor) {
                return Err(RecordError::BrokenChain(record.version));
            }
            true
        }
    };
    let allowed = match record.authorisation {
        Authorisation::Genesis => {
            record.version == 0 && record.predecessor.is_none() && !follows && record.retired.is_empty()
        }
        Authorisation::Reset => {
            let before = record.predecessor.is_none_or(|predecessor| predecessor.version < record.version);
            record.version > 0 && before && !follows
        }
        Authorisation::Identity | Authorisation::Recovery(_) => follows,
    };
    if !allowed {
        return Err(RecordError::WrongAuthorisation);
    }
    if record.predecessor.is_none() {
        succession::check_device_ids(None, record)?;
    }
    let is_new = record.previous_identity_key().is_some_and(|key| key != record.identity_key);
    if matches!(record.authorisation, Authorisation::Recovery(_)) && !is_new {
        return Err(RecordError::RecoveryKeepsIdentity);
    }
    if is_new != record.new_identity_signature.is_some() {
        return Err(RecordError::NewIdentitySignaturePresence);
    }
    Ok(())
}

fn check_signatures(origin: &str, label: &[u8], record: &AccountRecord) -> Result<(), RecordError> {
    let body_hash = record.body_hash();
    let statement = Statement::of(record, &body_hash);
    let (signer, refusal) = match (&record.authorisation, &record.chain, &record.predecessor) {
        (Authorisation::Recovery(grant), Some(chain), Some(predecessor)) => {
            chain.end().granted(origin, label, grant, predecessor)?;
            (grant.key, RecordError::BadRecoverySignature)
        }
        (Authorisation::Identity, Some(chain), _) => {
            (chain.identity_key(), RecordError::BadIdentitySignature)
        }
        _ => (record.identity_key, RecordError::BadIdentitySignature),
    };
    signer.verify(&statement.message(tag::RECORD, origin, label), &record.signature).map_err(|_| refusal)?;
    if let Some(signature) = &record.new_identity_signature {
        let message = statement.message(tag::NEW_IDENTITY, origin, label);
        record.identity_key.verify(&message, signature).map_err(|_| RecordError::BadNewIdentitySignature)?;
    }
    Ok(())
}

fn describe(known: Option<&AccountRecord>, record: &AccountRecord) -> Change {
    let known_devices = known.map_or(&[][..], |known| &known.devices);
    let ids = |devices: &[crate::device::Device], others: &[crate::device::Device]| -> Vec<u32> {
        let is_other = |id| others.iter().any(|other| other.id == id);
        devices.iter().map(|device| device.id).filter(|id| !is_other(*id)).collect()
    };
    let suites_changed = record.devices.iter().filter(|device| {
        known_devices.iter().any(|before| before.id == device.id && before.suites != device.suites)
    });
    let recovery_key = |record: &AccountRecord| record.recovery.map(|grant| grant.key);
    Change {
        since: known.map(|known| known.version),
        by: authorised_by(record),
        identity: identity_changes(record, known.map(|known| known.version)),
        devices_added: ids(&record.devices, known_devices),
        devices_removed: ids(known_devices, &record.devices),
        suites_changed: suites_changed.map(|device| device.id).collect(),
        recovery_changed: known.and_then(recovery_key) != recovery_key(record),
        lockdown_changed: known.is_some_and(|known| known.flags.lockdown) != record.flags.lockdown,
        skipped: record
            .predecessor
            .map_or(record.version, |before| record.version.saturating_sub(before.version).saturating_sub(1)),
    }
}

fn authorised_by(record: &AccountRecord) -> AuthorisedBy {
    match &record.authorisation {
        Authorisation::Genesis => AuthorisedBy::Genesis,
        Authorisation::Identity => {
            AuthorisedBy::Identity(record.previous_identity_key().unwrap_or(record.identity_key))
        }
        Authorisation::Recovery(grant) => AuthorisedBy::Recovery(grant.key),
        Authorisation::Reset => AuthorisedBy::Provider,
    }
}

/// The identity keys that came after version `since`, the oldest first.
fn identity_changes(record: &AccountRecord, since: Option<u32>) -> Vec<IdentityChange> {
    let root = |version, is_reset, to| IdentityChange {
        version,
        by: if is_reset { AuthorisedBy::Provider } else { AuthorisedBy::Genesis },
        from: None,
        to,
    };
    let mut changes = Vec::new();
    match &record.chain {
        None => changes.push(root(
            record.version,
            record.authorisation == Authorisation::Reset,
            record.identity_key,
        )),
        Some(Chain { root: start, links }) => {
            changes.push(root(start.version, start.is_reset, start.identity_key));
            let mut from = start.identity_key;
            for link in links {
                let by = match &link.authorisation {
                    Authorisation::Recovery(grant) => AuthorisedBy::Recovery(grant.key),
                    _ => AuthorisedBy::Identity(from),
                };
                changes.push(IdentityChange {
                    version: link.version,
                    by,
                    from: Some(from),
                    to: link.identity_key,
                });
                from = link.identity_key;
            }
            if from != record.identity_key {
                changes.push(IdentityChange {
                    version: record.version,
                    by: authorised_by(record),
                    from: Some(from),
                    to: record.identity_key,
                });
            }
        }
    }
    changes.retain(|change| since.is_none_or(|since| change.version > since));
    changes
}

fn account(origin: &str, label: &[u8]) -> Digest {
    sha256(&[&tag::signed(tag::ACCOUNT, origin, label).finish()])
}
