//! HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869).
//!
//! Both are total: every key has an HMAC, and an HKDF output that would be too long does not compile.
//!
//! HKDF is written here over HMAC instead of taken from the `hkdf` crate. That crate (0.13) leaves behind what it works
//! with: the pseudorandom key, and the last block of the output. Here both are erased. A test
//! holds the two to the same octets.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    hash::{Digest, sha256},
    secret::Secret,
};

/// HMAC-SHA256 over the concatenation of `parts`. A key longer than 64 bytes is hashed first, as RFC 2104 says.
///
/// To check a MAC that came from outside, compare with [`secret::equal`](crate::secret::equal), never with `==`.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Digest {
    let block = key_block(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The key, hashed if it is too long, and padded with zeros to a block of the hash.
fn key_block(key: &[u8]) -> Zeroizing<[u8; 64]> {
    let mut block = Zeroizing::new([0; 64]);
    if key.len() <= block.len() {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    } else {
        let hashed = Zeroizing::new(sha256(&[key]));
        block.iter_mut().zip(hashed.iter()).for_each(|(to, from)| *to = *from);
    }
    block
}

/// HKDF-SHA256: extracts from `salt` and `ikm`, then expands with `info` into `N` bytes.
///
/// `N` is at most 8160 (255 digests), which the compiler checks. An empty `salt` is the same as none. Different uses
/// of one `ikm` need different `info`.
///
/// ```
/// let key = keyglass_crypto::kdf::hkdf_sha256::<32>(b"salt", b"input key material", b"purpose");
/// # assert_ne!(key.expose(), &[0; 32]);
/// ```
///
/// ```compile_fail
/// let key = keyglass_crypto::kdf::hkdf_sha256::<8161>(b"salt", b"input key material", b"purpose");
/// ```
#[must_use]
pub fn hkdf_sha256<const N: usize>(salt: &[u8], ikm: &[u8], info: &[u8]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "HKDF-SHA256 gives at most 8160 bytes") }
    let pseudorandom_key = Zeroizing::new(hmac_sha256(salt, &[ikm]));
    let mut output = Zeroizing::new([0; N]);
    let mut previous = Zeroizing::new([0; 32]);
    for (chunk, counter) in output.chunks_mut(32).zip(1..=u8::MAX) {
        // Each digest continues from the one before; the first has none.
        let chained = if counter == 1 { &[] } else { previous.as_slice() };
        *previous = hmac_sha256(pseudorandom_key.as_slice(), &[chained, info, &[counter]]);
        chunk.iter_mut().zip(previous.iter()).for_each(|(to, from)| *to = *from);
    }
    Secret::new(*output)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// RFC 2104, section 2, written out.
        #[test]
        fn hmac_agrees_with_its_definition(
            key in prop::collection::vec(any::<u8>(), 0..200), text: Vec<u8>, split: prop::sample::Index
        ) {
            let mut block = if key.len() > 64 { sha256(&[&key]).to_vec() } else { key.clone() };
            block.resize(64, 0);
            let padded = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<_>>();
            let expected = sha256(&[&padded(0x5c), &sha256(&[&padded(0x36), &text])]);
            let (start, end) = text.split_at(split.index(text.len() + 1));
            prop_assert_eq!(hmac_sha256(&key, &[start, end]), expected);
        }

        /// Another implementation, from which ours differs in what it leaves in memory only.
        #[test]
        fn the_hkdf_crate_derives_the_same(salt: Vec<u8>, ikm: Vec<u8>, info: Vec<u8>) {
            let theirs = hkdf::Hkdf::<Sha256>::new(Some(&salt), &ikm);
            let mut expected = [0; 140];
            theirs.expand(&info, &mut expected).unwrap();
            let output = hkdf_sha256::<140>(&salt, &ikm, &info);
            prop_assert_eq!(output.expose(), &expected);
        }

        #[test]
        fn a_longer_output_begins_with_a_shorter_one(salt: Vec<u8>, ikm: Vec<u8>, info: Vec<u8>) {
            let longest = hkdf_sha256::<8160>(&salt, &ikm, &info);
            prop_assert!(longest.expose().starts_with(hkdf_sha256::<1>(&salt, &ikm, &info).expose()));
            prop_assert!(longest.expose().starts_with(hkdf_sha256::<32>(&salt, &ikm, &info).expose()));
            prop_assert!(longest.expose().starts_with(hkdf_sha256::<33>(&salt, &ikm, &info).expose()));
        }
    }
}
