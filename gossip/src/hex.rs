//! Hashes in lower-case hexadecimal, their one spelling in paths and lists.

use keyglass_tlog::Digest;

/// 64 lower-case hexadecimal digits.
#[must_use]
pub fn encode(hash: &Digest) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads 64 lower-case hexadecimal digits.
#[must_use]
pub fn decode(text: &str) -> Option<Digest> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? << 4 | nibble(*low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = core::array::from_fn(|i| (i * 9) as u8);
        let text = encode(&hash);
        assert_eq!(decode(&text), Some(hash));
        for bad in [&text[1..], &text[..62], &text.to_uppercase(), &format!("{text}00"), "", "é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
