//! Entry bundles: log entries, each after its length in 16 bits.

use thiserror::Error;

use super::Tile;

/// Why entries cannot be bundled, or bytes are not a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BundleError {
    /// An entry is longer than 65,535 bytes.
    #[error("an entry is longer than 65,535 bytes")]
    EntryTooLong,
    /// The bytes end within an entry.
    #[error("the bundle ends within an entry")]
    Truncated,
    /// There are more or fewer entries than the bundle's width says.
    #[error("the bundle does not have exactly {expected} entries")]
    WrongCount {
        /// The bundle's width.
        expected: u16,
    },
}

/// Puts entries into a bundle.
///
/// # Errors
/// [`BundleError::EntryTooLong`].
pub fn encode_bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong)?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// The entries of a bundle, exactly as many as `bundle` is wide. Their hashes remain to be checked.
///
/// # Errors
/// [`BundleError`].
pub fn parse_bundle<'a>(bundle: &Tile, contents: &'a [u8]) -> Result<Vec<&'a [u8]>, BundleError> {
    let wrong_count = BundleError::WrongCount { expected: bundle.width() };
    let mut entries = Vec::with_capacity(usize::from(bundle.width()));
    let mut rest = contents;
    while !rest.is_empty() {
        if entries.len() >= usize::from(bundle.width()) {
            return Err(wrong_count);
        }
        let (length, after) = rest.split_first_chunk::<2>().ok_or(BundleError::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(BundleError::Truncated)?;
        entries.push(entry);
        rest = after;
    }
    if entries.len() == usize::from(bundle.width()) { Ok(entries) } else { Err(wrong_count) }
}
