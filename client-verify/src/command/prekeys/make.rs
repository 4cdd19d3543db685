//! Making prekeys.

use keyglass_account::{
    prekey::{LastResortPreKey, OneTimePreKey, PreKeyBatch, PreKeyError, SignedPreKey},
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, kem::KemSecretKey};

use crate::{
    command::{outcome::Failure, random},
    prekeys::{BATCH, BATCH_LIFETIME, Needs, SIGNED_LIFETIME},
    state::{BatchState, KemBatchState, LastResortState, OneTimeState, OwnDeviceState, SignedPreKeyState},
    verdict::Verdict,
};

/// Whose prekeys are made, and when.
pub(super) struct Maker<'a> {
    pub(super) origin: &'a str,
    pub(super) label: &'a [u8],
    pub(super) now: UnixMillis,
}

impl Maker<'_> {
    /// Makes what a device lacks.
    pub(super) fn make(&self, device: &mut OwnDeviceState, needs: Needs) -> Result<(), Failure> {
        let Needs { signed_prekey, last_resort, batch, kem_batch } = needs;
        if signed_prekey {
            self.signed_prekey(device)?;
        }
        if last_resort {
            self.last_resort(device)?;
        }
        if batch {
            self.batch(device)?;
        }
        if kem_batch {
            self.kem_batch(device)?;
        }
        Ok(())
    }

    /// A new signed prekey.
    fn signed_prekey(&self, device: &mut OwnDeviceState) -> Result<(), Failure> {
        let id = device.counters.signed_prekey;
        let secret = random::secret()?;
        let expires = self.now.saturating_add(SIGNED_LIFETIME);
        let signed = SignedPreKey::sign(
            self.origin,
            self.label,
            &device.signing_key(),
            device.id,
            id,
            DhSecretKey::from_bytes(secret.expose()).public_key(),
            self.now,
            expires,
            device.floor(),
        )
        .map_err(own_fault)?;
        device.add_signed_prekey(SignedPreKeyState {
            id,
            secret,
            created: self.now.0,
            expires: expires.0,
            signed: signed.encode(),
            uploaded: false,
        });
        Ok(())
    }

    /// A new last-resort KEM prekey.
    fn last_resort(&self, device: &mut OwnDeviceState) -> Result<(), Failure> {
        let id = device.counters.signed_prekey;
        let seed = random::secret()?;
        let expires = self.now.saturating_add(SIGNED_LIFETIME);
        let signed = LastResortPreKey::sign(
            self.origin,
            self.label,
            &device.signing_key(),
            device.id,
            id,
            KemSecretKey::from_seed(seed.expose()).public_key().clone(),
            self.now,
            expires,
            device.floor(),
        )
        .map_err(own_fault)?;
        device.add_last_resort(LastResortState {
            id,
            seed,
            created: self.now.0,
            expires: expires.0,
            signed: signed.encode(),
            uploaded: false,
        });
        Ok(())
    }

    /// A new batch of X25519 one-time prekeys.
    fn batch(&self, device: &mut OwnDeviceState) -> Result<(), Failure> {
        let (number, first) = (device.counters.batch, device.counters.one_time);
        let expires = self.now.saturating_add(BATCH_LIFETIME);
        let mut keys = Vec::new();
        let mut prekeys = Vec::new();
        for id in first..first.saturating_add(BATCH) {
            let secret = random::secret()?;
            let key = DhSecretKey::from_bytes(secret.expose()).public_key();
            prekeys.push(OneTimePreKey { id, key });
            keys.push(OneTimeState { id, secret: Some(secret), used_by: None });
        }
        let key = device.signing_key();
        let signed = PreKeyBatch::sign(self.origin, self.label, &key, device.id, number, expires, prekeys)
            .map_err(own_fault)?;
        device.add_batch(BatchState {
            number,
            expires: expires.0,
            signed: signed.encode(),
            uploaded: false,
            keys,
        });
        Ok(())
    }

    /// A new batch of ML-KEM-768 one-time prekeys.
    fn kem_batch(&self, device: &mut OwnDeviceState) -> Result<(), Failure> {
        let seeds = (0..BATCH).map(|_| random::secret()).collect::<Result<Vec<_>, _>>()?;
        let batch = KemBatchState::new(
            self.origin,
            self.label,
            &device.signing_key(),
            device.id,
            device.counters.batch,
            self.now.saturating_add(BATCH_LIFETIME).0,
            device.counters.one_time,
            seeds,
        )
        .map_err(own_fault)?;
        device.add_kem_batch(batch);
        Ok(())
    }
}

/// What is made here from a sound state is sound; a damaged home is the only way to this.
pub(super) fn own_fault(error: PreKeyError) -> Failure {
    Failure::new(Verdict::Failed, "home_damaged", error)
}
