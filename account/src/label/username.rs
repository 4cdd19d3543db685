//! User names: PRECIS UsernameCaseMapped (RFC 8265 section 3.3).

use precis_core::{Error, profile::Profile as _};
use precis_profiles::UsernameCaseMapped;

use super::{LabelError, phone};

/// The normalised name.
pub(super) fn normalise(typed: &str) -> Result<String, LabelError> {
    let is_number = |c: char| c.is_ascii_digit() || phone::PUNCTUATION.contains(&c);
    if typed.chars().all(is_number) {
        return Err(LabelError::PhoneWithoutCountry);
    }
    let name = UsernameCaseMapped::new().enforce(typed).map_err(refused)?.into_owned();
    // Width mapping makes these of their wide forms, which would be another kind of label.
    if name.contains('@') || name.starts_with('+') || name.chars().all(is_number) {
        return Err(LabelError::Username);
    }
    Ok(name)
}

fn refused(error: Error) -> LabelError {
    match error {
        Error::BadCodepoint(info) => LabelError::UsernameCharacter(info.cp),
        _ => LabelError::Username,
    }
}
