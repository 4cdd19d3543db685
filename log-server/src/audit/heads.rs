//! The auditor's heads: verified against the log's own tree before one is used, and kept ("Auditor Tree Head Signature").

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_keytrans::{
    client::{ConfigurationError, Verifier, VerifyError},
    config::{AuditingFields, CipherSuite, DeploymentMode, ModeFields},
    wire::{AuditorTreeHead, Context, Wire as _},
};
use keyglass_tlog::time::UnixMillis;
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    log_tree,
    store::{PublishedHead, Snapshot, StoreError},
};

/// The file with the newest head within the data directory.
pub const FILE: &str = "auditor-head";
/// The longest encoding of a head: two numbers, and a signature with its length.
pub const MAX_LEN: usize = 8 + 8 + 2 + 65_535;

/// Why a head of the auditor is not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeadRefused {
    /// It is of no entry that the auditor has verified.
    #[error("it is of {size} entries, and the audit begins at entry {start}")]
    BeforeStart {
        /// Its size.
        size: u64,
        /// `Configuration.auditor_start_pos`.
        start: u64,
    },
    /// It is of more entries than are published.
    #[error("it is of {size} entries, and {published} are published")]
    BeyondLog {
        /// Its size.
        size: u64,
        /// The published size.
        published: u64,
    },
    /// It is smaller or earlier than the one that is held.
    #[error("it is older than the head of {held} entries that is held")]
    Older {
        /// The size of the one held.
        held: u64,
    },
    /// Users would refuse its timestamp.
    #[error("its timestamp is {ahead_ms} ms later than users accept")]
    FromTheFuture {
        /// How much.
        ahead_ms: u64,
    },
    /// It is not signed by the auditor, or of another tree.
    #[error("it is not the auditor's word about this log: {0}")]
    Signature(#[from] VerifyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file with the newest head could not be written.
    #[error("it cannot be kept: {0}")]
    File(io::ErrorKind),
}

/// The newest head is older than `Configuration.max_auditor_lag` allows, or there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Behind {
    /// There is none yet.
    #[error("the auditor has not signed a head yet")]
    Nothing,
    /// It is too old.
    #[error("the auditor's last head is {lag_ms} ms older than the log's; {max_lag_ms} ms are allowed")]
    Lag {
        /// How much older than the last published entry.
        lag_ms: u64,
        /// `Configuration.max_auditor_lag`.
        max_lag_ms: u64,
    },
}

/// The newest head of the log's auditor.
pub struct AuditorHeads {
    verifier: Verifier,
    fields: AuditingFields,
    file: PathBuf,
    newest: watch::Sender<Option<Arc<AuditorTreeHead>>>,
}

impl AuditorHeads {
    /// What is kept in a data directory, if the log has an auditor. A head that is kept and does not verify, as after a
    /// change of auditor, is left out: there will be another.
    ///
    /// # Errors
    /// [`ConfigurationError`] for a configuration that no user would take.
    pub fn open(
        directory: &Path,
        configuration: &[u8],
        snapshot: &dyn Snapshot,
        published: Option<&PublishedHead>,
    ) -> Result<Option<Self>, ConfigurationError> {
        // Nothing but the auditor's signature is verified, which no policy has a say in.
        let verifier = Verifier::new(configuration, Some(b"quorum none\n"))?;
        let ModeFields::ThirdPartyAuditing(fields) = &verifier.configuration().mode else { return Ok(None) };
        let (fields, file) = (fields.clone(), directory.join(FILE));
        let heads = Self { verifier, fields, file, newest: watch::Sender::new(None) };
        if let (Some(head), Some(published)) = (read(&heads.file), published) {
            // It was not from the future when it was written.
            match heads.check(snapshot, published, &head, UnixMillis(u64::MAX)) {
                Ok(()) => {
                    heads.newest.send_replace(Some(Arc::new(head)));
                }
                Err(error) => tracing::warn!(%error, "the auditor's head on disk is not used"),
            }
        }
        Ok(Some(heads))
    }

    /// The newest head.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<AuditorTreeHead>> {
        self.newest.borrow().clone()
    }

    /// The newest head, and every change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<AuditorTreeHead>>> {
        self.newest.subscribe()
    }

    /// The entries that the auditor has verified. The update of the next one is what it asks for next, so the prefix tree of
    /// the last of these has to be kept.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.newest.borrow().as_ref().map(|head| head.tree_size)
    }

    /// How far the newest head lags behind a last published entry of this timestamp, in milliseconds.
    #[must_use]
    pub fn lag(&self, rightmost: u64) -> Option<u64> {
        self.newest.borrow().as_ref().map(|head| rightmost.saturating_sub(head.timestamp))
    }

    /// The head that is served beside a published one whose last entry has this timestamp.
    ///
    /// # Errors
    /// [`Behind`].
    pub fn served(&self, rightmost: u64) -> Result<AuditorTreeHead, Behind> {
        let head = self.newest().ok_or(Behind::Nothing)?;
        let (lag_ms, max_lag_ms) = (rightmost.saturating_sub(head.timestamp), self.fields.max_auditor_lag);
        if lag_ms > max_lag_ms { Err(Behind::Lag { lag_ms, max_lag_ms }) } else { Ok((*head).clone()) }
    }

    /// Takes a head that the auditor gave, if it is newer than the one held. Says whether it is. Blocks on store and disk.
    ///
    /// # Errors
    /// [`HeadRefused`]; then the one held stays.
    pub fn accept(
        &self,
        snapshot: &dyn Snapshot,
        published: &PublishedHead,
        head: AuditorTreeHead,
        now: UnixMillis,
    ) -> Result<bool, HeadRefused> {
        let held = self.newest();
        if held.as_ref().is_some_and(|held| **held == head) {
            return Ok(false);
        }
        self.check(snapshot, published, &head, now)?;
        if let Some(held) = held
            && (head.tree_size, head.timestamp) <= (held.tree_size, held.timestamp)
        {
            return Err(HeadRefused::Older { held: held.tree_size });
        }
        self.keep(&head).map_err(|error| HeadRefused::File(error.kind()))?;
        self.newest.send_replace(Some(Arc::new(head)));
        Ok(true)
    }

    /// Whether a head is the auditor's, of this log, and of a time that users accept.
    fn check(
        &self,
        snapshot: &dyn Snapshot,
        published: &PublishedHead,
        head: &AuditorTreeHead,
        now: UnixMillis,
    ) -> Result<(), HeadRefused> {
        let (size, start) = (head.tree_size, self.fields.auditor_start_pos);
        if size <= start {
            return Err(HeadRefused::BeforeStart { size, start });
        }
        if size > published.size {
            return Err(HeadRefused::BeyondLog { size, published: published.size });
        }
        let latest = match self.verifier.suite() {
            CipherSuite::Tlog => now.0.saturating_add(self.verifier.configuration().max_ahead),
            // It is the timestamp of the last entry that was verified.
            CipherSuite::Draft => {
                let last = snapshot.entry(size.saturating_sub(1))?;
                last.ok_or(StoreError::Corrupt("a log entry is missing"))?.timestamp
            }
        };
        let ahead_ms = head.timestamp.saturating_sub(latest);
        if ahead_ms > 0 {
            return Err(HeadRefused::FromTheFuture { ahead_ms });
        }
        let root = log_tree::root(snapshot, self.verifier.suite().log_hash(), size)?;
        let root = root.ok_or(StoreError::Corrupt("a log without entries has no head"))?;
        Ok(self.verifier.verify_auditor_signature(head, root)?)
    }

    /// Replaces the file, durably.
    fn keep(&self, head: &AuditorTreeHead) -> io::Result<()> {
        let encoded = head.encode().map_err(io::Error::other)?;
        let unfinished = self.file.with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&encoded)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.file)?;
        self.file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}

/// Decodes a head.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<AuditorTreeHead> {
    // A head takes nothing from the context.
    AuditorTreeHead::decode(bytes, Context::new(DeploymentMode::ThirdPartyAuditing)).ok()
}

/// The head in a file; none if there is no file, or nothing of the kind in it.
fn read(path: &Path) -> Option<AuditorTreeHead> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    let head = decode(&bytes);
    if head.is_none() {
        tracing::warn!(path = %path.display(), "not a head of an auditor");
    }
    head
}

#[cfg(test)]
mod tests;
