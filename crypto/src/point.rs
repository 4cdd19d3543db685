//! Strict decoding of curve points. All of it is in variable time, since encoded points are public.
//!
//! The curve libraries accept more encodings than one for some points: a coordinate of p or more, or a negative sign
//! of `x = 0`. Here each point has exactly one, so that no two byte strings name one key.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};

/// Whether the little-endian number of all 256 bits is below p = 2^255 - 19.
pub(crate) fn is_below_p(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *high < 0x7f || (*high == 0x7f && (middle.iter().any(|&byte| byte != 0xff) || *low < 0xed))
}

/// Whether the encoding, if it is one of an edwards25519 point at all, is the one that RFC 8032 section 5.1.3 accepts.
pub(crate) fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [rest @ .., high] = *bytes;
    let mut y = *bytes;
    let [.., y_high] = &mut y;
    *y_high &= 0x7f;
    // With the sign bit set, y must not be 1 or p - 1: these are the points with x = 0.
    let is_minus_zero = match rest {
        [0x01, middle @ ..] => high == 0x80 && middle.iter().all(|&byte| byte == 0),
        [0xec, middle @ ..] => high == 0xff && middle.iter().all(|&byte| byte == 0xff),
        _ => false,
    };
    is_below_p(&y) && !is_minus_zero
}

/// Decodes a point as RFC 8032 section 5.1.3 does.
pub(crate) fn decompress(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    if !is_canonical(bytes) {
        return None;
    }
    CompressedEdwardsY(*bytes).decompress()
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use proptest::prelude::*;

    use super::*;

    /// p + `offset`, with the sign bit.
    fn p_plus(offset: i16, sign: bool) -> [u8; 32] {
        let mut bytes = [0xff; 32];
        bytes[0] = u8::try_from(0xed + offset).unwrap();
        bytes[31] = if sign { 0xff } else { 0x7f };
        bytes
    }

    /// What the definition says: decoding and encoding gives the same bytes.
    fn round_trips(bytes: &[u8; 32]) -> bool {
        CompressedEdwardsY(*bytes).decompress().is_some_and(|point| point.compress().to_bytes() == *bytes)
    }

    #[test]
    fn bounds() {
        assert!(is_below_p(&p_plus(-1, false)));
        for offset in 0..19 {
            assert!(!is_below_p(&p_plus(offset, false)));
        }
        let mut top_bit = [0; 32];
        top_bit[31] = 0x80;
        assert!(!is_below_p(&top_bit));
    }

    #[test]
    fn accepts_exactly_what_round_trips_at_the_edges() {
        let mut edges: Vec<[u8; 32]> = (-20..19).flat_map(|n| [p_plus(n, false), p_plus(n, true)]).collect();
        edges.extend((0..=40u8).flat_map(|low| {
            let mut small = [0; 32];
            small[0] = low;
            let mut signed = small;
            signed[31] = 0x80;
            [small, signed]
        }));
        edges.extend(EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()));
        for bytes in edges {
            assert_eq!(decompress(&bytes).is_some(), round_trips(&bytes), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn accepts_exactly_what_round_trips(bytes: [u8; 32]) {
            prop_assert_eq!(decompress(&bytes).is_some(), round_trips(&bytes));
        }
    }
}
