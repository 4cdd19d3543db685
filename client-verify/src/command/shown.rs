//! What strangers wrote, and points in time, as a person can read them.

pub use keyglass_tlog::shown::{octets, seconds};
use keyglass_tlog::{
    note::{PublicKey, Vkey},
    policy::Name,
    time::UnixMillis,
};

/// A name of a policy.
#[must_use]
pub fn name(name: &Name) -> String {
    octets(name.as_bytes())
}

/// A key's name and id.
#[must_use]
pub fn key(vkey: &Vkey) -> String {
    format!("{}+{}", octets(vkey.name().as_str().as_bytes()), vkey.id())
}

/// What kind of signatures a key makes.
#[must_use]
pub fn key_type(key: &PublicKey) -> &'static str {
    match key {
        PublicKey::Ed25519(_) => "Ed25519",
        PublicKey::Ed25519Cosigner(_) => "Ed25519 cosignatures",
        PublicKey::MlDsa44Cosigner(_) => "ML-DSA-44 cosignatures",
    }
}

/// A millisecond, in Coordinated Universal Time.
#[must_use]
pub fn millis(time: UnixMillis) -> String {
    let shown = seconds(time.to_seconds());
    match shown.strip_suffix(" UTC") {
        Some(until_second) => format!("{until_second}.{:03} UTC", time.0 % 1000),
        None => shown,
    }
}

/// A number with the noun that it counts.
#[must_use]
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_dates() {
        assert_eq!(millis(UnixMillis(1_700_000_000_007)), "14 November 2023 22:13:20.007 UTC");
        assert!(millis(UnixMillis(u64::MAX)).ends_with("UTC"));
    }
}
