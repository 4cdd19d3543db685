//! Bytes that are erased when dropped, compared in constant time and never printed.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes.
///
/// `Debug` prints the length only. Equality takes the same time whatever the contents.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes `bytes` over. The caller's own copies are the caller's to erase.
    #[must_use]
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes, named so that each use of them stands out in a review.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Whether two byte strings are equal, in time that depends only on their lengths.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dh::DhSecretKey, kem::KemSecretKey, sign::SigningKey, vrf::VrfSecretKey};

    /// Compiles only for types whose memory is overwritten when they are dropped.
    fn is_erased<T: ZeroizeOnDrop>() {}

    #[test]
    fn secrets_are_erased() {
        is_erased::<Secret<32>>();
        is_erased::<VrfSecretKey>();
        // What the libraries keep for us, which depends on their features.
        is_erased::<ed25519_dalek::SigningKey>();
        is_erased::<x25519_dalek::StaticSecret>();
        is_erased::<x25519_dalek::SharedSecret>();
        is_erased::<chacha20poly1305::ChaCha20Poly1305>();
        is_erased::<crate::ml_dsa::MlDsaSigningKey>();
        is_erased::<crate::kem::KemSecretKey>();
        // An HMAC consists of these, and has no marker of its own.
        is_erased::<sha2::Sha256>();
        is_erased::<sha2::Sha512>();

        let mut secret = Secret::new([0x61; 4]);
        secret.zeroize();
        assert_eq!(secret.expose(), &[0; 4]);
    }

    /// A derived `Debug` would print 97 or 61 somewhere.
    #[test]
    fn secrets_print_nothing() {
        let printed = [
            (format!("{:?}", Secret::new([0x61; 32])), "Secret<32>(..)"),
            (format!("{:?}", SigningKey::from_seed(&[0x61; 32])), "SigningKey(..)"),
            (format!("{:?}", DhSecretKey::from_bytes(&[0x61; 32])), "DhSecretKey(..)"),
            (format!("{:?}", VrfSecretKey::from_seed(&[0x61; 32])), "VrfSecretKey(..)"),
            (format!("{:?}", KemSecretKey::from_seed(&[0x61; 64])), "KemSecretKey(..)"),
        ];
        for (printed, expected) in printed {
            assert_eq!(printed, expected);
        }
        let pretty = format!("{:#?}", SigningKey::from_seed(&[0x61; 32]).to_seed());
        assert_eq!(pretty, "Secret<32>(..)");
    }

    #[test]
    fn equality_looks_at_every_byte() {
        let secret = Secret::new([7; 32]);
        assert_eq!(secret, secret.clone());
        for place in 0..32 {
            let mut other = [7; 32];
            other[place] ^= 1;
            assert_ne!(secret, Secret::new(other));
            assert!(!equal(secret.expose(), &other));
        }
        assert!(equal(secret.expose(), &[7; 32]));
        assert!(!equal(secret.expose(), &[7; 31]));
    }
}
