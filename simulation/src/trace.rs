//! What happened in a history, line by line: hashed always, kept where somebody wants to read it.

use keyglass_crypto::hash::{Digest, sha256};

/// The lines of a history so far.
#[derive(Debug, Default)]
pub struct Trace {
    hash: Digest,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace that keeps its lines, or only their hash.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self { hash: Digest::default(), lines: keep.then(Vec::new) }
    }

    /// Adds a line.
    pub fn line(&mut self, line: &str) {
        self.hash = sha256(&[&self.hash, line.as_bytes()]);
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_owned());
        }
    }

    /// A hash of all lines and their order: two runs of one seed have the same.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
