//! The ML-KEM prekeys of a device of one's own.

use keyglass_account::prekey::{KemPreKeyBatch, OneTimeKemPreKey, PreKeyError};
use keyglass_crypto::{
    kem::{KemSecretKey, SEED_LEN},
    secret::Secret,
    sign::SigningKey,
};
use serde::{Deserialize, Serialize};

use super::text;
use crate::x3dh::{HandshakeId, KemId, OneTimeId, PreKeySecret};

/// A last-resort KEM prekey with its seed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastResortState {
    /// Its number, from the same counter as the signed prekeys'.
    pub id: u32,
    /// The seed.
    #[serde(with = "text::secret")]
    pub seed: Secret<SEED_LEN>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created: u64,
    /// When others stop using it, milliseconds since the Unix epoch.
    pub expires: u64,
    /// The signed structure, as it is uploaded.
    #[serde(with = "text::bytes")]
    pub signed: Vec<u8>,
    /// Whether the server has confirmed it.
    pub uploaded: bool,
}

/// A batch of one-time KEM prekeys.
///
/// Its encoding is long, and follows from the seeds as long as none was used, which is so until the server has it:
/// see [`Self::sign`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KemBatchState {
    /// Its number, from the same counter as the other batches'.
    pub number: u32,
    /// When others stop using it, milliseconds since the Unix epoch.
    pub expires: u64,
    /// The root that was signed.
    #[serde(with = "text::array")]
    pub root: [u8; 32],
    /// Whether the server has confirmed it.
    pub uploaded: bool,
    /// The keys.
    pub keys: Vec<OneTimeKemState>,
}

/// A one-time KEM prekey: its seed, or the fact that it was used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneTimeKemState {
    /// Its number, from the same counter as the other one-time prekeys'.
    pub id: u32,
    /// The seed until a handshake consumes it.
    #[serde(with = "text::optional_secret")]
    pub seed: Option<Secret<SEED_LEN>>,
    /// The handshake that consumed it: its message may come again, and is no reuse.
    #[serde(default, with = "text::optional_array")]
    pub used_by: Option<[u8; 32]>,
}

/// The ML-KEM prekeys of a device.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KemPreKeys {
    /// Its last-resort prekeys, oldest first.
    pub last_resorts: Vec<LastResortState>,
    /// Its batches of one-time prekeys, oldest first.
    pub batches: Vec<KemBatchState>,
}

impl KemBatchState {
    /// Makes a batch of keys with these seeds, whose numbers start at `first`.
    ///
    /// # Errors
    /// What makes the batch impossible: no seeds or too many.
    #[expect(clippy::too_many_arguments, reason = "each is a field of the signed structure")]
    pub fn new(
        origin: &str,
        label: &[u8],
        signing_key: &SigningKey,
        device: u32,
        number: u32,
        expires: u64,
        first: u32,
        seeds: Vec<Secret<SEED_LEN>>,
    ) -> Result<Self, PreKeyError> {
        let keys =
            (first..).zip(seeds).map(|(id, seed)| OneTimeKemState { id, seed: Some(seed), used_by: None });
        let mut batch = Self { number, expires, root: [0; 32], uploaded: false, keys: keys.collect() };
        batch.root = batch.sign(origin, label, signing_key, device)?.header().root;
        Ok(batch)
    }

    /// The batch as it is uploaded. The same every time, and only as long as no key was used.
    ///
    /// # Errors
    /// [`PreKeyError::WrongRoot`] if a key was used; otherwise see [`KemPreKeyBatch::sign`].
    pub fn sign(
        &self,
        origin: &str,
        label: &[u8],
        signing_key: &SigningKey,
        device: u32,
    ) -> Result<KemPreKeyBatch, PreKeyError> {
        let keys: Option<Vec<OneTimeKemPreKey>> = self
            .keys
            .iter()
            .map(|key| {
                let seed = key.seed.as_ref()?;
                let public = KemSecretKey::from_seed(seed.expose()).public_key().clone();
                Some(OneTimeKemPreKey { id: key.id, key: public })
            })
            .collect();
        let keys = keys.ok_or(PreKeyError::WrongRoot)?;
        let expires = keyglass_account::time::UnixMillis(self.expires);
        KemPreKeyBatch::sign(origin, label, signing_key, device, self.number, expires, keys)
    }
}

impl KemPreKeys {
    /// How many one-time prekeys are not used up, of those that have not expired at `now` (milliseconds since the Unix
    /// epoch).
    #[must_use]
    pub fn live_one_time(&self, now: u64) -> usize {
        let live = self.batches.iter().filter(|batch| batch.expires > now);
        live.flat_map(|batch| &batch.keys).filter(|key| key.seed.is_some()).count()
    }

    /// Erases what [`kept`](super::OwnDeviceState::erase_expired) says of its end that it is over.
    pub(super) fn erase(&mut self, kept: impl Fn(u64) -> bool) {
        self.last_resorts.retain(|key| kept(key.expires));
        self.batches.retain(|batch| kept(batch.expires));
    }

    /// Erases the seed that `handshake` used up.
    pub(super) fn consume(&mut self, id: &OneTimeId, handshake: &HandshakeId) {
        let batches = self.batches.iter_mut().filter(|batch| batch.number == id.batch);
        for key in batches.flat_map(|batch| batch.keys.iter_mut()).filter(|key| key.id == id.id) {
            key.seed = None;
            key.used_by = Some(handshake.0);
        }
    }

    /// Whether a key was used up by this handshake.
    pub(super) fn remembers(&self, handshake: &HandshakeId) -> bool {
        self.batches.iter().flat_map(|batch| &batch.keys).any(|key| key.used_by == Some(handshake.0))
    }

    /// The secret of a prekey.
    pub(super) fn secret(&self, id: &KemId) -> PreKeySecret<KemSecretKey> {
        let live = |seed: &Secret<SEED_LEN>| PreKeySecret::Live(KemSecretKey::from_seed(seed.expose()));
        match id {
            KemId::LastResort(id) => {
                let known = self.last_resorts.iter().find(|key| key.id == *id);
                known.map_or(PreKeySecret::Unknown, |key| live(&key.seed))
            }
            KemId::OneTime(id) => {
                let batch = self.batches.iter().find(|batch| batch.number == id.batch);
                let known = batch.and_then(|batch| batch.keys.iter().find(|key| key.id == id.id));
                known.map_or(PreKeySecret::Unknown, |key| {
                    key.seed.as_ref().map_or(PreKeySecret::Consumed, live)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keyglass_account::prekey::KemEntry;

    use super::*;

    fn batch() -> KemBatchState {
        let seeds = (0..3).map(|seed| Secret::new([seed; SEED_LEN])).collect();
        KemBatchState::new("origin", b"bob", &SigningKey::from_seed(&[1; 32]), 1, 4, 9000, 500, seeds)
            .unwrap()
    }

    #[test]
    fn a_batch_is_signed_alike_until_a_key_was_used() {
        let (key, mut batch) = (SigningKey::from_seed(&[1; 32]), batch());
        let signed = batch.sign("origin", b"bob", &key, 1).unwrap();
        assert_eq!(signed, batch.sign("origin", b"bob", &key, 1).unwrap());
        assert_eq!(signed.header().root, batch.root);
        let entry: KemEntry = signed.entry(2).unwrap();
        assert_eq!(entry.prekey.id, 502);

        let json = serde_json::to_string(&batch).unwrap();
        let again: KemBatchState = serde_json::from_str(&json).unwrap();
        assert_eq!(again.sign("origin", b"bob", &key, 1).unwrap(), signed);
        batch.keys[1].seed = None;
        assert_eq!(batch.sign("origin", b"bob", &key, 1), Err(PreKeyError::WrongRoot));
    }

    #[test]
    fn a_seed_is_used_once_and_its_use_remembered() {
        let mut keys = KemPreKeys { batches: vec![batch()], ..KemPreKeys::default() };
        let (id, other) = (OneTimeId { batch: 4, id: 501 }, OneTimeId { batch: 4, id: 502 });
        let (handshake, unknown) = (HandshakeId([7; 32]), HandshakeId([8; 32]));
        assert_eq!((keys.live_one_time(8999), keys.live_one_time(9000)), (3, 0));
        assert!(matches!(keys.secret(&KemId::OneTime(id)), PreKeySecret::Live(_)));
        keys.consume(&id, &handshake);
        assert!(matches!(keys.secret(&KemId::OneTime(id)), PreKeySecret::Consumed));
        assert!(matches!(keys.secret(&KemId::OneTime(other)), PreKeySecret::Live(_)));
        for id in [OneTimeId { batch: 5, id: 501 }, OneTimeId { batch: 4, id: 503 }] {
            assert!(matches!(keys.secret(&KemId::OneTime(id)), PreKeySecret::Unknown));
        }
        assert!(matches!(keys.secret(&KemId::LastResort(501)), PreKeySecret::Unknown));
        assert!(keys.remembers(&handshake) && !keys.remembers(&unknown));
        assert_eq!(keys.live_one_time(0), 2);
        keys.erase(|expires| expires > 9000);
        assert!(keys.batches.is_empty() && !keys.remembers(&handshake));
    }
}
