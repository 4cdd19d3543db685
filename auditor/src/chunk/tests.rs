use keyglass_keytrans::wire::LogEntry;
use keyglass_tlog::{
    rfc6962::CompactTree,
    tile::{encode_bundle, encode_tile, new_tiles},
    time::UnixMillis,
};
use proptest::prelude::*;

use super::*;
use crate::replay::ReplayErrorCause;

fn entry(i: u64) -> [u8; 40] {
    LogEntry { timestamp: i / 3, prefix_tree: leaf_hash(&i.to_be_bytes()) }.to_bytes()
}

fn bundled(tile: Tile) -> (Tile, Vec<u8>) {
    let first = tile.index() * 256;
    let entries: Vec<[u8; 40]> = (first..first + u64::from(tile.width())).map(entry).collect();
    (tile, encode_bundle(entries.iter().map(|entry| &entry[..])).unwrap())
}

fn naive(size: u64) -> CompactTree {
    let mut tree = CompactTree::new();
    (0..size).for_each(|i| tree.append(leaf_hash(&entry(i))).unwrap());
    tree
}

#[test]
fn chunks_end_at_bundles_or_at_the_head() {
    assert_eq!(chunk_end(0, 10), 10);
    assert_eq!(chunk_end(0, 16_384), 16_384);
    assert_eq!(chunk_end(0, 16_385), 16_384);
    assert_eq!(chunk_end(16_384, 16_385), 16_385);
    assert_eq!(chunk_end(300, 40_000), 16_384);
    assert_eq!(chunk_end(u64::MAX - 1, u64::MAX), u64::MAX);
    let paths: Vec<String> = bundles(300, 600, 600).map(|tile| tile.to_string()).collect();
    assert_eq!(paths, ["tile/entries/001", "tile/entries/002.p/88"]);
    assert!(bundles(0, chunk_end(0, u64::MAX), u64::MAX).count() as u64 == CHUNK_BUNDLES);
}

#[test]
fn what_does_not_follow_is_refused() {
    let replay = || Replay::resume(naive(10), Some(UnixMillis(3)));
    let leaves: Vec<Digest> = (0..10).map(|i| leaf_hash(&entry(i))).collect();
    let tile = bundles(10, 20, 20).next().unwrap();
    let run = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bundle = bundled(tile);
        change(&mut bundle.1);
        replay_chunk(&mut replay(), &leaves, &[bundle]).unwrap_err()
    };
    assert!(replay_chunk(&mut replay(), &leaves, &[bundled(tile)]).is_ok());
    assert_eq!(run(&|bytes| bytes[42 * 4 + 41] ^= 1), ChunkError::Rewritten { position: 4 });
    let falls = run(&|bytes| bytes[42 * 12 + 2 + 7] = 0);
    let ChunkError::Entry(error) = falls else { panic!("{falls:?}") };
    assert_eq!(error.position, 12);
    assert!(matches!(error.cause, ReplayErrorCause::TimestampFalls { timestamp: 0, before: 3 }));
    for cut in [1, 41, 42] {
        let error = run(&|bytes| bytes.truncate(bytes.len() - cut));
        assert!(matches!(error, ChunkError::Bundle { .. }), "{error:?}");
    }
    // An overlap that is not known cannot be checked.
    let unknown = replay_chunk(&mut replay(), &leaves[..9], &[bundled(tile)]);
    assert_eq!(unknown, Err(ChunkError::Rewritten { position: 9 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn replaying_in_steps_gives_the_tree_and_its_tiles(steps in proptest::collection::vec(0u64..700, 1..5)) {
        let (mut replay, mut size) = (Replay::default(), 0);
        let mut rows: std::collections::BTreeMap<(u8, u64), Vec<Digest>> = Default::default();
        for step in steps {
            let next = size + step;
            while replay.size() < next {
                let from = replay.size();
                let overlap: Vec<Digest> = (from / 256 * 256..from).map(|i| leaf_hash(&entry(i))).collect();
                let end = chunk_end(from, next);
                let fetched: Vec<_> = bundles(from, end, next).map(bundled).collect();
                let hashes = replay_chunk(&mut replay, &overlap, &fetched).unwrap();
                for (level, index, row) in hashes.rows() {
                    let tile = rows.entry((level, index)).or_default();
                    prop_assert_eq!(tile.len() as u64, row.offset);
                    tile.extend(&row.hashes);
                }
            }
            size = next;
            prop_assert_eq!(replay.root(), naive(size).root());
        }
        let mut tiles = 0;
        for tile in new_tiles(0, size) {
            let Content::Hashes { level } = tile.content() else { continue };
            prop_assert_eq!(rows[&(level, tile.index())].len(), usize::from(tile.width()));
            prop_assert_eq!(encode_tile(&rows[&(level, tile.index())]).len(), usize::from(tile.width()) * 32);
            tiles += 1;
        }
        prop_assert_eq!(rows.len(), tiles);
    }
}
