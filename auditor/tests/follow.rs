//! Following an honest log, and telling apart what is merely wrong with it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keyglass_auditor::{clock::Clock, report::WitnessState, verdict::Verdict};
use keyglass_tlog::time::UnixMillis;
use kit::*;

#[tokio::test]
async fn an_honest_log_is_followed_across_restarts() {
    let world = World::new().await;
    let mut before = 0;
    // Around the bounds of bundles and of tiles on two levels, once to the same size again.
    for size in [1, 2, 255, 256, 256, 257, 300, 512, 700] {
        let entries = honest(size);
        world.publish(&entries, &ALL);
        let report = world.round().await;
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
        assert_eq!((report.tree_size, report.entries_replayed), (size, size - before));
        assert_eq!(world.records().unwrap().position().unwrap().root, root(&entries));
        assert_eq!(report.head_age_ms, Some(1000 - size + 1));
        assert_eq!(states(&report), [WitnessState::Agrees; 3]);
        assert!(report.evidence.is_empty() && report.findings.is_empty());
        let shown = report.shown.unwrap();
        assert!(shown.witnessed);
        assert_eq!(shown.cosigners, ["w1", "w2", "w3"]);
        before = size;
    }
}

#[tokio::test]
async fn a_round_without_news_asks_for_nothing_but_heads() {
    let world = World::new().await;
    world.publish(&honest(700), &ALL);
    let auditor = world.follower();
    assert_eq!(auditor.round().await.entries_replayed, 700);
    world.log.asked();
    assert_eq!(auditor.round().await.verdict, Verdict::Ok);
    assert_eq!(world.log.asked(), ["checkpoint"]);
}

#[tokio::test]
async fn a_long_way_is_resumed_where_it_stopped() {
    let world = World::new().await;
    let entries = honest(40_000);
    world.publish(&entries, &ALL);
    world.clock.set(START + 40_000);
    // The second chunk begins with bundle 64: it is refused after the first one was proven and made durable.
    world.log.lie("tile/entries/100", Lie::Status(503));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Unreachable, "{:?}", report.findings);
    assert_eq!((report.tree_size, report.entries_replayed), (16_384, 16_384));
    assert_eq!(world.records().unwrap().position().unwrap().root, root(&entries[..16_384]));

    world.log.be_honest();
    world.log.asked();
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
    assert_eq!((report.tree_size, report.entries_replayed), (40_000, 40_000 - 16_384));
    assert!(!world.log.asked().contains(&"tile/entries/063".to_owned()), "nothing is fetched twice");
    assert_eq!(world.records().unwrap().position().unwrap().root, root(&entries));
}

#[tokio::test]
async fn a_round_without_patience_says_that_it_is_not_done() {
    let mut world = World::new().await;
    world.patience = Duration::ZERO;
    world.publish(&honest(10), &ALL);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::CatchingUp, vec!["catching_up"]));
    assert_eq!(report.tree_size, 0);
    // Witnesses are compared all the same: their heads wait.
    assert_eq!(states(&report), [WitnessState::Ahead; 3]);
}

#[tokio::test]
async fn a_partial_bundle_that_is_gone_is_cut_out_of_the_full_one() {
    let world = World::new().await;
    world.publish(&honest(300), &ALL);
    world.serve_tiles(&honest(600));
    for gone in ["tile/entries/001.p/44", "tile/0/001.p/44"] {
        world.log.remove(gone);
    }
    let report = world.round().await;
    assert_eq!((report.verdict, report.tree_size), (Verdict::Ok, 300), "{:?}", report.findings);
}

#[tokio::test]
async fn entries_may_come_compressed() {
    use std::io::Write as _;
    let world = World::new().await;
    let entries = honest(5);
    world.publish(&entries, &ALL);
    let bundle = keyglass_tlog::tile::encode_bundle(entries.iter().map(|e| &e[..])).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bundle).unwrap();
    world.log.lie("tile/entries/000.p/5", Lie::Encoded("gzip", gzip.finish().unwrap()));
    assert_eq!(world.round().await.verdict, Verdict::Ok);
}

#[tokio::test]
async fn an_old_head_is_stale_and_no_worse() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    world.clock.set(START + 8 + MAX_BEHIND);
    assert_eq!(world.round().await.verdict, Verdict::Ok, "at the bound");
    world.clock.advance(1);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Stale, vec!["stale"]));
    assert_eq!(report.head_age_ms, Some(MAX_BEHIND + 1));
    // A first visit judges the same.
    let other = World::new().await;
    other.publish(&honest(9), &ALL);
    other.clock.set(START + 9 + MAX_BEHIND);
    assert_eq!(other.round().await.verdict, Verdict::Stale);
}

#[tokio::test]
async fn an_empty_log_is_stale() {
    let world = World::new().await;
    world.publish(&[], &ALL);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Stale, vec!["empty"]));
    assert_eq!(report.head_age_ms, None);
}

#[tokio::test]
async fn entries_from_the_future_are_invalid() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    world.clock.set(START + 8 - MAX_AHEAD);
    // The cosignatures are as far ahead, and still count.
    assert_eq!(world.round().await.verdict, Verdict::Ok, "at the bound");
    world.clock.set(START + 8 - MAX_AHEAD - 1);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Invalid, vec!["ahead_of_clock"]));
}

#[tokio::test]
async fn a_head_without_a_quorum_is_unwitnessed_and_still_followed() {
    let world = World::new().await;
    world.publish(&honest(9), &[1]);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Unwitnessed, vec!["unwitnessed"]));
    assert_eq!(report.tree_size, 9);
    assert_eq!(states(&report), [WitnessState::Never, WitnessState::Agrees, WitnessState::Never]);
    assert!(!report.shown.unwrap().witnessed);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world.log.lie("checkpoint", Lie::Status(503));
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Unreachable, vec!["log_unreachable"]));
    assert_eq!((report.tree_size, report.shown), (9, None));
    assert_eq!(report.witnesses[0].state, WitnessState::Agrees, "witnesses are still compared");

    world.log.be_honest();
    for witness in &world.witnesses {
        witness.lie(&world.monitoring_path(), Lie::Status(500));
    }
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Unreachable, vec!["witnesses_unreachable"]));
    // One is enough to compare with.
    world.witnesses[2].be_honest();
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Ok);
    assert_eq!(states(&report)[..2], [WitnessState::Unreachable; 2]);
}

#[tokio::test]
async fn a_witness_may_be_behind_or_a_little_ahead() {
    let world = World::new().await;
    world.publish(&honest(5), &[0]);
    world.publish(&honest(9), &[1, 2]);
    world.cosigned(2, &world.keys.note(&honest(12), &[2]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
    let agrees = WitnessState::Agrees;
    assert_eq!(states(&report), [agrees, agrees, WitnessState::Ahead]);
    assert_eq!(report.witnesses[0].tree_size, Some(5));
    // The log gets there.
    world.publish(&honest(20), &ALL);
    world.cosigned(2, &world.keys.note(&honest(21), &[2]));
    let report = world.round().await;
    assert_eq!((report.verdict, states(&report)), (Verdict::Ok, vec![agrees, agrees, WitnessState::Ahead]));
}

#[tokio::test]
async fn a_log_that_never_reaches_a_head_it_signed_is_unreconciled() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    world.cosigned(2, &world.keys.note(&history(5, 1, 500), &[2]));
    let report = world.round().await;
    assert_eq!((report.verdict, report.witnesses[2].state), (Verdict::Ok, WitnessState::Ahead));
    // The log stays fresh and stays below.
    let fresh = |size: u64, now: u64| {
        let mut entries = honest(size - 1);
        let last = keyglass_keytrans::wire::LogEntry { timestamp: now, prefix_tree: updates::tree_of(0) };
        entries.push(last.to_bytes());
        entries
    };
    world.clock.advance(MAX_BEHIND);
    world.publish(&fresh(10, START + MAX_BEHIND), &[0, 1]);
    assert_eq!(world.round().await.verdict, Verdict::Ok, "at the bound");
    world.clock.advance(1);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Unreconciled, vec!["overdue"]));
    assert!(report.evidence.is_empty());
    // A log that is stale besides is stale: it reaches nothing.
    world.clock.advance(MAX_BEHIND);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Stale, vec!["stale"]));
}

#[tokio::test]
async fn a_log_that_goes_back_is_unreconciled() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world.show(&honest(7), &ALL);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Unreconciled, vec!["went_back"]));
    assert_eq!(report.tree_size, 9);
    assert!(report.evidence.is_empty());
    world.publish(&honest(11), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
}

#[tokio::test]
async fn quorum_none_is_legal_and_nothing_is_witnessed() {
    let mut world = World::new().await;
    let policy = world.policy.replace("quorum q", "quorum none");
    let policy = Some(policy.as_bytes());
    let trust = keyglass_auditor::trust::Trust::new(&world.keys.configuration, policy).unwrap();
    world.trust = std::sync::Arc::new(trust);
    world.publish(&honest(9), &[]);
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Ok);
    assert!(!report.shown.unwrap().witnessed && !world.trust.asks_for_witnesses());
}

/// A clock that goes on by some minutes whenever somebody looks.
struct Hurried(AtomicU64);

impl Clock for Hurried {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.fetch_add(MAX_BEHIND / 3, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_head_was_fresh_when_it_was_shown_however_long_the_round_took() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    let clock = Arc::new(Hurried(AtomicU64::new(START + 1000)));
    let auditor = world.follower_by(Arc::clone(&clock) as _);
    let report = auditor.round().await;
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
    assert!(report.head_age_ms > Some(MAX_BEHIND), "and is old by now");
}
