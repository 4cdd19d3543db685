//! ML-DSA-44 signatures (FIPS 204), pure, with an empty context.
//!
//! The implementation behind it has not been audited: a caller must never let such a signature count where an
//! Ed25519 signature of the same party is refused.

use core::fmt;

use ml_dsa::{EncodedVerifyingKey, Keypair as _, MlDsa44};
use thiserror::Error;

use crate::{secret::Secret, sign::SignError};

/// Bytes in an ML-DSA-44 public key.
pub const PUBLIC_KEY_LEN: usize = 1312;

/// Bytes in an ML-DSA-44 signature.
pub const SIGNATURE_LEN: usize = 2420;

/// An ML-DSA-44 public key. Every string of the right length is one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MlDsaVerifyingKey(Box<[u8; PUBLIC_KEY_LEN]>);

impl MlDsaVerifyingKey {
    /// Takes the encoding of FIPS 204, algorithm 22.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Self {
        Self(Box::new(*bytes))
    }

    /// The key's encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Verifies `signature` over `message` under the empty context.
    ///
    /// # Errors
    /// [`SignError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), SignError> {
        let encoded = EncodedVerifyingKey::<MlDsa44>::from(*self.0);
        let key = ml_dsa::VerifyingKey::<MlDsa44>::decode(&encoded);
        let signature = ml_dsa::Signature::<MlDsa44>::try_from(signature.as_slice())
            .map_err(|_| SignError::BadSignature)?;
        if key.verify_with_context(message, &[], &signature) { Ok(()) } else { Err(SignError::BadSignature) }
    }
}

impl fmt::Debug for MlDsaVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "MlDsaVerifyingKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// The rejection sampling of FIPS 204, algorithm 7, came to the end of its nonces without a signature. For an honest
/// key the probability is below 2^-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no ML-DSA signature was found")]
pub struct SigningFailed;

/// An ML-DSA-44 private key: a 32-byte seed and what follows from it. Erased when dropped.
///
/// Some 70 KiB of expanded key are kept, so that a signature costs no key generation.
pub struct MlDsaSigningKey(Box<ml_dsa::SigningKey<MlDsa44>>);

impl MlDsaSigningKey {
    /// The key of the seed xi (FIPS 204, algorithm 6), which must come from a cryptographic source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let seed = zeroize::Zeroizing::new(ml_dsa::Seed::from(*seed));
        Self(Box::new(ml_dsa::SigningKey::from_seed(&seed)))
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        Secret::new((*self.0.as_seed()).into())
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> MlDsaVerifyingKey {
        let encoded = self.0.verifying_key().encode();
        MlDsaVerifyingKey(Box::new(encoded.into()))
    }

    /// Signs `message` under the empty context, deterministically (FIPS 204, algorithm 2 with rnd = 0).
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, message: &[u8]) -> Result<Box<[u8; SIGNATURE_LEN]>, SigningFailed> {
        let signature = self.0.expanded_key().sign_deterministic(message, &[]).map_err(|_| SigningFailed)?;
        Ok(Box::new(signature.encode().into()))
    }
}

impl fmt::Debug for MlDsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsaSigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn signatures_verify_under_their_key_and_message_only(
            seed: [u8; 32], other: [u8; 32], message: Vec<u8>, bit in 0..SIGNATURE_LEN * 8
        ) {
            prop_assume!(seed != other);
            let key = MlDsaSigningKey::from_seed(&seed);
            let public = MlDsaVerifyingKey::from_bytes(key.verifying_key().as_bytes());
            let signature = key.sign(&message).unwrap();
            prop_assert_eq!(public.verify(&message, &signature), Ok(()));
            prop_assert_eq!(MlDsaSigningKey::from_seed(key.to_seed().expose()).sign(&message).unwrap(), signature.clone());

            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(public.verify(&message, &flipped), Err(SignError::BadSignature));
            let other_message = [message.as_slice(), b"!"].concat();
            prop_assert_eq!(public.verify(&other_message, &signature), Err(SignError::BadSignature));
            let other = MlDsaSigningKey::from_seed(&other).verifying_key();
            prop_assert_eq!(other.verify(&message, &signature), Err(SignError::BadSignature));
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", MlDsaSigningKey::from_seed(&[0x61; 32])), "MlDsaSigningKey(..)");
    }
}
