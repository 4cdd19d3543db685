//! The publisher against witnesses in this process, honest and otherwise.

mod heads;
mod hostile;
mod keys;
mod lag;

use keyglass_crypto::sign::SigningKey;
use keyglass_keytrans::{log_hash::LogHash, log_tree::Appender, prefix_tree::TreeRoot};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{self, KeyName, NoteSigner, Vkey},
    witness::SIZE_MEDIA_TYPE,
    witnessed::{Horizon, Judge, Judged},
};

use super::*;
use crate::{
    store::{
        Batch, EntryRecord, PublishedHead,
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
    testkit::{FixedClock, Manner, NOW, policy_of, witness},
};

const ORIGIN: &str = "log.example/test";

fn note_signer(seed: u8) -> NoteSigner {
    NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[seed; 32]))
}

fn signer() -> HeadSigner {
    HeadSigner::Checkpoint(CheckpointSigner::new(note_signer(0xaa)))
}

fn log_vkey() -> Vkey {
    signer().vkeys()[0].clone()
}

fn settings() -> Settings {
    let short = Duration::from_millis(1);
    Settings {
        // Long enough that it only ends what never ends.
        deadline: Duration::from_secs(2),
        grace: short,
        patience: short,
        least_backoff: short,
        most_backoff: Duration::from_millis(5),
        max_ahead: Duration::from_secs(60),
        roots: Vec::new(),
    }
}

struct Log {
    store: Arc<FaultyStore<MemoryStore>>,
    published: Arc<Published>,
    tree: Appender,
    sequenced: watch::Sender<sequencer::State>,
}

impl Log {
    fn new() -> Self {
        let store = Arc::new(FaultyStore::new(MemoryStore::default()));
        let published = Arc::new(Published::open(&*store).unwrap());
        let tree = Appender::new(LogHash::Rfc6962);
        Self { store, published, tree, sequenced: watch::Sender::default() }
    }

    fn grow(&mut self) -> u64 {
        let position = self.tree.size();
        let entry = EntryRecord { timestamp: position, tree: TreeRoot::EMPTY };
        let nodes = self.tree.append(LogHash::Rfc6962.leaf(position, entry.tree.value()));
        let batch =
            Batch { entry, nodes, pages: vec![], superseded: vec![], replaced: vec![], labels: vec![] };
        self.store.inner.commit(position, &batch).unwrap();
        self.sequenced.send_modify(|state| state.size = position + 1);
        position + 1
    }

    fn publisher(&self, policy: Policy) -> Result<Publisher, PolicyUnusable> {
        self.publisher_with(signer(), policy, settings())
    }

    fn publisher_with(
        &self,
        signer: HeadSigner,
        policy: Policy,
        settings: Settings,
    ) -> Result<Publisher, PolicyUnusable> {
        let parts = Parts {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            published: Arc::clone(&self.published),
            sequenced: self.sequenced.subscribe(),
            signer,
            policy,
            clock: Arc::new(FixedClock),
        };
        Publisher::new(parts, settings)
    }

    fn start(
        &self,
        policy: &Policy,
    ) -> (watch::Receiver<Status>, tokio::task::JoinHandle<Result<(), PublisherError>>) {
        let publisher = self.publisher(policy.clone()).unwrap();
        (publisher.status(), tokio::spawn(publisher.run()))
    }

    /// Waits for the head of this size and judges it as a client would.
    async fn judged(&self, size: u64, policy: &Policy) -> Judged {
        let mut watch = self.published.watch();
        let head =
            watch.wait_for(|head| head.as_ref().is_some_and(|head| head.size >= size)).await.unwrap().clone();
        judge(&head.unwrap(), policy)
    }
}

fn judge(head: &PublishedHead, policy: &Policy) -> Judged {
    let checkpoint = Checkpoint::new(ORIGIN, head.size, head.root).unwrap();
    let lines = note::parse_signature_lines(&head.signature).unwrap();
    let vkey = log_vkey();
    let horizon = Horizon::at(NOW, Duration::from_secs(60));
    Judge::of_log(policy, [&vkey], horizon).judge_lines(checkpoint, &lines).unwrap()
}

#[tokio::test]
async fn without_a_quorum_nothing_is_published_and_then_everything_is() {
    let bad = Manner::Says(503, "text/plain", Vec::new());
    let witnesses = [witness(1, Manner::Honest).await, witness(2, bad.clone()).await, witness(3, bad).await];
    let policy = policy_of(&witnesses, 2);
    let mut log = Log::new();
    let (mut status, running) = log.start(&policy);
    for _ in 0..5 {
        log.grow();
    }
    let failing =
        |status: &Status, i: usize| status.witnesses[i].failing.as_ref().is_some_and(|(n, _)| *n >= 3);
    let seen = status
        .wait_for(|status| failing(status, 1) && failing(status, 2) && status.target == 5)
        .await
        .unwrap();
    assert_eq!(seen.published, 0);
    drop(seen);
    assert_eq!(log.published.current(), None);

    *witnesses[2].0.manner.lock().unwrap() = Manner::Honest;
    assert!(matches!(log.judged(5, &policy).await, Judged::Witnessed(_)));
    status.wait_for(|status| status.published == 5 && status.witnesses[2].failing.is_none()).await.unwrap();
    running.abort();
}

#[tokio::test]
async fn cosignatures_after_the_quorum_are_added() {
    let witnesses = [
        witness(1, Manner::Honest).await,
        witness(2, Manner::Honest).await,
        witness(3, Manner::FailsFirst(4)).await,
    ];
    let policy = policy_of(&witnesses, 2);
    let mut log = Log::new();
    let (_, running) = log.start(&policy);
    log.grow();
    let mut watch = log.published.watch();
    let complete = |head: &Option<Arc<PublishedHead>>| {
        head.as_ref().is_some_and(|head| judge(head, &policy).cosigners().len() == 3)
    };
    watch.wait_for(complete).await.unwrap();
    running.abort();
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let witnesses = [witness(1, Manner::Honest).await, witness(2, Manner::Honest).await];
    let policy = policy_of(&witnesses, 2);
    let mut log = Log::new();
    for round in 0..4 {
        let (_, running) = log.start(&policy);
        let size = log.grow();
        assert_eq!(size, round + 1);
        assert_eq!(log.judged(size, &policy).await.cosigners().len(), 2);
        running.abort();
        let _ = running.await;
        // What is sequenced while nobody publishes is published later; the witnesses name the size to start from.
        log.published = Arc::new(Published::open(&*log.store).unwrap());
        assert_eq!(log.published.current().unwrap().size, size);
    }
}

#[tokio::test]
async fn a_witness_that_cosigned_what_was_not_published_before_the_end_is_not_failing() {
    let witnesses = [witness(1, Manner::Honest).await, witness(2, Manner::Honest).await];
    let policy = policy_of(&witnesses, 2);
    let mut log = Log::new();
    let (_, running) = log.start(&policy);
    log.grow();
    let _ = log.judged(1, &policy).await;
    let first = Published::open(&*log.store).unwrap();
    log.grow();
    let _ = log.judged(2, &policy).await;
    running.abort();
    let _ = running.await;
    // As if the process had been killed between the second head's cosignatures and its publication.
    log.published = Arc::new(first);
    let (mut status, running) = log.start(&policy);
    let mut failed = false;
    let reached = status.wait_for(|status| {
        failed |= status.witnesses.iter().any(|witness| witness.failing.is_some());
        status.published == 2
    });
    reached.await.unwrap();
    assert!(!failed, "a witness was called failing");
    running.abort();
}

#[tokio::test]
async fn a_witness_that_cosigned_more_than_the_log_has_is_failing() {
    let told = Manner::Says(409, SIZE_MEDIA_TYPE, b"3\n".to_vec());
    let witnesses = [witness(1, Manner::Honest).await, witness(2, told).await];
    let policy = policy_of(&witnesses, 1);
    let mut log = Log::new();
    let (mut status, running) = log.start(&policy);
    log.grow();
    let ahead = |(_, error): &(u32, AskError)| *error == AskError::Ahead { told: 3, size: 1 };
    status.wait_for(|status| status.witnesses[1].failing.as_ref().is_some_and(ahead)).await.unwrap();
    running.abort();
}

#[tokio::test]
async fn without_witnesses_a_head_is_published_at_once() {
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let mut log = Log::new();
    let (status, running) = log.start(&policy);
    assert!(status.borrow().unwitnessed);
    for _ in 0..3 {
        let size = log.grow();
        assert!(matches!(log.judged(size, &policy).await, Judged::LogSigned(_)));
    }
    running.abort();
}

#[tokio::test]
async fn a_store_that_fails_stops_the_publisher() {
    for fault in [Fault::Before, Fault::After] {
        let policy = Policy::parse(b"quorum none\n").unwrap();
        let mut log = Log::new();
        log.store.plan(&[fault]);
        let (status, running) = log.start(&policy);
        log.grow();
        assert!(matches!(running.await.unwrap(), Err(PublisherError::Publish(PublishError::Store(_)))));
        assert!(status.borrow().failed.is_some());
        // Whether it is there or not, the next process goes on from what is durable.
        log.published = Arc::new(Published::open(&*log.store).unwrap());
        let (_, running) = log.start(&policy);
        assert!(matches!(log.judged(1, &policy).await, Judged::LogSigned(_)));
        running.abort();
    }
}

#[tokio::test]
async fn a_published_head_of_another_tree_is_not_gone_on_with() {
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let mut log = Log::new();
    log.grow();
    let forged = PublishedHead { size: 1, root: [9; 32], signature: Vec::new() };
    log.published.publish(&*log.store, forged).unwrap();
    let (_, running) = log.start(&policy);
    assert_eq!(running.await.unwrap(), Err(PublisherError::OtherRoot { size: 1 }));
}
