//! Ed25519 (RFC 8032), verified strictly.
//!
//! RFC 8032 leaves verifiers some freedom, so that two of them can disagree on a signature. Here a signature counts only
//! if every reading of the RFC accepts it: key and `R` are canonical and not of small order, `S` is below the group
//! order, and the equation holds without the cofactor. So no key is valid for every message, and nobody can turn a
//! signature into another one.

use core::fmt;

use ed25519_dalek::Signer as _;
use thiserror::Error;

use crate::{point, secret::Secret};

/// Why a key or a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignError {
    /// The bytes are not the canonical encoding of a point.
    #[error("the public key is not a canonical point")]
    NonCanonicalKey,
    /// The point has small order: signatures under it prove nothing.
    #[error("the public key has small order")]
    SmallOrderKey,
    /// The signature is not one of this key over this message.
    #[error("the signature does not verify")]
    BadSignature,
}

/// An Ed25519 public key: canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Decodes the 32 bytes of RFC 8032 section 5.1.2.
    ///
    /// # Errors
    /// [`SignError::NonCanonicalKey`] or [`SignError::SmallOrderKey`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignError> {
        if !point::is_canonical(bytes) {
            return Err(SignError::NonCanonicalKey);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| SignError::NonCanonicalKey)?;
        if key.is_weak() {
            return Err(SignError::SmallOrderKey);
        }
        Ok(Self(key))
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Verifies `signature` over the concatenation that the caller made into `message`.
    ///
    /// # Errors
    /// [`SignError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).map_err(|_| SignError::BadSignature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:02x?})", self.0.as_bytes())
    }
}

/// The 64 bytes of an Ed25519 signature, not yet known to verify.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signature(pub [u8; 64]);

/// An Ed25519 private key (a 32-byte seed). Erased when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed; the seed must come from a cryptographic source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `message`, deterministically.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, scalar::clamp_integer};
    use proptest::prelude::*;

    use super::*;
    use crate::hash::sha512;

    /// A signature with the nonce `r`, whose point is moved by `torsion`. Strict verification wants no torsion.
    fn sign_with(seed: &[u8; 32], message: &[u8], r: Scalar, torsion: EdwardsPoint) -> Signature {
        let a = clamp_integer(sha512(&[seed])[..32].try_into().unwrap());
        let a = Scalar::from_bytes_mod_order(a);
        let public = SigningKey::from_seed(seed).verifying_key().to_bytes();
        let big_r = (EdwardsPoint::mul_base(&r) + torsion).compress().to_bytes();
        let k = Scalar::from_bytes_mod_order_wide(&sha512(&[&big_r, &public, message]));
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&big_r);
        signature[32..].copy_from_slice((r + k * a).as_bytes());
        Signature(signature)
    }

    #[test]
    fn only_the_strict_equation_counts() {
        let (seed, message) = ([5; 32], b"message");
        let key = SigningKey::from_seed(&seed).verifying_key();
        let r = Scalar::from(77u8);
        // The helper makes good signatures.
        assert_eq!(key.verify(message, &sign_with(&seed, message, r, EIGHT_TORSION[0])), Ok(()));
        for torsion in &EIGHT_TORSION[1..] {
            // These satisfy the equation with the cofactor.
            let signature = sign_with(&seed, message, r, *torsion);
            assert_eq!(key.verify(message, &signature), Err(SignError::BadSignature));
        }
        // R is the identity, and the equation without the cofactor holds.
        let signature = sign_with(&seed, message, Scalar::ZERO, EIGHT_TORSION[0]);
        assert_eq!(key.verify(message, &signature), Err(SignError::BadSignature));
    }

    #[test]
    fn a_scalar_that_is_not_reduced_is_refused() {
        let key = SigningKey::from_seed(&[5; 32]);
        let mut signature = key.sign(b"message");
        // S + L, byte by byte.
        let order: [u8; 32] = *(Scalar::ZERO - Scalar::ONE).as_bytes();
        let mut carry = 1; // L = (L - 1) + 1
        for (byte, add) in signature.0[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert_eq!(key.verifying_key().verify(b"message", &signature), Err(SignError::BadSignature));
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        for point in &EIGHT_TORSION {
            let refusal = VerifyingKey::from_bytes(point.compress().as_bytes());
            assert_eq!(refusal, Err(SignError::SmallOrderKey));
        }
    }

    #[test]
    fn keys_in_other_encodings_are_refused() {
        // y = 3 + p, while y = 3 is a point.
        let mut three = [0; 32];
        three[0] = 3;
        assert!(VerifyingKey::from_bytes(&three).is_ok());
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + 3, 0x7f);
        assert_eq!(VerifyingKey::from_bytes(&bytes), Err(SignError::NonCanonicalKey));
        // y = 2 is no point.
        three[0] = 2;
        assert_eq!(VerifyingKey::from_bytes(&three), Err(SignError::NonCanonicalKey));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn signatures_verify_under_their_key_and_message_only(
            seed: [u8; 32], other: [u8; 32], message: Vec<u8>, bit in 0..512usize
        ) {
            prop_assume!(seed != other);
            let key = SigningKey::from_seed(&seed);
            let public = VerifyingKey::from_bytes(&key.verifying_key().to_bytes()).unwrap();
            let signature = key.sign(&message);
            prop_assert_eq!(public.verify(&message, &signature), Ok(()));
            prop_assert_eq!(SigningKey::from_seed(key.to_seed().expose()).sign(&message), signature);

            let mut flipped = signature;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(public.verify(&message, &flipped), Err(SignError::BadSignature));
            let other_message = [message.as_slice(), b"!"].concat();
            prop_assert_eq!(public.verify(&other_message, &signature), Err(SignError::BadSignature));
            let other = SigningKey::from_seed(&other).verifying_key();
            prop_assert_eq!(other.verify(&message, &signature), Err(SignError::BadSignature));
        }
    }
}
