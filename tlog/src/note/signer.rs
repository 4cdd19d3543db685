//! Signing keys with their names, and the text in which they are stored.

use keyglass_crypto::{secret::Secret, sign::SigningKey};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KeyId, KeyName, KeyNameError, PublicKey, SignatureLine, Vkey};
use crate::text;

/// The first two parts of a stored signing key.
const PREFIX: &str = "PRIVATE+KEY+";

/// Why a text is not a stored signing key. The text is secret: nothing of it is in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// Not `PRIVATE+KEY+name+id+key` and one newline.
    #[error("not a private key of the form PRIVATE+KEY+name+id+key")]
    Malformed,
    /// The name is none.
    #[error(transparent)]
    BadName(#[from] KeyNameError),
    /// The key is not of a type that is wanted here.
    #[error("a private key of signature type {found:#04x} is of no use here")]
    OtherType {
        /// The type in the file.
        found: u8,
    },
    /// The id is not the one of this name, type and key: the file is damaged.
    #[error("the key id is not the one of this private key")]
    WrongId,
}

/// Writes `PRIVATE+KEY+name+id+base64(type ‖ seed)` and a newline.
pub(crate) fn encode_key(vkey: &Vkey, seed: &Secret<32>) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    bytes.push(vkey.key().signature_type());
    bytes.extend_from_slice(seed.expose());
    let encoded = Zeroizing::new(text::base64(&bytes));
    Zeroizing::new(format!("{PREFIX}{}+{}+{}\n", vkey.name(), vkey.id(), *encoded))
}

/// What a stored signing key says. That `id` is the one of the key is for the caller to check.
pub(crate) struct StoredKey {
    pub(crate) name: KeyName,
    pub(crate) id: KeyId,
    pub(crate) signature_type: u8,
    pub(crate) seed: Secret<32>,
}

/// Reads what [`encode_key`] wrote.
pub(crate) fn decode_key(file: &str) -> Result<StoredKey, KeyFileError> {
    let line = file.strip_suffix('\n').unwrap_or(file);
    let rest = line.strip_prefix(PREFIX).ok_or(KeyFileError::Malformed)?;
    let (name, rest) = rest.split_once('+').ok_or(KeyFileError::Malformed)?;
    let (id, encoded) = rest.split_once('+').ok_or(KeyFileError::Malformed)?;
    let name = KeyName::new(name)?;
    let id = KeyId::parse(id).ok_or(KeyFileError::Malformed)?;
    let bytes = Zeroizing::new(text::parse_base64(encoded).ok_or(KeyFileError::Malformed)?);
    let (&signature_type, seed) = bytes.split_first().ok_or(KeyFileError::Malformed)?;
    let seed = Secret::new(seed.try_into().map_err(|_| KeyFileError::Malformed)?);
    Ok(StoredKey { name, id, signature_type, seed })
}

/// Signs notes with plain Ed25519 signatures (type 0x01), as a log signs its checkpoints.
#[derive(Debug)]
pub struct NoteSigner {
    vkey: Vkey,
    key: SigningKey,
}

impl NoteSigner {
    /// The signer of `key` under `name`.
    #[must_use]
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        Self { vkey: Vkey::new(name, PublicKey::Ed25519(key.verifying_key())), key }
    }

    /// The verifier key of its signatures.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// Signs a note's text, which must end in a newline as every note's text does.
    #[must_use]
    pub fn sign(&self, text: &str) -> SignatureLine {
        let signature = self.key.sign(text.as_bytes());
        SignatureLine::new(self.vkey.name().clone(), self.vkey.id(), signature.0.to_vec())
    }

    /// The line of text that stores this key, with its newline.
    #[must_use]
    pub fn to_key_file(&self) -> Zeroizing<String> {
        encode_key(&self.vkey, &self.key.to_seed())
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn from_key_file(file: &str) -> Result<Self, KeyFileError> {
        let stored = decode_key(file)?;
        if stored.signature_type != 0x01 {
            return Err(KeyFileError::OtherType { found: stored.signature_type });
        }
        let signer = Self::new(stored.name, SigningKey::from_seed(stored.seed.expose()));
        if signer.vkey.id() == stored.id { Ok(signer) } else { Err(KeyFileError::WrongId) }
    }
}
