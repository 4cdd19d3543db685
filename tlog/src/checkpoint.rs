//! Checkpoints: what a log says about its tree, in the text of a note (C2SP tlog-checkpoint).

use core::fmt;

use thiserror::Error;

use crate::{Digest, note::SignedNote, text};

/// The longest checkpoint text that is read, in bytes.
pub const MAX_CHECKPOINT_LEN: usize = 32 * 1024;

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// More than [`MAX_CHECKPOINT_LEN`] bytes.
    #[error("the checkpoint is too long")]
    TooLong,
    /// A control character, or no final newline.
    #[error("the checkpoint is not lines of text")]
    NotLines,
    /// Fewer than three lines.
    #[error("a checkpoint has an origin, a tree size and a root hash")]
    TooFewLines,
    /// An empty line, the origin included.
    #[error("a checkpoint has no empty lines")]
    EmptyLine,
    /// The tree size is not a canonical decimal of at most 64 bits.
    #[error("the tree size is not a decimal number")]
    BadSize,
    /// The root is not the base64 of 32 bytes.
    #[error("the root hash is not the base64 of 32 bytes")]
    BadRoot,
    /// Extension lines where there may be none.
    #[error("the checkpoint has extension lines")]
    Extensions,
}

/// The state of a checkpoint of which nothing is known but its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unverified;

/// A log's tree head. `S` says what has been verified about it; see [`crate::witnessed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint<S = Unverified> {
    origin: String,
    tree_size: u64,
    root: Digest,
    extensions: Vec<String>,
    pub(crate) state: S,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    ///
    /// # Errors
    /// [`CheckpointError`] if the origin is empty, too long or not a line.
    pub fn new(origin: &str, tree_size: u64, root: Digest) -> Result<Self, CheckpointError> {
        if origin.is_empty() {
            return Err(CheckpointError::EmptyLine);
        }
        if origin.len() > MAX_CHECKPOINT_LEN / 2 {
            return Err(CheckpointError::TooLong);
        }
        if origin.bytes().any(|b| b < 0x20) {
            return Err(CheckpointError::NotLines);
        }
        Ok(Self { origin: origin.to_owned(), tree_size, root, extensions: Vec::new(), state: Unverified })
    }

    /// Reads a note's text as a checkpoint. Extension lines are kept.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > MAX_CHECKPOINT_LEN {
            return Err(CheckpointError::TooLong);
        }
        if text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(CheckpointError::NotLines);
        }
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::NotLines)?.split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::TooFewLines);
        let (origin, tree_size, root) = (next()?, next()?, next()?);
        if origin.is_empty() {
            return Err(CheckpointError::EmptyLine);
        }
        let tree_size = text::parse_decimal(tree_size).ok_or(CheckpointError::BadSize)?;
        let root = text::parse_hash(root).ok_or(CheckpointError::BadRoot)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::EmptyLine);
        }
        Ok(Self { origin: origin.to_owned(), tree_size, root, extensions, state: Unverified })
    }

    /// Reads a checkpoint that may have no extension lines, as those of the KEYTRANS suite 0xF001 may not.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse_without_extensions(text: &str) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(text)?;
        if checkpoint.extensions.is_empty() { Ok(checkpoint) } else { Err(CheckpointError::Extensions) }
    }

    /// Reads the checkpoint in a note of which nothing is verified.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn from_note(note: &SignedNote) -> Result<Self, CheckpointError> {
        Self::parse(note.text())
    }
}

impl<S> Checkpoint<S> {
    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.tree_size
    }

    /// The RFC 6962 root of the tree.
    #[must_use]
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// The extension lines, without their newlines. No cosigner vouches for them.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// What has been verified about it.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The note's text: the very bytes that were parsed.
    #[must_use]
    pub fn text(&self) -> String {
        self.to_string()
    }

    /// Whether both name the same origin, size and root.
    #[must_use]
    pub fn is_same_tree<T>(&self, other: &Checkpoint<T>) -> bool {
        self.origin == other.origin && self.tree_size == other.tree_size && self.root == other.root
    }

    /// The same claim with nothing verified about it.
    #[must_use]
    pub fn forget(self) -> Checkpoint {
        self.with_state(Unverified)
    }

    pub(crate) fn with_state<T>(self, state: T) -> Checkpoint<T> {
        let Self { origin, tree_size, root, extensions, state: _ } = self;
        Checkpoint { origin, tree_size, root, extensions, state }
    }
}

impl<S> fmt::Display for Checkpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.tree_size, text::base64(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
