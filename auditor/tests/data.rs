//! Data directories that are damaged, foreign or in use: refused, and nothing repaired silently.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{fs, sync::Arc};

use keyglass_auditor::{
    data_dir::{self, DataError},
    records::{
        Records, RecordsError,
        evidence::EvidenceStoreError,
        store::{Damage, StoreError},
    },
    trust::Trust,
    verdict::Verdict,
};
use keyglass_tlog::note::KeyName;
use kit::*;
use redb::{Database, ReadableTable as _, TableDefinition};

const TILES: TableDefinition<'static, (u8, u64), &[u8]> = TableDefinition::new("tiles");
const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

async fn followed() -> World {
    let world = World::new().await;
    world.publish(&honest(700), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world
}

fn refusal(world: &World) -> StoreError {
    match world.records().err().expect("refused") {
        RecordsError::Store(error) => error,
        error => panic!("{error}"),
    }
}

/// Changes the database behind the auditor's back.
fn tamper(world: &World, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::open(world.dir().join(data_dir::STATE)).unwrap();
    let transaction = db.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

fn new_name() -> KeyName {
    KeyName::new("other.example").unwrap()
}

#[tokio::test]
async fn a_directory_is_made_once_and_known_by_its_marker() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let key = data_dir::create(&data, new_name(), None).unwrap();
    assert_eq!(data_dir::open(&data, None).unwrap().vkey(), key.vkey());
    assert!(matches!(data_dir::create(&data, new_name(), None), Err(DataError::NotEmpty(_))));
    assert!(matches!(data_dir::open(directory.path(), None), Err(DataError::Foreign(_))));
    fs::write(data.join("auditor"), "something else\n").unwrap();
    assert!(matches!(data_dir::open(&data, None), Err(DataError::Format(_))));
}

#[tokio::test]
async fn a_directory_belongs_to_one_log_and_one_auditor() {
    let world = followed().await;
    let other = {
        let keys = &world.keys;
        let mut configuration =
            <keyglass_keytrans::config::Configuration as keyglass_keytrans::wire::Wire>::decode(
                &keys.configuration,
                keyglass_keytrans::wire::Context::new(
                    keyglass_keytrans::config::DeploymentMode::ContactMonitoring,
                ),
            )
            .unwrap();
        configuration.max_behind += 1;
        let origin = configuration.origin("log.example").unwrap();
        let seed = keyglass_crypto::sign::SigningKey::from_seed(&[0xa0; 32]);
        let log = keyglass_tlog::note::NoteSigner::new(KeyName::new(&origin).unwrap(), seed);
        configuration.signature_public_key = log.vkey().to_string().into_bytes();
        let encoded = keyglass_keytrans::wire::Wire::encode(&configuration).unwrap();
        let policy = world.policy.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
        Arc::new(Trust::new(&encoded, Some(policy.as_bytes())).unwrap())
    };
    let vkey = data_dir::open(&world.dir(), None).unwrap().vkey().to_string();
    let refused = Records::open(&world.dir(), &vkey, other).err().unwrap();
    assert!(matches!(refused, RecordsError::Store(StoreError::OtherLog { .. })), "{refused}");
    let refused = Records::open(&world.dir(), "someone else", Arc::clone(&world.trust)).err().unwrap();
    assert!(matches!(refused, RecordsError::Store(StoreError::Foreign(_))), "{refused}");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let world = followed().await;
    let _open = world.records().unwrap();
    assert!(matches!(refusal(&world), StoreError::InUse(_)));
}

#[tokio::test]
async fn damage_is_found_when_the_directory_is_opened() {
    let state = |world: &World| world.dir().join(data_dir::STATE);
    let world = followed().await;
    fs::remove_file(state(&world)).unwrap();
    assert!(matches!(refusal(&world), StoreError::Missing(_)));

    for bytes in [&b""[..], b"not a database", &[0; 8192]] {
        let world = followed().await;
        fs::write(state(&world), bytes).unwrap();
        let refused = refusal(&world);
        let expected = matches!(
            refused,
            StoreError::Damaged { .. } | StoreError::Foreign(_) | StoreError::Database { .. }
        );
        assert!(expected, "{refused}");
    }

    let world = followed().await;
    tamper(&world, |write| {
        let mut tiles = write.open_table(TILES).unwrap();
        let mut tile = tiles.get((0, 2)).unwrap().unwrap().value().to_vec();
        tile[5] ^= 1;
        tiles.insert((0, 2), &*tile).unwrap();
    });
    assert!(matches!(refusal(&world), StoreError::Damaged { what: Damage::Root, .. }));

    let world = followed().await;
    tamper(&world, |write| {
        write.open_table(TILES).unwrap().remove((1, 0)).unwrap();
    });
    assert!(matches!(refusal(&world), StoreError::Damaged { what: Damage::Tile { level: 1, .. }, .. }));

    let world = followed().await;
    tamper(&world, |write| {
        write.open_table(META).unwrap().insert("position", &[0; 47][..]).unwrap();
    });
    assert!(matches!(refusal(&world), StoreError::Damaged { what: Damage::Position, .. }));

    let world = followed().await;
    tamper(&world, |write| {
        write.delete_table(TILES).unwrap();
    });
    assert!(matches!(refusal(&world), StoreError::Foreign(_)));
}

#[tokio::test]
async fn evidence_that_is_damaged_does_not_acquit() {
    let world = World::new().await;
    world.publish(&honest(9), &[0, 2]);
    world.cosigned(1, &world.keys.note(&history(5, 1, 9), &[1]));
    let report = world.round().await;
    let file = &report.convictions[0].file;
    assert_eq!(
        report.evidence[0],
        format!("/v1/evidence/{file}"),
        "what is served says nothing about this machine"
    );
    let path = world.dir().join(data_dir::EVIDENCE).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let refusal = || match world.records().err().unwrap() {
        RecordsError::Evidence(error) => error,
        error => panic!("{error}"),
    };
    fs::write(&path, &text[1..]).unwrap();
    assert!(matches!(refusal(), EvidenceStoreError::Malformed { .. }));
    fs::write(&path, text.replacen("\n9\n", "\n8\n", 1)).unwrap();
    assert!(matches!(refusal(), EvidenceStoreError::Unproven { .. }));
    // What a crash left half written was never reported; and other files are no business of ours.
    fs::write(&path, &text).unwrap();
    let unfinished = path.with_extension("evidence.unfinished");
    fs::write(&unfinished, &text[..100]).unwrap();
    fs::write(path.with_extension("txt"), "a note of the operator").unwrap();
    assert_eq!(world.records().unwrap().evidence().convictions().count(), 1);
    assert!(!unfinished.exists());
    // Moved away by the operator, it is dealt with; the fork that is still shown is found again.
    fs::remove_file(&path).unwrap();
    assert_eq!(world.records().unwrap().evidence().convictions().count(), 0);
}
