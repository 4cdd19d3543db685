//! SHA-256 and SHA-512 (FIPS 180-4).

use sha2::{Digest as _, Sha256, Sha512};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-512 over the concatenation of `parts`.
#[must_use]
pub fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hasher = Sha512::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 180-4 for "abc".
    #[test]
    fn vectors_of_fips_180() {
        let short = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let long = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                    2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        for parts in [&[b"abc".as_slice()][..], &[b"a", b"", b"bc"]] {
            assert_eq!(hex::encode(sha256(parts)), short);
            assert_eq!(hex::encode(sha512(parts)), long);
        }
        println!("FIPS 180-4: 2 cases");
    }
}
