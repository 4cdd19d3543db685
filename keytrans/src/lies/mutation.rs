//! Changes of a response that know nothing of its meaning.

use proptest::prelude::*;
use serde_json::Value;

use super::response::Response;
use crate::{
    client::{UserState, session::Op},
    wire::{BinaryLadderStep, PrefixProof, PrefixSearchKind, PrefixSearchResult},
};

/// A change; places are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    FlipBit(usize),
    DropByte(usize),
    DoubleByte(usize),
    SwapBytes(usize),
    Truncate(usize),
    /// A list, an element of it, and what becomes of that.
    Element(usize, usize, Act),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Drop,
    Double,
    Swap,
    Add,
}

pub(crate) const ACTS: [Act; 4] = [Act::Drop, Act::Double, Act::Swap, Act::Add];

/// Whether an accepted answer comes to what the honest one does, or stops before it where an operation allows that:
/// a round of owner monitoring may end anywhere, and is not complete then; of several responses to an update the last
/// may be missing, and the owner asks again. What nothing proves yet may be anything.
pub(crate) fn says_no_more(op: &Op, honest: &(Value, UserState), other: &(Value, UserState)) -> bool {
    if other.0 == honest.0 && facts(&other.1) == facts(&honest.1) {
        return true;
    }
    let (honest, other) = (&honest.0, &other.0);
    let list = |result: &Value, name: &str| result[name].as_array().cloned();
    match op {
        Op::OwnerMonitor { .. } => {
            let inspected = |result: &Value| list(result, "inspected").unwrap();
            other["complete"] == false && inspected(honest).starts_with(&inspected(other))
        }
        Op::Update { .. } => {
            let told = |result: &Value| list(result, "responses").unwrap_or_else(|| vec![result.clone()]);
            let (honest, other) = (told(honest), told(other));
            other.len() <= honest.len()
                && honest.iter().zip(&other).all(|(honest, other)| proves(honest, other))
        }
        _ => false,
    }
}

/// Whether what `other` proves of new versions is also what `honest` does. What a distinguished log entry created may be
/// told without any proof: then it is the log's word until owner monitoring reaches that entry.
fn proves(honest: &Value, other: &Value) -> bool {
    let value_of = |result: &Value, version: &Value| {
        let versions = result["versions"].as_array().unwrap();
        let place = versions.iter().position(|told| told == version);
        place.map(|place| result["values"][place].clone())
    };
    let proven = other["proven"].as_array().unwrap();
    proven.is_empty()
        || honest["position"] == other["position"]
            && proven.iter().all(|version| value_of(honest, version) == value_of(other, version))
}

/// A state without what is only the log's word: commitments that no proof has shown, which nothing trusts.
fn facts(state: &UserState) -> UserState {
    let mut state = state.clone();
    let versions = state.labels.values_mut().flat_map(|label| label.versions.values_mut());
    versions.filter(|version| !version.shown).for_each(|version| version.commitment = None);
    state
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let act = prop::sample::select(&ACTS[..]);
    prop_oneof![
        2 => any::<usize>().prop_map(Mutation::FlipBit),
        1 => any::<usize>().prop_map(Mutation::DropByte),
        1 => any::<usize>().prop_map(Mutation::DoubleByte),
        1 => any::<usize>().prop_map(Mutation::SwapBytes),
        1 => any::<usize>().prop_map(Mutation::Truncate),
        8 => (any::<usize>(), any::<usize>(), act).prop_map(|(list, at, act)| Mutation::Element(list, at, act)),
    ]
}

fn rearrange<T: Clone>(elements: &mut Vec<T>, at: usize, act: Act, new: T) {
    if let Act::Add = act {
        elements.insert(at % (elements.len() + 1), new);
        return;
    }
    if elements.is_empty() {
        return;
    }
    let at = at % elements.len();
    match act {
        Act::Drop => {
            elements.remove(at);
        }
        Act::Double => elements.insert(at, elements[at].clone()),
        Act::Swap => {
            let next = (at + 1) % elements.len();
            elements.swap(at, next);
        }
        Act::Add => {}
    }
}

impl Mutation {
    /// The changed response's bytes.
    pub(crate) fn of(&self, response: &Response) -> Vec<u8> {
        let mut bytes = response.encode();
        let length = bytes.len();
        match *self {
            Self::FlipBit(at) => bytes[at / 8 % length] ^= 1 << (at % 8),
            Self::DropByte(at) => {
                bytes.remove(at % length);
            }
            Self::DoubleByte(at) => bytes.insert(at % length, bytes[at % length]),
            Self::SwapBytes(at) => bytes.swap(at % length, (at + 1) % length),
            Self::Truncate(at) => bytes.truncate(at % length),
            Self::Element(list, at, act) => {
                let mut changed = response.clone();
                Self::element(&mut changed, list, at, act);
                bytes = changed.encode();
            }
        }
        bytes
    }

    fn element(response: &mut Response, list: usize, at: usize, act: Act) {
        let kind = PrefixSearchKind::NonInclusionParent;
        let proofs = response.proof().prefix_proofs.len().max(1);
        match list % 8 {
            0 => rearrange(&mut response.proof().timestamps, at, act, 1_700_000_000_000),
            1 => rearrange(&mut response.proof().prefix_proofs, at, act, PrefixProof::default()),
            2 => rearrange(&mut response.proof().prefix_roots, at, act, [0; 32]),
            3 => rearrange(&mut response.proof().inclusion.elements, at, act, [0; 32]),
            4 => {
                if let Some(proof) = response.proof().prefix_proofs.get_mut(list / 8 % proofs) {
                    rearrange(&mut proof.results, at, act, PrefixSearchResult { kind, depth: 1 });
                }
            }
            5 => {
                if let Some(proof) = response.proof().prefix_proofs.get_mut(list / 8 % proofs) {
                    rearrange(&mut proof.elements, at, act, [0; 32]);
                }
            }
            6 => {
                if let Some(ladder) = response.ladder() {
                    let proof = keyglass_crypto::vrf::VrfProof([0; 80]);
                    rearrange(ladder, at, act, BinaryLadderStep { proof, commitment: None });
                }
            }
            _ => match response {
                Response::OwnerInit(response) => rearrange(&mut response.greatest_versions, at, act, 0),
                Response::Update(responses) if (list / 8).is_multiple_of(2) => {
                    let new = responses[0].clone();
                    rearrange(responses, at, act, new);
                }
                Response::Update(responses) => {
                    let info = &mut responses[0].info;
                    let new = info[0].clone();
                    rearrange(info, at, act, new);
                }
                _ => {}
            },
        }
    }
}
