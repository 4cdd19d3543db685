//! The public keys of the operator's account service: a JWK Set (RFC 7517 section 5) of Ed25519 keys (RFC 8037).
//!
//! ```text
//! {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "2026-11", "x": "<base64url of the public key>"}]}
//! ```
//!
//! Each key has a `kid` of its own, by which tokens name it. `alg`, if there, is `EdDSA`, and `use` is `sig`. A set with a
//! private key in it is refused: it does not belong here.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keyglass_crypto::sign::VerifyingKey;
use serde::Deserialize;
use thiserror::Error;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;
/// The most keys in a set.
pub const MAX_KEYS: usize = 64;
/// The longest `kid`, in bytes.
pub const MAX_KID: usize = 128;

/// Why the keys cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no set of Ed25519 keys.
    #[error("{path}: {error}")]
    Set {
        /// The file.
        path: String,
        /// Why.
        error: KeySetError,
    },
}

/// Why a text is no set of Ed25519 keys.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// Not the JSON of a JWK Set, or too long.
    #[error("not a JWK Set of Ed25519 public keys")]
    Json,
    /// No key, or more than 64.
    #[error("a set has 1 to {MAX_KEYS} keys")]
    Count,
    /// A key is of another kind, for another purpose, or for another algorithm.
    #[error("key {0} is not an Ed25519 key for signatures")]
    Kind(usize),
    /// A key has no `kid`, one that is too long, or that of another.
    #[error("key {0} has no kid of its own of at most {MAX_KID} bytes")]
    Kid(usize),
    /// A key is not 32 bytes in base64url, or refused.
    #[error("key {0} is not a canonical Ed25519 public key")]
    Key(usize),
    /// The set holds a private key.
    #[error("key {0} is a private key, which does not belong into this file")]
    Private(usize),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    x: Option<String>,
    d: Option<serde::de::IgnoredAny>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
}

/// The keys by their `kid`.
#[derive(Debug, Clone)]
pub struct TokenKeys(BTreeMap<String, VerifyingKey>);

impl TokenKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let name = || path.display().to_string();
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut text))
            .map_err(|source| KeyFileError::Read { path: name(), source })?;
        Self::parse(&text).map_err(|error| KeyFileError::Set { path: name(), error })
    }

    /// Takes a set apart.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        if u64::try_from(text.len()).is_ok_and(|len| len > MAX_FILE) {
            return Err(KeySetError::Json);
        }
        let Set { keys } = serde_json::from_slice(text).map_err(|_| KeySetError::Json)?;
        if !(1..=MAX_KEYS).contains(&keys.len()) {
            return Err(KeySetError::Count);
        }
        let mut known = BTreeMap::new();
        for (place, jwk) in (1..).zip(keys) {
            if jwk.d.is_some() {
                return Err(KeySetError::Private(place));
            }
            let is = |member: &Option<String>, value| member.as_deref().is_none_or(|member| member == value);
            if jwk.kty != "OKP"
                || jwk.crv.as_deref() != Some("Ed25519")
                || !is(&jwk.alg, "EdDSA")
                || !is(&jwk.purpose, "sig")
            {
                return Err(KeySetError::Kind(place));
            }
            let kid =
                jwk.kid.filter(|kid| (1..=MAX_KID).contains(&kid.len())).ok_or(KeySetError::Kid(place))?;
            let x = jwk.x.and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
            let x: Option<[u8; 32]> = x.and_then(|x| x.try_into().ok());
            let key = x.and_then(|x| VerifyingKey::from_bytes(&x).ok()).ok_or(KeySetError::Key(place))?;
            if known.insert(kid, key).is_some() {
                return Err(KeySetError::Kid(place));
            }
        }
        Ok(Self(known))
    }

    /// The key that a token names.
    #[must_use]
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(kid)
    }

    /// How many there are: at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8037, appendix A.2.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn parse(text: &str) -> Result<TokenKeys, KeySetError> {
        TokenKeys::parse(text.as_bytes())
    }

    fn key(members: &str) -> String {
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a",{members}"x":"{X}"}}]}}"#)
    }

    #[test]
    fn sets_of_ed25519_keys_are_taken() {
        let keys = parse(&key("")).unwrap();
        assert!(keys.get("a").is_some() && keys.get("b").is_none() && keys.len() == 1);
        parse(&key(r#""alg":"EdDSA","use":"sig","key_ops":["verify"],"#)).unwrap();
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[{}]}"#] {
            assert!(matches!(parse(text), Err(KeySetError::Json)), "{text}");
        }
        assert!(matches!(parse(r#"{"keys":[]}"#), Err(KeySetError::Count)));
        assert!(matches!(parse(&key(r#""d":"AAAA","#)), Err(KeySetError::Private(1))));
        for members in [r#""alg":"ES256","#, r#""use":"enc","#] {
            assert!(matches!(parse(&key(members)), Err(KeySetError::Kind(1))), "{members}");
        }
        for (from, to) in [("OKP", "EC"), ("Ed25519", "X25519"), (r#""crv":"Ed25519","#, "")] {
            assert!(matches!(parse(&key("").replace(from, to)), Err(KeySetError::Kind(1))), "{to}");
        }
        let long = format!(r#""kid":"{}""#, "k".repeat(MAX_KID + 1));
        for kid in [r#""kid":"""#, &long] {
            assert!(matches!(parse(&key("").replace(r#""kid":"a""#, kid)), Err(KeySetError::Kid(1))));
        }
        let small = "A".repeat(43);
        for x in ["", "AAAA", &format!("{X}="), &small] {
            assert!(matches!(parse(&key("").replace(X, x)), Err(KeySetError::Key(1))), "{x}");
        }
        let one = key("");
        let inner = one.strip_prefix(r#"{"keys":["#).unwrap().strip_suffix("]}").unwrap();
        assert!(matches!(parse(&format!(r#"{{"keys":[{inner},{inner}]}}"#)), Err(KeySetError::Kid(2))));
        let many: Vec<String> =
            (0..=MAX_KEYS).map(|n| inner.replace(r#""a""#, &format!(r#""{n}""#))).collect();
        assert!(matches!(parse(&format!(r#"{{"keys":[{}]}}"#, many.join(","))), Err(KeySetError::Count)));
    }
}
