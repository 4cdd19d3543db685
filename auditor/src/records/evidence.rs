//! Evidence on disk: verified before it is written, durable, never overwritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    evidence::{Evidence, EvidenceError, EvidenceFormatError},
    policy::Name,
};
use thiserror::Error;

use crate::{
    durable::{self, UNFINISHED},
    trust::Trust,
};

const SUFFIX: &str = ".evidence";
/// The longest file that is read: evidence that is longer is refused by its format.
const MAX_FILE: u64 = 1 << 20;
/// The most files that are read. This auditor writes one more than there are witnesses at most.
const MAX_FILES: usize = 65_537;

/// Why evidence was not read or written.
#[derive(Debug, Error)]
pub enum EvidenceStoreError {
    /// Reading or writing failed.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A file is not evidence.
    #[error("{}: {error}; move it away if you have dealt with it", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: EvidenceFormatError,
    },
    /// A file does not convict the log that this directory follows.
    #[error("{}: {error}; move it away if you have dealt with it", .path.display())]
    Unproven {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: EvidenceError,
    },
    /// There are more files than this program ever writes.
    #[error("{}: more than {MAX_FILES} files", .0.display())]
    TooMany(PathBuf),
}

/// Evidence that was verified and is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conviction {
    /// The file's name within the directory.
    pub file: String,
    /// Where it is.
    pub path: PathBuf,
    /// The kind, as the file's second line says.
    pub kind: &'static str,
    /// The sizes of both checkpoints.
    pub sizes: (u64, u64),
    /// The witnesses of the policy that cosigned both sides.
    pub faulty_witnesses: Vec<Name>,
}

/// The directory of evidence.
pub struct EvidenceDir {
    path: PathBuf,
    trust: Arc<Trust>,
    convictions: BTreeMap<String, Conviction>,
}

impl EvidenceDir {
    /// Opens the directory and verifies everything in it.
    ///
    /// # Errors
    /// [`EvidenceStoreError`]: a damaged file is refused, because ignoring it would acquit the log.
    pub fn open(path: &Path, trust: Arc<Trust>) -> Result<Self, EvidenceStoreError> {
        let mut directory = Self { path: path.to_owned(), trust, convictions: BTreeMap::new() };
        for entry in fs::read_dir(path).map_err(at(path))? {
            let entry = entry.map_err(at(path))?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            if file.ends_with(UNFINISHED) {
                // It was never reported: the process ended while it was written.
                fs::remove_file(&path).map_err(at(&path))?;
            }
            if !file.ends_with(SUFFIX) {
                continue;
            }
            if directory.convictions.len() >= MAX_FILES {
                return Err(EvidenceStoreError::TooMany(directory.path));
            }
            let evidence = Evidence::parse(&read(&path)?)
                .map_err(|error| EvidenceStoreError::Malformed { path: path.clone(), error })?;
            let conviction = directory
                .verify(&evidence, file.clone())
                .map_err(|error| EvidenceStoreError::Unproven { path, error })?;
            directory.convictions.insert(file, conviction);
        }
        Ok(directory)
    }

    fn verify(&self, evidence: &Evidence, file: String) -> Result<Conviction, EvidenceError> {
        let log_keys: Vec<_> = self.trust.log_keys().iter().collect();
        let conviction = evidence.verify(&log_keys, Some(self.trust.policy()))?;
        let path = self.path.join(&file);
        let (sizes, faulty_witnesses) = (conviction.sizes(), conviction.faulty_witnesses().to_vec());
        Ok(Conviction { path, file, kind: evidence.kind(), sizes, faulty_witnesses })
    }

    /// Verifies evidence and stores it, if it is the first or names a witness that none before named: a log with two
    /// histories gives a new contradiction with every head. Says whether the evidence convicts.
    ///
    /// # Errors
    /// [`EvidenceStoreError::Io`]. Evidence that does not verify is not an error: it convicts nobody.
    pub fn convict(&mut self, evidence: &Evidence) -> Result<bool, EvidenceStoreError> {
        let file = file_name(evidence);
        let Ok(conviction) = self.verify(evidence, file.clone()) else {
            return Ok(false);
        };
        let named: BTreeSet<&Name> =
            self.convictions.values().flat_map(|known| &known.faulty_witnesses).collect();
        let names_new = conviction.faulty_witnesses.iter().any(|name| !named.contains(name));
        if self.convictions.is_empty() || names_new {
            let path = &conviction.path;
            durable::write(path, 0o644, evidence.to_string().as_bytes()).map_err(at(path))?;
            tracing::error!(
                path = %conviction.path.display(),
                faulty_witnesses = ?conviction.faulty_witnesses.iter().map(Name::to_string).collect::<Vec<_>>(),
                "the log signed two histories"
            );
            self.convictions.insert(file, conviction);
        }
        Ok(true)
    }

    /// What was found, by file.
    pub fn convictions(&self) -> impl Iterator<Item = &Conviction> {
        self.convictions.values()
    }

    /// The text of a file, if it is one of those found.
    ///
    /// # Errors
    /// [`EvidenceStoreError::Io`].
    pub fn text(&self, file: &str) -> Result<Option<Vec<u8>>, EvidenceStoreError> {
        self.convictions.get(file).map(|conviction| read(&conviction.path)).transpose()
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> EvidenceStoreError + '_ {
    |error| EvidenceStoreError::Io { path: path.to_owned(), error }
}

fn read(path: &Path) -> Result<Vec<u8>, EvidenceStoreError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at(path))?;
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(at(path))?;
    Ok(bytes)
}

/// The name of the file is the hash of its text: what is written once is never written over.
fn file_name(evidence: &Evidence) -> String {
    let hash = sha256(&[evidence.to_string().as_bytes()]);
    let short = hash.first_chunk::<16>().map(hex::encode).unwrap_or_default();
    format!("{short}{SUFFIX}")
}
