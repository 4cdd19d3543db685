//! Keys that cosign, of either type.

use keyglass_crypto::{
    ml_dsa::{MlDsaSigningKey, SigningFailed},
    secret::Secret,
    sign::SigningKey,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{MAX_TIME, ed25519_message, ml_dsa_44_message};
use crate::{
    checkpoint::Checkpoint,
    note::{self, KeyFileError, KeyName, PublicKey, SignatureLine, Vkey},
    time::UnixSeconds,
};

/// Why a checkpoint was not cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CosignError {
    /// The time is zero or above [`MAX_TIME`].
    #[error("a cosignature's time is neither zero nor above 2^63 - 1")]
    BadTime,
    /// The origin does not fit the message that ML-DSA-44 cosigners sign.
    #[error("an origin of more than 255 bytes cannot be cosigned with ML-DSA-44")]
    OriginTooLong,
    /// The signature could not be made.
    #[error(transparent)]
    Failed(#[from] SigningFailed),
}

/// The name does not fit the message that ML-DSA-44 cosigners sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the name of an ML-DSA-44 cosigner has at most 255 bytes")]
pub struct CosignerNameTooLong;

#[derive(Debug)]
enum CosignerKey {
    Ed25519(Box<SigningKey>),
    MlDsa44(MlDsaSigningKey),
}

impl CosignerKey {
    fn to_seed(&self) -> Secret<32> {
        match self {
            Self::Ed25519(key) => key.to_seed(),
            Self::MlDsa44(key) => key.to_seed(),
        }
    }
}

/// Signs cosignatures: of Ed25519 (type 0x04) or of ML-DSA-44 (type 0x06). A log may also sign its own checkpoints with
/// the latter, under its origin as the name (tlog-checkpoint, "Signatures").
///
/// It signs whatever checkpoint it is given: that the tree is consistent with all seen before is the caller's word.
#[derive(Debug)]
pub struct Cosigner {
    vkey: Vkey,
    key: CosignerKey,
}

impl Cosigner {
    /// The Ed25519 cosigner of `key` under `name`. One key must have one name: the Ed25519 message does not commit to it.
    #[must_use]
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        let vkey = Vkey::new(name, PublicKey::Ed25519Cosigner(key.verifying_key()));
        Self { vkey, key: CosignerKey::Ed25519(Box::new(key)) }
    }

    /// The ML-DSA-44 cosigner of `key` under `name`.
    ///
    /// # Errors
    /// [`CosignerNameTooLong`].
    pub fn ml_dsa_44(name: KeyName, key: MlDsaSigningKey) -> Result<Self, CosignerNameTooLong> {
        if name.as_str().len() > usize::from(u8::MAX) {
            return Err(CosignerNameTooLong);
        }
        let vkey = Vkey::new(name, PublicKey::MlDsa44Cosigner(key.verifying_key()));
        Ok(Self { vkey, key: CosignerKey::MlDsa44(key) })
    }

    /// The verifier key of its cosignatures.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// States that at `time` this was the largest consistent tree seen for its origin.
    ///
    /// # Errors
    /// [`CosignError`].
    pub fn cosign<S>(
        &self,
        checkpoint: &Checkpoint<S>,
        time: UnixSeconds,
    ) -> Result<SignatureLine, CosignError> {
        if time.0 == 0 || time > MAX_TIME {
            return Err(CosignError::BadTime);
        }
        let mut timestamped = time.0.to_be_bytes().to_vec();
        match &self.key {
            CosignerKey::Ed25519(key) => {
                let signature = key.sign(ed25519_message(time, &checkpoint.text()).as_bytes());
                timestamped.extend_from_slice(&signature.0);
            }
            CosignerKey::MlDsa44(key) => {
                // The name was measured when the cosigner was made.
                let message = ml_dsa_44_message(self.vkey.name(), time, checkpoint)
                    .ok_or(CosignError::OriginTooLong)?;
                timestamped.extend_from_slice(key.sign(&message)?.as_slice());
            }
        }
        Ok(SignatureLine::new(self.vkey.name().clone(), self.vkey.id(), timestamped))
    }

    /// The Ed25519 key itself, for signatures over what is no checkpoint and begins with no text of one; `None` for an
    /// ML-DSA-44 cosigner.
    #[must_use]
    pub fn ed25519_key(&self) -> Option<&SigningKey> {
        match &self.key {
            CosignerKey::Ed25519(key) => Some(key),
            CosignerKey::MlDsa44(_) => None,
        }
    }

    /// The line of text that stores this key, with its newline.
    #[must_use]
    pub fn to_key_file(&self) -> Zeroizing<String> {
        note::encode_key(&self.vkey, &self.key.to_seed())
    }

    /// Reads a stored key of either type.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn from_key_file(file: &str) -> Result<Self, KeyFileError> {
        let stored = note::decode_key(file)?;
        let seed = stored.seed.expose();
        let cosigner = match stored.signature_type {
            0x04 => Self::new(stored.name, SigningKey::from_seed(seed)),
            0x06 => Self::ml_dsa_44(stored.name, MlDsaSigningKey::from_seed(seed))
                .map_err(|CosignerNameTooLong| KeyFileError::Malformed)?,
            found => return Err(KeyFileError::OtherType { found }),
        };
        if cosigner.vkey.id() == stored.id { Ok(cosigner) } else { Err(KeyFileError::WrongId) }
    }
}
