//! Logs and witnesses that answer anything: bounded, told apart, and without effect on what was verified.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use keyglass_auditor::{
    fetch::{Http, VantageSource},
    report::WitnessState,
    verdict::Verdict,
};
use keyglass_tlog::{
    note::SignedNote,
    tile::{encode_bundle, encode_tile},
};
use kit::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What never ends is waited for as long as it takes to be sure; everything else gets all the time that it needs.
fn deadline(lie: &Lie) -> Duration {
    if matches!(lie, Lie::Silence | Lie::Stall) { Duration::from_secs(2) } else { Duration::from_secs(60) }
}

/// A world at 9 entries, whose log now has 300.
async fn at_nine() -> World {
    let world = World::new().await;
    world.publish(&honest(9), &ALL);
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world.publish(&honest(300), &ALL);
    world
}

/// The verdict and first finding while the log lies; and that nothing of what was verified changed by it.
async fn under(world: &mut World, path: &str, lie: Lie) -> (Verdict, &'static str) {
    let before = world.records().unwrap().position().unwrap();
    world.deadline = deadline(&lie);
    world.log.lie(path, lie);
    let report = world.round().await;
    world.log.be_honest();
    assert_eq!(world.records().unwrap().position().unwrap(), before, "{path}");
    assert!(report.evidence.is_empty());
    (report.verdict, report.findings[0].kind)
}

#[tokio::test]
async fn lies_in_place_of_the_checkpoint() {
    let mut world = at_nine().await;
    let elsewhere = format!("{}/elsewhere", world.log.url);
    world.log.put("elsewhere", b"x".to_vec());
    let unreachable = (Verdict::Unreachable, "log_unreachable");
    let garbage = (Verdict::Invalid, "garbage");
    let bad = (Verdict::Invalid, "bad_checkpoint");
    let good = world.keys.note(&honest(300), &ALL);
    let text = good.to_string();
    let mut many = good.signatures().to_vec();
    while many.len() < 64 {
        many.push(many[0].clone());
    }
    many.push(many[0].clone());
    let many: String = many.iter().map(|line| format!("{line}\n")).collect();
    let stranger = text.replace(world.keys.origin(), "log.example/other");
    let spoiled = SignedNote::new(good.text(), {
        let mut lines = good.signatures().to_vec();
        lines[1] = cosign(&world.keys.checkpoint(&honest(8)), 0);
        lines
    });
    for (lie, expected) in [
        (Lie::Status(404), unreachable),
        (Lie::Status(500), unreachable),
        (Lie::Status(204), unreachable),
        (Lie::Silence, unreachable),
        (Lie::Stall, unreachable),
        (Lie::Short(text.clone().into_bytes()), unreachable),
        (Lie::Redirect(elsewhere), garbage),
        (Lie::Endless, garbage),
        (Lie::Bytes(vec![b'x'; 1 << 20]), garbage),
        (Lie::Encoded("br", text.clone().into_bytes()), garbage),
        (Lie::Encoded("gzip", text.clone().into_bytes()), garbage),
        (Lie::Encoded("gzip", gzip(&vec![b'x'; 8 << 20])), garbage),
        (Lie::Bytes(Vec::new()), bad),
        (Lie::Bytes(vec![0xff; 100]), bad),
        (Lie::Bytes(text.as_bytes()[..text.len() - 1].to_vec()), bad),
        (Lie::Bytes(format!("{}\n{many}", good.text()).into_bytes()), bad),
        (Lie::Bytes(stranger.into_bytes()), bad),
        (Lie::Bytes(text.replacen("\n300\n", "\n301\n", 1).into_bytes()), bad),
        (Lie::Bytes(text.replacen("\n300\n", "\n0300\n", 1).into_bytes()), bad),
    ] {
        assert_eq!(under(&mut world, "checkpoint", lie).await, expected);
    }
    // A client would refuse a note with a bad line of a known witness; what the log signed is compared all the same.
    world.log.lie("checkpoint", Lie::Bytes(spoiled.unwrap().to_string().into_bytes()));
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Invalid, vec!["bad_checkpoint"]));
    assert_eq!(report.tree_size, 300);
}

#[tokio::test]
async fn lies_in_place_of_entries() {
    let mut world = at_nine().await;
    let entries = honest(300);
    let bundle = |entries: &[Vec<u8>]| Lie::Bytes(encode_bundle(entries.iter().map(Vec::as_slice)).unwrap());
    let first: Vec<Vec<u8>> = entries[..256].iter().map(|entry| entry.to_vec()).collect();
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut entries = first.clone();
        change(&mut entries);
        bundle(&entries)
    };
    let whole = encode_bundle(first.iter().map(Vec::as_slice)).unwrap();
    let unreachable = (Verdict::Unreachable, "log_unreachable");
    let garbage = (Verdict::Invalid, "garbage");
    let entries = (Verdict::Invalid, "bad_entries");
    for (lie, expected) in [
        (Lie::Status(404), (Verdict::Unreconciled, "withheld")),
        (Lie::Status(403), (Verdict::Unreconciled, "withheld")),
        (Lie::Status(410), (Verdict::Unaudited, "pruned")),
        (Lie::Status(429), unreachable),
        (Lie::Status(503), unreachable),
        (Lie::Silence, unreachable),
        (Lie::Stall, unreachable),
        (Lie::Short(whole[..whole.len() - 7].to_vec()), unreachable),
        (Lie::Endless, garbage),
        (Lie::Redirect("/tile/entries/001.p/44".to_owned()), garbage),
        (Lie::Bytes(whole[..whole.len() - 1].to_vec()), garbage),
        (Lie::Bytes([&whole[..], b"x"].concat()), garbage),
        (Lie::Encoded("gzip", gzip(&vec![0; 64 << 20])), garbage),
        (Lie::Bytes(vec![0; whole.len()]), entries),
        (Lie::Bytes(vec![0xff; whole.len()]), entries),
        // An entry of another length beside one that makes up for it.
        (
            changed(&|all| {
                let byte = all[20].pop().unwrap();
                all[21].push(byte);
            }),
            entries,
        ),
        // An entry that was replayed before, and one that is new.
        (changed(&|all| all[3][39] ^= 1), entries),
        (changed(&|all| all[20][39] ^= 1), (Verdict::Unreconciled, "entries_do_not_match")),
        (changed(&|all| all.swap(20, 21)), entries),
        (changed(&|all| all[20][0] = 0xff), entries),
        (changed(&|all| all[9][..8].fill(0)), entries),
    ] {
        assert_eq!(under(&mut world, "tile/entries/000", lie).await, expected);
    }
    assert_eq!(world.round().await.verdict, Verdict::Ok);
}

#[tokio::test]
async fn lies_in_place_of_tiles_on_a_long_way() {
    let mut world = World::new().await;
    world.publish(&honest(20_000), &ALL);
    world.clock.set(START + 20_000);
    let unreachable = (Verdict::Unreachable, "log_unreachable");
    let garbage = (Verdict::Invalid, "garbage");
    // The proof of the first chunk needs the tile of level 1.
    let tile = "tile/1/000.p/78";
    for (lie, expected) in [
        (Lie::Status(404), (Verdict::Unreconciled, "withheld")),
        (Lie::Status(502), unreachable),
        (Lie::Stall, unreachable),
        (Lie::Endless, garbage),
        (Lie::Bytes(vec![1; 78 * 32 - 1]), garbage),
        (Lie::Bytes(encode_tile(&[[1; 32]; 78])), (Verdict::Unreconciled, "entries_do_not_match")),
    ] {
        assert_eq!(under(&mut world, tile, lie).await, expected);
    }
    assert_eq!(world.round().await.verdict, Verdict::Ok);
}

#[tokio::test]
async fn a_head_of_an_absurd_size_costs_a_few_requests() {
    let world = at_nine().await;
    for size in [u64::MAX, 1 << 63, 1 << 40] {
        let absurd = keyglass_tlog::checkpoint::Checkpoint::new(world.keys.origin(), size, [1; 32]).unwrap();
        world.log.put("checkpoint", world.keys.note_of(&absurd, &ALL).to_string().into_bytes());
        let report = world.round().await;
        assert_eq!(report.verdict, Verdict::Unreconciled, "{:?}", report.findings);
        assert_eq!(report.tree_size, 9);
        assert!(world.log.asked().len() < 200);
    }
}

#[tokio::test]
async fn lies_of_witnesses() {
    let mut world = at_nine().await;
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    let path = world.monitoring_path();
    let (unreachable, invalid) = (WitnessState::Unreachable, WitnessState::Invalid);
    let note = |witnesses: &[usize]| world.keys.note(&honest(300), witnesses).to_string().into_bytes();
    let unsigned = {
        let checkpoint = world.keys.checkpoint(&history(5, 1, 300));
        let lines = ALL.iter().map(|i| cosign(&checkpoint, *i)).collect();
        SignedNote::new(&checkpoint.text(), lines).unwrap().to_string().into_bytes()
    };
    for (lie, expected) in [
        (Lie::Status(404), WitnessState::Never),
        (Lie::Status(500), unreachable),
        (Lie::Silence, unreachable),
        (Lie::Stall, unreachable),
        (Lie::Endless, unreachable),
        (Lie::Redirect(format!("{}/checkpoint", world.log.url)), unreachable),
        (Lie::Short(note(&[1])), unreachable),
        (Lie::Bytes(Vec::new()), invalid),
        (Lie::Bytes(vec![0xff; 1000]), invalid),
        // It does not stand by this head itself; or the log never signed it, so that it convicts nobody.
        (Lie::Bytes(note(&[0, 2])), invalid),
        (Lie::Bytes(unsigned), invalid),
        (Lie::Bytes(note(&[0, 1, 2])), WitnessState::Agrees),
    ] {
        world.deadline = deadline(&lie);
        world.witnesses[1].lie(&path, lie);
        let report = world.round().await;
        assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
        assert_eq!(states(&report)[1], expected, "{report:?}");
        assert!(report.evidence.is_empty());
    }
}

#[tokio::test]
async fn a_witness_that_hides_its_cosignature_does_not_hide_the_fork() {
    let world = at_nine().await;
    assert_eq!(world.round().await.verdict, Verdict::Ok);
    world.cosigned(1, &world.keys.note(&history(5, 1, 300), &[]));
    let report = world.round().await;
    assert_eq!(
        (report.verdict, report.witnesses[1].state),
        (Verdict::Misbehaving, WitnessState::Contradicts)
    );
}

#[tokio::test]
async fn extension_lines_are_refused_and_do_not_hide_a_fork() {
    let world = at_nine().await;
    let extended = |entries: &[Entry]| {
        let text = format!("{}more\n", world.keys.checkpoint(entries).text());
        let checkpoint = keyglass_tlog::checkpoint::Checkpoint::parse(&text).unwrap();
        world.keys.note_of(&checkpoint, &ALL)
    };
    world.log.put("checkpoint", extended(&honest(300)).to_string().into_bytes());
    let report = world.round().await;
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Invalid, vec!["extensions"]));
    world.log.put("checkpoint", extended(&history(5, 1, 300)).to_string().into_bytes());
    assert_eq!(world.round().await.verdict, Verdict::Misbehaving);
}

#[tokio::test]
async fn lies_of_other_auditors_and_other_addresses() {
    let world = at_nine().await;
    let liar = Server::start().await;
    let round = async |deadline: Duration| {
        let http = Http::new(deadline).unwrap();
        let others = vec![
            VantageSource::mirror(http.clone(), &liar.url).unwrap(),
            VantageSource::auditor(http, "other", &liar.url, world.trust.origin()).unwrap(),
        ];
        world.follower().follower.beside(others).round().await.unwrap()
    };
    let stranger = World::other().await.keys.note(&honest(9), &ALL).to_string().into_bytes();
    let unsigned = world.keys.note(&honest(9), &ALL).to_string().replace("log.example", "log.examplf");
    for (lie, state) in [
        (Lie::Status(500), WitnessState::Unreachable),
        (Lie::Redirect(world.log.url.clone()), WitnessState::Unreachable),
        (Lie::Endless, WitnessState::Unreachable),
        (Lie::Stall, WitnessState::Unreachable),
        (Lie::Silence, WitnessState::Unreachable),
        (Lie::Short(b"x".to_vec()), WitnessState::Unreachable),
        (Lie::Bytes(b"garbage".to_vec()), WitnessState::Invalid),
        (Lie::Bytes(stranger), WitnessState::Invalid),
        (Lie::Bytes(unsigned.into_bytes()), WitnessState::Invalid),
    ] {
        let deadline = deadline(&lie);
        liar.lie("checkpoint", lie.clone());
        liar.lie(&world.monitoring_path(), lie);
        let report = round(deadline).await;
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
        let seen: Vec<_> = report.vantage_points.iter().map(|point| point.witness.state).collect();
        assert_eq!(seen, [state, state]);
        assert!(report.vantage_points.iter().all(|point| point.witness.detail.is_some()));
    }
    // What the log did sign counts, whoever shows it and however.
    let fork = world.keys.note(&history(3, 1, 9), &[]).to_string().into_bytes();
    liar.lie(&world.monitoring_path(), Lie::Bytes(fork));
    assert_eq!(round(Duration::from_secs(60)).await.verdict, Verdict::Misbehaving);
}
