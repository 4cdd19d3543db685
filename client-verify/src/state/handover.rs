//! What a home keeps so that a log can be followed by another: whom it trusted, where a log ended, what came before.

use keyglass_keytrans::client::Verifier;
use keyglass_tlog::note::Vkey;
use serde::{Deserialize, Serialize};

use super::{format::Format, text};

/// The most logs before one's own that are kept.
pub const MAX_PREDECESSORS: usize = 64;

/// The configuration and the policy with which a log was used last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustDocument {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    #[serde(with = "text::bytes")]
    configuration: Vec<u8>,
    #[serde(with = "text::bytes")]
    policy: Vec<u8>,
}

impl TrustDocument {
    /// The document of a configuration and a policy as they were read.
    #[must_use]
    pub fn new(origin: String, configuration: &[u8], policy: &[u8]) -> Self {
        Self { format: Format, origin, configuration: configuration.to_vec(), policy: policy.to_vec() }
    }

    /// What judges the log's heads; `None` if the file is damaged.
    #[must_use]
    pub fn verifier(&self) -> Option<Verifier> {
        Verifier::new(&self.configuration, Some(&self.policy)).ok()
    }
}

/// Where a log ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndDocument {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    /// The first of the log's keys, under which the handover was verified.
    vkey: String,
    /// Its other keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further_vkeys: Vec<String>,
    /// The handover.
    pub handover: String,
}

impl EndDocument {
    /// The document of a verified handover.
    #[must_use]
    pub fn new(origin: String, log_keys: &[Vkey], handover: String) -> Self {
        let mut vkeys = log_keys.iter().map(Vkey::to_string);
        let vkey = vkeys.next().unwrap_or_default();
        Self { format: Format, origin, vkey, further_vkeys: vkeys.collect(), handover }
    }

    /// The keys of the log that ended; `None` if the file is damaged.
    #[must_use]
    pub fn log_keys(&self) -> Option<Vec<Vkey>> {
        let vkeys = core::iter::once(&self.vkey).chain(&self.further_vkeys);
        vkeys.map(|vkey| Vkey::parse(vkey).ok()).collect()
    }
}

/// The logs that were handed over to this one, directly or by others in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredecessorsDocument {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    /// Where they ended.
    pub ended: Vec<EndDocument>,
}

impl PredecessorsDocument {
    /// No log came before.
    #[must_use]
    pub fn new(origin: String) -> Self {
        Self { format: Format, origin, ended: Vec::new() }
    }

    /// Adds logs that are not there yet; beyond the bound the oldest go.
    pub fn add(&mut self, ended: impl IntoIterator<Item = EndDocument>) {
        for end in ended {
            if !self.ended.iter().any(|known| known.origin == end.origin) {
                self.ended.push(end);
            }
        }
        let excess = self.ended.len().saturating_sub(MAX_PREDECESSORS);
        self.ended.drain(..excess);
    }
}
