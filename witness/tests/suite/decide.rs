use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignedNote},
    rfc6962::{ProofError, empty_root},
    time::UnixSeconds,
    witness::AddCheckpoint,
};
use keyglass_witness::{
    decide::{Refusal, authenticate, decide},
    head::Head,
};

use crate::log::{Log, ORIGIN, request};

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

/// Runs both steps, as the service does.
fn run(log: &Log, last: Option<&Head>, request: AddCheckpoint, now: UnixSeconds) -> Result<Head, Refusal> {
    decide(authenticate(request, Some(std::slice::from_ref(log.vkey())))?, last, now)
}

fn refused(last: Option<&Head>, request: AddCheckpoint) -> (u16, Refusal) {
    let refusal = run(&Log::new(ORIGIN), last, request, NOW).unwrap_err();
    assert!(!refusal.sentence().is_empty() && !refusal.slug().is_empty());
    (refusal.status(), refusal)
}

fn head(log: &Log, size: u64) -> Head {
    run(log, None, log.request(0, size), NOW).unwrap()
}

fn signed(log: &Log, checkpoint: &Checkpoint) -> SignedNote {
    SignedNote::new(&checkpoint.text(), vec![log.sign(checkpoint)]).unwrap()
}

#[test]
fn trees_grow() {
    let log = Log::new(ORIGIN);
    let mut last = None;
    for size in [0, 0, 1, 1, 2, 7, 8, 8, 300] {
        let old = last.as_ref().map_or(0, |head: &Head| head.checkpoint().tree_size());
        let next = run(&log, last.as_ref(), log.request(old, size), NOW).unwrap();
        assert_eq!(next.checkpoint(), &log.checkpoint(size));
        assert_eq!((next.note(), next.time()), (&log.note(size), NOW));
        last = Some(next);
    }
}

#[test]
fn time_never_goes_back() {
    let log = Log::new(ORIGIN);
    let last = head(&log, 5);
    let at = |now| run(&log, Some(&last), log.request(5, 6), UnixSeconds(now)).unwrap().time();
    assert_eq!(at(NOW.0 + 1), UnixSeconds(NOW.0 + 1));
    assert_eq!(at(NOW.0 - 100), NOW);
    assert_eq!(at(0), NOW);
}

#[test]
fn an_unknown_origin_comes_before_everything() {
    let log = Log::new(ORIGIN);
    let checkpoint = log.checkpoint(5);
    let stranger = Log::new("other.example");
    for note in [log.note(5), signed(&stranger, &checkpoint)] {
        let request = request(9, vec![[0; 32]], note);
        assert_eq!(authenticate(request.clone(), None).unwrap_err(), Refusal::UnknownOrigin);
        assert_eq!(authenticate(request, Some(&[])).unwrap_err().status(), 404);
    }
}

#[test]
fn the_log_must_have_signed() {
    let log = Log::new(ORIGIN);
    let (checkpoint, stranger) = (log.checkpoint(5), Log::new("other.example"));
    let with = |lines| request(9, Vec::new(), SignedNote::new(&checkpoint.text(), lines).unwrap());
    // Before the sizes are looked at, which are wrong as well.
    assert_eq!(refused(None, with(vec![stranger.sign(&checkpoint)])), (403, Refusal::NotSigned));
    let other_key = NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[1; 32]));
    let line = other_key.sign(&checkpoint.text());
    assert_eq!(refused(None, with(vec![line.clone()])), (403, Refusal::NotSigned));
    let of_another = log.sign(&log.checkpoint(6));
    assert_eq!(refused(None, with(vec![of_another.clone()])), (403, Refusal::BadSignature));
    assert_eq!(
        refused(None, with(vec![log.sign(&checkpoint), of_another.clone()])),
        (403, Refusal::BadSignature)
    );
    assert_eq!(refused(None, with(vec![of_another, log.sign(&checkpoint)])), (403, Refusal::BadSignature));
    // A cosignature is not the log's signature, even under the log's own name and key.
    let cosigner = Cosigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[1; 32]));
    let line = cosigner.cosign(&checkpoint, NOW).unwrap();
    assert_eq!(refused(None, with(vec![line])), (403, Refusal::NotSigned));
}

#[test]
fn lines_that_nobody_verified_are_not_kept() {
    let log = Log::new(ORIGIN);
    let checkpoint = log.checkpoint(5);
    let stranger = Log::new("other.example").sign(&log.checkpoint(6));
    let lines = vec![stranger, log.sign(&checkpoint), log.sign(&checkpoint)];
    let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
    let kept = run(&log, None, request(0, Vec::new(), note), NOW).unwrap();
    assert_eq!(kept.note(), &log.note(5));
}

#[test]
fn one_origin_may_have_two_keys() {
    let log = Log::new(ORIGIN);
    let second = NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[2; 32]));
    let keys = [log.vkey().clone(), second.vkey().clone()];
    let checkpoint = log.checkpoint(5);
    let run = |lines| {
        let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
        decide(authenticate(request(0, Vec::new(), note), Some(&keys))?, None, NOW)
    };
    let (first, second_line) = (log.sign(&checkpoint), second.sign(&checkpoint.text()));
    assert!(run(vec![first.clone()]).is_ok() && run(vec![second_line.clone()]).is_ok());
    let both = run(vec![second_line.clone(), first.clone()]).unwrap();
    assert_eq!(both.note().signatures(), [second_line, first.clone()]);
    let bad = second.sign(&log.checkpoint(6).text());
    assert_eq!(run(vec![first, bad]).unwrap_err(), Refusal::BadSignature);
}

#[test]
fn sizes_come_before_proofs() {
    let log = Log::new(ORIGIN);
    let last = head(&log, 7);
    let junk = || vec![[9; 32]];
    assert_eq!(refused(Some(&last), request(9, junk(), log.note(8))), (400, Refusal::OldSizeTooLarge));
    assert_eq!(refused(None, request(1, junk(), log.note(0))), (400, Refusal::OldSizeTooLarge));
    for old in [0, 6, 8] {
        let conflict = Refusal::Conflict { latest: 7 };
        assert_eq!(refused(Some(&last), request(old, junk(), log.note(8))), (409, conflict));
    }
    // First contact is no exception.
    assert_eq!(refused(None, log.request(3, 8)), (409, Refusal::Conflict { latest: 0 }));
    // Nor does a smaller tree get past: its old size cannot be the stored one.
    assert_eq!(refused(Some(&last), log.request(0, 3)), (409, Refusal::Conflict { latest: 7 }));
    assert_eq!(refused(Some(&last), request(7, Vec::new(), log.note(3))), (400, Refusal::OldSizeTooLarge));
    // A conflict comes before a wrong empty root.
    let bad_empty = signed(&log, &Checkpoint::new(ORIGIN, 0, [0; 32]).unwrap());
    assert_eq!(
        refused(Some(&last), request(0, Vec::new(), bad_empty.clone())),
        (409, Refusal::Conflict { latest: 7 })
    );
    assert_eq!(refused(None, request(0, Vec::new(), bad_empty)), (422, Refusal::WrongEmptyRoot));
}

#[test]
fn proofs_must_be_exact() {
    let (log, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 3, 1));
    let last = head(&log, 7);
    let mut long = log.proof(7, 12);
    long.push([0; 32]);
    let length = |found, expected| Refusal::BadProof(ProofError::WrongLength { expected, found });
    assert_eq!(refused(Some(&last), request(7, long.clone(), log.note(12))), (422, length(6, 5)));
    assert_eq!(refused(Some(&last), request(7, long[..4].to_vec(), log.note(12))), (422, length(4, 5)));
    assert_eq!(refused(Some(&last), request(7, Vec::new(), log.note(12))), (422, length(0, 5)));
    let forked = Refusal::BadProof(ProofError::OldRootMismatch);
    assert_eq!(refused(Some(&last), fork.request(7, 12)), (422, forked));
    let other = Refusal::BadProof(ProofError::RootMismatch);
    assert_eq!(
        refused(Some(&last), request(7, log.proof(7, 12), Log::forked(ORIGIN, 9, 1).note(12))),
        (422, other)
    );
    assert_eq!(refused(None, request(0, vec![[0; 32]], log.note(12))), (422, Refusal::ProofNotEmpty));
    assert_eq!(refused(None, request(0, vec![[0; 32]], log.note(0))), (422, Refusal::ProofNotEmpty));
}

#[test]
fn one_size_has_one_root() {
    let (log, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 3, 1));
    let last = head(&log, 7);
    assert_eq!(refused(Some(&last), fork.request(7, 7)), (422, Refusal::RootsDiffer));
    let extra = request(7, vec![[0; 32]], log.note(7));
    let length = Refusal::BadProof(ProofError::WrongLength { expected: 0, found: 1 });
    assert_eq!(refused(Some(&last), extra), (422, length));
    let empty = head(&log, 0);
    assert_eq!(empty.checkpoint().root(), &empty_root());
    assert!(run(&log, Some(&empty), log.request(0, 0), NOW).is_ok());
}

#[test]
fn extension_lines_are_cosigned_but_compared_by_root() {
    let log = Log::new(ORIGIN);
    let text = format!("{}extension\n", log.checkpoint(7).text());
    let checkpoint = Checkpoint::parse(&text).unwrap();
    let note = signed(&log, &checkpoint);
    let next = run(&log, Some(&head(&log, 7)), request(7, Vec::new(), note), NOW).unwrap();
    assert_eq!(next.checkpoint().extensions(), ["extension"]);
}
