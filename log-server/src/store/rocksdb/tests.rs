use super::*;
use crate::store::conformance;

const LOG: [u8; 32] = [7; 32];

#[test]
fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance::run(|| {
        number += 1;
        RocksStore::create(&directory.path().join(number.to_string()), &LOG).unwrap()
    });
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let log = conformance::Example::new();
    let store = RocksStore::create(&path, &LOG).unwrap();
    log.commit_all(&store);
    store.publish(&log.head(2)).unwrap();
    let before = conformance::everything(&store, &log);
    drop(store);
    let store = RocksStore::open(&path, &LOG).unwrap();
    assert_eq!(conformance::everything(&store, &log), before);
}

#[test]
fn what_is_no_database_of_this_log_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    assert!(matches!(RocksStore::open(&path, &LOG), Err(OpenError::Missing(at)) if at == path));

    let store = RocksStore::create(&path, &LOG).unwrap();
    // One process at a time.
    assert!(matches!(RocksStore::open(&path, &LOG), Err(OpenError::Database { .. })));
    drop(store);
    assert!(matches!(RocksStore::create(&path, &LOG), Err(OpenError::Exists(_))));
    assert!(matches!(RocksStore::open(&path, &[8; 32]), Err(OpenError::OtherLog(_))));
    // A family that this program does not know.
    drop(open(&path, &["later.things"], &LOG).unwrap());
    assert!(matches!(RocksStore::open(&path, &LOG), Err(OpenError::Foreign(_))));
    open(&path, &["later.things"], &LOG).unwrap();

    let foreign = directory.path().join("foreign");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    drop(DB::open(&options, &foreign).unwrap());
    assert!(matches!(RocksStore::open(&foreign, &LOG), Err(OpenError::Foreign(_))));
}

#[test]
fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let db = create(directory.path(), &[], &LOG).unwrap();
    db.put_cf(db.cf_handle(families::META).unwrap(), families::meta::FORMAT, b"keyglass-log-server 2")
        .unwrap();
    drop(db);
    let Err(OpenError::Format { found, .. }) = RocksStore::open(directory.path(), &LOG) else { panic!() };
    assert_eq!(found, "keyglass-log-server 2");
}

#[test]
fn damage_is_refused_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let log = conformance::Example::new();
    let store = RocksStore::create(&path, &LOG).unwrap();
    log.commit_all(&store);
    drop(store);
    let mut damaged = 0;
    for name in ["CURRENT", "MANIFEST", ".log"] {
        let file = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).find(|file| {
            let file = file.file_name().unwrap().to_str().unwrap();
            file.starts_with(name) || file.ends_with(name)
        });
        let file = file.unwrap();
        let intact = std::fs::read(&file).unwrap();
        let mut bytes = intact.clone();
        assert!(bytes.len() > 8, "{file:?} is empty");
        bytes[6] ^= 0xff;
        std::fs::write(&file, &bytes).unwrap();
        match RocksStore::open(&path, &LOG) {
            Err(OpenError::Database { path: at, reason }) => assert!(at == path && !reason.is_empty()),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("damage in {file:?} was passed over"),
        }
        std::fs::write(&file, &intact).unwrap();
        damaged += 1;
    }
    assert_eq!(damaged, 3);
    assert_eq!(RocksStore::open(&path, &LOG).unwrap().snapshot().unwrap().size(), Ok(log.size()));
}

/// A value that does not compress, and that nothing else contains a piece of.
fn noise(seed: u8) -> Vec<u8> {
    (0..32_u8).flat_map(|i| keyglass_crypto::hash::sha256(&[&[seed, i]])).collect()
}

/// How many places in the files of a directory hold 16 bytes of `secret`.
fn remains(directory: &std::path::Path, secret: &[u8]) -> usize {
    let wanted: std::collections::HashSet<&[u8]> = secret.windows(16).collect();
    let files =
        std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(16).filter(|window| wanted.contains(*window)).count()).sum()
}

#[test]
fn what_is_erased_leaves_the_disk_wherever_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let mut log = conformance::Example::new();
    for (seed, batch) in (0..).zip(&mut log.batches) {
        for version in batch.labels.iter_mut().flat_map(|update| &mut update.versions) {
            let opened = version.opened.as_mut().unwrap();
            (opened.opening, opened.value) = (noise(seed | 0x80)[..16].try_into().unwrap(), noise(seed));
        }
    }
    let db = create(&path, &["beside"], &LOG).unwrap();
    let store = RocksStore::new(Arc::clone(&db));
    let bobs = |position: usize| -> Vec<u8> {
        let versions = log.batches[position].labels.iter().find(|update| update.label == b"bob").unwrap();
        let opened = versions.versions[0].opened.clone().unwrap();
        [opened.value, opened.opening.to_vec()].concat()
    };
    // Entry 0 in a table at the bottom, entry 2 in one above it, the rest in the write-ahead log. Another family holds
    // that one: it has never been flushed.
    db.put_cf(db.cf_handle("beside").unwrap(), b"key", b"something").unwrap();
    for (position, batch) in (0..).zip(&log.batches) {
        store.commit(position, batch).unwrap();
        let versions = db.cf_handle(families::VERSIONS).unwrap();
        match position {
            0 => {
                db.flush_cf(versions).unwrap();
                db.compact_range_cf::<&[u8], &[u8]>(versions, None, None);
            }
            2 => db.flush_cf(versions).unwrap(),
            _ => {}
        }
    }
    for (version, position) in [(0, 0), (2, 2), (3, 3)] {
        let secret = bobs(position);
        assert!(remains(&path, &secret) > 500, "version {version} is there first");
        // A reader of before is waited for.
        let snapshot = store.snapshot().unwrap();
        std::thread::scope(|scope| {
            let (sender, erased) = std::sync::mpsc::channel();
            let store = &store;
            scope.spawn(move || sender.send(store.erase(b"bob", version)).unwrap());
            while store.snapshot().unwrap().version(b"bob", version).unwrap().unwrap().opened.is_some() {
                std::thread::yield_now();
            }
            assert!(snapshot.version(b"bob", version).unwrap().unwrap().opened.is_some());
            assert!(erased.try_recv().is_err(), "the old value is still being read");
            drop(snapshot);
            erased.recv().unwrap().unwrap();
        });
        // Version 0 shares its entry with version 1, which has the same value here.
        if version == 0 {
            store.erase(b"bob", 1).unwrap();
            store.erase(b"alice", 0).unwrap();
        }
        assert_eq!(remains(&path, &secret), 0, "version {version}");
    }
    let kept = bobs(4);
    assert!(remains(&path, &kept) > 500, "what is not erased stays");
    // Cut off between writing and scrubbing, and done again.
    let key = codec::label_version(b"bob", 5);
    let versions = db.cf_handle(families::VERSIONS).unwrap();
    let position = store.snapshot().unwrap().position_of(b"bob", 5).unwrap().unwrap();
    let erased =
        VersionRecord { opened: None, ..store.snapshot().unwrap().version(b"bob", 5).unwrap().unwrap() };
    db.put_cf(versions, key, codec::encode_version(&erased)).unwrap();
    let secret = bobs(position as usize);
    let before = remains(&path, &secret);
    for version in
        (0..=20).filter(|v| store.snapshot().unwrap().position_of(b"bob", *v) == Ok(Some(position)))
    {
        store.erase(b"bob", version).unwrap();
    }
    assert!(before > 500 && remains(&path, &secret) == 0);
}

#[test]
fn a_list_of_replaced_versions_that_is_cut_off_is_corrupt() {
    let replaced = vec![(b"alice".to_vec(), 0..3), (b"".to_vec(), 7..u32::MAX), (vec![0xff; 255], 1..1)];
    let bytes = codec::encode_replaced(&replaced);
    assert_eq!(codec::decode_replaced(&bytes), Ok(replaced));
    let whole = [14, 23, bytes.len()];
    for end in (1..bytes.len()).filter(|end| !whole.contains(end)) {
        assert!(codec::decode_replaced(&bytes[..end]).is_err(), "{end}");
    }
}

proptest::proptest! {
    #[test]
    fn pairs_of_label_and_version_have_keys_of_their_own(
        a in proptest::collection::vec(0..3_u8, 1..5), b in proptest::collection::vec(0..3_u8, 1..5), v in 0..4_u32, w in 0..4_u32,
    ) {
        let same = (&a, v) == (&b, w);
        proptest::prop_assert_eq!(codec::label_version(&a, v) == codec::label_version(&b, w), same);
    }

    #[test]
    fn decoders_do_not_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120)) {
        let _ = (codec::decode_entry(&bytes), codec::decode_label(&bytes), codec::decode_version(&bytes));
        let _ = (codec::decode_head(&bytes), codec::decode_pages(&bytes), codec::decode_digest(&bytes));
        let _ = codec::decode_replaced(&bytes);
    }
}
