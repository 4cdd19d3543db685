//! HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use crate::{hash::Digest, secret::Secret};

/// More than 255 hash lengths of output were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("HKDF gives at most 8160 bytes")]
pub struct TooLong;

/// HKDF-SHA256: extract from `salt` and `ikm`, expand with `info` into `N` bytes.
///
/// # Errors
/// [`TooLong`] if `N` is more than 8160.
pub fn hkdf_sha256<const N: usize>(salt: &[u8], ikm: &[u8], info: &[u8]) -> Result<Secret<N>, TooLong> {
    let mut out = zeroize::Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(Some(salt), ikm).expand(info, out.as_mut_slice()).map_err(|_| TooLong)?;
    Ok(Secret::new(*out))
}

/// HMAC-SHA256 over the concatenation of `parts`. A key longer than 64 bytes is hashed first, as RFC 2104 says.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Digest {
    // Keys of every length are accepted; the error type of the trait has no value that occurs.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
