//! From accepted updates to durable log entries.
//!
//! Two threads: one gathers updates into a batch and does the work that needs no lock (VRF outputs, commitments), the
//! other adds the batch to the trees and commits it, one durable log entry a batch. While one batch is committed the
//! next is prepared. Between batches the second thread adds an empty entry whenever the last is older than the
//! heartbeat, so that the head of an idle log stays fresh.
//!
//! Values are bytes here: whether they make sense for the label is for the caller to decide while it holds the
//! label's [`Admission`].
//!
//! A commit that fails stops the sequencer for good: what is durable is then known only after the store has been
//! opened anew, so the process has to start again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use keyglass_account::label::LabelLength;
use keyglass_crypto::vrf::VrfSecretKey;
use keyglass_keytrans::{
    config::{CipherSuite, Configuration},
    log_hash::LogHash,
};
use rand::CryptoRng;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::{
    clock::Clock,
    store::{LabelRecord, Store, StoreError},
};

mod admission;
mod collect;
pub mod entry;
mod integrate;
mod prepare;

use admission::{Claim, Pending};
use integrate::Integrator;

/// The most values in one update (`UpdateRequest.values<0..2^8-1>`).
pub const MAX_VALUES: usize = 255;

/// How the sequencer batches.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a batch waits for more updates after its first.
    pub window: Duration,
    /// The most versions in one log entry; at least [`MAX_VALUES`], so that every update fits.
    pub max_versions: usize,
    /// The greatest age of the last log entry before an empty one is added.
    pub heartbeat: Duration,
    /// How many threads compute VRF outputs.
    pub threads: usize,
    /// How many updates may wait.
    pub queue: usize,
    /// How many bytes of values may wait.
    pub queue_bytes: usize,
    /// Whether log entries expire, so that it has to be noted what each makes superfluous.
    pub expiring: bool,
}

impl Settings {
    /// These settings within what a log's configuration asks for.
    #[must_use]
    pub fn suited_to(mut self, configuration: &Configuration) -> Self {
        if configuration.ciphersuite == CipherSuite::Draft.number() {
            // An `AuditorUpdate` of the draft holds no more.
            self.max_versions = MAX_VALUES;
        }
        self.expiring = configuration.maximum_lifetime.is_some();
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(50),
            max_versions: 100_000,
            heartbeat: Duration::from_secs(60),
            threads: std::thread::available_parallelism().map_or(2, usize::from).min(2),
            queue: 20_000,
            queue_bytes: 256 << 20,
            expiring: false,
        }
    }
}

/// What must be given to a sequencer: its log, its keys and its sources of time and randomness.
pub struct Parts {
    /// Where the log is.
    pub store: Arc<dyn Store>,
    /// Where versions go in the prefix tree.
    pub vrf: Arc<VrfSecretKey>,
    /// How the log tree is hashed.
    pub log_hash: LogHash,
    /// Timestamps of log entries.
    pub clock: Arc<dyn Clock>,
    /// Openings.
    pub rng: Box<dyn CryptoRng + Send>,
}

/// What is durable so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The sequenced size.
    pub size: u64,
    /// The last entry's timestamp, in milliseconds since the Unix epoch; 0 without entries.
    pub timestamp: u64,
    /// Why nothing is sequenced any more.
    pub failed: Option<Arc<str>>,
}

/// Where an update went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    /// The position of its log entry, which is durable, but not yet published.
    pub position: u64,
}

/// Why a label was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdmitError {
    /// A label has 1 to 255 bytes.
    #[error(transparent)]
    Label(#[from] LabelLength),
    /// An update of the label is under way.
    #[error("an update of this label is under way")]
    Pending,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an update was not taken. Nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// An update has 1 to [`MAX_VALUES`] values.
    #[error("an update has 1 to 255 values")]
    ValueCount,
    /// The label would pass version 2^32 - 1.
    #[error("the label has no versions left")]
    NoVersionsLeft,
    /// Too much waits already.
    #[error("too many updates are waiting")]
    Busy,
    /// The sequencer has stopped.
    #[error("the sequencer has stopped")]
    Stopped,
}

/// The sequencer stopped before the update was known to be durable: it may or may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the sequencer has stopped")]
pub struct Interrupted;

/// An update on its way to the log.
struct Submission {
    claim: Claim,
    record: Option<LabelRecord>,
    first_version: u32,
    values: Vec<Vec<u8>>,
    reply: oneshot::Sender<Sequenced>,
    /// Given back when the submission is done with.
    room: Room,
}

/// A share of the bytes that may wait.
struct Room {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    fn take(waiting: &Arc<AtomicUsize>, bytes: usize, most: usize) -> Option<Self> {
        let taken = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= most);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        Some(Self { waiting: Arc::clone(waiting), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The running sequencer.
pub struct Sequencer {
    store: Arc<dyn Store>,
    pending: Pending,
    input: Mutex<Option<SyncSender<Submission>>>,
    waiting_bytes: Arc<AtomicUsize>,
    queue_bytes: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Sequencer {
    /// Starts on what the store holds, and tells `state` of every change. A log without entries gets its first, empty
    /// one at once.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or contradicts itself.
    pub fn start(parts: Parts, settings: &Settings, state: watch::Sender<State>) -> Result<Self, StoreError> {
        let Parts { store, vrf, log_hash, clock, rng } = parts;
        let pending = Pending::default();
        let (input, submissions) = sync_channel(settings.queue);
        let (batches, prepared) = sync_channel(1);
        let integrator = Integrator::open(Arc::clone(&store), log_hash, clock, settings.expiring)?;
        state.send_replace(integrator.state());
        let collector = collect::Collector { vrf, rng, settings: settings.clone() };
        let heartbeat = settings.heartbeat;
        let threads = vec![
            spawn("collector", move || collector.run(&submissions, &batches))?,
            spawn("integrator", move || integrator.run(&prepared, &state, heartbeat))?,
        ];
        Ok(Self {
            store,
            pending,
            input: Mutex::new(Some(input)),
            waiting_bytes: Arc::new(AtomicUsize::new(0)),
            queue_bytes: settings.queue_bytes,
            threads: Mutex::new(threads),
        })
    }

    /// Claims `label` for one update. Reads the store: asynchronous callers use a blocking thread.
    ///
    /// # Errors
    /// [`AdmitError`].
    pub fn admit(&self, label: &[u8]) -> Result<Admission<'_>, AdmitError> {
        keyglass_account::label::check(label)?;
        let claim = self.pending.claim(label).ok_or(AdmitError::Pending)?;
        // Read after the claim: whoever held it before has committed.
        let record = self.store.snapshot()?.label(label)?;
        Ok(Admission { sequencer: self, claim, record })
    }

    /// Sequences what was submitted, takes nothing more, and returns when both threads have ended.
    pub fn stop(&self) {
        drop(self.input.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = core::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so on stderr and in the state.
            let _ = thread.join();
        }
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|error| StoreError::Backend(error.to_string()))
}

/// The right to update one label. Nobody else can while it is held.
pub struct Admission<'a> {
    sequencer: &'a Sequencer,
    claim: Claim,
    record: Option<LabelRecord>,
}

impl Admission<'_> {
    /// The label's record, which does not change while this is held; `None` if it has no version.
    #[must_use]
    pub fn record(&self) -> Option<&LabelRecord> {
        self.record.as_ref()
    }

    /// Hands in new versions of the label, in order. The receiver tells when they are durable; if it is told nothing,
    /// see [`Interrupted`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(self, values: Vec<Vec<u8>>) -> Result<oneshot::Receiver<Sequenced>, SubmitError> {
        let Self { sequencer, claim, record } = self;
        if values.is_empty() || values.len() > MAX_VALUES {
            return Err(SubmitError::ValueCount);
        }
        let next = record.as_ref().map_or(0, |record| u64::from(record.greatest()).saturating_add(1));
        let count = u64::try_from(values.len()).map_err(|_| SubmitError::ValueCount)?;
        if next.saturating_add(count) > u64::from(u32::MAX).saturating_add(1) {
            return Err(SubmitError::NoVersionsLeft);
        }
        let first_version = u32::try_from(next).map_err(|_| SubmitError::NoVersionsLeft)?;
        let bytes = values.iter().map(Vec::len).fold(0, usize::saturating_add);
        let room =
            Room::take(&sequencer.waiting_bytes, bytes, sequencer.queue_bytes).ok_or(SubmitError::Busy)?;
        let (reply, receiver) = oneshot::channel();
        let submission = Submission { claim, record, first_version, values, reply, room };

        let input = sequencer.input.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(input) = input.as_ref() else { return Err(SubmitError::Stopped) };
        input.try_send(submission).map(|()| receiver).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Busy,
            TrySendError::Disconnected(_) => SubmitError::Stopped,
        })
    }
}

#[cfg(test)]
mod tests;
