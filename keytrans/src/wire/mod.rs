//! The structures of the draft and their encoding ("Cryptographic Computations" to "Third Parties").
//!
//! A field that the draft `select`s by deployment mode or by the request is an `Option` here: decoding fills it by the
//! [`Context`], encoding writes what is present.

mod audit;
mod codec;
mod credential;
mod head;
mod monitor;
mod proof;
mod search;
mod update;
mod value;

#[cfg(test)]
mod tests;

pub use audit::{AuditorUpdate, BatchAuditorUpdate, BatchPrefixProof};
pub use codec::{Context, Prefix, Reader, Wire, WireError, Writer};
pub use credential::{Credential, CredentialKind, CredentialUpdate};
pub use head::{AuditorTreeHead, AuditorTreeHeadTbs, FullTreeHead, TreeHead, TreeHeadTbs};
pub use monitor::{
    ContactMonitorRequest, ContactMonitorResponse, DistinguishedHead, DistinguishedRequest,
    DistinguishedResponse, MonitorMapEntry, OwnerInitRequest, OwnerInitResponse, OwnerMonitorRequest,
    OwnerMonitorResponse,
};
pub use proof::{
    CombinedTreeProof, InclusionProof, LogEntry, PrefixLeaf, PrefixProof, PrefixSearchKind,
    PrefixSearchResult,
};
pub use search::{BinaryLadderStep, SearchRequest, SearchResponse};
pub use update::{LabelValue, ManagerUpdateRequest, UpdateInfo, UpdateRequest, UpdateResponse};
pub use value::{CommitmentValue, UpdateSuffix, UpdateTbs, UpdateValue, VrfInput};
