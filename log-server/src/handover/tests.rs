use keyglass_tlog::{
    policy::Policy,
    rfc6962::CompactTree,
    witnessed::{Horizon, Judge},
};
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    init::{Choices, new_log},
    log_tree::appender,
    publisher::{HeadSigner, to_publish},
    server::service_families,
    store::{Batch, EntryRecord},
};

/// A log-server's directory, and its policy: no witness needed.
struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
    vkey: Vkey,
}

fn choices(prefix: &str, suite: CipherSuite) -> Choices {
    Choices {
        prefix: prefix.to_owned(),
        suite,
        auditor: None,
        max_auditor_lag: 0,
        auditor_start: 0,
        max_ahead: 1000,
        max_behind: 10_000,
        reasonable_monitoring_window: 1000,
        maximum_lifetime: None,
    }
}

fn next() -> Vkey {
    new_log(&choices("log.example/next", CipherSuite::Tlog), &mut StdRng::seed_from_u64(2)).unwrap().vkey
}

impl Place {
    /// A log of `sequenced` empty entries, of which `published` are published.
    fn new(sequenced: u64, published: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = new_log(&choices("log.example", CipherSuite::Tlog), &mut StdRng::seed_from_u64(1)).unwrap();
        DataDir::create(&path, &log.identity, &service_families()).unwrap();
        let opened = DataDir::open(&path, &service_families()).unwrap();
        let signer = HeadSigner::of(&opened.identity).unwrap();
        let store = RocksStore::new(opened.db);
        for size in 0..sequenced {
            let mut tree = appender(&*store.snapshot().unwrap(), signer.log_hash(), size).unwrap();
            let entry =
                EntryRecord { timestamp: size, tree: keyglass_keytrans::prefix_tree::TreeRoot::EMPTY };
            let nodes = tree.append(signer.log_hash().leaf(size, entry.tree.value())).into_iter().collect();
            let batch = Batch {
                entry,
                nodes,
                pages: Vec::new(),
                superseded: Vec::new(),
                replaced: Vec::new(),
                labels: Vec::new(),
            };
            store.commit(size, &batch).unwrap();
        }
        if published > 0 {
            let root = log_tree::root(&*store.snapshot().unwrap(), signer.log_hash(), published).unwrap();
            let head = signer.sign(published, root.unwrap(), keyglass_tlog::time::UnixSeconds(1)).unwrap();
            let policy = Policy::parse(b"quorum none\n").unwrap();
            store.publish(&to_publish(&head, &policy, &Default::default()).unwrap()).unwrap();
        }
        Self { _directory: directory, path, vkey: log.vkey }
    }

    fn open(&self) -> Result<DataDir, DataError> {
        DataDir::open_to_end(&self.path, &service_families())
    }
}

#[test]
fn a_stopped_log_ends_once_and_is_not_served_again() {
    let place = Place::new(5, 5);
    let handover = end(place.open().unwrap(), next()).unwrap();
    assert_eq!((handover.declaration().size, &handover.declaration().to), (5, &next()));
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let judge = Judge::of_log(&policy, [&place.vkey], Horizon::ignored());
    assert_eq!(handover.verify(std::slice::from_ref(&place.vkey), &judge).unwrap().tree().0, 5);
    // The same again, and no other.
    assert_eq!(end(place.open().unwrap(), next()).unwrap(), handover);
    let other = new_log(&choices("log.example/other", CipherSuite::Tlog), &mut StdRng::seed_from_u64(3));
    let refused = end(place.open().unwrap(), other.unwrap().vkey);
    assert!(matches!(refused, Err(EndError::HandedOver(to)) if *to == next()));
    let served = DataDir::open(&place.path, &service_families()).map(|_| ());
    assert!(matches!(served, Err(DataError::Ended(_))));
}

#[test]
fn a_log_ends_only_with_all_that_it_sequenced_published() {
    let refused = |place: &Place| end(place.open().unwrap(), next()).unwrap_err();
    assert!(matches!(refused(&Place::new(0, 0)), EndError::NothingPublished));
    assert!(matches!(refused(&Place::new(3, 0)), EndError::NothingPublished));
    let place = Place::new(5, 4);
    assert!(matches!(refused(&place), EndError::Unpublished { sequenced: 5, published: 4 }));
    DataDir::open(&place.path, &service_families()).map(|_| ()).unwrap();
    let place = Place::new(5, 5);
    let same = end(place.open().unwrap(), place.vkey.clone()).unwrap_err();
    assert!(matches!(same, EndError::Handover(HandoverError::SameLog)));
}

#[test]
fn a_running_server_is_not_ended() {
    let place = Place::new(2, 2);
    let running = DataDir::open(&place.path, &service_families()).unwrap();
    assert!(matches!(place.open().map(|_| ()), Err(DataError::Database(_))));
    drop(running);
    end(place.open().unwrap(), next()).unwrap();
}

#[test]
fn a_damaged_handover_is_not_replaced() {
    let place = Place::new(2, 2);
    fs::write(place.path.join(HANDOVER), "nonsense").unwrap();
    assert!(matches!(end(place.open().unwrap(), next()), Err(EndError::Damaged(_))));
    assert_eq!(fs::read(place.path.join(HANDOVER)).unwrap(), b"nonsense");
}

#[test]
fn exported_tiles_are_those_of_the_final_head() {
    let place = Place::new(300, 300);
    let handover = end(place.open().unwrap(), next()).unwrap();
    let target = place.path.with_file_name("tiles");
    for _ in 0..2 {
        export_tiles(place.open().unwrap(), &target).unwrap();
    }
    assert_eq!(fs::read_to_string(target.join("checkpoint")).unwrap(), handover.last().to_string());
    let mut tree = CompactTree::new();
    for (name, width) in [("tile/0/000", 256), ("tile/0/001.p/44", 44)] {
        let bytes = fs::read(target.join(name)).unwrap();
        assert_eq!(bytes.len(), width * 32);
        bytes.as_chunks().0.iter().for_each(|hash| tree.append(*hash).unwrap());
    }
    assert_eq!(tree.root(), handover.declaration().root);
    assert!(target.join("tile/1/000.p/1").exists());
}
