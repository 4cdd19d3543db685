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

mod error;

use keyglass_crypto::{
    hash::{Digest, sha256},
    sign::{Signature, VerifyingKey},
};

pub use error::{KeyRole, RecordError};

use crate::{
    chain::{Chain, Predecessor, RecoveryGrant},
    codec::{CodecError, Reader, Writer},
    device::{Device, read_verifying_key},
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
