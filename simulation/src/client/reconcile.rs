//! When an answer does not fit the head that is retained: ask again in quarantine, and compare.

use keyglass_client_verify::{proven, proven::Unverified, verdict::Verdict};
use keyglass_keytrans::{
    client::{TreeState, UserState},
    prover::RECENT,
    wire::{DistinguishedRequest, SearchRequest},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::{self, SignedNote},
    relate::{RelateError, Relation, relate},
    rfc6962::{CompactTree, ProveError},
};

use super::{Client, EVIDENCE, Finding, Stop, lookup::refused};
use crate::{
    branch::Question,
    env::{Env, NoAnswer},
    setting::setting,
};

/// A retained head as a signed note.
fn head_note(tree: &TreeState) -> SignedNote {
    let root = CompactTree::from_frontier(tree.tree_size(), tree.full_subtrees.clone()).unwrap().root();
    let checkpoint = Checkpoint::new(&setting().origin, tree.tree_size(), root).unwrap();
    let lines = note::parse_signature_lines(&tree.tree_head.signature).unwrap();
    SignedNote::new(&checkpoint.text(), lines).unwrap()
}

/// What comparing two heads came to.
pub(super) enum Comparison {
    Consistent,
    Contradiction(Evidence),
    Unknown(String),
    NotAnswered,
}

impl Client {
    /// The retained head as a note.
    pub(super) fn retained_note(&self) -> Option<SignedNote> {
        self.home().state.tree.as_ref().map(head_note)
    }

    /// Asks again without saying what is retained, to learn which head the log now shows, and compares.
    pub(super) fn reconcile_search(
        &mut self,
        env: &mut Env,
        request: &SearchRequest,
        cause: Finding,
    ) -> Stop {
        let Some(ours) = self.retained_note() else { return Stop::Failed(cause) };
        let request = SearchRequest { last: None, ..request.clone() };
        let shown = self.in_quarantine(env, &Question::Search(request.clone()), |client, response| {
            let (response, nothing) = (Unverified::from_wire(response), UserState::default());
            let search = proven::search(&setting().quarantine, &nothing, &request, &response, client.now());
            search.map(|search| search.update.tree).map_err(|error| refused(&error).verdict)
        });
        self.judge(env, &ours, shown, cause)
    }

    /// The same with the distinguished heads, for steps that are about no label.
    pub(super) fn reconcile_heads(&mut self, env: &mut Env, cause: Finding) -> Stop {
        let Some(ours) = self.retained_note() else { return Stop::Failed(cause) };
        let request = DistinguishedRequest { last: None, stop: None };
        let shown = self.in_quarantine(env, &Question::Distinguished(request.clone()), |client, response| {
            let (quarantine, nothing) = (&setting().quarantine, UserState::default());
            let verified =
                quarantine.verify_distinguished(&nothing, &request, RECENT, &response, client.now());
            verified.map(|verified| verified.update.tree).map_err(|error| refused(&error).verdict)
        });
        self.judge(env, &ours, shown, cause)
    }

    fn in_quarantine(
        &self,
        env: &mut Env,
        question: &Question,
        verify: impl FnOnce(&Self, Vec<u8>) -> Result<TreeState, Verdict>,
    ) -> Result<TreeState, Verdict> {
        match env.ask(self.id, question) {
            Ok(response) => verify(self, response),
            Err(NoAnswer::Unreachable) => Err(Verdict::Unreachable),
            Err(NoAnswer::Declined(_)) => Err(Verdict::Declined),
        }
    }

    fn judge(
        &mut self,
        env: &mut Env,
        ours: &SignedNote,
        shown: Result<TreeState, Verdict>,
        cause: Finding,
    ) -> Stop {
        let theirs = match shown {
            Ok(tree) => head_note(&tree),
            Err(Verdict::Invalid) => return Stop::Failed(cause),
            Err(_) => return Stop::Failed(Finding::new(Verdict::Unreconciled, "not_reconciled")),
        };
        let (a, b) = (Checkpoint::from_note(ours).unwrap(), Checkpoint::from_note(&theirs).unwrap());
        if b.tree_size() < a.tree_size() && Evidence::of_notes(ours, &theirs).is_none() {
            return Stop::Failed(Finding::new(Verdict::Unreconciled, "shrunk"));
        }
        match self.compare(env, ours, &theirs) {
            Comparison::Consistent => Stop::Failed(cause),
            Comparison::Contradiction(evidence) => self.convict(env, evidence),
            Comparison::Unknown(_) | Comparison::NotAnswered => {
                Stop::Failed(Finding::new(Verdict::Unreconciled, "not_reconciled"))
            }
        }
    }

    /// Compares two heads by the tiles of the larger.
    pub(super) fn compare(&self, env: &mut Env, one: &SignedNote, other: &SignedNote) -> Comparison {
        let id = self.id;
        match relate(one, other, |node| env.node(id, node.level, node.index)) {
            Ok(Relation::Same | Relation::Extends) => Comparison::Consistent,
            Ok(Relation::Contradicts(evidence)) => Comparison::Contradiction(evidence),
            Err(RelateError::Nodes(ProveError::Node(NoAnswer::Unreachable))) => Comparison::NotAnswered,
            Ok(Relation::Unproven(error)) => Comparison::Unknown(error.to_string()),
            Err(error) => Comparison::Unknown(format!("{error:?}")),
        }
    }

    /// Keeps evidence, which convicts the log.
    pub(super) fn convict(&mut self, env: &mut Env, evidence: Evidence) -> Stop {
        match evidence.verify(&[&setting().vkey], Some(&setting().policy)) {
            Err(error) => {
                return Stop::Failed(Finding::new(Verdict::Unreconciled, format!("unsigned: {error}")));
            }
            Ok(conviction) => {
                for name in conviction.faulty_witnesses() {
                    let witnesses = setting().policy.witnesses();
                    let index = witnesses.iter().position(|witness| witness.name() == name).unwrap();
                    if !env.witnesses[index].colludes {
                        env.oracle.violated(format!("the honest witness w{index} is accused"));
                    }
                }
            }
        }
        if self.disk.write(EVIDENCE, evidence.to_string().into_bytes()).is_err() {
            return Stop::Crashed;
        }
        self.home_mut().evidence.push(evidence);
        Stop::Failed(Finding::new(Verdict::Misbehaving, "two_histories"))
    }
}
