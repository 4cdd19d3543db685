//! X25519 (RFC 7748), with canonical public keys only. An exchange whose result is all zeros is refused.
//!
//! RFC 7748 lets a receiver reduce any 32 bytes, so that several strings stand for one key. Keys that are signed, logged
//! and compared need one encoding each: here the u-coordinate is below 2^255 - 19 and its top bit is zero, as every
//! honest implementation writes it.

use core::fmt;
use std::sync::OnceLock;

use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{point, secret::Secret};

/// Why a key or an exchange was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DhError {
    /// The u-coordinate is 2^255 - 19 or more, or its top bit is set.
    #[error("the X25519 public key is not canonical")]
    NonCanonicalKey,
    /// The point has small order, so that the shared secret would be zero whatever the private key.
    #[error("the X25519 public key has small order")]
    SmallOrder,
}

/// The canonical u-coordinates of small order, on the curve and on its twist: 0, 1, -1 and two of order 8. Every private
/// key sends them to zero.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];

/// An X25519 public key with a canonical encoding that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DhPublicKey([u8; 32]);

impl DhPublicKey {
    /// Decodes a u-coordinate strictly.
    ///
    /// # Errors
    /// [`DhError::NonCanonicalKey`] or [`DhError::SmallOrder`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, DhError> {
        if !point::is_below_p(bytes) {
            return Err(DhError::NonCanonicalKey);
        }
        if SMALL_ORDER.contains(bytes) {
            return Err(DhError::SmallOrder);
        }
        Ok(Self(*bytes))
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for DhPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DhPublicKey({:02x?})", self.0)
    }
}

/// An X25519 private key. Erased when dropped.
pub struct DhSecretKey {
    secret: StaticSecret,
    /// Costs a third of an agreement, and a key that is used is asked for it each time.
    public: OnceLock<DhPublicKey>,
}

impl DhSecretKey {
    /// The key of 32 random bytes; clamping happens when it is used.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self { secret: StaticSecret::from(*bytes), public: OnceLock::new() }
    }

    /// The bytes, for storing the key.
    #[must_use]
    pub fn to_bytes(&self) -> Secret<32> {
        Secret::new(self.secret.to_bytes())
    }

    /// The public half, computed when it is asked for the first time.
    #[must_use]
    pub fn public_key(&self) -> DhPublicKey {
        *self.public.get_or_init(|| DhPublicKey(PublicKey::from(&self.secret).to_bytes()))
    }

    /// The shared secret with `peer`.
    ///
    /// # Errors
    /// [`DhError::SmallOrder`] if it is all zeros.
    pub fn agree(&self, peer: &DhPublicKey) -> Result<Secret<32>, DhError> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer.0));
        if !shared.was_contributory() {
            return Err(DhError::SmallOrder);
        }
        Ok(Secret::new(shared.to_bytes()))
    }
}

impl fmt::Debug for DhSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_point_of_small_order_is_refused() {
        // -1 has order 4 on the twist.
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        let torsion = EIGHT_TORSION.map(|point| point.to_montgomery().to_bytes());
        // The map to u-coordinates sends the identity to zero, and nothing to one but the points of order 4.
        for bytes in torsion.into_iter().chain([minus_one]) {
            assert_eq!(DhPublicKey::from_bytes(&bytes), Err(DhError::SmallOrder));
        }
        for bytes in SMALL_ORDER {
            assert!(torsion.contains(&bytes) || bytes == minus_one);
            // The exchange refuses them by itself, too.
            assert_eq!(
                DhSecretKey::from_bytes(&[7; 32]).agree(&DhPublicKey(bytes)),
                Err(DhError::SmallOrder)
            );
        }
    }

    #[test]
    fn coordinates_of_p_or_more_are_refused() {
        for low in 0xed..=0xff {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, 0x7f);
            assert_eq!(DhPublicKey::from_bytes(&bytes), Err(DhError::NonCanonicalKey));
        }
        let mut top_bit = DhSecretKey::from_bytes(&[7; 32]).public_key().to_bytes();
        top_bit[31] |= 0x80;
        assert_eq!(DhPublicKey::from_bytes(&top_bit), Err(DhError::NonCanonicalKey));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn both_sides_agree(a: [u8; 32], b: [u8; 32]) {
            let (a, b) = (DhSecretKey::from_bytes(&a), DhSecretKey::from_bytes(&b));
            prop_assert_eq!(a.agree(&b.public_key()).unwrap(), b.agree(&a.public_key()).unwrap());
            prop_assert_eq!(DhPublicKey::from_bytes(&a.public_key().to_bytes()), Ok(a.public_key()));
            prop_assert_eq!(DhSecretKey::from_bytes(a.to_bytes().expose()).public_key(), a.public_key());
        }

        #[test]
        fn what_is_accepted_agrees(bytes: [u8; 32]) {
            if let Ok(key) = DhPublicKey::from_bytes(&bytes) {
                prop_assert!(DhSecretKey::from_bytes(&[7; 32]).agree(&key).is_ok());
                prop_assert_eq!(key.to_bytes(), bytes);
            }
        }
    }
}
