//! What a prover reads.

use keyglass_crypto::{
    commitment::OPENING_LEN,
    hash::Digest,
    vrf::{VrfOutput, VrfProof},
};

use crate::{
    algorithms::Tree,
    config::CipherSuite,
    log_tree::NodeId,
    wire::{AuditorTreeHead, LogEntry, PrefixProof, TreeHead, UpdateValue},
};

/// A published head, and what the configuration says of trees under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedHead {
    /// The head with its signature.
    pub tree_head: TreeHead,
    /// The auditor's head, in third-party-auditing mode.
    pub auditor_tree_head: Option<AuditorTreeHead>,
    /// The suite.
    pub suite: CipherSuite,
    /// `Configuration.reasonable_monitoring_window`, in milliseconds.
    pub monitoring_window: u64,
    /// `Configuration.maximum_lifetime`, in milliseconds.
    pub maximum_lifetime: Option<u64>,
}

impl ServedHead {
    /// The tree under this head.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree {
            size: self.tree_head.tree_size,
            monitoring_window: self.monitoring_window,
            maximum_lifetime: self.maximum_lifetime,
        }
    }
}

/// What opens a version's commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedVersion {
    /// The commitment's random part.
    pub opening: [u8; OPENING_LEN],
    /// The value.
    pub update: UpdateValue,
}

/// The log's data at one moment. Positions, sizes and nodes asked for lie within a tree that was published.
pub trait ProverData {
    /// Why something could not be read.
    type Error;

    /// Log entries by position, in the order asked for.
    ///
    /// # Errors
    /// If one cannot be read.
    fn log_entries(&self, positions: &[u64]) -> Result<Vec<LogEntry>, Self::Error>;

    /// Values of nodes of the log tree, in the order asked for.
    ///
    /// # Errors
    /// If one cannot be read.
    fn log_nodes(&self, nodes: &[NodeId]) -> Result<Vec<Digest>, Self::Error>;

    /// Searches the prefix tree of the log entry at `position` for `keys`; gives the results in that order.
    ///
    /// # Errors
    /// If the tree cannot be read.
    fn prefix_proof(&self, position: u64, keys: &[VrfOutput]) -> Result<PrefixProof, Self::Error>;

    /// The greatest version of `label` that the first `size` log entries created.
    ///
    /// # Errors
    /// If the label's index cannot be read.
    fn greatest_below(&self, label: &[u8], size: u64) -> Result<Option<u32>, Self::Error>;

    /// The log entry that created a version, which exists.
    ///
    /// # Errors
    /// If the label's index cannot be read.
    fn position_of(&self, label: &[u8], version: u32) -> Result<u64, Self::Error>;

    /// The search key of a version, with its proof, whether or not the version exists.
    ///
    /// # Errors
    /// If it cannot be computed.
    fn search_key(&self, label: &[u8], version: u32) -> Result<(VrfOutput, VrfProof), Self::Error>;

    /// The commitment to a version, which exists, erased or not.
    ///
    /// # Errors
    /// If it cannot be read.
    fn commitment(&self, label: &[u8], version: u32) -> Result<Digest, Self::Error>;

    /// What opens a version, which exists; `None` if it was erased.
    ///
    /// # Errors
    /// If it cannot be read.
    fn opened(&self, label: &[u8], version: u32) -> Result<Option<OpenedVersion>, Self::Error>;
}
