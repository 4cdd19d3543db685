//! Requests signed by a device.
//!
//! ```text
//! Authorization: Keyglass-Device <base64url, unpadded, of Credential>
//!
//! struct {
//!   uint8 format = 1;  opaque label<1..255>;  uint32 device;  uint64 time;  opaque nonce[16];
//!   opaque signature[64];
//! } Credential;
//! ```
//!
//! The signature covers tag, origin, label, then
//! `uint32 device; uint64 time; opaque nonce[16]; opaque method<1..255>; opaque path<1..2^16-1>; opaque body_hash[32]`,
//! where `path` is the request target as sent, with its query, and `body_hash` the SHA-256 of the body's bytes.

use core::time::Duration;

use keyglass_crypto::{
    hash::sha256,
    sign::{Signature, SigningKey, VerifyingKey},
};

use super::{AuthError, decode_header, encode_header};
use crate::{
    codec::{Reader, Writer},
    label, tag,
    time::UnixMillis,
};

/// The scheme of the `Authorization` header.
pub const SCHEME: &str = "Keyglass-Device";
/// How far the time of a request may lie from the server's clock, either way.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(300);

const FORMAT: u8 = 1;
const MAX_LEN: usize = 1 + 256 + 4 + 8 + 16 + 64;

/// What of an HTTP request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The origin of the log whose server is asked.
    pub origin: &'a str,
    /// The method, in capitals.
    pub method: &'a str,
    /// The request target: path and query, as sent.
    pub path: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

/// Who claims to have sent a request, when, and the signature that should prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub label: Vec<u8>,
    /// The device in it.
    pub device: u32,
    /// The device's clock.
    pub time: UnixMillis,
    /// Random, so that two requests differ; a server refuses one that it has seen within the window.
    pub nonce: [u8; 16],
    /// By the device's signing key.
    pub signature: Signature,
}

impl Credential {
    /// Signs a request. `nonce` must be random and not used before.
    #[must_use]
    pub fn sign(
        request: &Request<'_>,
        label: &[u8],
        device: u32,
        signing_key: &SigningKey,
        time: UnixMillis,
        nonce: [u8; 16],
    ) -> Self {
        let mut credential =
            Self { label: label.to_owned(), device, time, nonce, signature: Signature([0; 64]) };
        credential.signature = signing_key.sign(&credential.message(request));
        credential
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn to_header(&self) -> String {
        let mut out = Writer::new();
        out.u8(FORMAT).opaque8(&self.label).u32(self.device).u64(self.time.0);
        out.bytes(&self.nonce).bytes(&self.signature.0);
        encode_header(SCHEME, &out.finish())
    }

    /// Decodes the value of an `Authorization` header. Nothing is verified yet.
    ///
    /// # Errors
    /// [`AuthError::BadHeader`], [`AuthError::Codec`] or [`AuthError::Label`].
    pub fn from_header(header: &str) -> Result<Self, AuthError> {
        let bytes = decode_header(SCHEME, header, MAX_LEN)?;
        let mut reader = Reader::new(&bytes);
        reader.format(FORMAT)?;
        let label = reader.opaque8(0, label::MAX_LABEL_LEN)?.to_owned();
        label::check(&label)?;
        let credential = Self {
            label,
            device: reader.u32()?,
            time: UnixMillis(reader.u64()?),
            nonce: reader.array()?,
            signature: Signature(reader.array()?),
        };
        reader.end()?;
        Ok(credential)
    }

    /// Checks that the holder of `device_key`, the signing key of the device named here, signed `request` no further
    /// than `window` from `now`. That the nonce is new is for the server to check, after this.
    ///
    /// # Errors
    /// [`AuthError::OutsideWindow`] or [`AuthError::BadSignature`].
    pub fn verify(
        &self,
        request: &Request<'_>,
        device_key: &VerifyingKey,
        now: UnixMillis,
        window: Duration,
    ) -> Result<(), AuthError> {
        let apart = self.time.saturating_since(now).max(now.saturating_since(self.time));
        if apart > window {
            return Err(AuthError::OutsideWindow);
        }
        device_key.verify(&self.message(request), &self.signature).map_err(|_| AuthError::BadSignature)
    }

    fn message(&self, request: &Request<'_>) -> Vec<u8> {
        let mut message = tag::signed(tag::REQUEST, request.origin, &self.label);
        message.u32(self.device).u64(self.time.0).bytes(&self.nonce);
        message.opaque8(request.method.as_bytes()).opaque16(request.path.as_bytes());
        message.bytes(&sha256(&[request.body]));
        message.finish()
    }
}
