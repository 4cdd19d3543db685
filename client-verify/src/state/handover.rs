//! What a home keeps so that a log can be followed by another: whom it trusted, where a log ended, what came before.

use keyglass_keytrans::client::Verifier;
use serde::{Deserialize, Serialize};

use super::{document::Format, text};

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
    /// The log's vkey, under which the handover was verified.
    pub vkey: String,
    /// The handover.
    pub handover: String,
}

impl EndDocument {
    /// The document of a verified handover.
    #[must_use]
    pub fn new(origin: String, vkey: String, handover: String) -> Self {
        Self { format: Format, origin, vkey, handover }
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
