use keyglass_tlog::{evidence::Evidence, policy::Policy};

use super::*;
use crate::testkit::{Branch, HONEST, ORIGIN, log, trust, witness};

fn fork(branch: u8, witnesses: &[u8]) -> Evidence {
    let other = Branch { fork_at: 0, branch }.note(5, witnesses);
    Evidence::of_notes(&HONEST.note(5, witnesses), &other).unwrap()
}

#[test]
fn what_is_kept_survives() {
    let data = tempfile::tempdir().unwrap();
    let book = Book::open(data.path(), trust(3)).unwrap();
    let kept = book.keep(fork(1, &[1])).unwrap();
    assert!(kept.new && !book.keep_text(kept.held.text().as_bytes()).unwrap().new);
    assert_eq!(book.stops(ORIGIN).unwrap().id, kept.held.id());
    drop(book);
    let book = Book::open(data.path(), trust(3)).unwrap();
    assert_eq!(book.stops(ORIGIN).unwrap().id, kept.held.id());
    assert_eq!(book.text(&kept.held.id()).unwrap().as_deref(), Some(kept.held.text()));
    assert!(book.listing(None).contains(&kept.held.id().to_string()));
    assert_eq!(book.text(&EvidenceId([7; 32])).unwrap(), None);
}

#[test]
fn what_is_resolved_stays_resolved_and_recorded() {
    let data = tempfile::tempdir().unwrap();
    let own = *HONEST.head(5).tree();
    let book = Book::open(data.path(), trust(3)).unwrap();
    assert!(matches!(book.resolve(ORIGIN, Some(&own), "{}"), Err(NotResolved::NothingHeld)));
    book.keep(fork(1, &[])).unwrap();
    assert_eq!(book.resolve(ORIGIN, Some(&own), "{\"why\":1}").unwrap().len(), 1);
    assert!(book.stops(ORIGIN).is_none());
    drop(book);
    let book = Book::open(data.path(), trust(3)).unwrap();
    assert!(book.stops(ORIGIN).is_none());
    assert_eq!(book.resolutions().unwrap(), ["{\"why\":1}"]);
    // Another fork stops it again, and is resolved beside the first.
    assert!(book.keep(fork(2, &[])).unwrap().new);
    assert!(book.stops(ORIGIN).is_some());
    book.resolve(ORIGIN, Some(&own), "{\"why\":2}").unwrap();
    drop(book);
    let book = Book::open(data.path(), trust(3)).unwrap();
    assert!(book.stops(ORIGIN).is_none() && book.resolutions().unwrap().len() == 2);
}

#[test]
fn another_policy_acquits_nobody() {
    let data = tempfile::tempdir().unwrap();
    let book = Book::open(data.path(), trust(3)).unwrap();
    book.keep(fork(1, &[1, 2])).unwrap();
    let other = |witnesses: &[u8]| {
        let lines: String =
            witnesses.iter().map(|i| format!("witness w{i} {}\n", witness(*i).vkey())).collect();
        let text = format!("log {}\n{lines}quorum none\n", log().vkey());
        Trust::of_policy(&Policy::parse(text.as_bytes()).unwrap())
    };
    for witnesses in [&[2, 1][..], &[1], &[], &[0, 1, 2, 3]] {
        book.replace_trust(other(witnesses)).unwrap();
        let id = book.stops(ORIGIN).unwrap().id;
        assert!(book.text(&id).unwrap().is_some() && book.holdings().len() == 1, "{witnesses:?}");
    }
    // The witnesses that are not in it now are not forgotten.
    book.replace_trust(other(&[])).unwrap();
    assert!(book.stops(ORIGIN).unwrap().faulty.is_empty());
    drop(book);
    let book = Book::open(data.path(), trust(3)).unwrap();
    assert_eq!(book.stops(ORIGIN).unwrap().faulty.len(), 2);
    // A log that has left the policy is nobody's business, and is convicted when it comes back.
    book.replace_trust(Trust::default()).unwrap();
    assert!(book.stops(ORIGIN).is_none() && book.listing(None).lines().count() == 1);
    book.replace_trust(trust(3)).unwrap();
    assert!(book.stops(ORIGIN).is_some());
}

#[test]
fn a_damaged_file_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let book = Book::open(data.path(), trust(3)).unwrap();
    let kept = book.keep(fork(1, &[])).unwrap();
    assert!(matches!(Book::open(data.path(), trust(3)), Err(StoreError::Failed { .. })), "it is open");
    drop(book);
    let path = data.path().join(crate::store::FILE);
    let sound = std::fs::read(&path).unwrap();
    let text = kept.held.text().as_bytes();
    let at = sound.windows(text.len()).position(|window| window == text).unwrap();
    let mut damaged = sound.clone();
    damaged[at + 30] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(Book::open(data.path(), trust(3)).is_err());
    std::fs::write(&path, b"something else").unwrap();
    assert!(Book::open(data.path(), trust(3)).is_err());
    std::fs::write(&path, sound).unwrap();
    assert!(Book::open(data.path(), trust(3)).unwrap().stops(ORIGIN).is_some());
}
