//! Updates: honest ones, whose heads are signed, and lies, each with a name of its own, beyond which nothing is signed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::time::Duration;

use keyglass_auditor::{
    report::Report,
    updates::{Form, Limits},
    verdict::Verdict,
};
use keyglass_keytrans::{
    config::CipherSuite,
    wire::{BatchAuditorUpdate, PrefixLeaf, PrefixSearchKind, PrefixSearchResult},
};

use kit::{
    updates::{History, encode, leaf, sizes},
    *,
};

const PATH: &str = "v1/audit/updates";

#[tokio::test]
async fn an_honest_log_is_audited_and_signed_across_restarts() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let world = World::audited(suite, WINDOW, 0).await;
        let mut history = History::default();
        for size in [1, 2, 9, 9, 300] {
            for i in history.entries.len() as u64..size {
                let added = [leaf(2 * i, 1), leaf(2 * i + 1, 1)];
                history.add(START + i, &added[..(i % 3) as usize], &[]);
            }
            world.publish_history(&history);
            let before = world.signed().map_or(0, |head| head.tree_size);
            let report = world.round().await;
            assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
            assert_eq!((sizes(&report), report.tree_size), ((size, size), size));
            assert_eq!(report.audit.updates_replayed, size - before);
            assert!(report.audit.signs && report.audit.refused.is_empty());
            assert_eq!(report.audit.not_signed, None);
            let head = world.verified(&history);
            let expected = match suite {
                CipherSuite::Tlog => START + 1000,
                CipherSuite::Draft => START + size - 1,
            };
            assert_eq!((head.tree_size, head.timestamp), (size, expected));
        }
    }
}

#[tokio::test]
async fn another_auditor_verifies_and_signs_nothing() {
    let world = World::new().await;
    world.publish_history(&History::of_additions(9));
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (9, 0)));
    assert!(!report.audit.signs && world.signed().is_none());
}

#[tokio::test]
async fn a_long_way_takes_several_answers_and_is_resumed() {
    let mut world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    world.clock.set(START + 2500);
    let history = History::of_additions(2500);
    world.publish_history(&history);
    world.patience = Duration::ZERO;
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::CatchingUp, vec!["catching_up"]));
    world.patience = Duration::from_secs(60);
    // The third answer does not come.
    let mut served = history.encoded(Form::Batch);
    served.truncate(2048);
    world.log.put_updates(served);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Unaudited, vec!["updates_end"]));
    assert_eq!((report.tree_size, sizes(&report)), (2500, (2048, 2048)), "what is verified is signed");
    world.log.put_updates(history.encoded(Form::Batch));
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (2500, 2500)));
    assert_eq!(report.audit.updates_replayed, 2500 - 2048);
    world.verified(&history);
}

/// What the log did at entry 9, and what it says about entries 9 to 11.
struct Lie9 {
    history: History,
    updates: Vec<Vec<u8>>,
}

/// Twelve entries: at the tenth `added` and `removed` are done, and then `lie` changes what is told of it.
fn lie_at_nine(
    added: &[PrefixLeaf],
    removed: &[PrefixLeaf],
    lie: impl FnOnce(&mut BatchAuditorUpdate),
) -> Lie9 {
    let mut history = History::of_additions(9);
    history.add(START + 9, added, removed);
    history.add(START + 10, &[leaf(10, 1)], &[]);
    history.add(START + 11, &[], &[]);
    lie(&mut history.updates[9]);
    let updates = history.encoded(Form::Batch);
    Lie9 { history, updates }
}

/// Audits nine honest entries, then meets a lie about the tenth; says what is found.
async fn meets(lie: Lie9) -> (Verdict, &'static str, World, Report) {
    let world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    world.publish_history(&History::of_additions(9));
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    let (before, signed) = (world.audit_state(), world.signed());
    world.publish(&lie.history.entries, &ALL);
    world.log.put_updates(lie.updates.clone());
    for _ in 0..2 {
        let report = world.round().await;
        assert_eq!((sizes(&report), report.tree_size), ((9, 9), 12), "{:?}", report.findings);
        assert_eq!((world.audit_state(), world.signed()), (before.clone(), signed.clone()));
        assert_eq!(report.audit.not_signed, None, "there is nothing new to sign");
    }
    let report = world.round().await;
    (report.verdict, report.findings[0].kind, world, report)
}

#[tokio::test]
async fn every_lie_about_a_change_has_its_name_and_is_kept_and_signed_by_nobody() {
    let new = [leaf(90, 1), leaf(91, 1)];
    let rewritten = leaf(4, 2);
    let drop_one = |update: &mut BatchAuditorUpdate| {
        update.added.pop();
        update.proof.results.pop();
    };
    let lies: Vec<(&str, Lie9)> = vec![
        // The log replaces a leaf and says that it adds one.
        (
            "update_rewrites",
            lie_at_nine(&[rewritten], &[], |update| {
                update.removed.clear();
                update.proof.results.truncate(1);
            }),
        ),
        // The log replaces a leaf and says so, before any owner could have seen it.
        ("update_removes_early", lie_at_nine(&[leaf(8, 2)], &[], |_| {})),
        ("update_removes_early", lie_at_nine(&[], &[leaf(8, 1)], |_| {})),
        // It leaves one of two changes out, or tells one that it did not make.
        (
            "update_of_another_root",
            lie_at_nine(&[new[0]], &[], |update| update.added[0].commitment = [9; 32]),
        ),
        ("update_of_another_time", lie_at_nine(&new, &[], |update| update.timestamp += 1)),
        ("update_timestamp", lie_at_nine(&new, &[], |update| update.timestamp = START + 7)),
        ("update_of_another_tree", lie_at_nine(&new, &[], |update| update.proof.elements[0][0] ^= 1)),
        ("update_unproven", lie_at_nine(&new, &[], |update| update.added.swap(0, 1))),
        ("update_unproven", lie_at_nine(&new, &[], |update| update.proof.elements.push([0; 32]))),
        (
            "update_unproven",
            lie_at_nine(&new, &[], |update| {
                let kind = PrefixSearchKind::Inclusion;
                update.removed.push(leaf(77, 1));
                update.proof.results.push(PrefixSearchResult { kind, depth: 0 });
            }),
        ),
        ("update_unproven", lie_at_nine(&new, &[], |update| update.proof.results[0].depth = 200)),
    ];
    for (expected, lie) in lies {
        let told = lie.updates[9].clone();
        let (verdict, kind, world, report) = meets(lie).await;
        assert_eq!((verdict, kind), (Verdict::BadUpdate, expected), "{:?}", report.findings);
        assert_eq!(report.audit.refused.len(), 1, "once, however often it is sent");
        let file = &report.audit.refused[0];
        assert!(file.starts_with("9-"), "{file}");
        assert_eq!(std::fs::read(world.dir().join("refused").join(file)).unwrap(), told);
        assert!(report.findings[0].detail.contains(file), "{:?}", report.findings);
    }
    // One of two leaves is left out: whatever the shape of the tree, the rest leads elsewhere.
    let mut dropping = lie_at_nine(&new, &[], drop_one);
    let mut honest = History::of_additions(9);
    honest.add(START + 9, &new[..1], &[]);
    dropping.updates[9] = encode(Form::Batch, &honest.updates[9]);
    let (verdict, kind, _world, report) = meets(dropping).await;
    assert_eq!((verdict, kind), (Verdict::BadUpdate, "update_of_another_root"), "{:?}", report.findings);
}

#[tokio::test]
async fn a_true_update_of_a_log_whose_checkpoint_says_otherwise_is_refused() {
    let mut lie = lie_at_nine(&[leaf(90, 1)], &[], |_| {});
    // Tiles and checkpoint agree with each other, and not with the change.
    lie.history.entries[9][39] ^= 1;
    let (verdict, kind, ..) = meets(lie).await;
    assert_eq!((verdict, kind), (Verdict::BadUpdate, "update_of_another_root"));
}

#[tokio::test]
async fn what_is_no_update_is_refused_before_it_is_read() {
    let honest = lie_at_nine(&[leaf(90, 1), leaf(91, 1)], &[], |_| {});
    let whole = honest.updates[9..].concat();
    for (lie, verdict, kind) in [
        (Lie::Status(404), Verdict::Unaudited, "updates_withheld"),
        (Lie::Status(400), Verdict::Unaudited, "updates_withheld"),
        (Lie::Status(410), Verdict::Unaudited, "updates_pruned"),
        (Lie::Status(429), Verdict::Unreachable, "log_unreachable"),
        (Lie::Status(503), Verdict::Unreachable, "log_unreachable"),
        (Lie::Silence, Verdict::Unreachable, "log_unreachable"),
        (Lie::Stall, Verdict::Unreachable, "log_unreachable"),
        (Lie::Redirect("/elsewhere".to_owned()), Verdict::Invalid, "garbage"),
        (Lie::Encoded("gzip", whole.clone()), Verdict::Invalid, "garbage"),
        (Lie::Bytes(Vec::new()), Verdict::Unaudited, "updates_end"),
        (Lie::Bytes(vec![0xff; 1000]), Verdict::BadUpdate, "update_too_large"),
        (Lie::Endless, Verdict::BadUpdate, "update_too_large"),
        (
            Lie::Bytes(honest.updates[9][..honest.updates[9].len() - 1].to_vec()),
            Verdict::BadUpdate,
            "update_malformed",
        ),
        (
            Lie::Bytes([&[0; 12][..], &[0, 0, 0, 0, 0, 0, 0, 1]].concat()),
            Verdict::BadUpdate,
            "update_malformed",
        ),
    ] {
        let mut world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
        world.publish_history(&History::of_additions(9));
        assert_eq!(world.round().await.verdict, Verdict::Ok);
        let (before, signed) = (world.audit_state(), world.signed());
        world.publish_history(&honest.history);
        let waits = matches!(lie, Lie::Silence | Lie::Stall);
        world.deadline = Duration::from_secs(if waits { 1 } else { 60 });
        world.log.lie(PATH, lie);
        let report = world.round().await;
        assert_eq!((report.verdict, report.findings[0].kind), (verdict, kind), "{:?}", report.findings);
        assert_eq!((world.audit_state(), world.signed()), (before, signed));
        world.log.be_honest();
        world.deadline = Duration::from_secs(60);
        let report = world.round().await;
        assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (12, 12)), "{:?}", report.findings);
        world.verified(&honest.history);
    }
}

#[tokio::test]
async fn what_came_before_a_lie_is_verified_and_what_came_after_it_is_not_read() {
    let world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    let lie = lie_at_nine(&[leaf(90, 1)], &[], |update| update.timestamp += 1);
    world.publish_history(&lie.history);
    let report = world.round().await;
    assert_eq!((report.verdict, report.findings[0].kind), (Verdict::BadUpdate, "update_of_another_time"));
    assert_eq!(sizes(&report), (9, 0), "nothing is signed while an update is refused");
    assert_eq!(report.audit.not_signed.as_deref(), Some("the verdict is bad_update"));
    // Bytes that are no update wait until what is before them is verified.
    let world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    let history = History::of_additions(9);
    world.publish_history(&history);
    let updates = history.encoded(Form::Batch);
    world.log.lie(PATH, Lie::Bytes([&updates[..5].concat()[..], &[0xff; 20]].concat()));
    let report = world.round().await;
    // The same answer to the next question begins with an update that was verified already.
    assert_eq!((report.verdict, report.findings[0].kind), (Verdict::BadUpdate, "update_timestamp"));
    assert_eq!(sizes(&report).0, 5);
}

#[tokio::test]
async fn an_update_above_the_operators_limit_waits_for_another_limit() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let mut world = World::audited(suite, WINDOW, 0).await;
        let mut history = History::of_additions(2);
        history.add(START + 2, &[leaf(50, 1), leaf(51, 1), leaf(52, 1)], &[]);
        world.publish_history(&history);
        world.limits = Limits { leaves: 2 };
        let report = world.round().await;
        assert_eq!((report.verdict, report.findings[0].kind), (Verdict::BadUpdate, "update_too_large"));
        assert_eq!(sizes(&report), (2, 0));
        world.limits = Limits { leaves: 3 };
        let report = world.round().await;
        assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (3, 3)), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn an_audit_begins_where_the_configuration_says() {
    let world = World::audited(CipherSuite::Tlog, 0, 5).await;
    let mut history = History::of_additions(3);
    world.publish_history(&history);
    let report = world.round().await;
    assert_eq!((report.verdict, report.tree_size, sizes(&report)), (Verdict::Ok, 3, (0, 0)));
    for i in 3..5 {
        history.add(START + i, &[leaf(i, 1)], &[]);
    }
    world.publish_history(&history);
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (5, 0)), "nothing of its own to sign for");
    for i in 5..20 {
        history.add(START + i, &[leaf(i, 1)], &[]);
    }
    // A leaf from before the start may go as well: the last entry before it had it.
    history.add(START + 20, &[], &[leaf(2, 1)]);
    world.publish_history(&history);
    world.log.asked();
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (21, 21)), "{:?}", report.findings);
    world.verified(&history);
    assert_eq!(world.audit_state().unwrap().start, 5);
}

#[tokio::test]
async fn a_beginning_is_taken_from_entries_that_the_tree_has() {
    let world = World::audited(CipherSuite::Tlog, WINDOW, 300).await;
    let history = History::of_additions(400);
    world.publish_history(&history);
    // The entries are honest while the tree is replayed, and others when the frontier is asked for.
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    let other = World::audited(CipherSuite::Tlog, WINDOW, 300).await;
    other.publish(&history.entries[..299], &ALL);
    other.log.put_updates(history.encoded(Form::Batch));
    assert_eq!(other.round().await.verdict, Verdict::Ok);
    other.publish(&history.entries, &ALL);
    other.log.put_updates(history.encoded(Form::Batch));
    let mut wrong = history.entries[256..400].to_vec();
    wrong[299 - 256][39] ^= 1;
    let bundle = keyglass_tlog::tile::encode_bundle(wrong.iter().map(|entry| &entry[..])).unwrap();
    // Only entry 255 is within the bundle that was replayed before.
    other.log.lie("tile/entries/001.p/144", Lie::Bytes(bundle));
    let report = other.round().await;
    assert_ne!(report.verdict, Verdict::Ok);
    assert_eq!(sizes(&report), (0, 0));
    other.log.be_honest();
    let report = other.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (400, 400)), "{:?}", report.findings);
}

#[tokio::test]
async fn nothing_is_signed_that_is_older_than_the_lag_and_the_next_entry_is() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let world = World::audited(suite, WINDOW, 0).await;
        let mut history = History::of_additions(3);
        world.publish_history(&history);
        world.clock.set(START + 2 + MAX_LAG + 1);
        let report = world.round().await;
        assert_eq!((report.verdict, sizes(&report)), (Verdict::Ok, (3, 0)));
        assert!(report.audit.not_signed.unwrap().contains("60001 ms old"));
        assert!(world.signed().is_none());
        world.clock.set(START + 2 + MAX_LAG);
        assert_eq!(sizes(&world.round().await), (3, 3), "at the bound");
        history.add(START + 5 * MAX_LAG, &[leaf(9, 1)], &[]);
        world.clock.set(START + 5 * MAX_LAG + 1);
        world.publish_history(&history);
        assert_eq!(sizes(&world.round().await), (4, 4));
        world.verified(&history);
    }
}

#[tokio::test]
async fn only_a_witnessed_head_of_a_log_that_nobody_contradicts_is_signed() {
    let world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    let history = History::of_additions(9);
    world.publish(&history.entries, &[1]);
    world.log.put_updates(history.encoded(Form::Batch));
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Unwitnessed, (9, 0)));
    assert_eq!(report.audit.not_signed.as_deref(), Some("the verdict is unwitnessed"));
    // The quorum comes, and with it a witness that has cosigned another history.
    world.publish_history(&history);
    let mut fork = history.entries.clone();
    fork[8][39] ^= 1;
    world.cosigned(2, &world.keys.note(&fork, &[2]));
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Misbehaving, (9, 0)));
    assert!(world.signed().is_none());
}

#[tokio::test]
async fn what_was_verified_under_a_head_that_nobody_witnessed_is_not_signed_under_another() {
    let world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    let fork = History::of_additions(9);
    world.publish(&fork.entries, &[]);
    world.log.put_updates(fork.encoded(Form::Batch));
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Unwitnessed, (9, 0)));
    // A larger head of another tree is witnessed, and the log does not show what would tell them apart.
    let mut other = History::default();
    for i in 0..12 {
        other.add(START + i, &[leaf(100 + i, 1)], &[]);
    }
    world.publish(&other.entries, &ALL);
    world.log.put_updates(other.encoded(Form::Batch));
    for path in ["tile/entries/000.p/12", "tile/0/000.p/12"] {
        world.log.lie(path, Lie::Status(503));
    }
    let report = world.round().await;
    assert_eq!((report.verdict, sizes(&report)), (Verdict::Unreachable, (9, 0)), "{:?}", report.findings);
    assert!(world.signed().is_none());
    assert_eq!(report.audit.not_signed.as_deref(), Some("the verdict is unreachable"));
    world.log.be_honest();
    assert_eq!(world.round().await.verdict, Verdict::Misbehaving);
    assert!(world.signed().is_none());
}

#[tokio::test]
async fn what_was_verified_stays_so_while_the_log_is_silent() {
    let world = World::audited(CipherSuite::Tlog, WINDOW, 0).await;
    world.publish_history(&History::of_additions(9));
    assert_eq!(sizes(&world.round().await), (9, 9));
    world.log.lie("checkpoint", Lie::Status(503));
    let report = world.round().await;
    assert_eq!((report.verdict, report.tree_size, sizes(&report)), (Verdict::Unreachable, 9, (9, 9)));
}

#[tokio::test]
async fn a_log_of_the_draft_is_as_old_as_its_last_update() {
    let world = World::audited(CipherSuite::Draft, WINDOW, 0).await;
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Stale, vec!["empty"]));
    let history = History::of_additions(9);
    world.publish_history(&history);
    world.clock.set(START + 8 + MAX_BEHIND + 1);
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Stale, vec!["stale"]));
    world.clock.set(START + 8);
    world.log.lie(PATH, Lie::Status(502));
    assert_eq!(world.round().await.verdict, Verdict::Unreachable);
    assert!(world.log.asked().iter().all(|path| path == PATH), "nothing else is asked for");
    assert!(world.round().await.in_words().contains("shows no head"));
}
