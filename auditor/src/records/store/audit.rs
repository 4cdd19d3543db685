//! The replay of updates in the database: its state, where the leaves of the last entries were first published, and the
//! head that was signed last.

use std::collections::BTreeSet;

use keyglass_keytrans::{
    config::DeploymentMode,
    wire::{AuditorTreeHead, Context, Wire as _},
};
use keyglass_tlog::{note::SignedNote, time::UnixSeconds};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};

use super::{Damage, META, Store, StoreError};
use crate::{
    audited::{Audit, AuditState, KeyStart, Published},
    head::SignedHead,
};

/// Position, and the first 16 bytes of the search key of every leaf that this entry put into the prefix tree, ascending.
const PUBLISHED: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("recently_published");
/// [`AuditState`]; absent while no update was replayed.
const AUDIT_KEY: &str = "audit";
/// [`AuditorTreeHead`]; absent while none was signed.
const HEAD_KEY: &str = "auditor_head";
/// The checkpoint that was cosigned last, as a note with that cosignature; absent while none was.
const COSIGNED_KEY: &str = "cosigned";
/// Its time, in seconds since the Unix epoch.
const COSIGNED_AT_KEY: &str = "cosigned_at";

/// Makes the tables that are not there yet.
pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(PUBLISHED)?;
    Ok(())
}

fn context() -> Context {
    // Neither structure takes anything from it.
    Context::new(DeploymentMode::ThirdPartyAuditing)
}

impl Store {
    /// Where the replay of updates stands; none while none was replayed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit(&self) -> Result<Option<AuditState>, StoreError> {
        let stored = self.meta(AUDIT_KEY)?;
        let decode = |bytes: Vec<u8>| AuditState::decode(&bytes, context());
        stored.map(decode).transpose().map_err(|_| self.damaged(Damage::Audit))
    }

    /// Makes what was replayed since `from` entries durable.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was changed. [`StoreError::Conflict`] if another size than `from` is stored.
    pub fn commit_audit(&self, from: u64, audit: &Audit) -> Result<(), StoreError> {
        let damaged = |_| self.damaged(Damage::Audit);
        let transaction = self.db.begin_write().map_err(self.fail())?;
        {
            let mut meta = transaction.open_table(META).map_err(self.fail())?;
            let before = {
                let stored = meta.get(AUDIT_KEY).map_err(self.fail())?;
                let state = stored.map(|bytes| AuditState::decode(bytes.value(), context()));
                state.transpose().map_err(damaged)?
            };
            if before.is_some_and(|before| before.size != from) {
                return Err(StoreError::Conflict(self.path.clone()));
            }
            let state = audit.state().encode().map_err(damaged)?;
            meta.insert(AUDIT_KEY, state.as_slice()).map_err(self.fail())?;
            let mut published = transaction.open_table(PUBLISHED).map_err(self.fail())?;
            let (rows, settled) = audit.rows();
            for (position, row) in rows {
                published.insert(position, row.as_flattened()).map_err(self.fail())?;
            }
            if let Some(settled) = settled {
                published.retain_in(..=settled, |_, _| false).map_err(self.fail())?;
            }
        }
        transaction.commit().map_err(self.fail())
    }

    /// The auditor's head that was signed last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn auditor_head(&self) -> Result<Option<AuditorTreeHead>, StoreError> {
        let stored = self.meta(HEAD_KEY)?;
        let decode = |bytes: Vec<u8>| AuditorTreeHead::decode(&bytes, context());
        stored.map(decode).transpose().map_err(|_| self.damaged(Damage::AuditorHead))
    }

    /// Keeps the auditor's head that was signed last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_auditor_head(&self, head: &AuditorTreeHead) -> Result<(), StoreError> {
        let encoded = head.encode().map_err(|_| self.damaged(Damage::AuditorHead))?;
        self.set_meta(HEAD_KEY, &encoded)
    }
}

impl Store {
    /// The checkpoint that was cosigned last, with its cosignature, and the time of that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cosigned(&self) -> Result<Option<(SignedHead, UnixSeconds)>, StoreError> {
        let damaged = || self.damaged(Damage::AuditorHead);
        let (note, at) = (self.meta(COSIGNED_KEY)?, self.meta(COSIGNED_AT_KEY)?);
        let Some(note) = note else { return Ok(None) };
        let head = SignedHead::restore(&note).map_err(|_| damaged())?;
        let at = at.and_then(|at| at.try_into().ok()).map(u64::from_be_bytes).ok_or_else(damaged)?;
        Ok(Some((head, UnixSeconds(at))))
    }

    /// Keeps the checkpoint that was cosigned last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_cosigned(&self, note: &SignedNote, at: UnixSeconds) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            {
                let mut meta = transaction.open_table(META)?;
                meta.insert(COSIGNED_KEY, note.to_string().as_bytes())?;
                meta.insert(COSIGNED_AT_KEY, at.0.to_be_bytes().as_slice())?;
            }
            Ok(transaction.commit()?)
        };
        write().map_err(self.fail())
    }
}

impl Store {
    /// The rightmost entry, if any, in whose stored row each of these keys is. Reads rows from the right until all keys are
    /// found: 16 bytes for each leaf of about the last monitoring window.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn published(&self, keys: &BTreeSet<KeyStart>) -> Result<Published, StoreError> {
        let read = self.db.begin_read().map_err(self.fail())?;
        let table = read.open_table(PUBLISHED).map_err(self.fail())?;
        let mut missing = keys.clone();
        let mut positions = Published::new();
        for row in table.iter().map_err(self.fail())?.rev() {
            if missing.is_empty() {
                break;
            }
            let (position, row) = row.map_err(self.fail())?;
            let (row, rest) = row.value().as_chunks::<16>();
            if !rest.is_empty() {
                return Err(self.damaged(Damage::Audit));
            }
            let found: Vec<KeyStart> = if row.len() < missing.len() {
                row.iter().filter(|key| missing.contains(*key)).copied().collect()
            } else {
                missing.iter().filter(|key| row.binary_search(key).is_ok()).copied().collect()
            };
            for key in found {
                missing.remove(&key);
                positions.insert(key, position.value());
            }
        }
        Ok(positions)
    }
}
