//! How the holders of keys make the next version of a record.
//!
//! Keys and times are arguments; nothing here draws random bytes. A record made here is valid after the one that it
//! was made from, which its author verified first.

use keyglass_crypto::sign::{Signature, SigningKey, VerifyingKey};

use crate::{
    chain::{Chain, Predecessor, RecoveryGrant, Statement},
    device::Device,
    record::{AccountRecord, Authorisation, Flags, MAX_DEVICES, MAX_RETIRED, RecordError},
    succession, tag,
    verify::ValidRecord,
};

/// A record in the making: the contents of the next version, before anything is signed.
///
/// It starts as the last valid record, or empty, and is changed field by field; [`Self::sign`] and its kin end it.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    origin: &'a str,
    label: &'a [u8],
    before: Option<&'a AccountRecord>,
    version: u32,
    devices: Vec<Device>,
    recovery: Recovery,
    flags: Flags,
}

/// What becomes of the recovery key.
#[derive(Debug, Clone, Copy)]
enum Recovery {
    Keep,
    None,
    Key(VerifyingKey),
}

impl<'a> Draft<'a> {
    /// The first version of an account, or a reset where no version before was valid.
    #[must_use]
    pub fn new(origin: &'a str, label: &'a [u8], version: u32) -> Self {
        let (devices, flags) = (Vec::new(), Flags::default());
        Self { origin, label, before: None, version, devices, recovery: Recovery::None, flags }
    }

    /// The version after `before`, the last valid one. `version` is one more than the label's greatest version:
    /// more than `before`'s plus one only where the versions between them are invalid.
    #[must_use]
    pub fn after(origin: &'a str, label: &'a [u8], before: &'a ValidRecord, version: u32) -> Self {
        let record = before.record();
        Self {
            origin,
            label,
            before: Some(record),
            version,
            devices: record.devices.clone(),
            recovery: Recovery::Keep,
            flags: record.flags,
        }
    }

    /// The id that the next new device takes.
    #[must_use]
    pub fn next_device_id(&self) -> u32 {
        let used = self.before.map_or(1, |before| before.next_device_id);
        self.devices.last().map_or(used, |last| last.id.saturating_add(1).max(used))
    }

    /// Adds a device, which has signed its membership.
    #[must_use]
    pub fn add_device(mut self, device: Device) -> Self {
        let place = self.devices.partition_point(|other| other.id < device.id);
        self.devices.insert(place, device);
        self
    }

    /// Removes a device, if it is there.
    #[must_use]
    pub fn remove_device(mut self, id: u32) -> Self {
        self.devices.retain(|device| device.id != id);
        self
    }

    /// Replaces the suites that a device announces.
    #[must_use]
    pub fn set_suites(mut self, id: u32, suites: &[crate::device::Suite]) -> Self {
        for device in self.devices.iter_mut().filter(|device| device.id == id) {
            device.suites = suites.to_vec();
        }
        self
    }

    /// Names a recovery key, or none.
    #[must_use]
    pub fn set_recovery(mut self, key: Option<VerifyingKey>) -> Self {
        self.recovery = key.map_or(Recovery::None, Recovery::Key);
        self
    }

    /// Whether clients are to refuse resets.
    #[must_use]
    pub fn set_lockdown(mut self, lockdown: bool) -> Self {
        self.flags.lockdown = lockdown;
        self
    }

    /// Ends version 0.
    ///
    /// # Errors
    /// [`RecordError::WrongAuthorisation`] unless the draft is of version 0, or what makes the record invalid.
    pub fn sign_genesis(self, identity: &SigningKey) -> Result<AccountRecord, RecordError> {
        self.finish(Authorisation::Genesis, identity, None)
    }

    /// Ends a version under the identity key of the version before.
    ///
    /// # Errors
    /// What makes the record invalid.
    pub fn sign(self, identity: &SigningKey) -> Result<AccountRecord, RecordError> {
        self.finish(Authorisation::Identity, identity, None)
    }

    /// Ends a version that replaces the identity key `old` by `new`.
    ///
    /// # Errors
    /// What makes the record invalid.
    pub fn sign_rotation(self, old: &SigningKey, new: &SigningKey) -> Result<AccountRecord, RecordError> {
        self.finish(Authorisation::Identity, old, Some(new))
    }

    /// Ends a version in which the recovery key replaces the identity key by `new`.
    ///
    /// # Errors
    /// [`RecordError::WrongAuthorisation`] if the version before names no recovery key; what makes the record invalid.
    pub fn sign_recovery(
        self,
        recovery: &SigningKey,
        new: &SigningKey,
    ) -> Result<AccountRecord, RecordError> {
        let grant = self.before.and_then(|before| before.recovery).ok_or(RecordError::WrongAuthorisation)?;
        self.finish(Authorisation::Recovery(Box::new(grant)), recovery, Some(new))
    }

    /// Ends a reset: a new identity that only the provider vouches for. Keep no device of the version before whose
    /// holder has not asked for it.
    ///
    /// # Errors
    /// What makes the record invalid, such as [`RecordError::LockdownForbidsReset`].
    pub fn sign_reset(self, identity: &SigningKey) -> Result<AccountRecord, RecordError> {
        self.finish(Authorisation::Reset, identity, None)
    }

    fn finish(
        self,
        authorisation: Authorisation,
        signer: &SigningKey,
        new_identity: Option<&SigningKey>,
    ) -> Result<AccountRecord, RecordError> {
        let identity = new_identity.unwrap_or(signer);
        let is_root = matches!(authorisation, Authorisation::Genesis | Authorisation::Reset);
        let chain = match self.before {
            Some(before) if !is_root => Some(Chain::after(before)?),
            _ => None,
        };
        let mut record = AccountRecord {
            version: self.version,
            authorisation,
            predecessor: self
                .before
                .map(|before| Predecessor { version: before.version, hash: before.hash() }),
            identity_key: identity.verifying_key(),
            chain,
            next_device_id: 0,
            recovery: self.granted(identity),
            devices: self.devices,
            flags: self.flags,
            retired: Vec::new(),
            signature: Signature([0; 64]),
            new_identity_signature: None,
        };
        record.next_device_id = succession::next_device_id_after(self.before, &record);
        record.retired =
            self.before.map_or_else(Vec::new, |before| succession::retired_after(before, &record));
        if record.devices.len() > MAX_DEVICES || record.retired.len() > MAX_RETIRED {
            return Err(RecordError::Full);
        }
        sign(self.origin, self.label, &mut record, signer, new_identity);
        let before = self.before.map(|before| ValidRecord::new(self.origin, self.label, before.clone()));
        crate::verify::verify(self.origin, self.label, self.version, &record.encode(), before.as_ref())?;
        Ok(record)
    }

    fn granted(&self, identity: &SigningKey) -> Option<RecoveryGrant> {
        let before = self.before.and_then(|before| before.recovery);
        let key = match self.recovery {
            Recovery::None => return None,
            Recovery::Key(key) => key,
            Recovery::Keep => before?.key,
        };
        let same_identity = self.before.is_some_and(|before| before.identity_key == identity.verifying_key());
        match before {
            Some(grant) if grant.key == key && same_identity => Some(grant),
            _ => Some(RecoveryGrant::sign(self.origin, self.label, identity, key, self.version)),
        }
    }
}

/// Signs a record as it stands, whether or not it is valid: for tests and for tools that repair records.
///
/// `signer` is the authorising key, `new_identity` the identity key that the record introduces, if it does.
pub fn sign(
    origin: &str,
    label: &[u8],
    record: &mut AccountRecord,
    signer: &SigningKey,
    new_identity: Option<&SigningKey>,
) {
    let body_hash = record.body_hash();
    let statement = Statement::of(record, &body_hash);
    let signature = signer.sign(&statement.message(tag::RECORD, origin, label));
    let accepted = new_identity.map(|key| key.sign(&statement.message(tag::NEW_IDENTITY, origin, label)));
    record.signature = signature;
    record.new_identity_signature = accepted;
}
