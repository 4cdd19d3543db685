//! What a party knows of others' heads, and what it does next. Everything here is bounded by the logs that are known and
//! the peers that are configured, whatever those peers send.
//!
//! Of each log there is an *anchor*: the largest head that is known to extend this party's own. Every other head is compared
//! with it, not only with one's own: two peers may be on two sides of a fork that begins after it. What cannot be compared
//! now, because the log does not supply what it takes, stays *open* and is tried again as the anchor grows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use keyglass_tlog::{
    evidence::Evidence,
    relate::{Relation, contradiction},
};

use crate::{
    decide::{Decision, Tree, decide},
    evidence::{EvidenceId, Held},
    head::Head,
    holdings::Holdings,
    listing::Listed,
    trust::Trust,
};

/// The most trees of a log that are remembered as agreeing with the anchor, and as much again as contradicting it.
const MAX_REMEMBERED: usize = 32;
/// The most heads of a log that wait to be compared, and the most of them from one peer.
pub const MAX_OPEN: usize = 16;
const MAX_OPEN_OF_PEER: usize = 2;
/// How often the pause between two tries of a head that the log does not explain doubles.
const MAX_DOUBLINGS: u32 = 10;
/// The most logs of a peer whose latest head is remembered.
pub const MAX_VIEWS: usize = 1024;
/// The most names of evidence that are remembered as not worth fetching from a peer.
const MAX_SEEN: usize = 1024;
/// The most evidence that is fetched from a peer in one round. What turns out to be none halves it, down to one.
pub const MAX_FETCHED: usize = 8;

/// Who is asked: a number that the caller gives to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// The logs themselves, as parties that show heads of their own.
pub const THE_LOG: PeerId = PeerId(u32::MAX);

/// Two heads of one log and different sizes, to be related by the nodes of the larger tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What is known.
    pub anchor: Arc<Head>,
    /// What is compared with it.
    pub head: Arc<Head>,
    /// Who showed it; `None` for this party itself.
    pub from: Option<PeerId>,
}

impl Comparison {
    /// Both sizes, the smaller one first.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        let (x, y) = (self.anchor.tree().size, self.head.tree().size);
        (x.min(y), x.max(y))
    }
}

/// What is to be done next about a head.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Nothing.
    Done,
    /// To relate two heads, and then [`Node::related`].
    Compare(Comparison),
    /// To verify this evidence, keep it, and then [`Node::kept`].
    Evidence(Box<Evidence>),
}

/// What became of evidence that a peer gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is held now.
    New,
    /// It proves something, and is not needed.
    NotNeeded,
    /// It proves nothing: the peer is asked for less from now on.
    Refused,
}

struct Anchor {
    head: Arc<Head>,
    /// Whether it is this party's own, which extends all of its own before.
    own: bool,
}

struct Open {
    head: Arc<Head>,
    from: PeerId,
    tries: u32,
    /// The calls of [`Node::retry`] that pass before it is tried again, unless the anchor has moved.
    wait: u32,
    tried_with: Option<Tree>,
}

#[derive(Default)]
struct LogView {
    anchor: Option<Anchor>,
    agreed: VecDeque<Tree>,
    contradicted: VecDeque<Tree>,
    open: Vec<Open>,
}

struct PeerView {
    heads: BTreeMap<String, Tree>,
    seen: BTreeSet<EvidenceId>,
    budget: usize,
    list_after: Option<EvidenceId>,
    next_origin: Option<String>,
}

impl Default for PeerView {
    fn default() -> Self {
        let (heads, seen) = (BTreeMap::new(), BTreeSet::new());
        Self { heads, seen, budget: MAX_FETCHED, list_after: None, next_origin: None }
    }
}

/// What one party knows of others' heads.
#[derive(Default)]
pub struct Node {
    logs: BTreeMap<String, LogView>,
    peers: BTreeMap<PeerId, PeerView>,
}

impl Node {
    /// Takes this party's own latest head of a log, which must extend its earlier ones: a witness has seen to that before
    /// it cosigned, and an auditor has replayed it. To be called before heads of others are compared.
    pub fn learn_own(&mut self, head: &Arc<Head>) -> Step {
        let log = self.logs.entry(head.origin().to_owned()).or_default();
        let decision = decide(log.anchor.as_ref().map(|anchor| anchor.head.tree()), head.tree());
        match (&log.anchor, decision) {
            (None, _) if head.tree().is_impossible() => evidence(head, head),
            (None, _) => {
                log.anchor = Some(Anchor { head: Arc::clone(head), own: true });
                Step::Done
            }
            (Some(anchor), Decision::Conflict) => {
                let step = evidence(&anchor.head, head);
                log.anchor = Some(Anchor { head: Arc::clone(head), own: true });
                step
            }
            (Some(anchor), Decision::Agrees) if anchor.head.tree() == head.tree() => {
                log.anchor = Some(Anchor { head: Arc::clone(head), own: true });
                Step::Done
            }
            (Some(anchor), Decision::CheckNewer) if anchor.own || anchor.head.tree().size == 0 => {
                log.extend(head, true);
                Step::Done
            }
            (Some(anchor), Decision::CheckNewer | Decision::CheckOlder)
                if !log.agreed.contains(head.tree()) =>
            {
                let (anchor, head) = (Arc::clone(&anchor.head), Arc::clone(head));
                Step::Compare(Comparison { anchor, head, from: None })
            }
            (Some(_), _) => Step::Done,
        }
    }

    /// Takes a head that a peer shows.
    pub fn learn(&mut self, from: PeerId, head: &Arc<Head>) -> Step {
        self.remember(from, head);
        let log = self.logs.entry(head.origin().to_owned()).or_default();
        if log.open.iter().any(|open| open.head.tree() == head.tree()) {
            // It has its own pace: who shows it again and again must not have the log asked as often.
            return Step::Done;
        }
        log.step(from, head)
    }

    fn remember(&mut self, from: PeerId, head: &Head) {
        let peer = self.peers.entry(from).or_default();
        if peer.heads.len() < MAX_VIEWS || peer.heads.contains_key(head.origin()) {
            peer.heads.insert(head.origin().to_owned(), *head.tree());
        }
    }

    /// Takes the result of a comparison; `None` if nodes could not be had.
    pub fn related(&mut self, comparison: &Comparison, relation: Option<Relation>) -> Step {
        let Comparison { anchor, head, from } = comparison;
        let log = self.logs.entry(head.origin().to_owned()).or_default();
        let is_anchor = log.anchor.as_ref().is_some_and(|known| known.head.tree() == anchor.tree());
        match relation {
            Some(Relation::Contradicts(evidence)) => return Step::Evidence(Box::new(evidence)),
            // The anchor has moved since: what agrees with the one before is compared again when it is shown again.
            Some(Relation::Same | Relation::Extends) if !is_anchor => {}
            Some(Relation::Same | Relation::Extends) => {
                log.open.retain(|open| open.head.tree() != head.tree());
                if head.tree().size > anchor.tree().size {
                    log.extend(head, from.is_none());
                } else {
                    log.agree(*head.tree());
                }
            }
            Some(Relation::Unproven(_)) | None => match from {
                Some(from) => log.keep_open(*from, head),
                // Nobody's head stands above one's own: what does not extend it provably must prove itself.
                None if is_anchor => {
                    log.anchor = Some(Anchor { head: Arc::clone(head), own: true });
                    log.keep_open(THE_LOG, anchor);
                }
                None => {}
            },
        }
        Step::Done
    }

    /// What is to be done about heads of this log that could not be compared so far: at most one step. Each is tried again
    /// when the anchor has moved, and else after pauses that double. To be called in every round.
    pub fn retry(&mut self, origin: &str) -> Step {
        let Some(log) = self.logs.get_mut(origin) else { return Step::Done };
        let anchor = log.anchor.as_ref().map(|anchor| *anchor.head.tree());
        log.open.iter_mut().for_each(|open| open.wait = open.wait.saturating_sub(1));
        log.open.sort_by_key(|open| open.tries);
        let due = |open: &&mut Open| open.wait == 0 || open.tried_with != anchor;
        let Some(open) = log.open.iter_mut().find(due) else { return Step::Done };
        open.tries = open.tries.saturating_add(1);
        open.wait = 1 << open.tries.min(MAX_DOUBLINGS);
        open.tried_with = anchor;
        let (from, head) = (open.from, Arc::clone(&open.head));
        let step = log.step(from, &head);
        if !matches!(step, Step::Compare(_)) {
            log.open.retain(|open| open.head.tree() != head.tree());
        }
        step
    }

    /// Takes note that evidence is held. What it shows to be false is not compared again.
    pub fn kept(&mut self, held: &Held) {
        let log = self.logs.entry(held.origin().to_owned()).or_default();
        let anchor = log.anchor.as_ref().map(|anchor| *anchor.head.tree());
        for tree in held.trees().iter().filter(|tree| Some(**tree) != anchor) {
            remember(&mut log.contradicted, *tree);
            log.open.retain(|open| open.head.tree() != tree);
        }
    }

    /// The logs to ask a peer about in this round, at most `most`: all in turn.
    pub fn logs_to_ask(&mut self, peer: PeerId, trust: &Trust, most: usize) -> Vec<String> {
        let view = self.peers.entry(peer).or_default();
        let start = view.next_origin.take().unwrap_or_default();
        let before = trust.origins().take_while(|origin| *origin < start.as_str());
        let mut all = trust.origins_from(&start).chain(before).map(str::to_owned);
        let chosen: Vec<String> = all.by_ref().take(most).collect();
        view.next_origin = all.next();
        chosen
    }

    /// From after which name a peer's list is asked for.
    #[must_use]
    pub fn list_after(&self, peer: PeerId) -> Option<EvidenceId> {
        self.peers.get(&peer).and_then(|view| view.list_after)
    }

    /// The evidence to fetch of what a peer lists, which about logs of which none is held first. `full` says that the list
    /// has as many lines as a list can have, so that it goes on.
    pub fn to_fetch(
        &mut self,
        peer: PeerId,
        listed: &[Listed],
        full: bool,
        trust: &Trust,
        holdings: &Holdings,
    ) -> Vec<EvidenceId> {
        let view = self.peers.entry(peer).or_default();
        view.list_after = listed.last().filter(|_| full).map(|(id, _)| *id);
        let wanted = |(id, hash): &Listed| {
            let origin = trust.origin_of(hash)?;
            let unseen = !holdings.has(id) && !view.seen.contains(id);
            unseen.then(|| (holdings.stops(origin).is_some(), *id))
        };
        let mut wanted: Vec<_> = listed.iter().filter_map(wanted).collect();
        wanted.sort_unstable();
        wanted.into_iter().take(view.budget).map(|(_, id)| id).collect()
    }

    /// Takes note of what became of evidence that a peer listed under this name.
    pub fn fetched(&mut self, peer: PeerId, id: EvidenceId, taken: Taken) {
        let view = self.peers.entry(peer).or_default();
        view.budget = match taken {
            Taken::New => MAX_FETCHED,
            Taken::NotNeeded => view.budget,
            Taken::Refused => (view.budget / 2).max(1),
        };
        if view.seen.len() >= MAX_SEEN {
            view.seen.clear();
        }
        view.seen.insert(id);
    }

    /// Forgets a peer, and the heads that only it has shown.
    pub fn forget(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.logs.values_mut().for_each(|log| log.open.retain(|open| open.from != peer));
    }

    /// Forgets logs that are not known any more.
    pub fn retain_logs(&mut self, trust: &Trust) {
        self.logs.retain(|origin, _| trust.log(origin).is_some());
        let known = |origin: &String| trust.log(origin).is_some();
        self.peers.values_mut().for_each(|view| view.heads.retain(|origin, _| known(origin)));
    }

    /// The latest head that a peer has shown of a log.
    #[must_use]
    pub fn view(&self, peer: PeerId, origin: &str) -> Option<&Tree> {
        self.peers.get(&peer)?.heads.get(origin)
    }

    /// Whether a head waits to be compared.
    #[must_use]
    pub fn is_open(&self, origin: &str, tree: &Tree) -> bool {
        self.logs.get(origin).is_some_and(|log| log.open.iter().any(|open| open.head.tree() == tree))
    }

    /// How many heads wait to be compared.
    #[must_use]
    pub fn open(&self) -> usize {
        self.logs.values().map(|log| log.open.len()).sum()
    }
}

impl LogView {
    fn step(&mut self, from: PeerId, head: &Arc<Head>) -> Step {
        let tree = head.tree();
        if self.agreed.contains(tree) || self.contradicted.contains(tree) {
            return Step::Done;
        }
        let decision = decide(self.anchor.as_ref().map(|anchor| anchor.head.tree()), tree);
        match (&self.anchor, decision) {
            (_, Decision::Agrees) => Step::Done,
            (None, Decision::Conflict) => evidence(head, head),
            (Some(anchor), Decision::Conflict) => evidence(&anchor.head, head),
            (Some(anchor), Decision::CheckOlder | Decision::CheckNewer) if anchor.head.tree().size > 0 => {
                let (anchor, head) = (Arc::clone(&anchor.head), Arc::clone(head));
                Step::Compare(Comparison { anchor, head, from: Some(from) })
            }
            _ => {
                self.extend(head, false);
                Step::Done
            }
        }
    }

    /// Puts a head that extends the anchor into its place.
    fn extend(&mut self, head: &Arc<Head>, own: bool) {
        if let Some(before) = self.anchor.replace(Anchor { head: Arc::clone(head), own }) {
            self.agree(*before.head.tree());
        }
    }

    fn agree(&mut self, tree: Tree) {
        remember(&mut self.agreed, tree);
    }

    fn keep_open(&mut self, from: PeerId, head: &Arc<Head>) {
        if self.open.iter().any(|open| open.head.tree() == head.tree()) {
            return;
        }
        let of_peer = self.open.iter().filter(|open| open.from == from).count();
        if of_peer >= MAX_OPEN_OF_PEER {
            // The latest of a peer's takes the place of the one before; its first stays.
            let last = self.open.iter().rposition(|open| open.from == from);
            last.map(|index| self.open.remove(index));
        }
        if self.open.len() >= MAX_OPEN && of_peer == 0 {
            // Nobody's second head keeps the only one of another peer out.
            let second = self.open.iter().enumerate().rposition(|(index, open)| {
                self.open.iter().take(index).any(|earlier| earlier.from == open.from)
            });
            second.map(|index| self.open.remove(index));
        }
        if self.open.len() < MAX_OPEN {
            let tried_with = self.anchor.as_ref().map(|anchor| *anchor.head.tree());
            self.open.push(Open { head: Arc::clone(head), from, tries: 0, wait: 0, tried_with });
        }
    }
}

fn evidence(x: &Head, y: &Head) -> Step {
    contradiction(x.note(), y.note()).map_or(Step::Done, |evidence| Step::Evidence(Box::new(evidence)))
}

fn remember(trees: &mut VecDeque<Tree>, tree: Tree) {
    if trees.contains(&tree) {
        return;
    }
    if trees.len() >= MAX_REMEMBERED {
        trees.pop_front();
    }
    trees.push_back(tree);
}

#[cfg(test)]
mod tests;
