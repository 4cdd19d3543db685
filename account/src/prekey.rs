//! Prekeys: what a device leaves with the server so that others can start a session while it is away.
//!
//! ```text
//! enum { x25519(1), ml_kem_768(2), (255) } KeyType;
//! PublicKey: opaque[32] for x25519, opaque[1184] for ml_kem_768
//!
//! struct {                                    SignedPreKey: x25519; LastResortPreKey: ml_kem_768
//!   uint8 format = 1;  KeyType type;  uint32 device;  uint32 id;  PublicKey key;
//!   uint64 created;  uint64 expires;  uint32 floor;
//!   opaque signature[64];
//! } SignedKey;
//!
//! struct {
//!   uint8 format = 1;  KeyType type;  uint32 device;  uint32 batch;  uint16 leaf_count;
//!   uint64 expires;  opaque root[32];
//!   opaque signature[64];
//! } BatchHeader;
//!
//! struct { KeyType type;  uint32 id;  PublicKey key; } OneTimeKey;                   a leaf of the tree
//! struct { BatchHeader header;  OneTimeKey prekeys[header.leaf_count]; } Batch;      1 to 1024, or 128 of ml_kem_768
//! struct { BatchHeader header;  uint16 index;  OneTimeKey prekey;  opaque path<0..10>[32]; } Entry;
//!
//! enum { one_time(1), last_resort(2), (255) } KemKind;
//! struct {
//!   uint8 format;                 1 without ML-KEM, 2 with it
//!   SignedPreKey signed_prekey;
//!   optional<Entry> one_time;     of x25519
//!   if (format == 2)  KemKind kind;  select (kind) { one_time: Entry of ml_kem_768;  last_resort: LastResortPreKey; }
//! } PreKeyBundle;
//! ```
//!
//! All signatures are the device's, over a tag of the structure and type, origin, label and all fields before them. Ids
//! ascend within a batch. Numbers belong to the device, whatever the type of key: it never uses a batch number twice, nor
//! an id among its one-time prekeys, nor an id among its signed and last-resort prekeys. The *floor* is the lowest batch
//! that the device still has private keys for: keys of lower batches, of either type, are refused, so that a server cannot
//! resurrect what the device lost. In a bundle with two signed keys, the higher floor counts.

mod batch;
mod bundle;
mod key;
mod signed;

use keyglass_crypto::{dh::DhError, kem::KemError};
use thiserror::Error;

pub use batch::{
    Batch, BatchHeader, Entry, KemEntry, KemPreKeyBatch, MAX_BATCH_LEN, MAX_KEM_BATCH_LEN, MAX_KEM_LEAVES,
    MAX_LEAVES, OneTimeEntry, OneTimeKemPreKey, OneTimeKey, OneTimePreKey, PreKeyBatch,
};
pub use bundle::{KemPreKey, MAX_BUNDLE_LEN, PreKeyBundle, VerifiedBundle};
pub use key::{KeyType, PreKey};
pub use signed::{LAST_RESORT_LEN, LastResortPreKey, SIGNED_PREKEY_LEN, SignedKey, SignedPreKey};

use crate::{codec::CodecError, merkle::PathError};

/// The format number of all structures here but a bundle with ML-KEM.
const FORMAT: u8 = 1;

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
    /// A coefficient of an ML-KEM prekey is not reduced.
    #[error("the KEM prekey {id} is refused: {error}")]
    BadKemKey {
        /// Its id.
        id: u32,
        /// Why.
        error: KemError,
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
