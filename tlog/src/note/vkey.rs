//! Verifier keys and the names and ids that select them (signed-note, "Verifier keys").

use core::{fmt, str::FromStr};

use keyglass_crypto::{
    hash::sha256,
    ml_dsa::{self, MlDsaVerifyingKey},
    sign::VerifyingKey,
};
use thiserror::Error;

use crate::text;

/// The longest vkey that is read, in bytes; one with an ML-DSA-44 key and a long name is about 2,000.
pub const MAX_VKEY_LEN: usize = 8192;

/// Why a text is not a verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VkeyError {
    /// More than [`MAX_VKEY_LEN`] bytes.
    #[error("the verifier key is too long")]
    TooLong,
    /// Not three parts joined by `+`.
    #[error("a verifier key is name+id+key")]
    NotThreeParts,
    /// The name is none; see [`KeyName`].
    #[error(transparent)]
    BadName(#[from] KeyNameError),
    /// The id is not eight lower-case hexadecimal digits.
    #[error("the key id is not eight lower-case hexadecimal digits")]
    BadId,
    /// The third part is not canonical base64 of at least one byte.
    #[error("the key is not canonical base64")]
    BadBase64,
    /// The signature type is not one that this crate verifies.
    #[error("signature type {0:#04x} is not supported")]
    UnknownType(u8),
    /// The key is of the wrong length, not canonical, or of small order.
    #[error("the public key is not a valid key of its type")]
    BadKey,
    /// The id is not the one of this name, type and key.
    #[error("the key id is not the one of this key")]
    WrongId,
}

/// The name is empty, or has a space, a plus sign or a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key name is not empty and has no space, plus sign or control character")]
pub struct KeyNameError;

/// The name of a key: not empty, without Unicode spaces, `+` and control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Takes a name.
    ///
    /// # Errors
    /// [`KeyNameError`].
    pub fn new(name: &str) -> Result<Self, KeyNameError> {
        let allowed = |c: char| !c.is_whitespace() && c != '+' && c >= ' ';
        if !name.is_empty() && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(KeyNameError)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(name: &str) -> Result<Self, KeyNameError> {
        Self::new(name)
    }
}

/// The id that selects a key of a name. It is short: it identifies and authenticates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// The id that signed-note recommends: the first four bytes of SHA-256(name ‖ LF ‖ type ‖ key).
    #[must_use]
    pub fn of(name: &KeyName, signature_type: u8, public_key: &[u8]) -> Self {
        let [a, b, c, d, ..] = sha256(&[name.0.as_bytes(), b"\n", &[signature_type], public_key]);
        Self([a, b, c, d])
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        if text.len() != 8 || !text.as_bytes().iter().all(lower_hex) {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(|id| Self(id.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A public key together with what its signatures mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// 0x01: Ed25519 over the note's text.
    Ed25519(VerifyingKey),
    /// 0x04: timestamped Ed25519 cosignatures of checkpoints.
    Ed25519Cosigner(VerifyingKey),
    /// 0x06: timestamped ML-DSA-44 cosignatures of checkpoints.
    MlDsa44Cosigner(MlDsaVerifyingKey),
}

impl PublicKey {
    /// The signature type identifier byte.
    #[must_use]
    pub fn signature_type(&self) -> u8 {
        match self {
            Self::Ed25519(_) => 0x01,
            Self::Ed25519Cosigner(_) => 0x04,
            Self::MlDsa44Cosigner(_) => 0x06,
        }
    }

    /// Whether its signatures carry a time and are cosignatures.
    #[must_use]
    pub fn is_cosigner(&self) -> bool {
        match self {
            Self::Ed25519(_) => false,
            Self::Ed25519Cosigner(_) | Self::MlDsa44Cosigner(_) => true,
        }
    }

    /// The key material without its type. Two keys with equal material are duplicates in the sense of tlog-policy.
    #[must_use]
    pub fn material(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) | Self::Ed25519Cosigner(key) => key.to_bytes().to_vec(),
            Self::MlDsa44Cosigner(key) => key.as_bytes().to_vec(),
        }
    }

    fn decode(signature_type: u8, material: &[u8]) -> Result<Self, VkeyError> {
        let ed25519 = || {
            let bytes = material.try_into().map_err(|_| VkeyError::BadKey)?;
            VerifyingKey::from_bytes(bytes).map_err(|_| VkeyError::BadKey)
        };
        match signature_type {
            0x01 => Ok(Self::Ed25519(ed25519()?)),
            0x04 => Ok(Self::Ed25519Cosigner(ed25519()?)),
            0x06 => {
                let bytes: &[u8; ml_dsa::PUBLIC_KEY_LEN] =
                    material.try_into().map_err(|_| VkeyError::BadKey)?;
                Ok(Self::MlDsa44Cosigner(MlDsaVerifyingKey::from_bytes(bytes)))
            }
            other => Err(VkeyError::UnknownType(other)),
        }
    }
}

/// A verifier key: a public key, its name, and the id of both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vkey {
    name: KeyName,
    id: KeyId,
    key: PublicKey,
}

impl Vkey {
    /// The verifier key of `key` under `name`.
    #[must_use]
    pub fn new(name: KeyName, key: PublicKey) -> Self {
        let id = KeyId::of(&name, key.signature_type(), &key.material());
        Self { name, id, key }
    }

    /// Reads `name+id+key`.
    ///
    /// # Errors
    /// [`VkeyError`].
    pub fn parse(vkey: &str) -> Result<Self, VkeyError> {
        if vkey.len() > MAX_VKEY_LEN {
            return Err(VkeyError::TooLong);
        }
        // Base64 has plus signs of its own: only the first two separate.
        let (name, rest) = vkey.split_once('+').ok_or(VkeyError::NotThreeParts)?;
        let (id, key) = rest.split_once('+').ok_or(VkeyError::NotThreeParts)?;
        let name = KeyName::new(name)?;
        let id = KeyId::parse(id).ok_or(VkeyError::BadId)?;
        let key = text::parse_base64(key).ok_or(VkeyError::BadBase64)?;
        let (&signature_type, material) = key.split_first().ok_or(VkeyError::BadBase64)?;
        let vkey = Self::new(name, PublicKey::decode(signature_type, material)?);
        if vkey.id == id { Ok(vkey) } else { Err(VkeyError::WrongId) }
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = vec![self.key.signature_type()];
        encoded.extend(self.key.material());
        write!(f, "{}+{}+{}", self.name, self.id, text::base64(&encoded))
    }
}

impl FromStr for Vkey {
    type Err = VkeyError;

    fn from_str(vkey: &str) -> Result<Self, VkeyError> {
        Self::parse(vkey)
    }
}
