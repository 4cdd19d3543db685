//! Witnesses that are slow, lie or send nonsense cost nothing but their own cosignature.

use std::sync::atomic::Ordering;

use super::*;

/// Everything that a witness may do wrong, with the kind of error that it is recorded as.
async fn manners() -> Vec<(Manner, &'static str)> {
    let long = b"\xe2\x80\x94 ".repeat(1 << 16);
    let (honest, _) = witness(1, Manner::Honest).await;
    let honest = Arc::new(keyglass_tlog::cosignature::Cosigner::new(
        honest.cosigner.vkey().name().clone(),
        SigningKey::from_seed(&[1; 32]),
    ));
    let says = |status, kind, body: &[u8]| Manner::Says(status, kind, body.to_vec());
    vec![
        (Manner::Silent, "deadline"),
        (Manner::Drips, "deadline"),
        (Manner::Breaks, "unreachable"),
        (Manner::Buries, "no_cosignature"),
        (says(200, "text/plain", b"garbage"), "no_cosignature"),
        (says(200, "application/json", b"{}"), "no_cosignature"),
        (says(200, "text/plain", b""), "no_cosignature"),
        (says(200, "text/plain", &long), "no_cosignature"),
        (says(204, "text/plain", b""), "refused"),
        (says(404, "text/plain", b""), "refused"),
        (says(422, "text/plain", b""), "refused"),
        (says(500, "text/html", &long), "refused"),
        (says(409, SIZE_MEDIA_TYPE, b"18446744073709551615\n"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, b"18446744073709551616\n"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, b"0\n"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, b"00\n"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, b"0"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, b"-1\n"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, b""), "conflict"),
        (says(409, "text/plain", b"0\n"), "conflict"),
        (says(409, SIZE_MEDIA_TYPE, &long), "no_cosignature"),
        (Manner::Conflicts, "conflict"),
        (Manner::Ahead(3600), "no_cosignature"),
        (Manner::Ahead(365 * 24 * 3600), "no_cosignature"),
        (Manner::Ahead((1 << 63) - 1 - NOW.to_seconds().0), "no_cosignature"),
        (Manner::WrongKey, "no_cosignature"),
        (Manner::Spoilt, "no_cosignature"),
        (Manner::OtherTree, "no_cosignature"),
        (Manner::Relays(honest), "no_cosignature"),
    ]
}

async fn suffer(manner: Manner, kind: &str) {
    let bad = witness(3, manner).await;
    let witnesses = [witness(1, Manner::Honest).await, witness(2, Manner::Honest).await, bad];
    let policy = policy_of(&witnesses, 2);
    let mut log = Log::new();
    let (mut status, running) = log.start(&policy);
    for _ in 0..3 {
        let size = log.grow();
        let Judged::Witnessed(checkpoint) = log.judged(size, &policy).await else { panic!("not witnessed") };
        let names: Vec<String> = checkpoint.cosigners().iter().map(|one| one.witness.to_string()).collect();
        assert_eq!(names, ["w0", "w1"]);
    }
    let failed = |status: &Status| status.witnesses[2].failing.is_some() && status.witnesses[1].cosigned == 3;
    let status = status.wait_for(failed).await.unwrap().clone();
    let (_, error) = status.witnesses[2].failing.clone().unwrap();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!((status.witnesses[2].cosigned, status.witnesses[2].last), (0, None));
    assert_eq!((status.witnesses[2].lagging_since, status.witnesses[0].lagging_since), (Some(NOW), None));
    assert_eq!(status.witnesses[0].failing, None);
    running.abort();
}

#[tokio::test]
async fn a_head_is_published_with_a_quorum_whatever_the_others_do() {
    let all = manners().await.into_iter().map(|(manner, kind)| suffer(manner, kind));
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let (elsewhere, url) = witness(3, Manner::Honest).await;
    suffer(Manner::Redirects(format!("{url}add-checkpoint")), "refused").await;
    assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0);
}
