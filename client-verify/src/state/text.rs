//! How bytes stand in the JSON of a home: base64, decoded strictly. For `#[serde(with = …)]`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
use zeroize::Zeroizing;

/// Byte strings of any length.
pub(super) mod bytes {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(&text).map_err(|_| D::Error::custom("not base64"))
    }
}

/// Public values of 32 bytes.
pub(super) mod array {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::bytes::serialize(bytes, serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let bytes = super::bytes::deserialize(deserializer)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
    }
}

/// Ids of 16 bytes.
pub(super) mod id {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8; 16],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::bytes::serialize(bytes, serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 16], D::Error> {
        let bytes = super::bytes::deserialize(deserializer)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 16 bytes"))
    }
}

/// Ed25519 public keys.
pub(super) mod verifying_key {
    use keyglass_crypto::sign::VerifyingKey;

    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        key: &VerifyingKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::array::serialize(&key.to_bytes(), serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<VerifyingKey, D::Error> {
        VerifyingKey::from_bytes(&super::array::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Secrets of a fixed length.
pub(super) mod secret {
    use keyglass_crypto::secret::Secret;

    use super::*;

    pub(in super::super) fn serialize<const N: usize, S: Serializer>(
        secret: &Secret<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new(String::with_capacity(N.div_ceil(3).saturating_mul(4)));
        STANDARD.encode_string(secret.expose(), &mut text);
        serializer.serialize_str(&text)
    }

    pub(in super::super) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret<N>, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes =
            Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| D::Error::custom("not base64"))?);
        let wrong_length = |_| D::Error::custom(format_args!("not {N} bytes"));
        let array: &[u8; N] = bytes.as_slice().try_into().map_err(wrong_length)?;
        Ok(Secret::new(*array))
    }
}

/// Public values of 32 bytes that may be missing.
pub(super) mod optional_array {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Array(#[serde(with = "super::array")] [u8; 32]);

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.map(Array).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        Ok(Option::<Array>::deserialize(deserializer)?.map(|Array(bytes)| bytes))
    }
}

/// Secrets of a fixed length that may have been erased.
pub(super) mod optional_secret {
    use keyglass_crypto::secret::Secret;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize)]
    struct Borrowed<'a, const N: usize>(#[serde(with = "super::secret")] &'a Secret<N>);

    #[derive(Deserialize)]
    struct Owned<const N: usize>(#[serde(with = "super::secret")] Secret<N>);

    pub(in super::super) fn serialize<const N: usize, S: Serializer>(
        secret: &Option<Secret<N>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Borrowed).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret<N>>, D::Error> {
        Ok(Option::<Owned<N>>::deserialize(deserializer)?.map(|Owned(secret)| secret))
    }
}
