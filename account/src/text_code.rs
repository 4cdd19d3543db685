//! Bytes as text that people copy, type or scan: upper-case letters and digits in groups, with a checksum.
//!
//! ```text
//! <prefix>-<group>-<group>-…
//! ```
//!
//! The groups have five characters, the last one may have fewer. Put together they are the base32 (RFC 4648 section 6, without
//! padding) of the bytes and of the first four bytes of SHA-256(prefix ‖ 0x00 ‖ bytes). Reading forgives lower case, spaces,
//! line breaks and dashes in other places, and nothing else: a character that was mistyped is noticed.
//!
//! What is written so may be a secret: nothing but the result stays behind in memory.

use keyglass_crypto::hash::sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// The alphabet of base32.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters in a group.
const GROUP: usize = 5;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;
/// More characters than any code has.
pub const MAX_TEXT_LEN: usize = 4096;

/// Why a text is not the code that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextCodeError {
    /// It begins as another kind of code, or as none.
    #[error("not a code of this kind: it begins with {0}")]
    Prefix(&'static str),
    /// Longer than any code.
    #[error("the code is too long")]
    TooLong,
    /// A character that no code has.
    #[error("the code has a character that is no letter or digit from 2 to 7")]
    Character,
    /// Something is missing or was mistyped.
    #[error("the code is incomplete or mistyped: its checksum does not match")]
    Checksum,
}

/// The code of `bytes`, of the kind that `prefix` names: upper-case letters and digits.
#[must_use]
pub fn encode(prefix: &str, bytes: &[u8]) -> String {
    // Nothing grows beyond what is allotted, so that no copy is left where it was.
    let length = bytes.len().saturating_add(CHECKSUM);
    let mut all = Zeroizing::new(Vec::with_capacity(length));
    all.extend_from_slice(bytes);
    all.extend_from_slice(&checksum(prefix, bytes));
    let mut text = String::with_capacity(prefix.len().saturating_add(length.saturating_mul(2)));
    text.push_str(prefix);
    for (index, symbol) in symbols(&all).enumerate() {
        if index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(symbol));
    }
    text
}

/// The bytes of a code of the kind `prefix`.
///
/// # Errors
/// [`TextCodeError`].
pub fn decode(prefix: &'static str, text: &str) -> Result<Vec<u8>, TextCodeError> {
    if text.len() > MAX_TEXT_LEN {
        return Err(TextCodeError::TooLong);
    }
    let compact = |text: &str| -> Zeroizing<String> {
        let mut compact = Zeroizing::new(String::with_capacity(text.len()));
        let kept = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '-');
        compact.extend(kept.map(|c| c.to_ascii_uppercase()));
        compact
    };
    let text = compact(text);
    let digits = text.strip_prefix(compact(prefix).as_str()).ok_or(TextCodeError::Prefix(prefix))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len().saturating_mul(5) / 8));
    let (mut bits, mut held) = (0_u32, 0_u32);
    for c in digits.bytes() {
        let value = ALPHABET.iter().position(|symbol| *symbol == c).ok_or(TextCodeError::Character)?;
        held = held << 5 | u32::try_from(value).map_err(|_| TextCodeError::Character)?;
        bits = bits.saturating_add(5);
        if let Some(left) = bits.checked_sub(8) {
            bytes.push(u8::try_from(held >> left).map_err(|_| TextCodeError::Character)?);
            held &= (1 << left) - 1;
            bits = left;
        }
    }
    let payload = bytes.len().checked_sub(CHECKSUM).ok_or(TextCodeError::Checksum)?;
    let sum = bytes.split_off(payload);
    // One code for the same bytes: no superfluous characters, and no bits that nothing stands in.
    if bits >= 5 || held != 0 || sum != checksum(prefix, &bytes) {
        return Err(TextCodeError::Checksum);
    }
    Ok(core::mem::take(&mut *bytes))
}

fn checksum(prefix: &str, bytes: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = sha256(&[prefix.as_bytes(), &[0], bytes]);
    [a, b, c, d]
}

fn symbols(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.chunks(5).flat_map(|chunk| {
        let mut padded = [0_u8; 8];
        padded.iter_mut().skip(3).zip(chunk).for_each(|(to, from)| *to = *from);
        let number = u64::from_be_bytes(padded);
        let count = chunk.len().saturating_mul(8).div_ceil(5);
        (0..count).filter_map(move |index| {
            let shift = 35_u32.checked_sub(u32::try_from(index).ok()?.checked_mul(5)?)?;
            ALPHABET.get(usize::try_from(number >> shift & 31).ok()?).copied()
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(symbols(bytes.as_bytes()).map(char::from).collect::<String>(), text);
        }
    }

    #[test]
    fn what_is_not_this_code_is_refused() {
        let code = encode("KG1", b"hello");
        assert_eq!(decode("KG1", &code), Ok(b"hello".to_vec()));
        assert_eq!(decode("KG2", &code), Err(TextCodeError::Prefix("KG2")));
        assert_eq!(decode("KG1", ""), Err(TextCodeError::Prefix("KG1")));
        assert_eq!(decode("KG1", "KG1"), Err(TextCodeError::Checksum));
        assert_eq!(decode("KG1", &code.replace('-', "_")), Err(TextCodeError::Character));
        assert_eq!(decode("KG1", &format!("{code}A")), Err(TextCodeError::Checksum));
        assert_eq!(decode("KG1", &"K".repeat(MAX_TEXT_LEN + 1)), Err(TextCodeError::TooLong));
    }

    proptest! {
        #[test]
        fn codes_lead_back_however_they_are_typed(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let code = encode("KG1", &bytes);
            prop_assert_eq!(&decode("KG1", &code).unwrap(), &bytes);
            let typed = format!(" {}\n", code.to_lowercase().replace('-', " "));
            prop_assert_eq!(&decode("KG1", &typed).unwrap(), &bytes);
        }

        #[test]
        fn a_mistyped_character_is_noticed(
            bytes in prop::collection::vec(any::<u8>(), 0..64), place: prop::sample::Index, by in 1_usize..32,
        ) {
            let code = encode("KG1", &bytes);
            let mut typed = code.clone().into_bytes();
            let places: Vec<usize> =
                (4..typed.len()).filter(|place| typed[*place] != b'-').collect();
            let place = *place.get(&places);
            let value = ALPHABET.iter().position(|symbol| *symbol == typed[place]).unwrap();
            typed[place] = ALPHABET[(value + by) % 32];
            prop_assert_eq!(decode("KG1", std::str::from_utf8(&typed).unwrap()), Err(TextCodeError::Checksum));
        }

        #[test]
        fn any_text_is_refused_or_a_code(text: String) {
            if let Ok(bytes) = decode("KG1", &text) {
                prop_assert_eq!(decode("KG1", &encode("KG1", &bytes)), Ok(bytes));
            }
        }
    }
}
