//! Distinguished heads as text that people can pass to each other. `docs/operations/client.md` shows an example.
//!
//! ```text
//! keyglass-heads/v1
//! <origin>
//! <position> <timestamp> <root>      one line for each head, ascending
//! ```
//!
//! Numbers are decimal, timestamps milliseconds since the Unix epoch, roots base64. One list has one spelling. Nothing in it
//! is signed: it says what its author saw.

use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_crypto::hash::Digest;
use thiserror::Error;

use crate::state::{HeadsDocument, KnownHead};

/// The first line.
pub const HEADER: &str = "keyglass-heads/v1";

/// The longest text that is read, in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// The most heads in a text: as many as a `DistinguishedHead` holds.
const MAX_ENTRIES: usize = 255;

/// Why a text is no list of heads. Lines are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadsTextError {
    /// Longer than any list.
    #[error("the list of heads is longer than {MAX_LEN} bytes or has more than {MAX_ENTRIES} heads")]
    TooLong,
    /// Not UTF-8, or with other control characters than newlines.
    #[error("the list of heads is not lines of text")]
    NotText,
    /// The first line is another one: no list of heads, or of another version.
    #[error("the first line is not {HEADER}")]
    BadHeader,
    /// There is no origin.
    #[error("the second line is not a log's origin")]
    BadOrigin,
    /// A line is not a position, a timestamp and a root.
    #[error("line {0} is not a head: position, timestamp and root")]
    BadEntry(usize),
    /// A head is not right of the one before it.
    #[error("line {0} is not to the right of the one before it")]
    NotAscending(usize),
}

/// A list of heads of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadsText {
    /// The log's origin.
    pub origin: String,
    /// The heads, ascending.
    pub entries: Vec<KnownHead>,
}

impl HeadsText {
    /// The recent heads of this home.
    #[must_use]
    pub fn of(heads: &HeadsDocument) -> Self {
        Self { origin: heads.origin.clone(), entries: heads.recent().to_vec() }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// [`HeadsTextError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadsTextError> {
        if bytes.len() > MAX_LEN {
            return Err(HeadsTextError::TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| HeadsTextError::NotText)?;
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(HeadsTextError::NotText);
        }
        let text = text.strip_suffix('\n').ok_or(HeadsTextError::NotText)?;
        let mut lines = text.split('\n').zip(1..);
        if lines.next().is_none_or(|(line, _)| line != HEADER) {
            return Err(HeadsTextError::BadHeader);
        }
        let (origin, _) =
            lines.next().filter(|(line, _)| !line.is_empty()).ok_or(HeadsTextError::BadOrigin)?;
        let mut entries: Vec<KnownHead> = Vec::new();
        for (line, number) in lines {
            let entry = parse_entry(line).ok_or(HeadsTextError::BadEntry(number))?;
            if entries.last().is_some_and(|before| before.position >= entry.position) {
                return Err(HeadsTextError::NotAscending(number));
            }
            if entries.len() >= MAX_ENTRIES {
                return Err(HeadsTextError::TooLong);
            }
            entries.push(entry);
        }
        Ok(Self { origin: origin.to_owned(), entries })
    }
}

impl fmt::Display for HeadsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\n{}", self.origin)?;
        self.entries.iter().try_for_each(|KnownHead { position, timestamp, root }| {
            writeln!(f, "{position} {timestamp} {}", STANDARD.encode(root))
        })
    }
}

fn parse_entry(line: &str) -> Option<KnownHead> {
    let (position, rest) = line.split_once(' ')?;
    let (timestamp, root) = rest.split_once(' ')?;
    // 44 characters spell 31, 32 or 33 bytes; nothing longer is worth decoding.
    let root: Digest =
        if root.len() == 44 { STANDARD.decode(root).ok()?.try_into().ok()? } else { return None };
    Some(KnownHead { position: parse_decimal(position)?, timestamp: parse_decimal(timestamp)?, root })
}

/// Reads a number in its one spelling.
fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(
            origin in "[a-z/.]{1,40}",
            entries in proptest::collection::btree_map(any::<u64>(), any::<(u64, [u8; 32])>(), 0..30),
        ) {
            let entries = entries.into_iter();
            let entries = entries.map(|(position, (timestamp, root))| KnownHead { position, timestamp, root });
            let list = HeadsText { origin, entries: entries.collect() };
            prop_assert_eq!(HeadsText::parse(list.to_string().as_bytes()).unwrap(), list);
        }

        #[test]
        fn what_is_read_has_one_spelling(
            lines in proptest::collection::vec("[0-9]{1,3} [0-9]{1,3} (A{43}=|[A-C]{43}=|.{0,50})", 0..4),
            end in "\n?",
        ) {
            let text = format!("{HEADER}\nlog\n{}{end}", lines.join("\n"));
            if let Ok(list) = HeadsText::parse(text.as_bytes()) {
                prop_assert_eq!(list.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_cause() {
        let root = STANDARD.encode([7; 32]);
        let list = |lines: &str| format!("{HEADER}\nlog\n{lines}");
        let bad = HeadsTextError::BadEntry;
        for (text, error) in [
            (String::new(), HeadsTextError::NotText),
            ("keyglass-heads/v2\nlog\n".into(), HeadsTextError::BadHeader),
            (format!("{HEADER}\n"), HeadsTextError::BadOrigin),
            (format!("{HEADER}\n\n"), HeadsTextError::BadOrigin),
            (list(&format!("1 2 {root}")), HeadsTextError::NotText),
            (list(&format!("1 2 {root}\r\n")), HeadsTextError::NotText),
            (list(&format!("1 2 {root}\n\n")), bad(4)),
            (list(&format!("1 2 {root} \n")), bad(3)),
            (list(&format!("01 2 {root}\n")), bad(3)),
            (list(&format!("+1 2 {root}\n")), bad(3)),
            (list(&format!("-1 2 {root}\n")), bad(3)),
            (list(&format!("18446744073709551616 2 {root}\n")), bad(3)),
            (list(&format!("1 {root}\n")), bad(3)),
            (list(&format!("1 2 {}\n", STANDARD.encode([7; 31]))), bad(3)),
            (list(&format!("1 2 {}\n", STANDARD.encode([7; 33]))), bad(3)),
            (list(&format!("1 2 {root}\n1 3 {root}\n")), HeadsTextError::NotAscending(4)),
            (list(&format!("2 2 {root}\n1 3 {root}\n")), HeadsTextError::NotAscending(4)),
            (list(&"x".repeat(MAX_LEN)), HeadsTextError::TooLong),
            (list(&(0..256).map(|n| format!("{n} 2 {root}\n")).collect::<String>()), HeadsTextError::TooLong),
        ] {
            assert_eq!(HeadsText::parse(text.as_bytes()), Err(error), "{text:.100}");
        }
        assert_eq!(HeadsText::parse(&[0xFF, b'\n']), Err(HeadsTextError::NotText));
    }
}
