//! The JSON documents of a home as files.

use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use zeroize::Zeroizing;

use super::file::{self, FileError};

/// Why a home cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The home is in use or cannot be locked.
    #[error(transparent)]
    Lock(#[from] super::lock::LockError),
    /// The file is damaged, or was written by another version of this program.
    #[error("{}: not a file of this version: {source}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Where reading it stopped.
        #[source]
        source: serde_json::Error,
    },
    /// The directory holds something else.
    #[error("{}: not empty and not a keyglass home", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A file is about another log, account or device than its place says.
    #[error("{}: its contents do not belong here", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a document, `None` if there is no such file.
///
/// # Errors
/// [`StateError::File`] or [`StateError::Document`].
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let Some(bytes) = file::read(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| StateError::Document { path: path.to_path_buf(), source })
}

/// Replaces a document. When this returns `Ok`, the new one is durable.
///
/// # Errors
/// [`StateError::File`].
pub fn store<T: Serialize>(path: &Path, document: &T) -> Result<(), StateError> {
    let mut bytes = Zeroizing::new(Vec::new());
    serde_json::to_writer_pretty(&mut *bytes, document)
        .map_err(|source| StateError::Document { path: path.to_path_buf(), source })?;
    Ok(file::replace(path, &bytes)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{super::format::Format, *};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        format: Format<3>,
        text: String,
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sample.json");
        assert!(load::<Sample>(&path).unwrap().is_none());
        let sample = Sample { format: Format, text: "x".into() };
        store(&path, &sample).unwrap();
        assert_eq!(load(&path).unwrap(), Some(sample));
    }

    #[test]
    fn damaged_and_foreign_documents_are_refused_with_their_place() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sample.json");
        for bad in [
            "",
            "{",
            r#"{"format":3}"#,
            r#"{"format":4,"text":"x"}"#,
            r#"{"format":3,"text":"x"} "#.trim_end().strip_suffix('}').unwrap(),
            r#"{"format":3,"text":"x","more":1}"#,
            r#"{"format":3,"text":"x"}{}"#,
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = load::<Sample>(&path).unwrap_err();
            assert!(matches!(error, StateError::Document { .. }), "{bad}");
            assert!(error.to_string().contains("sample.json"));
        }
    }
}
