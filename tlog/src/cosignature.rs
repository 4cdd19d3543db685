//! Timestamped cosignatures of checkpoints (C2SP tlog-cosignature).

use keyglass_crypto::{
    ml_dsa,
    sign::{Signature, SigningKey},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    checkpoint::Checkpoint,
    note::{self, KeyFileError, KeyName, PublicKey, SignatureLine, Vkey},
    time::UnixSeconds,
};

/// The last time that a cosignature may carry (tlog-cosignature: "It MUST NOT exceed 2^63 - 1").
pub const MAX_TIME: UnixSeconds = UnixSeconds(u64::MAX >> 1);

/// The time is zero or above [`MAX_TIME`]: no cosignature may carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a cosignature's time is neither zero nor above 2^63 - 1")]
pub struct BadTime;

/// The signature is not one of this key over this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signature does not verify")]
pub(crate) struct BadSignature;

/// What an Ed25519 cosigner signs (tlog-cosignature, "Ed25519 signed message").
fn ed25519_message(time: UnixSeconds, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// What an ML-DSA-44 cosigner signs for a whole tree (tlog-cosignature, "ML-DSA-44 signed message").
///
/// `None` where a name does not fit the structure: then no such signature exists.
fn ml_dsa_44_message(cosigner: &KeyName, time: UnixSeconds, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
    let mut message = b"subtree/v1\n\0".to_vec();
    let name = cosigner.as_str().as_bytes();
    message.push(u8::try_from(name.len()).ok()?);
    message.extend_from_slice(name);
    message.extend_from_slice(&time.0.to_be_bytes());
    let origin = checkpoint.origin().as_bytes();
    message.push(u8::try_from(origin.len()).ok()?);
    message.extend_from_slice(origin);
    message.extend_from_slice(&0u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.tree_size().to_be_bytes());
    message.extend_from_slice(checkpoint.root());
    Some(message)
}

/// Verifies one line's signature over a note's text; the time is there for cosignatures only.
pub(crate) fn verify_line(
    key: &Vkey,
    text: &str,
    signature: &[u8],
) -> Result<Option<UnixSeconds>, BadSignature> {
    match key.key() {
        PublicKey::Ed25519(public) => {
            let signature = Signature(signature.try_into().map_err(|_| BadSignature)?);
            public.verify(text.as_bytes(), &signature).map_err(|_| BadSignature)?;
            Ok(None)
        }
        PublicKey::Ed25519Cosigner(public) => {
            let (time, rest) = split_time(signature)?;
            let signature = Signature(rest.try_into().map_err(|_| BadSignature)?);
            public.verify(ed25519_message(time, text).as_bytes(), &signature).map_err(|_| BadSignature)?;
            Ok(Some(time))
        }
        PublicKey::MlDsa44Cosigner(public) => {
            let (time, rest) = split_time(signature)?;
            let signature: &[u8; ml_dsa::SIGNATURE_LEN] = rest.try_into().map_err(|_| BadSignature)?;
            let checkpoint = Checkpoint::parse(text).map_err(|_| BadSignature)?;
            let message = ml_dsa_44_message(key.name(), time, &checkpoint).ok_or(BadSignature)?;
            public.verify(&message, signature).map_err(|_| BadSignature)?;
            Ok(Some(time))
        }
    }
}

/// Splits a `timestamped_signature`. A time of zero says nothing about when a tree was the largest seen
/// (tlog-witness: "the timestamp MUST NOT be zero"), so it is refused like one that is out of range.
fn split_time(signature: &[u8]) -> Result<(UnixSeconds, &[u8]), BadSignature> {
    let (time, rest) = signature.split_first_chunk::<8>().ok_or(BadSignature)?;
    let time = UnixSeconds(u64::from_be_bytes(*time));
    if time.0 == 0 || time > MAX_TIME { Err(BadSignature) } else { Ok((time, rest)) }
}

/// Signs Ed25519 cosignatures (type 0x04).
///
/// It signs whatever checkpoint it is given: that the tree is consistent with all seen before is the caller's word.
#[derive(Debug)]
pub struct Cosigner {
    vkey: Vkey,
    key: SigningKey,
}

impl Cosigner {
    /// The cosigner of `key` under `name`. One key must have one name: the Ed25519 message does not commit to it.
    #[must_use]
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        Self { vkey: Vkey::new(name, PublicKey::Ed25519Cosigner(key.verifying_key())), key }
    }

    /// The verifier key of its cosignatures.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// States that at `time` this was the largest consistent tree seen for its origin.
    ///
    /// # Errors
    /// [`BadTime`].
    pub fn cosign<S>(&self, checkpoint: &Checkpoint<S>, time: UnixSeconds) -> Result<SignatureLine, BadTime> {
        if time.0 == 0 || time > MAX_TIME {
            return Err(BadTime);
        }
        let signature = self.key.sign(ed25519_message(time, &checkpoint.text()).as_bytes());
        let mut timestamped = time.0.to_be_bytes().to_vec();
        timestamped.extend_from_slice(&signature.0);
        Ok(SignatureLine::new(self.vkey.name().clone(), self.vkey.id(), timestamped))
    }

    /// The key itself, for signatures over what is no checkpoint and begins with no text of one.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The line of text that stores this key, with its newline.
    #[must_use]
    pub fn to_key_file(&self) -> Zeroizing<String> {
        note::encode_key(&self.vkey, &self.key)
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn from_key_file(file: &str) -> Result<Self, KeyFileError> {
        let (name, id, key) = note::decode_key(file, 0x04)?;
        let cosigner = Self::new(name, key);
        if cosigner.vkey.id() == id { Ok(cosigner) } else { Err(KeyFileError::WrongId) }
    }
}
