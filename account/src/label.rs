//! Labels: the names under which accounts are found.
//!
//! To the log a label is 1 to 255 arbitrary bytes ([`check`]). What a person types is brought into one form first, so that all
//! ways to type a name find one account, and the input of the log's VRF never drifts ([`normal`]). The rule is applied at the
//! edges: by the client to what is typed, and by a log-server to labels that are new.

pub mod normal;

mod email;
mod phone;
mod username;

use thiserror::Error;

pub use normal::{Kind, LabelError, Normalised, normalise, require_normalised};

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
