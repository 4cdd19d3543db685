//! From a fetched bundle to the only thing that X3DH takes.

use keyglass_account::{
    device::Suite,
    prekey::{KemPreKey, PreKeyBundle, PreKeyError},
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhPublicKey, kem::KemPublicKey};
use thiserror::Error;

use super::{Unverified, device::ProvenDevice, record::ProvenAccount};
use crate::x3dh::{KemId, OneTimeId, PreKeyIds, SUITES};

/// Why a bundle is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BundleError {
    /// The proven record has no such device.
    #[error("device {0} is not in the proven record")]
    NoSuchDevice(u32),
    /// Nobody but the provider vouches for the account's identity, and no person has accepted that.
    #[error("the account's identity was reset or its history is withheld, and this was not accepted")]
    IdentityNotAccepted,
    /// The device announces no suite that this code runs. A weaker one is never used in its place.
    #[error("device {0} announces no handshake suite that is supported here")]
    NoCommonSuite(u32),
    /// The device announces PQXDH, and the bundle has no KEM prekey. X3DH is never run in its place: leaving the key out is
    /// how a server would bring the handshake down to what a quantum computer breaks.
    #[error("device {0} announces PQXDH, and its bundle has no KEM prekey")]
    NoKemPreKey(u32),
    /// A prekey is malformed, expired or not signed by the device.
    #[error(transparent)]
    PreKey(#[from] PreKeyError),
}

/// The prekeys of a device that stands in a proven record, all signed by that device and in force.
///
/// Made by [`ProvenAccount::prove_bundle`] only. It can be used for one handshake: it is neither `Clone` nor `Copy`.
#[derive(Debug)]
pub struct ProvenBundle {
    device: ProvenDevice,
    suite: Suite,
    signed: (u32, DhPublicKey),
    one_time: Option<(OneTimeId, DhPublicKey)>,
    /// There if and only if the suite is PQXDH.
    kem: Option<(KemId, KemPublicKey)>,
}

impl ProvenBundle {
    /// The device that the prekeys are of.
    #[must_use]
    pub fn device(&self) -> &ProvenDevice {
        &self.device
    }

    /// The suite to use: the greatest of those that the device announces and this code runs.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Whether the handshake will have a one-time X25519 prekey. Without a one-time prekey of either type, it can be
    /// replayed to the device, which ignores it as long as it remembers the handshake.
    #[must_use]
    pub fn has_one_time(&self) -> bool {
        self.one_time.is_some()
    }

    /// Whether the handshake will have a one-time ML-KEM prekey. Without one, PQXDH uses the device's last resort.
    #[must_use]
    pub fn has_one_time_kem(&self) -> bool {
        self.kem.as_ref().is_some_and(|(id, _)| id.one_time().is_some())
    }

    pub(crate) fn prekeys(&self) -> PreKeyIds {
        PreKeyIds {
            signed: self.signed.0,
            one_time: self.one_time.map(|(id, _)| id),
            kem: self.kem.as_ref().map(|(id, _)| *id),
        }
    }

    pub(crate) fn signed_key(&self) -> &DhPublicKey {
        &self.signed.1
    }

    pub(crate) fn one_time_key(&self) -> Option<&DhPublicKey> {
        self.one_time.as_ref().map(|(_, key)| key)
    }

    pub(crate) fn kem_key(&self) -> Option<&KemPublicKey> {
        self.kem.as_ref().map(|(_, key)| key)
    }

    /// A bundle that nothing proved, for tests of what comes after.
    #[cfg(test)]
    pub(crate) fn for_tests(
        device: ProvenDevice,
        suite: Suite,
        signed: (u32, DhPublicKey),
        one_time: Option<(OneTimeId, DhPublicKey)>,
        kem: Option<(KemId, KemPublicKey)>,
    ) -> Self {
        Self { device, suite, signed, one_time, kem }
    }
}

impl ProvenAccount {
    /// Checks a bundle that was fetched for the device with number `device`.
    ///
    /// `now` is the local clock. The device must be in the proven record; its signed prekey must carry its signature and
    /// not have expired; a one-time prekey must lie in a batch with its signature, not expired and not below the floor. A
    /// device that announces PQXDH must have a KEM prekey for which the same holds.
    ///
    /// # Errors
    /// [`BundleError`]; the bundle is gone then, so that nothing can be done with it.
    pub fn prove_bundle(
        &self,
        device: u32,
        bundle: Unverified<PreKeyBundle>,
        now: UnixMillis,
    ) -> Result<ProvenBundle, BundleError> {
        if !self.is_usable() {
            return Err(BundleError::IdentityNotAccepted);
        }
        let entry = self.valid().record().device(device).ok_or(BundleError::NoSuchDevice(device))?;
        let proven = self.device(device).ok_or(BundleError::NoSuchDevice(device))?;
        let suite = SUITES.into_iter().filter(|suite| entry.accepts(*suite)).max();
        let suite = suite.ok_or(BundleError::NoCommonSuite(device))?;
        let verified = bundle.0.verify(self.origin(), self.label(), entry, now)?;
        let signed = verified.signed_prekey();
        let one_time = verified
            .one_time()
            .map(|entry| (OneTimeId { batch: entry.header.batch, id: entry.prekey.id }, entry.prekey.key));
        let kem = if suite == Suite::PQXDH {
            let kem = verified.kem().ok_or(BundleError::NoKemPreKey(device))?;
            let id = match kem {
                KemPreKey::OneTime(entry) => {
                    KemId::OneTime(OneTimeId { batch: entry.header.batch, id: entry.prekey.id })
                }
                KemPreKey::LastResort(prekey) => KemId::LastResort(prekey.id),
            };
            Some((id, kem.key().clone()))
        } else {
            None
        };
        Ok(ProvenBundle { device: proven, suite, signed: (signed.id, signed.key), one_time, kem })
    }
}
