//! Random histories against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_account::{
    prekey::{KemPreKey, PreKeyBundle},
    time::UnixMillis,
};
use proptest::prelude::*;

use super::{material::*, rocksdb::RocksPreKeys, *};

#[derive(Debug, Clone)]
enum Step {
    /// A new signed prekey whose floor rises by this much above the last, living for so many days.
    Rotate { floor: u32, days: u64 },
    /// A batch of so many keys, living for so many days.
    Refill { count: u16, days: u64 },
    /// The same of KEM keys, with a new last-resort prekey.
    RefillKem { count: u16, days: u64 },
    /// A request by one of three requesters under one of a few ids.
    Fetch { requester: u8, id: u32 },
    /// Days go by.
    Wait { days: u64 },
    /// Expired things are deleted.
    Prune,
    /// The server restarts.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0..3_u32, 1..40_u64).prop_map(|(floor, days)| Step::Rotate { floor, days }),
        2 => (1..6_u16, 1..60_u64).prop_map(|(count, days)| Step::Refill { count, days }),
        2 => (1..5_u16, 1..60_u64).prop_map(|(count, days)| Step::RefillKem { count, days }),
        8 => (0..3_u8, 0..6_u32).prop_map(|(requester, id)| Step::Fetch { requester, id }),
        2 => (0..20_u64).prop_map(|days| Step::Wait { days }),
        1 => Just(Step::Prune),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// What must be true, kept as plainly as possible.
#[derive(Default)]
struct Model {
    /// Id, floor, expiry.
    signed: Option<(u32, u32, u64)>,
    /// Id, floor, expiry.
    last_resort: Option<(u32, u32, u64)>,
    /// KEM keys not handed out: id, batch, expiry.
    kem_pool: Vec<(u32, u32, u64)>,
    /// The greatest id of a signed or last-resort prekey.
    next_signed: u32,
    /// Keys not handed out: id, batch, expiry.
    pool: Vec<(u32, u32, u64)>,
    next_batch: u32,
    next_id: u32,
    answers: BTreeMap<(u8, u32), (PreKeyBundle, u64)>,
    handed_out: BTreeSet<u32>,
}

impl Model {
    fn step(&mut self, stage: &Stage, step: &Step) {
        let now = stage.world.clock.now().0;
        let bob = &stage.world.bob;
        match step {
            Step::Rotate { floor, days } => {
                let (id, floor) = (self.next_signed + 1, self.floor() + floor);
                self.next_signed = id;
                let expires = now + days * DAY;
                let prekey = signed_prekey_living(bob, id, floor, UnixMillis(now), UnixMillis(expires));
                stage.service.upload(&caller(bob), &upload(Some(&prekey), &[])).unwrap();
                self.signed = Some((id, floor, expires));
            }
            Step::Refill { count, days } => {
                let number = self.next_batch.max(self.floor());
                let expires = now + days * DAY;
                let batch = batch_living(bob, number, self.next_id, *count, UnixMillis(expires));
                let taken = stage.service.upload(&caller(bob), &upload(None, &[&batch]));
                if self.signed.is_none() {
                    assert_eq!(taken, Err(UploadError::NoSignedPreKey));
                    return;
                }
                taken.unwrap();
                self.pool.extend(batch.prekeys().iter().map(|prekey| (prekey.id, number, expires)));
                (self.next_batch, self.next_id) = (number + 1, self.next_id + u32::from(*count));
            }
            Step::RefillKem { count, days } => {
                let (number, last_resort) = (self.next_batch.max(self.floor()), self.next_signed + 1);
                let expires = now + days * DAY;
                let upload = kem_upload_living(
                    bob,
                    (last_resort, self.floor()),
                    (number, self.next_id, *count),
                    (UnixMillis(now), UnixMillis(expires)),
                );
                let taken = stage.service.upload(&caller(bob), &upload);
                if self.signed.is_none() {
                    assert_eq!(taken, Err(UploadError::NoSignedPreKey));
                    return;
                }
                taken.unwrap();
                self.next_signed = last_resort;
                self.last_resort = Some((last_resort, self.floor(), expires));
                let ids = self.next_id..self.next_id + u32::from(*count);
                self.kem_pool.extend(ids.map(|id| (id, number, expires)));
                (self.next_batch, self.next_id) = (number + 1, self.next_id + u32::from(*count));
            }
            Step::Fetch { requester, id } => self.fetch(stage, *requester, *id, now),
            Step::Wait { days } => stage.world.clock.advance(days * DAY),
            Step::Prune => while stage.service.prune().unwrap() > 0 {},
            Step::Restart => {}
        }
    }

    fn floor(&self) -> u32 {
        [self.signed, self.last_resort].into_iter().flatten().map(|(_, floor, _)| floor).max().unwrap_or(0)
    }

    fn fetch(&mut self, stage: &Stage, requester: u8, id: u32, now: u64) {
        let actor = Actor::new(&format!("requester {requester}"), 1);
        let found = stage.fetch_as(&actor, id);
        if let Some((bundle, expires)) = self.answers.get(&(requester, id))
            && *expires > now
        {
            assert_eq!(found.as_ref(), Ok(bundle), "a repeated request");
            return;
        }
        let floor = self.floor();
        let Some((signed, _, expires)) = self.signed.filter(|(_, _, expires)| *expires > now) else {
            assert_eq!(found, Err(FetchError::NoSignedPreKey));
            return;
        };
        let bundle = found.unwrap();
        assert_eq!(bundle.signed_prekey.id, signed);
        self.pool.retain(|(_, batch, expires)| *batch >= floor && *expires > now);
        let expected = (!self.pool.is_empty()).then(|| self.pool.remove(0).0);
        let key = bundle.one_time.as_ref().map(|entry| entry.prekey.id);
        assert_eq!(key, expected);
        assert!(key.is_none_or(|key| self.handed_out.insert(key)), "handed out twice");
        self.kem_pool.retain(|(_, batch, expires)| *batch >= floor && *expires > now);
        let expected = (!self.kem_pool.is_empty()).then(|| self.kem_pool.remove(0).0);
        let last_resort = self.last_resort.filter(|(.., expires)| expected.is_none() && *expires > now);
        match &bundle.kem {
            Some(KemPreKey::OneTime(entry)) => {
                assert_eq!(Some(entry.prekey.id), expected);
                assert!(self.handed_out.insert(entry.prekey.id), "handed out twice");
            }
            Some(KemPreKey::LastResort(prekey)) => {
                assert_eq!(Some(prekey.id), last_resort.map(|(id, ..)| id));
            }
            None => assert_eq!((expected, last_resort), (None, None)),
        }
        let expires = last_resort.map_or(expires, |(.., last)| expires.min(last));
        let device = stage.world.bob.device();
        bundle.clone().verify(ORIGIN, b"bob", &device, UnixMillis(now)).unwrap();
        self.answers.insert((requester, id), (bundle, expires));
    }
}

fn run(stage: &mut Stage, steps: &[Step], restart: impl Fn(&mut Stage)) {
    let mut model = Model::default();
    for step in steps {
        if matches!(step, Step::Restart) {
            restart(stage);
        }
        model.step(stage, step);
        let now = stage.world.clock.now().0;
        let floor = model.floor();
        let live = |pool: &[(u32, u32, u64)]| {
            pool.iter().filter(|(_, batch, expires)| *batch >= floor && *expires > now).count()
        };
        let (left, left_kem) = (live(&model.pool), live(&model.kem_pool));
        let status = stage.service.status(&stage.world.bob.name).unwrap();
        assert_eq!(usize::try_from(status.one_time).unwrap(), left, "after {step:?}");
        assert_eq!(usize::try_from(status.one_time_kem).unwrap(), left_kem, "after {step:?}");
        assert_eq!((status.next_batch, status.next_id), (model.next_batch, model.next_id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_service_is_its_model(steps in steps()) {
        let store = Arc::new(MemoryPreKeys::default());
        let mut stage = Stage::with(store.clone(), unlimited());
        run(&mut stage, &steps, |stage| {
            stage.service = Arc::new(serve(&stage.world, store.clone(), unlimited()));
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_service_over_rocksdb_is_its_model(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let open = || Arc::new(RocksPreKeys::new(open_db(directory.path())));
        let mut stage = Stage::with(open(), unlimited());
        run(&mut stage, &steps, |stage| {
            // The database must be closed before it is opened again.
            stage.service = Arc::new(serve(&stage.world, Arc::new(MemoryPreKeys::default()), unlimited()));
            stage.service = Arc::new(serve(&stage.world, open(), unlimited()));
        });
    }
}
