//! A log that is pruned, beside the same log that is not.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use keyglass_account::problem::Problem;
use keyglass_keytrans::{
    client::Verifier,
    config::CipherSuite,
    prover::{ProverError, ServedHead},
    wire::TreeHead,
};
use keyglass_tlog::{policy::Policy, time::UnixMillis};
use rand::{SeedableRng as _, rngs::StdRng};

use super::super::*;
use crate::{
    clock::Clock,
    data_dir::Identity,
    http::failure::Failure,
    init::{Choices, new_log},
    log::Limits,
    log_tree,
    proofs::{DataError, ProofCache, SnapshotData},
    publisher::{Cosignatures, HeadSigner, to_publish},
    sequencer::{Parts, Sequencer, State},
    store::{Batch, CommitError, PublishError, PublishedHead, memory::MemoryStore},
};

/// A store, and one in memory that is written alike but never pruned.
pub(super) struct Twin<S> {
    pub(super) pruned: S,
    pub(super) whole: MemoryStore,
    /// The keys of all pages that were ever written.
    pub(super) pages: Mutex<Vec<PageKey>>,
}

impl<S: Store> Store for Twin<S> {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.pruned.snapshot()
    }

    fn commit(&self, expected_size: u64, batch: &Batch) -> Result<(), CommitError> {
        self.whole.commit(expected_size, batch)?;
        self.pages.lock().unwrap().extend(batch.pages.iter().map(|(key, _)| *key));
        self.pruned.commit(expected_size, batch)
    }

    fn publish(&self, head: &PublishedHead) -> Result<(), PublishError> {
        self.whole.publish(head)?;
        self.pruned.publish(head)
    }

    fn erase(&self, label: &[u8], version: u32) -> Result<(), StoreError> {
        self.whole.erase(label, version)?;
        self.pruned.erase(label, version)
    }

    fn prune(&self, batch: &PruneBatch) -> Result<(), StoreError> {
        self.pruned.prune(batch)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.pruned.reclaim()
    }
}

/// A clock that does what it is told.
pub(super) struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// A log and what is needed to ask it.
pub(super) struct Rig<S> {
    pub(super) store: Arc<Twin<S>>,
    pub(super) identity: Identity,
    pub(super) verifier: Verifier,
    pub(super) clock: Arc<HandClock>,
    sequencer: Sequencer,
    signer: HeadSigner,
    proofs: [ProofCache; 2],
    head: Mutex<Option<ServedHead>>,
}

pub(super) const POLICY: &[u8] = b"quorum none\n";

impl<S: Store> Rig<S> {
    pub(super) fn new(suite: CipherSuite, window: u64, lifetime: u64, store: S) -> Self {
        let choices = Choices {
            prefix: "log.example".to_owned(),
            suite,
            auditor: None,
            max_auditor_lag: 0,
            auditor_start: 0,
            max_ahead: 1000,
            max_behind: 1_000_000,
            reasonable_monitoring_window: window,
            maximum_lifetime: Some(lifetime),
        };
        let identity = new_log(&choices, &mut StdRng::seed_from_u64(11)).unwrap().identity;
        let verifier = Verifier::new(&identity.encoded, Some(POLICY)).unwrap();
        let signer = HeadSigner::of(&identity).unwrap();
        let store = Arc::new(Twin { pruned: store, whole: MemoryStore::default(), pages: Mutex::default() });
        let clock = Arc::new(HandClock(AtomicU64::new(1_000_000)));
        let parts = Parts {
            store: Arc::<Twin<S>>::clone(&store),
            vrf: Arc::clone(&identity.vrf_key),
            log_hash: suite.log_hash(),
            clock: Arc::<HandClock>::clone(&clock),
            rng: Box::new(StdRng::seed_from_u64(7)),
        };
        let settings = crate::sequencer::Settings {
            window: Duration::ZERO,
            heartbeat: Duration::from_secs(3600),
            ..Default::default()
        };
        let (sender, state) = watch::channel(State::default());
        let sequencer =
            Sequencer::start(parts, &settings.suited_to(&identity.configuration), sender).unwrap();
        // The first entry is empty.
        let mut state = state;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(state.wait_for(|state| state.size == 1)).unwrap();
        // Pages that were read while they were still there are not to hide that they are gone.
        let limits = Limits { pages: 1, ..Limits::default() };
        let proofs = [(); 2].map(|()| ProofCache::new(Arc::clone(&identity.vrf_key), &limits));
        let rig =
            Self { store, identity, verifier, clock, sequencer, signer, proofs, head: Mutex::default() };
        rig.publish();
        rig
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(super) fn advance(&self, milliseconds: u64) {
        self.clock.0.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Adds versions of labels; gives the positions of their log entries, which may or may not be one.
    pub(super) fn update(&self, updates: Vec<(&[u8], Vec<Vec<u8>>)>) -> Vec<u64> {
        let submit =
            |(label, values): (&[u8], _)| self.sequencer.admit(label).unwrap().submit(values).unwrap();
        let waiting: Vec<_> = updates.into_iter().map(submit).collect();
        waiting.into_iter().map(|receiver| receiver.blocking_recv().unwrap().position).collect()
    }

    /// Publishes everything that is sequenced; gives the size.
    pub(super) fn publish(&self) -> u64 {
        let (size, root) = {
            let snapshot = self.store.snapshot().unwrap();
            let size = snapshot.size().unwrap();
            let hash = self.identity.suite.log_hash();
            (size, log_tree::root(&*snapshot, hash, size).unwrap().unwrap())
        };
        let policy = Policy::parse(POLICY).unwrap();
        let signed = self.signer.sign(size, root, self.now().to_seconds()).unwrap();
        let head = to_publish(&signed, &policy, &Cosignatures::default()).unwrap();
        self.store.publish(&head).unwrap();
        let configuration = &self.identity.configuration;
        *self.head.lock().unwrap() = Some(ServedHead {
            tree_head: TreeHead { tree_size: head.size, signature: head.signature },
            auditor_tree_head: None,
            suite: self.identity.suite,
            monitoring_window: configuration.reasonable_monitoring_window,
            maximum_lifetime: configuration.maximum_lifetime,
        });
        size
    }

    pub(super) fn size(&self) -> u64 {
        self.head.lock().unwrap().as_ref().unwrap().tree_head.tree_size
    }

    /// Asks the log under its published head. What the pruned store answers, the whole one answers, byte for byte.
    pub(super) fn ask(
        &self,
        question: impl Fn(&SnapshotData<'_>, &ServedHead) -> Result<Vec<u8>, ProverError<DataError>>,
    ) -> Result<Vec<u8>, Problem> {
        let head = self.head.lock().unwrap().clone().unwrap();
        let stores: [&dyn Store; 2] = [&self.store.pruned, &self.store.whole];
        let [pruned, whole] = [0, 1].map(|i| {
            let snapshot = stores[i].snapshot().unwrap();
            question(&SnapshotData::new(&*snapshot, &self.proofs[i]), &head).map_err(|error| {
                let words = format!("{error:?}");
                let problem = Failure::from(error).problem();
                assert_ne!(problem, Problem::Internal, "{words}");
                problem
            })
        });
        assert_eq!(pruned, whole);
        pruned
    }

    /// A pruner that deletes this many keys at a time.
    pub(super) fn pruner(&self, step: usize) -> Pruner
    where
        S: 'static,
    {
        let lifetime = self.identity.configuration.maximum_lifetime.unwrap();
        let settings = Settings { step, ..Settings::default() };
        Pruner::new(Arc::<Twin<S>>::clone(&self.store), lifetime, Box::new(|| u64::MAX), settings)
    }

    /// Everything that can be pruned under the published head.
    pub(super) fn prune(&self, step: usize)
    where
        S: 'static,
    {
        let mut pruner = self.pruner(step);
        let boundary = pruner.boundary(self.size()).unwrap();
        while pruner.step(boundary).unwrap() {}
    }
}
