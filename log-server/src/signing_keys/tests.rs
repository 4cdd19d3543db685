//! Keys come and go, and the log stays the same log.

use std::fs;

use keyglass_tlog::note::SignedNote;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    data_dir::{DataDir, Mismatch, read_identity},
    init::{Choices, new_log},
    publisher::{HeadSigner, OwnSignature},
    server::service_families,
};

struct Place {
    _directory: tempfile::TempDir,
    path: PathBuf,
    rng: StdRng,
}

impl Place {
    fn new(prefix: &str, suite: CipherSuite) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let choices = Choices {
            prefix: prefix.to_owned(),
            suite,
            auditor: None,
            max_auditor_lag: 0,
            auditor_start: 0,
            max_ahead: 1,
            max_behind: 1,
            reasonable_monitoring_window: 1,
            maximum_lifetime: None,
        };
        let mut rng = StdRng::seed_from_u64(5);
        let log = new_log(&choices, &mut rng).unwrap();
        DataDir::create(&path, &log.identity, &service_families()).unwrap();
        Self { _directory: directory, path, rng }
    }

    fn add(&mut self, kind: Kind) -> Result<Vkey, KeysError> {
        add(&self.path, kind, &mut self.rng)
    }

    fn identity(&self) -> Identity {
        read_identity(&self.path).unwrap()
    }

    /// The verifier keys of a head's lines, which all verify.
    fn signs_with(&self) -> Vec<Vkey> {
        let identity = self.identity();
        let head = HeadSigner::of(&identity).unwrap().sign(3, [1; 32], keyglass_tlog::time::UnixSeconds(9));
        let OwnSignature::Checkpoint(checkpoint, lines) = head.unwrap().signature else { panic!() };
        let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
        let keys: Vec<&Vkey> = identity.log_vkeys.iter().collect();
        let verified = note.verify(&keys).unwrap();
        assert_eq!(verified.len(), note.signatures().len());
        verified.into_iter().map(|line| line.key.clone()).collect()
    }
}

#[test]
fn a_key_is_replaced_without_making_another_log() {
    let mut place = Place::new("log.example", CipherSuite::Tlog);
    let before = place.identity();
    let old = before.log_vkeys[0].clone();
    let post_quantum = place.add(Kind::MlDsa44).unwrap();
    let new = place.add(Kind::Ed25519).unwrap();
    assert_eq!(place.signs_with(), [old.clone(), new.clone(), post_quantum.clone()]);
    assert_eq!(place.identity().encoded, before.encoded);

    retire(&place.path, old.id()).unwrap();
    assert_eq!(place.signs_with(), [new.clone(), post_quantum.clone()]);
    let after = place.identity();
    assert_eq!(after.configuration.signature_public_key, new.to_string().into_bytes());
    assert_eq!((&after.origin, after.id()), (&before.origin, before.id()));
    let without_key = |identity: &Identity| Configuration {
        signature_public_key: Vec::new(),
        ..identity.configuration.clone()
    };
    assert_eq!(without_key(&after), without_key(&before));
    // The database is still the log's.
    drop(DataDir::open(&place.path, &service_families()).unwrap());
    let left: Vec<String> = fs::read_dir(&place.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("log-") && name.ends_with(".key") || name == LOG_KEY)
        .collect();
    assert_eq!(left.len(), 2);
    assert!(!place.path.join(LOG_KEY).exists());

    assert!(matches!(retire(&place.path, new.id()), Err(KeysError::LastEd25519)));
    assert!(matches!(retire(&place.path, old.id()), Err(KeysError::Unknown(id)) if id == old.id()));
    retire(&place.path, post_quantum.id()).unwrap();
    assert_eq!(place.signs_with(), [new]);
}

#[test]
fn retiring_that_was_cut_off_is_done_again() {
    let mut place = Place::new("log.example", CipherSuite::Tlog);
    let old = place.identity().log_vkeys[0].clone();
    let new = place.add(Kind::Ed25519).unwrap();
    let kept = fs::read(place.path.join(LOG_KEY)).unwrap();
    retire(&place.path, old.id()).unwrap();
    // As if it had been cut off before the file was removed.
    data_dir::Place::from(&place.path).write_key(LOG_KEY, &Secret::new([0; 32])).unwrap();
    fs::write(place.path.join(LOG_KEY), kept).unwrap();
    assert_eq!(place.signs_with(), [new.clone(), old.clone()]);
    retire(&place.path, old.id()).unwrap();
    assert_eq!(place.signs_with(), [new]);
}

#[test]
fn what_a_log_cannot_have_is_refused_and_changes_nothing() {
    let mut draft = Place::new("log.example", CipherSuite::Draft);
    for kind in [Kind::Ed25519, Kind::MlDsa44] {
        assert!(matches!(draft.add(kind), Err(KeysError::Suite)));
    }
    let id = draft.identity().log_vkeys[0].id();
    assert!(matches!(retire(&draft.path, id), Err(KeysError::Suite)));

    let mut long = Place::new(&"l".repeat(213), CipherSuite::Tlog);
    assert!(matches!(long.add(Kind::MlDsa44), Err(KeysError::OriginTooLong)));
    long.add(Kind::Ed25519).unwrap();
    let mut fits = Place::new(&"l".repeat(211), CipherSuite::Tlog);
    assert_eq!(fits.identity().origin.len(), 255);
    fits.add(Kind::MlDsa44).unwrap();
    fits.signs_with();

    for _ in 2..MAX_KEYS {
        fits.add(Kind::Ed25519).unwrap();
    }
    assert!(matches!(fits.add(Kind::Ed25519), Err(KeysError::TooMany)));
    assert_eq!(fits.signs_with().len(), MAX_KEYS);

    // A second key under suite 0x0002, put there by hand.
    fs::copy(fits.path.join(LOG_KEY), draft.path.join("log-ed25519-00000000.key")).unwrap();
    let refused = read_identity(&draft.path);
    assert!(matches!(refused, Err(DataError::Mismatch { error: Mismatch::LogKeys, .. })));
}
