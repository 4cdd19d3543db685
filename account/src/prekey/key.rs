//! The two types of prekey, and what the structures need to know of a type.

use core::fmt::Debug;

use keyglass_crypto::{
    dh::DhPublicKey,
    kem::{self, KemPublicKey},
};

use super::PreKeyError;
use crate::{
    codec::{CodecError, Reader, Writer},
    tag,
};

/// What a prekey is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// X25519, for either suite.
    X25519,
    /// ML-KEM-768, for PQXDH.
    MlKem768,
}

impl KeyType {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::X25519 => 1,
            Self::MlKem768 => 2,
        }
    }
}

/// A public key that can be a prekey: [`DhPublicKey`] or [`KemPublicKey`].
pub trait PreKey: Clone + PartialEq + Eq + Debug + sealed::Codec {
    /// Its type.
    const TYPE: KeyType;
    /// Bytes of a key.
    const LEN: usize;
    /// Keys in one batch at most.
    const MAX_LEAVES: u16;
}

pub(super) mod sealed {
    use super::{PreKeyError, Reader, Writer};

    /// What nobody outside needs, and what keeps others from adding types.
    pub trait Codec: Sized {
        /// Separates the signature over a signed prekey.
        const SIGNED_TAG: &str;
        /// Separates the signature over a batch.
        const BATCH_TAG: &str;
        /// Appends the key.
        fn write(&self, out: &mut Writer);
        /// Takes the key that has the number `id`.
        fn read(reader: &mut Reader<'_>, id: u32) -> Result<Self, PreKeyError>;
    }
}

impl PreKey for DhPublicKey {
    const TYPE: KeyType = KeyType::X25519;
    const LEN: usize = 32;
    const MAX_LEAVES: u16 = super::MAX_LEAVES;
}

impl sealed::Codec for DhPublicKey {
    const SIGNED_TAG: &str = tag::SIGNED_PREKEY;
    const BATCH_TAG: &str = tag::PREKEY_BATCH;

    fn write(&self, out: &mut Writer) {
        out.bytes(&self.to_bytes());
    }

    fn read(reader: &mut Reader<'_>, id: u32) -> Result<Self, PreKeyError> {
        Self::from_bytes(&reader.array()?).map_err(|error| PreKeyError::BadKey { id, error })
    }
}

impl PreKey for KemPublicKey {
    const TYPE: KeyType = KeyType::MlKem768;
    const LEN: usize = kem::PUBLIC_KEY_LEN;
    const MAX_LEAVES: u16 = super::MAX_KEM_LEAVES;
}

impl sealed::Codec for KemPublicKey {
    const SIGNED_TAG: &str = tag::LAST_RESORT_PREKEY;
    const BATCH_TAG: &str = tag::KEM_PREKEY_BATCH;

    fn write(&self, out: &mut Writer) {
        out.bytes(self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>, id: u32) -> Result<Self, PreKeyError> {
        Self::from_bytes(&reader.array()?).map_err(|error| PreKeyError::BadKemKey { id, error })
    }
}

/// Takes the type byte, which must be that of `K`.
pub(super) fn read_type<K: PreKey>(reader: &mut Reader<'_>) -> Result<(), CodecError> {
    match reader.u8()? {
        byte if byte == K::TYPE.to_byte() => Ok(()),
        other => Err(CodecError::UnknownVariant(other)),
    }
}
