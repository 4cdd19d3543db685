//! A prover without scruples: it shows what its trees hold, whether or not that answers the question, and goes on until
//! the algorithm itself stops at what it saw. It records on its own what a proof must contain, so it is also a second
//! opinion on the honest prover.

use std::collections::BTreeSet;

use crate::{
    algorithms::{
        MonitoringMap, NewVersions, OwnerKnowledge, Tree, Violation, contact_monitor, fixed_version_search,
        greatest_version_search, owner_init_entries, owner_init_ladders, owner_monitor, update_label,
        update_view, walk_distinguished,
    },
    client::session::Request,
    ibst,
    ladder::{base_ladder, versions_for_owner_init, versions_for_update},
    log_tree,
    prover::{
        ProverData,
        model::{NaiveLog, search_key},
    },
    view::{Lookups, View},
    wire::{
        BinaryLadderStep, CombinedTreeProof, ContactMonitorResponse, DistinguishedResponse, FullTreeHead,
        InclusionProof, LabelValue, OwnerInitResponse, OwnerMonitorResponse, SearchResponse, UpdateInfo,
        UpdateResponse,
    },
};

use super::response::Response;

/// A view of a log's trees, as they are.
struct Shown<'a> {
    log: &'a NaiveLog,
    label: &'a [u8],
    known: BTreeSet<u64>,
    given: Vec<u64>,
    lookups: Vec<(u64, Vec<u32>)>,
    /// How many ladders an owner-monitoring response holds.
    ladders: usize,
}

impl View for Shown<'_> {
    type Error = Violation;

    fn timestamp(&mut self, position: u64) -> Result<u64, Violation> {
        if self.known.insert(position) {
            self.given.push(position);
        }
        Ok(self.log.entries[position as usize].timestamp)
    }

    fn look_up(&mut self, position: u64, lookups: &mut dyn Lookups) -> Result<(), Violation> {
        let tree = &self.log.entries[position as usize].tree;
        let mut versions = Vec::new();
        while let Some(version) = lookups.next() {
            versions.push(version);
            lookups.answer(tree.0.contains_key(&search_key(self.label, version).0));
        }
        self.lookups.push((position, versions));
        Ok(())
    }

    fn ends_before(&mut self, _: u64) -> Result<bool, Violation> {
        if self.ladders == 0 {
            return Ok(true);
        }
        self.ladders -= 1;
        Ok(false)
    }
}

impl Shown<'_> {
    fn finish(mut self, last: Option<u64>, auditor: Option<u64>) -> CombinedTreeProof {
        let log = self.log;
        let timestamps =
            self.given.iter().map(|&position| log.entries[position as usize].timestamp).collect();
        self.given.sort_unstable();
        let proven: BTreeSet<u64> = self.lookups.iter().map(|(position, _)| *position).collect();
        let unproven = self.given.iter().filter(|position| !proven.contains(position));
        let prefix_roots = unproven.map(|&position| log.entries[position as usize].tree.root()).collect();
        let prefix_proofs = self.lookups.iter().map(|(position, versions)| {
            let keys: Vec<_> = versions.iter().map(|&version| search_key(self.label, version).0).collect();
            log.entries[*position as usize].tree.prove(&keys)
        });
        let prefix_proofs = prefix_proofs.collect();
        let nodes = log_tree::plan(log.size(), &self.given, last, auditor).unwrap();
        let inclusion = InclusionProof { elements: log.log_nodes(&nodes).unwrap() };
        CombinedTreeProof { timestamps, prefix_proofs, prefix_roots, inclusion }
    }
}

/// The log with what it claims, to one user.
pub(crate) struct Shameless<'a> {
    log: &'a NaiveLog,
    last: Option<u64>,
    label: &'a [u8],
    head: FullTreeHead,
    ladders: usize,
}

impl<'a> Shameless<'a> {
    fn new(log: &'a NaiveLog, last: Option<u64>, label: &'a [u8]) -> Self {
        let served = log.head();
        let head = if last == Some(log.size()) {
            FullTreeHead::Same
        } else {
            FullTreeHead::Updated { tree_head: served.tree_head, auditor_tree_head: served.auditor_tree_head }
        };
        Self { log, last, label, head, ladders: usize::MAX }
    }

    fn proof<T>(&self, run: impl FnOnce(&mut Shown<'a>, &Tree) -> Result<T, Violation>) -> CombinedTreeProof {
        let known = self.last.map(ibst::frontier).unwrap_or_default().into_iter().collect();
        let (given, lookups) = (Vec::new(), Vec::new());
        let (log, label, ladders) = (self.log, self.label, self.ladders);
        let mut shown = Shown { log, label, known, given, lookups, ladders };
        update_view(&mut shown, log.size(), self.last).unwrap();
        // What breaks a rule is shown up to there.
        let _ = run(&mut shown, &log.head().tree());
        let auditor = match &self.head {
            FullTreeHead::Updated { auditor_tree_head: Some(auditor), .. } => Some(auditor.tree_size),
            _ => None,
        };
        shown.finish(self.last, auditor)
    }

    fn step(&self, version: u32, with_commitment: bool) -> BinaryLadderStep {
        let exists = self.log.labels.get(self.label).is_some_and(|versions| versions.contains_key(&version));
        let commitment =
            (with_commitment && exists).then(|| self.log.commitment(self.label, version).unwrap());
        BinaryLadderStep { proof: search_key(self.label, version).1, commitment }
    }

    fn search(self, fixed: bool, target: u32) -> SearchResponse {
        let search = self.proof(|view, tree| {
            if fixed {
                fixed_version_search(view, tree, target)
            } else {
                greatest_version_search(view, tree, target)
            }
        });
        let binary_ladder =
            base_ladder(target).into_iter().map(|version| self.step(version, version != target)).collect();
        let opened = self.log.opened(self.label, target).unwrap().unwrap();
        SearchResponse {
            full_tree_head: self.head,
            version: (!fixed).then_some(target),
            opening: opened.opening,
            value: opened.update,
            binary_ladder,
            search,
        }
    }

    fn owner_init(self, start: u64, claimed: &[u32]) -> OwnerInitResponse {
        let init = self.proof(|view, tree| {
            let entries = owner_init_entries(view, tree, start)?;
            owner_init_ladders(view, &entries, claimed)
        });
        let steps = versions_for_owner_init(claimed).into_iter().map(|version| self.step(version, true));
        OwnerInitResponse {
            binary_ladder: steps.collect(),
            full_tree_head: self.head,
            greatest_versions: claimed.to_vec(),
            init,
        }
    }

    fn update(self, knowledge: &OwnerKnowledge, new: NewVersions, values: bool) -> UpdateResponse {
        let update = self.proof(|view, tree| update_label(view, tree, knowledge, new));
        let versions: Vec<u32> = (new.first..=new.last).collect();
        let previous = knowledge.greatest_version();
        let steps = versions_for_update(previous, &versions)
            .into_iter()
            .map(|version| self.step(version, previous.is_some_and(|previous| version < previous)));
        let opened: Vec<_> =
            versions.iter().filter_map(|&version| self.log.opened(self.label, version).unwrap()).collect();
        let managed = self.log.update_value(b"", 0, b"").suffix.signature.is_some();
        let skipped = u32::try_from(versions.len() - opened.len()).unwrap();
        let info = |opened: &crate::prover::OpenedVersion| UpdateInfo {
            opening: opened.opening,
            suffix: opened.update.suffix.clone(),
        };
        UpdateResponse {
            position: new.position,
            skipped_versions: managed.then_some(skipped),
            info: opened.iter().map(info).collect(),
            values: if values {
                opened.into_iter().map(|opened| LabelValue { value: opened.update.value }).collect()
            } else {
                Vec::new()
            },
            binary_ladder: steps.collect(),
            full_tree_head: self.head,
            update,
        }
    }
}

/// What a liar says beside what its trees show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    /// Greatest-version search: the version.
    pub(crate) greatest: Option<u32>,
    /// Owner initialization: the greatest versions.
    pub(crate) greatest_versions: Vec<u32>,
    /// Updating: the new versions, with what the owner knows.
    pub(crate) new: Option<(OwnerKnowledge, NewVersions)>,
    /// Updating: whether the values are given.
    pub(crate) values: bool,
    /// Owner monitoring: what the owner knows, and how many ladders to show.
    pub(crate) owner: Option<(OwnerKnowledge, usize)>,
}

/// The answer of a log that says `claim` and shows its trees.
pub(crate) fn answer(log: &NaiveLog, request: &Request, claim: &Claim) -> Response {
    match request {
        Request::Search(request) => {
            let target = request.version.or(claim.greatest).unwrap();
            let liar = Shameless::new(log, request.last, &request.label);
            Response::Search(liar.search(request.version.is_some(), target))
        }
        Request::ContactMonitor(request) => {
            let map = MonitoringMap::new(request.entries.iter().copied());
            let liar = Shameless::new(log, request.last, &request.label);
            let monitor = liar.proof(|view, tree| contact_monitor(view, tree, &map));
            Response::ContactMonitor(ContactMonitorResponse { full_tree_head: liar.head, monitor })
        }
        Request::OwnerInit(request) => {
            let liar = Shameless::new(log, request.last, &request.label);
            Response::OwnerInit(liar.owner_init(request.start, &claim.greatest_versions))
        }
        Request::OwnerMonitor(request) => {
            let map = MonitoringMap::new(request.entries.iter().copied());
            let (knowledge, ladders) = claim.owner.clone().unwrap();
            let mut liar = Shameless::new(log, request.last, &request.label);
            liar.ladders = ladders;
            let monitor = liar.proof(|view, tree| owner_monitor(view, tree, &map, &knowledge));
            Response::OwnerMonitor(OwnerMonitorResponse { full_tree_head: liar.head, monitor })
        }
        Request::Update(request) => {
            let (knowledge, new) = claim.new.clone().unwrap();
            let liar = Shameless::new(log, request.last, &request.label);
            Response::Update(vec![liar.update(&knowledge, new, claim.values)])
        }
        Request::Distinguished(request, recent) => {
            let liar = Shameless::new(log, request.last, b"");
            let distinguished =
                liar.proof(|view, tree| walk_distinguished(view, tree, request.stop, *recent));
            Response::Distinguished(DistinguishedResponse { full_tree_head: liar.head, distinguished })
        }
    }
}
