//! Registration tokens: JSON Web Tokens (RFC 7519) in the compact serialisation, signed with Ed25519 (RFC 8037), as the
//! operator's account service gives them to a person whom it lets have a label.
//!
//! | Claim | |
//! |---|---|
//! | `sub` | the label, as it is registered |
//! | `aud` | the log's origin; an array may name others beside it |
//! | `iat`, `exp` | seconds; at most a week apart |
//! | `nbf` | seconds; if there, not before this |
//! | `jti` | 1 to 128 bytes, for the service's own records |
//!
//! The header has `alg`, which is `EdDSA`, `kid` and perhaps `typ`, and nothing else: nothing in a token says where its key
//! would be found. Clocks may differ by a minute. A label has one version 0, so that a token serves once however often it is
//! shown.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keyglass_account::problem::Problem;
use keyglass_crypto::sign::Signature;
use keyglass_tlog::time::UnixMillis;
use serde::{Deserialize, de::IgnoredAny};
use thiserror::Error;

use super::keys::TokenKeys;

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 4096;
/// By how much the account service's clock and this one may differ, in seconds.
pub const LEEWAY: u64 = 60;
/// The longest that a token may be good for, in seconds: a week.
pub const MAX_LIFETIME: u64 = 7 * 24 * 3600;
/// The longest `jti`, in bytes.
const MAX_ID: usize = 128;
/// The most entries of an `aud` array.
const MAX_AUDIENCES: usize = 16;

/// Why a token does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a token of this kind: its form, its algorithm, a claim that is missing or of another type.
    #[error("the token is not a JWT with alg EdDSA, kid, sub, aud, iat, exp and jti")]
    Malformed,
    /// No key of the operator has this `kid`.
    #[error("the token names a key that is not one of the operator's")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the token's signature does not verify")]
    Signature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYet,
    /// `exp` is more than a week after `iat`, or before it.
    #[error("the token is good for longer than a week, or for no time")]
    Lifetime,
    /// For another log.
    #[error("the token is for another log")]
    Audience,
    /// For another label.
    #[error("the token is for another label")]
    Label,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => Self::RegistrationTokenMalformed,
            TokenError::UnknownKey => Self::RegistrationTokenKey,
            TokenError::Signature => Self::RegistrationTokenSignature,
            TokenError::Expired => Self::RegistrationTokenExpired,
            TokenError::NotYet => Self::RegistrationTokenNotYetValid,
            TokenError::Lifetime => Self::RegistrationTokenLifetime,
            TokenError::Audience => Self::RegistrationTokenAudience,
            TokenError::Label => Self::RegistrationTokenLabel,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default, rename = "typ")]
    _typ: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    exp: u64,
    iat: u64,
    #[serde(default)]
    nbf: Option<u64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn is(&self, origin: &str) -> bool {
        match self {
            Self::One(audience) => audience == origin,
            Self::Several(audiences) => {
                audiences.len() <= MAX_AUDIENCES && audiences.iter().any(|audience| audience == origin)
            }
        }
    }
}

/// Whether a token lets an account begin under `label` in the log `origin`. The signature is checked before any claim.
///
/// # Errors
/// The first [`TokenError`].
pub fn verify(
    keys: &TokenKeys,
    token: &str,
    origin: &str,
    label: &[u8],
    now: UnixMillis,
) -> Result<(), TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if claims.contains('.') {
        return Err(TokenError::Malformed);
    }
    let header: Header = json(header)?;
    if header.alg != "EdDSA" {
        return Err(TokenError::Malformed);
    }
    let key = keys.get(&header.kid).ok_or(TokenError::UnknownKey)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
    let signature = signature.try_into().map_err(|_| TokenError::Malformed)?;
    key.verify(signed.as_bytes(), &Signature(signature)).map_err(|_| TokenError::Signature)?;
    judge(&json(claims)?, origin, label, now.0 / 1000)
}

fn judge(claims: &Claims, origin: &str, label: &[u8], now: u64) -> Result<(), TokenError> {
    if !(1..=MAX_ID).contains(&claims.jti.len()) {
        return Err(TokenError::Malformed);
    }
    if !claims.aud.is(origin) {
        return Err(TokenError::Audience);
    }
    if claims.sub.as_bytes() != label {
        return Err(TokenError::Label);
    }
    match claims.exp.checked_sub(claims.iat) {
        Some(1..=MAX_LIFETIME) => {}
        _ => return Err(TokenError::Lifetime),
    }
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(TokenError::Expired);
    }
    if claims.iat.max(claims.nbf.unwrap_or(0)) > now.saturating_add(LEEWAY) {
        return Err(TokenError::NotYet);
    }
    Ok(())
}

/// A JSON object in base64url. No object is taken in which a name stands twice: who reads the first and who reads the last
/// would read two tokens.
fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    let names: Names = serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)?;
    if names.has_duplicates {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

/// The member names of an object.
struct Names {
    has_duplicates: bool,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Names;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut seen = std::collections::BTreeSet::new();
                let mut has_duplicates = false;
                while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    has_duplicates |= !seen.insert(name);
                }
                Ok(Names { has_duplicates })
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
