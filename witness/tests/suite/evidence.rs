//! Evidence that a log brings against itself, and what the witness does from there on, without any peer.

use std::{num::NonZeroU32, sync::Arc};

use keyglass_gossip::{book::Book, trust::Trust};
use keyglass_tlog::{policy::Policy, witness::AddCheckpoint};
use keyglass_witness::{
    clock::SystemClock,
    decide::Refusal,
    logs::Logs,
    service::{Failure, Witness},
    store::{self, DurableStore},
};

use crate::{
    log::{Log, ORIGIN, request},
    race::cosigner,
};

struct Setup {
    data: tempfile::TempDir,
    witness: Option<(Witness<DurableStore, SystemClock>, Arc<Book>)>,
}

impl Setup {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        store::create(data.path(), &[cosigner().vkey()]).unwrap();
        let mut setup = Self { data, witness: None };
        setup.start();
        setup
    }

    /// Starts again from what is on disk.
    fn start(&mut self) {
        self.witness = None;
        let policy = Log::new(ORIGIN).policy();
        let store = DurableStore::open(self.data.path(), &[cosigner().vkey()]).unwrap();
        let book = Arc::new(Book::open(self.data.path(), Trust::of_policy(&policy)).unwrap());
        let logs = Logs::of_policy(&policy, NonZeroU32::MAX);
        let witness = Witness::new(vec![cosigner()], logs, store, SystemClock, Arc::default());
        self.witness = Some((witness.with_evidence(Arc::clone(&book)), book));
    }

    fn book(&self) -> &Book {
        &self.witness.as_ref().unwrap().1
    }

    async fn add(&self, request: AddCheckpoint) -> Result<String, Failure> {
        self.witness.as_ref().unwrap().0.add_checkpoint(request).await
    }
}

#[tokio::test]
async fn two_requests_convict_a_log_whatever_is_wrong_with_the_second() {
    let (log, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 2, 1));
    for (old, status) in [(8, 422), (3, 409), (0, 409), (9, 400)] {
        let mut setup = Setup::new();
        setup.add(log.request(0, 8)).await.unwrap();
        let refused = setup.add(request(old, Vec::new(), fork.note(8))).await;
        let Err(Failure::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.status(), status, "the specification's answer, all the same");
        let held = setup.book().stops(ORIGIN).unwrap();
        // The honest side gets nothing either, also of a witness that was started again.
        for _ in 0..2 {
            let refused = setup.add(log.request(8, 9)).await;
            assert!(matches!(refused, Err(Failure::EvidenceHeld(id)) if id == held.id), "{refused:?}");
            setup.start();
        }
    }
}

#[tokio::test]
async fn honest_mistakes_are_no_evidence() {
    let (log, other) = (Log::new(ORIGIN), Log::new("log.example/two"));
    let setup = Setup::new();
    setup.add(log.request(0, 8)).await.unwrap();
    for bad in [log.request(0, 8), log.request(3, 9), log.request(0, 5), request(8, Vec::new(), log.note(9))]
    {
        assert!(matches!(setup.add(bad).await, Err(Failure::Refused(_))));
    }
    assert!(setup.add(other.request(0, 8)).await.is_err());
    assert!(setup.book().holdings().is_empty());
    assert!(setup.add(log.request(8, 9)).await.is_ok());
}

/// While a policy is taken over, a log may have left the book already: what was held against it does not count there, and must
/// not set it free here.
#[tokio::test]
async fn a_log_that_the_book_does_not_know_is_not_cosigned() {
    let (log, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 2, 1));
    let setup = Setup::new();
    setup.add(log.request(0, 8)).await.unwrap();
    assert!(setup.add(request(8, Vec::new(), fork.note(8))).await.is_err());
    let nothing = Policy::parse(b"quorum none\n").unwrap();
    setup.book().replace_trust(Trust::of_policy(&nothing)).unwrap();
    assert!(setup.book().stops(ORIGIN).is_none());
    let refused = setup.add(log.request(8, 9)).await;
    assert!(matches!(refused, Err(Failure::Refused(Refusal::UnknownOrigin))), "{refused:?}");
}
