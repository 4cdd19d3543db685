//! Every commit fails once, before or after it is done: whoever asks again gets what there would have been without it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use keyglass_account::{
    api::{PreKeyStatus, UploadPreKeys},
    prekey::KemPreKey,
    time::UnixMillis,
};

use super::{
    material::*,
    pool::{Place, Pool},
    reserve::{Pair, PairKey},
    store::{Answer, Expiring, RequestKey, Write},
    *,
};
use crate::store::StoreError;

/// When a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It does nothing.
    Before,
    /// It is done, and fails all the same.
    After,
}

/// A store some of whose commits fail, by their number.
#[derive(Default)]
struct Faulty {
    inner: MemoryPreKeys,
    plan: BTreeMap<usize, Fault>,
    commits: Mutex<usize>,
}

impl Faulty {
    fn planned(plan: &[(usize, Fault)]) -> Arc<Self> {
        Arc::new(Self { plan: plan.iter().copied().collect(), ..Self::default() })
    }

    fn commits(&self) -> usize {
        *self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PreKeyStore for Faulty {
    fn pool(&self, device: &DeviceName) -> Result<Option<Pool>, StoreError> {
        self.inner.pool(device)
    }
    fn signed_prekey(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.signed_prekey(device, id)
    }
    fn batch(&self, device: &DeviceName, batch: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.batch(device, batch)
    }
    fn answer(&self, request: &RequestKey) -> Result<Option<Answer>, StoreError> {
        self.inner.answer(request)
    }
    fn kem_entry(&self, device: &DeviceName, place: Place) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.kem_entry(device, place)
    }
    fn last_resort(&self, device: &DeviceName, id: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.last_resort(device, id)
    }
    fn pair(&self, pair: &PairKey) -> Result<Option<Pair>, StoreError> {
        self.inner.pair(pair)
    }
    fn pools(&self, after: Option<&DeviceName>, limit: usize) -> Result<Vec<DeviceName>, StoreError> {
        self.inner.pools(after, limit)
    }
    fn due(&self, until: UnixMillis, limit: usize) -> Result<Vec<(UnixMillis, Expiring)>, StoreError> {
        self.inner.due(until, limit)
    }
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let number = {
            let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
            *commits += 1;
            *commits
        };
        let fault = self.plan.get(&number);
        if fault != Some(&Fault::Before) {
            self.inner.commit(writes)?;
        }
        fault.map_or(Ok(()), |_| Err(StoreError::Backend("planned fault".to_owned())))
    }
}

/// What everybody got in a life, and what Bob was told.
type Seen = Vec<String>;

/// A device's pool from its first upload to its end. Whoever is told that the store failed asks again.
struct Life {
    stage: Stage,
    seen: Seen,
    failures: usize,
}

impl Life {
    fn new(store: Arc<Faulty>) -> Self {
        let day = Duration::from_secs(24 * 3600);
        let quota = Quota { count: u32::MAX, period: Duration::from_millis(1) };
        let settings = Settings {
            per_requester: quota,
            per_target: quota,
            per_pair: Quota { count: 5, period: day },
            ..Settings::default()
        };
        let stage = Stage::with(store, settings);
        stage.world.accounts.first_seen(b"young", START);
        Self { stage, seen: Vec::new(), failures: 0 }
    }

    fn again<T, E>(
        &mut self,
        is_fault: impl Fn(&E) -> bool,
        act: impl Fn(&Stage) -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            match act(&self.stage) {
                Err(error) if is_fault(&error) => self.failures += 1,
                done => return done,
            }
        }
    }

    fn upload(&mut self, upload: &UploadPreKeys) -> PreKeyStatus {
        let is_fault = |error: &UploadError| matches!(error, UploadError::Store(_));
        let taken = self.again(is_fault, |stage| {
            let bob = &stage.world.bob;
            stage.service.upload(&caller(bob), upload)
        });
        let status = taken.unwrap();
        self.seen.push(format!("{status:?}"));
        status
    }

    fn fetch(&mut self, who: &Actor, id: u32) {
        let is_fault = |error: &FetchError| matches!(error, FetchError::Store(_));
        let fetched = self.again(is_fault, |stage| stage.fetch_as(who, id));
        let fetched = fetched.map(|bundle| {
            let one_time = bundle.one_time.as_ref().map(|entry| entry.prekey.id);
            let kem = bundle.kem.as_ref().map(|kem| match kem {
                KemPreKey::OneTime(entry) => ("one-time", entry.prekey.id),
                KemPreKey::LastResort(prekey) => ("last resort", prekey.id),
            });
            (bundle.signed_prekey.id, one_time, kem)
        });
        self.seen.push(format!("{} {id}: {fetched:?}", String::from_utf8_lossy(&who.name.label)));
    }

    fn prune(&mut self) {
        while self.again(|_: &StoreError| true, |stage| stage.service.prune()).unwrap() > 0 {}
    }

    fn census(&mut self) {
        self.again(|_: &StoreError| true, |stage| stage.service.census(10)).unwrap();
    }

    /// Uploads of both types, keys for anybody, the reserve, quotas of pairs, rotation, pruning, and the device's end.
    fn live(mut self) -> (Seen, usize) {
        let (bob, alice) = (self.stage.world.bob.clone(), self.stage.world.alice.clone());
        let young = Actor::new("young", 1);
        self.upload(&upload(Some(&signed_prekey(&bob, 1, 0)), &[&batch(&bob, 1, 1, 8)]));
        self.upload(&kem_upload(&bob, 2, 2, 9, 4));
        for id in 0..4 {
            self.fetch(&young, id);
        }
        // What an account has had is known by its pair record: at the fifth, the pair's quota is used up.
        for id in 0..7 {
            self.fetch(&alice, id);
        }
        self.fetch(&young, 4);
        self.fetch(&young, 0);
        let at = self.stage.world.clock.now();
        let mut more = kem_upload_living(&bob, (4, 0), (4, 30, 3), (at, UnixMillis(at.0 + 20 * DAY)));
        let lasting = signed_prekey_living(&bob, 3, 0, at, UnixMillis(at.0 + 60 * DAY));
        let both = upload(Some(&lasting), &[&batch(&bob, 3, 20, 2)]);
        (more.signed_prekey, more.batches) = (both.signed_prekey, both.batches);
        self.upload(&more);
        self.stage.world.clock.advance(2 * DAY);
        for id in 10..13 {
            self.fetch(&alice, id);
        }
        self.stage.world.clock.advance(40 * DAY);
        self.prune();
        self.fetch(&alice, 20);
        self.upload(&upload(None, &[&batch_living(&bob, 5, 50, 2, UnixMillis(START.0 + 90 * DAY))]));
        self.fetch(&alice, 21);
        self.fetch(&alice, 10);
        self.stage.world.accounts.remove(&bob);
        self.census();
        self.stage.world.clock.advance(31 * DAY);
        self.census();
        self.stage.world.accounts.publish(&bob);
        let left = self.stage.service.status(&bob.name).unwrap();
        self.seen.push(format!("{left:?}"));
        (self.seen, self.failures)
    }
}

#[test]
fn every_commit_may_fail_before_or_after_it_is_done() {
    let store = Faulty::planned(&[]);
    let (expected, failures) = Life::new(store.clone()).live();
    let commits = store.commits();
    assert_eq!(failures, 0);
    // Everything that is to be tried is in that life.
    let all = expected.join("\n");
    for part in ["\"one-time\"", "\"last resort\"", "None"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(commits > 20, "{commits}");
    for number in 1..=commits {
        for plan in [
            vec![(number, Fault::Before)],
            vec![(number, Fault::After)],
            // What is tried again fails again.
            vec![(number, Fault::Before), (number + 1, Fault::After)],
        ] {
            let (seen, failures) = Life::new(Faulty::planned(&plan)).live();
            assert!(failures > 0, "{plan:?}");
            assert_eq!(seen, expected, "{plan:?}");
        }
    }
}

#[test]
fn quotas_are_given_back_for_what_failed() {
    for fault in [Fault::Before, Fault::After] {
        let quota = |count| Quota { count, period: Duration::from_secs(3600) };
        let settings =
            Settings { per_requester: quota(3), per_pair: quota(3), per_target: quota(3), ..no_reserve() };
        let stage = Stage::with(Faulty::planned(&[(2, fault)]), settings);
        stage.stock(3);
        assert!(matches!(stage.fetch(1), Err(FetchError::Store(_))));
        // Whatever became of the commit, the next three requests are served, each with a key of its own.
        let keys = [1, 2, 3].map(|id| stage.fetch(id).unwrap().one_time.unwrap().prekey.id);
        assert_eq!(keys, [1, 2, 3], "{fault:?}");
        assert_eq!(stage.fetch(1).unwrap().one_time.unwrap().prekey.id, 1);
    }
}
