//! What was found of one's own account, in words.

use keyglass_account::{time::UnixMillis, verify::Change};

use crate::{proven::Author, watching::Date};

/// Who made a version of one's own label that was not made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Who holds one's own identity key, which is still the account's.
    OwnIdentity,
    /// Who holds one's own identity key, or what it granted recovery to; the identity is now another.
    Successor(Author),
    /// The provider alone.
    Provider,
    /// Somebody whom none of one's keys vouches for.
    Nobody,
    /// It cannot be told: the version's value was erased.
    Erased,
}

impl Maker {
    /// A stable name, for scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnIdentity => "own_identity",
            Self::Successor(Author::Recovery) => "recovery",
            Self::Successor(_) => "own_identity_replaced",
            Self::Provider => "provider",
            Self::Nobody => "nobody",
            Self::Erased => "erased",
        }
    }
}

/// One's own label has a version that was not made here.
#[must_use]
pub fn unexpected(name: &str, version: Option<u32>, maker: Maker) -> String {
    let version =
        version.map_or_else(|| "a newer version".to_owned(), |version| format!("version {version}"));
    let what = format!("your own account {name} has {version}, which was not made here");
    match maker {
        Maker::OwnIdentity => {
            format!("{what}; your identity key signed it: another device of yours may have made it")
        }
        Maker::Successor(Author::Recovery) => {
            format!("{what}; it REPLACES YOUR IDENTITY, and your recovery key signed it")
        }
        Maker::Successor(_) => format!("{what}; it REPLACES YOUR IDENTITY, and your identity key signed it"),
        Maker::Provider => format!(
            "{what}: YOUR PROVIDER RESET YOUR ACCOUNT, and none of your keys signed it. Whoever writes to you now \
             reaches somebody else: tell your contacts"
        ),
        Maker::Nobody => format!(
            "{what}, and NONE OF YOUR KEYS SIGNED IT. Those who check will not use it: ask the provider how it came \
             there"
        ),
        Maker::Erased => format!("{what}, and its contents were erased: ask the provider what it was"),
    }
}

/// What to do if one's own identity key signed what none of one's own devices made.
const IF_NOT_YOURS: &str = "if no other home of yours made them, somebody else has your identity key: look at `keyglass device list`, \
                            and rotate";

/// Versions of one's own label that were made elsewhere with one's own identity key, and that a command builds upon.
#[must_use]
pub fn built_upon(name: &str, change: &Change) -> String {
    let mut what = Vec::new();
    let listed = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    if !change.devices_added.is_empty() {
        what.push(format!("DEVICES ADDED: {}", listed(&change.devices_added)));
    }
    if !change.devices_removed.is_empty() {
        what.push(format!("devices removed: {}", listed(&change.devices_removed)));
    }
    if change.recovery_changed {
        what.push("ANOTHER RECOVERY KEY, OR NONE".to_owned());
    }
    if change.lockdown_changed {
        what.push("the lockdown switched".to_owned());
    }
    let what = if what.is_empty() { "nothing in them is different".to_owned() } else { what.join(", ") };
    let since = change.since.unwrap_or(0);
    format!(
        "versions of {name} after version {since} were not made here; your identity key signed them, and this builds upon \
         them: {what}. And {IF_NOT_YOURS}"
    )
}

/// The same, told later.
#[must_use]
pub fn built_upon_since(name: &str, since: u32) -> String {
    format!(
        "versions of your own account {name} after version {since} were not made here; your identity key signed them, and they \
         were built upon: {IF_NOT_YOURS}"
    )
}

/// A version of one's own label whose value the log no longer has.
#[must_use]
pub fn erased(name: &str, version: u32, noticed: UnixMillis, now: UnixMillis) -> String {
    let day = Date::of(noticed).seen_from(Date::of(now));
    format!(
        "the operator erased the contents of version {version} of your account {name}, as was noticed on {day}. That \
         there was such a version is still proven"
    )
}
