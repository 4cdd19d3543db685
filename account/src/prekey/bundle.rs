//! Bundles: what a sender fetches to start a session with one device.

use keyglass_crypto::kem::KemPublicKey;

use super::{FORMAT, KemEntry, LastResortPreKey, OneTimeEntry, PreKeyError, SignedPreKey};
use crate::{
    codec::{CodecError, Reader, Writer},
    device::Device,
    time::UnixMillis,
};

/// The format of a bundle with an ML-KEM key.
const FORMAT_KEM: u8 = 2;
/// Stands before a one-time ML-KEM key.
const ONE_TIME: u8 = 1;
/// Stands before a last-resort ML-KEM key.
const LAST_RESORT: u8 = 2;

/// More bytes than any bundle has.
pub const MAX_BUNDLE_LEN: usize = 2304;

/// The ML-KEM-768 key of a bundle. One of the two, never both: a last resort is for when there is no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KemPreKey {
    /// For one session.
    OneTime(KemEntry),
    /// For every session that gets no other.
    LastResort(LastResortPreKey),
}

impl KemPreKey {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &KemPublicKey {
        match self {
            Self::OneTime(entry) => &entry.prekey.key,
            Self::LastResort(prekey) => &prekey.key,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::OneTime(entry) => entry.write(out.u8(ONE_TIME)),
            Self::LastResort(prekey) => prekey.write(out.u8(LAST_RESORT)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PreKeyError> {
        match reader.u8()? {
            ONE_TIME => KemEntry::read(reader).map(Self::OneTime),
            LAST_RESORT => LastResortPreKey::read(reader).map(Self::LastResort),
            other => Err(CodecError::UnknownVariant(other).into()),
        }
    }
}

/// The prekeys for one session with a device: wire input that proves nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreKeyBundle {
    /// The signed prekey.
    pub signed_prekey: SignedPreKey,
    /// A one-time X25519 prekey; absent when the device's pool was empty.
    pub one_time: Option<OneTimeEntry>,
    /// An ML-KEM-768 prekey; absent if the device has left none, so that PQXDH is not possible.
    pub kem: Option<KemPreKey>,
}

impl PreKeyBundle {
    /// Decodes a bundle.
    ///
    /// # Errors
    /// What makes the encoding or a key in it invalid.
    pub fn decode(bytes: &[u8]) -> Result<Self, PreKeyError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8()?;
        if !matches!(format, FORMAT | FORMAT_KEM) {
            return Err(CodecError::UnknownFormat(format).into());
        }
        let signed_prekey = SignedPreKey::read(&mut reader)?;
        let one_time = reader.optional(OneTimeEntry::read)?;
        let kem = if format == FORMAT_KEM { Some(KemPreKey::read(&mut reader)?) } else { None };
        reader.end()?;
        Ok(Self { signed_prekey, one_time, kem })
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(if self.kem.is_some() { FORMAT_KEM } else { FORMAT });
        self.signed_prekey.write(&mut out);
        out.optional(self.one_time.as_ref(), |out, entry| entry.write(out));
        if let Some(kem) = &self.kem {
            kem.write(&mut out);
        }
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
        let mut floor = self.signed_prekey.floor;
        if let Some(KemPreKey::LastResort(prekey)) = &self.kem {
            prekey.verify(origin, label, device, now)?;
            floor = floor.max(prekey.floor);
        }
        if let Some(entry) = &self.one_time {
            entry.verify(origin, label, device, now)?;
            check_floor(entry.header.batch, floor)?;
        }
        if let Some(KemPreKey::OneTime(entry)) = &self.kem {
            entry.verify(origin, label, device, now)?;
            check_floor(entry.header.batch, floor)?;
        }
        Ok(VerifiedBundle { device: device.clone(), bundle: self })
    }
}

fn check_floor(batch: u32, floor: u32) -> Result<(), PreKeyError> {
    if batch < floor { Err(PreKeyError::BelowFloor { batch, floor }) } else { Ok(()) }
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

    /// The ML-KEM prekey, if there is one.
    #[must_use]
    pub fn kem(&self) -> Option<&KemPreKey> {
        self.bundle.kem.as_ref()
    }
}
