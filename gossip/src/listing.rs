//! The list of evidence that a party holds, as `GET /gossip/v1/evidence` answers it.

use keyglass_crypto::hash::sha256;
use keyglass_tlog::Digest;
use thiserror::Error;

use crate::{evidence::EvidenceId, hex, holdings::Holdings};

/// The first line.
const HEADER: &str = "keyglass-gossip/v1";
/// The most lines after the first; who holds more is asked again, from the last one on.
pub const MAX_LISTED: usize = 512;
/// The longest list, in bytes.
pub const MAX_LISTING_LEN: usize = 20 + MAX_LISTED * (64 + 1 + 64 + 1);
/// Its media type, and that of evidence.
pub const MEDIA_TYPE: &str = "text/plain; charset=utf-8";
/// Its path below a peer's prefix. Evidence is below it, under its name.
pub const PATH: &str = "gossip/v1/evidence";

/// Why a text is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListingError {
    /// Another first line.
    #[error("the first line is not {HEADER}")]
    BadHeader,
    /// A line is not two hashes, or the last does not end.
    #[error("a line is not the hashes of evidence and of an origin")]
    BadLine,
    /// Too many lines.
    #[error("more than {MAX_LISTED} lines")]
    TooLong,
    /// Names that do not ascend.
    #[error("the names do not ascend")]
    NotAscending,
}

/// A line: the name of evidence, and the SHA-256 hash of the origin of the log that it is about.
pub type Listed = (EvidenceId, Digest);

/// The list of what is held, from after this name.
#[must_use]
pub fn format(holdings: &Holdings, after: Option<EvidenceId>) -> String {
    let line =
        |(id, origin): (EvidenceId, &str)| format!("{id} {}\n", hex::encode(&sha256(&[origin.as_bytes()])));
    let lines: String = holdings.after(after).take(MAX_LISTED).map(line).collect();
    format!("{HEADER}\n{lines}")
}

/// Reads a list.
///
/// # Errors
/// [`ListingError`].
pub fn parse(text: &[u8]) -> Result<Vec<Listed>, ListingError> {
    let text = core::str::from_utf8(text).map_err(|_| ListingError::BadHeader)?;
    let lines = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
    let lines = lines.ok_or(ListingError::BadHeader)?;
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut listed: Vec<Listed> = Vec::new();
    for line in lines.strip_suffix('\n').ok_or(ListingError::BadLine)?.split('\n') {
        if listed.len() >= MAX_LISTED {
            return Err(ListingError::TooLong);
        }
        let hashes = line
            .split_once(' ')
            .and_then(|(id, origin)| Some((EvidenceId::parse(id)?, hex::decode(origin)?)));
        let next = hashes.ok_or(ListingError::BadLine)?;
        if listed.last().is_some_and(|last| last.0 >= next.0) {
            return Err(ListingError::NotAscending);
        }
        listed.push(next);
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_held_is_a_list() {
        let text = format(&Holdings::default(), None);
        assert_eq!(text, "keyglass-gossip/v1\n");
        assert_eq!(parse(text.as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn bad_lists_are_refused() {
        let (a, b) = ("0".repeat(64), "1".repeat(64));
        let good = format!("{HEADER}\n{a} {b}\n{b} {b}\n");
        assert_eq!(parse(good.as_bytes()).unwrap().len(), 2);
        let long: String = (0..=MAX_LISTED).map(|i| format!("{i:064x} {b}\n")).collect();
        for (bad, error) in [
            (String::new(), ListingError::BadHeader),
            (HEADER.to_owned(), ListingError::BadHeader),
            (good[..good.len() - 1].to_owned(), ListingError::BadLine),
            (format!("{HEADER}\n\n"), ListingError::BadLine),
            (format!("{HEADER}\n{a}\n"), ListingError::BadLine),
            (format!("{HEADER}\n{a}  {b}\n"), ListingError::BadLine),
            (format!("{HEADER}\n{b} {b}\n{a} {b}\n"), ListingError::NotAscending),
            (format!("{HEADER}\n{a} {b}\n{a} {b}\n"), ListingError::NotAscending),
            (format!("{HEADER}\n{long}"), ListingError::TooLong),
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(error), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_list_has_one_spelling(hashes in proptest::collection::btree_map(any::<[u8; 32]>(), any::<[u8; 32]>(), 0..20)) {
            let lines: String = hashes.iter().map(|(id, origin)| format!("{} {}\n", hex::encode(id), hex::encode(origin))).collect();
            let listed = parse(format!("{HEADER}\n{lines}").as_bytes()).unwrap();
            prop_assert!(listed.iter().map(|(id, origin)| (&id.0, origin)).eq(hashes.iter()));
        }
    }
}
