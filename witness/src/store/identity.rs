//! Which files the state is in, so that copies of them are told apart.
//!
//! A backup that is put back is a sound state, only an old one. Its files are others than those that were written last:
//! they have other inode numbers or times of birth. Overwritten in place they keep both, so the counter's file is made
//! anew at every start and at every orderly end, and the database knows the last two.
//!
//! A copy of the whole file system, such as a snapshot of a virtual machine, has the same files: only what others have of
//! the witness's cosignatures can tell (see [`crate::rollback`]). The device's number is no part of the identity, since it
//! may change when a machine is started again.

use std::{fs::Metadata, io, os::unix::fs::MetadataExt as _, path::Path, time::UNIX_EPOCH};

use super::{STATE_FILE, counter::COUNTER_FILE};

/// A file's inode number and, where the file system knows it, its time of birth in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileIdentity(String);

impl FileIdentity {
    fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Self(format!("{}.{}", metadata.ino(), born.map_or(0, |born| born.as_nanos())))
    }
}

/// The files of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    database: FileIdentity,
    /// The counter's, and the one that it takes the place of, or is about to: a crash may come before or after.
    counters: [FileIdentity; 2],
}

impl Files {
    /// The files of `data` with the counter's file alone.
    pub(super) fn now(data: &Path, counter: &Metadata) -> io::Result<Self> {
        let counter = FileIdentity::of(counter);
        let database = FileIdentity::of(&data.join(STATE_FILE).metadata()?);
        Ok(Self { database, counters: [counter.clone(), counter] })
    }

    /// The same database with `next` beside the counter's present file.
    pub(super) fn with_next(data: &Path, present: &Metadata, next: &Metadata) -> io::Result<Self> {
        let Self { database, counters: [present, _] } = Self::now(data, present)?;
        Ok(Self { database, counters: [present, FileIdentity::of(next)] })
    }

    /// Whether these are the files in `data`.
    pub(super) fn are_in(&self, data: &Path) -> io::Result<bool> {
        let counter = FileIdentity::of(&data.join(COUNTER_FILE).metadata()?);
        let database = FileIdentity::of(&data.join(STATE_FILE).metadata()?);
        Ok(database == self.database && self.counters.contains(&counter))
    }

    pub(super) fn to_text(&self) -> String {
        let [present, next] = &self.counters;
        format!("{} {} {}", self.database.0, present.0, next.0)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ').map(|part| FileIdentity(part.to_owned()));
        let (database, present, next) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(Self { database, counters: [present, next] })
    }
}
