//! A log that shows Alice another tree than everybody else, with two of three witnesses in on it, who show nobody what they
//! cosigned for her. No auditor can see that by asking; Alice's own report gives it away, and gossip takes the evidence further.

mod spread;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::split_view::{NO_HEARTBEAT, account};
use crate::{
    Failed,
    client::Client,
    daemon::Daemon,
    lying::{
        log::{LyingLog, copy_data},
        witness::{BackDoor, ColludingWitness, start as start_colluding},
    },
    report::Report,
    system::{
        Log, Timing, introduce, know_tiles, path, policy_text, start_auditor, start_witness, witness_line,
        write,
    },
};

/// How long the auditor may take to see what it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time in which a fork that somebody reports should be evidence.
const AIM: Duration = Duration::from_secs(5);

/// Two colluders of three, and an auditor to whom Alice reports.
///
/// # Errors
/// [`Failed`] if it cannot go on.
pub async fn run(report: &mut Report) -> Result<(), Failed> {
    report.title("4c. Two witnesses of three collude, and hide the fork from the auditor");
    report.doing("w1 is honest; w2 and w3 sign both sides and show one");
    let directory = tempfile::Builder::new()
        .prefix("keyglass-demo-hidden-")
        .tempdir()
        .map_err(|error| Failed::Lying(error.to_string()))?;
    let mut scene = Scene::start(&directory).await?;

    report.doing("the auditor asks the log and all witnesses");
    let seen = scene.until(|status| status.get("verdict").is_some_and(Value::is_string)).await?;
    let verdict = seen.get("verdict").and_then(Value::as_str).unwrap_or("none").to_owned();
    let why = "all that the log and its witnesses show is one history: asking them finds nothing";
    report.verdict("4c. hidden fork, asked for", &verdict, "ok", why, seen);
    spread::cosigned(report, &scene).await?;

    report.doing("Alice looks Bob up, and reports the head that she was shown");
    let began = Instant::now();
    let alice = scene.client("alice", &scene.fork.url());
    let auditor = scene.auditor.url().to_owned();
    let lookup = ["lookup", "bob", "--auditor", auditor.as_str()];
    let (answer, evidence) = tokio::join!(alice.run(&lookup), scene.evidence());
    let (took, found) = (began.elapsed(), Instant::now());
    let answer = answer?;
    let why = "w2 and w3 are a quorum, so that her client cannot tell; her report is all that she can do";
    report.answer("4c. hidden fork, shown", &answer, "verified", why);
    let evidence = evidence?;
    let why = format!(
        "{:.2} s from the first forked head served to evidence at the auditor, Alice's whole command included (aim: {} s)",
        took.as_secs_f64(),
        AIM.as_secs()
    );
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let details = json!({ "ms_from_fork_to_evidence": ms, "evidence": evidence });
    report.verdict("4c. hidden fork, reported", "evidence", "evidence", &why, details);
    spread::run(report, &mut scene, found).await?;

    let names = |conviction: &Value| {
        let names = conviction.get("faulty_witnesses").and_then(Value::as_array).cloned().unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let conviction = evidence.iter().max_by_key(|conviction| names(conviction).len());
    let conviction = conviction.ok_or_else(|| Failed::Lying("there is no evidence".to_owned()))?;
    let file = scene.download(conviction).await?;
    report.line(&format!("evidence: {}", file.display()));
    let arguments = ["evidence", "verify", path(&file), "--log", &scene.log.vkey];
    let answer = alice.run(&arguments).await?;
    let verdict = match (answer.verdict(), names(&answer.json).as_slice()) {
        ("verified", [a, b]) if a == "w2" && b == "w3" => "verified",
        ("verified", _) => "verified, naming others",
        (other, _) => other,
    };
    let why = "anybody can check it offline; it names both colluders";
    report.verdict("4c. hidden fork, evidence", verdict, "verified", why, answer.json.clone());
    scene.stop().await;
    Ok(())
}

/// A log of two faces, its witnesses, and an auditor.
struct Scene<'a> {
    directory: &'a Path,
    log: Log,
    policy: PathBuf,
    honest: LyingLog,
    fork: LyingLog,
    colluding: Vec<keyglass_witness::http::Server>,
    auditor: Daemon,
    /// The honest witnesses with their names: w1 of the quorum, and w4, which nobody's quorum asks and which knows w1 alone.
    witnesses: Vec<(&'static str, Daemon)>,
}

impl<'a> Scene<'a> {
    async fn start(directory: &'a TempDir) -> Result<Self, Failed> {
        let directory = directory.path();
        let log = Log::init(directory, "log", Timing { max_behind: 120_000, heartbeat: 0 }).await?;
        let fork_data = directory.join("fork");
        copy_data(&log.data, &fork_data)?;
        let witness_policy = directory.join("witness.policy");
        write(&witness_policy, format!("log {}\nquorum none\n", log.vkey))?;
        let (w1, w1_vkey) = start_witness(directory, "w1", &witness_policy).await?;
        let (w4, _) = start_witness(directory, "w4", &witness_policy).await?;
        let mut lines = vec![witness_line("w1", &w1_vkey, w1.url())];
        let (mut hidden, mut colluding) = (Vec::new(), Vec::new());
        for (name, seed) in [("w2", 0x72), ("w3", 0x73)] {
            let witness = Arc::new(ColludingWitness::new(&format!("{name}.demo.example"), seed)?);
            let vkey = witness.vkey();
            let door = start_colluding(Arc::new(BackDoor(Arc::clone(&witness)))).await?;
            let front = start_colluding(witness).await?;
            lines.push(witness_line(name, &vkey, &format!("http://{}", front.address())));
            hidden.push(witness_line(name, &vkey, &format!("http://{}", door.address())));
            colluding.extend([door, front]);
        }
        let policy = directory.join("policy");
        let text = policy_text(&log.vkey, &lines);
        write(&policy, &text)?;
        let honest = LyingLog::start(&log.data, &text, NO_HEARTBEAT).await?;
        honest.insert(b"bob", account(&log.origin, b"bob", 0x40)?).await?;
        let side = format!("log {}\n{}group both 2 w2 w3\nquorum both\n", log.vkey, hidden.concat());
        let fork = LyingLog::start(&fork_data, &side, NO_HEARTBEAT).await?;
        fork.insert(b"bob", account(&log.origin, b"bob", 0x50)?).await?;
        let auditor = start_auditor(directory, &log, &policy, &honest.url()).await?;
        know_tiles(directory, &log, &honest.url(), &text)?;
        introduce(directory, "w4", &w4, [("w1", &w1)].into_iter())?;
        introduce(directory, "w1", &w1, [("w4", &w4), ("auditor", &auditor)].into_iter())?;
        introduce(directory, "auditor", &auditor, [("w1", &w1)].into_iter())?;
        let witnesses = vec![("w1", w1), ("w4", w4)];
        Ok(Self { directory, log, policy, honest, fork, colluding, auditor, witnesses })
    }

    fn client(&self, name: &str, server: &str) -> Client {
        Client {
            home: self.directory.join(name),
            server: server.to_owned(),
            configuration: self.log.configuration.clone(),
            policy: self.policy.clone(),
        }
    }

    /// The auditor's view of the log, once it is as it is waited for.
    async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failed> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let status = self.get("/v1/status").await.ok();
            let log = status.as_ref().and_then(|status| status.get("logs")?.get(0));
            if let Some(log) = log.filter(|log| wanted(log)) {
                return Ok(log.clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(late())
    }

    /// The evidence that the auditor has, once it has some.
    async fn evidence(&self) -> Result<Vec<Value>, Failed> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Value::Array(evidence)) = self.get("/v1/evidence").await
                && !evidence.is_empty()
            {
                return Ok(evidence);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(late())
    }

    /// Takes a file of evidence from the auditor.
    async fn download(&self, conviction: &Value) -> Result<PathBuf, Failed> {
        let text = |member: &str| conviction.get(member).and_then(Value::as_str).unwrap_or_default();
        let url = format!("{}{}", self.auditor.url(), text("path"));
        let failed = |error: reqwest::Error| Failed::Lying(error.to_string());
        let evidence = reqwest::get(url).await.map_err(failed)?.text().await.map_err(failed)?;
        let file = self.directory.join(text("file"));
        write(&file, evidence)?;
        Ok(file)
    }

    async fn get(&self, path: &str) -> reqwest::Result<Value> {
        reqwest::get(format!("{}{path}", self.auditor.url())).await?.json().await
    }

    async fn stop(self) {
        self.honest.stop().await;
        self.fork.stop().await;
        for server in self.colluding {
            server.stop().await;
        }
    }
}

fn late() -> Failed {
    Failed::Lying("the auditor did not see it in time".to_owned())
}
