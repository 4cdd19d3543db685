use keyglass_crypto::sign::SigningKey;

use super::*;
use crate::{
    note::NoteSigner,
    testkit::{self, HONEST, ORIGIN, TIME},
};

fn policy(rest: &str) -> Policy {
    Policy::parse(testkit::policy_text(3, rest).as_bytes()).unwrap()
}

fn two_of_three() -> Policy {
    policy("group q 2 w0 w1 w2\nquorum q\n")
}

fn now() -> Horizon {
    Horizon::at(TIME.to_millis().unwrap(), Duration::from_secs(10))
}

fn cosigned(name: &str, time: u64) -> Cosigned {
    Cosigned { witness: Name::from(name), time: UnixSeconds(time) }
}

#[test]
fn a_quorum_makes_a_witnessed_checkpoint() {
    let policy = two_of_three();
    let judged = Judge::new(&policy, now()).judge(&HONEST.note(7, &[2, 0])).unwrap();
    assert_eq!(judged.tree(), (7, HONEST.root(7)));
    let checkpoint = judged.witnessed().unwrap();
    assert_eq!(checkpoint.cosigners(), [cosigned("w0", TIME.0), cosigned("w2", TIME.0)]);
    assert_eq!(checkpoint.forget(), HONEST.checkpoint(7));
}

#[test]
fn too_few_are_named() {
    let policy = two_of_three();
    let error = Judge::new(&policy, now()).judge(&HONEST.note(7, &[1])).unwrap_err();
    let have = vec![cosigned("w1", TIME.0)];
    assert_eq!(error, JudgeError::QuorumNotMet { have, from_the_future: Vec::new(), missing: 1 });
    assert_eq!(error.to_string(), "1 witnesses cosigned, 1 more are needed");
}

#[test]
fn a_witness_counts_once() {
    let policy = two_of_three();
    let checkpoint = HONEST.checkpoint(7);
    let mut lines = testkit::note(&checkpoint, &[1, 1]).signatures().to_vec();
    lines.push(testkit::cosign(&checkpoint, 1, UnixSeconds(TIME.0 + 1)));
    let error = Judge::new(&policy, now()).judge_lines(checkpoint, &lines).unwrap_err();
    let have = vec![cosigned("w1", TIME.0 + 1)];
    assert_eq!(error, JudgeError::QuorumNotMet { have, from_the_future: Vec::new(), missing: 1 });
}

#[test]
fn the_future_does_not_count() {
    let policy = two_of_three();
    let checkpoint = HONEST.checkpoint(7);
    let with = |time| {
        let mut lines = testkit::note(&checkpoint, &[0]).signatures().to_vec();
        lines.push(testkit::cosign(&checkpoint, 1, UnixSeconds(time)));
        lines
    };
    let judge = |horizon, time| Judge::new(&policy, horizon).judge_lines(checkpoint.clone(), &with(time));
    assert!(judge(now(), TIME.0 + 10).is_ok());
    assert!(judge(now(), 1).is_ok(), "age is no reason");
    let late = TIME.0 + 11;
    let (have, from_the_future) = (vec![cosigned("w0", TIME.0)], vec![cosigned("w1", late)]);
    assert_eq!(judge(now(), late), Err(JudgeError::QuorumNotMet { have, from_the_future, missing: 1 }));
    assert!(judge(Horizon::ignored(), late).is_ok());
    // One line too early and one in time: the second counts.
    let mut lines = with(late);
    lines.push(testkit::cosign(&checkpoint, 1, TIME));
    let judged = Judge::new(&policy, now()).judge_lines(checkpoint.clone(), &lines).unwrap();
    assert_eq!(judged.cosigners(), [cosigned("w0", TIME.0), cosigned("w1", TIME.0)]);
}

#[test]
fn quorum_none_is_another_type() {
    let policy = policy("quorum none\n");
    let judged = Judge::new(&policy, now()).judge(&HONEST.note(7, &[0])).unwrap();
    assert!(
        matches!(&judged, Judged::LogSigned(checkpoint) if checkpoint.cosigners() == [cosigned("w0", TIME.0)])
    );
    assert_eq!(judged.clone().witnessed(), None);
    assert_eq!(judged.into_unverified(), HONEST.checkpoint(7));
}

#[test]
fn the_log_must_have_signed() {
    let policy = two_of_three();
    let judge = Judge::new(&policy, now());
    let checkpoint = HONEST.checkpoint(7);
    let witnesses: Vec<SignatureLine> = (0..3).map(|i| testkit::cosign(&checkpoint, i, TIME)).collect();
    assert_eq!(judge.judge_lines(checkpoint.clone(), &witnesses), Err(JudgeError::LogSignatureMissing));
    assert_eq!(judge.judge_lines(checkpoint.clone(), &[]), Err(JudgeError::LogSignatureMissing));
    let mut lines = witnesses.clone();
    lines.push(testkit::log().sign(&HONEST.checkpoint(8).text()));
    let bad = JudgeError::BadSignature(testkit::log().vkey().name().clone());
    assert_eq!(judge.judge_lines(checkpoint.clone(), &lines), Err(bad));
    // Nor does the signature of another log that the policy knows help.
    let other = NoteSigner::new(testkit::name("other.example"), SigningKey::from_seed(&[0xa1; 32]));
    let both = format!("log {}\n{}", other.vkey(), testkit::policy_text(3, "group q 2 w0 w1 w2\nquorum q\n"));
    let both = Policy::parse(both.as_bytes()).unwrap();
    let mut lines = witnesses;
    lines.push(other.sign(&checkpoint.text()));
    let judge = Judge::new(&both, now());
    assert_eq!(judge.judge_lines(checkpoint, &lines), Err(JudgeError::LogSignatureMissing));
}

#[test]
fn a_bad_witness_line_spoils_a_quorum() {
    let policy = two_of_three();
    let note = HONEST.note(7, &[0, 1]);
    let mut lines = note.signatures().to_vec();
    lines.push(testkit::cosign(&HONEST.checkpoint(8), 2, TIME));
    let judge = Judge::new(&policy, now());
    let bad = JudgeError::BadSignature(testkit::witness(2).vkey().name().clone());
    assert_eq!(judge.judge_lines(HONEST.checkpoint(7), &lines), Err(bad));
    // The same line is an unknown key's to a policy without that witness.
    let smaller = testkit::policy_text(2, "group q all w0 w1\nquorum q\n");
    let smaller = Policy::parse(smaller.as_bytes()).unwrap();
    assert!(Judge::new(&smaller, now()).judge_lines(HONEST.checkpoint(7), &lines).is_ok());
}

#[test]
fn a_configured_log_key_replaces_the_policys() {
    let without_logs = testkit::policy_text(3, "group q 2 w0 w1 w2\nquorum q\n");
    let without_logs = without_logs.split_once('\n').unwrap().1;
    let policy = Policy::parse(without_logs.as_bytes()).unwrap();
    let (log, note) = (testkit::log(), HONEST.note(7, &[0, 1]));
    assert_eq!(Judge::new(&policy, now()).judge(&note), Err(JudgeError::UnknownOrigin));
    assert!(Judge::of_log(&policy, [log.vkey()], now()).judge(&note).is_ok());
    // A key of another name is not one of this origin, though it be the very same key.
    let renamed = NoteSigner::new(testkit::name("other.example"), SigningKey::from_seed(&[0xa0; 32]));
    assert_eq!(Judge::of_log(&policy, [renamed.vkey()], now()).judge(&note), Err(JudgeError::UnknownOrigin));
    // The policy's own log line does not come in by the back door.
    let stranger = NoteSigner::new(testkit::name(ORIGIN), SigningKey::from_seed(&[0xa1; 32]));
    let with_logs = two_of_three();
    let judged = Judge::of_log(&with_logs, [stranger.vkey()], now()).judge(&note);
    assert_eq!(judged, Err(JudgeError::LogSignatureMissing));
}
