//! What is stored for a log: its last head, or that the state is known to lag behind what was signed.

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    checkpoint::CheckpointError,
    note::{NoteError, SignedNote, format_signature_lines, parse_signature_lines},
    time::UnixSeconds,
};
use thiserror::Error;

use crate::head::{Head, OriginHash};

/// Why stored bytes are not what was kept for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeptError {
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

/// What a witness knows of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// No checkpoint of it was ever cosigned.
    Nothing,
    /// The head that was cosigned last.
    Head(Head),
    /// The witness may have signed more than the state says, and signs nothing until its operator has confirmed.
    Suspended(Suspended),
}

/// A state that may lag behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspended {
    /// The head that the state has.
    pub head: Option<Head>,
    /// A head that the witness is known to have cosigned, if it is that which proves that the state lags behind.
    pub proof: Option<Head>,
}

/// Bytes of SHA-256 in front of the rest.
const CHECKSUM_LEN: usize = 8;
/// A head without its cosignatures, as programs from before wrote it: time and note.
const HEAD_ALONE: u8 = 1;
/// A head: time, length of the cosignatures, cosignatures, note.
const HEAD: u8 = 2;
/// Suspended: length of the first, head, proof; either may be empty.
const SUSPENDED: u8 = 3;
/// It was confirmed that nothing was ever cosigned.
const NOTHING: u8 = 4;

impl Kept {
    /// The head that the state has, suspended or not.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        match self {
            Self::Nothing => None,
            Self::Head(head) => Some(head),
            Self::Suspended(suspended) => suspended.head.as_ref(),
        }
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = match self {
            Self::Nothing => vec![NOTHING],
            Self::Head(head) => encode_head(head),
            Self::Suspended(Suspended { head, proof }) => {
                let encoded = |head: &Option<Head>| head.as_ref().map_or_else(Vec::new, encode_head);
                let mut body = vec![SUSPENDED];
                push_with_length(&mut body, &encoded(head));
                body.extend_from_slice(&encoded(proof));
                body
            }
        };
        sha256(&[&body]).into_iter().take(CHECKSUM_LEN).chain(body).collect()
    }

    /// Reads what [`Kept::encode`] wrote for the log of `origin`.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn decode(origin: OriginHash, stored: &[u8]) -> Result<Self, KeptError> {
        let (checksum, body) = stored.split_first_chunk::<CHECKSUM_LEN>().ok_or(KeptError::Damaged)?;
        if !sha256(&[body]).starts_with(checksum) {
            return Err(KeptError::Damaged);
        }
        match body.split_first().ok_or(KeptError::Damaged)? {
            (&(HEAD_ALONE | HEAD), _) => Ok(Self::Head(decode_head(origin, body)?)),
            (&SUSPENDED, rest) => {
                let (head, proof) = split_at_length(rest)?;
                let decoded =
                    |bytes: &[u8]| (!bytes.is_empty()).then(|| decode_head(origin, bytes)).transpose();
                Ok(Self::Suspended(Suspended { head: decoded(head)?, proof: decoded(proof)? }))
            }
            (&NOTHING, []) => Ok(Self::Nothing),
            (&NOTHING, _) => Err(KeptError::Damaged),
            (&version, _) => Err(KeptError::UnknownVersion(version)),
        }
    }
}

fn encode_head(head: &Head) -> Vec<u8> {
    let mut body = vec![HEAD];
    body.extend_from_slice(&head.time().0.to_be_bytes());
    push_with_length(&mut body, format_signature_lines(head.cosignatures()).as_bytes());
    body.extend_from_slice(head.note().to_string().as_bytes());
    body
}

fn decode_head(origin: OriginHash, body: &[u8]) -> Result<Head, KeptError> {
    let (&version, rest) = body.split_first().ok_or(KeptError::Damaged)?;
    let (time, rest) = rest.split_first_chunk::<8>().ok_or(KeptError::Damaged)?;
    let (cosignatures, note) = match version {
        HEAD_ALONE => (&[][..], rest),
        HEAD => split_at_length(rest)?,
        version => return Err(KeptError::UnknownVersion(version)),
    };
    let head = Head::new(SignedNote::parse(note)?, UnixSeconds(u64::from_be_bytes(*time)))?;
    if head.origin_hash() != origin {
        return Err(KeptError::OtherLog);
    }
    let cosignatures =
        if cosignatures.is_empty() { Vec::new() } else { parse_signature_lines(cosignatures)? };
    Ok(head.with_cosignatures(cosignatures))
}

/// Notes and signature lines are bounded far below 4 GiB.
fn push_with_length(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(bytes);
}

fn split_at_length(bytes: &[u8]) -> Result<(&[u8], &[u8]), KeptError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(KeptError::Damaged)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| KeptError::Damaged)?;
    rest.split_at_checked(length).ok_or(KeptError::Damaged)
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::sign::SigningKey;
    use keyglass_tlog::{
        checkpoint::Checkpoint,
        cosignature::Cosigner,
        note::{KeyName, NoteSigner},
    };
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: &str = "log.example";

    fn head(size: u64) -> Head {
        let log = NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[1; 32]));
        let witness = Cosigner::new(KeyName::new("w.example").unwrap(), SigningKey::from_seed(&[2; 32]));
        let checkpoint = Checkpoint::new(ORIGIN, size, [7; 32]).unwrap();
        let (text, time) = (checkpoint.text(), UnixSeconds(1_700_000_000));
        let note = SignedNote::new(&text, vec![log.sign(&text)]).unwrap();
        let line = witness.cosign(&checkpoint, time).unwrap();
        Head::new(note, time).unwrap().with_cosignatures(vec![line])
    }

    fn every_kind() -> Vec<Kept> {
        let suspended = |head, proof| Kept::Suspended(Suspended { head, proof });
        vec![
            Kept::Nothing,
            Kept::Head(head(7)),
            Kept::Head(head(0).with_cosignatures(Vec::new())),
            suspended(None, None),
            suspended(Some(head(7)), None),
            suspended(None, Some(head(9))),
            suspended(Some(head(7)), Some(head(9))),
        ]
    }

    fn sealed(body: &[u8]) -> Vec<u8> {
        [&sha256(&[body])[..CHECKSUM_LEN], body].concat()
    }

    #[test]
    fn what_is_kept_comes_back() {
        let origin = OriginHash::of(ORIGIN);
        for kept in every_kind() {
            assert_eq!(Kept::decode(origin, &kept.encode()), Ok(kept));
        }
        let other = Kept::decode(OriginHash::of("log.exampl"), &Kept::Head(head(7)).encode());
        assert_eq!(other, Err(KeptError::OtherLog));
        assert_eq!(Kept::decode(origin, &[]), Err(KeptError::Damaged));
    }

    #[test]
    fn heads_of_programs_from_before_are_read() {
        let head = head(7).with_cosignatures(Vec::new());
        let mut body = vec![1];
        body.extend_from_slice(&head.time().0.to_be_bytes());
        body.extend_from_slice(head.note().to_string().as_bytes());
        assert_eq!(Kept::decode(OriginHash::of(ORIGIN), &sealed(&body)), Ok(Kept::Head(head)));
    }

    #[test]
    fn newer_versions_are_refused() {
        let stored = sealed(&[5, 0]);
        assert_eq!(Kept::decode(OriginHash::of(ORIGIN), &stored), Err(KeptError::UnknownVersion(5)));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(kind in 0usize..7, at: usize, bit in 0u32..8, cut: bool) {
            let mut stored = every_kind()[kind].encode();
            let at = at % stored.len();
            if cut { stored.truncate(at) } else { stored[at] ^= 1 << bit }
            prop_assert_eq!(Kept::decode(OriginHash::of(ORIGIN), &stored), Err(KeptError::Damaged));
        }

        #[test]
        fn nonsense_under_a_good_checksum_is_refused_without_a_panic(body: Vec<u8>) {
            let _ = Kept::decode(OriginHash::of(ORIGIN), &sealed(&body));
        }
    }
}
