//! Bundles: what a sender fetches to start a session with one device.

use super::{FORMAT, OneTimeEntry, PreKeyError, SignedPreKey};
use crate::{
    codec::{Reader, Writer},
    device::Device,
    time::UnixMillis,
};

/// More bytes than any bundle has.
pub const MAX_BUNDLE_LEN: usize = 1024;

/// The prekeys for one session with a device: wire input that proves nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreKeyBundle {
    /// The signed prekey.
    pub signed_prekey: SignedPreKey,
    /// A one-time prekey; absent when the device's pool was empty.
    pub one_time: Option<OneTimeEntry>,
}

impl PreKeyBundle {
    /// Decodes a bundle.
    ///
    /// # Errors
    /// What makes the encoding or a key in it invalid.
    pub fn decode(bytes: &[u8]) -> Result<Self, PreKeyError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let signed_prekey = SignedPreKey::read(&mut reader)?;
        let one_time = reader.optional(OneTimeEntry::read)?;
        reader.end()?;
        Ok(Self { signed_prekey, one_time })
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
        self.signed_prekey.write(&mut out);
        out.optional(self.one_time.as_ref(), |out, entry| entry.write(out));
        out.finish()
    }

    /// Checks that everything in the bundle is `device`'s, signed for `label` in the log `origin`, and usable at `now`.
    ///
    /// `device` must come from a proven record: this shows only that its holder signed the prekeys. Whether a
    /// one-time prekey was used before cannot be seen here.
    ///
    /// # Errors
    /// The first rule that the bundle breaks.
    pub fn verify(
        self,
        origin: &str,
        label: &[u8],
        device: &Device,
        now: UnixMillis,
    ) -> Result<VerifiedBundle, PreKeyError> {
        self.signed_prekey.verify(origin, label, device, now)?;
        if let Some(entry) = &self.one_time {
            entry.verify(origin, label, device, now)?;
            let (batch, floor) = (entry.header.batch, self.signed_prekey.floor);
            if batch < floor {
                return Err(PreKeyError::BelowFloor { batch, floor });
            }
        }
        Ok(VerifiedBundle { device: device.clone(), bundle: self })
    }
}

/// A bundle that the holder of a device's signing key made for an account and log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle {
    device: Device,
    bundle: PreKeyBundle,
}

impl VerifiedBundle {
    /// The device whose keys these are, as it was passed to [`PreKeyBundle::verify`].
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The signed prekey.
    #[must_use]
    pub fn signed_prekey(&self) -> &SignedPreKey {
        &self.bundle.signed_prekey
    }

    /// The one-time prekey, if the pool was not empty.
    #[must_use]
    pub fn one_time(&self) -> Option<&OneTimeEntry> {
        self.bundle.one_time.as_ref()
    }
}
