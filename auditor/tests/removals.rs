//! Removing leaves: allowed once a distinguished entry has published them, and decided by what the last window remembers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::collections::{BTreeMap, BTreeSet};

use keyglass_auditor::{
    audited::{Audit, AuditState, Fault, KeyStart, Published},
    verdict::Verdict,
};
use keyglass_keytrans::{
    audit::AuditedLog,
    config::{CipherSuite, DeploymentMode},
    wire::{Context, PrefixLeaf, Wire as _},
};
use kit::{
    updates::{History, leaf, sizes},
    *,
};
use proptest::prelude::*;

#[tokio::test]
async fn a_leaf_may_go_once_a_distinguished_entry_has_published_it() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let window = 100;
        let world = World::audited(suite, window, 0).await;
        let mut history = History::default();
        for i in 0..40 {
            history.add(START + 10 * i, &[leaf(i, 1)], &[]);
        }
        world.publish_history(&history);
        assert_eq!(world.round().await.verdict, Verdict::Ok);
        // Entry 31 is the root: distinguished, and with it whatever was there.
        history.add(START + 400, &[leaf(3, 2)], &[leaf(31, 1)]);
        world.publish_history(&history);
        let report = world.round().await;
        assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (41, 41)), "{:?}", report.findings);
        // The replaced leaf is new: it has to wait again, and so has one of the last entries.
        for early in [leaf(3, 2), leaf(39, 1)] {
            let mut history = History::default();
            for i in 0..40 {
                history.add(START + 10 * i, &[leaf(i, 1)], &[]);
            }
            history.add(START + 400, &[leaf(3, 2)], &[leaf(31, 1)]);
            history.add(START + 401, &[], &[early]);
            let other = World::audited(suite, window, 0).await;
            other.publish_history(&history);
            let report = other.round().await;
            assert_eq!((report.verdict, sizes(&report).0), (Verdict::BadUpdate, 41));
            assert_eq!(report.findings[0].kind, "update_removes_early");
        }
        // A window later both may go.
        history.add(START + 600, &[], &[]);
        history.add(START + 700, &[], &[leaf(3, 2), leaf(39, 1)]);
        world.publish_history(&history);
        let report = world.round().await;
        assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (43, 43)), "{:?}", report.findings);
        world.verified(&history);
    }
}

/// What the database answers about these rows.
fn published(rows: &BTreeMap<u64, Vec<KeyStart>>, keys: &BTreeSet<KeyStart>) -> Published {
    let found = |(position, row): (&u64, &Vec<KeyStart>)| {
        let here: Vec<KeyStart> = row.iter().filter(|key| keys.contains(*key)).copied().collect();
        here.into_iter().map(|key| (key, *position)).collect::<Vec<_>>()
    };
    rows.iter().flat_map(found).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Remembering only the leaves of the last window decides as remembering all leaves does, whenever what is remembered
    /// is stored, dropped and read again.
    #[test]
    fn what_need_not_be_remembered_changes_no_verdict(
        steps in prop::collection::vec((0_u64..60, prop::collection::vec((0_u64..12, 0_u8..3), 0..4), 0_u8..4), 1..60),
        window in 0_u64..200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::audited(CipherSuite::Tlog, window, 0));
        let hash = CipherSuite::Tlog.log_hash();
        let (mut audit, mut rows) = (Audit::new(&world.trust), BTreeMap::new());
        let (mut naive, mut first) = (AuditedLog::new(hash, window), BTreeMap::new());
        let mut history = History::default();
        let mut now = START;
        for (wait, changes, store) in steps {
            now += wait;
            let before = history.entries.len();
            // Leaves that are there already are taken out; others are put in.
            let (mut added, mut removed) = (BTreeMap::new(), BTreeMap::new());
            for (key, commitment) in changes {
                let leaf = leaf(key, commitment);
                match history.leaf(&leaf) {
                    Some(there) if there.commitment == leaf.commitment => removed.insert(key, there),
                    _ => added.insert(key, leaf),
                };
            }
            removed.retain(|key, _| !added.contains_key(key));
            let list = |leaves: BTreeMap<u64, PrefixLeaf>| leaves.into_values().collect::<Vec<_>>();
            history.add(now, &list(added), &list(removed));
            let update = &history.updates[before];
            let expected = naive.apply(update, |leaf| first.get(&leaf.vrf_output).copied());
            let told = |keys: &BTreeSet<KeyStart>| Ok::<_, std::convert::Infallible>(published(&rows, keys));
            let found = audit.replay(std::slice::from_ref(update), None, told).unwrap();
            prop_assert_eq!(found.is_none(), expected.is_ok(), "{:?} and {:?}", found, expected);
            if expected.is_err() {
                prop_assert!(matches!(found, Some((0, Fault::RemovesEarly(_)))));
                break;
            }
            for leaf in &update.added {
                if !update.removed.contains(leaf) {
                    first.insert(leaf.vrf_output, before as u64);
                }
            }
            prop_assert_eq!(audit.root(), naive.root());
            if store > 0 {
                let (new, settled) = audit.rows();
                rows.extend(new.into_iter().map(|(position, row)| (position, row.clone())));
                rows.retain(|position, _| Some(*position) > settled);
                audit.stored();
            }
            if store > 1 {
                let state = audit.state();
                let context = Context::new(DeploymentMode::ThirdPartyAuditing);
                prop_assert_eq!(AuditState::decode(&state.encode().unwrap(), context).unwrap(), state.clone());
                audit = Audit::resume(&world.trust, &state).unwrap();
            }
        }
        // All at once is decided alike.
        let mut whole = Audit::new(&world.trust);
        let nothing = |_: &BTreeSet<KeyStart>| Ok::<_, std::convert::Infallible>(Published::new());
        let found = whole.replay(&history.updates, None, nothing).unwrap();
        prop_assert_eq!(found.map(|(i, _)| i as u64).unwrap_or(whole.size()), audit.size());
        prop_assert_eq!(whole.root(), audit.root());
    }
}

#[tokio::test]
async fn only_the_leaves_of_the_last_window_are_remembered() {
    let world = World::audited(CipherSuite::Tlog, 100, 0).await;
    let mut history = History::default();
    for i in 0..200 {
        history.add(START + 10 * i, &[leaf(i, 1)], &[]);
    }
    world.publish_history(&history);
    world.clock.set(START + 2000);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    let keys: BTreeSet<KeyStart> = (0..200).map(|i| *leaf(i, 1).vrf_output.first_chunk().unwrap()).collect();
    let remembered = world.records().unwrap().store().published(&keys).unwrap();
    assert!((1..=20).contains(&remembered.len()), "{}", remembered.len());
    assert!(remembered.values().all(|position| *position >= 180));
}
