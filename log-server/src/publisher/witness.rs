//! The witnesses at one URL: asking for their cosignatures, and believing only what verifies.

use std::{sync::Arc, time::Duration};

use keyglass_crypto::hash::Digest;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{SignatureLine, SignedNote},
    policy,
    witness::{AddCheckpoint, ResponseError, SIZE_MEDIA_TYPE, parse_cosignatures, parse_size},
    witnessed::Horizon,
};
use reqwest::{StatusCode, Url, header::CONTENT_TYPE};
use thiserror::Error;

use super::head::{OwnSignature, SignedHead};
use crate::{
    clock::Clock,
    log_tree,
    store::{Store, StoreError},
};

/// The longest answer that is read. Nine ML-DSA-44 lines fit.
const MAX_ANSWER: usize = 32 * 1024;

/// Why a witness gave no cosignature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    Deadline,
    /// No connection, or one that broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// A refusal, with its HTTP status.
    #[error("refused with status {0}")]
    Refused(u16),
    /// It has cosigned a larger tree of this log, which has that many entries: before a restart it was asked for a head
    /// that was not published any more. It will be asked for the newest head soon.
    #[error("it has cosigned {told} entries of this log already")]
    Newer {
        /// The size it told.
        told: u64,
    },
    /// It has cosigned a larger tree than this log has: the log has lost entries, or the witness lies.
    #[error("it has cosigned {told} entries of this log, which has {size}: has the log been rolled back?")]
    Ahead {
        /// The size it told.
        told: u64,
        /// The size that the log has.
        size: u64,
    },
    /// It told a size that it then refused as well.
    #[error("it names one size after the other")]
    NamesSizes,
    /// A 409 that does not name a size.
    #[error("its conflict names no size")]
    NoSize,
    /// The answer is longer than any honest one.
    #[error("its answer is too long")]
    TooLong,
    /// The answer holds no cosignature by this witness of this head, of a time that counts.
    #[error("its answer is no cosignature: {0}")]
    NoCosignature(#[from] ResponseError),
    /// The head is not a checkpoint, or fits no note.
    #[error("the head cannot be cosigned")]
    NotACheckpoint,
    /// The log's own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AskError {
    /// One word for all errors of a kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Newer { .. } | Self::Ahead { .. } | Self::NamesSizes | Self::NoSize => "conflict",
            Self::TooLong | Self::NoCosignature(_) => "no_cosignature",
            Self::NotACheckpoint | Self::Store(_) => "own_failure",
        }
    }
}

/// What a witness's answer is worth for one of the keys that were asked for.
pub(super) type Cosigned = Result<SignatureLine, AskError>;

/// The connection to a witness: an operator's keys at one URL.
pub(super) struct Witness {
    /// Its lines in the policy, one for each key; at least one.
    pub(super) policies: Vec<policy::Witness>,
    pub(super) add_checkpoint: Url,
    pub(super) http: reqwest::Client,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// How far a cosignature's time may be ahead of the clock.
    pub(super) max_ahead: Duration,
    pub(super) deadline: Duration,
    /// The size that it has probably cosigned last.
    pub(super) size: u64,
}

impl Witness {
    /// Asks for the cosignatures of all keys, a second time if the witness names the size to start from. The result has one
    /// element for each of `policies`, of which at least one is good.
    ///
    /// # Errors
    /// [`AskError`], if none is.
    pub(super) async fn ask(&mut self, head: &SignedHead) -> Result<Vec<Cosigned>, AskError> {
        let OwnSignature::Checkpoint(checkpoint, lines) = &head.signature else {
            return Err(AskError::NotACheckpoint);
        };
        let deadline = self.deadline;
        let answer = self.ask_within_deadline(checkpoint, lines);
        tokio::time::timeout(deadline, answer).await.map_err(|_| AskError::Deadline)?
    }

    async fn ask_within_deadline(
        &mut self,
        checkpoint: &Checkpoint,
        own: &[SignatureLine],
    ) -> Result<Vec<Cosigned>, AskError> {
        let size = checkpoint.tree_size();
        self.size = self.size.min(size);
        let note = SignedNote::new(&checkpoint.text(), own.to_vec()).map_err(|_| AskError::NotACheckpoint)?;
        // Between our question and its repetition another process of this log may have reached the witness.
        for _ in 0..3 {
            let proof = self.consistency_proof(self.size, size).await?;
            let request =
                AddCheckpoint::new(self.size, proof, note.clone()).map_err(|_| AskError::NotACheckpoint)?;
            let response = self.http.post(self.add_checkpoint.clone()).body(request.to_string()).send().await;
            let response = response.map_err(|error| unreachable(&error))?;
            match response.status() {
                StatusCode::OK => {
                    let cosigned = self.cosignatures(&read(response).await?, checkpoint)?;
                    self.size = size;
                    return Ok(cosigned);
                }
                StatusCode::CONFLICT => {
                    let told = told_size(response).await?;
                    if told > size {
                        return Err(self.ahead(told).await?);
                    }
                    self.size = told;
                }
                other => return Err(AskError::Refused(other.as_u16())),
            }
        }
        Err(AskError::NamesSizes)
    }

    /// What it means that the witness has cosigned more entries than it was asked for.
    async fn ahead(&mut self, told: u64) -> Result<AskError, StoreError> {
        let store = Arc::clone(&self.store);
        let read = move || store.snapshot()?.size();
        let size =
            tokio::task::spawn_blocking(read).await.map_err(|e| StoreError::Backend(e.to_string()))??;
        if told > size {
            return Ok(AskError::Ahead { told, size });
        }
        self.size = told;
        Ok(AskError::Newer { told })
    }

    async fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Digest>, StoreError> {
        let store = Arc::clone(&self.store);
        let read = move || log_tree::consistency_proof(&*store.snapshot()?, old, new);
        let proof =
            tokio::task::spawn_blocking(read).await.map_err(|e| StoreError::Backend(e.to_string()))??;
        Ok(proof.unwrap_or_default())
    }

    /// The valid lines in an answer. Each key is judged by itself, so that a line which is wrong costs that key alone; lines of
    /// other keys are ignored, as tlog-witness says.
    fn cosignatures(&self, answer: &[u8], checkpoint: &Checkpoint) -> Result<Vec<Cosigned>, AskError> {
        let horizon = Horizon::at(self.clock.now(), self.max_ahead);
        let of = |policy: &policy::Witness| -> Cosigned {
            let lines = parse_cosignatures(answer, checkpoint, &[policy.vkey()], horizon)?;
            // Never empty.
            lines.into_iter().next().ok_or(AskError::NotACheckpoint)
        };
        let mut cosigned: Vec<Cosigned> = self.policies.iter().map(of).collect();
        if cosigned.iter().any(Result::is_ok) {
            return Ok(cosigned);
        }
        Err(cosigned.pop().and_then(Result::err).unwrap_or(AskError::NotACheckpoint))
    }
}

fn unreachable(error: &reqwest::Error) -> AskError {
    if error.is_timeout() {
        return AskError::Deadline;
    }
    AskError::Unreachable(reason(error))
}

/// Why a request failed: reqwest's own words name the URL only; the reason is at the end of the chain.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut reason: &dyn core::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// A body of at most [`MAX_ANSWER`] bytes.
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, AskError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
            return Err(AskError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The size that a 409 names: a decimal and a newline.
async fn told_size(response: reqwest::Response) -> Result<u64, AskError> {
    let is_size = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == SIZE_MEDIA_TYPE);
    if !is_size {
        return Err(AskError::NoSize);
    }
    parse_size(&read(response).await?).ok_or(AskError::NoSize)
}
