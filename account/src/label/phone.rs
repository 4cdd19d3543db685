//! Telephone numbers as E.164 has them.

use super::LabelError;

/// What people put between digits.
pub(super) const PUNCTUATION: [char; 4] = [' ', '-', '(', ')'];

/// `+` and 7 to 15 digits.
pub(super) fn normalise(typed: &str) -> Result<String, LabelError> {
    let number: String = typed.chars().filter(|c| !PUNCTUATION.contains(c)).collect();
    let digits = number.strip_prefix('+').ok_or(LabelError::Phone)?;
    let fits = (7..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    if fits { Ok(number) } else { Err(LabelError::Phone) }
}
