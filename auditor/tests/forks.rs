//! Logs that sign two histories: evidence, and who is named in it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use keyglass_auditor::{
    records::{Admission, Source, Standing},
    report::WitnessState,
    verdict::Verdict,
};
use keyglass_tlog::{checkpoint::Checkpoint, evidence::Evidence, policy::Name};
use kit::*;

fn fork(size: u64) -> Vec<Entry> {
    history(5, 1, size)
}

#[tokio::test]
async fn colluding_witness_signs_both_sides_at_one_size() {
    let world = World::new().await;
    // w1 sees only side A, w2 only side B, w3 signs both.
    world.publish(&honest(9), &[0, 2]);
    world.cosigned(1, &world.keys.note(&fork(9), &[1]));
    world.cosigned(2, &world.keys.note(&fork(9), &[2]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
    let contradicts = WitnessState::Contradicts;
    assert_eq!(states(&report), [WitnessState::Agrees, contradicts, contradicts]);
    let convictions = world.convictions(&report);
    assert!(convictions.iter().all(|(evidence, _)| matches!(evidence, Evidence::SameSize { .. })));
    assert!(convictions.iter().any(|(_, proven)| proven.faulty_witnesses() == [Name::from("w3")]));
    assert!(report.convictions.iter().any(|conviction| conviction.faulty_witnesses == ["w3"]));

    // Evidence is found once, and stays: the log's later good behaviour changes nothing.
    world.publish(&honest(12), &[0, 2]);
    let again = world.round().await;
    assert_eq!((again.verdict, again.tree_size), (Verdict::Misbehaving, 12));
    assert_eq!(again.evidence, report.evidence);
}

#[tokio::test]
async fn a_witness_on_the_other_side_is_not_blamed() {
    let world = World::new().await;
    world.publish(&honest(9), &[0, 2]);
    world.cosigned(1, &world.keys.note(&fork(9), &[1]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving);
    let [(_, proven)] = &world.convictions(&report)[..] else { panic!("one contradiction, one file") };
    assert!(proven.faulty_witnesses().is_empty());
    // Then the colluder shows its other side, and is named by a second file.
    world.cosigned(2, &world.keys.note(&fork(9), &[2]));
    let report = world.round().await;
    let named: Vec<_> = world
        .convictions(&report)
        .iter()
        .flat_map(|(_, proven)| proven.faulty_witnesses().to_vec())
        .collect();
    assert_eq!((report.evidence.len(), named), (2, vec![Name::from("w3")]));
}

#[tokio::test]
async fn a_smaller_head_of_the_other_side_is_proven_from_what_was_replayed() {
    let world = World::new().await;
    world.publish(&honest(300), &[0, 2]);
    world.cosigned(1, &world.keys.note(&fork(7), &[1]));
    world.cosigned(2, &world.keys.note(&fork(7), &[2]));
    // The log hands out nothing but the head and the entries: its hash tiles are not needed.
    for tile in ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"] {
        world.log.remove(tile);
    }
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
    let convictions = world.convictions(&report);
    assert!(convictions.iter().all(|(evidence, proven)| {
        matches!(evidence, Evidence::Inconsistent { .. }) && proven.sizes() == (7, 300)
    }));
    assert!(convictions.iter().any(|(_, proven)| proven.faulty_witnesses() == [Name::from("w3")]));
}

#[tokio::test]
async fn a_larger_head_of_the_other_side_is_proven_when_the_log_gets_there() {
    let world = World::new().await;
    world.publish(&honest(9), &[0, 2]);
    world.cosigned(1, &world.keys.note(&fork(12), &[1]));
    world.cosigned(2, &world.keys.note(&fork(12), &[2]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Ok, "nothing contradicts nothing yet: {:?}", report.findings);
    assert_eq!(states(&report)[1..], [WitnessState::Ahead; 2]);
    // The witnesses fall silent; what they showed is remembered across the restart.
    for witness in 1..3 {
        world.witnesses[witness].lie(&world.monitoring_path(), Lie::Status(500));
    }
    world.publish(&honest(13), &[0, 2]);
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
    let convictions = world.convictions(&report);
    assert_eq!(convictions[0].1.sizes(), (12, 13));
    assert!(convictions.iter().any(|(_, proven)| proven.faulty_witnesses() == [Name::from("w3")]));
}

#[tokio::test]
async fn a_larger_head_of_the_other_side_is_proven_by_its_tiles_where_the_log_serves_them() {
    let world = World::new().await;
    world.publish(&honest(9), &[0, 2]);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world.serve_tiles(&fork(12));
    world.cosigned(1, &world.keys.note(&fork(12), &[1]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
    assert_eq!(world.convictions(&report)[0].1.sizes(), (9, 12));
}

#[tokio::test]
async fn a_log_that_rewrites_an_old_entry_proves_it_by_its_own_tiles() {
    for older_timestamps in [false, true] {
        let world = World::new().await;
        let old = honest(300);
        world.publish(&old, &ALL);
        assert_eq!(world.round().await.verdict, Verdict::Ok);
        let mut rewritten = honest(400);
        rewritten[17] = entry(1, 17);
        if older_timestamps {
            // What is new breaks another rule besides; that must not save the log.
            for (i, entry) in rewritten.iter_mut().enumerate().skip(300) {
                *entry = kit::entry(0, i as u64 - 200);
            }
        }
        world.publish(&rewritten, &ALL);
        let report = world.round().await;
        assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
        let convictions = world.convictions(&report);
        assert_eq!(convictions[0].1.sizes(), (300, 400));
        assert_eq!(convictions[0].1.faulty_witnesses().len(), 3, "they all signed both");
        let position = world.records().unwrap().position().unwrap();
        assert_eq!((position.size, position.root), (300, root(&old)), "what was verified stays");
    }
}

#[tokio::test]
async fn a_rewritten_log_that_withholds_its_tiles_is_unreconciled() {
    let world = World::new().await;
    world.publish(&honest(300), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    let mut rewritten = honest(400);
    rewritten[17] = entry(1, 17);
    world.publish(&rewritten, &ALL);
    world.log.lie("tile/1/000.p/1", Lie::Status(403));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Unreconciled);
    assert!(kinds(&report).contains(&"withheld"), "{:?}", report.findings);
    assert!(report.evidence.is_empty());
    // Tiles of the old tree, which do not lead to the new head.
    world.log.be_honest();
    world.log.lie("tile/1/000.p/1", Lie::Bytes(vec![7; 32]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Unreconciled);
    assert!(kinds(&report).contains(&"tiles_do_not_match"), "{:?}", report.findings);
    // And when it shows them after all, there is evidence.
    world.log.be_honest();
    assert_eq!(world.round().await.verdict, Verdict::Misbehaving);
}

#[tokio::test]
async fn a_log_that_goes_back_and_takes_another_way_is_convicted() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world.show(&fork(7), &[]);
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
    assert_eq!(world.convictions(&report)[0].1.sizes(), (7, 9));
    let other = World::new().await;
    other.publish(&honest(9), &ALL);
    assert_eq!(other.round().await.verdict, Verdict::Ok);
    other.show(&fork(9), &[]);
    assert_eq!(other.round().await.verdict, Verdict::Misbehaving);
}

#[tokio::test]
async fn a_head_can_be_disputed_before_everything_is_replayed() {
    let world = World::new().await;
    world.publish(&honest(20_000), &[0, 2]);
    world.clock.set(START + 20_000);
    world.cosigned(1, &world.keys.note(&fork(100), &[1]));
    // What is replayed ends where the log signed nothing, and the rest is withheld.
    world.log.lie("tile/entries/070", Lie::Status(404));
    world.log.lie("tile/0/000", Lie::Status(404));
    let report = world.round().await;
    assert_eq!((report.verdict, report.tree_size), (Verdict::Unreconciled, 16_384));
    assert!(kinds(&report).contains(&"withheld") && kinds(&report).contains(&"disputed"), "{report:?}");
    assert_eq!(report.witnesses[1].state, WitnessState::Disputed);
    assert!(report.evidence.is_empty());
    // The tiles under the signed head prove it, before the entries do.
    world.log.be_honest();
    world.log.lie("tile/entries/070", Lie::Status(404));
    let report = world.round().await;
    assert_eq!((report.verdict, report.tree_size), (Verdict::Misbehaving, 16_384));
    assert_eq!(world.convictions(&report)[0].1.sizes(), (100, 20_000));
    assert_eq!(report.witnesses[1].state, WitnessState::Contradicts);
}

#[tokio::test]
async fn an_impossible_empty_tree_is_evidence_by_itself() {
    let world = World::new().await;
    let impossible = Checkpoint::new(world.keys.origin(), 0, [3; 32]).unwrap();
    world.publish(&honest(9), &ALL);
    world.cosigned(1, &world.keys.note_of(&impossible, &[1]));
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving);
    let convictions = world.convictions(&report);
    assert!(matches!(convictions[0].0, Evidence::EmptyTree { .. }));
    assert_eq!(convictions[0].1.faulty_witnesses(), [Name::from("w2")]);
}

#[tokio::test]
async fn a_fork_that_goes_on_does_not_fill_the_disk() {
    let world = World::new().await;
    let auditor = world.follower();
    for size in 9..40 {
        world.publish(&honest(size), &[0, 2]);
        world.cosigned(1, &world.keys.note(&fork(size), &[1]));
        world.cosigned(2, &world.keys.note(&fork(size), &[2]));
        assert_eq!(auditor.round().await.verdict, Verdict::Misbehaving);
    }
    let report = auditor.round().await;
    assert!(report.evidence.len() <= 2, "{:?}", report.convictions);
}

#[tokio::test]
async fn heads_that_cannot_be_compared_yet_are_bounded() {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    let mut records = world.records().unwrap();
    let now = keyglass_tlog::time::UnixMillis(START);
    let mut reported = 0;
    let mut admit = |size: u64, source: &Source| {
        let note = world.keys.note_of(&Checkpoint::new(world.keys.origin(), size, [1; 32]).unwrap(), &[]);
        records.admit(world.head(&note), source.clone(), now).unwrap()
    };
    for size in 100..400 {
        reported += usize::from(admit(size, &Source::Client) == Admission::Stands(Standing::Open));
    }
    assert_eq!(reported, keyglass_auditor::records::MAX_OPEN_REPORTED);
    // Others' room is their own, and the first ones that somebody showed stay.
    let witness = Source::Witness(Name::from("w1"));
    for size in 1000..1100 {
        assert_eq!(admit(size, &witness), Admission::Stands(Standing::Open));
    }
    let sizes: Vec<u64> = records
        .standing(Standing::Open)
        .filter(|known| known.source == witness)
        .map(|known| known.head.size())
        .collect();
    assert_eq!(sizes.len(), keyglass_auditor::records::MAX_OPEN);
    assert!(sizes.contains(&1000) && sizes.contains(&1099), "{sizes:?}");
}

/// A log of 20,000 entries, of which the first chunk was replayed when the others did not come.
async fn on_the_way() -> World {
    let world = World::new().await;
    world.publish(&honest(20_000), &ALL);
    world.clock.set(START + 40_000);
    world.log.lie("tile/entries/064", Lie::Status(503));
    let report = world.round().await;
    assert_eq!((report.verdict, report.tree_size), (Verdict::Unreachable, 16_384), "{:?}", report.findings);
    world.log.be_honest();
    world
}

#[tokio::test]
async fn a_log_that_takes_another_way_while_it_is_caught_up_with_is_convicted() {
    let world = on_the_way().await;
    // No head that was seen before is within what was replayed.
    world.publish(&history(10_000, 1, 30_000), &ALL);
    let report = world.round().await;
    assert_eq!(report.verdict, Verdict::Misbehaving, "{:?}", report.findings);
    let convictions = world.convictions(&report);
    assert!(matches!(convictions[0].0, Evidence::Inconsistent { .. }));
    assert_eq!(convictions[0].1.faulty_witnesses().len(), 3, "all of them cosigned both");
}

#[tokio::test]
async fn a_head_that_was_convicted_by_others_evidence_stays_so() {
    let world = on_the_way().await;
    let mut records = world.records().unwrap();
    let (side, other) = (history(5, 1, 9), history(6, 1, 9));
    let disputed = |witnesses: &[usize]| world.head(&world.keys.note(&side, witnesses));
    let now = keyglass_tlog::time::UnixMillis(START);
    let mut admit = |head| records.admit(head, Source::Client, now).unwrap();
    assert_eq!(admit(disputed(&[])), Admission::Stands(Standing::Disputed));
    let both = [&side, &other].map(|entries| world.keys.note(entries, &[]));
    let evidence = Evidence::of_notes(&both[0], &both[1]).unwrap();
    assert!(records.convict(&evidence, &disputed(&[])).unwrap());
    // Another witness's line makes it news, and no new doubt.
    let again = records.admit(disputed(&[1]), Source::Client, now).unwrap();
    assert_eq!(again, Admission::Stands(Standing::Contradicts));
}
