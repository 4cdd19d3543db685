use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rfc6962::{CompactTree, consistency_proof, leaf_hash, root_at, verify_consistency};

fn hashes(level: u8, index: u64, width: u16) -> Tile {
    Tile::new(Content::Hashes { level }, index, width).unwrap()
}

fn entries(index: u64, width: u16) -> Tile {
    Tile::new(Content::Entries, index, width).unwrap()
}

#[test]
fn paths_of_the_text() {
    for (tile, path) in [
        (hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (hashes(0, 0, 256), "tile/0/000"),
        (hashes(1, 999, 1), "tile/1/999.p/1"),
        (hashes(3, 1000, 255), "tile/3/x001/000.p/255"),
        (entries(273, 112), "tile/entries/273.p/112"),
        (entries((1 << 56) - 1, 255), "tile/entries/x072/x057/x594/x037/x927/935.p/255"),
    ] {
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
    }
}

#[test]
fn other_spellings_are_no_paths() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/x0001/000",
        "tile/00/000",
        "tile/+0/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000/",
        "/tile/0/000",
        "tile//000",
        "tile/0//000",
        "tile/0/x001//000",
        "tile/entries",
        "tile/Entries/000",
        "tile/0/+00",
        "tile/0/x001/+00",
        "tile/0/000.P/1",
        "tile/0/000.p/1.p/1",
        "tile/data/000",
        "tile/0/００１",
        "tile/0/X001/000",
        " tile/0/000",
        "tile/0/000 ",
        "tile/0/000\n",
    ] {
        assert_eq!(path.parse::<Tile>(), Err(TileError::BadPath), "{path:?}");
    }
    // Well spelled, but no tree is that large.
    for path in
        ["tile/8/000", "tile/63/000", "tile/7/001", "tile/7/000", "tile/0/x072/x057/x594/x037/x927/936.p/1"]
    {
        assert_eq!(path.parse::<Tile>(), Err(TileError::Impossible), "{path:?}");
    }
    let huge = format!("tile/0/{}000", "x999/".repeat(7));
    assert_eq!(huge.parse::<Tile>(), Err(TileError::Impossible));
    let longer = format!("tile/0/{}000", "x999/".repeat(100));
    assert_eq!(longer.parse::<Tile>(), Err(TileError::BadPath));
}

#[test]
fn tiles_of_the_text() {
    let tiles: Vec<Tile> = new_tiles(0, 70_000).collect();
    let count = |content, full| tiles.iter().filter(|t| t.content == content && t.is_full() == full).count();
    assert_eq!(count(Content::Hashes { level: 0 }, true), 273);
    assert_eq!(count(Content::Entries, true), 273);
    assert_eq!(count(Content::Hashes { level: 1 }, true), 1);
    let partial: Vec<String> = partial_tiles(70_000).map(|tile| tile.to_string()).collect();
    assert_eq!(partial, ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    let of_256: Vec<String> = new_tiles(0, 256).map(|tile| tile.to_string()).collect();
    assert_eq!(of_256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(new_tiles(0, 0).count() + new_tiles(5, 5).count() + partial_tiles(0).count(), 0);
}

#[test]
fn a_tree_has_its_tiles_and_no_other() {
    assert!(hashes(0, 0, 70).fits(70) && hashes(0, 0, 70).is_tile_of(70));
    assert!(hashes(0, 0, 69).fits(70) && !hashes(0, 0, 69).is_tile_of(70));
    assert!(!hashes(0, 0, 71).fits(70));
    assert!(hashes(0, 0, 256).is_tile_of(256) && hashes(0, 0, 256).is_tile_of(70_000));
    assert!(!hashes(1, 0, 1).fits(255) && hashes(1, 0, 1).is_tile_of(256));
    assert!(hashes(7, 0, 255).is_tile_of(u64::MAX));
}

/// A log's tiles, kept as tlog-tiles says: what was published for any size so far.
#[derive(Default)]
struct Published {
    tree: CompactTree,
    levels: BTreeMap<u8, Vec<Digest>>,
    tiles: BTreeMap<String, Vec<u8>>,
}

impl Published {
    fn grow(&mut self, size: u64) {
        let old = self.tree.size();
        for i in old..size {
            let levels = &mut self.levels;
            let keep = |level: u8, _, hash: &Digest| {
                if level.is_multiple_of(8) {
                    levels.entry(level / 8).or_default().push(*hash);
                }
            };
            self.tree.append_with(leaf_hash(&i.to_be_bytes()), keep).unwrap();
        }
        for tile in new_tiles(old, size) {
            assert!(tile.is_tile_of(size) && !tile.fits(old));
            let Content::Hashes { level } = tile.content() else { continue };
            let first = tile.index() as usize * 256;
            let row = &self.levels[&level][first..first + usize::from(tile.width())];
            self.tiles.insert(tile.to_string(), encode_tile(row));
        }
    }

    fn node(&self, size: u64) -> impl Fn(NodeId) -> Result<Digest, TileError> + '_ {
        move |id| {
            let tile = tile_of_node(id, size).unwrap();
            node_in_tile(id, &tile, &self.tiles[&tile.to_string()])
        }
    }
}

#[test]
fn published_tiles_prove_every_size() {
    let mut log = Published::default();
    let mut heads = vec![(0, log.tree.root())];
    for size in [1, 2, 7, 255, 256, 257, 700, 65_535, 65_536, 65_537, 66_000] {
        log.grow(size);
        heads.push((size, log.tree.root()));
        for (old, old_root) in &heads {
            let node = log.node(size);
            assert_eq!(root_at(*old, &node).unwrap(), *old_root);
            let proof = consistency_proof(*old, size, node).unwrap();
            verify_consistency(*old, old_root, size, &log.tree.root(), &proof).unwrap();
        }
    }
}

/// The tiles of a tree of `size` leaves, counted out as the text says.
fn counted(size: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let levels = (0..8).map(|level| Content::Hashes { level });
    for content in std::iter::once(Content::Entries).chain(levels) {
        let level = match content {
            Content::Hashes { level } => u32::from(level),
            Content::Entries => 0,
        };
        let on_level = size / 256_u64.pow(level);
        tiles.extend((0..on_level / 256).map(|index| Tile { content, index, width: 256 }));
        let width = u16::try_from(on_level % 256).unwrap();
        if width > 0 {
            tiles.push(Tile { content, index: on_level / 256, width });
        }
    }
    tiles
}

#[test]
fn every_size_has_the_tiles_that_the_text_counts_out() {
    for size in 0..70_100 {
        let partial = partial_tiles(size);
        let mut expected = counted(size);
        if size % 97 == 0 || size % 256 <= 1 || size % 256 == 255 {
            assert_eq!(new_tiles(0, size).collect::<Vec<_>>(), expected, "{size}");
            assert!(
                expected.iter().all(|tile| tile.is_tile_of(size) && tile.to_string().parse() == Ok(*tile))
            );
        }
        expected.retain(|tile| !tile.is_full());
        assert_eq!(partial.collect::<Vec<_>>(), expected, "{size}");
        // One more entry makes these, and nothing else.
        let before = |tile: &Tile| tile.is_tile_of(size);
        let new: Vec<Tile> = new_tiles(size, size + 1).collect();
        assert!(new.iter().all(|tile| tile.is_tile_of(size + 1) && !before(tile)), "{size}");
        let grown = counted_right_edge(size + 1).filter(|tile| !before(tile)).count();
        assert_eq!(new.len(), grown, "{size}");
    }
}

/// The last tile on each level of a tree.
fn counted_right_edge(size: u64) -> impl Iterator<Item = Tile> {
    let levels = (0..8_u8).map(|level| (Content::Hashes { level }, u32::from(level)));
    std::iter::once((Content::Entries, 0)).chain(levels).filter_map(move |(content, level)| {
        let last = (size / 256_u64.pow(level)).checked_sub(1)?;
        Some(Tile { content, index: last / 256, width: u16::try_from(last % 256 + 1).unwrap() })
    })
}

#[test]
fn nodes_outside_the_tree_have_no_tile() {
    assert_eq!(tile_of_node(NodeId { level: 0, index: 5 }, 5), None);
    assert_eq!(tile_of_node(NodeId { level: 3, index: 0 }, 7), None);
    assert_eq!(tile_of_node(NodeId { level: 3, index: 0 }, 8), Some(hashes(0, 0, 8)));
    assert_eq!(tile_of_node(NodeId { level: 64, index: 0 }, u64::MAX), None);
    assert_eq!(tile_of_node(NodeId { level: 63, index: 2 }, u64::MAX), None);
    assert_eq!(tile_of_node(NodeId { level: 255, index: u64::MAX }, u64::MAX), None);
    let tile = hashes(0, 0, 2);
    assert_eq!(
        node_in_tile(NodeId { level: 1, index: 0 }, &tile, &[0; 63]),
        Err(TileError::WrongLength { expected: 64 })
    );
    assert_eq!(node_in_tile(NodeId { level: 1, index: 1 }, &tile, &[0; 64]), Err(TileError::OtherNode));
    assert_eq!(node_in_tile(NodeId { level: 8, index: 0 }, &tile, &[0; 64]), Err(TileError::OtherNode));
}

#[test]
fn bundles_are_exact() {
    let bundle = encode_bundle([&b"one"[..], b"", &[7; 65_535]]).unwrap();
    assert_eq!(parse_bundle(&entries(0, 3), &bundle).unwrap(), [&b"one"[..], b"", &[7; 65_535]]);
    assert_eq!(parse_bundle(&entries(0, 2), &bundle), Err(BundleError::WrongCount { expected: 2 }));
    assert_eq!(parse_bundle(&entries(0, 4), &bundle), Err(BundleError::WrongCount { expected: 4 }));
    assert_eq!(parse_bundle(&entries(0, 3), &bundle[..bundle.len() - 1]), Err(BundleError::Truncated));
    assert_eq!(parse_bundle(&entries(0, 2), &[0, 0, 0]), Err(BundleError::Truncated));
    assert_eq!(encode_bundle([&[0; 65_536][..]]), Err(BundleError::EntryTooLong));
}

proptest! {
    #[test]
    fn any_text_that_is_a_path_is_the_one_it_formats_to(path in "tile/(entries|[0-9]{1,2})/(x?[0-9]{1,4}/){0,4}x?[0-9]{1,4}(\\.p/[0-9]{1,4})?") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }

    #[test]
    fn new_tiles_are_those_that_the_smaller_tree_lacks(old in 0u64..70_000, more in 0u64..70_000) {
        let new = old + more;
        let lacking: Vec<Tile> = counted(new).into_iter().filter(|tile| !tile.is_tile_of(old)).collect();
        prop_assert_eq!(new_tiles(old, new).collect::<Vec<_>>(), lacking);
    }

    #[test]
    fn every_tile_has_a_path(level in 0u8..8, index: u64, width in 1u16..257) {
        let content = if level == 7 { Content::Entries } else { Content::Hashes { level } };
        if let Ok(tile) = Tile::new(content, index >> (8 * (u32::from(level % 7) + 1)), width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }
    }
}
