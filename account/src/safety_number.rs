//! Safety numbers: sixty digits by which two people find out, outside of any server, whether both see the same two
//! identities.
//!
//! ```text
//! h_0     = SHA-512(tag ‖ label length (1 octet) ‖ label ‖ identity key)
//! h_i     = SHA-512(h_{i-1} ‖ tag ‖ label length ‖ label ‖ identity key)    for i = 1 .. 5199
//! party   = the first 30 octets of h_5199
//! ```
//!
//! A party is shown as six groups of five digits, each five octets as a big-endian number modulo 100,000; the number is both
//! parties, the smaller octets first, so that both people read the same. Neither log nor devices are in it: it changes
//! when an identity key changes, and not when devices come and go or a log is handed over.
//!
//! Thirty octets and 5,200 rounds make it costly to search for a key that looks like another one's; thirty digits
//! distinguish about 2^99 parties.

use core::fmt;

use keyglass_crypto::{hash::sha512, sign::VerifyingKey};
use thiserror::Error;

use crate::{
    label::{self, LabelLength},
    tag,
};

/// How often a party is hashed.
const ROUNDS: u32 = 5200;
/// Octets of a party.
const PARTY_LEN: usize = 30;
/// What begins the text in a code that a camera reads.
const CODE: &str = "keyglass-safety-number/v1 ";
/// Digits in a number.
const DIGITS: usize = 60;

/// A text is neither sixty digits nor the text of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a safety number is sixty digits, or the text of a code that was scanned")]
pub struct NotASafetyNumber;

/// What two accounts' identities look like to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafetyNumber {
    /// Both parties, the smaller first.
    parties: [[u8; PARTY_LEN]; 2],
}

impl SafetyNumber {
    /// The number of two accounts, each by its label and its identity key. The order does not matter.
    ///
    /// # Errors
    /// [`LabelLength`].
    pub fn new(a: (&[u8], &VerifyingKey), b: (&[u8], &VerifyingKey)) -> Result<Self, LabelLength> {
        let mut parties = [party(a.0, a.1)?, party(b.0, b.1)?];
        parties.sort_unstable();
        Ok(Self { parties })
    }

    /// Twelve groups of five digits.
    pub fn groups(&self) -> impl Iterator<Item = String> {
        self.parties.iter().flat_map(|party| {
            let (chunks, _) = party.as_chunks::<5>();
            chunks.iter().map(|chunk| {
                let number = chunk.iter().fold(0u64, |number, octet| number << 8 | u64::from(*octet));
                format!("{:05}", number % 100_000)
            })
        })
    }

    /// The text for a code that the other person's device scans.
    #[must_use]
    pub fn code(&self) -> String {
        self.parties.as_flattened().iter().fold(CODE.to_owned(), |mut code, octet| {
            code.push_str(&format!("{octet:02x}"));
            code
        })
    }

    /// Whether what the other person sees is this number. Digits may be grouped by spaces and line breaks as one likes.
    ///
    /// # Errors
    /// [`NotASafetyNumber`]: then nothing was compared.
    pub fn is(&self, theirs: &str) -> Result<bool, NotASafetyNumber> {
        let theirs = theirs.trim();
        if let Some(code) = theirs.strip_prefix(CODE) {
            let hex =
                code.len() == 4 * PARTY_LEN && code.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            return if hex { Ok(theirs == self.code()) } else { Err(NotASafetyNumber) };
        }
        let digits: String = theirs.split_ascii_whitespace().collect();
        if digits.len() != DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotASafetyNumber);
        }
        Ok(digits == self.groups().collect::<String>())
    }
}

impl fmt::Display for SafetyNumber {
    /// The groups in one line, with a space between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.groups().collect::<Vec<_>>().join(" "))
    }
}

fn party(label: &[u8], identity: &VerifyingKey) -> Result<[u8; PARTY_LEN], LabelLength> {
    label::check(label)?;
    let length = u8::try_from(label.len()).map_err(|_| LabelLength(label.len()))?;
    let (length, key) = ([length], identity.to_bytes());
    let parts: [&[u8]; 4] = [tag::SAFETY_NUMBER.as_bytes(), &length, label, &key];
    let mut hash = sha512(&parts);
    for _ in 1..ROUNDS {
        hash = sha512(&[&hash, parts[0], parts[1], parts[2], parts[3]]);
    }
    Ok(core::array::from_fn(|i| hash.get(i).copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::sign::SigningKey;
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> VerifyingKey {
        SigningKey::from_seed(&[seed; 32]).verifying_key()
    }

    fn number(a: (&str, u8), b: (&str, u8)) -> SafetyNumber {
        SafetyNumber::new((a.0.as_bytes(), &key(a.1)), (b.0.as_bytes(), &key(b.1))).unwrap()
    }

    #[test]
    fn both_people_see_the_same_sixty_digits() {
        let (alice, bob) = (number(("alice", 1), ("bob", 2)), number(("bob", 2), ("alice", 1)));
        assert_eq!(alice, bob);
        let digits: String = alice.groups().collect();
        assert_eq!(digits.len(), DIGITS);
        assert!(alice.groups().all(|group| group.len() == 5 && group.bytes().all(|b| b.is_ascii_digit())));
        assert_eq!(alice.to_string().split(' ').count(), 12);
    }

    /// Computed from the definition above by a program of a few lines in another language.
    #[test]
    fn the_digits_never_drift() {
        let expected = "90887 39317 60548 45338 44061 33450 73044 08979 71140 05612 73754 84781";
        assert_eq!(number(("alice", 1), ("bob", 2)).to_string(), expected);
    }

    #[test]
    fn any_change_of_a_label_or_a_key_changes_it() {
        let honest = number(("alice", 1), ("bob", 2));
        for other in [
            number(("alice", 3), ("bob", 2)),
            number(("alice", 1), ("bob", 3)),
            number(("alicf", 1), ("bob", 2)),
            number(("bob", 1), ("alice", 2)),
            number(("alicebob", 1), ("bob", 2)),
        ] {
            assert_ne!(other, honest);
            assert_eq!(honest.is(&other.to_string()), Ok(false));
            assert_eq!(honest.is(&other.code()), Ok(false));
        }
    }

    #[test]
    fn what_is_read_aloud_or_scanned_is_compared() {
        let number = number(("alice", 1), ("bob", 2));
        let spaced = format!("  {}\n", number.to_string().replace(' ', "\n "));
        for text in [
            number.to_string(),
            number.groups().collect(),
            spaced,
            number.code(),
            format!("{}\n", number.code()),
        ] {
            assert_eq!(number.is(&text), Ok(true), "{text}");
        }
        let cut = |n: usize| number.to_string().chars().skip(n).collect::<String>();
        let upper = number.code().to_uppercase();
        let longer = format!("{}0", number.code());
        for text in [
            "",
            "12345",
            &cut(1),
            &format!("{number}1"),
            &upper,
            &longer,
            &number.to_string().replace(' ', "-"),
        ] {
            assert_eq!(number.is(text), Err(NotASafetyNumber), "{text}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let long = [b'a'; 256];
        assert_eq!(SafetyNumber::new((&long, &key(1)), (b"b", &key(2))), Err(LabelLength(256)));
        assert_eq!(SafetyNumber::new((b"", &key(1)), (b"b", &key(2))), Err(LabelLength(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            let _ = number(("alice", 1), ("bob", 2)).is(&text);
        }
    }
}
