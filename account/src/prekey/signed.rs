//! Signed prekeys.

use keyglass_crypto::{
    dh::DhPublicKey,
    sign::{Signature, SigningKey},
};

use super::{FORMAT, PreKeyError, X25519, read_key, read_type};
use crate::{
    codec::{Reader, Writer},
    device::Device,
    tag,
    time::UnixMillis,
};

/// Bytes of an encoded signed prekey.
pub const SIGNED_PREKEY_LEN: usize = 126;

/// The medium-term key of a device, as decoded or signed: not yet known to be the device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPreKey {
    /// The device in the account.
    pub device: u32,
    /// Its number among the device's signed prekeys; a later one has a greater number.
    pub id: u32,
    /// The key.
    pub key: DhPublicKey,
    /// When the device made it, by the device's clock.
    pub created: UnixMillis,
    /// From when on nobody may use it.
    pub expires: UnixMillis,
    /// The lowest batch of one-time prekeys that the device still serves.
    pub floor: u32,
    /// By the device's signing key.
    pub signature: Signature,
}

impl SignedPreKey {
    /// Signs `key` for the device with `signing_key`.
    ///
    /// # Errors
    /// [`PreKeyError::ExpiresBeforeCreated`].
    #[expect(clippy::too_many_arguments, reason = "each is a field of the signed structure")]
    pub fn sign(
        origin: &str,
        label: &[u8],
        signing_key: &SigningKey,
        device: u32,
        id: u32,
        key: DhPublicKey,
        created: UnixMillis,
        expires: UnixMillis,
        floor: u32,
    ) -> Result<Self, PreKeyError> {
        if expires <= created {
            return Err(PreKeyError::ExpiresBeforeCreated);
        }
        let mut prekey = Self { device, id, key, created, expires, floor, signature: Signature([0; 64]) };
        prekey.signature = signing_key.sign(&prekey.message(origin, label));
        Ok(prekey)
    }

    /// Decodes a signed prekey.
    ///
    /// # Errors
    /// [`PreKeyError::Codec`], [`PreKeyError::BadKey`] or [`PreKeyError::ExpiresBeforeCreated`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PreKeyError> {
        let mut reader = Reader::new(bytes);
        let prekey = Self::read(&mut reader)?;
        reader.end()?;
        Ok(prekey)
    }

    /// The encoding, of [`SIGNED_PREKEY_LEN`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    /// Checks that `device` signed this prekey for `label` in the log `origin` and that it has not expired at `now`.
    ///
    /// # Errors
    /// [`PreKeyError::WrongDevice`], [`PreKeyError::BadSignature`] or [`PreKeyError::Expired`].
    pub fn verify(
        &self,
        origin: &str,
        label: &[u8],
        device: &Device,
        now: UnixMillis,
    ) -> Result<(), PreKeyError> {
        if self.device != device.id {
            return Err(PreKeyError::WrongDevice { found: self.device, expected: device.id });
        }
        device
            .signing_key
            .verify(&self.message(origin, label), &self.signature)
            .map_err(|_| PreKeyError::BadSignature)?;
        if now >= self.expires {
            return Err(PreKeyError::Expired);
        }
        Ok(())
    }

    fn message(&self, origin: &str, label: &[u8]) -> Vec<u8> {
        let mut message = tag::signed(tag::SIGNED_PREKEY, origin, label);
        self.write_fields(&mut message);
        message.finish()
    }

    fn write_fields(&self, out: &mut Writer) {
        out.u8(FORMAT).u8(X25519).u32(self.device).u32(self.id).bytes(&self.key.to_bytes());
        out.u64(self.created.0).u64(self.expires.0).u32(self.floor);
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.write_fields(out);
        out.bytes(&self.signature.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, PreKeyError> {
        reader.format(FORMAT)?;
        read_type(reader)?;
        let device = reader.u32()?;
        let id = reader.u32()?;
        let prekey = Self {
            device,
            id,
            key: read_key(reader, id)?,
            created: UnixMillis(reader.u64()?),
            expires: UnixMillis(reader.u64()?),
            floor: reader.u32()?,
            signature: Signature(reader.array()?),
        };
        if prekey.expires <= prekey.created {
            return Err(PreKeyError::ExpiresBeforeCreated);
        }
        Ok(prekey)
    }
}
