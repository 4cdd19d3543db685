//! Where the passphrase of sealed keys comes from: a file or a pipe.
//!
//! Never from an environment variable or an argument: those are handed on to every child, shown in `/proc`, by
//! `systemctl show` and `docker inspect`, and end up in crash reports. The variable below holds a path.

use std::path::{Path, PathBuf};

use keyglass_crypto::sealed::{MAX_PASSPHRASE_LEN, Passphrase, SealedError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::private_file::{self, Access, Kind, PrivateFileError};

/// Why there is no passphrase.
#[derive(Debug, Error)]
pub enum PassphraseError {
    /// The file cannot be read, or others may access it.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// The file is empty, too long, or has several lines.
    #[error("{}: not a passphrase: one line of 1 to {MAX_PASSPHRASE_LEN} bytes", .0.display())]
    Malformed(PathBuf),
    /// `seal-keys` without a passphrase.
    #[error("seal-keys needs --passphrase-file FILE")]
    Missing,
}

/// Options of a program with keys.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PassphraseOptions {
    /// A file with the passphrase that seals all keys of the data directory, on one line; mode 0600, a credential of
    /// systemd's, or a pipe. With it, `init` makes sealed keys, and keys in the clear are refused
    #[arg(long, global = true, value_name = "FILE", env = "KEYGLASS_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// seal-keys: a file with the passphrase before, to change it
    #[arg(long, global = true, value_name = "FILE")]
    pub old_passphrase_file: Option<PathBuf>,
}

impl PassphraseOptions {
    /// The passphrase, if one is given. A pipe can be read once.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn read(&self) -> Result<Option<Passphrase>, PassphraseError> {
        self.passphrase_file.as_deref().map(read).transpose()
    }

    /// The passphrase before, if given, and the one to seal keys under.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn read_both(&self) -> Result<(Option<Passphrase>, Passphrase), PassphraseError> {
        let before = self.old_passphrase_file.as_deref().map(read).transpose()?;
        Ok((before, self.read()?.ok_or(PassphraseError::Missing)?))
    }
}

/// Reads a passphrase: one line, whose end does not count.
///
/// # Errors
/// [`PassphraseError`].
pub fn read(path: &Path) -> Result<Passphrase, PassphraseError> {
    let limit = u64::try_from(MAX_PASSPHRASE_LEN).unwrap_or(u64::MAX).saturating_add(2);
    let malformed = || PassphraseError::Malformed(path.to_owned());
    let bytes = match private_file::read(path, Kind::FileOrPipe, Access::Owner, limit) {
        Err(PrivateFileError::TooLong { .. }) => return Err(malformed()),
        read => read?,
    };
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&b'\n') {
        return Err(malformed());
    }
    Passphrase::new(Zeroizing::new(line.to_vec())).map_err(|_: SealedError| malformed())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use keyglass_crypto::sealed::{Cost, open, seal};

    use super::*;

    #[test]
    fn a_line_end_does_not_count_and_nothing_else_is_forgiven() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        let put = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            let read = read(&path);
            fs::remove_file(&path).unwrap();
            read
        };
        let cost = Cost::new(8, 1, 1).unwrap();
        let expected = put(b"a b").unwrap();
        let text = seal("k", b"", &expected, cost, &[0; 16], &[0; 12]).unwrap();
        for same in [b"a b\n".as_slice(), b"a b\r\n"] {
            assert!(open("k", text.as_bytes(), &put(same).unwrap()).is_ok());
        }
        assert!(open("k", text.as_bytes(), &put(b"a b ").unwrap()).is_err());
        let longest = [vec![b'x'; MAX_PASSPHRASE_LEN], b"\r\n".to_vec()].concat();
        assert!(put(&longest).is_ok());
        for bad in [b"".as_slice(), b"\n", b"two\nlines\n", b"line\n\n", &[b'x'; MAX_PASSPHRASE_LEN + 1]] {
            assert!(matches!(put(bad), Err(PassphraseError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_passphrase_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        fs::write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let options = PassphraseOptions { passphrase_file: Some(path.clone()), old_passphrase_file: None };
        assert!(matches!(
            options.read(),
            Err(PassphraseError::Private(PrivateFileError::Permissions { .. }))
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(options.read().unwrap().is_some());
        assert!(PassphraseOptions::default().read().unwrap().is_none());
        assert!(matches!(PassphraseOptions::default().read_both(), Err(PassphraseError::Missing)));
    }
}
