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
    }
}
