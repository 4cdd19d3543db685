//! Bytes in JSON: base64 and hex, bounded before they are decoded.

use core::{fmt, marker::PhantomData};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};
use thiserror::Error;

use crate::label::MAX_LABEL_LEN;

/// Why a string is not the binary value that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BinaryError {
    /// Not standard base64 with padding and zero trailing bits.
    #[error("not base64")]
    NotBase64,
    /// Not exactly 32 lower-case hex digits.
    #[error("not 32 lower-case hex digits")]
    NotHex,
    /// Outside the bounds.
    #[error("has {len} bytes, of {min} to {max} allowed")]
    Length {
        /// Bytes, at least.
        len: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
}

/// 1 to `MAX` bytes, in JSON as base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Base64<const MAX: usize>(Vec<u8>);

/// A label, in JSON as base64.
pub type Label = Base64<MAX_LABEL_LEN>;

impl<const MAX: usize> Base64<MAX> {
    /// Takes bytes over.
    ///
    /// # Errors
    /// [`BinaryError::Length`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, BinaryError> {
        if (1..=MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(BinaryError::Length { len: bytes.len(), min: 1, max: MAX })
        }
    }

    /// Decodes base64.
    ///
    /// # Errors
    /// [`BinaryError`].
    pub fn parse(text: &str) -> Result<Self, BinaryError> {
        let max_text = MAX.div_ceil(3).saturating_mul(4);
        if text.len() > max_text {
            return Err(BinaryError::Length { len: MAX.saturating_add(1), min: 1, max: MAX });
        }
        Self::new(STANDARD.decode(text).map_err(|_| BinaryError::NotBase64)?)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> Serialize for Base64<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Base64<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("base64", Self::parse))
    }
}

/// An id of 128 random bits, in JSON as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id128(pub [u8; 16]);

impl Id128 {
    /// Decodes 32 lower-case hex digits.
    ///
    /// # Errors
    /// [`BinaryError::NotHex`].
    pub fn parse(text: &str) -> Result<Self, BinaryError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(BinaryError::NotHex);
        }
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| BinaryError::NotHex)?;
        Ok(Self(id))
    }
}

impl fmt::Display for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id128({self})")
    }
}

impl Serialize for Id128 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id128 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("32 lower-case hex digits", Self::parse))
    }
}

/// Parses a string without copying it first.
struct TextVisitor<T>(&'static str, fn(&str) -> Result<T, BinaryError>);

impl<T> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

/// Deserialises a sequence of at most `MAX` elements, and stops at the first one too many.
pub(super) fn bounded<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut taken = Vec::new();
            while let Some(element) = elements.next_element()? {
                if taken.len() >= MAX {
                    return Err(A::Error::invalid_length(MAX.saturating_add(1), &self));
                }
                taken.push(element);
            }
            Ok(taken)
        }
    }

    deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
}
