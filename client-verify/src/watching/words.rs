//! What was found, in words.

mod own;

use keyglass_account::time::UnixMillis;
pub use own::{Maker, built_upon, built_upon_since, erased, unexpected};

use super::Date;
use crate::proven::{Author, Difference};

/// How far from the time that is known a date that an account gives may lie, in milliseconds, before it is not repeated.
const TOLERANCE: u64 = 86_400_000;

/// An account that something is told of, and between which moments it happened.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// The label, as it may be shown.
    pub name: &'a str,
    /// When the account was last seen as it was before.
    pub since: UnixMillis,
    /// The time of the log entry up to which it is now known.
    pub until: UnixMillis,
}

impl Account<'_> {
    /// What is different, in a sentence.
    #[must_use]
    pub fn tell(&self, difference: &Difference, now: UnixMillis) -> String {
        let name = self.name;
        let when = self.when(now);
        match *difference {
            Difference::Reset { .. } => format!(
                "{name}'s provider reset {name}'s account {when}: none of {name}'s keys signed it. Ask {name} through \
                 another channel before you go on"
            ),
            Difference::HistoryMissing { expired: true, .. } => format!(
                "the beginning of {name}'s account is older than what the log keeps, so that nobody but the provider \
                 vouches for it. Ask {name} through another channel before you go on"
            ),
            Difference::HistoryMissing { .. } => format!(
                "the log withholds the beginning of {name}'s account, so that nobody but the provider vouches for it. \
                 Ask {name} through another channel before you go on"
            ),
            Difference::IdentityReplaced { by: Author::Recovery, .. } => {
                format!("{name}'s identity changed {when}; it is signed by {name}'s recovery key")
            }
            Difference::IdentityReplaced { .. } => {
                format!("{name}'s identity changed {when}; it is signed by the identity that you knew")
            }
            Difference::DeviceLinked { device, added, by } => {
                let when = if self.is_plausible(added) { on(added, now) } else { when };
                format!("{name} linked a device (number {device}) {when}; {}", signed(by))
            }
            Difference::DeviceRemoved { device, by } => {
                format!("{name} removed a device (number {device}) {when}; {}", signed(by))
            }
            Difference::DeviceChanged { device, by } => {
                format!("{name} changed which handshakes device {device} takes {when}; {}", signed(by))
            }
            Difference::RecoveryNamed => {
                format!("{name} named a recovery key {when}, which can replace a lost identity")
            }
            Difference::RecoveryReplaced => format!("{name} named another recovery key {when}"),
            Difference::RecoveryDropped => format!("{name} withdrew the recovery key {when}"),
            Difference::LockdownOn => {
                format!("{name} locked the account down {when}: the provider cannot reset it any more")
            }
            Difference::LockdownOff => {
                format!("{name} lifted the lockdown {when}: the provider can reset the account again")
            }
            Difference::InvalidVersions { count: 1 } => format!(
                "somebody put a version of {name}'s account into the log {when} that none of {name}'s keys signed. \
                 Nobody used it"
            ),
            Difference::InvalidVersions { count } => format!(
                "somebody put {count} versions of {name}'s account into the log {when} that none of {name}'s keys \
                 signed. Nobody used them"
            ),
            Difference::Renewed { version } => {
                format!("{name} published version {version} {when}; nothing in it is different")
            }
        }
    }

    /// When it happened, as far as is known.
    fn when(&self, now: UnixMillis) -> String {
        let (since, until, today) = (Date::of(self.since), Date::of(self.until), Date::of(now));
        if since >= until {
            format!("on {}", until.seen_from(today))
        } else {
            format!("between {} and {}", since.seen_from(today), until.seen_from(today))
        }
    }

    /// Whether a time that the account itself gives fits what is known.
    fn is_plausible(&self, time: UnixMillis) -> bool {
        let (earliest, latest) =
            (self.since.0.saturating_sub(TOLERANCE), self.until.0.saturating_add(TOLERANCE));
        (earliest..=latest).contains(&time.0)
    }
}

fn on(time: UnixMillis, now: UnixMillis) -> String {
    format!("on {}", Date::of(time).seen_from(Date::of(now)))
}

fn signed(by: Author) -> &'static str {
    match by {
        Author::Identity => "their identity key signed it",
        Author::Recovery => "their recovery key signed it",
        Author::Provider => "NOBODY BUT THE PROVIDER VOUCHES FOR IT",
    }
}

/// Nobody has looked for longer than the log keeps what would have to be looked at.
#[must_use]
pub fn unwatched(name: &str) -> String {
    format!(
        "{name} was not looked at for longer than the log keeps its entries: what happened to it in between can no longer \
         be checked. From now on it is watched again"
    )
}

/// What was checked, when there is nothing else to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How many accounts of one's own.
    pub own: usize,
    /// How many contacts.
    pub contacts: usize,
    /// The log's entries.
    pub entries: u64,
    /// The age of the newest, in milliseconds.
    pub age: u64,
}

impl Checked {
    /// The quiet line.
    #[must_use]
    pub fn tell(&self) -> String {
        format!(
            "Everything checked: {}, {}, log has {}, newest {} old",
            counted(self.own, "own account"),
            counted(self.contacts, "contact"),
            match self.entries {
                1 => "1 entry".to_owned(),
                entries => format!("{} entries", grouped(entries)),
            },
            age(self.age)
        )
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A number with a comma at every thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len().saturating_sub(index)).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds in the unit that a person would choose.
#[must_use]
pub fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    /// 1 May 2026.
    const FIRST: UnixMillis = UnixMillis(1_777_593_600_000);

    fn day(n: u64) -> UnixMillis {
        UnixMillis(FIRST.0 + n * DAY + 1000)
    }

    fn bob() -> Account<'static> {
        Account { name: "Bob", since: day(0), until: day(2) }
    }

    #[test]
    fn every_difference_is_a_sentence() {
        let by = Author::Identity;
        let table = [
            (
                Difference::DeviceLinked { device: 2, added: day(2), by },
                "Bob linked a device (number 2) on 3 May; their identity key signed it",
            ),
            (
                Difference::DeviceLinked { device: 2, added: UnixMillis(1), by: Author::Recovery },
                "Bob linked a device (number 2) between 1 May and 3 May; their recovery key signed it",
            ),
            (
                Difference::DeviceRemoved { device: 1, by },
                "Bob removed a device (number 1) between 1 May and 3 May; their identity key signed it",
            ),
            (
                Difference::DeviceChanged { device: 1, by },
                "Bob changed which handshakes device 1 takes between 1 May and 3 May; their identity key signed it",
            ),
            (
                Difference::IdentityReplaced { version: 2, by },
                "Bob's identity changed between 1 May and 3 May; it is signed by the identity that you knew",
            ),
            (
                Difference::IdentityReplaced { version: 2, by: Author::Recovery },
                "Bob's identity changed between 1 May and 3 May; it is signed by Bob's recovery key",
            ),
            (
                Difference::Reset { version: 2 },
                "Bob's provider reset Bob's account between 1 May and 3 May: none of Bob's keys signed it. Ask Bob \
                 through another channel before you go on",
            ),
            (
                Difference::HistoryMissing { version: 0, expired: false },
                "the log withholds the beginning of Bob's account, so that nobody but the provider vouches for it. Ask \
                 Bob through another channel before you go on",
            ),
            (
                Difference::HistoryMissing { version: 0, expired: true },
                "the beginning of Bob's account is older than what the log keeps, so that nobody but the provider \
                 vouches for it. Ask Bob through another channel before you go on",
            ),
            (
                Difference::RecoveryNamed,
                "Bob named a recovery key between 1 May and 3 May, which can replace a lost identity",
            ),
            (Difference::RecoveryReplaced, "Bob named another recovery key between 1 May and 3 May"),
            (Difference::RecoveryDropped, "Bob withdrew the recovery key between 1 May and 3 May"),
            (
                Difference::LockdownOn,
                "Bob locked the account down between 1 May and 3 May: the provider cannot reset it any more",
            ),
            (
                Difference::LockdownOff,
                "Bob lifted the lockdown between 1 May and 3 May: the provider can reset the account again",
            ),
            (
                Difference::InvalidVersions { count: 1 },
                "somebody put a version of Bob's account into the log between 1 May and 3 May that none of Bob's keys \
                 signed. Nobody used it",
            ),
            (
                Difference::InvalidVersions { count: 2 },
                "somebody put 2 versions of Bob's account into the log between 1 May and 3 May that none of Bob's keys \
                 signed. Nobody used them",
            ),
            (
                Difference::Renewed { version: 4 },
                "Bob published version 4 between 1 May and 3 May; nothing in it is different",
            ),
        ];
        for (difference, sentence) in table {
            assert_eq!(bob().tell(&difference, day(30)), sentence);
        }
    }

    #[test]
    fn dates_are_as_precise_as_what_is_known() {
        let removed = Difference::DeviceRemoved { device: 1, by: Author::Identity };
        let told = |since, until, now| Account { name: "Bob", since, until }.tell(&removed, now);
        assert!(told(day(2), day(2), day(3)).contains(" on 3 May;"));
        assert!(told(day(3), day(2), day(3)).contains(" on 3 May;"), "the log's clock is behind this one");
        assert!(told(day(2), day(2), day(400)).contains(" on 3 May 2026;"));
        let far = told(UnixMillis(day(0).0 - 200 * DAY), day(2), day(3));
        assert!(far.contains(" between 13 October 2025 and 3 May;"), "{far}");
    }

    #[test]
    fn an_account_cannot_date_a_device_as_it_likes() {
        for (added, repeated) in [
            (FIRST.0 - 2 * DAY, false),
            (FIRST.0, true),
            (day(2).0 + DAY, true),
            (day(2).0 + DAY + 1, false),
            (u64::MAX, false),
        ] {
            let linked =
                Difference::DeviceLinked { device: 2, added: UnixMillis(added), by: Author::Identity };
            assert_ne!(bob().tell(&linked, day(9)).contains("between"), repeated, "{added}");
        }
    }

    #[test]
    fn versions_of_ones_own_that_were_not_made_here() {
        let makers = [
            (Maker::OwnIdentity, "another device of yours may have made it", "own_identity"),
            (Maker::Successor(Author::Identity), "REPLACES YOUR IDENTITY", "own_identity_replaced"),
            (Maker::Successor(Author::Recovery), "your recovery key signed it", "recovery"),
            (Maker::Provider, "YOUR PROVIDER RESET YOUR ACCOUNT", "provider"),
            (Maker::Nobody, "NONE OF YOUR KEYS SIGNED IT", "nobody"),
            (Maker::Erased, "its contents were erased", "erased"),
        ];
        for (maker, part, name) in makers {
            let told = unexpected("alice", Some(3), maker);
            assert!(
                told.starts_with("your own account alice has version 3, which was not made here"),
                "{told}"
            );
            assert!(told.contains(part), "{told}");
            assert_eq!(maker.name(), name);
        }
        assert!(unexpected("alice", None, Maker::Erased).contains("has a newer version, which"));
    }

    #[test]
    fn erasures_say_what_remains() {
        let told = erased("alice", 3, day(1), day(2));
        assert!(told.contains("version 3 of your account alice, as was noticed on 2 May."), "{told}");
        assert!(told.contains("still proven"));
    }

    #[test]
    fn the_quiet_line_reads_well() {
        let checked = Checked { own: 2, contacts: 3, entries: 1_204, age: 12_345 };
        let line = "Everything checked: 2 own accounts, 3 contacts, log has 1,204 entries, newest 12 s old";
        assert_eq!(checked.tell(), line);
        let checked = Checked { own: 1, contacts: 1, entries: 1, age: 0 };
        let line = "Everything checked: 1 own account, 1 contact, log has 1 entry, newest 0 s old";
        assert_eq!(checked.tell(), line);
    }

    #[test]
    fn numbers_and_ages_read_well() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (ms, text) in [
            (999, "0 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_199_999, "119 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(age(ms), text);
        }
    }
}
