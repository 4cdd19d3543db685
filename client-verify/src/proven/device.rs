//! A device that stands in a proven record.

use keyglass_account::device::Suite;

use super::record::ProvenAccount;
use crate::x3dh::Party;

/// A device of an account, as the log proved it: a party that a handshake may be run with.
///
/// There is no way to make one but [`ProvenAccount::device`] and [`ProvenAccount::devices`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenDevice {
    origin: String,
    version: u32,
    party: Party,
    suites: Vec<Suite>,
}

impl ProvenDevice {
    /// The log that proved it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The version of the label in which it stands.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Its keys, and the account that it speaks for.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// The handshake suites that it announces, ascending.
    #[must_use]
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// A device that nothing proved, for tests of what comes after.
    #[cfg(test)]
    pub(crate) fn for_tests(origin: &str, party: Party, suites: Vec<Suite>) -> Self {
        Self { origin: origin.to_owned(), version: 0, party, suites }
    }
}

impl ProvenAccount {
    /// The device with this number.
    #[must_use]
    pub fn device(&self, id: u32) -> Option<ProvenDevice> {
        self.devices().find(|device| device.party.device_id == id)
    }

    /// The account's devices, ascending by number.
    pub fn devices(&self) -> impl Iterator<Item = ProvenDevice> {
        let record = self.valid().record();
        record.devices.iter().map(|device| ProvenDevice {
            origin: self.origin().to_owned(),
            version: record.version,
            party: Party {
                label: self.label().to_vec(),
                identity_key: record.identity_key,
                device_id: device.id,
                signing_key: device.signing_key,
                dh_key: device.dh_key,
            },
            suites: device.suites.clone(),
        })
    }
}
