//! Pruning against a log that keeps everything, and against a store that fails.

mod draft;
mod histories;
mod rig;
mod size;

use keyglass_keytrans::config::CipherSuite;
use rig::Rig;

use super::*;
use crate::store::{
    PublishedHead, VersionRecord,
    faulty::{Fault, FaultyStore},
    memory::MemoryStore,
};

const LABELS: [&[u8]; 2] = [b"alice", b"bob"];

/// A log of 600 entries, ten seconds apart, of which an hour's are not expired.
fn log<S: Store>(store: S) -> Rig<S> {
    let rig = Rig::new(CipherSuite::Tlog, 600_000, 3_600_000, store);
    for number in 0..599_usize {
        rig.advance(10_000);
        let values = (0..=number % 3).map(|i| format!("value {number} {i}").into_bytes()).collect();
        rig.update(vec![(LABELS[number % 2], values)]);
    }
    rig.publish();
    rig
}

/// What a store still has of what pruning is about.
#[derive(Debug, PartialEq)]
struct Kept {
    until: u64,
    entries: Vec<u64>,
    pages: Vec<PageKey>,
    versions: Vec<Vec<Option<VersionRecord>>>,
    lists: Vec<(usize, usize)>,
}

fn kept<S: Store>(rig: &Rig<S>) -> Kept {
    let snapshot = rig.store.snapshot().unwrap();
    let positions: Vec<u64> = (0..rig.size()).collect();
    let entries = snapshot.entries(&positions).unwrap();
    let keys = rig.store.pages.lock().unwrap();
    let pages = snapshot.pages(&keys).unwrap();
    let versions = LABELS.map(|label| {
        let greatest = snapshot.label(label).unwrap().unwrap().greatest();
        snapshot.versions(label, &(0..=greatest).collect::<Vec<_>>()).unwrap()
    });
    let lists = positions.iter().map(|position| {
        let superseded = snapshot.superseded(*position).unwrap().len();
        (superseded, snapshot.replaced(*position).unwrap().len())
    });
    Kept {
        until: snapshot.pruned().unwrap(),
        entries: positions.iter().zip(entries).filter_map(|(at, entry)| entry.map(|_| *at)).collect(),
        pages: keys.iter().zip(pages).filter_map(|(key, page)| page.map(|_| *key)).collect(),
        versions: versions.to_vec(),
        lists: lists.collect(),
    }
}

#[test]
fn what_has_expired_is_deleted_and_nothing_else() {
    let rig = log(MemoryStore::default());
    let before = kept(&rig);
    rig.prune(50);
    let after = kept(&rig);
    // The last entry, 599, is 3,600,000 ms younger than entry 239, which is expired; 240 is not.
    assert_eq!(after.until, 239);
    // The bundle that entry 239 is in stays whole.
    assert_eq!(after.entries, before.entries);
    let needed = |key: &&PageKey| {
        let snapshot = rig.store.whole.snapshot().unwrap();
        (0..=239).all(|position| !snapshot.superseded(position).unwrap().contains(key))
    };
    assert_eq!(after.pages, before.pages.iter().filter(needed).copied().collect::<Vec<_>>());
    assert!(after.pages.len() < before.pages.len());
    for (label, (before, after)) in LABELS.iter().zip(before.versions.iter().zip(&after.versions)) {
        let created = |v: usize| rig.store.snapshot().unwrap().position_of(label, v as u32).unwrap();
        for (version, (before, after)) in before.iter().zip(after).enumerate() {
            let (before, after) = (before.as_ref().unwrap(), after.as_ref().unwrap());
            assert_eq!(before.commitment, after.commitment);
            let expired = created(version + 1).is_some_and(|successor| successor < 239);
            assert_eq!(after.opened.is_none(), expired, "version {version}");
        }
    }
    assert!(after.lists[..239].iter().all(|(_, replaced)| *replaced == 0));
    assert!(after.lists[..=239].iter().all(|(superseded, _)| *superseded == 0));
    assert_eq!(after.lists[240..], before.lists[240..]);
    assert_eq!(after.lists[239].1, before.lists[239].1);

    // 40 entries later a bundle has expired as a whole.
    rig.advance(400_000);
    rig.update(vec![(LABELS[0], vec![vec![1]])]);
    rig.publish();
    rig.prune(50);
    let after = kept(&rig);
    let expected: Vec<u64> = (0..256).filter(|at| at % 2 == 1).chain(256..=600).collect();
    assert_eq!((after.until, after.entries), (279, expected));
}

#[test]
fn a_failure_skips_nothing_and_repeats_no_harm() {
    let expected = {
        let rig = log(MemoryStore::default());
        rig.prune(1000);
        kept(&rig)
    };
    for fault in [Fault::Before, Fault::After] {
        let rig = log(FaultyStore::new(MemoryStore::default()));
        let mut pruner = rig.pruner(100);
        let status = pruner.status();
        let boundary = pruner.boundary(rig.size()).unwrap();
        let mut failures = 0;
        loop {
            // Every other write.
            rig.store.pruned.plan(&[fault, Fault::None]);
            assert!(pruner.step(boundary).is_err());
            assert!(status.borrow().failing);
            failures += 1;
            let more = pruner.step(boundary).unwrap();
            assert!(!status.borrow().failing);
            if !more {
                break;
            }
        }
        assert!(failures > 5, "{failures}");
        assert_eq!(kept(&rig), expected, "{fault:?}");
        assert_eq!(status.borrow().position, expected.until);
    }
}

#[test]
fn pruning_begins_again_where_it_was() {
    let rig = log(MemoryStore::default());
    let mut batches = 0;
    // Each batch by a process of its own.
    let mut before = 0;
    loop {
        let mut pruner = rig.pruner(300);
        let boundary = pruner.boundary(rig.size()).unwrap();
        let more = pruner.step(boundary).unwrap();
        let until = rig.store.snapshot().unwrap().pruned().unwrap();
        assert!(until > before || !more);
        (before, batches) = (until, batches + 1);
        if !more {
            break;
        }
    }
    assert!(batches > 2);
    let other = log(MemoryStore::default());
    other.prune(1000);
    assert_eq!(kept(&rig), kept(&other));
}

#[test]
fn nobody_who_has_to_be_waited_for_is_passed() {
    let rig = log(MemoryStore::default());
    let pruner = |limit: u64| {
        let store: Arc<dyn Store> = Arc::<rig::Twin<MemoryStore>>::clone(&rig.store);
        Pruner::new(store, 3_600_000, Box::new(move || limit), Settings::default())
    };
    for (limit, boundary) in [(0, 0), (1, 0), (100, 99), (240, 239), (241, 239), (u64::MAX, 239)] {
        assert_eq!(pruner(limit).boundary(rig.size()), Ok(boundary), "{limit}");
    }
    // Nothing is expired under a head of one entry; and pruning never goes back.
    assert_eq!(pruner(u64::MAX).boundary(1), Ok(0));
    rig.prune(1000);
    for size in [0, 1, 240, 300, rig.size()] {
        assert_eq!(pruner(u64::MAX).boundary(size), Ok(239), "{size}");
    }
}

#[test]
fn the_task_prunes_after_each_publication() {
    let rig = log(MemoryStore::default());
    let mut pruner = rig.pruner(100);
    let short = Duration::from_millis(1);
    pruner.settings = Settings { grace: short, every: Duration::from_secs(3600), step: 100, pause: short };
    let mut status = pruner.status();
    let head = |size| Some(Arc::new(PublishedHead { size, root: [0; 32], signature: Vec::new() }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (sender, heads) = watch::channel(None);
        let task = tokio::spawn(keep_pruned(pruner, heads));
        for (size, position) in [(500, 139), (600, 239)] {
            sender.send_replace(head(size));
            status.wait_for(|status| status.position == position).await.unwrap();
        }
        let found = *status.borrow();
        assert!(found.pages > 100 && found.versions > 100 && !found.failing, "{found:?}");
        drop(sender);
        task.await.unwrap();
    });
}
