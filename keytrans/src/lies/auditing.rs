//! Lies to auditors.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_crypto::{hash::sha256, vrf::VrfOutput};

use crate::{
    algorithms::tests::distinguished_by_recursion,
    audit::{AuditError, AuditedLog},
    log_hash::LogHash,
    prefix_tree::{PrefixProofError, model::Model},
    wire::{BatchAuditorUpdate, BatchPrefixProof, PrefixLeaf},
};

const STEP_1: &str =
    "Verify that `timestamp` is greater than or equal to the timestamp of the previous log entry.";
const STEP_2: &str = "Verify that the elements of `added` are sorted in ascending order by `vrf_output` and that the same `vrf_output` is not present twice. Verify the same in `removed`.";
const STEP_3: &str = "For each element of `added` where the same VRF output is not in `removed`, verify that the `PrefixSearchResult` provided in `proof` has a `result_type` of `nonInclusionParent` or `nonInclusionLeaf`";
const STEP_4: &str = "Verify that the `PrefixSearchResult` provided in `proof` for each element of `removed` has a `result_type` of `inclusion`.";
const STEP_5: &str = "For each element of `removed`, verify that, with the addition of the new log entry, the prefix tree leaf was published in at least one distinguished log entry before removal.";
const STEP_6: &str = "With `proof` and the `PrefixLeaf` structures in `removed`, compute the root value of the previous log entry's prefix tree. Verify that this matches the auditor's state.";
const STEP_7: &str = "With `proof` and the `PrefixLeaf` structures in `added` and `removed`, compute the new root value of the prefix tree.";
const RESULTS: &str = "The `proof.results` field contains the result of the search for each element of `added` in the order provided, followed by the result of the search for each element of `removed` in the order provided.";

/// A log as its auditor knows it.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) audited: AuditedLog,
    pub(super) tree: Model,
    /// Where each leaf was published first.
    pub(super) first: BTreeMap<VrfOutput, u64>,
    /// The updates so far.
    pub(super) updates: Vec<BatchAuditorUpdate>,
}

pub(super) fn leaf(seed: u8) -> PrefixLeaf {
    PrefixLeaf { vrf_output: sha256(&[&[seed]]), commitment: [seed; 32] }
}

/// The Reasonable Monitoring Window, in milliseconds.
pub(super) const WINDOW: u64 = 1000;

impl World {
    pub(super) fn new(hash: LogHash) -> Self {
        Self {
            audited: AuditedLog::new(hash, WINDOW),
            tree: Model::default(),
            first: BTreeMap::new(),
            updates: Vec::new(),
        }
    }

    /// What an honest log tells of a change, with whatever stands beside removed leaves named too.
    pub(super) fn update(&self, timestamp: u64, added: &[u8], removed: &[u8]) -> BatchAuditorUpdate {
        let sorted = |mut leaves: Vec<PrefixLeaf>| {
            leaves.sort_by_key(|leaf| leaf.vrf_output);
            leaves
        };
        let mut added: Vec<PrefixLeaf> = added.iter().map(|&seed| leaf(seed)).collect();
        let mut taken: Vec<PrefixLeaf> = removed.iter().map(|&seed| leaf(seed)).collect();
        if !removed.is_empty() {
            let stays = self.tree.leaves().into_iter().filter(|other| !taken.contains(other));
            let stays: Vec<PrefixLeaf> = stays.collect();
            added.extend(&stays);
            taken.extend(&stays);
        }
        self.proven(timestamp, sorted(added), sorted(taken))
    }

    fn proven(&self, timestamp: u64, added: Vec<PrefixLeaf>, removed: Vec<PrefixLeaf>) -> BatchAuditorUpdate {
        let keys: Vec<VrfOutput> = added.iter().chain(&removed).map(|leaf| leaf.vrf_output).collect();
        let proof = self.tree.prove(&keys);
        let proof = BatchPrefixProof { results: proof.results, elements: proof.elements };
        BatchAuditorUpdate { timestamp, added, removed, proof }
    }

    pub(super) fn apply(&mut self, update: &BatchAuditorUpdate) -> Result<crate::audit::Audited, AuditError> {
        let first = self.first.clone();
        let audited = self.audited.apply(update, |leaf| first.get(&leaf.vrf_output).copied())?;
        assert_eq!(self.audited.root(), Some(audited.root));
        let timestamps: Vec<u64> =
            self.updates.iter().chain([update]).map(|update| update.timestamp).collect();
        let distinguished = distinguished_by_recursion(&timestamps, WINDOW);
        assert_eq!(self.audited.rightmost_distinguished(), distinguished.last().copied());
        for leaf in &update.removed {
            self.tree.0.remove(&leaf.vrf_output);
        }
        for leaf in &update.added {
            self.tree.0.insert(leaf.vrf_output, leaf.commitment);
            self.first.entry(leaf.vrf_output).or_insert(audited.position);
        }
        self.updates.push(update.clone());
        Ok(audited)
    }

    /// Eight leaves in entry 0, one more in each of entries 1 to 5, 100 ms apart. With a seventh entry, 3 is
    /// distinguished and 5 is not.
    pub(super) fn town(hash: LogHash) -> Self {
        let mut world = Self::new(hash);
        let first: Vec<u8> = (0..8).collect();
        world.apply(&world.update(5_000, &first, &[])).unwrap();
        for seed in 8..13 {
            world.apply(&world.update(4_300 + 100 * u64::from(seed), &[seed], &[])).unwrap();
        }
        world
    }
}

/// An update of the town's log, in which one thing is a lie.
pub(super) struct AuditLie {
    pub(super) sentence: &'static str,
    pub(super) check: &'static str,
    pub(super) lie: &'static str,
    pub(super) honest: fn(&World) -> BatchAuditorUpdate,
    pub(super) told: fn(&World) -> BatchAuditorUpdate,
    pub(super) verdict: AuditError,
}

/// The next entry adds two leaves.
fn adding(world: &World) -> BatchAuditorUpdate {
    world.update(5_500, &[20, 21], &[])
}

/// The next entry takes out a leaf that entry 1 published.
fn removing(world: &World) -> BatchAuditorUpdate {
    world.update(5_500, &[], &[8])
}

fn of_added(world: &World, change: impl FnOnce(&mut BatchAuditorUpdate)) -> BatchAuditorUpdate {
    let mut update = adding(world);
    change(&mut update);
    update
}

pub(super) fn lies() -> Vec<AuditLie> {
    let evaluate = "prefix_tree::evaluate_transition";
    let apply = "AuditedLog::apply";
    vec![
        AuditLie {
            sentence: STEP_1,
            check: apply,
            lie: "an entry is older than the one before",
            honest: |world| world.update(5_500, &[20, 21], &[]),
            told: |world| world.update(5_499, &[20, 21], &[]),
            verdict: AuditError::Timestamp,
        },
        AuditLie {
            sentence: STEP_2,
            check: evaluate,
            lie: "added leaves are out of order",
            honest: adding,
            told: |world| {
                of_added(world, |update| {
                    update.added.swap(0, 1);
                    update.proof.results.swap(0, 1);
                })
            },
            verdict: PrefixProofError::Unsorted.into(),
        },
        AuditLie {
            sentence: STEP_2,
            check: evaluate,
            lie: "a leaf is added twice",
            honest: adding,
            told: |world| {
                of_added(world, |update| {
                    update.added.insert(0, update.added[0]);
                    update.proof.results.insert(0, update.proof.results[0]);
                })
            },
            verdict: PrefixProofError::Unsorted.into(),
        },
        AuditLie {
            sentence: STEP_2,
            check: evaluate,
            lie: "removed leaves are out of order",
            honest: removing,
            told: |world| {
                let mut update = removing(world);
                let first = update.added.len();
                update.removed.swap(0, 1);
                update.proof.results.swap(first, first + 1);
                update
            },
            verdict: PrefixProofError::Unsorted.into(),
        },
        AuditLie {
            sentence: STEP_2,
            check: evaluate,
            lie: "a leaf is removed twice",
            honest: removing,
            told: |world| {
                let mut update = removing(world);
                let first = update.added.len();
                update.removed.insert(0, update.removed[0]);
                update.proof.results.insert(first, update.proof.results[first]);
                update
            },
            verdict: PrefixProofError::Unsorted.into(),
        },
        AuditLie {
            sentence: STEP_3,
            check: evaluate,
            lie: "a value is rewritten",
            honest: adding,
            told: |world| {
                let rewritten = PrefixLeaf { commitment: [0x66; 32], ..leaf(3) };
                world.proven(5_500, vec![rewritten], Vec::new())
            },
            verdict: PrefixProofError::AddedKeyIncluded.into(),
        },
        AuditLie {
            sentence: STEP_4,
            check: evaluate,
            lie: "a leaf is removed that was not there",
            honest: removing,
            told: |world| world.proven(5_500, Vec::new(), vec![leaf(20)]),
            verdict: PrefixProofError::RemovedKeyNotIncluded.into(),
        },
        AuditLie {
            sentence: STEP_5,
            check: apply,
            lie: "a leaf is removed before a distinguished entry published it",
            honest: removing,
            told: |world| world.update(5_500, &[], &[12]),
            verdict: AuditError::RemovedUnpublished(leaf(12).vrf_output),
        },
        AuditLie {
            sentence: STEP_5,
            check: apply,
            lie: "a value is rewritten before a distinguished entry published it",
            honest: removing,
            told: |world| {
                let rewritten = PrefixLeaf { commitment: [0x66; 32], ..leaf(12) };
                world.proven(5_500, vec![rewritten], vec![leaf(12)])
            },
            verdict: AuditError::RemovedUnpublished(leaf(12).vrf_output),
        },
        AuditLie {
            sentence: STEP_6,
            check: apply,
            lie: "the proof is from another tree",
            honest: adding,
            told: |world| of_added(world, |update| update.proof.elements[0][0] ^= 1),
            verdict: AuditError::PrefixRoot,
        },
        AuditLie {
            sentence: STEP_6,
            check: apply,
            lie: "the proof is from an older tree",
            honest: adding,
            told: |world| {
                let mut old = world.clone();
                old.tree.0.remove(&leaf(12).vrf_output);
                old.update(5_500, &[20, 21], &[])
            },
            verdict: AuditError::PrefixRoot,
        },
        AuditLie {
            sentence: STEP_6,
            check: apply,
            lie: "a removed leaf is said to have had another commitment",
            honest: removing,
            told: |world| {
                let mut update = removing(world);
                let removed = update.removed.iter_mut().find(|removed| **removed == leaf(8)).unwrap();
                removed.commitment[0] ^= 1;
                update
            },
            verdict: AuditError::PrefixRoot,
        },
        AuditLie {
            sentence: STEP_6,
            check: evaluate,
            lie: "an element of the proof is missing",
            honest: adding,
            told: |world| {
                of_added(world, |update| {
                    update.proof.elements.pop();
                })
            },
            verdict: PrefixProofError::MissingElement.into(),
        },
        AuditLie {
            sentence: STEP_6,
            check: evaluate,
            lie: "an element of the proof too many",
            honest: adding,
            told: |world| of_added(world, |update| update.proof.elements.push([0; 32])),
            verdict: PrefixProofError::SpareElements.into(),
        },
        AuditLie {
            sentence: RESULTS,
            check: evaluate,
            lie: "a result is missing",
            honest: adding,
            told: |world| {
                of_added(world, |update| {
                    update.proof.results.pop();
                })
            },
            verdict: PrefixProofError::ResultCount.into(),
        },
        AuditLie {
            sentence: RESULTS,
            check: evaluate,
            lie: "a result too many",
            honest: adding,
            told: |world| of_added(world, |update| update.proof.results.push(update.proof.results[0])),
            verdict: PrefixProofError::ResultCount.into(),
        },
        AuditLie {
            sentence: STEP_7,
            check: evaluate,
            lie: "what stands beside a removed leaf is not shown",
            honest: removing,
            told: |world| {
                // Of all leaves the one whose sibling is a leaf as well, so that its sibling moves up.
                let hides = |seed: &u8| {
                    let update = world.proven(5_500, Vec::new(), vec![leaf(*seed)]);
                    let PrefixProofError::HiddenSibling = crate::prefix_tree::evaluate_transition(
                        &update.added,
                        &update.removed,
                        &update.proof.results,
                        &update.proof.elements,
                    )
                    .err()
                    .unwrap_or(PrefixProofError::ResultCount) else {
                        return false;
                    };
                    true
                };
                let seed = (0..8).find(hides).unwrap();
                world.proven(5_500, Vec::new(), vec![leaf(seed)])
            },
            verdict: PrefixProofError::HiddenSibling.into(),
        },
    ]
}

#[test]
fn every_lie_to_an_auditor_is_refused_by_name() {
    let mut sentences = BTreeSet::new();
    for lie in lies() {
        sentences.insert(lie.sentence);
        for hash in [LogHash::Draft, LogHash::Rfc6962] {
            let world = World::town(hash);
            let honest = world.clone().apply(&(lie.honest)(&world));
            assert!(honest.is_ok(), "{}: the honest update: {honest:?}", lie.lie);
            let mut told = world.clone();
            assert_eq!(told.apply(&(lie.told)(&world)), Err(lie.verdict.clone()), "{}", lie.lie);
            // An entry that was not verified is in no head that the auditor signs.
            assert_eq!((told.audited.size(), told.audited.root()), (6, world.audited.root()), "{}", lie.lie);
            assert_eq!(told.clone().apply(&(lie.honest)(&world)), honest, "{}", lie.lie);
        }
        println!("| Auditing | {} | {} | {} | {:?} |", lie.sentence, lie.check, lie.lie, lie.verdict);
    }
    println!("{} sentences, {} lies", sentences.len(), 2 * lies().len());
}
