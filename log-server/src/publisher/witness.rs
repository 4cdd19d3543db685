//! One witness: asking it for a cosignature, and believing only what verifies.

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

/// The longest answer that is read. Eight ML-DSA-44 lines fit.
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

/// The connection to a witness.
pub(super) struct Witness {
    pub(super) policy: policy::Witness,
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
    /// Asks for a cosignature, a second time if the witness names the size to start from.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) async fn ask(&mut self, head: &SignedHead) -> Result<SignatureLine, AskError> {
        let OwnSignature::Checkpoint(checkpoint, line) = &head.signature else {
            return Err(AskError::NotACheckpoint);
        };
        let deadline = self.deadline;
        let answer = self.ask_within_deadline(checkpoint, line);
        tokio::time::timeout(deadline, answer).await.map_err(|_| AskError::Deadline)?
    }

    async fn ask_within_deadline(
        &mut self,
        checkpoint: &Checkpoint,
        own: &SignatureLine,
    ) -> Result<SignatureLine, AskError> {
        let size = checkpoint.tree_size();
        self.size = self.size.min(size);
        let note =
            SignedNote::new(&checkpoint.text(), vec![own.clone()]).map_err(|_| AskError::NotACheckpoint)?;
        // Between our question and its repetition another process of this log may have reached the witness.
        for _ in 0..3 {
            let proof = self.consistency_proof(self.size, size).await?;
            let request =
                AddCheckpoint::new(self.size, proof, note.clone()).map_err(|_| AskError::NotACheckpoint)?;
            let response = self.http.post(self.add_checkpoint.clone()).body(request.to_string()).send().await;
            let response = response.map_err(|error| unreachable(&error))?;
            match response.status() {
                StatusCode::OK => {
                    let line = self.cosignature(&read(response).await?, checkpoint)?;
                    self.size = size;
                    return Ok(line);
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

    /// The witness's own valid line in its answer. Lines of other keys are ignored, as tlog-witness says.
    fn cosignature(&self, answer: &[u8], checkpoint: &Checkpoint) -> Result<SignatureLine, AskError> {
        let horizon = Horizon::at(self.clock.now(), self.max_ahead);
        let lines = parse_cosignatures(answer, checkpoint, &[self.policy.vkey()], horizon)?;
        // Never empty.
        lines.into_iter().next().ok_or(AskError::NotACheckpoint)
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
