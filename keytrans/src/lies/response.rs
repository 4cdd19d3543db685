//! Responses of every operation in one form, for changing them.

use crate::client::session::Request;
use crate::{
    client::{Verifier, decode_update_responses, session::Op},
    prover::{self, ProverError, model::NaiveLog},
    wire::{
        BinaryLadderStep, CombinedTreeProof, ContactMonitorResponse, Context, DistinguishedResponse,
        FullTreeHead, OwnerInitResponse, OwnerMonitorResponse, SearchResponse, UpdateResponse, Wire,
    },
};

/// A decoded response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    Search(SearchResponse),
    ContactMonitor(ContactMonitorResponse),
    OwnerInit(OwnerInitResponse),
    OwnerMonitor(OwnerMonitorResponse),
    Update(Vec<UpdateResponse>),
    Distinguished(DistinguishedResponse),
}

impl Response {
    /// What an honest log answers. `created` is the version that an update has just created.
    pub(crate) fn honest(
        log: &NaiveLog,
        request: &Request,
        created: Option<u32>,
    ) -> Result<Self, ProverError<std::convert::Infallible>> {
        let head = &log.head();
        Ok(match request {
            Request::Search(request) => Self::Search(prover::search(log, head, request)?),
            Request::ContactMonitor(request) => {
                Self::ContactMonitor(prover::contact_monitor(log, head, request)?)
            }
            Request::OwnerInit(request) => Self::OwnerInit(prover::owner_init(log, head, request)?),
            Request::OwnerMonitor(request) => Self::OwnerMonitor(prover::owner_monitor(log, head, request)?),
            Request::Update(request) => Self::Update(prover::update_responses(log, head, request, created)?),
            Request::Distinguished(request, _) => {
                Self::Distinguished(prover::distinguished(log, head, request)?)
            }
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Search(response) => response.encode(),
            Self::ContactMonitor(response) => response.encode(),
            Self::OwnerInit(response) => response.encode(),
            Self::OwnerMonitor(response) => response.encode(),
            Self::Update(responses) => {
                return responses.iter().flat_map(|response| response.encode().unwrap()).collect();
            }
            Self::Distinguished(response) => response.encode(),
        }
        .unwrap()
    }

    pub(crate) fn decode(op: &Op, verifier: &Verifier, bytes: &[u8]) -> Self {
        let context = verifier.response_context();
        match op {
            Op::Search { version, .. } => {
                let context = Context { version_requested: version.is_some(), ..context };
                Self::Search(SearchResponse::decode(bytes, context).unwrap())
            }
            Op::ContactMonitor { .. } => {
                Self::ContactMonitor(ContactMonitorResponse::decode(bytes, context).unwrap())
            }
            Op::OwnerInit { .. } => Self::OwnerInit(OwnerInitResponse::decode(bytes, context).unwrap()),
            Op::OwnerMonitor { .. } => {
                Self::OwnerMonitor(OwnerMonitorResponse::decode(bytes, context).unwrap())
            }
            Op::Update { .. } => Self::Update(decode_update_responses(bytes, context).unwrap()),
            Op::Distinguished { .. } => {
                Self::Distinguished(DistinguishedResponse::decode(bytes, context).unwrap())
            }
        }
    }

    pub(crate) fn head(&mut self) -> &mut FullTreeHead {
        match self {
            Self::Search(response) => &mut response.full_tree_head,
            Self::ContactMonitor(response) => &mut response.full_tree_head,
            Self::OwnerInit(response) => &mut response.full_tree_head,
            Self::OwnerMonitor(response) => &mut response.full_tree_head,
            Self::Update(responses) => &mut responses[0].full_tree_head,
            Self::Distinguished(response) => &mut response.full_tree_head,
        }
    }

    pub(crate) fn proof(&mut self) -> &mut CombinedTreeProof {
        match self {
            Self::Search(response) => &mut response.search,
            Self::ContactMonitor(response) => &mut response.monitor,
            Self::OwnerInit(response) => &mut response.init,
            Self::OwnerMonitor(response) => &mut response.monitor,
            Self::Update(responses) => &mut responses[0].update,
            Self::Distinguished(response) => &mut response.distinguished,
        }
    }

    /// The steps of the binary ladder, in the operations whose responses have one.
    pub(crate) fn ladder(&mut self) -> Option<&mut Vec<BinaryLadderStep>> {
        match self {
            Self::Search(response) => Some(&mut response.binary_ladder),
            Self::OwnerInit(response) => Some(&mut response.binary_ladder),
            Self::Update(responses) => Some(&mut responses[0].binary_ladder),
            Self::ContactMonitor(_) | Self::OwnerMonitor(_) | Self::Distinguished(_) => None,
        }
    }

    /// How many elements the longest of its lists has.
    pub(crate) fn longest_list(&mut self) -> usize {
        let ladder = self.ladder().map_or(0, |ladder| ladder.len());
        let proof = self.proof();
        let lists = proof.prefix_proofs.iter().map(|proof| proof.results.len().max(proof.elements.len()));
        let own = [proof.timestamps.len(), proof.prefix_proofs.len(), proof.prefix_roots.len()];
        lists.chain(own).chain([ladder, proof.inclusion.elements.len()]).max().unwrap_or(0)
    }

    pub(crate) fn search(&mut self) -> &mut SearchResponse {
        let Self::Search(response) = self else { panic!("not a search") };
        response
    }

    /// The first response to an update.
    pub(crate) fn update(&mut self) -> &mut UpdateResponse {
        let Self::Update(responses) = self else { panic!("not an update") };
        &mut responses[0]
    }
}

/// Takes the last step out of a response's ladder.
pub(super) fn shorten(response: &mut Response) {
    response.ladder().unwrap().pop();
}
