//! What all tasks share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use keyglass_account::api::Id128;
use keyglass_demo::system::System;
use keyglass_keytrans::client::Verifier;
use keyglass_tlog::{note::Vkey, policy::Policy};
use tokio::sync::watch;

use crate::{
    heads::Heads,
    prekeys::HandedOut,
    support::{
        Count,
        api::{Answer, Api, Call},
        programs::api,
        user::verifier,
    },
};

/// Attempts of one request. Each is answered, or ends with a life of the server.
const ATTEMPTS: u32 = 400;
/// The pause after the server said that it is not ready.
const NOT_READY: Duration = Duration::from_millis(50);
/// How long a connection that broke may wait for the server's next life: it may have come already, or be the last.
const NEXT_LIFE: Duration = Duration::from_secs(2);

/// What was done, for the report.
#[derive(Debug, Default)]
pub struct Counts {
    /// Attempts that broke.
    pub broken: Count,
    /// Attempts that were answered 503.
    pub not_ready: Count,
    /// Verified searches.
    pub searches: Count,
    /// Verified updates of owned labels.
    pub owned: Count,
    /// Fetches with a fresh request id.
    pub fetches: Count,
    /// Fetches with a request id that was answered before.
    pub repeated: Count,
    /// Checkpoints that the log or a witness showed.
    pub checkpoints: Count,
    /// Servers that were killed before they served.
    pub killed_while_starting: Count,
}

/// Values by version.
type Versions = BTreeMap<u32, Vec<u8>>;

/// What all tasks share.
pub struct World {
    pub api: Api,
    pub verifier: Arc<Verifier>,
    pub policy: Policy,
    pub log_vkey: Vkey,
    pub witness_urls: Vec<String>,
    /// Attempts begun.
    pub begun: watch::Sender<u64>,
    /// The log-server's lives so far.
    lives: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    pub heads: Heads,
    /// Acknowledged values by label and version.
    pub acknowledged: Mutex<BTreeMap<Vec<u8>, Versions>>,
    pub handed_out: HandedOut,
    /// Acknowledged messages: body by target and id.
    pub messages: Mutex<BTreeMap<(usize, Id128), Vec<u8>>>,
    pub counts: Counts,
    /// What the log-server wrote.
    pub log_of_server: std::path::PathBuf,
}

impl World {
    pub fn new(system: &System, lives: watch::Receiver<u64>, stopped: watch::Receiver<bool>) -> Self {
        Self {
            api: api(system),
            verifier: verifier(system),
            policy: Policy::parse(&std::fs::read(&system.policy).unwrap()).unwrap(),
            log_vkey: Vkey::parse(&system.log.vkey).unwrap(),
            witness_urls: system.witnesses.iter().map(|witness| witness.url().to_owned()).collect(),
            begun: watch::Sender::new(0),
            lives,
            stopped,
            heads: Heads::default(),
            acknowledged: Mutex::default(),
            handed_out: HandedOut::default(),
            messages: Mutex::default(),
            counts: Counts::default(),
            log_of_server: system.log.data.with_extension("log"),
        }
    }

    pub fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Returns when the load is to end.
    pub async fn stopped(&self) {
        self.stopped.clone().wait_for(|stopped| *stopped).await.unwrap();
    }

    /// Repeats a request until it is answered, and not with 503.
    pub async fn until_answered(&self, call: Call<'_>) -> Answer {
        for _ in 0..ATTEMPTS {
            let life = *self.lives.borrow();
            self.begun.send_modify(|begun| *begun += 1);
            match self.api.attempt(&call).await {
                Ok(answer) if answer.status == 503 => {
                    self.counts.not_ready.add(1);
                    tokio::time::sleep(NOT_READY).await;
                }
                Ok(answer) => return answer,
                Err(_) => {
                    self.counts.broken.add(1);
                    let mut lives = self.lives.clone();
                    let _ = tokio::time::timeout(NEXT_LIFE, lives.wait_for(|lives| *lives > life)).await;
                }
            }
        }
        panic!("{} {}: {ATTEMPTS} attempts were not answered", call.method, call.path)
    }

    /// Notes that the log has promised to hold a value.
    pub fn acknowledge(&self, label: &[u8], version: u32, value: &[u8]) {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        let before = acknowledged.entry(label.to_vec()).or_default().insert(version, value.to_vec());
        assert!(before.is_none_or(|before| before == value), "two values of one version were acknowledged");
    }

    /// The label that comes at or after a random place, with its greatest acknowledged version.
    pub fn some_label(&self, place: &[u8]) -> Option<(Vec<u8>, u32)> {
        let acknowledged = self.acknowledged.lock().unwrap();
        let next = acknowledged.range(place.to_vec()..).next().or_else(|| acknowledged.iter().next());
        next.map(|(label, versions)| (label.clone(), *versions.keys().next_back().unwrap()))
    }

    /// Checks a proven value against what was acknowledged, if that version was.
    pub fn compare(&self, label: &[u8], version: u32, value: &[u8]) {
        let acknowledged = self.acknowledged.lock().unwrap();
        if let Some(expected) = acknowledged.get(label).and_then(|versions| versions.get(&version)) {
            assert_eq!(expected, value, "version {version} of {} is another", String::from_utf8_lossy(label));
        }
    }
}
