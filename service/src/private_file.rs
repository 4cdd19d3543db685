//! Files that only their owner may read: opened once, judged by what was opened, and read up to a bound.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use thiserror::Error;
use zeroize::Zeroizing;

/// The directory of systemd's credentials, which only the service can enter.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Why a private file is not read.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// Reading failed.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A directory, a device, a socket.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Others may read or change it.
    #[error("{}: others may access it (mode {mode:04o}); expected mode {expected:04o}", .path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The most that they may be.
        expected: u32,
    },
    /// Somebody else owns it, and so can read and change it.
    #[error("{}: owned by the user {owner}, who is neither this process's user ({user}) nor root", .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who runs this process.
        user: u32,
    },
    /// Longer than anything of its kind.
    #[error("{}: longer than {limit} bytes", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: u64,
    },
}

/// Who may access a file beside its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody: 0600 at most.
    Owner,
    /// A group may read it: 0640 at most. For keys of certificates, which Debian's group `ssl-cert` may read.
    GroupReads,
}

impl Access {
    fn most(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::GroupReads => 0o640,
        }
    }
}

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, or a symbolic link to one.
    File,
    /// A pipe as well, such as a shell's `<(command)`.
    FileOrPipe,
}

/// Reads a file of at most `limit` bytes that belongs to this process's user or to root, and that nobody else may
/// access.
///
/// A file in systemd's `$CREDENTIALS_DIRECTORY` may show a group's permission to read: it stands for the entry of an
/// access list that lets the service in, and nobody else can enter the directory.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read(
    path: &Path,
    kind: Kind,
    access: Access,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let fail = |error| PrivateFileError::Io { path: path.to_owned(), error };
    // Before opening, which would wait for somebody to write to a pipe.
    check_kind(path, kind, &path.metadata().map_err(fail)?)?;
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    check_kind(path, kind, &metadata)?;
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    let is_credential = credentials.is_some_and(|directory| path.parent() == Some(&directory));
    let most = if is_credential { 0o640 } else { access.most() };
    check(path, &metadata, most, rustix::process::geteuid().as_raw())?;

    let mut bytes = Zeroizing::new(Vec::new());
    // Room for all of it at once: a vector that grows leaves copies of what it held behind.
    let room = metadata.len().max(1024).min(limit).saturating_add(1);
    bytes.reserve_exact(usize::try_from(room).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn check_kind(path: &Path, kind: Kind, metadata: &Metadata) -> Result<(), PrivateFileError> {
    let pipe = kind == Kind::FileOrPipe && metadata.file_type().is_fifo();
    if metadata.is_file() || pipe { Ok(()) } else { Err(PrivateFileError::NotAFile(path.to_owned())) }
}

/// Judges owner and permissions as `user` would see them.
fn check(path: &Path, metadata: &Metadata, most: u32, user: u32) -> Result<(), PrivateFileError> {
    let owner = metadata.uid();
    if owner != user && owner != 0 {
        return Err(PrivateFileError::Owner { path: path.to_owned(), owner, user });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    // What the owner may do with its own file is nobody else's business.
    if mode & 0o077 & !most != 0 {
        return Err(PrivateFileError::Permissions { path: path.to_owned(), mode, expected: most });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn file(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "content").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    /// Every mode that a file can have, under both rules.
    #[test]
    fn permissions_of_others_are_refused() {
        let (_directory, path) = file(0o600);
        let user = rustix::process::geteuid().as_raw();
        for mode in 0..=0o777 {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let metadata = path.metadata().unwrap();
            for access in [Access::Owner, Access::GroupReads] {
                let (group, others) = (mode >> 3 & 7, mode & 7);
                let fine = others == 0 && (group == 0 || (group == 4 && access == Access::GroupReads));
                let found = check(&path, &metadata, access.most(), user);
                assert_eq!(found.is_ok(), fine, "{mode:04o} {access:?}");
                if let Err(error) = found {
                    assert!(
                        matches!(error, PrivateFileError::Permissions { mode: found, .. } if found == mode)
                    );
                }
            }
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        let (_directory, path) = file(0o600);
        let metadata = path.metadata().unwrap();
        let (owner, most) = (metadata.uid(), Access::Owner.most());
        assert!(check(&path, &metadata, most, owner).is_ok());
        let stranger = check(&path, &metadata, most, owner.wrapping_add(1));
        if owner == 0 {
            assert!(stranger.is_ok(), "root may read everything anyway");
        } else {
            assert!(matches!(stranger, Err(PrivateFileError::Owner { .. })));
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let read = |path: &Path, kind| read(path, kind, Access::Owner, 100);
        for kind in [Kind::File, Kind::FileOrPipe] {
            assert!(matches!(read(directory.path(), kind), Err(PrivateFileError::NotAFile(_))));
            assert!(matches!(read(Path::new("/dev/null"), kind), Err(PrivateFileError::NotAFile(_))));
            let missing = directory.path().join("missing");
            assert!(matches!(read(&missing, kind), Err(PrivateFileError::Io { .. })));
        }
        // A pipe is one for passphrases only; it is told apart without waiting for a writer.
        let pipe = directory.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success()
        );
        assert!(matches!(read(&pipe, Kind::File), Err(PrivateFileError::NotAFile(_))));
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::write(pipe, "from a pipe").unwrap()
        });
        assert_eq!(read(&pipe, Kind::FileOrPipe).unwrap().as_slice(), b"from a pipe");
        writer.join().unwrap();
    }

    #[test]
    fn a_link_is_as_private_as_what_it_names() {
        let (directory, path) = file(0o600);
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link, Kind::File, Access::Owner, 100).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = read(&link, Kind::File, Access::Owner, 100);
        assert!(matches!(refused, Err(PrivateFileError::Permissions { mode: 0o644, .. })));
    }

    #[test]
    fn the_bound_is_exact() {
        let (_directory, path) = file(0o600);
        assert_eq!(read(&path, Kind::File, Access::Owner, 7).unwrap().as_slice(), b"content");
        let refused = read(&path, Kind::File, Access::Owner, 6);
        assert!(matches!(refused, Err(PrivateFileError::TooLong { limit: 6, .. })));
    }
}
