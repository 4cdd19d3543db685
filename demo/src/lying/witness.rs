//! A witness that cosigns whatever it is given, and keeps no promise.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, SignedNote, format_signature_lines},
    time::UnixSeconds,
    witness::AddCheckpoint,
};
use keyglass_witness::{
    clock::{Clock as _, SystemClock},
    head::OriginHash,
    http::{Answer, Limits, Problem, Responder, Server, router, serve},
    metrics::Metrics,
};

use crate::Failed;

/// A witness that colludes with every log, against every user.
pub struct ColludingWitness {
    cosigner: Cosigner,
    latest: Mutex<HashMap<OriginHash, String>>,
}

impl ColludingWitness {
    /// A colluding witness of this name, whose key follows from `seed`.
    ///
    /// # Errors
    /// [`Failed::Lying`] if that is no key name.
    pub fn new(name: &str, seed: u8) -> Result<Self, Failed> {
        let name = KeyName::new(name).map_err(|error| Failed::Lying(error.to_string()))?;
        let cosigner = Cosigner::new(name, SigningKey::from_seed(&[seed; 32]));
        Ok(Self { cosigner, latest: Mutex::default() })
    }

    /// Its verifier key.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.cosigner.vkey().to_string()
    }

    /// Cosigns, and remembers the head for whoever asks what it has seen, if it is one to show.
    fn cosign(&self, note: &SignedNote, now: UnixSeconds, shown: bool) -> Option<String> {
        let checkpoint = Checkpoint::from_note(note).ok()?;
        let line = self.cosigner.cosign(&checkpoint, now).ok()?;
        let lines: Vec<_> = note.signatures().iter().cloned().chain([line.clone()]).collect();
        let latest = SignedNote::new(note.text(), lines).ok()?.to_string();
        if !shown {
            return Some(format_signature_lines(&[line]));
        }
        let mut heads = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        heads.insert(OriginHash::of(checkpoint.origin()), latest);
        Some(format_signature_lines(&[line]))
    }
}

impl Responder for ColludingWitness {
    async fn add_checkpoint(&self, request: AddCheckpoint) -> Answer {
        match self.cosign(request.note(), SystemClock.now(), true) {
            Some(lines) => Answer::Cosignatures(lines),
            None => Answer::Problem(Problem::STORE_FAILED),
        }
    }

    async fn latest(&self, origin: OriginHash) -> Answer {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(&origin).cloned();
        latest.map_or(Answer::Problem(Problem::NO_SUCH_PATH), Answer::Checkpoint)
    }

    fn unready(&self) -> Option<&'static str> {
        None
    }
}

/// The back door of a colluding witness: what comes in here is cosigned like all else, and never shown to anybody who asks
/// what the witness has seen.
pub struct BackDoor(pub Arc<ColludingWitness>);

impl Responder for BackDoor {
    async fn add_checkpoint(&self, request: AddCheckpoint) -> Answer {
        match self.0.cosign(request.note(), SystemClock.now(), false) {
            Some(lines) => Answer::Cosignatures(lines),
            None => Answer::Problem(Problem::STORE_FAILED),
        }
    }

    async fn latest(&self, _origin: OriginHash) -> Answer {
        Answer::Problem(Problem::NO_SUCH_PATH)
    }

    fn unready(&self) -> Option<&'static str> {
        None
    }
}

/// Serves a witness on a port that the system picks.
///
/// # Errors
/// [`Failed::Listen`].
pub async fn start<W: Responder>(witness: Arc<W>) -> Result<Server, Failed> {
    let endpoints = router(witness, Arc::new(Metrics::default()), Limits::default());
    serve(([127, 0, 0, 1], 0).into(), endpoints).map_err(Failed::Listen)
}
