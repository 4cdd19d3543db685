//! Backups of an identity, and homes that are restored from them.

use keyglass_account::{author::Draft, record::AccountRecord};
use keyglass_client_verify::{
    state::{Home, OwnAccount, OwnIdentity},
    verdict::Verdict,
};
use keyglass_crypto::{secret::Secret, sign::SigningKey};
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{BOB, published},
    server::Server,
};

fn account(person: &Person) -> OwnAccount {
    Home::open(&person.home(), &TestLog::origin()).unwrap().account("bob").unwrap().unwrap()
}

fn phrase(person: &Person, text: &str) -> String {
    let path = person.path("phrase");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Bob, who has met Alice, and his backup.
fn backed_up(server: &Server) -> (Person, Person, String) {
    let (alice, bob) = (Person::new(server), Person::new(server));
    alice.done(&["register", "alice"]);
    bob.done(&["register", "bob"]);
    bob.done(&["lookup", "alice"]);
    let file = bob.path("backup").to_str().unwrap().to_owned();
    let made = bob.done(&["backup", &file, "--passphrase-file", &phrase(&bob, "correct horse\n")]);
    assert_eq!(made["contacts"], 1);
    (alice, bob, file)
}

fn restore(person: &Person, file: &str, text: &str, more: &[&str]) -> (Verdict, Value) {
    let phrase = phrase(person, text);
    let mut line = vec!["restore", file, "--passphrase-file", &phrase];
    line.extend_from_slice(more);
    person.json(&line)
}

#[test]
fn a_restored_home_is_a_new_device_of_the_account() {
    let server = Server::start();
    let (alice, bob, file) = backed_up(&server);
    let fresh = Person::new(&server);
    let (verdict, done) = restore(&fresh, &file, "correct horse", &["--remove-device", "1"]);
    assert_eq!(verdict, Verdict::Verified, "{done}");
    assert_eq!(
        (&done["devices"], &done["other_devices"], &done["contacts"]),
        (&json!([2]), &json!([]), &json!(1))
    );
    assert_eq!(account(&fresh).identity_key(), account(&bob).identity_key());
    let record = AccountRecord::decode(server.world().log.value(BOB, 1)).unwrap();
    assert_eq!(record.devices.iter().map(|device| device.id).collect::<Vec<_>>(), [2]);
    fresh.done(&["monitor"]);
    alice.done(&["send", "bob", "welcome back"]);
    assert!(fresh.run(&["receive"]).stdout.contains("welcome back"));
    // Nothing is restored over it.
    assert_eq!(restore(&fresh, &file, "correct horse", &[]).1["reason"], "account_exists");
    assert_eq!(restore(&bob, &file, "correct horse", &[]).1["reason"], "account_exists");
}

/// Somebody took Alice's place between the backup and its restore: the restored home knows whom it had met.
#[test]
fn first_seen_identities_come_back_with_it() {
    let server = Server::start();
    let (alice, _bob, file) = backed_up(&server);
    alice.done(&["rotate"]);
    let fresh = Person::new(&server);
    assert_eq!(restore(&fresh, &file, "correct horse", &[]).0, Verdict::Verified);
    let (verdict, told) = fresh.json(&["lookup", "alice"]);
    assert_eq!(verdict, Verdict::Changed, "{told}");
}

#[test]
fn a_wrong_passphrase_and_every_damage_are_refused() {
    let server = Server::start();
    let (_alice, bob, file) = backed_up(&server);
    let fresh = Person::new(&server);
    let (verdict, told) = restore(&fresh, &file, "wrong horse", &[]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Rejected, &json!("wrong_passphrase_or_damaged")));
    assert_eq!(restore(&fresh, &file, "", &[]).0, Verdict::Usage);
    let whole = std::fs::read(&file).unwrap();
    let damaged = fresh.path("damaged");
    // Every length of the head, where nothing is derived from the passphrase, and some of the sealed part.
    let head = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(3).unwrap().0;
    let lengths = (0..=head).step_by(7).chain((head..whole.len()).step_by(whole.len() / 8));
    for length in lengths {
        std::fs::write(&damaged, &whole[..length]).unwrap();
        let (verdict, _) = restore(&fresh, damaged.to_str().unwrap(), "correct horse", &[]);
        assert_eq!(verdict, Verdict::Rejected, "cut off at {length}");
    }
    let contacts = whole.len() - 100;
    for place in [0, 25, 40, 60, 120, head + 1, head + 100, contacts, whole.len() - 2] {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        std::fs::write(&damaged, &flipped).unwrap();
        let (verdict, _) = restore(&fresh, damaged.to_str().unwrap(), "correct horse", &[]);
        assert_eq!(verdict, Verdict::Rejected, "byte {place}");
    }
    assert!(Home::open(&fresh.home(), &TestLog::origin()).unwrap().accounts().unwrap().is_empty());
    // A backup does not replace a file.
    let (verdict, _) = bob.json(&["backup", &file, "--passphrase-file", &phrase(&bob, "x")]);
    assert_eq!(verdict, Verdict::Usage);
    assert_eq!(std::fs::read(&file).unwrap(), whole);
}

#[test]
fn a_backup_of_an_identity_that_was_replaced_restores_nothing() {
    let server = Server::start();
    let (_alice, bob, file) = backed_up(&server);
    bob.done(&["rotate"]);
    let fresh = Person::new(&server);
    let (verdict, told) = restore(&fresh, &file, "correct horse", &[]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Unexpected, &json!("another_identity")));
    assert!(Home::open(&fresh.home(), &TestLog::origin()).unwrap().accounts().unwrap().is_empty());
}

#[test]
fn an_account_with_a_long_history_is_backed_up_and_restored() {
    let server = Server::start();
    let bob = Person::new(&server);
    bob.done(&["register", "bob"]);
    // Fifty rotations, of which the record carries every link.
    let home = Home::open(&bob.home(), &TestLog::origin()).unwrap();
    let mut account = home.account("bob").unwrap().unwrap();
    let mut key = account.identity.signing_key().unwrap();
    for version in 1..=50_u8 {
        let before = published(&server.world(), u32::from(version) - 1);
        let (origin, next) = (TestLog::origin(), SigningKey::from_seed(&[100 + version; 32]));
        let draft = Draft::after(&origin, BOB, &before, u32::from(version));
        account.record = draft.sign_rotation(&key, &next).unwrap().encode();
        server.world().log.append(&[(BOB, account.record.clone())]);
        key = next;
    }
    account.identity = OwnIdentity::Held(Secret::new([150; 32]));
    account.published = Some(50);
    home.store_account(&account).unwrap();
    drop(home);
    assert!(account.record.len() > 10_000);
    let file = bob.path("backup").to_str().unwrap().to_owned();
    bob.done(&["backup", &file, "--passphrase-file", &phrase(&bob, "correct horse")]);
    let fresh = Person::new(&server);
    assert_eq!(restore(&fresh, &file, "correct horse", &[]).0, Verdict::Verified);
}
