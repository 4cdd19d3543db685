//! What the prekey service keeps, in its own words.
//!
//! Reads are by exact names. A [`commit`](PreKeyStore::commit) is atomic and durable when it returns. The service
//! serialises commits of one device; commits of different devices may come at once.

use keyglass_crypto::hash::{Digest, sha256};
use keyglass_tlog::time::UnixMillis;

use super::pool::{Place, Pool};
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
    /// When the signed prekey expires, and this answer with it.
    pub expires: UnixMillis,
}

/// Something that is deleted when its time has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Expiring {
    /// A signed prekey.
    SignedPreKey(DeviceName, u32),
    /// A batch.
    Batch(DeviceName, u32),
    /// An answer.
    Answer(RequestKey),
}

/// One of the changes of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Replaces a device's pool.
    Pool(DeviceName, Pool),
    /// Adds an encoded signed prekey.
    SignedPreKey(DeviceName, u32, Vec<u8>),
    /// Adds an encoded batch.
    Batch(DeviceName, u32, Vec<u8>),
    /// Adds an answer.
    Answer(RequestKey, Answer),
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

    /// A batch of a device, encoded.
    ///
    /// # Errors
    /// [`StoreError`].
    fn batch(&self, device: &DeviceName, batch: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// What a request got.
    ///
    /// # Errors
    /// [`StoreError`].
    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError>;

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
