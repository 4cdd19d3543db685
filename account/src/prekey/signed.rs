//! Signed prekeys, and last-resort KEM prekeys, which are the same for the other type of key.

use keyglass_crypto::{
    dh::DhPublicKey,
    kem::{self, KemPublicKey},
    sign::{Signature, SigningKey},
};

use super::{
    FORMAT, PreKeyError,
    key::{PreKey, read_type},
};
use crate::{
    codec::{Reader, Writer},
    device::Device,
    tag,
    time::UnixMillis,
};

/// Bytes of everything in a signed prekey but the key.
const FIELDS_LEN: usize = 94;
/// Bytes of an encoded [`SignedPreKey`].
pub const SIGNED_PREKEY_LEN: usize = FIELDS_LEN + 32;
/// Bytes of an encoded [`LastResortPreKey`].
pub const LAST_RESORT_LEN: usize = FIELDS_LEN + kem::PUBLIC_KEY_LEN;

/// The medium-term X25519 key of a device, which every handshake uses.
pub type SignedPreKey = SignedKey<DhPublicKey>;

/// The medium-term ML-KEM-768 key of a device, for handshakes that get no one-time KEM prekey.
pub type LastResortPreKey = SignedKey<KemPublicKey>;

/// A medium-term key of a device, as decoded or signed: not yet known to be the device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedKey<K> {
    /// The device in the account.
    pub device: u32,
    /// Its number among the device's signed prekeys of both types; a later one has a greater number.
    pub id: u32,
    /// The key.
    pub key: K,
    /// When the device made it, by the device's clock.
    pub created: UnixMillis,
    /// From when on nobody may use it.
    pub expires: UnixMillis,
    /// The lowest batch of one-time prekeys that the device still serves.
    pub floor: u32,
    /// By the device's signing key.
    pub signature: Signature,
}

impl<K: PreKey> SignedKey<K> {
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
        key: K,
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
    /// [`PreKeyError::Codec`], [`PreKeyError::BadKey`], [`PreKeyError::BadKemKey`] or
    /// [`PreKeyError::ExpiresBeforeCreated`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PreKeyError> {
        let mut reader = Reader::new(bytes);
        let prekey = Self::read(&mut reader)?;
        reader.end()?;
        Ok(prekey)
    }

    /// The encoding, of [`SIGNED_PREKEY_LEN`] or [`LAST_RESORT_LEN`] bytes.
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
        let mut message = tag::signed(K::SIGNED_TAG, origin, label);
        self.write_fields(&mut message);
        message.finish()
    }

    fn write_fields(&self, out: &mut Writer) {
        out.u8(FORMAT).u8(K::TYPE.to_byte()).u32(self.device).u32(self.id);
        self.key.write(out);
        out.u64(self.created.0).u64(self.expires.0).u32(self.floor);
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.write_fields(out);
        out.bytes(&self.signature.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, PreKeyError> {
        reader.format(FORMAT)?;
        read_type::<K>(reader)?;
        let device = reader.u32()?;
        let id = reader.u32()?;
        let prekey = Self {
            device,
            id,
            key: K::read(reader, id)?,
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
