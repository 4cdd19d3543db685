//! A log, its witnesses and an auditor with its pages, each a real process, and a second history when it is wanted.

use std::{fs, path::PathBuf, time::Duration};

use keyglass_crypto::{hash::sha256, sign::SigningKey};
use keyglass_demo::{
    daemon::{Daemon, run},
    system::{System, Timing, path},
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignedNote},
    time::UnixSeconds,
};
use serde_json::Value;

const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(50);

pub struct World {
    pub system: System,
    pub auditor: Daemon,
    /// What the command of the alerts was told, one JSON object a line.
    pub told: PathBuf,
    pub id: String,
    http: reqwest::Client,
}

impl World {
    pub async fn start() -> Self {
        let timing = Timing { max_behind: 60_000, heartbeat: 300 };
        let system = System::start(timing).await.unwrap();
        let at = |name: &str| system.directory().join(name);
        let (data, told) = (at("auditor"), at("told"));
        run("keyglass-auditor", &["init", "--data", path(&data), "--name", "auditor.demo.example"])
            .await
            .unwrap();
        let settings = format!(
            "[[log]]\nname = \"Demo log\"\nurls = [\"{}\"]\nconfiguration = \"{}\"\npolicy = \"{}\"\n\
             [alerts]\n[[alerts.command]]\nname = \"file\"\nargv = [\"/bin/sh\", \"-c\", 'cat >> \"$1\"; echo >> \"$1\"', \"sh\", \"{}\"]\n",
            system.url().unwrap(),
            system.log.configuration.display(),
            system.policy.display(),
            told.display(),
        );
        let config = at("auditor.toml");
        fs::write(&config, settings).unwrap();
        let arguments = [
            "serve",
            "--data",
            path(&data),
            "--config",
            path(&config),
            "--listen",
            "127.0.0.1:0",
            "--interval",
            "400",
        ];
        let auditor = Daemon::start("keyglass-auditor", &arguments, &at("auditor.log")).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut world = Self { system, auditor, told, id: String::new(), http };
        let status = world
            .until("the log is in order", |log| log["verdict"] == "ok" && log["size"].as_u64() > Some(3))
            .await;
        world.id = status["id"].as_str().unwrap().to_owned();
        world
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.auditor.url())
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    /// Waits until the status of the log is as it should be, and gives it.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut log = Value::Null;
        for _ in 0..ATTEMPTS {
            let status: Value = self.get("/v1/status").await.json().await.unwrap();
            log = status["logs"][0].clone();
            if is_so(&log) {
                return log;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{what}: {log}")
    }

    async fn report(&self, note: &SignedNote) -> Value {
        let report =
            self.http.post(self.url("/v1/heads")).header("content-type", "text/plain").body(note.to_string());
        report.send().await.unwrap().json().await.unwrap()
    }

    /// Two people report what they were shown: heads of one size, both signed by the log and both cosigned by w3.
    pub async fn equivocate(&self) {
        let log = &self.system.log;
        let digits = fs::read_to_string(log.data.join("log.key")).unwrap();
        let seed: Vec<u8> =
            (0..32).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect();
        let key = SigningKey::from_seed(seed.as_slice().try_into().unwrap());
        let signer = NoteSigner::new(KeyName::new(&log.origin).unwrap(), key);
        let file = fs::read_to_string(self.system.directory().join("w3/witness.key")).unwrap();
        let colluder = Cosigner::from_key_file(&file).unwrap();
        let signed = |checkpoint: &Checkpoint| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let cosigned = colluder.cosign(checkpoint, UnixSeconds(now.as_secs())).unwrap();
            let text = checkpoint.text();
            SignedNote::new(&text, vec![signer.sign(&text), cosigned]).unwrap()
        };
        let shown = self.http.get(format!("{}/checkpoint", self.system.url().unwrap())).send().await.unwrap();
        let shown = SignedNote::parse(&shown.bytes().await.unwrap()).unwrap();
        let shown = Checkpoint::from_note(&shown).unwrap();
        let size = shown.tree_size();
        self.until("the auditor is there", |log| log["size"].as_u64() >= Some(size)).await;
        assert_eq!(self.report(&signed(&shown)).await["standing"], "agrees");
        let other = Checkpoint::new(&log.origin, size, sha256(&[b"another log"])).unwrap();
        assert_eq!(self.report(&signed(&other)).await["standing"], "contradicts");
    }

    pub async fn stop(mut self) {
        self.auditor.stop().await.unwrap();
        self.system.stop_log().await.unwrap();
    }
}
