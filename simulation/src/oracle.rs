//! What is true, which no party of the simulation can see whole: who published what, which keys are whose, which handshakes
//! were started. Invariants are checked against it.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_account::record::AccountRecord;

use crate::lies::Lie;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// Whose doing a version of a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Its owner's.
    Owner,
    /// The operator's, at its owner's request, who lost everything.
    Request,
    /// The attacker's.
    Lie(Lie),
}

/// A version of a label.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its value.
    pub value: Vec<u8>,
    /// Whose doing it is.
    pub by: By,
}

/// A prekey's place: its owner, its device, and which it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PreKeyName {
    /// A signed prekey by its number.
    Signed(String, u32, u32),
    /// A one-time prekey by its batch and its number.
    OneTime(String, u32, u32, u32),
    /// A last-resort KEM prekey by its number; of KEM keys, their hashes are kept.
    LastResort(String, u32, u32),
    /// A one-time KEM prekey by its batch and its number.
    Kem(String, u32, u32, u32),
}

/// A handshake that somebody started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The text that it carries.
    pub text: [u8; 16],
    /// What both sides must derive: the keys and the associated data, as they are stored.
    pub secrets: Vec<[u8; 32]>,
    /// The associated data.
    pub associated_data: Vec<u8>,
}

/// A text that a person wrote.
#[derive(Debug, Clone)]
pub struct Text {
    /// Who wrote it.
    pub from: usize,
    /// The writer's label.
    pub from_label: String,
    /// To whom.
    pub to: usize,
    /// What.
    pub text: String,
    /// Whether the recipient saw it.
    pub arrived: bool,
    /// Why it need not arrive, if something excuses that.
    pub excuse: Option<&'static str>,
}

/// Everything that is true.
#[derive(Debug, Default)]
pub struct Oracle {
    /// The versions of each label, on each branch of the log.
    pub versions: Vec<BTreeMap<String, Vec<Version>>>,
    /// The public keys that owners made, by their places. A device that lost its state can give a number out again.
    pub prekeys: BTreeMap<PreKeyName, BTreeSet<[u8; 32]>>,
    /// The X25519 identity keys of devices that owners published, by label and number.
    pub devices: BTreeSet<(String, u32, [u8; 32])>,
    /// The handshakes that were started, by their ids.
    pub handshakes: BTreeMap<[u8; 32], Handshake>,
    /// The texts that were written, by their ids.
    pub texts: BTreeMap<[u8; 16], Text>,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
}

impl Oracle {
    /// Notes that an invariant does not hold.
    pub fn violated(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert_with(|| Violation(what.into()));
    }

    /// Notes a version of a label on a branch.
    pub fn published(&mut self, branch: usize, label: &str, value: &[u8], by: By) {
        while self.versions.len() <= branch {
            self.versions.push(BTreeMap::new());
        }
        if !matches!(by, By::Lie(_)) {
            let record = AccountRecord::decode(value).unwrap();
            let name = |id, key| (label.to_owned(), id, key);
            self.devices
                .extend(record.devices.iter().map(|device| name(device.id, device.dh_key.to_bytes())));
        }
        let version = Version { value: value.to_vec(), by };
        self.versions[branch].entry(label.to_owned()).or_default().push(version);
    }

    /// The versions of a label on a branch.
    #[must_use]
    pub fn versions_of(&self, branch: usize, label: &str) -> &[Version] {
        self.versions.get(branch).and_then(|labels| labels.get(label)).map_or(&[], Vec::as_slice)
    }

    /// The lies that a branch holds about a label.
    #[must_use]
    pub fn lies_about(&self, branch: usize, label: &str) -> Vec<Lie> {
        let lies = self.versions_of(branch, label).iter().filter_map(|version| match version.by {
            By::Lie(lie) => Some(lie),
            By::Owner | By::Request => None,
        });
        lies.collect()
    }

    /// Whether the operator ever reset the label, asked or not.
    #[must_use]
    pub fn was_reset(&self, branch: usize, label: &str) -> bool {
        self.versions_of(branch, label)
            .iter()
            .any(|version| matches!(version.by, By::Request | By::Lie(Lie::Reset | Lie::BuriedReset)))
    }

    /// Notes a prekey that its owner has made.
    pub fn made(&mut self, name: PreKeyName, key: [u8; 32]) {
        self.prekeys.entry(name).or_default().insert(key);
    }

    /// Whether a key is one that the owner has made for this place.
    #[must_use]
    pub fn is_made(&self, name: &PreKeyName, key: &[u8; 32]) -> bool {
        self.prekeys.get(name).is_some_and(|keys| keys.contains(key))
    }

    /// Whether the owner of a label ever published this device.
    #[must_use]
    pub fn has_device(&self, label: &str, id: u32, key: &[u8; 32]) -> bool {
        self.devices.contains(&(label.to_owned(), id, *key))
    }

    /// Somebody read a text.
    pub fn read(&mut self, reader: usize, from: &str, text: &str) {
        let found = self.texts.values_mut().find(|written| written.text == text);
        match found {
            Some(written) if written.to == reader && written.from_label == from => written.arrived = true,
            _ => self.violated(format!("a text was shown that {from} never wrote to this reader: {text}")),
        }
    }

    /// Excuses a text that has not arrived.
    pub fn excuse(&mut self, id: &[u8; 16], why: &'static str) {
        if let Some(text) = self.texts.get_mut(id).filter(|text| !text.arrived) {
            text.excuse.get_or_insert(why);
        }
    }

    /// Excuses the texts that have not arrived from or to a client.
    pub fn excuse_all_of(&mut self, client: usize, why: &'static str) {
        let texts = self.texts.values_mut().filter(|text| !text.arrived);
        for text in texts.filter(|text| text.from == client || text.to == client) {
            text.excuse.get_or_insert(why);
        }
    }
}
