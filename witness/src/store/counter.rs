//! How often heads were committed, in a file of its own.
//!
//! A database whose last commit is lost or undone is sound in itself, yet a witness that believed it would sign a second
//! history. The database counts its commits; this file says how many there must be at least. It is written after each
//! commit and before anything is signed, but not waited for: what a loss of power takes from it only lowers the bound.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use keyglass_crypto::hash::sha256;

/// The counter's file within the data directory.
pub const COUNTER_FILE: &str = "witness.count";
/// The file that is about to become the counter's.
const NEXT_FILE: &str = "witness.count.new";

/// Twenty digits, a space, sixteen hexadecimal digits of checksum, a newline.
const LEN: usize = 38;

/// Why there is no count.
#[derive(Debug)]
pub(super) enum CounterError {
    /// The file cannot be read or written.
    Io(io::Error),
    /// The file does not hold what was written.
    Damaged,
}

impl From<io::Error> for CounterError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Counter {
    file: File,
    path: PathBuf,
}

impl Counter {
    /// Makes the file of a new witness, durably.
    pub(super) fn create(data: &Path) -> io::Result<Self> {
        let path = data.join(COUNTER_FILE);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let counter = Self { file, path };
        counter.write(0)?;
        counter.file.sync_all()?;
        Ok(counter)
    }

    /// Makes a file that can take the place of the present one, durably, over what a crash may have left of such a file.
    pub(super) fn beside(data: &Path, count: u64) -> io::Result<Self> {
        let path = data.join(NEXT_FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let counter = Self { file, path };
        counter.write(count)?;
        counter.file.sync_all()?;
        Ok(counter)
    }

    /// Puts what [`beside`](Self::beside) made into the place of the present file.
    pub(super) fn take_over(&mut self, data: &Path) -> io::Result<()> {
        let path = data.join(COUNTER_FILE);
        fs::rename(&self.path, &path)?;
        self.path = path;
        File::open(data)?.sync_all()
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Opens the file and reads it.
    pub(super) fn open(data: &Path) -> Result<(Self, u64), CounterError> {
        let path = data.join(COUNTER_FILE);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut line = Vec::new();
        file.by_ref().take(1024).read_to_end(&mut line)?;
        let digits = line.get(..20).and_then(|digits| core::str::from_utf8(digits).ok());
        let count = digits.and_then(|digits| digits.parse().ok()).ok_or(CounterError::Damaged)?;
        if line == encode(count).as_bytes() {
            Ok((Self { file, path }, count))
        } else {
            Err(CounterError::Damaged)
        }
    }

    /// Replaces the count.
    pub(super) fn write(&self, count: u64) -> io::Result<()> {
        self.file.write_all_at(encode(count).as_bytes(), 0)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn encode(count: u64) -> String {
    let digits = format!("{count:020}");
    let checksum: String =
        sha256(&[digits.as_bytes()]).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{digits} {checksum}\n");
    debug_assert_eq!(line.len(), LEN);
    line
}
