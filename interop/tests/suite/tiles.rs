//! Tiles, entry bundles and their paths: x/mod's tile reader, torchwood's client and tessera's.

use std::{collections::BTreeMap, fs, path::Path};

use keyglass_interop::judge::{Bytes, bytes};
use keyglass_tlog::{
    Digest,
    rfc6962::{NodeId, consistency_nodes, inclusion_nodes, leaf_hash, root_at},
    tile::{
        Content, FULL_WIDTH, Tile, encode_bundle, encode_tile, new_tiles, node_in_tile, parse_bundle,
        parse_tile, tile_of_node,
    },
};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kit::{Tree, damage, entry, judge, random, text};

/// Every size to 300, then some around the ends of tiles, and two whose trees have a second level of full tiles.
fn sizes() -> Vec<u64> {
    let around = [511, 512, 513, 767, 768, 1000, 5_000, 65_535, 65_536, 65_537, 66_049, 70_000];
    (1..=300).chain(around).collect()
}

/// The contents of a tile of our tree.
fn contents(tree: &Tree, tile: &Tile) -> Vec<u8> {
    let first = tile.index() * 256;
    let indexes = first..first + u64::from(tile.width());
    match tile.content() {
        Content::Hashes { level } => {
            let hashes: Vec<Digest> =
                indexes.map(|index| tree.node(NodeId { level: level * 8, index }).unwrap()).collect();
            encode_tile(&hashes)
        }
        Content::Entries => {
            let entries: Vec<Vec<u8>> = indexes.map(entry).collect();
            encode_bundle(entries.iter().map(Vec::as_slice)).unwrap()
        }
    }
}

fn write(directory: &Path, path: &str, contents: &[u8]) {
    let path = directory.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

#[derive(Deserialize)]
pub struct TilesRead {
    pub error: String,
    pub inclusion: Option<Vec<Option<Vec<Bytes>>>>,
    pub consistency: Option<Vec<Option<Vec<Bytes>>>>,
    pub entries: u64,
}

fn proofs(read: Option<Vec<Option<Vec<Bytes>>>>) -> Vec<Vec<Vec<u8>>> {
    let proof =
        |proof: Option<Vec<Bytes>>| proof.unwrap_or_default().into_iter().map(|hash| hash.0).collect();
    read.unwrap_or_default().into_iter().map(proof).collect()
}

#[test]
fn our_tiles_are_read_at_every_size() {
    let Some(mut judge) = judge() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = Tree::of(70_000);
    let mut before = 0;
    for size in sizes() {
        for tile in new_tiles(before, size) {
            write(directory.path(), &tile.to_string(), &contents(&tree, &tile));
        }
        before = size;
        let indexes = [0, size / 3, size - 1];
        let olds = [1, size.div_ceil(2), size];
        let root = tree.root(size);
        let question = json!({
            "op": "read_tiles", "dir": directory.path(), "size": size, "root": bytes(&root), "indexes": indexes,
            "olds": olds, "entries": size < 2_000 || size == 66_049,
        });
        let there: BTreeMap<String, TilesRead> = judge.ask(&question).unwrap();
        for (library, read) in there {
            assert_eq!(read.error, "", "{library} at {size}");
            if question["entries"] == true {
                assert_eq!(read.entries, size, "{library}");
            }
            let inclusion: Vec<_> = indexes.iter().map(|&index| tree.inclusion(index, size)).collect();
            assert_eq!(proofs(read.inclusion), inclusion, "{library} at {size}");
            let consistency: Vec<_> = olds.iter().map(|&old| tree.consistency(old, size)).collect();
            assert_eq!(proofs(read.consistency), consistency, "{library} at {size}");
        }
    }
}

#[test]
fn a_damaged_tile_is_noticed_on_both_sides() {
    let Some(mut judge) = judge() else { return };
    let tree = Tree::of(300);
    let random = &mut random(20);
    for _ in 0..60 {
        let directory = tempfile::tempdir().unwrap();
        let size = random.random_range(2..=300);
        let tiles: Vec<Tile> = new_tiles(0, size).collect();
        for tile in &tiles {
            write(directory.path(), &tile.to_string(), &contents(&tree, tile));
        }
        let hashes: Vec<&Tile> =
            tiles.iter().filter(|tile| matches!(tile.content(), Content::Hashes { .. })).collect();
        let damaged = hashes[random.random_range(0..hashes.len())];
        let mut bytes_of = contents(&tree, damaged);
        let at = random.random_range(0..bytes_of.len());
        bytes_of[at] ^= 1 << random.random_range(0..8);
        write(directory.path(), &damaged.to_string(), &bytes_of);
        let question = json!({
            "op": "read_tiles", "dir": directory.path(), "size": size, "root": bytes(&tree.root(size)),
            "indexes": [], "olds": [], "entries": true,
        });
        let there: BTreeMap<String, TilesRead> = judge.ask(&question).unwrap();
        assert_ne!(there["torchwood"].error, "", "a damaged {damaged} at {size}");
        let from_tiles = |node: NodeId| {
            let tile = tile_of_node(node, size).unwrap();
            node_in_tile(node, &tile, &fs::read(directory.path().join(tile.to_string())).unwrap())
        };
        // A damaged leaf changes the root; a damaged tile above is noticed against the leaves below it.
        let of_level = |lowest: bool| {
            root_at(size, |node| match (lowest, node.level) {
                (true, 8) => {
                    let leaves: Vec<Digest> = (0..256)
                        .map(|i| from_tiles(NodeId { level: 0, index: node.index * 256 + i }).unwrap())
                        .collect();
                    root_at(256, |node| {
                        leaves
                            .get(node.index as usize)
                            .copied()
                            .filter(|_| node.level == 0)
                            .map_or_else(|| fold(&leaves, node), Ok::<_, ()>)
                    })
                    .map_err(|_| ())
                }
                _ => from_tiles(node).map_err(|_| ()),
            })
        };
        let root = tree.root(size);
        assert!(of_level(false) != Ok(root) || of_level(true) != Ok(root), "a damaged {damaged} at {size}");
    }
}

fn fold(leaves: &[Digest], node: NodeId) -> Result<Digest, ()> {
    let mut tree = keyglass_tlog::rfc6962::CompactTree::new();
    let first = (node.index << node.level) as usize;
    for leaf in &leaves[first..first + (1 << node.level)] {
        tree.append(*leaf).map_err(|_| ())?;
    }
    Ok(tree.root())
}

#[test]
fn their_tiles_are_read_at_every_size() {
    let Some(mut judge) = judge() else { return };
    let tree = Tree::of(70_000);
    let _: Value = judge.ask(&json!({ "op": "grow", "to": 70_000 })).unwrap();
    for size in sizes() {
        // Entries and tiles of the largest trees are the same as the smaller ones'.
        if size > 5_000 && size != 65_537 && size != 70_000 {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let _: Value =
            judge.ask(&json!({ "op": "write_tiles", "dir": directory.path(), "size": size })).unwrap();
        let mut expected = 0;
        for tile in new_tiles(0, size) {
            let there = fs::read(directory.path().join(tile.to_string())).unwrap();
            assert_eq!(there, contents(&tree, &tile), "{tile} at {size}");
            match tile.content() {
                Content::Hashes { .. } => drop(parse_tile(&tile, &there).unwrap()),
                Content::Entries => {
                    for (offset, entry) in parse_bundle(&tile, &there).unwrap().into_iter().enumerate() {
                        let index = tile.index() * 256 + offset as u64;
                        assert_eq!(leaf_hash(entry), tree.node(NodeId { level: 0, index }).unwrap());
                    }
                }
            }
            expected += 1;
        }
        assert!(expected >= 2);
        let node = |node: NodeId| {
            let tile = tile_of_node(node, size).unwrap();
            node_in_tile(node, &tile, &fs::read(directory.path().join(tile.to_string())).unwrap())
        };
        assert_eq!(root_at(size, node).unwrap(), tree.root(size));
        for wanted in inclusion_nodes(size / 2, size).into_iter().chain(consistency_nodes(size / 2, size)) {
            assert_eq!(node(wanted).unwrap(), tree.node(wanted).unwrap());
        }
    }
}

#[test]
fn paths_are_the_same() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(21);
    let mut damaged = 0;
    for case in 0..3_000 {
        let level = random.random_range(-1..=6i64);
        // The libraries count in 63 bits.
        let index = random.random::<u64>() >> random.random_range(9..64);
        let width = if case % 2 == 0 { FULL_WIDTH } else { random.random_range(1..FULL_WIDTH) };
        let content = u8::try_from(level).map_or(Content::Entries, |level| Content::Hashes { level });
        let Ok(tile) = Tile::new(content, index, width) else { continue };
        let path = tile.to_string();
        assert_eq!(path.parse::<Tile>().unwrap(), tile);
        let question = json!({ "op": "write_path", "level": level, "index": index, "width": width });
        let there: BTreeMap<String, String> = judge.ask(&question).unwrap();
        for (library, written) in there {
            assert_eq!(written, path, "{library}");
        }
        let path = if case % 3 == 0 {
            path
        } else {
            damaged += 1;
            String::from_utf8_lossy(&damage(random, path.as_bytes())).into_owned()
        };
        let there: Value = judge.ask(&json!({ "op": "read_path", "path": path })).unwrap();
        match path.parse::<Tile>() {
            Ok(tile) => {
                assert_eq!(text(&there, "/error"), "", "torchwood refuses {path}");
                assert_eq!(text(&there, "/path"), tile.to_string());
                assert_eq!(there["index"].as_u64(), Some(tile.index()), "{path}");
                assert_eq!(there["width"].as_u64(), Some(tile.width().into()), "{path}");
            }
            // Levels and indexes that no tree has are ours to refuse; there they are numbers like others.
            Err(error) => assert!(
                !text(&there, "/error").is_empty() || text(&there, "/path") == path,
                "only we refuse {path}: {error}: {there}"
            ),
        }
    }
    assert!(damaged > 800, "{damaged}");
}

#[derive(Deserialize)]
struct BundleRead {
    error: String,
    entries: Option<Vec<Bytes>>,
}

#[test]
fn bundles_are_read_alike() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(22);
    let (mut read, mut refused) = (0, 0);
    for case in 0..3_000 {
        let entries: Vec<Vec<u8>> = (0..random.random_range(1..=8))
            .map(|_| (0..random.random_range(0..40)).map(|_| random.random()).collect())
            .collect();
        let good = encode_bundle(entries.iter().map(Vec::as_slice)).unwrap();
        let data = if case % 4 == 0 { good } else { damage(random, &good) };
        let there: BTreeMap<String, BundleRead> =
            judge.ask(&json!({ "op": "bundle", "data": bytes(&data) })).unwrap();
        for (library, bundle) in there {
            let there: Vec<Vec<u8>> = bundle.entries.unwrap_or_default().into_iter().map(|b| b.0).collect();
            // Which width a bundle has is known beforehand here; there, how many entries there are is the answer.
            let width = u16::try_from(there.len()).unwrap();
            let Ok(tile) = Tile::new(Content::Entries, 0, width.max(1)) else { continue };
            match parse_bundle(&tile, &data) {
                Ok(here) => {
                    assert_eq!(bundle.error, "", "{library} refuses {data:?}");
                    assert_eq!(here, there);
                    read += 1;
                }
                Err(error) => {
                    assert!(
                        !bundle.error.is_empty() || there.is_empty(),
                        "only we refuse: {error}: {library}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
}
