//! Points in time. Cosignatures count seconds, KEYTRANS counts milliseconds: two types, so that they cannot mix.

mod date;

use core::{fmt, time::Duration};

pub use self::date::Date;

/// Seconds since the Unix epoch, as in a cosignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixSeconds(pub u64);

/// Milliseconds since the Unix epoch, as in a KEYTRANS timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixSeconds {
    /// The same instant in milliseconds; `None` beyond 64 bits, which only a hostile timestamp reaches.
    #[must_use]
    pub fn to_millis(self) -> Option<UnixMillis> {
        self.0.checked_mul(1000).map(UnixMillis)
    }
}

impl UnixMillis {
    /// The second that this instant lies in.
    #[must_use]
    pub fn to_seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// This instant plus `duration`, or the last representable instant.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_do_not_wrap() {
        assert_eq!(UnixSeconds(7).to_millis(), Some(UnixMillis(7000)));
        assert_eq!(UnixSeconds(u64::MAX).to_millis(), None);
        assert_eq!(UnixMillis(7999).to_seconds(), UnixSeconds(7));
        assert_eq!(UnixMillis(1).saturating_add(Duration::MAX), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(1).saturating_since(UnixMillis(2)), Duration::ZERO);
    }
}
