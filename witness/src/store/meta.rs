//! What the database says about itself: its version, whose state it is, in which files, and after how many commits.

use std::{path::Path, sync::Arc};

use keyglass_tlog::note::Vkey;
use redb::{Database, ReadableDatabase as _, TableDefinition, TableError};

use super::{
    STATE_FILE, StoreError,
    database::{HEADS, begin, open_database},
    identity::Files,
};

/// Strings about the file as a whole.
pub(super) const META: TableDefinition<&str, &str> = TableDefinition::new("keyglass-witness");
/// The version of the tables.
const META_VERSION: &str = "version";
/// The verifier keys of the witness whose state this is, one a line.
const META_VKEYS: &str = "vkey";
/// How often heads were committed.
pub(super) const META_COMMITS: &str = "commits";
/// The files that this state is in; not there in a state of a program from before.
pub(super) const META_FILES: &str = "files";
/// There if the state was put back from a copy, and so says nothing of logs that it does not have.
pub(super) const META_RESTORED: &str = "restored";
/// The version that this program writes.
const VERSION: u64 = 1;

/// What the file says about itself.
pub(super) struct Meta {
    pub(super) vkeys: String,
    pub(super) commits: u64,
    pub(super) files: Option<Files>,
    pub(super) restored: bool,
}

fn one_a_line(vkeys: &[Vkey]) -> String {
    vkeys.iter().map(Vkey::to_string).collect::<Vec<_>>().join("\n")
}

/// Writes the tables of an empty state.
pub(super) fn initialise(
    database: &Database,
    vkeys: &[Vkey],
    files: Option<&Files>,
) -> Result<(), redb::Error> {
    let transaction = begin(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_VERSION, VERSION.to_string().as_str())?;
        meta.insert(META_VKEYS, one_a_line(vkeys).as_str())?;
        meta.insert(META_COMMITS, "0")?;
        if let Some(files) = files {
            meta.insert(META_FILES, files.to_text().as_str())?;
        }
        transaction.open_table(HEADS)?;
    }
    Ok(transaction.commit()?)
}

/// Notes down that the state is that of a witness with all of these keys, one of which it knows.
///
/// # Errors
/// [`StoreError`]; [`StoreError::OtherWitness`] if the state is of keys that are not among these.
pub fn bind(data: &Path, vkeys: &[&Vkey]) -> Result<(), StoreError> {
    let vkeys: Vec<Vkey> = vkeys.iter().map(|vkey| (*vkey).clone()).collect();
    let path = data.join(STATE_FILE);
    let database = open_database(&path)?;
    let (meta, expected) = (read_meta(&database, &path)?, one_a_line(&vkeys));
    if !meta.vkeys.split('\n').all(|known| expected.split('\n').any(|vkey| vkey == known)) {
        return Err(StoreError::OtherWitness { path, found: meta.vkeys, expected });
    }
    let write = || -> Result<(), redb::Error> {
        let transaction = begin(&database)?;
        transaction.open_table(META)?.insert(META_VKEYS, expected.as_str())?;
        Ok(transaction.commit()?)
    };
    write().map_err(|source| StoreError::Failed { path: path.clone(), source: Arc::new(source) })
}

/// Reads what the file says about itself.
pub(super) fn read_meta(database: &Database, path: &Path) -> Result<Meta, StoreError> {
    let foreign = || StoreError::Foreign(path.to_owned());
    let read = || -> Result<_, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = match transaction.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let string = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|value| value.value().to_owned()));
        let parts = (string(META_VERSION)?, string(META_VKEYS)?, string(META_COMMITS)?);
        Ok(Some((parts, string(META_FILES)?, string(META_RESTORED)?)))
    };
    let read =
        read().map_err(|source| StoreError::Damaged { path: path.to_owned(), source: Arc::new(source) });
    let ((version, vkeys, commits), files, restored) = read?.ok_or_else(foreign)?;
    let version = version.and_then(|version| version.parse().ok()).ok_or_else(foreign)?;
    if version != VERSION {
        return Err(StoreError::UnknownVersion { path: path.to_owned(), found: version });
    }
    let files = files.map(|files| Files::parse(&files).ok_or_else(foreign)).transpose()?;
    Ok(Meta {
        vkeys: vkeys.ok_or_else(foreign)?,
        commits: commits.and_then(|commits| commits.parse().ok()).ok_or_else(foreign)?,
        files,
        restored: restored.is_some(),
    })
}

/// Refuses the state of other keys.
pub(super) fn check_owner(meta: &Meta, path: &Path, vkeys: &[Vkey]) -> Result<(), StoreError> {
    let expected = one_a_line(vkeys);
    if meta.vkeys == expected {
        return Ok(());
    }
    Err(StoreError::OtherWitness { path: path.to_owned(), found: meta.vkeys.clone(), expected })
}
