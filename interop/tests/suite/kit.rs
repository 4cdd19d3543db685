//! What the tests share: the judge, a tree, seeded randomness, and ways to damage bytes.

use std::io::Write as _;

use keyglass_interop::{
    judge::Judge,
    programs::{BuildError, Programs, build},
};
use keyglass_tlog::{
    Digest,
    rfc6962::{CompactTree, NodeId, consistency_proof, inclusion_proof, leaf_hash, root_at},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

/// The Go programs; `None`, having said so, where they cannot be had.
pub fn programs() -> Option<&'static Programs> {
    match build() {
        Ok(programs) => Some(programs),
        Err(BuildError::Unavailable(why)) => {
            // Not by a macro: the test runner would keep what a test that passes printed.
            let _ = std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub fn judge() -> Option<Judge> {
    programs().map(|programs| Judge::start(programs).unwrap())
}

/// Random, and the same in every run.
pub fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub fn seed(random: &mut StdRng) -> [u8; 32] {
    random.random()
}

/// The entry that both sides put at this index.
pub fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// A tree of [`entry`]s that remembers every node.
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    pub fn of(size: u64) -> Self {
        let mut compact = CompactTree::new();
        let mut levels: Vec<Vec<Digest>> = Vec::new();
        for index in 0..size {
            let remember = |level: u8, index: u64, hash: &Digest| {
                let level = usize::from(level);
                levels.resize_with(levels.len().max(level + 1), Vec::new);
                assert_eq!(levels[level].len() as u64, index);
                levels[level].push(*hash);
            };
            compact.append_with(leaf_hash(&entry(index)), remember).unwrap();
        }
        Self { levels }
    }

    pub fn node(&self, node: NodeId) -> Result<Digest, NodeId> {
        let level = self.levels.get(usize::from(node.level));
        level.and_then(|level| level.get(usize::try_from(node.index).ok()?)).copied().ok_or(node)
    }

    pub fn root(&self, size: u64) -> Digest {
        root_at(size, |node| self.node(node)).unwrap()
    }

    pub fn inclusion(&self, index: u64, size: u64) -> Vec<Digest> {
        inclusion_proof(index, size, |node| self.node(node)).unwrap()
    }

    pub fn consistency(&self, old: u64, new: u64) -> Vec<Digest> {
        consistency_proof(old, new, |node| self.node(node)).unwrap()
    }
}

/// Bytes with some small damage: a bit, a byte, a line, the end.
pub fn damage(random: &mut StdRng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..8) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = *b"\n +=0Az\r\t/".get(random.random_range(0..10)).unwrap(),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, *b"\n +=0Az\r\t/".get(random.random_range(0..10)).unwrap()),
        4 => bytes.truncate(at),
        5 => bytes.extend_from_within(at..),
        6 => {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
            let line = random.random_range(0..lines.len());
            if random.random() {
                lines.insert(line, lines[line]);
            } else {
                lines.remove(line);
            }
            bytes = lines.concat();
        }
        _ => {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
            let (a, b) = (random.random_range(0..lines.len()), random.random_range(0..lines.len()));
            lines.swap(a, b);
            bytes = lines.concat();
        }
    }
    bytes
}

/// The text of a member of an answer.
pub fn text<'a>(answer: &'a Value, path: &str) -> &'a str {
    answer.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {answer}"))
}
