//! ML-KEM-768 key encapsulation (FIPS 203), with every input an argument.
//!
//! Behind it is libcrux, whose arithmetic, number-theoretic transform, sampling and serialisation are formally verified
//! to be correct and free of secret-dependent branches, with code for AVX2 that is chosen when the program runs. The
//! `ml-kem` crate takes about four times as long for each operation (`cargo bench -p keyglass-crypto --bench crypto -- kem`
//! shows both; here libcrux encapsulates in 20 µs); a test holds the two to the same octets. Neither has been audited: a secret made here never stands
//! alone, it is combined with those of X25519.
//!
//! A shared secret of ML-KEM depends on the hash of the public key that it was encapsulated to, so that it is bound to
//! that key. Decapsulation has no error: a ciphertext that was not made for the key gives a secret that nobody else
//! knows (implicit rejection), which what is encrypted under it then reveals.

use core::{fmt, ops::IndexMut as _};

use libcrux_ml_kem::mlkem768::{
    self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey, validate_public_key,
};
use thiserror::Error;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::secret::Secret;

/// Bytes in a secret key as it is kept: the seeds d and z of FIPS 203, algorithm 19.
pub const SEED_LEN: usize = 64;

/// Bytes in a public key (encapsulation key).
pub const PUBLIC_KEY_LEN: usize = 1184;

/// Bytes in a ciphertext.
pub const CIPHERTEXT_LEN: usize = 1088;

/// Bytes of randomness that an encapsulation uses up.
pub const RANDOMNESS_LEN: usize = 32;

/// Bytes in an expanded secret key (decapsulation key).
const EXPANDED_LEN: usize = 2400;

/// Why a public key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KemError {
    /// A coefficient is not below the modulus 3329 (FIPS 203, 7.2).
    #[error("the ML-KEM-768 public key has a coefficient that is not reduced")]
    NotReduced,
}

/// An ML-KEM-768 public key whose coefficients are all reduced, so that it has this one encoding.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KemPublicKey(Box<[u8; PUBLIC_KEY_LEN]>);

impl KemPublicKey {
    /// Takes an encoding that passes the modulus check of FIPS 203, 7.2.
    ///
    /// # Errors
    /// [`KemError::NotReduced`].
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KemError> {
        if validate_public_key(&MlKem768PublicKey::from(bytes)) {
            Ok(Self(Box::new(*bytes)))
        } else {
            Err(KemError::NotReduced)
        }
    }

    /// The key's encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    /// Encapsulates to this key (FIPS 203, algorithm 17): what its holder needs, and the secret that both then share.
    ///
    /// `randomness` must come from a cryptographic source and serve this call only: whoever knows it knows the secret.
    #[must_use]
    pub fn encapsulate(&self, randomness: &Secret<RANDOMNESS_LEN>) -> (KemCiphertext, Secret<32>) {
        let key = MlKem768PublicKey::from(&*self.0);
        let (ciphertext, mut shared) = mlkem768::encapsulate(&key, *randomness.expose());
        let secret = Secret::new(shared);
        shared.zeroize();
        (KemCiphertext::from_bytes(ciphertext.as_slice()), secret)
    }
}

impl fmt::Debug for KemPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "KemPublicKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// What an encapsulation sends. Every string of the right length is one.
#[derive(Clone, PartialEq, Eq)]
pub struct KemCiphertext(Box<[u8; CIPHERTEXT_LEN]>);

impl KemCiphertext {
    /// Takes a ciphertext.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; CIPHERTEXT_LEN]) -> Self {
        Self(Box::new(*bytes))
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; CIPHERTEXT_LEN] {
        &self.0
    }
}

impl fmt::Debug for KemCiphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "KemCiphertext({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// An ML-KEM-768 secret key: its 64-byte seed, and what follows from it. Erased when dropped.
pub struct KemSecretKey {
    seed: Secret<SEED_LEN>,
    expanded: Box<MlKem768PrivateKey>,
    public: KemPublicKey,
}

impl KemSecretKey {
    /// The key of the seeds d ‖ z (FIPS 203, algorithm 16), which must come from a cryptographic source.
    #[must_use]
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        let (mut expanded, public) = mlkem768::generate_key_pair(*seed).into_parts();
        let key = Self {
            seed: Secret::new(*seed),
            expanded: Box::new(MlKem768PrivateKey::from(expanded.as_slice())),
            public: KemPublicKey(Box::new(*public.as_slice())),
        };
        erase(&mut expanded);
        key
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn to_seed(&self) -> Secret<SEED_LEN> {
        self.seed.clone()
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &KemPublicKey {
        &self.public
    }

    /// The secret that `ciphertext` carries (FIPS 203, algorithm 18), in time that does not depend on whether it was
    /// made for this key. If it was not, the result is pseudorandom and known to nobody else.
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &KemCiphertext) -> Secret<32> {
        let mut shared =
            mlkem768::decapsulate(&self.expanded, &MlKem768Ciphertext::from(ciphertext.as_bytes()));
        let secret = Secret::new(shared);
        shared.zeroize();
        secret
    }
}

fn erase(key: &mut MlKem768PrivateKey) {
    key.index_mut(0..EXPANDED_LEN).zeroize();
}

impl Drop for KemSecretKey {
    fn drop(&mut self) {
        erase(&mut self.expanded);
    }
}

impl ZeroizeOnDrop for KemSecretKey {}

impl fmt::Debug for KemSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use ml_kem::{Decapsulate as _, KeyExport as _};
    use proptest::prelude::*;

    use super::*;

    /// Another implementation that shares nothing with ours.
    fn theirs(seed: &[u8; SEED_LEN]) -> ml_kem::DecapsulationKey768 {
        ml_kem::DecapsulationKey768::from_seed((*seed).into())
    }

    fn seed() -> impl Strategy<Value = [u8; SEED_LEN]> {
        (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(d, z)| {
            let mut seed = [0; SEED_LEN];
            seed[..32].copy_from_slice(&d);
            seed[32..].copy_from_slice(&z);
            seed
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn another_implementation_makes_the_same_octets(
            seed in seed(), randomness: [u8; 32], bit in 0..CIPHERTEXT_LEN * 8
        ) {
            let (ours, theirs) = (KemSecretKey::from_seed(&seed), theirs(&seed));
            let public: [u8; PUBLIC_KEY_LEN] = theirs.encapsulation_key().to_bytes().into();
            prop_assert_eq!(ours.public_key().as_bytes(), &public);
            prop_assert_eq!(&KemPublicKey::from_bytes(&public), &Ok(ours.public_key().clone()));

            let (ciphertext, secret) = ours.public_key().encapsulate(&Secret::new(randomness));
            let (their_ciphertext, their_secret) =
                theirs.encapsulation_key().encapsulate_deterministic(&randomness.into());
            prop_assert_eq!(&ciphertext.as_bytes()[..], &their_ciphertext[..]);
            prop_assert_eq!(&secret.expose()[..], &their_secret[..]);
            prop_assert_eq!(&ours.decapsulate(&ciphertext), &secret);

            // What was changed gives both the same other secret.
            let mut changed = *ciphertext.as_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            let rejected = ours.decapsulate(&KemCiphertext::from_bytes(&changed));
            prop_assert_ne!(&rejected, &secret);
            prop_assert_eq!(&rejected.expose()[..], &theirs.decapsulate(&changed.into())[..]);
        }

        #[test]
        fn both_judge_any_public_key_alike(
            seed in seed(), places in prop::collection::vec((0..PUBLIC_KEY_LEN, any::<u8>()), 0..4)
        ) {
            let mut bytes = *KemSecretKey::from_seed(&seed).public_key().as_bytes();
            for (place, byte) in places {
                bytes[place] = byte;
            }
            let theirs = ml_kem::EncapsulationKey768::new(&bytes.into());
            let ours = KemPublicKey::from_bytes(&bytes);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok());
            // By the definition: 768 coefficients of 12 bits, little-endian, each below 3329.
            let coefficients = bytes[..1152].chunks(3).flat_map(|three| {
                let [a, b, c] = [three[0], three[1], three[2]].map(u16::from);
                [a | (b & 15) << 8, b >> 4 | c << 4]
            });
            prop_assert_eq!(ours.is_ok(), coefficients.into_iter().all(|coefficient| coefficient < 3329));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_secret_is_for_its_key_and_randomness_only(a in seed(), b in seed(), r: [u8; 32], s: [u8; 32]) {
            prop_assume!(a != b && r != s);
            let (mine, other) = (KemSecretKey::from_seed(&a), KemSecretKey::from_seed(&b));
            let (ciphertext, secret) = mine.public_key().encapsulate(&Secret::new(r));
            prop_assert_eq!(&KemSecretKey::from_seed(mine.to_seed().expose()).decapsulate(&ciphertext), &secret);
            prop_assert_ne!(&other.decapsulate(&ciphertext), &secret);
            prop_assert_ne!(&mine.public_key().encapsulate(&Secret::new(s)).1, &secret);
            prop_assert_ne!(&other.public_key().encapsulate(&Secret::new(r)).1, &secret);
        }
    }

    #[test]
    fn coefficients_of_the_modulus_or_more_are_refused() {
        let good = *KemSecretKey::from_seed(&[1; SEED_LEN]).public_key().as_bytes();
        for value in [3329_u16, 3330, 4095] {
            for number in [0, 1, 255, 256, 767] {
                let mut bytes = good;
                let at = number / 2 * 3;
                let [low, high] = value.to_le_bytes();
                if number % 2 == 0 {
                    bytes[at] = low;
                    bytes[at + 1] = (bytes[at + 1] & 0xf0) | high;
                } else {
                    bytes[at + 1] = (bytes[at + 1] & 0x0f) | low << 4;
                    bytes[at + 2] = high << 4 | low >> 4;
                }
                assert_eq!(
                    KemPublicKey::from_bytes(&bytes),
                    Err(KemError::NotReduced),
                    "{value} at {number}"
                );
            }
        }
    }
}
