//! The state on disks that lose power at every moment, and on disks that are full.

mod disk;

use std::{collections::BTreeMap, fs, path::Path};

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignedNote, Vkey},
    time::UnixSeconds,
};

use self::disk::{Disk, Fate, after_power_loss};
use super::{
    COUNTER_FILE, DurableStore, HeadStore as _, StoreError,
    counter::Counter,
    database::{State, builder, open_error},
    meta::initialise,
};
use crate::{
    head::{Head, OriginHash},
    kept::Kept,
};

const LOGS: u64 = 5;

fn vkeys() -> Vec<Vkey> {
    let name = KeyName::new("w.example").unwrap();
    vec![Cosigner::new(name, SigningKey::from_seed(&[2; 32])).vkey().clone()]
}

fn origin(log: u64) -> String {
    format!("log{log}.example")
}

/// A head as long as real ones, with lines that nobody verifies here.
fn head(log: u64, size: u64) -> Head {
    let signer = NoteSigner::new(KeyName::new(&origin(log)).unwrap(), SigningKey::from_seed(&[1; 32]));
    let text = Checkpoint::new(&origin(log), size, [size as u8; 32]).unwrap().text();
    let note = SignedNote::new(&text, vec![signer.sign(&text)]).unwrap();
    let line = note.signatures()[0].clone();
    Head::new(note, UnixSeconds(1_700_000_000 + size)).unwrap().with_cosignatures(vec![line; 32])
}

/// The counter as it may be at worst: what was not synced of it is gone.
fn counter_of_nothing(data: &Path) {
    fs::remove_file(data.join(COUNTER_FILE)).ok();
    Counter::create(data).unwrap();
}

fn open(disk: Disk, data: &Path) -> Result<State, StoreError> {
    let database = builder().create_with_backend(disk).map_err(|error| open_error(data, error))?;
    State::of(database, data, &vkeys())
}

fn size_of(kept: &Kept) -> u64 {
    kept.head().map_or(0, |head| head.checkpoint().tree_size())
}

/// Commits of one to all logs; what was answered after how many operations of the disk.
struct Run {
    disk: Disk,
    begun: usize,
    answered: Vec<(usize, BTreeMap<u64, u64>)>,
    attempted: BTreeMap<u64, u64>,
}

fn run(data: &Path, commits: u64) -> Run {
    let disk = Disk::default();
    let database = builder().create_with_backend(disk.clone()).unwrap();
    initialise(&database, &vkeys(), None).unwrap();
    let begun = disk.operations().len();
    counter_of_nothing(data);
    let state = State::of(database, data, &vkeys()).unwrap();
    let (mut sizes, mut answered) = (BTreeMap::new(), vec![(begun, BTreeMap::new())]);
    for commit in 0..commits {
        let logs: Vec<u64> = (0..=commit % LOGS).map(|n| (commit + n) % LOGS).collect();
        let heads: Vec<(OriginHash, Vec<u8>)> = logs
            .iter()
            .map(|log| {
                let size = sizes.entry(*log).and_modify(|size| *size += 1).or_insert(1);
                (OriginHash::of(&origin(*log)), Kept::Head(head(*log, *size)).encode())
            })
            .collect();
        state.commit(heads.iter().map(|(origin, kept)| (*origin, kept.as_slice()))).unwrap();
        answered.push((disk.operations().len(), sizes.clone()));
    }
    // The orderly end writes too.
    drop(state);
    Run { disk, begun, answered, attempted: sizes }
}

/// After every operation of the disk, whatever becomes of what was not synced: all that was answered is there.
#[test]
fn nothing_that_was_answered_is_lost_with_the_power() {
    let data = tempfile::tempdir().unwrap();
    let run = run(data.path(), 25);
    let operations = run.disk.operations();
    let (mut images, mut empty) = (0, 0);
    for end in run.begun..=operations.len() {
        let answered = run.answered.iter().rev().find(|(at, _)| *at <= end).map(|(_, sizes)| sizes).unwrap();
        for fate in Fate::ALL {
            let disk = Disk::holding(after_power_loss(&operations, end, fate));
            empty += usize::from(disk.is_empty());
            counter_of_nothing(data.path());
            let state = open(disk, data.path())
                .unwrap_or_else(|error| panic!("after {end} operations, {fate:?}: {error}"));
            for log in 0..LOGS {
                let kept = state.load(OriginHash::of(&origin(log))).unwrap();
                let (least, most) = (answered.get(&log).unwrap_or(&0), run.attempted.get(&log).unwrap_or(&0));
                let size = size_of(&kept);
                assert!(
                    (least..=most).contains(&&size),
                    "log {log} is at {size}, was answered {least}, after {end} operations, {fate:?}"
                );
                if let Some(found) = kept.head() {
                    assert_eq!(found, &head(log, size));
                }
            }
            images += 1;
        }
    }
    assert_eq!(empty, 0);
    println!("{images} images of {} operations, {} commits", operations.len(), run.answered.len() - 1);
    assert!(images > 1000, "{images}");
}

/// Before `init` has ended there is no state, or a sound one: never one that passes for another witness's.
#[test]
fn a_beginning_that_is_cut_off_leaves_nothing_that_counts() {
    let data = tempfile::tempdir().unwrap();
    let run = run(data.path(), 0);
    let operations = run.disk.operations();
    for end in 0..run.begun {
        for fate in Fate::ALL {
            counter_of_nothing(data.path());
            if let Ok(state) = open(Disk::holding(after_power_loss(&operations, end, fate)), data.path()) {
                assert_eq!(size_of(&state.load(OriginHash::of(&origin(0))).unwrap()), 0);
            }
        }
    }
}

/// The disk is full after any number of operations: commits fail, nothing of what was answered is lost, and with room
/// again it goes on.
#[tokio::test]
async fn a_full_disk_fails_commits_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let disk = run(data.path(), 7).disk;
    let (mut failed, mut room) = (0, 0);
    loop {
        counter_of_nothing(data.path());
        let opener = {
            let (disk, data) = (disk.clone(), data.path().to_owned());
            move || open(disk.clone(), &data)
        };
        let store = DurableStore::start(opener().unwrap(), Box::new(opener)).unwrap();
        let key = OriginHash::of(&origin(0));
        let before = size_of(&store.load(key).unwrap());
        disk.set_room(Some(room));
        let first = store.commit(key, &Kept::Head(head(0, before + 1))).await;
        if first.is_err() {
            failed += 1;
            assert!(!store.is_healthy());
            assert!(
                matches!(first, Err(StoreError::Failed { .. } | StoreError::Damaged { .. })),
                "{first:?}"
            );
            // Nor does the next one succeed, nor is anything read from what cannot be opened.
            assert!(store.commit(key, &Kept::Head(head(0, before + 1))).await.is_err());
        }
        disk.set_room(None);
        store.commit(OriginHash::of(&origin(1)), &Kept::Head(head(1, 1000 + room as u64))).await.unwrap();
        assert!(store.is_healthy());
        let after = size_of(&store.load(key).unwrap());
        if first.is_ok() {
            assert_eq!(after, before + 1);
            break;
        }
        assert!(after == before || after == before + 1, "{before} became {after}");
        room += 1;
        assert!(room < 200, "a commit has so many operations?");
    }
    println!("{failed} places to be full at");
    assert!(failed > 3);
}
