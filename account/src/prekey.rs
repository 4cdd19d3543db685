//! Prekeys: what a device leaves with the server so that others can start a session while it is away.
//!
//! ```text
//! enum { x25519(1), (255) } KeyType;          2 is reserved for ML-KEM-768
//!
//! struct {
//!   uint8 format = 1;  KeyType type;  uint32 device;  uint32 id;  opaque key[32];
//!   uint64 created;  uint64 expires;  uint32 floor;
//!   opaque signature[64];
//! } SignedPreKey;
//!
//! struct {
//!   uint8 format = 1;  KeyType type;  uint32 device;  uint32 batch;  uint16 leaf_count;
//!   uint64 expires;  opaque root[32];
//!   opaque signature[64];
//! } BatchHeader;
//!
//! struct { KeyType type;  uint32 id;  opaque key[32]; } OneTimePreKey;               a leaf of the tree
//! struct { BatchHeader header;  OneTimePreKey prekeys[header.leaf_count]; } PreKeyBatch;
//! struct { BatchHeader header;  uint16 index;  OneTimePreKey prekey;  opaque path<0..10>[32]; } OneTimeEntry;
//! struct { uint8 format = 1;  SignedPreKey signed_prekey;  optional<OneTimeEntry> one_time; } PreKeyBundle;
//! ```
//!
//! Both signatures are the device's, over tag, origin, label and all fields before them. Ids ascend within a batch, and
//! a device never uses an id or a batch number twice. The *floor* is the lowest batch that the device still has
//! private keys for: keys of lower batches are refused, so that a server cannot resurrect what the device lost.

mod batch;
mod bundle;
mod signed;

use keyglass_crypto::dh::{DhError, DhPublicKey};
use thiserror::Error;

pub use batch::{BatchHeader, MAX_BATCH_LEN, MAX_LEAVES, OneTimeEntry, OneTimePreKey, PreKeyBatch};
pub use bundle::{MAX_BUNDLE_LEN, PreKeyBundle, VerifiedBundle};
pub use signed::{SIGNED_PREKEY_LEN, SignedPreKey};

use crate::{
    codec::{CodecError, Reader},
    merkle::PathError,
};

/// The format number of all structures here.
const FORMAT: u8 = 1;
/// The only key type that format 1 has.
const X25519: u8 = 1;

/// Why prekeys are malformed or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PreKeyError {
    /// The bytes are not the encoding of the structure.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A prekey is not canonical or of small order.
    #[error("the prekey {id} is refused: {error}")]
    BadKey {
        /// Its id.
        id: u32,
        /// Why.
        error: DhError,
    },
    /// A signed prekey expires before it was created.
    #[error("the signed prekey expires no later than it was created")]
    ExpiresBeforeCreated,
    /// The ids of a batch do not ascend strictly.
    #[error("the prekey id {0} repeats or descends within the batch")]
    IdsNotAscending(u32),
    /// A batch has no keys or too many.
    #[error("a batch cannot have {0} keys")]
    BatchSize(usize),
    /// The root of a batch is not that of its keys.
    #[error("the keys of the batch do not have the root that was signed")]
    WrongRoot,
    /// The device in a prekey is not the one that it was fetched for.
    #[error("the prekey is of device {found}, not {expected}")]
    WrongDevice {
        /// What it says.
        found: u32,
        /// What was expected.
        expected: u32,
    },
    /// The device has not signed this prekey for this account and log.
    #[error("the signed prekey's signature does not verify")]
    BadSignature,
    /// The device has not signed this batch for this account and log.
    #[error("the batch's signature does not verify")]
    BadBatchSignature,
    /// The signed prekey has expired.
    #[error("the signed prekey has expired")]
    Expired,
    /// The batch has expired.
    #[error("the batch of one-time prekeys has expired")]
    BatchExpired,
    /// The batch lies below the floor.
    #[error("batch {batch} lies below the floor {floor}")]
    BelowFloor {
        /// The batch of the one-time prekey.
        batch: u32,
        /// The lowest batch that the signed prekey allows.
        floor: u32,
    },
    /// The one-time prekey is not in its batch.
    #[error("the one-time prekey is not in its batch: {0}")]
    Path(#[from] PathError),
}

fn read_type(reader: &mut Reader<'_>) -> Result<(), CodecError> {
    match reader.u8()? {
        X25519 => Ok(()),
        other => Err(CodecError::UnknownVariant(other)),
    }
}

fn read_key(reader: &mut Reader<'_>, id: u32) -> Result<DhPublicKey, PreKeyError> {
    DhPublicKey::from_bytes(&reader.array()?).map_err(|error| PreKeyError::BadKey { id, error })
}
