//! Bob, his keys and his records.

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    record::{AccountRecord, RecordError},
    root::{Answer, Finding},
    time::UnixMillis,
    verify::{Change, ValidRecord, Verified, verify},
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};

pub const ORIGIN: &str = "log.example/7nM2";
pub const LABEL: &[u8] = b"bob";

/// A key of its own for each purpose and number.
pub fn key(purpose: &str, number: u8) -> SigningKey {
    SigningKey::from_seed(&keyglass_crypto::hash::sha256(&[purpose.as_bytes(), &[number]]))
}

pub fn identity(number: u8) -> SigningKey {
    key("identity", number)
}

pub fn recovery(number: u8) -> SigningKey {
    key("recovery", number)
}

pub fn device_key(number: u8) -> SigningKey {
    key("device", number)
}

pub fn dh(number: u8) -> DhSecretKey {
    DhSecretKey::from_bytes(&keyglass_crypto::hash::sha256(&[b"dh", &[number]]))
}

/// The device with this id, whose keys are derived from `number`.
pub fn device_of(origin: &str, label: &[u8], id: u32, number: u8) -> Device {
    let added = UnixMillis(1_700_000_000_000);
    Device::sign(origin, label, id, &device_key(number), dh(number).public_key(), vec![Suite::X3DH], added)
}

pub fn device(id: u32) -> Device {
    device_of(ORIGIN, LABEL, id, u8::try_from(id).unwrap())
}

pub fn draft() -> Draft<'static> {
    Draft::new(ORIGIN, LABEL, 0)
}

pub fn after(before: &ValidRecord) -> Draft<'_> {
    Draft::after(ORIGIN, LABEL, before, before.version() + 1)
}

/// Verifies a record that must need no history.
pub fn check(record: &AccountRecord, known: Option<&ValidRecord>) -> Result<Found, RecordError> {
    check_bytes(record.version, &record.encode(), known)
}

pub fn check_bytes(version: u32, bytes: &[u8], known: Option<&ValidRecord>) -> Result<Found, RecordError> {
    match verify(ORIGIN, LABEL, version, bytes, known)? {
        Verified::Valid { record, change, root } => Ok((*record, *change, root)),
        Verified::NeedsHistory(search) => panic!("version {} is wanted", search.wanted()),
    }
}

pub fn valid(record: &AccountRecord, known: Option<&ValidRecord>) -> ValidRecord {
    check(record, known).unwrap().0
}

/// Version 0: identity 1, devices 1 and 2, recovery key 1.
pub fn genesis() -> ValidRecord {
    let record = draft()
        .add_device(device(1))
        .add_device(device(2))
        .set_recovery(Some(recovery(1).verifying_key()))
        .sign_genesis(&identity(1))
        .unwrap();
    valid(&record, None)
}

/// A valid record, what it changes, and what is known of its root.
pub type Found = (ValidRecord, Change, Finding);

/// A log of one label: what it answers for each version.
#[derive(Default, Clone)]
pub struct Log(pub Vec<Entry>);

#[derive(Clone)]
pub enum Entry {
    Value(Vec<u8>),
    Erased,
    Withheld,
    Expired,
}

impl Log {
    pub fn of(records: &[&ValidRecord]) -> Self {
        Self(records.iter().map(|record| Entry::Value(record.record().encode())).collect())
    }

    pub fn push(&mut self, record: &AccountRecord) {
        self.0.push(Entry::Value(record.encode()));
    }

    /// Looks up the greatest version, and what else the verification asks for. Counts those searches.
    pub fn look_up(&self, known: Option<&ValidRecord>) -> (Result<Found, RecordError>, Vec<u32>) {
        let greatest = self.0.len() - 1;
        let Entry::Value(bytes) = &self.0[greatest] else { panic!("the greatest version is missing") };
        let mut asked = Vec::new();
        let mut state = verify(ORIGIN, LABEL, u32::try_from(greatest).unwrap(), bytes, known);
        loop {
            match state {
                Err(error) => return (Err(error), asked),
                Ok(Verified::Valid { record, change, root }) => return (Ok((*record, *change, root)), asked),
                Ok(Verified::NeedsHistory(search)) => {
                    asked.push(search.wanted());
                    assert!(asked.len() <= 100, "the search does not end");
                    state = search.supply(match &self.0[usize::try_from(*asked.last().unwrap()).unwrap()] {
                        Entry::Value(bytes) => Answer::Value(bytes),
                        Entry::Erased => Answer::Erased,
                        Entry::Withheld => Answer::Withheld,
                        Entry::Expired => Answer::Expired,
                    });
                }
            }
        }
    }
}
