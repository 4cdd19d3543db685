//! The spellings that all C2SP formats share: decimals and base64, each with exactly one spelling per value.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_crypto::hash::Digest;

/// Reads an ASCII decimal without sign or leading zeros that fits 64 bits.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    let canonical = match digits {
        [] => false,
        [b'0'] => true,
        [b'0', ..] => false,
        _ => digits.iter().all(u8::is_ascii_digit),
    };
    if canonical { text.parse().ok() } else { None }
}

/// Writes standard, padded base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard base64 with its padding and with zero trailing bits.
pub(crate) fn parse_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Reads the base64 of exactly 32 bytes.
pub(crate) fn parse_hash(text: &str) -> Option<Digest> {
    // 44 characters spell 31, 32 or 33 bytes; nothing longer is worth decoding.
    if text.len() == 44 { parse_base64(text)?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_one_spelling() {
        assert_eq!(parse_decimal("0"), Some(0));
        assert_eq!(parse_decimal("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "１"] {
            assert_eq!(parse_decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(parse_base64("AA=="), Some(vec![0]));
        for bad in ["AA", "AB==", "A", "AA==\n", " AA==", "AA==AA==", "__==", "AA=", "AA==="] {
            assert_eq!(parse_base64(bad), None, "{bad:?}");
        }
        assert_eq!(parse_hash(&base64(&[7; 32])), Some([7; 32]));
        assert_eq!(parse_hash(&base64(&[7; 31])), None);
        assert_eq!(parse_hash(&base64(&[7; 33])), None);
    }
}
