//! After a state was put back from a copy: what its operator knows about each log, or vouches for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use keyglass_tlog::note::Vkey;
use redb::Database;
use thiserror::Error;

use super::{
    STATE_FILE, StoreError,
    counter::Counter,
    database::{HEADS, begin, for_each, open_counter, open_database},
    identity::Files,
    meta::{META, META_COMMITS, META_FILES, META_RESTORED, Meta, check_owner, read_meta},
};
use crate::{
    head::{Head, OriginHash},
    kept::{Kept, Suspended},
    rollback::{self, TwoRoots},
};

/// What the operator says.
#[derive(Debug, Default)]
pub struct Confirmation {
    /// The origins that the witness is to know, whether or not the state does.
    pub origins: BTreeSet<String>,
    /// Heads that this witness has cosigned, as others have them: verified by the caller.
    pub shown: Vec<Head>,
    /// The origins of which nothing newer than the state exists.
    pub as_it_is: BTreeSet<String>,
    /// Nothing newer than the state exists of any log, known or not.
    pub all_as_it_is: bool,
    /// The state is a copy, though its files do not show it.
    pub restored: bool,
}

/// What became of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There was nothing to confirm.
    Unchanged,
    /// The head was replaced by a newer one.
    Raised,
    /// What the state says counts.
    Confirmed,
    /// Nothing is signed for this log until more is known.
    Suspended,
}

/// A log after [`confirm`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its origin, `None` if only its hash is known.
    pub origin: Option<String>,
    /// Its key in the state.
    pub origin_hash: OriginHash,
    /// The size of the head, if there is one.
    pub tree_size: Option<u64>,
    /// What became of it.
    pub verdict: Verdict,
}

/// Why nothing was confirmed, and nothing changed.
#[derive(Debug, Error)]
pub enum ConfirmError {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys have signed two trees.
    #[error(transparent)]
    TwoRoots(#[from] TwoRoots),
}

/// Takes over what the operator says of the state in a data directory, which nobody else may have open. If the state is a
/// copy, everything is suspended that is not confirmed; otherwise, what is not confirmed stays as it was.
///
/// # Errors
/// [`ConfirmError`].
pub fn confirm(
    data: &Path,
    vkeys: &[&Vkey],
    confirmation: &Confirmation,
) -> Result<Vec<Report>, ConfirmError> {
    let vkeys: Vec<Vkey> = vkeys.iter().map(|vkey| (*vkey).clone()).collect();
    let path = data.join(STATE_FILE);
    let database = open_database(&path)?;
    let meta = read_meta(&database, &path)?;
    check_owner(&meta, &path, &vkeys)?;
    let counted = match open_counter(data) {
        Ok((_, counted)) => Some(counted),
        Err(StoreError::Missing(_) | StoreError::DamagedCount(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let copied = confirmation.restored
        || counted.is_none_or(|counted| meta.commits < counted)
        || meta.files.as_ref().is_some_and(|files| !files.are_in(data).unwrap_or(false));
    let mut all = Vec::new();
    for_each(&database, &path, |origin, kept| all.push((origin, kept)))?;
    let (reports, changes) = resolve(&all, &meta, copied, confirmation)?;
    let restored = (meta.restored || copied) && !confirmation.all_as_it_is;
    let commits = meta.commits.max(counted.unwrap_or(0)).saturating_add(1);
    let write = || -> Result<(), redb::Error> { write(data, &database, &changes, restored, commits) };
    write().map_err(|source| StoreError::Failed { path: path.clone(), source: Arc::new(source) })?;
    Ok(reports)
}

type Changes = Vec<(OriginHash, Kept)>;

/// What becomes of each log, and what is to be written for that.
fn resolve(
    all: &[(OriginHash, Kept)],
    meta: &Meta,
    copied: bool,
    confirmation: &Confirmation,
) -> Result<(Vec<Report>, Changes), TwoRoots> {
    let origins = confirmation.origins.iter().chain(&confirmation.as_it_is);
    let mut names: BTreeMap<OriginHash, String> =
        origins.map(|origin| (OriginHash::of(origin), origin.clone())).collect();
    let known = all.iter().filter_map(|(_, kept)| kept.head());
    for head in known.chain(&confirmation.shown) {
        names.insert(head.origin_hash(), head.checkpoint().origin().to_owned());
    }
    let by_origin: BTreeMap<OriginHash, &Kept> = all.iter().map(|(origin, kept)| (*origin, kept)).collect();
    let hashes: BTreeSet<OriginHash> = names.keys().chain(by_origin.keys()).copied().collect();

    let (mut reports, mut changes) = (Vec::new(), Vec::new());
    for hash in hashes {
        let stored = by_origin.get(&hash).copied();
        let before = match stored {
            Some(kept) => kept.clone(),
            None if meta.restored => Kept::Suspended(Suspended::default()),
            None => Kept::Nothing,
        };
        let name = names.get(&hash);
        let shown = confirmation.shown.iter().filter(|head| head.origin_hash() == hash);
        let shown: Vec<Head> = shown.cloned().collect();
        let as_it_is =
            confirmation.all_as_it_is || name.is_some_and(|name| confirmation.as_it_is.contains(name));
        let size = |kept: &Kept| kept.head().map(|head| head.checkpoint().tree_size());
        let (verdict, after) = match rollback::confirm(&before, &shown, as_it_is)? {
            Some(after) if size(&after) > size(&before) => (Verdict::Raised, Some(after)),
            Some(after) => (Verdict::Confirmed, Some(after)),
            None if matches!(before, Kept::Suspended(_)) => (Verdict::Suspended, None),
            None if copied => {
                let suspended = Suspended { head: before.head().cloned(), proof: None };
                (Verdict::Suspended, Some(Kept::Suspended(suspended)))
            }
            None => (Verdict::Unchanged, None),
        };
        let tree_size = size(after.as_ref().unwrap_or(&before));
        changes.extend(after.map(|after| (hash, after)));
        reports.push(Report { origin: name.cloned(), origin_hash: hash, tree_size, verdict });
    }
    reports.sort_by(|one, other| (&one.origin, one.origin_hash).cmp(&(&other.origin, other.origin_hash)));
    Ok((reports, changes))
}

/// Everything in one transaction; the files here are the state's from now on.
fn write(
    data: &Path,
    database: &Database,
    changes: &Changes,
    restored: bool,
    commits: u64,
) -> Result<(), redb::Error> {
    let mut counter = Counter::beside(data, commits)?;
    let files = Files::now(data, &counter.metadata()?)?;
    let transaction = begin(database)?;
    {
        let mut heads = transaction.open_table(HEADS)?;
        for (origin, kept) in changes {
            heads.insert(&origin.0, kept.encode().as_slice())?;
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_COMMITS, commits.to_string().as_str())?;
        meta.insert(META_FILES, files.to_text().as_str())?;
        if restored {
            meta.insert(META_RESTORED, "yes")?;
        } else {
            meta.remove(META_RESTORED)?;
        }
    }
    transaction.commit()?;
    Ok(counter.take_over(data)?)
}
