use proptest::prelude::*;

use super::*;
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{NoteError, NoteSigner},
    testkit::{self, Branch, HONEST},
};

pub(super) const FORK: Branch = Branch { fork_at: 5, branch: 1 };

fn policy() -> Policy {
    let text = testkit::policy_text(3, "group q 2 w0 w1 w2\nquorum q\n");
    Policy::parse(text.as_bytes()).unwrap()
}

pub(super) fn same_size() -> Evidence {
    Evidence::SameSize { a: HONEST.note(9, &[0, 2]), b: FORK.note(9, &[1, 2]) }
}

pub(super) fn inconsistent() -> Evidence {
    let (a, b) = (HONEST.note(7, &[0, 1]), FORK.note(12, &[1, 2]));
    Evidence::Inconsistent { a, b, root: FORK.root(7), proof: FORK.consistency(7, 12) }
}

pub(super) fn empty_tree() -> Evidence {
    Evidence::EmptyTree { a: testkit::note(&Checkpoint::new(testkit::ORIGIN, 0, [0; 32]).unwrap(), &[1]) }
}

fn verify(evidence: &Evidence) -> Result<Conviction, EvidenceError> {
    evidence.verify(&[testkit::log().vkey()], Some(&policy()))
}

#[test]
fn each_kind_convicts_the_log_and_its_helpers() {
    for (evidence, sizes, witness) in
        [(same_size(), (9, 9), "w2"), (inconsistent(), (7, 12), "w1"), (empty_tree(), (0, 0), "w1")]
    {
        let conviction = verify(&evidence).unwrap();
        assert_eq!(conviction.origin(), testkit::ORIGIN);
        assert_eq!(conviction.sizes(), sizes);
        assert_eq!(conviction.faulty_witnesses(), [Name::from(witness)]);
        let text = evidence.to_string();
        assert_eq!(Evidence::parse(text.as_bytes()), Ok(evidence.clone()));
        let nobody = evidence.verify(&[testkit::log().vkey()], None).unwrap();
        assert!(nobody.faulty_witnesses().is_empty());
    }
}

#[test]
fn notes_give_evidence_by_themselves() {
    let (honest, fork) = (HONEST.note(9, &[]), FORK.note(9, &[]));
    assert_eq!(
        Evidence::of_notes(&honest, &fork),
        Some(Evidence::SameSize { a: honest.clone(), b: fork.clone() })
    );
    assert_eq!(Evidence::of_notes(&honest, empty_tree().a()), Some(empty_tree()));
    assert_eq!(Evidence::of_notes(&honest, &honest), None);
    assert_eq!(Evidence::of_notes(&honest, &FORK.note(10, &[])), None);
    assert_eq!(Evidence::of_notes(&HONEST.note(5, &[]), &FORK.note(5, &[])), None);
}

#[test]
fn an_honest_log_is_never_convicted() {
    let empty = testkit::note(&Checkpoint::new(testkit::ORIGIN, 0, empty_root()).unwrap(), &[]);
    let (a, b) = (HONEST.note(7, &[]), HONEST.note(12, &[]));
    let inconsistent = |a: &SignedNote, root| {
        let proof = HONEST.consistency(7, 12);
        Evidence::Inconsistent { a: a.clone(), b: b.clone(), root, proof }
    };
    for evidence in [
        Evidence::EmptyTree { a: empty.clone() },
        Evidence::EmptyTree { a: a.clone() },
        Evidence::SameSize { a: a.clone(), b: a.clone() },
        Evidence::SameSize { a: a.clone(), b: b.clone() },
        inconsistent(&a, HONEST.root(7)),
        Evidence::Inconsistent { a: empty, b: b.clone(), root: [0; 32], proof: Vec::new() },
        Evidence::Inconsistent { a: a.clone(), b: a.clone(), root: [0; 32], proof: Vec::new() },
        Evidence::Inconsistent { a: b.clone(), b: a.clone(), root: [0; 32], proof: Vec::new() },
    ] {
        assert_eq!(verify(&evidence), Err(EvidenceError::NoContradiction), "{evidence}");
    }
    // Another root at that size is hearsay: the proof does not lead to it.
    assert_eq!(
        verify(&inconsistent(&a, FORK.root(7))),
        Err(EvidenceError::BadProof(ProofError::OldRootMismatch))
    );
}

#[test]
fn only_the_log_convicts_itself() {
    let stranger = NoteSigner::new(
        testkit::name(testkit::ORIGIN),
        keyglass_crypto::sign::SigningKey::from_seed(&[9; 32]),
    );
    let forged = |size| {
        let text = FORK.checkpoint(size).text();
        SignedNote::new(&text, vec![stranger.sign(&text)]).unwrap()
    };
    let evidence = Evidence::SameSize { a: HONEST.note(9, &[]), b: forged(9) };
    assert_eq!(verify(&evidence), Err(EvidenceError::NotSigned(Side::B)));
    let evidence = Evidence::SameSize { a: forged(9), b: HONEST.note(9, &[]) };
    assert_eq!(verify(&evidence), Err(EvidenceError::NotSigned(Side::A)));
    // Either key of one log convicts it; a key of another name does not.
    let evidence = Evidence::SameSize { a: HONEST.note(9, &[]), b: forged(9) };
    assert!(evidence.verify(&[stranger.vkey(), testkit::log().vkey()], None).is_ok());
    let other = NoteSigner::new(
        testkit::name("other.example"),
        keyglass_crypto::sign::SigningKey::from_seed(&[0xa0; 32]),
    );
    assert_eq!(same_size().verify(&[other.vkey()], None), Err(EvidenceError::UnknownOrigin));
    assert_eq!(same_size().verify(&[], None), Err(EvidenceError::UnknownOrigin));
    // The witness signed both sides; that does not make the log's signature.
    let cosigned_only = |branch: &Branch| {
        let checkpoint = branch.checkpoint(9);
        SignedNote::new(&checkpoint.text(), vec![testkit::cosign(&checkpoint, 1, testkit::TIME)]).unwrap()
    };
    let evidence = Evidence::SameSize { a: cosigned_only(&HONEST), b: cosigned_only(&FORK) };
    assert_eq!(verify(&evidence), Err(EvidenceError::NotSigned(Side::A)));
}

#[test]
fn origins_must_agree() {
    let other = NoteSigner::new(
        testkit::name("other.example"),
        keyglass_crypto::sign::SigningKey::from_seed(&[0xa1; 32]),
    );
    let checkpoint = Checkpoint::new("other.example", 9, [7; 32]).unwrap();
    let b = SignedNote::new(&checkpoint.text(), vec![other.sign(&checkpoint.text())]).unwrap();
    let evidence = Evidence::SameSize { a: HONEST.note(9, &[]), b };
    let keys = [testkit::log(), other];
    let keys: Vec<&Vkey> = keys.iter().map(NoteSigner::vkey).collect();
    assert_eq!(evidence.verify(&keys, None), Err(EvidenceError::OriginsDiffer));
}

#[test]
fn a_bad_line_beside_a_good_one_takes_nothing_back() {
    let good = HONEST.note(9, &[2]);
    let mut lines = good.signatures().to_vec();
    lines.extend(FORK.note(9, &[2]).signatures().iter().cloned());
    let a = SignedNote::new(good.text(), lines).unwrap();
    let conviction = verify(&Evidence::SameSize { a, b: FORK.note(9, &[2]) }).unwrap();
    assert_eq!(conviction.faulty_witnesses(), [Name::from("w2")]);
}

#[test]
fn malformed_evidence_is_told_apart() {
    let text = inconsistent().to_string();
    let with = |from: &str, to: &str| Evidence::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
    assert_eq!(with("keyglass-evidence/v1", "keyglass-evidence/v2"), EvidenceFormatError::BadHeader);
    assert_eq!(with("inconsistent", "Inconsistent"), EvidenceFormatError::UnknownKind);
    assert_eq!(with("inconsistent", "same-size"), EvidenceFormatError::BadHead);
    assert_eq!(with("inconsistent", "empty-tree"), EvidenceFormatError::WrongNotes);
    assert_eq!(with("root ", "root  "), EvidenceFormatError::BadHash);
    assert_eq!(with("root ", ""), EvidenceFormatError::BadHead);
    assert_eq!(with("\n\n", "\n\n\n"), EvidenceFormatError::BadCheckpoint(CheckpointError::EmptyLine));
    assert_eq!(with("\u{2014} log", "- log"), EvidenceFormatError::BadNote(NoteError::BadSignatureLine(1)));
    assert_eq!(with("\n\n", "\n"), EvidenceFormatError::WrongNotes);
    assert_eq!(Evidence::parse(format!("{text}\n").as_bytes()), Err(EvidenceFormatError::WrongNotes));
    assert_eq!(Evidence::parse(format!("{text}\n{text}").as_bytes()), Err(EvidenceFormatError::WrongNotes));
    assert_eq!(Evidence::parse(b""), Err(EvidenceFormatError::BadHeader));
    assert_eq!(Evidence::parse(&[0xff]), Err(EvidenceFormatError::NotUtf8));
    assert_eq!(Evidence::parse(&vec![b'\n'; 1_000_000]), Err(EvidenceFormatError::TooLong));
    assert_eq!(Evidence::parse(&vec![b'\n'; 100_000]), Err(EvidenceFormatError::BadHeader));
    let hash = text.lines().nth(2).unwrap().strip_prefix("root ").unwrap();
    let with_hashes = |n: usize| {
        let added = n - FORK.consistency(7, 12).len();
        text.replacen(hash, &vec![hash; added + 1].join("\n"), 1)
    };
    assert!(Evidence::parse(with_hashes(65).as_bytes()).is_ok());
    assert_eq!(Evidence::parse(with_hashes(66).as_bytes()), Err(EvidenceFormatError::BadHash));
}

/// The example of the specification, with the keys that it names.
#[test]
fn the_example_of_the_specification_convicts() {
    let document = include_str!("../../../docs/evidence.md");
    let mut blocks = document.split("```\n").skip(1).step_by(2);
    let (example, policy) = (blocks.next().unwrap(), blocks.next().unwrap());
    assert_eq!(example, inconsistent().to_string());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let keys: Vec<&Vkey> = policy.log_keys(testkit::ORIGIN).collect();
    let conviction = Evidence::parse(example.as_bytes()).unwrap().verify(&keys, Some(&policy)).unwrap();
    assert_eq!(conviction.faulty_witnesses(), [Name::from("w1")]);
}

proptest! {
    #[test]
    fn a_changed_byte_convicts_nobody_else(which in 0usize..3, at: usize, bit in 0u32..8) {
        let evidence = [same_size(), inconsistent(), empty_tree()][which].clone();
        let honest = verify(&evidence).unwrap();
        let mut bytes = evidence.to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(conviction) = Evidence::parse(&bytes).map_err(|_| ()).and_then(|evidence| verify(&evidence).map_err(|_| ())) {
            // Only a witness's line, or another party's name, can have changed.
            prop_assert_eq!(conviction.origin(), honest.origin());
            prop_assert_eq!(conviction.sizes(), honest.sizes());
            prop_assert!(conviction.faulty_witnesses().iter().all(|name| honest.faulty_witnesses().contains(name)));
        }
    }
}

pub(super) fn after_handover(size: u64, branch: &Branch) -> Evidence {
    let next = NoteSigner::new(
        testkit::name("log.example/two"),
        keyglass_crypto::sign::SigningKey::from_seed(&[9; 32]),
    );
    let last = HONEST.note(7, &[0, 1]);
    let handover = crate::handover::Handover::declare(&testkit::log(), last, next.vkey().clone()).unwrap();
    Evidence::AfterHandover { a: handover.declared().clone(), b: branch.note(size, &[0, 1]) }
}

#[test]
fn a_head_beyond_the_declared_end_convicts_the_log_and_no_witness() {
    for (size, branch) in [(8, &HONEST), (300, &FORK), (7, &FORK)] {
        let evidence = after_handover(size, branch);
        assert_eq!(Evidence::parse(evidence.to_string().as_bytes()), Ok(evidence.clone()));
        let conviction = verify(&evidence).unwrap();
        assert_eq!((conviction.origin(), conviction.sizes()), (testkit::ORIGIN, (7, size)));
        assert!(conviction.faulty_witnesses().is_empty());
    }
    for (size, branch) in [(7, &HONEST), (6, &HONEST), (6, &FORK)] {
        assert_eq!(verify(&after_handover(size, branch)), Err(EvidenceError::NoContradiction));
    }
}

#[test]
fn a_handover_that_the_log_did_not_declare_convicts_nobody() {
    let Evidence::AfterHandover { a, b } = after_handover(8, &HONEST) else { unreachable!() };
    let stranger = NoteSigner::new(
        testkit::name(testkit::ORIGIN),
        keyglass_crypto::sign::SigningKey::from_seed(&[9; 32]),
    );
    let forged = SignedNote::new(a.text(), vec![stranger.sign(a.text())]).unwrap();
    let evidence = Evidence::AfterHandover { a: forged, b: b.clone() };
    assert_eq!(verify(&evidence), Err(EvidenceError::NotSigned(Side::A)));
    let unsigned = SignedNote::new(b.text(), vec![stranger.sign(b.text())]).unwrap();
    let evidence = Evidence::AfterHandover { a: a.clone(), b: unsigned };
    assert_eq!(verify(&evidence), Err(EvidenceError::NotSigned(Side::B)));
    let evidence = Evidence::AfterHandover { a: b.clone(), b: b.clone() };
    assert_eq!(verify(&evidence), Err(EvidenceError::NotADeclaration));
    assert_eq!(Evidence::parse(evidence.to_string().as_bytes()), Err(EvidenceFormatError::BadDeclaration));
    let evidence = Evidence::AfterHandover { a: a.clone(), b: a };
    assert!(matches!(verify(&evidence), Err(EvidenceError::NotACheckpoint(Side::B, _))));
    let text = evidence.to_string().replacen("after-handover\n", "after-handover\nmore\n", 1);
    assert_eq!(Evidence::parse(text.as_bytes()), Err(EvidenceFormatError::BadHead));
}
