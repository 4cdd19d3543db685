//! One form for each label that a person can type, version 1 of the rule.
//!
//! White space around the text is dropped. Then the kind shows by itself:
//!
//! 1. with an `@` it is an **e-mail address**: a dot-atom of ASCII (RFC 5322 section 3.2.3) of at most 64 characters, `@`, and a
//!    domain name of two or more labels of ASCII letters, digits and hyphens (RFC 1123 section 2.1), at most 253 characters.
//!    ASCII letters become small ones, in the local part too: RFC 5321 lets a host tell `Alice@` from `alice@`, and nobody who
//!    reads a name aloud can. Nothing else is folded: dots and `+tags` stay. Quoted local parts, address literals and letters
//!    outside of ASCII are refused; an internationalised domain is typed in its `xn--` form;
//! 2. else with a `+` in front it is a **telephone number** (E.164): spaces, `-`, `(` and `)` are dropped; what remains is `+`
//!    and 7 to 15 digits, the first of which is not 0;
//! 3. else it is a **user name**: RFC 8265 section 3.3, UsernameCaseMapped, under Unicode 17.0.0. Code points that are not
//!    assigned there are refused, and so is what consists of nothing but digits and a telephone number's punctuation: a number
//!    without its country would be another one elsewhere.
//!
//! The forms are disjoint: a normalised address holds an `@`, a number begins with `+`, a user name does neither. The result
//! is in normalised form itself; a text for which that fails is refused. It has at most 255 bytes.
//!
//! Whatever this gives for a text today it gives for ever: labels are inputs of the log's VRF, and an account is lost to whoever
//! computes another. `testvectors/label/normalisation.json` and a digest over all code points hold it.

use thiserror::Error;

use super::{LabelLength, check, email, phone, username};

/// The longest text that is read, in bytes.
pub const MAX_TYPED_LEN: usize = 1024;

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A user name.
    Username,
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
}

impl Kind {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Phone => "phone",
            Self::Email => "email",
        }
    }
}

/// A label in normalised form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    text: String,
    kind: Kind,
}

impl Normalised {
    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The label.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// Why a text is no label, or not in its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LabelError {
    /// Empty, or longer than 255 bytes in normalised form.
    #[error(transparent)]
    Length(#[from] LabelLength),
    /// Longer than anything that is read.
    #[error("the text is too long for a label")]
    TooLong,
    /// The bytes are not UTF-8.
    #[error("a label is text in UTF-8")]
    NotText,
    /// The text before the `@` is no dot-atom of ASCII, or longer than 64 characters.
    #[error(
        "the part before the @ may hold ASCII letters, digits, single dots and !#$%&'*+-/=?^_`{{|}}~, up to 64 of them"
    )]
    EmailLocal,
    /// The text after the `@` is no domain name of ASCII letters, digits and hyphens.
    #[error("the part after the @ must be a domain name; one with other letters is typed in its xn-- form")]
    EmailDomain,
    /// A `+` that is not followed by 7 to 15 digits.
    #[error("a telephone number is + and the country code, 7 to 15 digits in all")]
    Phone,
    /// A telephone number without its country.
    #[error("a telephone number begins with + and the country code")]
    PhoneWithoutCountry,
    /// A code point that user names do not have: a space, a symbol, one that looks like another, or one that Unicode 17 does
    /// not assign.
    #[error("a user name cannot have the character U+{0:04X} here")]
    UsernameCharacter(u32),
    /// Letters of writing systems in opposite directions, or another rule of RFC 8265.
    #[error(
        "not a user name: letters that are written in opposite directions, or forms that do not stay what they are"
    )]
    Username,
    /// A label, not in normalised form.
    #[error("the label is not in normalised form")]
    NotNormalised,
}

/// Brings what a person has typed into the form of a label.
///
/// # Errors
/// [`LabelError`] for what is no label.
pub fn normalise(typed: &str) -> Result<Normalised, LabelError> {
    if typed.len() > MAX_TYPED_LEN {
        return Err(LabelError::TooLong);
    }
    let typed = typed.trim_matches(|c: char| c.is_ascii_whitespace());
    if typed.is_empty() {
        return Err(LabelLength(0).into());
    }
    let once = apply(typed)?;
    check(once.text.as_bytes())?;
    // What is not stable would be two labels.
    if apply(&once.text)? != once {
        return Err(LabelError::Username);
    }
    Ok(once)
}

/// Whether a label is in normalised form, and of which kind.
///
/// # Errors
/// [`LabelError::NotNormalised`] if it has a normalised form that is another one; [`LabelError`] if it has none.
pub fn require_normalised(label: &[u8]) -> Result<Kind, LabelError> {
    check(label)?;
    let text = core::str::from_utf8(label).map_err(|_| LabelError::NotText)?;
    let normalised = normalise(text)?;
    if normalised.text == text { Ok(normalised.kind) } else { Err(LabelError::NotNormalised) }
}

fn apply(typed: &str) -> Result<Normalised, LabelError> {
    let (kind, text) = if typed.contains('@') {
        (Kind::Email, email::normalise(typed)?)
    } else if typed.starts_with('+') {
        (Kind::Phone, phone::normalise(typed)?)
    } else {
        (Kind::Username, username::normalise(typed)?)
    };
    Ok(Normalised { text, kind })
}

#[cfg(test)]
mod tests;
