//! Labels: the names under which accounts are found.

use thiserror::Error;

/// Bytes in the longest label.
pub const MAX_LABEL_LEN: usize = 255;

/// A label is empty or longer than 255 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a label has 1 to 255 bytes, this one has {0}")]
pub struct LabelLength(pub usize);

/// Checks the length of a label. Its bytes are otherwise arbitrary: what a person types is encoded as UTF-8.
///
/// # Errors
/// [`LabelLength`].
pub fn check(label: &[u8]) -> Result<(), LabelLength> {
    if (1..=MAX_LABEL_LEN).contains(&label.len()) { Ok(()) } else { Err(LabelLength(label.len())) }
}
