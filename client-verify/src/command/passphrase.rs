//! The passphrase of a backup or of a recovery key: a file or a pipe, never an argument, which others could read.

use std::{io::Read as _, path::Path};

use keyglass_crypto::sealed::{Cost, MAX_PASSPHRASE_LEN, Passphrase, SealedError, open, seal};
use zeroize::Zeroizing;

use super::{outcome::Failure, random};
use crate::verdict::Verdict;

/// Reads a passphrase: one line, whose end does not count. `-` is standard input.
///
/// # Errors
/// [`Verdict::Usage`].
pub fn read(path: Option<&Path>) -> Result<Passphrase, Failure> {
    let usage = |message: &str| Failure::new(Verdict::Usage, "passphrase", message);
    let path = path.ok_or_else(|| usage("this needs --passphrase-file FILE (- for standard input)"))?;
    let bytes = read_secret(path, MAX_PASSPHRASE_LEN.saturating_add(2))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&b'\n') {
        return Err(usage("a passphrase is one line"));
    }
    Passphrase::new(Zeroizing::new(line.to_vec())).map_err(|error| usage(&error.to_string()))
}

/// Reads a file, or standard input for `-`, of at most `limit` bytes that may be secret.
///
/// # Errors
/// [`Verdict::Usage`].
pub fn read_secret(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Verdict::Usage, "file", format!("{}: {error}", path.display()));
    // One allocation, so that no copy stays behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if path.as_os_str() == "-" {
        std::io::stdin().take(bound).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(bound).read_to_end(&mut bytes))
            .map_err(failed)?;
    }
    if bytes.len() > limit {
        let message = format!("{}: longer than {limit} bytes", path.display());
        return Err(Failure::new(Verdict::Usage, "file", message));
    }
    Ok(bytes)
}

/// Seals `content` under a passphrase into a file that must not exist yet.
///
/// # Errors
/// [`Verdict::Usage`] if the file exists or the content is too long; [`Verdict::Failed`].
pub fn write_sealed(
    path: &Path,
    holds: &str,
    content: &[u8],
    passphrase: &Passphrase,
) -> Result<(), Failure> {
    write_new_file(path, seal_text(holds, content, passphrase)?.as_bytes())
}

/// Seals `content` under a passphrase.
///
/// # Errors
/// [`Verdict::Failed`].
pub fn seal_text(holds: &str, content: &[u8], passphrase: &Passphrase) -> Result<String, Failure> {
    seal(holds, content, passphrase, Cost::RECOMMENDED, &random::bytes()?, &random::bytes()?)
        .map_err(|error| Failure::new(Verdict::Failed, "sealing", error))
}

/// Writes a file that its owner alone may read, and that must not exist yet.
///
/// # Errors
/// [`Verdict::Usage`] if it exists; [`Verdict::Failed`].
pub fn write_new_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_new(path, content).map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let verdict = if exists { Verdict::Usage } else { Verdict::Failed };
        Failure::new(verdict, "file", format!("{}: {error}", path.display()))
    })
}

/// Opens what [`write_sealed`] wrote.
///
/// # Errors
/// [`Verdict::Rejected`] for a wrong passphrase or a file that was changed, is incomplete or is no such file.
pub fn open_sealed(text: &[u8], holds: &str, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, Failure> {
    open(holds, text, passphrase).map_err(|error| {
        let reason = match error {
            SealedError::NotAuthentic => "wrong_passphrase_or_damaged",
            SealedError::UnknownVersion => "unknown_version",
            SealedError::OtherPurpose | SealedError::NotSealed => "not_this_kind_of_file",
            _ => "damaged",
        };
        Failure::new(Verdict::Rejected, reason, error)
    })
}

/// Writes a file that its owner alone may read, and makes it durable. It must not exist.
fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        for (content, fine) in
            [("a b", true), ("a b\n", true), ("a\r\n", true), ("", false), ("\n", false), ("a\nb", false)]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(Some(&path)).is_ok(), fine, "{content:?}");
        }
        assert_eq!(read(None).unwrap_err().verdict, Verdict::Usage);
        std::fs::write(&path, vec![b'x'; MAX_PASSPHRASE_LEN + 3]).unwrap();
        assert_eq!(read(Some(&path)).unwrap_err().reason, "file");
    }

    #[test]
    fn an_existing_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        write_new(&path, b"first").unwrap();
        assert!(write_new(&path, b"second").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
