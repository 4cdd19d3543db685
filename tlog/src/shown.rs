//! What strangers wrote, and points in time, as a person can read them.

use crate::{
    Digest, text,
    time::{Date, UnixSeconds},
};

/// Octets as text: what is not UTF-8, and characters that would not be seen for what they are, as escapes. Different
/// octets give different texts.
#[must_use]
pub fn octets(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\'' => shown.push(c),
                _ => shown.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// A hash in standard, padded base64, as in all C2SP formats.
#[must_use]
pub fn base64(hash: &Digest) -> String {
    text::base64(hash)
}

/// A second, in Coordinated Universal Time; one that no calendar reaches by its number.
#[must_use]
pub fn seconds(time: UnixSeconds) -> String {
    match time.to_millis() {
        Some(millis) => {
            let of_day = time.0 % 86_400;
            let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
            format!("{} {hours:02}:{minutes:02}:{seconds:02} UTC", Date::of(millis))
        }
        None => format!("second {time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_octets_look_different() {
        let looks = [
            (&b"plain w1"[..], "plain w1"),
            (b"it's", "it's"),
            ("é".as_bytes(), "é"),
            ("e\u{301}".as_bytes(), "e\\u{301}"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            (b"\x9b31m", "\\x9b31m"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (b"\\x9b31m", "\\\\x9b31m"),
            (b"\x1b[31m", "\\u{1b}[31m"),
        ];
        for (bytes, shown) in looks {
            assert_eq!(octets(bytes), shown);
        }
    }

    #[test]
    fn times_read_as_dates() {
        assert_eq!(seconds(UnixSeconds(1_700_000_000)), "14 November 2023 22:13:20 UTC");
        assert_eq!(seconds(UnixSeconds(u64::MAX)), "second 18446744073709551615");
    }
}
