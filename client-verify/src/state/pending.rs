//! A version of one's own account on its way into the log.

use keyglass_crypto::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{OwnDeviceState, OwnIdentity, account::OwnAccount, text};

/// The most declined versions that are kept. The oldest go first.
const MAX_DECLINED: usize = 16;

/// A version that was signed and stored before it was sent, with the secrets that count once the log has it.
///
/// While it is here, whether the log has it is not known. It is sent again, as it is, until that shows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingVersion {
    /// The version of the label that it is to be.
    pub version: u32,
    /// The record's encoding.
    #[serde(with = "text::bytes")]
    pub record: Vec<u8>,
    /// The seed of the identity key that it introduces, if it introduces one.
    #[serde(default, with = "text::optional_secret", skip_serializing_if = "Option::is_none")]
    pub identity_seed: Option<Secret<32>>,
    /// The devices that it adds whose secrets are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<OwnDeviceState>,
}

/// A record's encoding, in documents that others than a home keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(#[serde(with = "text::bytes")] pub Vec<u8>);

/// A seed, in documents that others than a home keep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(#[serde(with = "text::secret")] pub Secret<32>);

impl OwnAccount {
    /// The pending version is in the log: it is now the account, with what it brought and without the devices of this home
    /// that it removed. Only storing the account makes that durable.
    pub fn settle_pending(&mut self, remaining: impl Fn(u32) -> bool) {
        let Some(pending) = self.pending.take() else { return };
        if let Some(seed) = pending.identity_seed {
            self.identity = OwnIdentity::Held(seed);
        }
        self.devices.extend(pending.devices);
        self.devices.retain(|device| remaining(device.id));
        self.record = pending.record;
        self.published = Some(pending.version);
        self.declined.retain(|declined| declined.version > pending.version);
    }

    /// The server declined the pending version, and the log does not show it. A server that kept it could publish it yet, so
    /// that the secrets which it brings are not thrown away. Only storing the account makes that durable.
    pub fn set_pending_aside(&mut self) {
        let brings_secrets =
            |pending: &PendingVersion| pending.identity_seed.is_some() || !pending.devices.is_empty();
        self.declined.extend(self.pending.take().filter(brings_secrets));
        let excess = self.declined.len().saturating_sub(MAX_DECLINED);
        self.declined.drain(..excess);
    }

    /// Makes a version that was set aside the pending one, if it is this one. Says whether it is.
    pub fn take_up(&mut self, version: u32, record: &[u8]) -> bool {
        let is_it = |declined: &PendingVersion| declined.version == version && declined.record == record;
        let Some(place) = self.declined.iter().position(is_it) else { return false };
        self.pending = Some(self.declined.remove(place));
        true
    }
}
