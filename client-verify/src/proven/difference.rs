//! What a proven account has that the record known before had not.

use keyglass_account::{
    record::AccountRecord,
    root::Finding,
    time::UnixMillis,
    verify::{AuthorisedBy, Change},
};

use super::record::{Identity, ProvenAccount};

/// Whose word a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The account's identity key.
    Identity,
    /// The account's recovery key.
    Recovery,
    /// The provider's alone.
    Provider,
}

impl From<AuthorisedBy> for Author {
    fn from(by: AuthorisedBy) -> Self {
        match by {
            AuthorisedBy::Genesis | AuthorisedBy::Identity(_) => Self::Identity,
            AuthorisedBy::Recovery(_) => Self::Recovery,
            AuthorisedBy::Provider => Self::Provider,
        }
    }
}

/// One thing that is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The provider replaced the identity on its own.
    Reset {
        /// The version that did.
        version: u32,
    },
    /// What would show where the identity comes from is missing from the log. This counts as a reset.
    HistoryMissing {
        /// The version that is missing.
        version: u32,
        /// Whether it is past the log's maximum lifetime, rather than erased or withheld.
        expired: bool,
    },
    /// The identity key was replaced.
    IdentityReplaced {
        /// The version that did.
        version: u32,
        /// Who authorised it.
        by: Author,
    },
    /// A device is new.
    DeviceLinked {
        /// Its id.
        device: u32,
        /// When it was added, as the account says.
        added: UnixMillis,
        /// Who authorised the record that has it.
        by: Author,
    },
    /// A device is gone.
    DeviceRemoved {
        /// Its id.
        device: u32,
        /// Who authorised the record that lacks it.
        by: Author,
    },
    /// A device announces other handshakes.
    DeviceChanged {
        /// Its id.
        device: u32,
        /// Who authorised the record.
        by: Author,
    },
    /// There is a recovery key, and there was none.
    RecoveryNamed,
    /// There is another recovery key.
    RecoveryReplaced,
    /// There is no recovery key any more.
    RecoveryDropped,
    /// Resets are to be refused from now on.
    LockdownOn,
    /// Resets are possible again.
    LockdownOff,
    /// So many versions directly before this one are not valid. Nobody used them.
    InvalidVersions {
        /// How many.
        count: u32,
    },
    /// There is a newer version in which nothing else is different.
    Renewed {
        /// Its number.
        version: u32,
    },
}

impl Difference {
    /// A stable name, for scripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reset { .. } => "reset",
            Self::HistoryMissing { .. } => "history_missing",
            Self::IdentityReplaced { .. } => "identity_replaced",
            Self::DeviceLinked { .. } => "device_linked",
            Self::DeviceRemoved { .. } => "device_removed",
            Self::DeviceChanged { .. } => "device_changed",
            Self::RecoveryNamed => "recovery_named",
            Self::RecoveryReplaced => "recovery_replaced",
            Self::RecoveryDropped => "recovery_dropped",
            Self::LockdownOn => "lockdown_on",
            Self::LockdownOff => "lockdown_off",
            Self::InvalidVersions { .. } => "invalid_versions",
            Self::Renewed { .. } => "renewed",
        }
    }

    /// Whether it concerns who the account is, rather than what belongs to it.
    #[must_use]
    pub fn is_of_identity(&self) -> bool {
        matches!(self, Self::Reset { .. } | Self::HistoryMissing { .. } | Self::IdentityReplaced { .. })
    }
}

/// What is different from `known`, against which `account` was proven; identity first. Where nobody but the provider
/// vouches for the identity, that is all: whatever else is different is somebody else's account.
#[must_use]
pub fn differences(known: &AccountRecord, account: &ProvenAccount) -> Vec<Difference> {
    let record = account.valid().record();
    let change = account.change();
    let mut found: Vec<Difference> = change.identity.iter().map(of_identity).collect();
    match account.root() {
        Finding::Withheld { version } => found.push(Difference::HistoryMissing { version, expired: false }),
        Finding::HistoryExpired { version } => {
            found.push(Difference::HistoryMissing { version, expired: true });
        }
        Finding::AlreadyKnown | Finding::Genesis | Finding::Reset { .. } => {}
    }
    if account.identity() == Identity::Broken {
        return found;
    }
    found.extend(of_contents(known, record, change));
    if record.version > known.version && change.skipped > 0 {
        let unseen = record.version.saturating_sub(known.version).saturating_sub(1);
        found.push(Difference::InvalidVersions { count: change.skipped.min(unseen) });
        found.retain(|difference| *difference != Difference::InvalidVersions { count: 0 });
    }
    if found.is_empty() && record.version > known.version {
        found.push(Difference::Renewed { version: record.version });
    }
    found
}

fn of_identity(change: &keyglass_account::verify::IdentityChange) -> Difference {
    match Author::from(change.by) {
        Author::Provider => Difference::Reset { version: change.version },
        by => Difference::IdentityReplaced { version: change.version, by },
    }
}

fn of_contents(known: &AccountRecord, record: &AccountRecord, change: &Change) -> Vec<Difference> {
    let by = Author::from(change.by);
    let mut found = Vec::new();
    for device in record.devices.iter().filter(|device| change.devices_added.contains(&device.id)) {
        found.push(Difference::DeviceLinked { device: device.id, added: device.added, by });
    }
    found.extend(change.devices_removed.iter().map(|&device| Difference::DeviceRemoved { device, by }));
    found.extend(change.suites_changed.iter().map(|&device| Difference::DeviceChanged { device, by }));
    match (known.recovery.map(|grant| grant.key), record.recovery.map(|grant| grant.key)) {
        (None, Some(_)) => found.push(Difference::RecoveryNamed),
        (Some(_), None) => found.push(Difference::RecoveryDropped),
        (Some(before), Some(now)) if before != now => found.push(Difference::RecoveryReplaced),
        _ => {}
    }
    match (known.flags.lockdown, record.flags.lockdown) {
        (false, true) => found.push(Difference::LockdownOn),
        (true, false) => found.push(Difference::LockdownOff),
        _ => {}
    }
    found
}
