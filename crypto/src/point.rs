//! Strict decoding of edwards25519 points, shared by the signatures and the VRF.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};

/// Whether the little-endian number is below p = 2^255 - 19. The top bit counts as part of the number.
///
/// In variable time: for public values only.
pub(crate) fn is_below_p(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *high < 0x7f || (*high == 0x7f && (middle.iter().any(|&byte| byte != 0xff) || *low < 0xed))
}

/// Decodes a point as RFC 8032 section 5.1.3 does, in variable time.
///
/// Each point has one encoding that is accepted: `y` must be below p, and the sign of `x = 0` must be positive. The
/// curve library lets both pass, so that two byte strings could name one key.
pub(crate) fn decompress(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let [low, middle @ .., high] = bytes;
    let mut y = *bytes;
    if let Some(byte) = y.last_mut() {
        *byte &= 0x7f;
    }
    // x is zero exactly for y = 1 and y = p - 1.
    let negative = *high & 0x80 != 0;
    let is_one = *low == 1 && *high == 0x80 && middle.iter().all(|&byte| byte == 0);
    let is_minus_one = *low == 0xec && *high == 0xff && middle.iter().all(|&byte| byte == 0xff);
    if !is_below_p(&y) || (negative && (is_one || is_minus_one)) {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress()
}
