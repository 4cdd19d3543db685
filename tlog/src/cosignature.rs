//! Timestamped cosignatures of checkpoints (C2SP tlog-cosignature).

mod cosigner;

use keyglass_crypto::{ml_dsa, sign::Signature};

pub use self::cosigner::{CosignError, Cosigner, CosignerNameTooLong};
use crate::{
    checkpoint::Checkpoint,
    note::{KeyName, PublicKey, Vkey},
    time::UnixSeconds,
};

/// The last time that a cosignature may carry (tlog-cosignature: "It MUST NOT exceed 2^63 - 1").
pub const MAX_TIME: UnixSeconds = UnixSeconds(u64::MAX >> 1);

/// The signature is not one of this key over this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadSignature;

/// What an Ed25519 cosigner signs (tlog-cosignature, "Ed25519 signed message").
fn ed25519_message(time: UnixSeconds, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// What an ML-DSA-44 cosigner signs for a whole tree (tlog-cosignature, "ML-DSA-44 signed message").
///
/// `None` where a name does not fit the structure: then no such signature exists.
fn ml_dsa_44_message<S>(
    cosigner: &KeyName,
    time: UnixSeconds,
    checkpoint: &Checkpoint<S>,
) -> Option<Vec<u8>> {
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

/// Verifies one line's signature over a note's text; the time is there only where the signature states one.
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
            // The Ed25519 message always states when the tree was the largest seen.
            let time = Some(time).filter(|time| time.0 != 0).ok_or(BadSignature)?;
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
            // "These two values MAY be zero if the cosigner doesn't make any statement as to the tree being the largest."
            Ok(Some(time).filter(|time| time.0 != 0))
        }
    }
}

/// Splits a `timestamped_signature`.
fn split_time(signature: &[u8]) -> Result<(UnixSeconds, &[u8]), BadSignature> {
    let (time, rest) = signature.split_first_chunk::<8>().ok_or(BadSignature)?;
    let time = UnixSeconds(u64::from_be_bytes(*time));
    if time > MAX_TIME { Err(BadSignature) } else { Ok((time, rest)) }
}

#[cfg(test)]
mod tests;
