//! How much a pruned log keeps while it grows.

use std::path::Path;

use keyglass_keytrans::config::CipherSuite;

use super::rig::Rig;
use crate::store::{Store as _, rocksdb as rocks};

/// The log entries that live at a time.
const LIVE: u64 = 200;
const LABELS: u64 = 40;

/// What the store has: log entries, pages of the newest prefix tree and of older ones alone, values.
#[derive(Debug, Clone, Copy)]
struct Counts {
    entries: usize,
    newest_pages: usize,
    older_pages: usize,
    values: usize,
}

fn label(number: u64) -> Vec<u8> {
    format!("label {}", number % LABELS).into_bytes()
}

/// Bytes that do not compress.
fn value(number: u64) -> Vec<u8> {
    (0..16_u64)
        .flat_map(|i| keyglass_crypto::hash::sha256(&[&number.to_be_bytes(), &i.to_be_bytes()]))
        .collect()
}

fn grow(rig: &Rig<rocks::RocksStore>, from: u64, to: u64, mut every_50: impl FnMut()) {
    for number in from..to {
        rig.advance(1000);
        rig.update(vec![(&label(number), vec![value(number)])]);
        if number % 50 == 49 {
            rig.publish();
            every_50();
        }
    }
}

fn count(rig: &Rig<rocks::RocksStore>) -> Counts {
    let snapshot = rig.store.snapshot().unwrap();
    let positions: Vec<u64> = (0..rig.size()).collect();
    let entries = snapshot.entries(&positions).unwrap().iter().flatten().count();
    let written = rig.store.pages.lock().unwrap();
    let pages = snapshot.pages(&written).unwrap().iter().flatten().count();
    let whole = rig.store.whole.snapshot().unwrap();
    let superseded: usize = positions.iter().map(|position| whole.superseded(*position).unwrap().len()).sum();
    let newest_pages = written.len() - superseded;
    let mut values = 0;
    for number in 0..LABELS {
        let label = label(number);
        let greatest = snapshot.label(&label).unwrap().unwrap().greatest();
        let versions = snapshot.versions(&label, &(0..=greatest).collect::<Vec<_>>()).unwrap();
        values += versions.iter().flatten().filter(|version| version.opened.is_some()).count();
    }
    Counts { entries, newest_pages, older_pages: pages - newest_pages, values }
}

/// The bytes of all sorted tables, after everything has been written to some.
fn bytes(db: &rocksdb::DB, path: &Path) -> u64 {
    for family in rocks::FAMILIES {
        db.flush_cf(db.cf_handle(family).unwrap()).unwrap();
    }
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let tables = files.filter(|file| file.file_name().to_str().unwrap().ends_with(".sst"));
    tables.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn a_log_that_grows_keeps_what_lives_and_gives_the_rest_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let db = rocks::create(&path, &[], &[7; 32]).unwrap();
    let store = rocks::RocksStore::new(std::sync::Arc::clone(&db));
    let rig = Rig::new(CipherSuite::Tlog, LIVE * 250, LIVE * 1000, store);

    grow(&rig, 0, 1000, || {});
    let (unpruned, unpruned_bytes) = (count(&rig), bytes(&db, &path));
    rig.prune(500);
    rig.store.reclaim().unwrap();
    let (first, first_bytes) = (count(&rig), bytes(&db, &path));
    println!("1000 entries: {unpruned:?}, {unpruned_bytes} bytes; pruned {first:?}, {first_bytes} bytes");
    assert_eq!(unpruned.entries, 1001);
    assert!(first.older_pages * 3 < unpruned.older_pages && first.values * 3 < unpruned.values);
    assert_eq!(first.newest_pages, unpruned.newest_pages);
    assert!(first_bytes * 2 < unpruned_bytes, "{first_bytes} of {unpruned_bytes} bytes are left");

    grow(&rig, 1000, 2000, || {
        rig.prune(500);
        rig.store.reclaim().unwrap();
        let now = count(&rig);
        // The greatest versions and those that live; what living trees do not share with the newest.
        assert!(now.values as u64 <= LABELS + LIVE + 1, "{now:?}");
        assert!(now.older_pages <= first.older_pages + first.older_pages / 4, "{now:?}, at first {first:?}");
        // Every other log entry before the last expired bundle's end.
        assert!(now.entries as u64 <= rig.size() / 2 + LIVE / 2 + 256, "{now:?}");
    });
    let (last, last_bytes) = (count(&rig), bytes(&db, &path));
    println!("2000 entries: {last:?}, {last_bytes} bytes");
    assert!(last_bytes < first_bytes * 2, "{last_bytes} bytes, before {first_bytes}");
}
