use keyglass_crypto::sign::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::{
    policy::Policy,
    testkit::{Branch, HONEST, ORIGIN, log, name, policy_text, witness},
    witnessed::Horizon,
};

const NEXT: &str = "log.example/two";

fn next() -> NoteSigner {
    NoteSigner::new(name(NEXT), SigningKey::from_seed(&[0xb0; 32]))
}

fn handover() -> Handover {
    Handover::declare(&log(), HONEST.note(7, &[0, 1]), next().vkey().clone()).unwrap()
}

fn policy() -> Policy {
    Policy::parse(policy_text(3, "group q 2 w0 w1 w2\nquorum q\n").as_bytes()).unwrap()
}

fn verify(handover: &Handover, key: &Vkey) -> Result<Judged, HandoverError> {
    let policy = policy();
    handover.verify(std::slice::from_ref(key), &Judge::of_log(&policy, [key], Horizon::ignored()))
}

#[test]
fn a_handover_is_read_as_it_was_declared_and_verifies() {
    let handover = handover();
    let text = handover.to_string();
    let read = Handover::parse(text.as_bytes()).unwrap();
    assert_eq!((&read, read.to_string()), (&handover, text));
    let judged = verify(&read, log().vkey()).unwrap();
    assert_eq!(judged.tree(), (7, HONEST.root(7)));
    assert!(judged.witnessed().is_some());
    assert_eq!(read.declaration().from, ORIGIN);
    assert_eq!(read.declaration().to, *next().vkey());
}

#[test]
fn only_the_old_log_declares_its_end() {
    let genuine = handover();
    // Another key of the same name: what the declaration says is right, and who says it is not.
    let impostor = NoteSigner::new(name(ORIGIN), SigningKey::from_seed(&[0xcc; 32]));
    let forged = Handover::declare(&impostor, HONEST.note(7, &[0, 1]), next().vkey().clone()).unwrap();
    assert!(matches!(verify(&forged, log().vkey()), Err(HandoverError::NotDeclared(_))));
    assert!(matches!(verify(&genuine, impostor.vkey()), Err(HandoverError::NotDeclared(_))));
    assert_eq!(verify(&genuine, next().vkey()), Err(HandoverError::OtherLog));
    // The genuine declaration with a checkpoint that no quorum has seen.
    let bare = Handover::declare(&log(), HONEST.note(7, &[0]), next().vkey().clone()).unwrap();
    assert!(matches!(
        verify(&bare, log().vkey()),
        Err(HandoverError::NotBelieved(JudgeError::QuorumNotMet { .. }))
    ));
}

#[test]
fn what_cannot_be_declared_is_refused() {
    let to = next().vkey().clone();
    let last = HONEST.note(7, &[0, 1]);
    assert_eq!(Handover::declare(&next(), last.clone(), to.clone()), Err(HandoverError::OtherLog));
    assert_eq!(Handover::declare(&log(), last.clone(), log().vkey().clone()), Err(HandoverError::SameLog));
    let cosigner = witness(1).vkey().clone();
    assert_eq!(Handover::declare(&log(), last, cosigner), Err(HandoverError::NotALogKey));
    let other = SignedNote::new("text\n", vec![log().sign("text\n")]).unwrap();
    assert!(matches!(Handover::declare(&log(), other, to), Err(HandoverError::BadCheckpoint(_))));
}

#[test]
fn malformed_handovers_are_refused_with_their_cause() {
    let good = handover().to_string();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let root = text::base64(&HONEST.root(7));
    let bad = HandoverError::BadDeclaration;
    for (text, error) in [
        (String::new(), HandoverError::WrongNotes),
        (good.trim_end().to_owned(), HandoverError::BadNote(NoteError::NoFinalNewline)),
        (format!("{good}\n"), HandoverError::WrongNotes),
        (format!("{good}\n{}", HONEST.note(7, &[0])), HandoverError::WrongNotes),
        (HONEST.note(7, &[0]).to_string(), HandoverError::WrongNotes),
        (with("handover/v1", "handover/v2"), HandoverError::BadHeader),
        (with("from ", "of "), bad.clone()),
        (with("size 7", "size 07"), bad.clone()),
        (with("size 7", "size 18446744073709551616"), bad.clone()),
        (with(&format!("root {root}"), "root AAAA"), bad.clone()),
        (with("\nto ", "\nmore\nto "), bad.clone()),
        (with(&next().vkey().to_string(), "nobody"), HandoverError::BadVkey(VkeyError::NotThreeParts)),
        (with("size 7", "size 8"), HandoverError::OtherCheckpoint),
        (with("from log.example/one", "from log.example/three"), HandoverError::OtherCheckpoint),
        ("x".repeat(MAX_LEN + 1), HandoverError::TooLong),
    ] {
        assert_eq!(Handover::parse(text.as_bytes()), Err(error), "{text:.300}");
    }
    assert_eq!(Handover::parse(&[0xFF]), Err(HandoverError::NotUtf8));
}

#[test]
fn a_declaration_is_no_checkpoint_and_a_checkpoint_no_declaration() {
    assert!(Checkpoint::from_note(handover().declared()).is_err());
    assert!(Declaration::parse(HONEST.checkpoint(7).text().as_str()).is_err());
}

#[test]
fn later_and_other_heads_contradict_a_declaration() {
    let handover = handover();
    let declaration = handover.declaration();
    let other = Branch { fork_at: 2, branch: 1 };
    assert!(!declaration.is_contradicted_by(&HONEST.checkpoint(7)));
    assert!(declaration.is_contradicted_by(&HONEST.checkpoint(8)));
    assert!(declaration.is_contradicted_by(&other.checkpoint(7)));
    assert!(!declaration.is_contradicted_by(&other.checkpoint(6)), "that takes a consistency proof");
    let of_next = Checkpoint::new(NEXT, 9, [0; 32]).unwrap();
    assert!(!declaration.is_contradicted_by(&of_next));
}

proptest! {
    /// No flipped byte leaves a handover that still verifies and says something else.
    #[test]
    fn altered_handovers_prove_nothing_else(place: prop::sample::Index, bit in 0u8..8) {
        let genuine = handover();
        let mut bytes = genuine.to_string().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(altered) = Handover::parse(&bytes)
            && verify(&altered, log().vkey()).is_ok()
        {
            // A line of an unknown key may stand there: the name or id of a cosigner was altered.
            prop_assert_eq!(altered.declaration(), genuine.declaration());
            prop_assert_eq!(altered.last().text(), genuine.last().text());
        }
    }

    #[test]
    fn what_is_read_is_written_alike(bytes in "(keyglass-handover/v1\n)?[a-z \n/+0-9\u{2014}]{0,200}") {
        if let Ok(handover) = Handover::parse(bytes.as_bytes()) {
            prop_assert_eq!(handover.to_string(), bytes);
        }
    }
}
