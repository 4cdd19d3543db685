//! The database: what was replayed, and the heads it was compared with.
//!
//! The log's hash tiles are kept as the auditor computed them, 32 bytes an entry: so it can prove what it saw to anyone,
//! and compare any earlier head, without asking the log again.

mod audit;

use std::path::{Path, PathBuf};

use keyglass_tlog::{
    Digest,
    rfc6962::{CompactTree, NodeId, ProveError, range_nodes, root_at},
    tile::{Content, FULL_WIDTH, Tile, node_in_tile, tile_of_node},
    time::UnixMillis,
};
use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use thiserror::Error;

use super::known::{Known, Source, Standing};
use crate::{
    head::SignedHead,
    replay::{NewHashes, Replay},
};

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const TILES: TableDefinition<'static, (u8, u64), &[u8]> = TableDefinition::new("tiles");
const HEADS: TableDefinition<'static, HeadKey, HeadValue> = TableDefinition::new("heads");

/// Size, and the hash of what is signed.
type HeadKey = (u64, &'static [u8; 32]);
/// Standing, first seen (ms), source, note.
type HeadValue = (u8, u64, &'static str, &'static [u8]);

const FORMAT_KEY: &str = "format";
const FORMAT: &[u8] = b"1";
const AUDITOR_KEY: &str = "auditor";
const ORIGIN_KEY: &str = "origin";
/// The history that pages show, see [`crate::overview::History`]; absent before the first round.
const HISTORY_KEY: &str = "history";
/// Size (8), root (32), last timestamp (8); absent while nothing was replayed.
const POSITION_KEY: &str = "position";

/// Why state cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file is not there. What was seen before is lost with it.
    #[error("{}: the auditor's state is missing", .0.display())]
    Missing(PathBuf),
    /// Another process has it open.
    #[error("{}: another process is using this data directory", .0.display())]
    InUse(PathBuf),
    /// Not a database of an auditor, or of another one.
    #[error("{}: not the state of this auditor", .0.display())]
    Foreign(PathBuf),
    /// The directory belongs to another log.
    #[error("{}: this directory follows the log {found}, not {expected}; use one directory per log", .path.display())]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// The origin in the database.
        found: String,
        /// The origin of the configuration.
        expected: String,
    },
    /// What is stored is not what was written.
    #[error("{}: damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: Damage,
    },
    /// Somebody else wrote in between.
    #[error("{}: the state has changed under this process", .0.display())]
    Conflict(PathBuf),
    /// The database failed.
    #[error("{}: {error}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: Box<redb::Error>,
    },
}

/// Which part of the state is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Damage {
    /// The position is not one.
    #[error("the position")]
    Position,
    /// A tile is missing or of another length.
    #[error("tile {index} of level {level}")]
    Tile {
        /// The tile's level.
        level: u8,
        /// Its index.
        index: u64,
    },
    /// The tiles do not lead to the root at the position.
    #[error("the tiles do not lead to the root")]
    Root,
    /// The replay of updates is not one.
    #[error("the replay of updates")]
    Audit,
    /// The auditor's head is not one.
    #[error("the auditor's head")]
    AuditorHead,
    /// A head is not one.
    #[error("the head of {0} entries")]
    Head(u64),
    /// The file is no sound database.
    #[error("the database")]
    Database,
}

/// How far the log was replayed and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The number of entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The timestamp of the last one; absent while there is none.
    pub last: Option<UnixMillis>,
}

/// An open database.
pub struct Store {
    path: PathBuf,
    db: Database,
}

/// One change, made durable as a whole or not at all.
#[derive(Debug, Default)]
pub struct Change<'a> {
    /// Entries that were replayed: the size before, what they added, and the state after.
    pub advance: Option<(u64, &'a NewHashes, &'a Replay)>,
    /// Heads to store, over those of the same key.
    pub put: Vec<Known>,
    /// Heads to forget.
    pub remove: Vec<(u64, Digest)>,
}

/// Makes the database of a new auditor.
///
/// # Errors
/// [`StoreError`].
pub fn create(path: &Path, auditor: &str) -> Result<(), StoreError> {
    let fail = |error: redb::Error| failed(path, error);
    let db = Database::create(path).map_err(|error| fail(error.into()))?;
    let write = || -> Result<(), redb::Error> {
        let transaction = db.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT_KEY, FORMAT)?;
            meta.insert(AUDITOR_KEY, auditor.as_bytes())?;
            transaction.open_table(TILES)?;
            transaction.open_table(HEADS)?;
            audit::create_tables(&transaction)?;
        }
        transaction.commit()?;
        Ok(())
    };
    write().map_err(fail)
}

fn failed(path: &Path, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse(path),
        redb::Error::Corrupted(_) => StoreError::Damaged { path, what: Damage::Database },
        redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
            StoreError::Foreign(path)
        }
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Damaged { path, what: Damage::Database }
        }
        other => StoreError::Database { path, error: Box::new(other) },
    }
}

impl Store {
    /// Opens the database of this auditor for the log with this origin, binding it to that log if it follows none yet,
    /// and checks that its tiles lead to its root.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, auditor: &str, origin: &str) -> Result<Self, StoreError> {
        let store = Self::open_any(path, auditor)?;
        match store.meta(ORIGIN_KEY)? {
            Some(found) if found == origin.as_bytes() => {}
            Some(found) => {
                let found = String::from_utf8_lossy(&found).into_owned();
                return Err(StoreError::OtherLog {
                    path: path.to_owned(),
                    found,
                    expected: origin.to_owned(),
                });
            }
            None => store.set_meta(ORIGIN_KEY, origin.as_bytes())?,
        }
        // A directory made by an earlier version of this program has no tables for the replay of updates.
        let create = || -> Result<(), redb::Error> {
            let transaction = store.db.begin_write()?;
            audit::create_tables(&transaction)?;
            Ok(transaction.commit()?)
        };
        create().map_err(store.fail())?;
        let snapshot = store.snapshot()?;
        if snapshot.root_at(snapshot.position.size)? != snapshot.position.root {
            return Err(store.damaged(Damage::Root));
        }
        Ok(store)
    }

    /// Opens the database of this auditor, whatever log it is of, and checks nothing else.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_any(path: &Path, auditor: &str) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let db = Database::open(path).map_err(|error| failed(path, error.into()))?;
        let store = Self { path: path.to_owned(), db };
        let (format, owner) = (store.meta(FORMAT_KEY)?, store.meta(AUDITOR_KEY)?);
        if format.as_deref() != Some(FORMAT) || owner.as_deref() != Some(auditor.as_bytes()) {
            return Err(StoreError::Foreign(path.to_owned()));
        }
        Ok(store)
    }

    /// The origin of the log that the database is of; none if it is of no log yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn origin(&self) -> Result<Option<String>, StoreError> {
        let origin = self.meta(ORIGIN_KEY)?;
        Ok(origin.map(|origin| String::from_utf8_lossy(&origin).into_owned()))
    }

    /// The error of state that is damaged.
    pub(crate) fn damaged(&self, what: Damage) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what }
    }

    fn fail<E: Into<redb::Error>>(&self) -> impl Fn(E) -> StoreError + '_ {
        |error| failed(&self.path, error.into())
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.db.begin_read().map_err(self.fail())?;
        let meta = read.open_table(META).map_err(self.fail())?;
        let value = meta.get(key).map_err(self.fail())?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// The hashes of `count` entries from `from` on, all of which must have been replayed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if one is not there.
    pub fn leaf_hashes(&self, from: u64, count: usize) -> Result<Vec<Digest>, StoreError> {
        let snapshot = self.snapshot()?;
        let end = from.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)).min(snapshot.position.size);
        let width = u64::from(FULL_WIDTH);
        let mut hashes = Vec::new();
        let mut position = from;
        while position < end {
            let (index, before) = (position / width, position % width);
            let missing = || self.damaged(Damage::Tile { level: 0, index });
            let upto = end.saturating_sub(index.saturating_mul(width)).min(width);
            let tile =
                u16::try_from(upto).ok().and_then(|w| Tile::new(Content::Hashes { level: 0 }, index, w).ok());
            let contents = snapshot.tile(&tile.ok_or_else(missing)?)?;
            let (all, _) = contents.as_chunks::<32>();
            let skipped = usize::try_from(before).unwrap_or(usize::MAX);
            hashes.extend_from_slice(all.get(skipped..).ok_or_else(missing)?);
            position = index.saturating_add(1).saturating_mul(width);
        }
        if hashes.len() == count { Ok(hashes) } else { Err(self.damaged(Damage::Position)) }
    }

    fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            transaction.open_table(META)?.insert(key, value)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(self.fail())
    }

    /// A consistent view of what was replayed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        let read = self.db.begin_read().map_err(self.fail())?;
        let meta = read.open_table(META).map_err(self.fail())?;
        let position = meta.get(POSITION_KEY).map_err(self.fail())?;
        let position = match position {
            None => Position { size: 0, root: CompactTree::new().root(), last: None },
            Some(bytes) => decode_position(bytes.value()).ok_or_else(|| self.damaged(Damage::Position))?,
        };
        Ok(Snapshot { store: self, read, position })
    }

    /// The history that was kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.meta(HISTORY_KEY)
    }

    /// Keeps the history in place of the one before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_history(&self, history: &[u8]) -> Result<(), StoreError> {
        self.set_meta(HISTORY_KEY, history)
    }

    /// All heads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn heads(&self) -> Result<Vec<Known>, StoreError> {
        let read = self.db.begin_read().map_err(self.fail())?;
        let table = read.open_table(HEADS).map_err(self.fail())?;
        let mut heads = Vec::new();
        for row in table.iter().map_err(self.fail())? {
            let (key, value) = row.map_err(self.fail())?;
            let (size, id) = key.value();
            let (standing, first_seen, source, note) = value.value();
            let known = || {
                let head = SignedHead::restore(note).ok()?;
                let (standing, source) = (Standing::from_number(standing)?, Source::parse(source)?);
                let first_seen = UnixMillis(first_seen);
                (head.size() == size && head.id() == *id).then_some(Known {
                    head,
                    standing,
                    first_seen,
                    source,
                })
            };
            heads.push(known().ok_or_else(|| self.damaged(Damage::Head(size)))?);
        }
        Ok(heads)
    }

    /// Makes a change durable.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was changed.
    pub fn commit(&self, change: &Change<'_>) -> Result<(), StoreError> {
        let transaction = self.db.begin_write().map_err(self.fail())?;
        if let Some((from, hashes, replay)) = change.advance {
            let mut meta = transaction.open_table(META).map_err(self.fail())?;
            let before = {
                let stored = meta.get(POSITION_KEY).map_err(self.fail())?;
                stored.map_or(Some(0), |bytes| Some(decode_position(bytes.value())?.size))
            };
            if before != Some(from) {
                return Err(StoreError::Conflict(self.path.clone()));
            }
            let mut tiles = transaction.open_table(TILES).map_err(self.fail())?;
            for (level, index, row) in hashes.rows() {
                let stored = tiles.get((level, index)).map_err(self.fail())?;
                let mut tile = stored.map(|tile| tile.value().to_vec()).unwrap_or_default();
                if u64::try_from(tile.len()).ok() != row.offset.checked_mul(32) {
                    return Err(self.damaged(Damage::Tile { level, index }));
                }
                tile.extend_from_slice(row.hashes.as_flattened());
                tiles.insert((level, index), tile.as_slice()).map_err(self.fail())?;
            }
            let position = encode_position(replay).ok_or_else(|| self.damaged(Damage::Position))?;
            meta.insert(POSITION_KEY, position.as_slice()).map_err(self.fail())?;
        }
        {
            let mut heads = transaction.open_table(HEADS).map_err(self.fail())?;
            for (size, id) in &change.remove {
                heads.remove((*size, id)).map_err(self.fail())?;
            }
            for Known { head, standing, first_seen, source } in &change.put {
                let note = head.note().to_string();
                let value = (standing.number(), first_seen.0, &*source.to_string(), note.as_bytes());
                heads.insert((head.size(), &head.id()), value).map_err(self.fail())?;
            }
        }
        transaction.commit().map_err(self.fail())
    }
}

fn decode_position(bytes: &[u8]) -> Option<Position> {
    let (size, rest) = bytes.split_first_chunk::<8>()?;
    let (root, last) = rest.split_first_chunk::<32>()?;
    let last = UnixMillis(u64::from_be_bytes(last.try_into().ok()?));
    Some(Position { size: u64::from_be_bytes(*size), root: *root, last: Some(last) })
}

fn encode_position(replay: &Replay) -> Option<Vec<u8>> {
    let mut bytes = replay.size().to_be_bytes().to_vec();
    bytes.extend_from_slice(&replay.root());
    bytes.extend_from_slice(&replay.last_timestamp()?.0.to_be_bytes());
    Some(bytes)
}

/// What was replayed, at one moment.
pub struct Snapshot<'a> {
    store: &'a Store,
    read: ReadTransaction,
    position: Position,
}

impl Snapshot<'_> {
    /// How far.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// A node within what was replayed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a node that is not there.
    pub fn node(&self, id: NodeId) -> Result<Digest, StoreError> {
        let missing = || self.store.damaged(Damage::Tile { level: id.level / 8, index: id.index });
        let tile = tile_of_node(id, self.position.size).ok_or_else(missing)?;
        node_in_tile(id, &tile, &self.tile(&tile)?).map_err(|_| missing())
    }

    /// A hash tile of what was replayed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a tile that is not there.
    pub fn tile(&self, tile: &Tile) -> Result<Vec<u8>, StoreError> {
        let level = match tile.content() {
            Content::Hashes { level } => level,
            Content::Entries => 0,
        };
        let missing = || self.store.damaged(Damage::Tile { level, index: tile.index() });
        let tiles = self.read.open_table(TILES).map_err(self.store.fail())?;
        let stored = tiles.get((level, tile.index())).map_err(self.store.fail())?.ok_or_else(missing)?;
        let width = usize::from(tile.width()).saturating_mul(32);
        stored.value().get(..width).map(<[u8]>::to_vec).ok_or_else(missing)
    }

    /// The root over the first `size` entries, which must have been replayed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn root_at(&self, size: u64) -> Result<Digest, StoreError> {
        root_at(size, |id| self.node(id)).map_err(|error| self.unprovable(error))
    }

    /// The state from which replaying goes on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn replay(&self) -> Result<Replay, StoreError> {
        let size = self.position.size;
        let nodes = range_nodes(0, size).into_iter().map(|id| self.node(id));
        let tree = CompactTree::from_frontier(size, nodes.collect::<Result<_, _>>()?);
        let tree = tree.map_err(|_| self.store.damaged(Damage::Position))?;
        Ok(Replay::resume(tree, self.position.last))
    }

    /// What a proof out of these nodes failed with.
    #[must_use]
    pub fn unprovable(&self, error: ProveError<StoreError>) -> StoreError {
        match error {
            ProveError::Node(error) => error,
            ProveError::OutOfRange => self.store.damaged(Damage::Position),
        }
    }
}
