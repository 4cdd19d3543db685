//! Calendar dates, in Coordinated Universal Time.

use core::fmt;

use super::UnixMillis;

/// The milliseconds of a day. Unix time has no leap seconds.
const DAY: u64 = 86_400_000;

/// The days of 400 years of the Gregorian calendar, after which it repeats.
const DAYS_PER_CYCLE: u64 = 146_097;

/// The days from 1 March 0000 to 1 January 1970.
const EPOCH: u64 = 719_468;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year.
    pub year: u64,
    /// The month, from 1.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
}

impl Date {
    /// The day of a moment.
    #[must_use]
    pub fn of(time: UnixMillis) -> Self {
        // Years are counted from March, so that the leap day is the last of its year.
        let days = time.0 / DAY + EPOCH;
        let (cycle, day_of_cycle) = (days / DAYS_PER_CYCLE, days % DAYS_PER_CYCLE);
        // Without the leap days before it, a day lies in the year that dividing by 365 gives.
        let leap_days = day_of_cycle / 1_460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let first_day = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100;
        let day_of_year = day_of_cycle - first_day;
        // From March on, five months always have 153 days.
        let months = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months + 2) / 5 + 1;
        let (month, later) = if months < 10 { (months + 3, 0) } else { (months - 9, 1) };
        let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        Self { year: cycle * 400 + year_of_cycle + later, month: small(month), day: small(day) }
    }

    /// In words, with the year unless it is that of `today`.
    #[must_use]
    pub fn seen_from(&self, today: Self) -> String {
        if self.year == today.year { format!("{} {}", self.day, self.month_name()) } else { self.to_string() }
    }

    fn month_name(&self) -> &'static str {
        let index = usize::from(self.month).checked_sub(1);
        index.and_then(|index| MONTHS.get(index)).copied().unwrap_or("?")
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.day, self.month_name(), self.year)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: u64, month: u8, day: u8) -> Date {
        Date { year, month, day }
    }

    /// Every day of 1200 years, against counting months one by one.
    #[test]
    fn days_follow_each_other_as_the_calendar_says() {
        let mut expected = date(1970, 1, 1);
        for day in 0..3 * DAYS_PER_CYCLE {
            assert_eq!(Date::of(UnixMillis(day * DAY)), expected, "day {day}");
            assert_eq!(Date::of(UnixMillis(day * DAY + DAY - 1)), expected, "the end of day {day}");
            let divides = |by: u64| expected.year.is_multiple_of(by);
            let is_leap = divides(4) && (!divides(100) || divides(400));
            let length = match expected.month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (expected.month, expected.day) {
                (12, 31) => date(expected.year + 1, 1, 1),
                (month, day) if day == length => date(expected.year, month + 1, 1),
                (month, day) => date(expected.year, month, day + 1),
            };
        }
    }

    #[test]
    fn known_days() {
        for (seconds, expected) in [
            (0, date(1970, 1, 1)),
            (951_782_400, date(2000, 2, 29)),
            (1_000_000_000, date(2001, 9, 9)),
            (4_107_542_399, date(2100, 2, 28)),
            (4_107_542_400, date(2100, 3, 1)),
        ] {
            assert_eq!(Date::of(UnixMillis(seconds * 1000)), expected);
        }
        // The end of what milliseconds can count is no panic.
        assert_eq!(Date::of(UnixMillis(u64::MAX)).year, 584_556_019);
    }

    #[test]
    fn the_year_is_said_where_it_is_another() {
        let day = date(2026, 5, 3);
        assert_eq!(day.seen_from(date(2026, 11, 1)), "3 May");
        assert_eq!(day.seen_from(date(2027, 1, 1)), "3 May 2026");
    }
}
