//! What the prekey service keeps, in its own words.
//!
//! Reads are by exact names. A [`commit`](PreKeyStore::commit) is atomic and durable when it returns. The service
//! serialises commits of one device; commits of different devices may come at once.

use keyglass_account::prekey::KeyType;
use keyglass_crypto::hash::{Digest, sha256};
use keyglass_tlog::time::UnixMillis;

use super::{
    pool::{Place, Pool},
    reserve::{Pair, PairKey},
};
use crate::{store::StoreError, tokens::DeviceName};

/// A request for one bundle, by a hash: who asked for which device under which id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub Digest);

impl RequestKey {
    /// The request of `requester` for `target` under `id`.
    #[must_use]
    pub fn new(requester: &DeviceName, target: &DeviceName, id: &[u8; 16]) -> Self {
        Self(sha256(&[b"keyglass bundle request", &requester.to_key(), &target.to_key(), id]))
    }
}

/// What a request got: enough to make the same bundle again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The id of the signed prekey.
    pub signed_prekey: u32,
    /// The one-time prekey, if there was one.
    pub one_time: Option<Place>,
    /// The one-time KEM prekey, if there was one.
    pub kem: Option<Place>,
    /// The id of the last-resort KEM prekey, if that was in place of a one-time one.
    pub last_resort: Option<u32>,
    /// When the signed prekey expires, and this answer with it.
    pub expires: UnixMillis,
}

/// Something that is deleted when its time has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Expiring {
    /// A signed prekey.
    SignedPreKey(DeviceName, u32),
    /// A batch of X25519 keys.
    Batch(DeviceName, u32),
    /// A batch of KEM keys.
    KemBatch(DeviceName, u32),
    /// An answer.
    Answer(RequestKey),
    /// A last-resort KEM prekey.
    LastResort(DeviceName, u32),
    /// What is remembered of a pair.
    Pair(PairKey),
}

impl Expiring {
    /// A batch of keys of a type.
    #[must_use]
    pub fn batch(key_type: KeyType, device: &DeviceName, batch: u32) -> Self {
        match key_type {
            KeyType::X25519 => Self::Batch(device.clone(), batch),
            KeyType::MlKem768 => Self::KemBatch(device.clone(), batch),
        }
    }
}

/// One of the changes of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Replaces a device's pool.
    Pool(DeviceName, Box<Pool>),
    /// Deletes a device's pool.
    DeletePool(DeviceName),
    /// Adds an encoded signed prekey.
    SignedPreKey(DeviceName, u32, Vec<u8>),
    /// Adds an encoded batch of X25519 keys.
    Batch(DeviceName, u32, Vec<u8>),
    /// Adds a batch of KEM keys, as encoded entries that are ready to be handed out: whole, it would be read for each key.
    KemBatch(DeviceName, u32, Vec<Vec<u8>>),
    /// Adds an answer.
    Answer(RequestKey, Answer),
    /// Adds an encoded last-resort KEM prekey.
    LastResort(DeviceName, u32, Vec<u8>),
    /// Replaces what is remembered of a pair.
    Pair(PairKey, Pair),
    /// Notes that something is to be looked at again at this time.
    Schedule(UnixMillis, Expiring),
    /// Takes such a note back.
    Unschedule(UnixMillis, Expiring),
    /// Deletes something, if it is there.
    Delete(Expiring),
}

/// Where prekeys are kept. Calls may block.
pub trait PreKeyStore: Send + Sync + 'static {
    /// A device's pool.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pool(&self, device: &DeviceName) -> Result<Option<Pool>, StoreError>;

    /// A signed prekey of a device, encoded.
    ///
    /// # Errors
    /// [`StoreError`].
    fn signed_prekey(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// A batch of X25519 keys of a device, encoded.
    ///
    /// # Errors
    /// [`StoreError`].
    fn batch(&self, device: &DeviceName, batch: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// An entry of a batch of KEM keys, encoded.
    ///
    /// # Errors
    /// [`StoreError`].
    fn kem_entry(&self, device: &DeviceName, place: Place) -> Result<Option<Vec<u8>>, StoreError>;

    /// What a request got.
    ///
    /// # Errors
    /// [`StoreError`].
    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError>;

    /// A last-resort KEM prekey of a device, encoded.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_resort(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// What is remembered of a pair.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pair(&self, pair: &PairKey) -> Result<Option<Pair>, StoreError>;

    /// Up to `limit` devices that have a pool, in an order of the store's own, those after `after` if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pools(&self, after: Option<&DeviceName>, limit: usize) -> Result<Vec<DeviceName>, StoreError>;

    /// Up to `limit` notes whose time is not after `until`, the earliest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn due(&self, until: UnixMillis, limit: usize) -> Result<Vec<(UnixMillis, Expiring)>, StoreError>;

    /// Makes all changes durable, in one step and in their order.
    ///
    /// # Errors
    /// [`StoreError`]: all of them were made, or none.
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError>;
}
