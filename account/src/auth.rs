//! Who sends a request: a device's signature over it, or a token that the server gave for one.
//!
//! A signature authenticates what a device says about itself (uploads, the issue of a token). Fetching, sending and
//! reading use the token: it is authenticated by a key that only the server has, so what it proves about who
//! contacted whom, it proves to nobody else.

mod request;
mod token;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;

pub use request::{Credential, DEFAULT_WINDOW, Request, SCHEME};
pub use token::{BEARER, Token};

use crate::{codec::CodecError, label::LabelLength};

/// Why a request is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The header is of another scheme or not base64url without padding.
    #[error("the Authorization header is malformed")]
    BadHeader,
    /// The encoded credential is malformed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The label is empty or too long.
    #[error(transparent)]
    Label(#[from] LabelLength),
    /// The device did not sign this request.
    #[error("the signature of the request does not verify")]
    BadSignature,
    /// The request was signed too long ago, or in the future.
    #[error("the time of the request is outside the window")]
    OutsideWindow,
    /// The token was not issued by this server for this log.
    #[error("the token is not one of this server")]
    BadToken,
    /// The token has expired.
    #[error("the token has expired")]
    TokenExpired,
}

/// The bytes behind `scheme` in an `Authorization` header.
fn decode_header(scheme: &str, header: &str, max_len: usize) -> Result<Vec<u8>, AuthError> {
    let (found, value) = header.split_once(' ').ok_or(AuthError::BadHeader)?;
    // Four characters carry three bytes.
    if !found.eq_ignore_ascii_case(scheme) || value.len() > max_len.saturating_mul(2) {
        return Err(AuthError::BadHeader);
    }
    URL_SAFE_NO_PAD.decode(value).map_err(|_| AuthError::BadHeader)
}

fn encode_header(scheme: &str, bytes: &[u8]) -> String {
    format!("{scheme} {}", URL_SAFE_NO_PAD.encode(bytes))
}
