//! akd, the directory behind WhatsApp's key transparency: its lookup proof, in memory.

use akd::{
    AkdLabel, AkdValue, Directory, EpochHash, WhatsAppV1Configuration,
    append_only_zks::AzksParallelismConfig,
    ecvrf::{VRFKeyStorage, VrfError},
    proto::specs::types::LookupProof,
    storage::{StorageManager, memory::AsyncInMemoryDatabase},
};
use async_trait::async_trait;
use protobuf::Message as _;

use crate::measure::{Measured, measure};

type Config = WhatsAppV1Configuration;

/// How many labels are looked up.
const CASES: u64 = 40;

/// A key for tests.
#[derive(Clone)]
pub struct Vrf;

#[async_trait]
impl VRFKeyStorage for Vrf {
    async fn retrieve(&self) -> Result<Vec<u8>, VrfError> {
        Ok(vec![3; 32])
    }
}

fn label(number: u64) -> AkdLabel {
    AkdLabel::from(format!("user-{number}@example.org").as_str())
}

/// Publishes all labels in epochs of 10,000 and measures verification of lookup proofs.
pub fn run(labels: u64) -> Measured {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let storage = StorageManager::new_no_cache(AsyncInMemoryDatabase::new());
        let directory: Directory<Config, _, _> =
            Directory::new(storage, Vrf, AzksParallelismConfig::default()).await.unwrap();
        let mut head = None;
        for first in (0..labels).step_by(10_000) {
            let batch =
                (first..labels.min(first + 10_000)).map(|number| (label(number), AkdValue(vec![7; 600])));
            head = Some(directory.publish(batch.collect()).await.unwrap());
        }
        let EpochHash(epoch, root) = head.unwrap();
        let key = directory.get_public_key().await.unwrap();
        let mut cases = Vec::new();
        for case in 1..=CASES {
            let label = label(case * (labels - 1) / CASES);
            let (proof, EpochHash(at, _)) = directory.lookup(label.clone()).await.unwrap();
            assert_eq!(at, epoch);
            cases.push((label, proof));
        }
        let bytes = |(_, proof): &(AkdLabel, akd::LookupProof)| {
            LookupProof::from(proof).write_to_bytes().unwrap().len()
        };
        measure(&cases, bytes, |(label, proof)| {
            let verified = akd::client::lookup_verify::<Config>(
                key.as_bytes(),
                root,
                epoch,
                label.clone(),
                proof.clone(),
            );
            std::hint::black_box(verified.unwrap());
        })
    })
}
