//! The publisher against witnesses in this process, honest and otherwise.

use keyglass_crypto::sign::SigningKey;
use keyglass_keytrans::{
    config::{Configuration, ModeFields},
    log_hash::LogHash,
    log_tree::Appender,
    prefix_tree::TreeRoot,
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, SignedNote, Vkey},
    witness::SIZE_MEDIA_TYPE,
    witnessed::{Horizon, Judge, Judged},
};

use super::*;
use crate::{
    store::{
        Batch, EntryRecord,
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
    testkit::{FixedClock, Manner, NOW, policy_of, witness},
};

const ORIGIN: &str = "log.example/test";

fn signer() -> HeadSigner {
    HeadSigner::Checkpoint(note::NoteSigner::new(
        KeyName::new(ORIGIN).unwrap(),
        SigningKey::from_seed(&[0xaa; 32]),
    ))
}

fn log_vkey() -> Vkey {
    match signer() {
        HeadSigner::Checkpoint(signer) => signer.vkey().clone(),
        HeadSigner::TreeHead { .. } => unreachable!(),
    }
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
        let parts = Parts {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            published: Arc::clone(&self.published),
            sequenced: self.sequenced.subscribe(),
            signer: signer(),
            policy,
            clock: Arc::new(FixedClock),
        };
        Publisher::new(parts, settings())
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

fn judge(head: &crate::store::PublishedHead, policy: &Policy) -> Judged {
    let checkpoint = Checkpoint::new(ORIGIN, head.size, head.root).unwrap();
    let lines = note::parse_signature_lines(&head.signature).unwrap();
    let vkey = log_vkey();
    let horizon = Horizon::at(NOW, Duration::from_secs(60));
    Judge::of_log(policy, [&vkey], horizon).judge_lines(checkpoint, &lines).unwrap()
}

#[tokio::test]
async fn a_head_is_published_with_a_quorum_whatever_the_others_do() {
    let long = b"\xe2\x80\x94 ".repeat(1 << 16);
    let manners = [
        Manner::Silent,
        Manner::Says(200, "text/plain", b"garbage".to_vec()),
        Manner::Says(200, "text/plain", Vec::new()),
        Manner::Says(200, "text/plain", long.clone()),
        Manner::Says(409, SIZE_MEDIA_TYPE, b"18446744073709551615\n".to_vec()),
        Manner::Says(409, SIZE_MEDIA_TYPE, b"0\n".to_vec()),
        Manner::Says(409, SIZE_MEDIA_TYPE, b"00\n".to_vec()),
        Manner::Says(409, "text/plain", b"0\n".to_vec()),
        Manner::Says(409, SIZE_MEDIA_TYPE, long),
        Manner::Says(422, "text/plain", Vec::new()),
        Manner::Says(302, "text/plain", Vec::new()),
        Manner::FromTheFuture,
        Manner::WrongKey,
        Manner::Spoilt,
    ];
    for manner in manners {
        let bad = witness(3, manner).await;
        let witnesses = [witness(1, Manner::Honest).await, witness(2, Manner::Honest).await, bad];
        let policy = policy_of(&witnesses, 2);
        let mut log = Log::new();
        let (_, running) = log.start(&policy);
        for _ in 0..3 {
            let size = log.grow();
            let Judged::Witnessed(checkpoint) = log.judged(size, &policy).await else {
                panic!("not witnessed")
            };
            let names: Vec<String> =
                checkpoint.cosigners().iter().map(|one| one.witness.to_string()).collect();
            assert_eq!(names, ["w0", "w1"]);
        }
        running.abort();
    }
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
    let complete = |head: &Option<Arc<crate::store::PublishedHead>>| {
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
    let forged = crate::store::PublishedHead { size: 1, root: [9; 32], signature: Vec::new() };
    log.published.publish(&*log.store, forged).unwrap();
    let (_, running) = log.start(&policy);
    assert_eq!(running.await.unwrap(), Err(PublisherError::OtherRoot { size: 1 }));
}

#[tokio::test]
async fn policies_that_no_witness_can_satisfy_are_refused() {
    let (one, url) = witness(1, Manner::Honest).await;
    let (two, _) = witness(2, Manner::Honest).await;
    let log = Log::new();
    let refused = |text: String| log.publisher(Policy::parse(text.as_bytes()).unwrap()).err().unwrap();
    let (a, b) = (one.cosigner.vkey(), two.cosigner.vkey());
    let both = "group g all a b\nquorum g\n";
    let missing = refused(format!("witness a {a} {url}\nwitness b {b}\n{both}"));
    assert_eq!(missing, PolicyUnusable::Unsatisfiable { missing: 1 });
    for bad in ["ftp://127.0.0.1/", "nonsense", "mailto:w@example"] {
        let error = refused(format!("witness a {a} {url}\nwitness b {b} {bad}\n{both}"));
        assert_eq!(error, PolicyUnusable::BadUrl("b".into()));
    }
}

#[tokio::test]
async fn the_policy_of_another_log_is_refused() {
    let log = Log::new();
    let own = signer();
    let HeadSigner::Checkpoint(own) = &own else { panic!("the tests' log signs checkpoints") };
    let other = note::NoteSigner::new(own.vkey().name().clone(), SigningKey::from_seed(&[0x55; 32]));
    let publisher =
        |lines: String| log.publisher(Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap());
    assert_eq!(publisher(format!("log {}\n", other.vkey())).err(), Some(PolicyUnusable::AnotherLog));
    assert!(publisher(format!("log {}\nlog {}\n", other.vkey(), own.vkey())).is_ok());
    assert!(publisher(String::new()).is_ok());
}

#[tokio::test]
async fn heads_of_suite_0x0002_need_no_witness_and_get_none() {
    let configuration = Configuration {
        ciphersuite: 0x0002,
        signature_public_key: SigningKey::from_seed(&[0xaa; 32]).verifying_key().to_bytes().to_vec(),
        vrf_public_key: vec![0; 32],
        mode: ModeFields::ContactMonitoring,
        max_ahead: 1,
        max_behind: 1,
        reasonable_monitoring_window: 1,
        maximum_lifetime: None,
    };
    let signer =
        HeadSigner::new(SigningKey::from_seed(&[0xaa; 32]), "unused", configuration.clone()).unwrap();
    let head = signer.sign(7, [5; 32]).unwrap();
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let published = to_publish(&head, &policy, &Cosignatures::new()).unwrap();
    let signed = keyglass_keytrans::wire::TreeHeadTbs { config: configuration, tree_size: 7, root: [5; 32] };
    let signature = keyglass_crypto::sign::Signature(published.signature.try_into().unwrap());
    let key = SigningKey::from_seed(&[0xaa; 32]).verifying_key();
    key.verify(&keyglass_keytrans::wire::Wire::encode(&signed).unwrap(), &signature).unwrap();
}

#[test]
fn a_quorum_comes_first_when_not_all_lines_fit() {
    // 70 witnesses are more than a note has lines; the quorum is the last three of them.
    let cosigners: Vec<Cosigner> = (0..70)
        .map(|i| Cosigner::new(KeyName::new(&format!("w{i}")).unwrap(), SigningKey::from_seed(&[i; 32])))
        .collect();
    let mut text = String::new();
    for (i, cosigner) in cosigners.iter().enumerate() {
        text.push_str(&format!("witness n{i} {}\n", cosigner.vkey()));
    }
    text.push_str("group g all n67 n68 n69\nquorum g\n");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let head = signer().sign(1, [3; 32]).unwrap();
    let OwnSignature::Checkpoint(checkpoint, _) = &head.signature else { unreachable!() };
    let mut lines = Cosignatures::new();
    for (i, cosigner) in cosigners.iter().enumerate() {
        let name = policy.witnesses()[i].name().clone();
        assert!(i < 69 || to_publish(&head, &policy, &lines).is_none());
        lines.insert(name, cosigner.cosign(checkpoint, NOW.to_seconds()).unwrap());
    }
    let published = to_publish(&head, &policy, &lines).unwrap();
    assert!(published.signature.len() <= MAX_SIGNATURE_LEN);
    assert_eq!(judge(&published, &policy).cosigners().len(), note::MAX_SIGNATURES - 1);
    SignedNote::new(&checkpoint.text(), note::parse_signature_lines(&published.signature).unwrap()).unwrap();
}
