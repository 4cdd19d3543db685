//! The state that a witness keeps for a log: the last checkpoint that it cosigned.

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError},
    note::{NoteError, SignatureLine, SignedNote},
    time::UnixSeconds,
};
use thiserror::Error;

/// The SHA-256 hash of a log's origin: the key of everything that is kept for it, and its name in monitoring paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginHash(pub Digest);

impl OriginHash {
    /// The hash of an origin's octets.
    #[must_use]
    pub fn of(origin: &str) -> Self {
        Self(sha256(&[origin.as_bytes()]))
    }
}

/// Why stored bytes are not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The bytes are not the ones that were stored.
    #[error("its checksum does not match")]
    Damaged,
    /// Another version of this program wrote it.
    #[error("its version is {0}, which this program does not know")]
    UnknownVersion(u8),
    /// The note is malformed.
    #[error(transparent)]
    BadNote(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error(transparent)]
    BadCheckpoint(#[from] CheckpointError),
    /// It is the head of another log than the one it is stored for.
    #[error("it is the head of another log")]
    OtherLog,
}

/// The version of the encoding.
const VERSION: u8 = 1;
/// Bytes of SHA-256 in front of the rest.
const CHECKSUM_LEN: usize = 8;

/// The last checkpoint that was cosigned for a log, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    note: SignedNote,
    checkpoint: Checkpoint,
    time: UnixSeconds,
}

impl Head {
    /// The head of a note that carries only signature lines of the log that were verified: it is served as it is, with
    /// the witness's cosignatures added, and lines that nobody checked must not be.
    ///
    /// # Errors
    /// [`CheckpointError`] if the note's text is not a checkpoint.
    pub fn new(note: SignedNote, time: UnixSeconds) -> Result<Self, CheckpointError> {
        let checkpoint = Checkpoint::from_note(&note)?;
        Ok(Self { note, checkpoint, time })
    }

    /// The key that it is stored under.
    #[must_use]
    pub fn origin_hash(&self) -> OriginHash {
        OriginHash::of(self.checkpoint.origin())
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint with the log's verified signature lines.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The time of the cosignature.
    #[must_use]
    pub fn time(&self) -> UnixSeconds {
        self.time
    }

    /// The note with `cosignatures` after the log's lines.
    ///
    /// # Errors
    /// [`NoteError`] if that is more than a note may hold.
    pub fn cosigned(&self, cosignatures: Vec<SignatureLine>) -> Result<SignedNote, NoteError> {
        SignedNote::new(self.note.text(), [self.note.signatures().to_vec(), cosignatures].concat())
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![VERSION];
        body.extend_from_slice(&self.time.0.to_be_bytes());
        body.extend_from_slice(self.note.to_string().as_bytes());
        sha256(&[&body]).into_iter().take(CHECKSUM_LEN).chain(body).collect()
    }

    /// Reads what [`Head::encode`] wrote for the log of `origin`.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn decode(origin: OriginHash, stored: &[u8]) -> Result<Self, HeadError> {
        let (checksum, body) = stored.split_first_chunk::<CHECKSUM_LEN>().ok_or(HeadError::Damaged)?;
        if !sha256(&[body]).starts_with(checksum) {
            return Err(HeadError::Damaged);
        }
        let (&version, rest) = body.split_first().ok_or(HeadError::Damaged)?;
        if version != VERSION {
            return Err(HeadError::UnknownVersion(version));
        }
        let (time, note) = rest.split_first_chunk::<8>().ok_or(HeadError::Damaged)?;
        let head = Self::new(SignedNote::parse(note)?, UnixSeconds(u64::from_be_bytes(*time)))?;
        if head.origin_hash() == origin { Ok(head) } else { Err(HeadError::OtherLog) }
    }
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::sign::SigningKey;
    use keyglass_tlog::note::{KeyName, NoteSigner};
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        let log = NoteSigner::new(KeyName::new("log.example").unwrap(), SigningKey::from_seed(&[1; 32]));
        let text = Checkpoint::new("log.example", 7, [7; 32]).unwrap().text();
        Head::new(SignedNote::new(&text, vec![log.sign(&text)]).unwrap(), UnixSeconds(1_700_000_000)).unwrap()
    }

    #[test]
    fn heads_come_back() {
        let head = head();
        assert_eq!(Head::decode(OriginHash::of("log.example"), &head.encode()), Ok(head.clone()));
        assert_eq!(Head::decode(OriginHash::of("log.exampl"), &head.encode()), Err(HeadError::OtherLog));
        assert_eq!(Head::decode(OriginHash::of("log.example"), &[]), Err(HeadError::Damaged));
    }

    #[test]
    fn newer_versions_are_refused() {
        let mut body = head().encode()[CHECKSUM_LEN..].to_vec();
        body[0] = 2;
        let stored = [&sha256(&[&body])[..CHECKSUM_LEN], &body].concat();
        let error = Head::decode(OriginHash::of("log.example"), &stored);
        assert_eq!(error, Err(HeadError::UnknownVersion(2)));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at: usize, bit in 0u32..8, cut: bool) {
            let mut stored = head().encode();
            let at = at % stored.len();
            if cut { stored.truncate(at) } else { stored[at] ^= 1 << bit }
            prop_assert_eq!(Head::decode(OriginHash::of("log.example"), &stored), Err(HeadError::Damaged));
        }
    }
}
