//! The home directory of the command.
//!
//! ```text
//! HOME/keyglass-home            what this directory is
//! HOME/lock                     held while a command runs
//! HOME/<log>/log.json           LogDocument
//! HOME/<log>/contacts.json      Contacts
//! HOME/<log>/heads.json         HeadsDocument
//! HOME/<log>/trust.json         TrustDocument
//! HOME/<log>/end.json           EndDocument, once the log was handed over
//! HOME/<log>/predecessors.json  PredecessorsDocument, if logs were handed over to this one
//! HOME/<log>/account-<n>.json   OwnAccount; <n> is a hash of the label
//! HOME/<log>/link-<n>.json      LinkDocument, while a device of this home waits to be linked
//! HOME/<log>/watch.json         WatchDocument
//! HOME/<log>/watch.lock         held while `watch` runs
//! HOME/<log>/evidence/          files that prove misbehaviour
//! ```
//!
//! `<log>` is a hash of the log's origin: what is known of one log never serves another.

mod documents;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_crypto::hash::sha256;

use super::{
    account::OwnAccount,
    document::{self, StateError},
    file::{self, FileError},
    link::LinkDocument,
    lock::{Lock, WatchLock},
};

/// The most files of evidence that are kept about one log, whoever sends more.
const MAX_EVIDENCE: usize = 64;

/// The file that says what the directory is, and its contents.
const MARK: (&str, &[u8]) = ("keyglass-home", b"keyglass home 1\n");

/// A home opened for one log, by this process alone.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    origin: String,
    lock: Arc<Lock>,
}

impl Home {
    /// Opens the home at `root` for the log `origin`, making it if there is none.
    ///
    /// # Errors
    /// [`StateError::Foreign`] for a directory that holds something else, [`StateError::Lock`] while another process
    /// works with it, [`StateError::File`].
    pub fn open(root: &Path, origin: &str) -> Result<Self, StateError> {
        file::make_directory(root)?;
        let mark = root.join(MARK.0);
        let is_marked = || -> Result<bool, FileError> {
            Ok(file::read(&mark)?.is_some_and(|content| content.as_slice() == MARK.1))
        };
        // In this order: another process may be making the home at this moment, and marks it before it puts anything else in.
        if !is_unused(root)? && !is_marked()? {
            return Err(StateError::Foreign { path: root.to_path_buf() });
        }
        let lock = Lock::take(root)?;
        if !is_marked()? {
            file::replace(&mark, MARK.1)?;
        }
        let directory = root.join(name(origin.as_bytes()));
        file::make_directory(&directory)?;
        Ok(Self { directory, origin: origin.to_owned(), lock: Arc::new(lock) })
    }

    /// The same home for another log, if it has been used for that.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub fn beside(&self, origin: &str) -> Result<Option<Self>, StateError> {
        let directory = self.directory.with_file_name(name(origin.as_bytes()));
        if !directory.try_exists().map_err(FileError::at(&directory))? {
            return Ok(None);
        }
        Ok(Some(Self { directory, origin: origin.to_owned(), lock: Arc::clone(&self.lock) }))
    }

    /// The log that it is open for.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Takes the right to keep watch over this log, which outlives this opening of the home.
    ///
    /// # Errors
    /// [`StateError::Lock`].
    pub fn lock_watch(&self) -> Result<WatchLock, StateError> {
        Ok(WatchLock::take(&self.directory)?)
    }

    /// One's own account under `label`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn account(&self, label: &str) -> Result<Option<OwnAccount>, StateError> {
        let path = self.account_path(label);
        let account: Option<OwnAccount> = document::load(&path)?;
        self.check(&path, account.as_ref().map(|account| &account.origin))?;
        match account {
            Some(account) if account.label != label => Err(StateError::Misplaced { path }),
            account => Ok(account),
        }
    }

    /// All of one's own accounts in the log, ascending by label.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn accounts(&self) -> Result<Vec<OwnAccount>, StateError> {
        let mut accounts = Vec::new();
        let entries = std::fs::read_dir(&self.directory).map_err(FileError::at(&self.directory))?;
        for entry in entries {
            let path = entry.map_err(FileError::at(&self.directory))?.path();
            let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !(file_name.starts_with("account-") && file_name.ends_with(".json")) {
                continue;
            }
            let account: Option<OwnAccount> = document::load(&path)?;
            self.check(&path, account.as_ref().map(|account| &account.origin))?;
            let Some(account) = account else {
                continue;
            };
            if self.account_path(&account.label) != path {
                return Err(StateError::Misplaced { path });
            }
            accounts.push(account);
        }
        accounts.sort_by(|a, b| a.label.cmp(&b.label));
        Ok(accounts)
    }

    /// Makes an account durable: everything in it, in one step.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_account(&self, account: &OwnAccount) -> Result<(), StateError> {
        document::store(&self.account_path(&account.label), account)
    }

    /// The device that waits to be linked to the account `label`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn link(&self, label: &str) -> Result<Option<LinkDocument>, StateError> {
        let path = self.link_path(label);
        let link: Option<LinkDocument> = document::load(&path)?;
        self.check(&path, link.as_ref().map(|link| &link.origin))?;
        match link {
            Some(link) if link.label != label => Err(StateError::Misplaced { path }),
            link => Ok(link),
        }
    }

    /// The labels of all accounts that a device of this home waits to be linked to.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn links(&self) -> Result<Vec<String>, StateError> {
        let mut labels = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(FileError::at(&self.directory))? {
            let path = entry.map_err(FileError::at(&self.directory))?.path();
            let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if file_name.starts_with("link-")
                && file_name.ends_with(".json")
                && let Some(link) = document::load::<LinkDocument>(&path)?
            {
                labels.push(link.label);
            }
        }
        labels.sort();
        Ok(labels)
    }

    /// Remembers a device that waits to be linked.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_link(&self, link: &LinkDocument) -> Result<(), StateError> {
        document::store(&self.link_path(&link.label), link)
    }

    /// Forgets a device that waited to be linked, and erases its secrets. It is no error if there is none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove_link(&self, label: &str) -> Result<(), StateError> {
        let path = self.link_path(label);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.map_err(FileError::at(&path))?),
        }
    }

    /// Keeps a file of evidence, under a name made from its contents, and says where it is. Where there are [`MAX_EVIDENCE`]
    /// files already, each of which convicts, a further one is not kept, and one of those is named.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_evidence(&self, evidence: &[u8]) -> Result<PathBuf, StateError> {
        let directory = self.directory.join("evidence");
        file::make_directory(&directory)?;
        let path = directory.join(format!("{}.evidence", name(evidence)));
        let kept = self.evidence()?;
        if let Some(first) = kept.first().filter(|_| kept.len() >= MAX_EVIDENCE && !kept.contains(&path)) {
            return Ok(first.clone());
        }
        file::replace(&path, evidence)?;
        Ok(path)
    }

    /// The files of evidence that are kept, in no order.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn evidence(&self) -> Result<Vec<PathBuf>, StateError> {
        let directory = self.directory.join("evidence");
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::at(&directory))?,
        };
        let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let paths = paths.map_err(FileError::at(&directory))?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "evidence")).collect())
    }

    fn account_path(&self, label: &str) -> PathBuf {
        self.directory.join(format!("account-{}.json", name(label.as_bytes())))
    }

    fn link_path(&self, label: &str) -> PathBuf {
        self.directory.join(format!("link-{}.json", name(label.as_bytes())))
    }

    fn check(&self, path: &Path, origin: Option<&String>) -> Result<(), StateError> {
        match origin {
            Some(origin) if *origin != self.origin => Err(StateError::Misplaced { path: path.to_path_buf() }),
            _ => Ok(()),
        }
    }
}

/// Whether a directory without mark may become a home: it holds nothing but what an interrupted first start leaves.
fn is_unused(root: &Path) -> Result<bool, StateError> {
    let mut entries = std::fs::read_dir(root).map_err(FileError::at(root))?;
    let ours = |name: &std::ffi::OsStr| name == "lock" || name == "keyglass-home.new";
    Ok(entries.all(|entry| entry.is_ok_and(|entry| ours(&entry.file_name()))))
}

/// A file name for arbitrary bytes: 32 hex digits of their hash.
fn name(bytes: &[u8]) -> String {
    sha256(&[bytes]).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
