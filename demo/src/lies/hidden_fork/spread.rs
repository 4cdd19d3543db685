//! What becomes of evidence that one auditor holds: gossip takes it to every honest witness, which cosigns nothing more of the log
//! and says why, until its operator decides otherwise.

use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, Scene, late};
use crate::{
    Failed,
    daemon::{Daemon, run as run_program},
    report::Report,
    system::{path, serve_witness},
};

/// What a witness said when it was asked to cosign the log's head.
struct Answered {
    /// `cosigned`, or the name of the problem.
    verdict: String,
    /// The reason, in the witness's words.
    why: String,
}

/// Every honest witness cosigns the log while nothing is known against it.
pub(super) async fn cosigned(report: &mut Report, scene: &Scene<'_>) -> Result<(), Failed> {
    let why = "w1 and w4, who are honest, know of nothing either, and cosign what the log shows them";
    verdict_of_all(report, "4c. hidden fork, honest witnesses", scene, "cosigned", |_, _| why.to_owned())
        .await
}

/// From the moment at which the auditor had evidence.
pub(super) async fn run(report: &mut Report, scene: &mut Scene<'_>, found: Instant) -> Result<(), Failed> {
    report.doing("gossip takes the evidence to the honest witnesses");
    let mut lists = Vec::new();
    for (name, witness) in &scene.witnesses {
        lists.push(json!({ "witness": name, "evidence": evidence_of(witness).await? }));
    }
    let took = found.elapsed();
    let why = format!(
        "{:.2} s from evidence at the auditor to evidence at w1 and at w4, which asks w1 alone; nobody was told by hand",
        took.as_secs_f64()
    );
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let details = json!({ "ms_from_auditor_to_last_witness": ms, "held": lists });
    report.verdict("4c. evidence, gossiped", "evidence", "evidence", &why, details);

    report.doing("the log asks them to cosign its head once more");
    let why =
        |answered: &Answered, ms: u64| format!("423 from both, {ms} ms after they held it: {}", answered.why);
    verdict_of_all(report, "4c. evidence, cosigning", scene, "evidence-held", why).await?;

    report.doing("the operator of w1 looks at the evidence, and decides that w1 goes on");
    let began = Instant::now();
    let (name, witness) = scene.witnesses.remove(0);
    let (address, policy) = (witness.address().to_owned(), scene.directory.join("witness.policy"));
    witness.stop().await?;
    let data = scene.directory.join(name);
    let reason = "the log's operator showed that the other side is dead";
    let arguments = [
        "resolve",
        "--data",
        path(&data),
        "--policy",
        path(&policy),
        "--origin",
        &scene.log.origin,
        "--reason",
        reason,
    ];
    run_program("keyglass-witness", &arguments).await?;
    scene.witnesses.insert(0, (name, serve_witness(scene.directory, name, &policy, &address).await?));
    let answers = ask(scene).await?;
    let took = began.elapsed();
    let verdicts: Vec<&str> = answers.iter().map(|answered| answered.verdict.as_str()).collect();
    let verdict = match verdicts.as_slice() {
        ["cosigned", "evidence-held"] => "cosigned",
        other => &other.join(", "),
    };
    let why = format!(
        "{:.2} s to stop w1, resolve and start it again; w4, whose operator has not, still refuses",
        took.as_secs_f64()
    );
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    report.verdict(
        "4c. evidence, resolved",
        verdict,
        "cosigned",
        &why,
        json!({ "ms": ms, "reason": reason }),
    );
    Ok(())
}

/// What all honest witnesses answer, which is right exactly if each answers `expected`. `why` is given the last answer and the time
/// that all took in milliseconds.
async fn verdict_of_all(
    report: &mut Report,
    step: &str,
    scene: &Scene<'_>,
    expected: &str,
    why: impl Fn(&Answered, u64) -> String,
) -> Result<(), Failed> {
    let began = Instant::now();
    let answers = ask(scene).await?;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let other = answers.iter().find(|answered| answered.verdict != expected);
    let shown = other.or(answers.last()).ok_or_else(late)?;
    report.verdict(step, &shown.verdict, expected, &why(shown, ms), json!({ "ms": ms, "detail": shown.why }));
    Ok(())
}

/// Has every honest witness asked to cosign the head that the log shows.
async fn ask(scene: &Scene<'_>) -> Result<Vec<Answered>, Failed> {
    let head = get(&scene.honest.url(), "checkpoint").await?;
    let size = head.lines().nth(1).unwrap_or_default();
    let client = reqwest::Client::new();
    let mut answers = Vec::new();
    for (_, witness) in &scene.witnesses {
        let post = async |old: &str| {
            let request = client.post(format!("{}/add-checkpoint", witness.url()));
            let answer = request.body(format!("old {old}\n\n{head}")).send().await.map_err(unanswered)?;
            Ok::<_, Failed>((answer.status().as_u16(), answer.text().await.map_err(unanswered)?))
        };
        let mut answer = post(size).await?;
        if answer.0 == 409 {
            // It has cosigned nothing of this log yet.
            answer = post("0").await?;
        }
        let (status, text) = answer;
        answers.push(match status {
            200 => Answered { verdict: "cosigned".to_owned(), why: text },
            _ => refusal(status, &text),
        });
    }
    Ok(answers)
}

fn refusal(status: u16, text: &str) -> Answered {
    let problem: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let member = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = member("type").and_then(|kind| kind.rsplit([':', '/']).next().map(str::to_owned));
    Answered {
        verdict: kind.unwrap_or_else(|| status.to_string()),
        why: [member("title"), member("detail")].into_iter().flatten().collect::<Vec<_>>().join(". "),
    }
}

/// The names of the evidence that a witness holds, once it holds some.
async fn evidence_of(witness: &Daemon) -> Result<Vec<String>, Failed> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let list = get(witness.url(), "gossip/v1/evidence").await?;
        let held: Vec<String> =
            list.lines().skip(1).filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
        if !held.is_empty() {
            return Ok(held);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Err(late())
}

async fn get(url: &str, path: &str) -> Result<String, Failed> {
    let answer = reqwest::get(format!("{url}/{path}")).await.map_err(unanswered)?;
    answer.text().await.map_err(unanswered)
}

fn unanswered(error: reqwest::Error) -> Failed {
    Failed::Lying(error.to_string())
}
