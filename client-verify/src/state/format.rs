//! The format number that starts every document.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The number `N` in a document's `format` field, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Format<const N: u32>;

impl<const N: u32> Serialize for Format<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(N)
    }
}

impl<'de, const N: u32> Deserialize<'de> for Format<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            found if found == N => Ok(Self),
            found => Err(D::Error::custom(format_args!("format {found}, expected {N}"))),
        }
    }
}
