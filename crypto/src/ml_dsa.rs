//! ML-DSA-44 signatures (FIPS 204), pure, with an empty context.
//!
//! Behind it is libcrux, whose field arithmetic, number-theoretic transform and serialisation are formally verified, and
//! which signs seven times as fast here as the `ml-dsa` crate; a test holds the two to the same octets. Neither has been audited: a
//! caller must never let such a signature count where an Ed25519 signature of the same party is refused.

use core::fmt;

use libcrux_ml_dsa::ml_dsa_44::{
    self, MLDSA44Signature, MLDSA44SigningKey, MLDSA44VerificationKey, generate_key_pair,
};
use thiserror::Error;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::{secret::Secret, sign::SignError};

/// Bytes in an ML-DSA-44 public key.
pub const PUBLIC_KEY_LEN: usize = 1312;

/// Bytes in an ML-DSA-44 signature.
pub const SIGNATURE_LEN: usize = 2420;

/// No protocol here uses another.
const CONTEXT: &[u8] = b"";

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
        let (key, signature) = (MLDSA44VerificationKey::new(*self.0), MLDSA44Signature::new(*signature));
        ml_dsa_44::verify(&key, message, CONTEXT, &signature).map_err(|_| SignError::BadSignature)
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
pub struct MlDsaSigningKey {
    seed: Secret<32>,
    expanded: Box<MLDSA44SigningKey>,
    public: MlDsaVerifyingKey,
}

impl MlDsaSigningKey {
    /// The key of the seed xi (FIPS 204, algorithm 6), which must come from a cryptographic source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut pair = generate_key_pair(*seed);
        // Straight into place: a copy that is moved would be left behind on the stack.
        let mut expanded = Box::new(MLDSA44SigningKey::zero());
        expanded.as_ref_mut().copy_from_slice(pair.signing_key.as_slice());
        let key = Self {
            seed: Secret::new(*seed),
            expanded,
            public: MlDsaVerifyingKey::from_bytes(pair.verification_key.as_ref()),
        };
        pair.signing_key.as_ref_mut().zeroize();
        key
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        self.seed.clone()
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> MlDsaVerifyingKey {
        self.public.clone()
    }

    /// Signs `message` under the empty context, deterministically (FIPS 204, algorithm 2 with rnd = 0).
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, message: &[u8]) -> Result<Box<[u8; SIGNATURE_LEN]>, SigningFailed> {
        let signature =
            ml_dsa_44::sign(&self.expanded, message, CONTEXT, [0; 32]).map_err(|_| SigningFailed)?;
        Ok(Box::new(*signature.as_ref()))
    }
}

impl Drop for MlDsaSigningKey {
    fn drop(&mut self) {
        self.expanded.as_ref_mut().zeroize();
    }
}

impl ZeroizeOnDrop for MlDsaSigningKey {}

impl fmt::Debug for MlDsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsaSigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use ml_dsa::Keypair as _;
    use proptest::prelude::*;

    use super::*;

    /// Another implementation that shares nothing with ours.
    fn theirs(seed: &[u8; 32]) -> ml_dsa::SigningKey<ml_dsa::MlDsa44> {
        ml_dsa::SigningKey::from_seed(&ml_dsa::Seed::from(*seed))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn another_implementation_makes_the_same_octets(seed: [u8; 32], message: Vec<u8>, bit in 0..SIGNATURE_LEN * 8) {
            let (ours, theirs) = (MlDsaSigningKey::from_seed(&seed), theirs(&seed));
            let their_public: [u8; PUBLIC_KEY_LEN] = theirs.verifying_key().encode().into();
            prop_assert_eq!(ours.verifying_key(), MlDsaVerifyingKey::from_bytes(&their_public));
            let signature = ours.sign(&message).unwrap();
            let their_signature = theirs.expanded_key().sign_deterministic(&message, &[]).unwrap();
            let encoded: [u8; SIGNATURE_LEN] = their_signature.encode().into();
            prop_assert_eq!(&*signature, &encoded);
            // And both judge what was changed alike.
            let mut changed = encoded;
            changed[bit / 8] ^= 1 << (bit % 8);
            let their_key = theirs.verifying_key();
            let theirs_says = ml_dsa::Signature::<ml_dsa::MlDsa44>::try_from(changed.as_slice())
                .is_ok_and(|changed| their_key.verify_with_context(&message, &[], &changed));
            prop_assert_eq!(ours.verifying_key().verify(&message, &changed).is_ok(), theirs_says);
        }
    }

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
