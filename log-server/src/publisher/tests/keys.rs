//! Several keys: of the log, and of a witness at one URL.

use std::sync::atomic::Ordering;

use keyglass_crypto::ml_dsa::MlDsaSigningKey;

use super::*;
use crate::{signing_keys::LogKey, testkit::FakeWitness};

/// Two of three operators, each with two keys at one URL that count once.
fn two_keys_each(witnesses: &[(Arc<FakeWitness>, String)]) -> Policy {
    let mut text = String::new();
    for (i, (witness, url)) in witnesses.iter().enumerate() {
        // Spelled in two ways, which is one place all the same.
        let bare = url.trim_end_matches('/');
        text.push_str(&format!("witness e{i} {} {url}\n", witness.cosigner.vkey()));
        text.push_str(&format!("witness m{i} {} {bare}\n", witness.second.vkey()));
        text.push_str(&format!("group o{i} any e{i} m{i}\n"));
    }
    text.push_str("group g 2 o0 o1 o2\nquorum g\n");
    Policy::parse(text.as_bytes()).unwrap()
}

async fn cosigned_by(manners: [Manner; 3]) -> (Vec<String>, Status, [u64; 3]) {
    let [a, b, c] = manners;
    let witnesses = [witness(1, a).await, witness(2, b).await, witness(3, c).await];
    let policy = two_keys_each(&witnesses);
    let mut log = Log::new();
    // As long as it takes: all three answer.
    let settings = Settings { grace: Duration::from_secs(600), ..settings() };
    let publisher = log.publisher_with(signer(), policy.clone(), settings).unwrap();
    let mut status = publisher.status();
    let running = tokio::spawn(publisher.run());
    log.grow();
    let settled = |status: &Status| {
        let settled = |one: &WitnessStatus| one.cosigned == 1 || one.failing.is_some();
        status.published == 1 && status.witnesses.iter().all(settled)
    };
    let status = status.wait_for(settled).await.unwrap().clone();
    let mut watch = log.published.watch();
    let good = status.witnesses.iter().filter(|one| one.cosigned == 1).count();
    let complete = |head: &Option<Arc<PublishedHead>>| {
        head.as_ref().is_some_and(|head| judge(head, &policy).cosigners().len() == good)
    };
    let head = watch.wait_for(complete).await.unwrap().clone().unwrap();
    running.abort();
    let names = judge(&head, &policy).cosigners().iter().map(|one| one.witness.to_string()).collect();
    (names, status, witnesses.map(|(witness, _)| witness.asked.load(Ordering::Relaxed)))
}

#[tokio::test]
async fn one_question_brings_the_lines_of_all_keys_at_a_url() {
    let (names, status, asked) = cosigned_by([Manner::Honest, Manner::Honest, Manner::Honest]).await;
    assert_eq!(names, ["e0", "m0", "e1", "m1", "e2", "m2"]);
    assert_eq!(asked, [1, 1, 1]);
    assert!(status.witnesses.iter().all(|one| one.failing.is_none() && one.last == Some(NOW)));
}

#[tokio::test]
async fn a_key_whose_line_is_missing_or_wrong_costs_nothing_but_that_line() {
    let manners = [Manner::Honest, Manner::FirstKeyOnly, Manner::SpoilsSecond];
    let (names, status, asked) = cosigned_by(manners).await;
    assert_eq!(names, ["e0", "m0", "e1", "e2"]);
    assert_eq!(asked, [1, 1, 1]);
    let failing: Vec<&str> =
        status.witnesses.iter().filter(|one| one.failing.is_some()).map(|one| one.name.as_str()).collect();
    assert_eq!(failing, ["m1", "m2"]);
}

#[tokio::test]
async fn policies_that_no_witness_can_satisfy_are_refused() {
    let (one, url) = witness(1, Manner::Honest).await;
    let (two, _) = witness(2, Manner::Honest).await;
    let log = Log::new();
    let refused = |text: String| log.publisher(Policy::parse(text.as_bytes()).unwrap()).err().unwrap();
    let (a, b) = (one.cosigner.vkey(), two.cosigner.vkey());
    let both = "group g all a b\nquorum g\n";
    let missing = refused(format!("witness a {a} {url}\nwitness b {b}\n{both}"));
    assert_eq!(missing, PolicyUnusable::Unsatisfiable { missing: 1 });
    for bad in ["ftp://127.0.0.1/", "nonsense", "mailto:w@example"] {
        let error = refused(format!("witness a {a} {url}\nwitness b {b} {bad}\n{both}"));
        assert_eq!(error, PolicyUnusable::BadUrl("b".into()));
    }
}

#[tokio::test]
async fn the_policy_of_another_log_is_refused() {
    let log = Log::new();
    let (own, other) = (note_signer(0xaa), note_signer(0x55));
    let publisher =
        |lines: String| log.publisher(Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap());
    assert_eq!(publisher(format!("log {}\n", other.vkey())).err(), Some(PolicyUnusable::AnotherLog));
    assert!(publisher(format!("log {}\nlog {}\n", other.vkey(), own.vkey())).is_ok());
    assert!(publisher(String::new()).is_ok());
}

#[tokio::test]
async fn a_policy_may_name_any_of_the_keys_that_the_log_signs_with() {
    let keys = || {
        vec![
            LogKey::Ed25519(Box::new(SigningKey::from_seed(&[0xbb; 32]))),
            LogKey::MlDsa44(MlDsaSigningKey::from_seed(&[0xcc; 32])),
        ]
    };
    let signer = || HeadSigner::Checkpoint(CheckpointSigner::new(note_signer(0xaa)).with(keys()).unwrap());
    for vkey in signer().vkeys() {
        let policy = Policy::parse(format!("log {vkey}\nquorum none\n").as_bytes()).unwrap();
        let mut log = Log::new();
        let publisher = log.publisher_with(signer(), policy.clone(), settings()).unwrap();
        let running = tokio::spawn(publisher.run());
        let size = log.grow();
        let mut watch = log.published.watch();
        let head = watch.wait_for(|head| head.as_ref().is_some_and(|head| head.size == size)).await.unwrap();
        let head = head.clone().unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, head.size, head.root).unwrap();
        let lines = note::parse_signature_lines(&head.signature).unwrap();
        assert_eq!(lines.len(), 3);
        assert!(Judge::new(&policy, Horizon::ignored()).judge_lines(checkpoint, &lines).is_ok());
        running.abort();
    }
}

#[tokio::test]
async fn the_published_head_is_signed_anew_after_the_keys_have_changed() {
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let mut log = Log::new();
    let (_, running) = log.start(&policy);
    let size = log.grow();
    let before = log.judged(size, &policy).await;
    running.abort();
    let _ = running.await;
    log.published = Arc::new(Published::open(&*log.store).unwrap());
    let other = HeadSigner::Checkpoint(CheckpointSigner::new(note_signer(0xbb)));
    let running = tokio::spawn(log.publisher_with(other, policy.clone(), settings()).unwrap().run());
    let mut watch = log.published.watch();
    let vkey = note_signer(0xbb).vkey().clone();
    let renewed = |head: &Option<Arc<PublishedHead>>| {
        let head = head.as_ref().unwrap();
        let lines = note::parse_signature_lines(&head.signature).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, head.size, head.root).unwrap();
        let judge = Judge::of_log(&policy, [&vkey], Horizon::ignored());
        judge.judge_lines(checkpoint, &lines).is_ok_and(|judged| judged.tree() == before.tree())
    };
    watch.wait_for(renewed).await.unwrap();
    running.abort();
}
