//! A log that shows Alice another tree than everybody else.

use std::{fs, path::Path, sync::Arc, time::Duration};

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    time::UnixMillis,
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Failed,
    client::Client,
    daemon::run as run_program,
    lying::{
        log::{LyingLog, copy_data},
        witness::{ColludingWitness, start as start_colluding},
    },
    report::Report,
    system::{Log, System, Timing, WITNESSES, path, policy_text, start_witness, witness_line, write},
};

/// So long that no log adds an entry by itself: both sides stay of one size.
pub const NO_HEARTBEAT: Duration = Duration::from_secs(3600);

/// A fork of the honest system's log. Its witnesses have cosigned what came after, and refuse; from then on they hold evidence
/// against the log and cosign nothing more of it.
///
/// # Errors
/// [`Failed`] if it cannot go on.
pub async fn refused(report: &mut Report, system: &System) -> Result<(), Failed> {
    report.title("4e. Alice is shown a fork; the witnesses are honest");
    report.doing("the log asks the witnesses to cosign its fork");
    let policy = fs::read_to_string(&system.policy).map_err(|error| Failed::Lying(error.to_string()))?;
    let asks_and_does_not_care: String = policy
        .lines()
        .map(|line| if line.starts_with("quorum") { "quorum none\n".to_owned() } else { format!("{line}\n") })
        .collect();
    let fork =
        LyingLog::start(&system.directory().join("fork"), &asks_and_does_not_care, NO_HEARTBEAT).await?;
    fork.insert(b"bob", account(&system.log.origin, b"bob", 0x50)?).await?;
    for refusal in fork.refusals().await? {
        report.line(&refusal);
    }
    let answer = system.client_of("fork-alice", &fork.url()).run(&["lookup", "bob"]).await?;
    let why = "no honest witness cosigned the fork, so its head has no quorum";
    report.answer("4e. fork without quorum", &answer, "unwitnessed", why);
    fork.stop().await;
    Ok(())
}

/// A log of two faces with one colluding witness of three: Alice accepts the fork, and the auditor finds it.
///
/// # Errors
/// [`Failed`] if it cannot go on.
pub async fn run(report: &mut Report) -> Result<(), Failed> {
    report.title("4c. Alice is shown a fork, and one witness of three colludes");
    report.doing("w1 is shown one side, w2 the other, and w3 signs both");
    let directory = tempfile::Builder::new()
        .prefix("keyglass-demo-split-")
        .tempdir()
        .map_err(|error| Failed::Lying(error.to_string()))?;
    let split = Split::start(&directory).await?;

    let alice = split.client("alice", &split.fork.url());
    let answer = alice.run(&["lookup", "bob"]).await?;
    let why = "w2 and w3 are a quorum: two of three cannot rule a split view out if one colludes";
    report.answer("4c. fork with quorum", &answer, "verified", why);

    report.doing("the auditor compares what the witnesses serve");
    let began = std::time::Instant::now();
    let (code, audit) = split.audit().await?;
    let evidence = evidence_of(&audit);
    report.line(&format!("auditor: exit code {code}, {:.1} s", began.elapsed().as_secs_f64()));
    let verdict = audit.get("verdict").and_then(Value::as_str).unwrap_or("none").to_owned();
    report.verdict("4c. audit", &verdict, "misbehaving", "the log signed two trees of one size", audit);

    let evidence = evidence.ok_or_else(|| Failed::Lying("the auditor wrote no evidence".to_owned()))?;
    report.line(&format!("evidence: {}", evidence.display()));
    let arguments = ["evidence", "verify", path(&evidence), "--log", &split.log.vkey];
    let answer = alice.run(&arguments).await?;
    let named = answer.json.get("faulty_witnesses").map(Value::to_string).unwrap_or_default();
    let names_w3 = answer.verdict() == "verified"
        && named.contains("w3")
        && !named.contains("w1")
        && !named.contains("w2");
    let verdict = if names_w3 { "verified" } else { answer.verdict() };
    let why = format!("anybody can check it offline; witnesses that signed both sides: {named}");
    report.verdict(
        "4c. evidence",
        verdict,
        if names_w3 { "verified" } else { "verified, naming w3 alone" },
        &why,
        answer.json.clone(),
    );

    report.doing("Alice is shown the other side");
    let answer = split.client("alice", &split.honest.url()).run(&["lookup", "bob"]).await?;
    report.answer("4c. both sides", &answer, "misbehaving", "Alice now holds two heads that the log signed");
    split.stop().await;
    Ok(())
}

/// A log of two faces, and its witnesses.
struct Split<'a> {
    directory: &'a Path,
    log: Log,
    policy: std::path::PathBuf,
    honest: LyingLog,
    fork: LyingLog,
    colluding: keyglass_witness::http::Server,
    _witnesses: Vec<crate::daemon::Daemon>,
}

impl<'a> Split<'a> {
    async fn start(directory: &'a TempDir) -> Result<Self, Failed> {
        let directory = directory.path();
        let timing = Timing { max_behind: 120_000, heartbeat: 0 };
        let log = Log::init(directory, "log", timing).await?;
        let fork_data = directory.join("fork");
        copy_data(&log.data, &fork_data)?;
        let witness_policy = directory.join("witness.policy");
        write(&witness_policy, format!("log {}\nquorum none\n", log.vkey))?;
        let (w1, w1_vkey) = start_witness(directory, "w1", &witness_policy).await?;
        let (w2, w2_vkey) = start_witness(directory, "w2", &witness_policy).await?;
        let w3 = ColludingWitness::new("w3.demo.example", 0x77)?;
        let w3_vkey = w3.vkey();
        let colluding = start_colluding(Arc::new(w3)).await?;
        let w3_url = format!("http://{}", colluding.address());
        let lines = [
            witness_line("w1", &w1_vkey, w1.url()),
            witness_line("w2", &w2_vkey, w2.url()),
            witness_line("w3", &w3_vkey, &w3_url),
        ];
        let policy = directory.join("policy");
        write(&policy, policy_text(&log.vkey, &lines))?;
        // Each side asks only the honest witness that it has, and the one that signs everything.
        let side = |honest: &str| -> String {
            let without =
                WITNESSES.into_iter().find(|name| *name != honest && *name != "w3").unwrap_or_default();
            let lines = lines.iter().filter(|line| !line.starts_with(&format!("witness {without} ")));
            format!(
                "log {}\n{}group both 2 {honest} w3\nquorum both\n",
                log.vkey,
                lines.cloned().collect::<String>()
            )
        };
        let honest = LyingLog::start(&log.data, &side("w1"), NO_HEARTBEAT).await?;
        honest.insert(b"bob", account(&log.origin, b"bob", 0x40)?).await?;
        let fork = LyingLog::start(&fork_data, &side("w2"), NO_HEARTBEAT).await?;
        fork.insert(b"bob", account(&log.origin, b"bob", 0x50)?).await?;
        Ok(Self { directory, log, policy, honest, fork, colluding, _witnesses: vec![w1, w2] })
    }

    fn client(&self, name: &str, server: &str) -> Client {
        Client {
            home: self.directory.join(name),
            server: server.to_owned(),
            configuration: self.log.configuration.clone(),
            policy: self.policy.clone(),
        }
    }

    /// One round of the auditor: its exit code and its report.
    async fn audit(&self) -> Result<(i32, Value), Failed> {
        let data = self.directory.join("auditor");
        run_program("keyglass-auditor", &["init", "--data", path(&data), "--name", "auditor.demo.example"])
            .await?;
        let url = self.honest.url();
        let arguments = [
            "follow",
            "--data",
            path(&data),
            "--url",
            &url,
            "--policy",
            path(&self.policy),
            "--configuration",
            path(&self.log.configuration),
            "--once",
            "--json",
        ];
        let (code, stdout) = crate::daemon::ask("keyglass-auditor", &arguments).await?;
        let report = stdout.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
        Ok((code, report.unwrap_or(Value::Null)))
    }

    async fn stop(self) {
        self.honest.stop().await;
        self.fork.stop().await;
        self.colluding.stop().await;
    }
}

/// The evidence that an audit found, preferably one that names a witness.
fn evidence_of(audit: &Value) -> Option<std::path::PathBuf> {
    let convictions = audit.get("convictions")?.as_array()?;
    let names_somebody = |conviction: &&Value| {
        conviction.get("faulty_witnesses").and_then(Value::as_array).is_some_and(|names| !names.is_empty())
    };
    let conviction = convictions.iter().find(names_somebody).or_else(|| convictions.first())?;
    Some(conviction.get("path")?.as_str()?.into())
}

/// An account of one device whose keys all follow from `seed`.
///
/// # Errors
/// [`Failed`] if its record cannot be signed.
pub fn account(origin: &str, label: &[u8], seed: u8) -> Result<Vec<u8>, Failed> {
    let [identity, device, dh] = [seed, seed.wrapping_add(1), seed.wrapping_add(2)];
    let signing_key = SigningKey::from_seed(&[device; 32]);
    let dh_key = DhSecretKey::from_bytes(&[dh; 32]).public_key();
    let device = Device::sign(origin, label, 1, &signing_key, dh_key, vec![Suite::X3DH], UnixMillis(0));
    let record =
        Draft::new(origin, label, 0).add_device(device).sign_genesis(&SigningKey::from_seed(&[identity; 32]));
    Ok(record.map_err(|error| Failed::Lying(error.to_string()))?.encode())
}
