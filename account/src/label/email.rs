//! E-mail addresses: a dot-atom of ASCII, and a domain name.

use super::LabelError;

/// Characters in the longest local part (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Characters in the longest domain name.
const MAX_DOMAIN: usize = 253;
/// Characters in the longest label of a domain name.
const MAX_DOMAIN_LABEL: usize = 63;

/// The normalised address.
pub(super) fn normalise(typed: &str) -> Result<String, LabelError> {
    let (local, domain) = typed.split_once('@').ok_or(LabelError::EmailDomain)?;
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atext);
    if local.len() > MAX_LOCAL || !local.split('.').all(is_atom) {
        return Err(LabelError::EmailLocal);
    }
    // A name that is only numbers at its end is an address of a host (RFC 1123 section 2.1).
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    let labels = domain.split('.').count();
    if domain.len() > MAX_DOMAIN
        || labels < 2
        || !domain.split('.').all(is_domain_label)
        || domain.rsplit('.').next().is_none_or(is_number)
    {
        return Err(LabelError::EmailDomain);
    }
    Ok(typed.to_ascii_lowercase())
}

/// `atext` of RFC 5322 section 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Letters, digits and hyphens, none of these at an end, nor in the third and fourth place but after `xn`.
fn is_domain_label(label: &str) -> bool {
    let reserved = label.get(2..4) == Some("--");
    (1..=MAX_DOMAIN_LABEL).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && (!reserved
            || label.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("xn")) && label.len() > 4)
}
