//! What is refused, and why.

use keyglass_service::private_file::PrivateFileError;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    init::{Choices, new_log},
    server::service_families,
};

#[test]
fn data_directories_that_are_not_sound_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = new_log(&choices(), &mut StdRng::seed_from_u64(11)).unwrap();
    DataDir::create(&path, &log.identity, &service_families()).unwrap();
    let open = |path: &Path| DataDir::open(path, &service_families()).map(|_| ());
    open(&path).unwrap();
    // Something else, or nothing.
    assert!(matches!(open(directory.path()), Err(DataError::Foreign(_))));
    assert!(matches!(open(&directory.path().join("nowhere")), Err(DataError::Foreign(_))));
    let new = new_log(&choices(), &mut StdRng::seed_from_u64(12)).unwrap();
    assert!(matches!(DataDir::create(&path, &new.identity, &[]), Err(DataError::NotEmpty(_))));

    let set_mode = |file: &str, mode| {
        std::fs::set_permissions(path.join(file), std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    };
    for key in ["log.key", "vrf.key"] {
        set_mode(key, 0o640);
        assert!(matches!(
            open(&path),
            Err(DataError::Key(KeyFileError::Private(PrivateFileError::Permissions { mode: 0o640, .. })))
        ));
        set_mode(key, 0o600);
        let kept = std::fs::read(path.join(key)).unwrap();
        std::fs::write(path.join(key), b"nonsense").unwrap();
        assert!(matches!(open(&path), Err(DataError::BadKey(_))));
        std::fs::write(path.join(key), format!("{}\n", "7".repeat(64))).unwrap();
        assert!(matches!(open(&path), Err(DataError::Mismatch { .. })));
        std::fs::write(path.join(key), kept).unwrap();
        open(&path).unwrap();
    }
    for file in ["configuration", "log-server"] {
        let kept = std::fs::read(path.join(file)).unwrap();
        let mut changed = kept.clone();
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(path.join(file), changed).unwrap();
        assert!(matches!(open(&path), Err(DataError::Mismatch { .. } | DataError::Format { .. })), "{file}");
        std::fs::write(path.join(file), kept).unwrap();
    }
    // The database of another log.
    let other = directory.path().join("other");
    DataDir::create(&other, &new.identity, &service_families()).unwrap();
    std::fs::remove_dir_all(path.join("db")).unwrap();
    std::fs::rename(other.join("db"), path.join("db")).unwrap();
    assert!(matches!(open(&path), Err(DataError::Database(_))));
}

#[test]
fn sealed_keys_need_their_passphrase_and_plain_ones_none() {
    let phrase = |text: &str| Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap();
    let (one, two) = (phrase("one"), phrase("two"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = new_log(&choices(), &mut StdRng::seed_from_u64(11)).unwrap();
    DataDir::create(&path, &log.identity, &[]).unwrap();
    let mut rng = StdRng::seed_from_u64(13);
    let added = signing_keys::add(&path, Kind::MlDsa44, &mut rng).unwrap();
    tokens::key::open(&path.join(tokens::key::FILE), None).unwrap();
    let read =
        |passphrase| read_identity(Place { path: &path, passphrase }).map(|identity| identity.log_vkeys);
    let vkeys = read(None).unwrap();
    assert!(vkeys.contains(&added));
    assert!(matches!(read(Some(&one)), Err(DataError::Key(KeyFileError::NotSealed(_)))));

    let sealed = seal_keys(&path, None, &one).unwrap();
    assert_eq!(sealed.len(), 4, "{sealed:?}");
    assert_eq!(seal_keys(&path, None, &one).unwrap(), [""; 0], "run again");
    assert_eq!(read(Some(&one)).unwrap(), vkeys);
    assert!(matches!(read(None), Err(DataError::Key(KeyFileError::NeedsPassphrase(_)))));
    let wrong = read(Some(&two));
    assert!(matches!(wrong, Err(DataError::Key(error)) if error.is_of_passphrase()));
    let token_key = path.join(tokens::key::FILE);
    assert!(
        tokens::key::open(&token_key, Some(&one)).is_ok() && tokens::key::open(&token_key, None).is_err()
    );
    // One key cannot take another's place, though both are under the same passphrase.
    let kept = std::fs::read(path.join("vrf.key")).unwrap();
    std::fs::copy(path.join("log.key"), path.join("vrf.key")).unwrap();
    assert!(matches!(read(Some(&one)), Err(DataError::Key(KeyFileError::Sealed { .. }))));
    std::fs::write(path.join("vrf.key"), kept).unwrap();

    assert_eq!(seal_keys(&path, Some(&one), &two).unwrap().len(), 4);
    let place = Place { path: &path, passphrase: Some(&two) };
    signing_keys::retire(place, added.id()).unwrap();
    assert_eq!(read(Some(&two)).unwrap().len(), 1);
    assert!(read(Some(&one)).is_err());
}

fn choices() -> Choices {
    Choices {
        prefix: "log.example/".to_owned(),
        suite: CipherSuite::Tlog,
        auditor: None,
        max_auditor_lag: 0,
        auditor_start: 0,
        max_ahead: 1,
        max_behind: 1,
        reasonable_monitoring_window: 1,
        maximum_lifetime: None,
    }
}

#[test]
fn a_new_log_names_its_configuration() {
    let make =
        |choices: &Choices| new_log(choices, &mut StdRng::seed_from_u64(3)).map(|log| log.identity.origin);
    let origin = make(&choices()).unwrap();
    let (prefix, hash) = origin.rsplit_once('/').unwrap();
    assert_eq!((prefix, hash.len()), ("log.example", 43));
    // Any other choice makes another origin.
    let slower = Choices { max_behind: 2, ..choices() };
    assert_ne!(make(&slower).unwrap(), origin);
    for bad in [
        Choices { prefix: "with space".to_owned(), ..choices() },
        Choices { max_behind: 0, ..choices() },
        Choices { maximum_lifetime: Some(1), ..choices() },
    ] {
        assert!(make(&bad).is_err());
    }
}
