//! Short-lived tokens.
//!
//! ```text
//! Authorization: Bearer <base64url, unpadded, of Token>
//!
//! struct { uint8 format = 1;  opaque label<1..255>;  uint32 device;  uint64 expires;  opaque mac[32]; } Token;
//! ```
//!
//! The MAC is HMAC-SHA256 under the server's key over tag, origin, label, device and expiry. Clients treat a token as
//! an opaque string.

use keyglass_crypto::{
    kdf::hmac_sha256,
    secret::{Secret, equal},
};

use super::{AuthError, decode_header, encode_header};
use crate::{
    codec::{Reader, Writer},
    label, tag,
    time::UnixMillis,
};

/// The scheme of the `Authorization` header.
pub const BEARER: &str = "Bearer";

const FORMAT: u8 = 1;
const MAX_LEN: usize = 1 + 256 + 4 + 8 + 32;

/// That a device has proven to the server who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The account.
    pub label: Vec<u8>,
    /// The device in it.
    pub device: u32,
    /// From when on the token is refused.
    pub expires: UnixMillis,
}

impl Token {
    /// The value of the `Authorization` header, authenticated under the server's `key` for the log `origin`.
    #[must_use]
    pub fn to_header(&self, key: &Secret<32>, origin: &str) -> String {
        let mut out = Writer::new();
        out.u8(FORMAT).opaque8(&self.label).u32(self.device).u64(self.expires.0);
        out.bytes(&self.mac(key, origin));
        encode_header(BEARER, &out.finish())
    }

    /// Decodes and verifies the value of an `Authorization` header.
    ///
    /// # Errors
    /// [`AuthError::BadHeader`], [`AuthError::Codec`], [`AuthError::Label`], [`AuthError::BadToken`] or
    /// [`AuthError::TokenExpired`].
    pub fn from_header(
        header: &str,
        key: &Secret<32>,
        origin: &str,
        now: UnixMillis,
    ) -> Result<Self, AuthError> {
        let bytes = decode_header(BEARER, header, MAX_LEN)?;
        let mut reader = Reader::new(&bytes);
        reader.format(FORMAT)?;
        let label = reader.opaque8(0, label::MAX_LABEL_LEN)?.to_owned();
        label::check(&label)?;
        let token = Self { label, device: reader.u32()?, expires: UnixMillis(reader.u64()?) };
        let mac: [u8; 32] = reader.array()?;
        reader.end()?;
        if !equal(&mac, &token.mac(key, origin)) {
            return Err(AuthError::BadToken);
        }
        if now >= token.expires {
            return Err(AuthError::TokenExpired);
        }
        Ok(token)
    }

    fn mac(&self, key: &Secret<32>, origin: &str) -> [u8; 32] {
        let mut message = tag::signed(tag::TOKEN, origin, &self.label);
        message.u32(self.device).u64(self.expires.0);
        hmac_sha256(key.expose(), &[&message.finish()])
    }
}
