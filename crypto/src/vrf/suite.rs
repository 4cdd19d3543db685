//! The hashes of ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381 section 5.5), over public values only.

use curve25519_dalek::{EdwardsPoint, Scalar, traits::IsIdentity as _};
use sha2::{
    Digest as _, Sha512,
    digest::{
        array::Array,
        consts::{U16, U32, U64},
    },
};

use crate::point;

/// `suite_string`.
const SUITE: u8 = 0x03;

/// Domain separators: one of the first three after the suite, and `BACK` at the end.
const ENCODE_TO_CURVE: u8 = 0x01;
const CHALLENGE: u8 = 0x02;
const PROOF_TO_HASH: u8 = 0x03;
const BACK: u8 = 0x00;

/// `ECVRF_encode_to_curve_try_and_increment` (section 5.4.1.1): a point of the prime-order group, not the identity.
///
/// About half of all digests are points, so two attempts are made on average. `None` after 256, which nobody will see.
pub(super) fn encode_to_curve(salt: &[u8; 32], alpha: &[u8]) -> Option<EdwardsPoint> {
    let prefix = Sha512::new().chain_update([SUITE, ENCODE_TO_CURVE]).chain_update(salt).chain_update(alpha);
    (0..=u8::MAX).find_map(|counter| {
        let digest = prefix.clone().chain_update([counter, BACK]).finalize();
        let point = point::decompress(&truncate(&digest.into()))?.mul_by_cofactor();
        (!point.is_identity()).then_some(point)
    })
}

/// `ECVRF_challenge_generation` (section 5.4.3) over the encodings of Y, H, Gamma, U and V.
pub(super) fn challenge(points: [&[u8; 32]; 5]) -> [u8; 16] {
    let mut hasher = Sha512::new().chain_update([SUITE, CHALLENGE]);
    for point in points {
        hasher.update(point);
    }
    let (c, _) = hasher.chain_update([BACK]).finalize().split::<U16>();
    c.into()
}

/// A challenge as a scalar: 128 bits, little-endian.
pub(super) fn challenge_scalar(c: [u8; 16]) -> Scalar {
    Scalar::from(u128::from_le_bytes(c))
}

/// The full output, given the encoding of `cofactor * Gamma` (`ECVRF_proof_to_hash`, section 5.2).
pub(super) fn beta(cofactor_gamma: &[u8; 32]) -> [u8; 64] {
    let hasher = Sha512::new().chain_update([SUITE, PROOF_TO_HASH]).chain_update(cofactor_gamma);
    hasher.chain_update([BACK]).finalize().into()
}

/// The first half of a digest.
pub(super) fn truncate(digest: &[u8; 64]) -> [u8; 32] {
    let (first, _) = Array::<u8, U64>(*digest).split::<U32>();
    first.0
}

/// The encodings of points, with one inversion for all.
pub(super) fn encode<const N: usize>(points: [EdwardsPoint; N]) -> [[u8; 32]; N] {
    EdwardsPoint::compress_batch(&points).map(|point| point.to_bytes())
}
