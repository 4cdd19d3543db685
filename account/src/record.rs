//! Account records: what the log holds for a label.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   uint32 version;                       of the label, as the log counts
//!   Authorisation authorisation;          0 genesis, 1 identity, 2 recovery (then a RecoveryGrant), 3 reset
//!   optional<Predecessor> predecessor;    the last valid record: uint32 version, opaque hash[32]
//!   opaque identity_key[32];
//!   optional<Chain> chain;                absent in a root (genesis or reset)
//!   uint32 next_device_id;
//!   Device devices<0..64>;                ascending by id
//!   optional<RecoveryGrant> recovery;
//!   uint32 flags;                         1: lockdown
//!   uint64 retired<0..4096>;              ascending: fingerprints of keys that were once in the account
//! } RecordBody;
//!
//! struct {
//!   RecordBody body;
//!   opaque signature[64];                 by the key that authorises it
//!   optional<opaque[64]> new_identity_signature;
//! } AccountRecord;
//! ```
//!
//! Counts of devices and links take one byte, of retired keys two. Decoding checks form and keys;
//! whether the record is *valid* only [`crate::verify`] tells.

use keyglass_crypto::{
    dh::DhError,
    hash::{Digest, sha256},
    sign::{SignError, Signature, VerifyingKey},
};
use thiserror::Error;

use crate::{
    chain::{Chain, Predecessor, RecoveryGrant},
    codec::{CodecError, Reader, Writer},
    device::{Device, read_verifying_key},
    label::LabelLength,
    tag,
};

/// The format number of records.
pub const FORMAT: u8 = 1;
/// Devices that one account may have at a time.
pub const MAX_DEVICES: usize = 64;
/// Rotations and recoveries since the root that one record can carry.
pub const MAX_LINKS: usize = 128;
/// Keys that one account can have retired.
pub const MAX_RETIRED: usize = 4096;
/// More bytes than any record has.
pub const MAX_RECORD_LEN: usize = 128 * 1024;

/// Who authorised a version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorisation {
    /// Nobody before: version 0, signed by its own identity key.
    Genesis,
    /// The identity key of the last valid record.
    Identity,
    /// The recovery key of the last valid record, which its identity key had granted this.
    Recovery(Box<RecoveryGrant>),
    /// The provider alone; only the new identity key signs. Every client says so loudly.
    Reset,
}

impl Authorisation {
    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::Genesis => {
                out.u8(0);
            }
            Self::Identity => {
                out.u8(1);
            }
            Self::Recovery(grant) => {
                out.u8(2);
                grant.write(out);
            }
            Self::Reset => {
                out.u8(3);
            }
        }
    }
}

/// What an owner asks of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Clients refuse a reset of this account.
    pub lockdown: bool,
}

/// A record as decoded or about to be signed: well-formed, not yet known to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The label's version that this record is.
    pub version: u32,
    /// Who authorised it.
    pub authorisation: Authorisation,
    /// The last valid record before it. Versions between the two were invalid.
    pub predecessor: Option<Predecessor>,
    /// The account's identity key from this version on.
    pub identity_key: VerifyingKey,
    /// How the identity key before this version came from the root; absent in a root.
    pub chain: Option<Chain>,
    /// One more than the greatest device id that the account ever used.
    pub next_device_id: u32,
    /// The account's devices, ascending by id.
    pub devices: Vec<Device>,
    /// The recovery key, if there is one, as granted by `identity_key`.
    pub recovery: Option<RecoveryGrant>,
    /// What the owner asks of others.
    pub flags: Flags,
    /// Fingerprints of keys that were once in the account, ascending (see [`fingerprint`]).
    pub retired: Vec<u64>,
    /// By the authorising key, over the [`statement`](crate::chain::Statement) under [`tag::RECORD`].
    pub signature: Signature,
    /// By `identity_key` under [`tag::NEW_IDENTITY`], where it differs from the identity key before.
    pub new_identity_signature: Option<Signature>,
}

/// What a key of an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRole {
    /// The identity key of the record.
    Identity,
    /// An identity key of the past, in the chain.
    PastIdentity,
    /// The recovery key.
    Recovery,
    /// The signing key of the device with this id.
    DeviceSigning(u32),
    /// The X25519 key of the device with this id.
    DeviceDh(u32),
}

/// Why a record is malformed or invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes are no record.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The label is empty or too long.
    #[error(transparent)]
    Label(#[from] LabelLength),
    /// The encoding is longer than any record.
    #[error("the record has {0} bytes, more than any record may")]
    TooLong(usize),
    /// An Ed25519 key is not canonical or of small order.
    #[error("the {role:?} key is refused: {error}")]
    BadSigningKey {
        /// Which key.
        role: KeyRole,
        /// Why.
        error: SignError,
    },
    /// An X25519 key is not canonical or of small order.
    #[error("the {role:?} key is refused: {error}")]
    BadDhKey {
        /// Which key.
        role: KeyRole,
        /// Why.
        error: DhError,
    },
    /// Two devices have one id.
    #[error("two devices have the id {0}")]
    DuplicateDevice(u32),
    /// The devices are not in ascending order of their ids.
    #[error("the devices are not in ascending order at id {0}")]
    DevicesNotAscending(u32),
    /// A device id is 0, or not below `next_device_id`.
    #[error("the device id {0} is out of range")]
    DeviceIdOutOfRange(u32),
    /// A device's suites are not in strictly ascending order.
    #[error("the suites of device {0} are not in ascending order")]
    SuitesNotAscending(u32),
    /// A flag is set that this format does not define.
    #[error("the flags {0:#x} are not all defined")]
    UnknownFlags(u32),
    /// The retired keys are not in strictly ascending order.
    #[error("the retired keys are not in ascending order")]
    RetiredNotAscending,
    /// One key stands in two places, or a retired key has returned.
    #[error("the {0:?} key was used before in this account")]
    KeyReused(KeyRole),
    /// The record is for another version than the one it is stored at.
    #[error("the record is for version {found}, not {expected}")]
    WrongVersion {
        /// What the record says.
        found: u32,
        /// Where it was found.
        expected: u32,
    },
    /// Genesis is not at version 0 without predecessor, or something else is; or fields do not suit the kind.
    #[error("this kind of authorisation is not allowed here")]
    WrongAuthorisation,
    /// The identity chain does not start and continue as its kinds and versions require.
    #[error("the identity chain is broken at version {0}")]
    BrokenChain(u32),
    /// The signature of a link of the identity chain does not verify.
    #[error("the identity chain's signature of version {0} does not verify")]
    BadLinkSignature(u32),
    /// A recovery key was not granted by the identity key that it replaces or belongs to.
    #[error("the recovery key is not granted by the identity key")]
    BadRecoveryGrant,
    /// The authorising key's signature does not verify.
    #[error("the record is not signed by the key that must authorise it")]
    BadIdentitySignature,
    /// The recovery key's signature does not verify.
    #[error("the record is not signed by the recovery key")]
    BadRecoverySignature,
    /// A new identity key's own signature does not verify.
    #[error("the new identity key has not signed the record")]
    BadNewIdentitySignature,
    /// A new identity key came without its own signature, or a signature without a new key.
    #[error("a new identity key and its own signature must come together")]
    NewIdentitySignaturePresence,
    /// A recovery must bring a new identity key.
    #[error("a recovery keeps the identity key that it should replace")]
    RecoveryKeepsIdentity,
    /// A device has not signed its membership.
    #[error("device {0} has not signed that it belongs to this account")]
    DeviceNotSigned(u32),
    /// A device's keys, time or signature changed while its id stayed.
    #[error("device {0} is not what it was")]
    DeviceAltered(u32),
    /// A new device has an id that was used before.
    #[error("the device id {0} was used before")]
    DeviceIdReused(u32),
    /// `next_device_id` is not what the records so far make it.
    #[error("the next device id is {found}, not {expected}")]
    WrongNextDeviceId {
        /// What the record says.
        found: u32,
        /// What it must be (at least, where records between are not known).
        expected: u32,
    },
    /// The retired keys are not those of the last valid record and the keys that were removed since.
    #[error("the list of retired keys is not the one that follows from the last valid record")]
    WrongRetired,
    /// The predecessor is not the last valid record.
    #[error("the record does not follow the last valid version {last_valid}")]
    WrongPredecessor {
        /// The version that it should name or come after.
        last_valid: u32,
    },
    /// The chain is not the one of the record known before, continued.
    #[error("the identity chain does not continue the one known since version {known}")]
    ChainDiverges {
        /// The version known before.
        known: u32,
    },
    /// The version known before is a greater one.
    #[error("the version lies below version {known}, which is known")]
    VersionBelowKnown {
        /// The version known before.
        known: u32,
    },
    /// This very version was different before.
    #[error("version {0} is not the record that it was")]
    Rewritten(u32),
    /// The record that was passed as known belongs to another account or log.
    #[error("the record known before belongs to another account")]
    WrongAccount,
    /// The owner forbids resets.
    #[error("the account was in lockdown when it was reset")]
    LockdownForbidsReset,
    /// The version that the chain names as its root holds something else.
    #[error("version {version} is not the root that the identity chain names")]
    RootMismatch {
        /// The root's version.
        version: u32,
    },
    /// Judging the account would take more searches than any honest history needs.
    #[error("the account's history of resets and invalid versions is too long to judge")]
    HistoryTooLong,
    /// The owner's next record would not fit a bound of the format.
    #[error("the account is full: no more devices, links or retired keys fit")]
    Full,
}

impl AccountRecord {
    /// Decodes a record: form, bounds, canonical keys, order and uniqueness within the record.
    ///
    /// # Errors
    /// Every [`RecordError`] that needs neither label nor another record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_LEN {
            return Err(RecordError::TooLong(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        let record = Self::read(&mut reader)?;
        reader.end()?;
        record.check_form()?;
        Ok(record)
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write_body(&mut out);
        out.bytes(&self.signature.0);
        out.optional(self.new_identity_signature.as_ref(), |out, signature| {
            out.bytes(&signature.0);
        });
        out.finish()
    }

    /// The hash of everything but the two signatures; they cover it.
    #[must_use]
    pub fn body_hash(&self) -> Digest {
        let mut out = Writer::new();
        out.opaque8(tag::RECORD_BODY.as_bytes());
        self.write_body(&mut out);
        sha256(&[&out.finish()])
    }

    /// The hash by which the next record names this one.
    #[must_use]
    pub fn hash(&self) -> Digest {
        record_hash(&self.body_hash(), &self.signature, self.new_identity_signature.as_ref())
    }

    /// The device with this id.
    #[must_use]
    pub fn device(&self, id: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    /// Whether the record starts an identity chain: genesis, or a reset.
    #[must_use]
    pub fn is_root(&self) -> bool {
        matches!(self.authorisation, Authorisation::Genesis | Authorisation::Reset)
    }

    /// The identity key before this version; absent in a root.
    #[must_use]
    pub fn previous_identity_key(&self) -> Option<VerifyingKey> {
        self.chain.as_ref().map(Chain::identity_key)
    }

    /// The keys of the present, each with its role.
    pub(crate) fn keys(&self) -> Vec<(KeyRole, [u8; 32])> {
        let mut keys = vec![(KeyRole::Identity, self.identity_key.to_bytes())];
        keys.extend(self.recovery.iter().map(|grant| (KeyRole::Recovery, grant.key.to_bytes())));
        for device in &self.devices {
            keys.push((KeyRole::DeviceSigning(device.id), device.signing_key.to_bytes()));
            keys.push((KeyRole::DeviceDh(device.id), device.dh_key.to_bytes()));
        }
        keys
    }

    fn write_body(&self, out: &mut Writer) {
        out.u8(FORMAT).u32(self.version);
        self.authorisation.write(out);
        out.optional(self.predecessor.as_ref(), |out, predecessor| predecessor.write(out));
        out.bytes(&self.identity_key.to_bytes());
        out.optional(self.chain.as_ref(), |out, chain| chain.write(out));
        out.u32(self.next_device_id).count8(self.devices.len());
        for device in &self.devices {
            device.write(out);
        }
        out.optional(self.recovery.as_ref(), |out, grant| grant.write(out));
        out.u32(u32::from(self.flags.lockdown)).count16(self.retired.len());
        for retired in &self.retired {
            out.u64(*retired);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        reader.format(FORMAT)?;
        let version = reader.u32()?;
        let authorisation = match reader.u8()? {
            0 => Authorisation::Genesis,
            1 => Authorisation::Identity,
            2 => Authorisation::Recovery(Box::new(RecoveryGrant::read(reader)?)),
            3 => Authorisation::Reset,
            kind => return Err(CodecError::UnknownVariant(kind).into()),
        };
        let predecessor = reader.optional(Predecessor::read)?;
        let identity_key = read_verifying_key(reader, KeyRole::Identity)?;
        let chain = reader.optional(Chain::read)?;
        let next_device_id = reader.u32()?;
        let count = reader.count8(0, MAX_DEVICES)?;
        let devices = (0..count).map(|_| Device::read(reader)).collect::<Result<_, _>>()?;
        let recovery = reader.optional(RecoveryGrant::read)?;
        let flags = match reader.u32()? {
            bits @ (0 | 1) => Flags { lockdown: bits == 1 },
            bits => return Err(RecordError::UnknownFlags(bits)),
        };
        let count = reader.count16(0, MAX_RETIRED)?;
        let retired = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        let signature = Signature(reader.array()?);
        let new_identity_signature = reader.optional(|reader| reader.array().map(Signature))?;
        Ok(Self {
            version,
            authorisation,
            predecessor,
            identity_key,
            chain,
            next_device_id,
            devices,
            recovery,
            flags,
            retired,
            signature,
            new_identity_signature,
        })
    }

    /// Order and uniqueness within the record.
    fn check_form(&self) -> Result<(), RecordError> {
        for pair in self.devices.windows(2) {
            if let [a, b] = pair
                && a.id >= b.id
            {
                return Err(if a.id == b.id {
                    RecordError::DuplicateDevice(a.id)
                } else {
                    RecordError::DevicesNotAscending(b.id)
                });
            }
        }
        if let Some(device) = self.devices.iter().find(|d| d.id == 0 || d.id >= self.next_device_id) {
            return Err(RecordError::DeviceIdOutOfRange(device.id));
        }
        if !self.retired.is_sorted_by(|a, b| a < b) {
            return Err(RecordError::RetiredNotAscending);
        }
        self.check_keys()
    }

    /// No key twice, none that was retired, none that was an identity key before.
    fn check_keys(&self) -> Result<(), RecordError> {
        let mut seen: Vec<[u8; 32]> = Vec::new();
        if let Some(chain) = &self.chain {
            for key in chain.identity_keys() {
                if seen.contains(&key.to_bytes()) {
                    return Err(RecordError::KeyReused(KeyRole::PastIdentity));
                }
                seen.push(key.to_bytes());
            }
        }
        // Within a record that keeps its identity key, that key is the last of the chain as well.
        if self.previous_identity_key() == Some(self.identity_key) {
            seen.pop();
        }
        for (role, key) in self.keys() {
            if seen.contains(&key) || self.retired.binary_search(&fingerprint(&key)).is_ok() {
                return Err(RecordError::KeyReused(role));
            }
            seen.push(key);
        }
        Ok(())
    }
}

/// What a retired key leaves behind: the first 8 bytes of a hash of it. A key that returns always matches;
/// another key matches by chance only.
#[must_use]
pub fn fingerprint(key: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[
        &[u8::try_from(tag::RETIRED_KEY.len()).unwrap_or(u8::MAX)],
        tag::RETIRED_KEY.as_bytes(),
        key,
    ]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The hash of a record from the hash of its body and its signatures, so that a link of the chain suffices to
/// compute it.
pub(crate) fn record_hash(body: &Digest, signature: &Signature, new_identity: Option<&Signature>) -> Digest {
    let mut out = Writer::new();
    out.opaque8(tag::RECORD_HASH.as_bytes()).bytes(body).bytes(&signature.0);
    out.optional(new_identity, |out, signature| {
        out.bytes(&signature.0);
    });
    sha256(&[&out.finish()])
}
