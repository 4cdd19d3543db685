//! What replaying the changes of a log costs an auditor: versions a second with everything made durable, memory and disk.
//!
//! `cargo bench -p keyglass-auditor --bench replay [-- VERSIONS [BATCH]]`. The updates are made first, into a file; a process
//! of its own then replays them, so that its memory is the auditor's alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects)]

#[path = "../../keytrans/benches/memory/mod.rs"]
mod memory;

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read as _, Write as _},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use keyglass_auditor::{audited::Audit, data_dir, records::Records, trust::Trust, updates::Form};
use keyglass_crypto::{sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::{
    config::{CipherSuite, Configuration, ModeFields},
    prefix_tree::{SearchKey, TreeRoot, insert, prove},
    wire::{BatchAuditorUpdate, BatchPrefixProof, Wire as _},
};
use keyglass_tlog::note::{KeyName, NoteSigner};
use memory::{Memory, leaves};

/// Between two log entries, in milliseconds.
const STEP: u64 = 10_000;
/// The bytes of updates that are replayed and made durable at once, about as many as a log sends in an answer.
const AT_ONCE: usize = 4 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [replay, file, data] = arguments.as_slice()
        && replay == "replay"
    {
        return replay_file(Path::new(file), Path::new(data));
    }
    let number =
        |at: usize, otherwise: u64| arguments.get(at).map_or(otherwise, |text| text.parse().unwrap());
    let (versions, batch) = (number(0, 1_000_000), number(1, 1_000));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("updates");
    write_updates(&file, versions, batch);
    let bytes = fs::metadata(&file).unwrap().len();
    println!("{versions} versions in entries of {batch}: {} bytes of updates a version", bytes / versions);
    let own = std::env::current_exe().unwrap();
    let data = directory.path().join("data");
    assert!(Command::new(own).arg("replay").args([&file, &data]).status().unwrap().success());
}

/// Writes the updates of a log to which nothing but new versions are added, each with its length.
fn write_updates(path: &Path, versions: u64, batch: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut memory, mut root) = (Memory::default(), TreeRoot::EMPTY);
    for (position, first) in (0..versions).step_by(batch as usize).enumerate() {
        let added = leaves(first..versions.min(first + batch));
        let keys: Vec<SearchKey> = added.iter().map(|leaf| leaf.vrf_output).collect();
        let proof = prove(&memory, &root, &keys).unwrap();
        let proof = BatchPrefixProof { results: proof.results, elements: proof.elements };
        root = memory.keep(insert(&memory, &root, position as u64, &added).unwrap());
        let timestamp = 1_700_000_000_000 + position as u64 * STEP;
        let update = BatchAuditorUpdate { timestamp, added, removed: Vec::new(), proof }.encode().unwrap();
        file.write_all(&(update.len() as u32).to_be_bytes()).unwrap();
        file.write_all(&update).unwrap();
    }
    file.flush().unwrap();
}

fn trust() -> Trust {
    let mut configuration = Configuration {
        ciphersuite: CipherSuite::Tlog.number(),
        signature_public_key: Vec::new(),
        vrf_public_key: VrfSecretKey::from_seed(&[7; 32]).public_key().to_bytes().to_vec(),
        mode: ModeFields::ContactMonitoring,
        max_ahead: 60_000,
        max_behind: 600_000,
        reasonable_monitoring_window: 86_400_000,
        maximum_lifetime: None,
    };
    let origin = configuration.origin("log.example").unwrap();
    let log = NoteSigner::new(KeyName::new(&origin).unwrap(), SigningKey::from_seed(&[9; 32]));
    configuration.signature_public_key = log.vkey().to_string().into_bytes();
    let policy = format!("log {}\nquorum none\n", log.vkey());
    Trust::new(&configuration.encode().unwrap(), Some(policy.as_bytes())).unwrap()
}

fn replay_file(file: &Path, data: &Path) {
    let trust = Arc::new(trust());
    let key = data_dir::create(data, KeyName::new("bench").unwrap(), None).unwrap();
    let records = Records::open(data, &key.vkey().to_string(), Arc::clone(&trust)).unwrap();
    let store = Arc::clone(records.store());
    let form = Form::of(CipherSuite::Tlog);
    let mut audit = Audit::new(&trust);
    let mut file = BufReader::new(File::open(file).unwrap());
    let (mut versions, mut working, mut slowest) = (0, Duration::ZERO, Duration::ZERO);
    loop {
        let (mut updates, mut bytes) = (Vec::new(), 0);
        let mut length = [0; 4];
        while bytes < AT_ONCE && file.read_exact(&mut length).is_ok() {
            let mut update = vec![0; u32::from_be_bytes(length) as usize];
            file.read_exact(&mut update).unwrap();
            bytes += update.len();
            updates.push(update);
        }
        if updates.is_empty() {
            break;
        }
        let (began, from) = (Instant::now(), audit.size());
        let updates: Vec<BatchAuditorUpdate> =
            updates.iter().map(|update| form.decode(update).unwrap()).collect();
        versions += updates.iter().map(|update| update.added.len()).sum::<usize>();
        let refused = audit.replay(&updates, None, |keys| store.published(keys)).unwrap();
        assert_eq!(refused, None);
        store.commit_audit(from, &audit).unwrap();
        audit.stored();
        let took = began.elapsed();
        working += took;
        slowest = slowest.max(took);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak =
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap();
    let disk = fs::metadata(data.join(data_dir::STATE)).unwrap().len();
    println!(
        "{:.0} versions a second, durable (slowest step {:.0} ms); peak memory {} MiB; on disk {} MiB",
        versions as f64 / working.as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
        peak.parse::<u64>().unwrap() / 1024,
        disk >> 20
    );
}
