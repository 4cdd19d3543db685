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

impl Author {
    /// A stable name, for scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Recovery => "recovery",
            Self::Provider => "provider",
        }
    }
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

    /// Who authorised it, where the difference says so by itself.
    #[must_use]
    pub fn authorised_by(&self) -> Option<Author> {
        match self {
            Self::Reset { .. } | Self::HistoryMissing { .. } => Some(Author::Provider),
            Self::IdentityReplaced { by, .. }
            | Self::DeviceLinked { by, .. }
            | Self::DeviceRemoved { by, .. }
            | Self::DeviceChanged { by, .. } => Some(*by),
            _ => None,
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

#[cfg(test)]
mod tests {
    use keyglass_account::{
        author::Draft,
        device::{Device, Suite},
        verify::ValidRecord,
    };
    use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};

    use super::*;
    use crate::proven::{History, ProvenValue, Proving, prove};

    const ORIGIN: &str = "log.example/origin";
    const LABEL: &[u8] = b"bob";
    const ADDED: UnixMillis = UnixMillis(77);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn device(id: u8) -> Device {
        let dh = DhSecretKey::from_bytes(&[20 + id; 32]).public_key();
        Device::sign(ORIGIN, LABEL, id.into(), &key(10 + id), dh, vec![Suite::X3DH], ADDED)
    }

    fn valid(record: &AccountRecord) -> ValidRecord {
        ValidRecord::restore(ORIGIN, LABEL, record.version, &record.encode()).unwrap()
    }

    /// Version 0: devices 1 and 2, the recovery key of seed 7.
    fn first() -> AccountRecord {
        let draft = Draft::new(ORIGIN, LABEL, 0).add_device(device(1)).add_device(device(2));
        draft.set_recovery(Some(key(7).verifying_key())).sign_genesis(&key(1)).unwrap()
    }

    fn value(record: &AccountRecord) -> ProvenValue {
        ProvenValue::for_tests(ORIGIN, LABEL, record.version, record.encode())
    }

    /// What is different in `record` from `known`, with `history` for whatever else is asked for.
    fn found(
        known: &AccountRecord,
        record: &AccountRecord,
        history: impl Fn(u32) -> History,
    ) -> Vec<Difference> {
        let mut proving = prove(value(record), Some(&valid(known))).unwrap();
        loop {
            proving = match proving {
                Proving::Done(account) => return differences(known, &account),
                Proving::NeedsVersion(pending) => {
                    let wanted = pending.wanted();
                    pending.supply(history(wanted)).unwrap()
                }
            };
        }
    }

    /// What the next version of [`first`] changes, as `make` makes it.
    fn after_first(make: impl FnOnce(Draft<'_>) -> AccountRecord) -> Vec<Difference> {
        let (first, before) = (first(), valid(&first()));
        let next = make(Draft::after(ORIGIN, LABEL, &before, 1));
        found(&first, &next, |wanted| panic!("wants version {wanted}"))
    }

    #[test]
    fn what_belongs_to_an_account() {
        let by = Author::Identity;
        let sign = |draft: Draft<'_>| draft.sign(&key(1)).unwrap();
        let linked = Difference::DeviceLinked { device: 3, added: ADDED, by };
        let removed = Difference::DeviceRemoved { device: 1, by };
        assert_eq!(after_first(|draft| sign(draft.add_device(device(3)))), [linked]);
        assert_eq!(after_first(|draft| sign(draft.remove_device(1))), [removed]);
        assert_eq!(
            after_first(|draft| sign(draft.remove_device(1).add_device(device(3)))),
            [linked, removed]
        );
        let changed = Difference::DeviceChanged { device: 2, by };
        assert_eq!(after_first(|draft| sign(draft.set_suites(2, &[Suite::X3DH, Suite::PQXDH]))), [changed]);
        let other = key(8).verifying_key();
        assert_eq!(
            after_first(|draft| sign(draft.set_recovery(Some(other)))),
            [Difference::RecoveryReplaced]
        );
        assert_eq!(after_first(|draft| sign(draft.set_recovery(None))), [Difference::RecoveryDropped]);
        assert_eq!(after_first(|draft| sign(draft.set_lockdown(true))), [Difference::LockdownOn]);
        assert_eq!(after_first(sign), [Difference::Renewed { version: 1 }]);
        let same = found(&first(), &first(), |wanted| panic!("wants version {wanted}"));
        assert_eq!(same, []);
    }

    #[test]
    fn what_is_taken_back() {
        let (first, before) = (first(), valid(&first()));
        let draft = Draft::after(ORIGIN, LABEL, &before, 1).set_recovery(None).set_lockdown(true);
        let second = draft.sign(&key(1)).unwrap();
        let before = valid(&second);
        let draft = Draft::after(ORIGIN, LABEL, &before, 2).set_lockdown(false);
        let third = draft.set_recovery(Some(key(9).verifying_key())).sign(&key(1)).unwrap();
        let nothing = |wanted| panic!("wants version {wanted}");
        assert_eq!(found(&second, &third, nothing), [Difference::RecoveryNamed, Difference::LockdownOff]);
        // Who saw only the ends sees what is different between them.
        assert_eq!(found(&first, &third, nothing), [Difference::RecoveryReplaced]);
    }

    #[test]
    fn who_replaced_an_identity() {
        let by = Author::Identity;
        let rotated = |draft: Draft<'_>| draft.sign_rotation(&key(1), &key(2)).unwrap();
        let differences = after_first(rotated);
        assert_eq!(differences[0], Difference::IdentityReplaced { version: 1, by });
        assert!(differences[1..].iter().all(|difference| !difference.is_of_identity()), "{differences:?}");
        let by = Author::Recovery;
        let linked = Difference::DeviceLinked { device: 3, added: ADDED, by };
        let differences =
            after_first(|draft| draft.add_device(device(3)).sign_recovery(&key(7), &key(2)).unwrap());
        assert_eq!(differences[0], Difference::IdentityReplaced { version: 1, by });
        assert!(differences.contains(&linked), "{differences:?}");
        // Whatever else a reset brings is another account's.
        let reset = |draft: Draft<'_>| draft.add_device(device(3)).sign_reset(&key(2)).unwrap();
        assert_eq!(after_first(reset), [Difference::Reset { version: 1 }]);
    }

    #[test]
    fn what_a_missing_history_is() {
        let (first, before) = (first(), valid(&first()));
        let reset = Draft::after(ORIGIN, LABEL, &before, 1).sign_reset(&key(2)).unwrap();
        let before = valid(&reset);
        let last = Draft::after(ORIGIN, LABEL, &before, 2).sign(&key(2)).unwrap();
        let missing = |expired| Difference::HistoryMissing { version: 1, expired };
        let reset_at = Difference::Reset { version: 1 };
        let asked = |wanted| {
            assert_eq!(wanted, 1);
            History::Value(value(&reset))
        };
        assert_eq!(found(&first, &last, asked), [reset_at]);
        for (history, expired) in
            [(History::Erased, false), (History::Withheld, false), (History::Expired, true)]
        {
            let history = std::cell::Cell::new(Some(history));
            let differences = found(&first, &last, |_| history.take().unwrap());
            assert_eq!(differences, [reset_at, missing(expired)]);
        }
    }

    #[test]
    fn versions_between_that_nobody_signed_are_counted() {
        let (first, before) = (first(), valid(&first()));
        let third = Draft::after(ORIGIN, LABEL, &before, 3).sign(&key(1)).unwrap();
        let nothing = |wanted| panic!("wants version {wanted}");
        assert_eq!(found(&first, &third, nothing), [Difference::InvalidVersions { count: 2 }]);
        // Not those that a person knew of before.
        let before = valid(&third);
        let fourth = Draft::after(ORIGIN, LABEL, &before, 4).set_lockdown(true).sign(&key(1)).unwrap();
        assert_eq!(found(&third, &fourth, nothing), [Difference::LockdownOn]);
        assert_eq!(found(&first, &fourth, nothing), [Difference::LockdownOn]);
    }

    #[test]
    fn every_difference_has_a_name_of_its_own() {
        let (version, by) = (1, Author::Identity);
        let of_identity = [
            (Difference::Reset { version }, "reset"),
            (Difference::HistoryMissing { version, expired: true }, "history_missing"),
            (Difference::IdentityReplaced { version, by }, "identity_replaced"),
        ];
        let of_contents = [
            (Difference::DeviceLinked { device: 1, added: ADDED, by }, "device_linked"),
            (Difference::DeviceRemoved { device: 1, by }, "device_removed"),
            (Difference::DeviceChanged { device: 1, by }, "device_changed"),
            (Difference::RecoveryNamed, "recovery_named"),
            (Difference::RecoveryReplaced, "recovery_replaced"),
            (Difference::RecoveryDropped, "recovery_dropped"),
            (Difference::LockdownOn, "lockdown_on"),
            (Difference::LockdownOff, "lockdown_off"),
            (Difference::InvalidVersions { count: 1 }, "invalid_versions"),
            (Difference::Renewed { version }, "renewed"),
        ];
        assert!(of_identity.iter().all(|(difference, name)| difference.name() == *name));
        assert!(of_contents.iter().all(|(difference, name)| difference.name() == *name));
        assert!(of_identity.iter().all(|(difference, _)| difference.is_of_identity()));
        assert!(!of_contents.iter().any(|(difference, _)| difference.is_of_identity()));
    }
}
