//! The home as a whole, and what a crash between any two steps leaves of it.

use std::{fs, path::Path};

use keyglass_account::device::Suite;
use keyglass_crypto::{dh::DhSecretKey, secret::Secret, sign::SigningKey};
use keyglass_keytrans::client::UserState;

use super::*;
use crate::{
    proven::{ProvenBundle, ProvenDevice},
    x3dh::{self, Accepted, HandshakeRandomness, InitialMessage, OneTimeId, OwnDevice, Party},
};

const ORIGIN: &str = "log.example/origin";

fn secret(byte: u8) -> Secret<32> {
    Secret::new([byte; 32])
}

fn account() -> OwnAccount {
    let mut device = OwnDeviceState::new(1, secret(2), secret(3));
    device.signed_prekeys.push(SignedPreKeyState {
        id: 7,
        secret: secret(4),
        created: 10,
        expires: 1000,
        signed: vec![1, 2, 3],
        uploaded: true,
    });
    device.batches.push(BatchState {
        number: 2,
        expires: 1000,
        signed: vec![4, 5],
        uploaded: false,
        keys: vec![
            OneTimeState { id: 9, secret: Some(secret(5)), used_by: None },
            OneTimeState { id: 10, secret: Some(secret(6)), used_by: None },
        ],
    });
    OwnAccount::new(
        ORIGIN.into(),
        "bob".into(),
        OwnIdentity::Held(secret(1)),
        b"record".to_vec(),
        vec![device],
    )
}

/// A message from Alice to the device of [`account`] and what proves its sender.
fn message() -> (ProvenDevice, InitialMessage) {
    message_with(true)
}

fn message_with(one_time: bool) -> (ProvenDevice, InitialMessage) {
    let bob = account();
    let responder = ProvenDevice::for_tests(ORIGIN, bob.party(&bob.devices[0]), vec![Suite::X3DH]);
    let alice = DhSecretKey::from_bytes(&[50; 32]);
    let key = SigningKey::from_seed(&[51; 32]).verifying_key();
    let party = Party {
        label: b"alice".to_vec(),
        identity_key: key,
        device_id: 1,
        signing_key: key,
        dh_key: alice.public_key(),
    };
    let key_9 = (OneTimeId { batch: 2, id: 9 }, DhSecretKey::from_bytes(&[5; 32]).public_key());
    let signed = (7, DhSecretKey::from_bytes(&[4; 32]).public_key());
    let bundle = ProvenBundle::for_tests(responder, Suite::X3DH, signed, one_time.then_some(key_9), None);
    let own = OwnDevice { party: &party, dh_secret: &alice, version: 0 };
    let randomness = HandshakeRandomness { ephemeral: secret(60), encapsulation: secret(61) };
    let sent = x3dh::initiate(own, bundle, randomness, b"hello").unwrap();
    (ProvenDevice::for_tests(ORIGIN, party, vec![Suite::X3DH]), sent.message)
}

/// Accepts as the command does: in memory first, then durable in one step, then shown.
fn accept(account: &mut OwnAccount, sender: &ProvenDevice, message: &InitialMessage) -> Option<Vec<u8>> {
    let party = account.party(&account.devices[0]);
    let device = &mut account.devices[0];
    let dh_key = device.dh_key();
    let own = OwnDevice { party: &party, dh_secret: &dh_key, version: 0 };
    match x3dh::accept(own, sender, &device.secrets(), message).unwrap() {
        Accepted::Seen(_) => None,
        Accepted::New(received) => {
            device.absorb(&received, message.prekeys().signed);
            Some(received.plaintext.to_vec())
        }
    }
}

fn home(root: &Path) -> Home {
    Home::open(root, ORIGIN).unwrap()
}

#[test]
fn everything_is_read_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let (sender, message) = message();
    let mut account = account();
    accept(&mut account, &sender, &message).unwrap();
    let document = LogDocument::new(ORIGIN.into(), &UserState::default()).unwrap();
    {
        let home = home(root.path());
        assert!(home.account("bob").unwrap().is_none());
        assert!(home.log().unwrap().is_none());
        home.store_account(&account).unwrap();
        home.store_log(&document).unwrap();
    }
    let home = home(root.path());
    assert_eq!(home.log().unwrap().unwrap().user_state().unwrap(), UserState::default());
    let read = home.account("bob").unwrap().unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&account).unwrap());
    assert_eq!(home.accounts().unwrap().len(), 1);
    let session = read.devices[0].sessions[0].to_session().unwrap();
    assert_eq!(session.peer.label, b"alice");
    assert_eq!(Some(session.handshake.0), read.devices[0].batches[0].keys[0].used_by);
    let bytes = account.encode().unwrap();
    assert_eq!(OwnAccount::decode(&bytes).unwrap().encode().unwrap(), bytes);
}

#[test]
fn a_used_one_time_secret_leaves_the_file_when_its_session_enters() {
    let root = tempfile::tempdir().unwrap();
    let home = home(root.path());
    let mut account = account();
    home.store_account(&account).unwrap();
    let needle = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode([5; 32])
    };
    let text = |root: &Path| {
        let directory = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
        let file = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_file()).unwrap();
        fs::read_to_string(file).unwrap()
    };
    assert!(text(root.path()).contains(&needle));
    let (sender, message) = message();
    assert_eq!(accept(&mut account, &sender, &message).unwrap(), b"hello");
    home.store_account(&account).unwrap();
    let text = text(root.path());
    assert!(!text.contains(&needle));
    assert!(text.contains("root_key"));
}

/// A crash at any step of the write: afterwards the message is either still to be accepted, with its one-time secret
/// there, or was accepted for good, with its session there and the secret gone. Redelivery ends in one acceptance.
#[test]
fn a_crash_while_accepting_loses_and_repeats_nothing() {
    for crash in [
        None,
        Some(file::Step::Created),
        Some(file::Step::Written),
        Some(file::Step::Synced),
        Some(file::Step::Renamed),
    ] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("account.json");
        let (sender, message) = message();
        document::store(&path, &account()).unwrap();

        let mut first: OwnAccount = document::load(&path).unwrap().unwrap();
        assert!(accept(&mut first, &sender, &message).is_some());
        let bytes = serde_json::to_vec(&first).unwrap();
        let written = file::replace_observed(&path, &bytes, |step| {
            if Some(step) == crash { Err(std::io::Error::other("power cut")) } else { Ok(()) }
        });
        assert_eq!(written.is_ok(), crash.is_none());

        let mut second: OwnAccount = document::load(&path).unwrap().unwrap();
        let secret_is_there = second.devices[0].batches[0].keys[0].secret.is_some();
        let session_is_there = !second.devices[0].sessions.is_empty();
        assert_ne!(secret_is_there, session_is_there, "after {crash:?}");
        let shown_again = accept(&mut second, &sender, &message).is_some();
        assert_eq!(shown_again, secret_is_there, "after {crash:?}");
        document::store(&path, &second).unwrap();

        let mut third: OwnAccount = document::load(&path).unwrap().unwrap();
        assert!(accept(&mut third, &sender, &message).is_none());
        assert_eq!(third.devices[0].sessions.len(), 1);
    }
}

#[test]
fn handshakes_are_forgotten_with_their_signed_prekey_only() {
    let mut account = account();
    let (sender, message) = message_with(false);
    accept(&mut account, &sender, &message).unwrap();
    account.devices[0].erase_expired(1_999, 1000);
    assert_eq!(account.devices[0].seen.len(), 1);
    account.devices[0].erase_expired(2_000, 1000);
    assert!(account.devices[0].seen.is_empty());
    assert!(account.devices[0].signed_prekeys.is_empty());
    // What is forgotten cannot be accepted again.
    let party = account.party(&account.devices[0]);
    let dh_key = account.devices[0].dh_key();
    let own = OwnDevice { party: &party, dh_secret: &dh_key, version: 0 };
    let error = x3dh::accept(own, &sender, &account.devices[0].secrets(), &message).unwrap_err();
    assert_eq!(error, x3dh::AcceptError::SignedPreKeyUnknown(7));
}

#[test]
fn a_handshake_with_a_one_time_prekey_is_remembered_with_its_batch() {
    let mut account = account();
    let (sender, message) = message();
    account.devices[0].batches[0].expires = 5000;
    accept(&mut account, &sender, &message).unwrap();
    assert!(account.devices[0].seen.is_empty());
    account.devices[0].erase_expired(5_999, 1000);
    assert!(account.devices[0].signed_prekeys.is_empty());
    assert!(
        accept(&mut account, &sender, &message).is_none(),
        "it is known although its signed prekey is gone"
    );
    account.devices[0].erase_expired(6_000, 1000);
    let secrets = account.devices[0].secrets();
    assert!(x3dh::Memory::signed_prekey(&secrets, 7).is_none(), "and cannot be accepted again afterwards");
}

/// At the bound the oldest signed prekey goes with its handshakes, so that nothing that is forgotten can be replayed; the
/// newest never goes.
#[test]
fn the_memory_of_handshakes_is_bounded_and_forgets_nothing_that_could_be_replayed() {
    let mut account = account();
    let device = &mut account.devices[0];
    let filled = |prekey: u32, count: usize| {
        (0..count).map(move |n| {
            let mut handshake = [0; 32];
            handshake[..8].copy_from_slice(&n.to_be_bytes());
            SeenHandshake { handshake, signed_prekey: prekey }
        })
    };
    device.seen = filled(7, MAX_SEEN - 1).collect();
    assert!(device.make_room());
    device.seen = filled(7, MAX_SEEN).collect();
    assert!(!device.make_room(), "the newest signed prekey is all there is");
    assert_eq!((device.seen.len(), device.signed_prekeys.len()), (MAX_SEEN, 1));

    let newer = SignedPreKeyState {
        id: 8,
        secret: secret(9),
        created: 10,
        expires: 1000,
        signed: vec![],
        uploaded: true,
    };
    device.add_signed_prekey(newer);
    device.seen[0].signed_prekey = 8;
    assert!(device.make_room());
    assert_eq!(device.seen.len(), 1, "those of the prekey that is gone are forgotten, the other is not");
    assert_eq!(device.signed_prekeys.iter().map(|key| key.id).collect::<Vec<_>>(), [8]);
}

#[test]
fn live_one_time_prekeys_are_counted() {
    let mut account = account();
    assert_eq!(account.devices[0].live_one_time(10), 2);
    let (sender, message) = message();
    accept(&mut account, &sender, &message).unwrap();
    assert_eq!(account.devices[0].live_one_time(10), 1);
    assert_eq!(account.devices[0].live_one_time(1000), 0);
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.txt"), "x").unwrap();
    let error = Home::open(root.path(), ORIGIN).unwrap_err();
    assert!(matches!(error, StateError::Foreign { .. }));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_home_of_another_format_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(home(root.path()));
    fs::write(root.path().join("keyglass-home"), "keyglass home 2\n").unwrap();
    assert!(matches!(Home::open(root.path(), ORIGIN), Err(StateError::Foreign { .. })));
}

#[test]
fn logs_do_not_share_anything() {
    let root = tempfile::tempdir().unwrap();
    home(root.path()).store_account(&account()).unwrap();
    let other = Home::open(root.path(), "log.example/other").unwrap();
    assert!(other.account("bob").unwrap().is_none());
    assert!(other.accounts().unwrap().is_empty());
}

#[test]
fn a_file_in_the_wrong_place_is_refused() {
    let root = tempfile::tempdir().unwrap();
    home(root.path()).store_account(&account()).unwrap();
    let directory =
        fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
    let file = fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_file()).unwrap();
    fs::rename(&file, directory.join("account-00.json")).unwrap();
    assert!(matches!(home(root.path()).accounts(), Err(StateError::Misplaced { .. })));
    let other = Home::open(root.path(), "log.example/other");
    drop(other);
}

#[test]
fn only_the_owner_can_read_a_home() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("home");
    home(&inner).store_account(&account()).unwrap();
    let mut found = 0;
    let mut pending = vec![inner];
    while let Some(path) = pending.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            pending.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 3);
}

#[test]
fn evidence_is_kept_under_a_name_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let home = home(root.path());
    let a = home.keep_evidence(b"a").unwrap();
    let b = home.keep_evidence(b"b").unwrap();
    assert_ne!(a, b);
    assert_eq!(fs::read(a).unwrap(), b"a");
    // However much somebody sends, it does not fill the disk.
    for n in 0..100_u8 {
        let path = home.keep_evidence(&[n]).unwrap();
        assert!(path.is_file());
    }
    assert_eq!(home.evidence().unwrap().len(), 64);
    assert_eq!(home.keep_evidence(b"b").unwrap(), b);
}

#[test]
fn whoever_comes_while_a_home_is_being_made_finds_it_busy_and_not_foreign() {
    for _ in 0..50 {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("home");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let opened = Home::open(&path, ORIGIN);
                    assert!(matches!(opened, Ok(_) | Err(StateError::Lock(_))), "{opened:?}");
                });
            }
        });
        Home::open(&path, ORIGIN).unwrap();
    }
}
