//! Bundles a second with a durable pop from RocksDB, by the number of clients that ask at once; uploads of batches of 100;
//! bytes of bundles. `DEVICES` devices have a signed prekey and 100 one-time prekeys each; all share the bytes of their
//! keys, since making ten million would take longer than everything else.
//!
//! `cargo bench -p keyglass-log-server --bench prekeys -- [DEVICES [KEM_DEVICES]]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    device::{Device, Suite},
    prekey::{
        KemPreKeyBatch, LastResortPreKey, OneTimeKemPreKey, OneTimePreKey, PreKeyBatch, PreKeyBundle,
        SignedPreKey,
    },
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, kem::KemSecretKey, sign::SigningKey};
use keyglass_log_server::{
    clock::{Clock as _, SystemClock},
    prekeys::{
        Quota, Service, Settings,
        rocksdb::{FAMILIES, RocksPreKeys},
    },
    store::StoreError,
    tokens::{Accounts, Caller, DeviceName},
};
use rocksdb::{DB, Options};

const ORIGIN: &str = "log.example/bench";
/// Fetches of one run.
const FETCHES: u32 = 20_000;
const UPLOADS: u32 = 500;

/// Every device with this one's keys.
struct Everybody(Device);

impl Accounts for Everybody {
    fn device(&self, _: &[u8], _: u32) -> Result<Option<Device>, StoreError> {
        Ok(Some(self.0.clone()))
    }

    fn version(&self, _: &[u8]) -> Result<Option<u32>, StoreError> {
        Ok(Some(0))
    }

    fn devices(&self, _: &[u8]) -> Result<Vec<u32>, StoreError> {
        Ok(vec![1])
    }

    fn since(&self, _: &[u8]) -> Result<Option<UnixMillis>, StoreError> {
        Ok(Some(UnixMillis(0)))
    }
}

fn name(number: u32) -> DeviceName {
    DeviceName { label: format!("user-{number}@example.org").into_bytes(), device: 1 }
}

/// What devices upload; keys are the same for all, signatures are each device's own.
struct Material {
    key: SigningKey,
    device: Device,
    x25519: Vec<OneTimePreKey>,
    kem: Vec<OneTimeKemPreKey>,
    now: UnixMillis,
}

impl Material {
    fn new() -> Self {
        let key = SigningKey::from_seed(&[1; 32]);
        let dh = |n: u32| {
            let mut seed = [7; 32];
            seed[..4].copy_from_slice(&n.to_be_bytes());
            DhSecretKey::from_bytes(&seed).public_key()
        };
        let kem = |n: u32| {
            let mut seed = [7; 64];
            seed[..4].copy_from_slice(&n.to_be_bytes());
            KemSecretKey::from_seed(&seed).public_key().clone()
        };
        let now = SystemClock.now();
        let device = Device::sign(ORIGIN, b"x", 1, &key, dh(0), vec![Suite::X3DH, Suite::PQXDH], now);
        let x25519 = (1..=100).map(|id| OneTimePreKey { id, key: dh(id) }).collect();
        let kem = (101..=200).map(|id| OneTimeKemPreKey { id, key: kem(id) }).collect();
        Self { key, device, x25519, kem, now }
    }

    fn upload(&self, number: u32, with_kem: bool) -> UploadPreKeys {
        let (label, expires) =
            (name(number).label, self.now.saturating_add(Duration::from_secs(30 * 86_400)));
        let signed =
            SignedPreKey::sign(ORIGIN, &label, &self.key, 1, 1, self.x25519[0].key, self.now, expires, 1)
                .unwrap();
        let batch = PreKeyBatch::sign(ORIGIN, &label, &self.key, 1, 1, expires, self.x25519.clone()).unwrap();
        let mut upload = UploadPreKeys {
            signed_prekey: Some(Base64::new(signed.encode()).unwrap()),
            batches: vec![Base64::new(batch.encode()).unwrap()],
            ..UploadPreKeys::default()
        };
        if with_kem {
            let key = self.kem[0].key.clone();
            let last = LastResortPreKey::sign(ORIGIN, &label, &self.key, 1, 2, key, self.now, expires, 1);
            let batch = KemPreKeyBatch::sign(ORIGIN, &label, &self.key, 1, 2, expires, self.kem.clone());
            upload.last_resort = Some(Base64::new(last.unwrap().encode()).unwrap());
            upload.kem_batches = vec![Base64::new(batch.unwrap().encode()).unwrap()];
        }
        upload
    }

    fn caller(&self, number: u32) -> Caller {
        Caller { name: name(number), device: self.device.clone() }
    }
}

fn service(path: &Path, device: &Device, sync: bool) -> Service {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = Arc::new(DB::open_cf(&options, path, FAMILIES).unwrap());
    let quota = Quota { count: u32::MAX, period: Duration::from_millis(1) };
    let settings = Settings {
        per_requester: quota,
        per_pair: quota,
        per_target: quota,
        per_uploader: quota,
        ..Settings::default()
    };
    let store = RocksPreKeys::new(db);
    let store = if sync { store } else { store.without_durability() };
    let accounts = Arc::new(Everybody(device.clone()));
    Service::new(ORIGIN.to_owned(), Arc::new(store), accounts, Arc::new(SystemClock), settings)
}

/// Whichever device comes next, all over the database.
fn scattered(n: u32, devices: u32) -> u32 {
    u32::try_from(u64::from(n).wrapping_mul(2_654_435_761) % u64::from(devices)).unwrap()
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn fetch(service: &Service, devices: u32, clients: u32, round: u32) -> (f64, Vec<Duration>) {
    let next = AtomicU32::new(0);
    let began = Instant::now();
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let client = |client: u32| {
            let next = &next;
            scope.spawn(move || {
                let requester = DeviceName { label: format!("client-{client}").into_bytes(), device: 1 };
                let mut took = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= FETCHES {
                        return took;
                    }
                    let id = (u128::from(round) << 64 | u128::from(n)).to_be_bytes();
                    let began = Instant::now();
                    let target = name(scattered(n + round * FETCHES, devices));
                    let bundle = service.fetch(&requester, &target, &id).unwrap();
                    took.push(began.elapsed());
                    assert!(bundle.one_time.is_some());
                }
            })
        };
        let clients: Vec<_> = (0..clients).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let rate = f64::from(FETCHES) / began.elapsed().as_secs_f64();
    took.sort_unstable();
    (rate, took)
}

fn measure(material: &Material, devices: u32, with_kem: bool) {
    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    {
        // What is put there before anything is measured need not be durable yet.
        let service = service(directory.path(), &material.device, false);
        std::thread::scope(|scope| {
            for half in 0..2 {
                let service = &service;
                scope.spawn(move || {
                    for number in (half..devices).step_by(2) {
                        service.upload(&material.caller(number), &material.upload(number, with_kem)).unwrap();
                    }
                });
            }
        });
    }
    let service = service(directory.path(), &material.device, true);
    let kind = if with_kem { "X25519 and ML-KEM-768" } else { "X25519" };
    println!(
        "{devices} devices, 100 one-time prekeys of each type, {kind}; filled in {:.0?}",
        began.elapsed()
    );
    let bundle: PreKeyBundle = service.fetch(&name(u32::MAX), &name(0), &[0xff; 16]).unwrap();
    println!("  a bundle: {} bytes", bundle.encode().len());
    for (round, clients) in (1..).zip([1, 2, 4, 8]) {
        let (rate, took) = fetch(&service, devices, clients, round);
        let (median, high) = (percentile(&took, 50), percentile(&took, 99));
        println!("  {clients} clients: {rate:.0} bundles/s, p50 {median:.0?}, p99 {high:.0?}");
    }
    // One request for the devices of a group, in commits of several.
    let targets: Vec<DeviceName> = (0..64).map(|n| name(scattered(n, devices))).collect();
    let began = Instant::now();
    let rounds = 100_u32;
    for n in 0..rounds {
        let id = (u128::from(9_u8) << 64 | u128::from(n)).to_be_bytes();
        let bundles = service.fetch_all(&name(u32::MAX), &targets, &id);
        assert!(bundles.iter().all(Result::is_ok));
    }
    println!("  64 devices in one request: {:.0?}", began.elapsed() / rounds);
    let uploads: Vec<_> =
        (devices..devices + UPLOADS).map(|n| (material.caller(n), material.upload(n, with_kem))).collect();
    let mut took: Vec<Duration> = uploads
        .iter()
        .map(|(caller, upload)| {
            let began = Instant::now();
            service.upload(caller, upload).unwrap();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("  an upload: p50 {:.0?}, p99 {:.0?}", percentile(&took, 50), percentile(&took, 99));
}

fn main() {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let material = Material::new();
    measure(&material, numbers.first().copied().unwrap_or(100_000), false);
    measure(&material, numbers.get(1).copied().unwrap_or(10_000), true);
}
