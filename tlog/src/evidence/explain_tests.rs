//! What is said of evidence, by kind and by what is known of the signers.

use keyglass_crypto::sign::SigningKey;

use super::{
    tests::{FORK, after_handover, empty_tree, inconsistent, same_size},
    *,
};
use crate::{
    note::{NoteSigner, SignatureLine},
    testkit::{self, HONEST},
    time::UnixSeconds,
};

fn policy() -> Policy {
    Policy::parse(testkit::policy_text(3, "group q 2 w0 w1 w2\nquorum q\n").as_bytes()).unwrap()
}

fn explain(evidence: &Evidence) -> Explanation {
    evidence.explain(&[testkit::log().vkey()], Some(&policy()))
}

fn said(explanation: &Explanation) -> String {
    explanation.words().lines().collect::<Vec<_>>().join("\n")
}

#[test]
fn each_kind_is_told_with_its_sizes_and_its_witnesses() {
    let at = Some(Some(testkit::TIME));
    for (evidence, kind, sizes, parts) in [
        (
            same_size(),
            "same-size",
            &[9, 9][..],
            &[("w2", at, at, true), ("w0", at, None, false), ("w1", None, at, false)][..],
        ),
        (
            inconsistent(),
            "inconsistent",
            &[7, 12],
            &[("w1", at, at, true), ("w0", at, None, false), ("w2", None, at, false)],
        ),
        (empty_tree(), "empty-tree", &[0], &[("w1", at, None, true)]),
        (
            after_handover(8, &HONEST),
            "after-handover",
            &[7, 8],
            &[("w0", None, at, false), ("w1", None, at, false)],
        ),
    ] {
        let explanation = explain(&evidence);
        assert_eq!(explanation.kind, kind);
        assert_eq!(explanation.verdict.as_ref().unwrap().origin(), testkit::ORIGIN);
        assert_eq!(explanation.statements.iter().map(|s| s.size).collect::<Vec<_>>(), sizes);
        assert!(
            explanation
                .statements
                .iter()
                .all(|s| s.lines[0].signer == Signer::Log && s.lines[0].time.is_none())
        );
        let expected: Vec<WitnessPart> = parts
            .iter()
            .map(|&(name, first, second, is_faulty)| WitnessPart {
                name: Name::from(name),
                first,
                second,
                is_faulty,
            })
            .collect();
        assert_eq!(explanation.witnesses(), expected, "{kind}");
        let said = said(&explanation);
        assert!(said.starts_with("PROVEN: log.example/one "), "{said}");
        assert!(kind == "after-handover" || said.contains("is itself proven faulty"), "{said}");
        assert!(said.contains("14 November 2023 22:13:20 UTC"), "{said}");
    }
    assert!(said(&explain(&after_handover(8, &HONEST))).contains("and log.example/two comes after it"));
}

#[test]
fn without_a_policy_the_log_is_named_and_its_witnesses_are_strangers() {
    let explanation = same_size().explain(&[testkit::log().vkey()], None);
    assert!(explanation.verdict.is_ok() && explanation.witnesses().is_empty());
    let unknown = |s: &Statement| s.lines.iter().filter(|line| line.signer == Signer::Unknown).count();
    assert_eq!(explanation.statements.iter().map(unknown).collect::<Vec<_>>(), [2, 2]);
    let said = said(&explanation);
    assert!(said.contains("w2.example") && said.contains("who is unknown here"), "{said}");
    assert!(said.contains("no witness can be named"), "{said}");
}

#[test]
fn what_proves_nothing_is_told_as_a_claim() {
    let same = Evidence::SameSize { a: HONEST.note(9, &[0]), b: HONEST.note(9, &[1]) };
    let explanation = explain(&same);
    assert_eq!(explanation.verdict, Err(EvidenceError::NoContradiction));
    assert!(explanation.witnesses().iter().all(|part| !part.is_faulty));
    let words = explanation.words();
    assert!(words.headline.starts_with("NOT PROVEN") && words.witnesses.is_empty(), "{words:?}");
    let unknown = same_size().explain(&[], None);
    assert_eq!(unknown.verdict, Err(EvidenceError::UnknownOrigin));
    assert!(said(&unknown).contains("no log key is known for the origin"));
}

#[test]
fn a_forged_line_names_nobody() {
    let (a, mut lines) = (HONEST.note(9, &[0]), FORK.note(9, &[1]).signatures().to_vec());
    // w0's line over the other side, pasted here.
    lines.push(a.signatures()[1].clone());
    let explanation =
        explain(&Evidence::SameSize { b: SignedNote::new(FORK.note(9, &[]).text(), lines).unwrap(), a });
    assert!(explanation.verdict.as_ref().unwrap().faulty_witnesses().is_empty());
    assert_eq!(explanation.statements[1].lines[2].signer, Signer::Forged);
    let said = said(&explanation);
    assert!(
        said.contains("which did not sign this")
            && said.contains("No witness of the policy is proven faulty"),
        "{said}"
    );
}

#[test]
fn the_earliest_of_two_cosignatures_is_told() {
    let checkpoint = HONEST.checkpoint(9);
    let mut lines = HONEST.note(9, &[0]).signatures().to_vec();
    lines.push(testkit::cosign(&checkpoint, 0, UnixSeconds(1_600_000_000)));
    let a = SignedNote::new(&checkpoint.text(), lines).unwrap();
    let explanation = explain(&Evidence::SameSize { a, b: FORK.note(9, &[]) });
    assert_eq!(explanation.witnesses()[0].first, Some(Some(UnixSeconds(1_600_000_000))));
}

#[test]
fn a_strangers_name_cannot_pass_for_something_else() {
    let origin = "log.example/\u{202e}eno";
    let log = NoteSigner::new(testkit::name(origin), SigningKey::from_seed(&[3; 32]));
    let note = |root: u8| {
        let text = Checkpoint::new(origin, 4, [root; 32]).unwrap().text();
        let lines: Vec<SignatureLine> = vec![log.sign(&text)];
        SignedNote::new(&text, lines).unwrap()
    };
    let evidence = Evidence::SameSize { a: note(1), b: note(2) };
    let said = said(&evidence.explain(&[log.vkey()], None));
    assert!(said.contains("log.example/\\u{202e}eno") && !said.contains('\u{202e}'), "{said}");
}
