//! The honest run: Bob registers and goes offline, Alice writes to him, Bob reads.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{body::Bytes, http::Method};
use serde_json::{Value, json};

use crate::{
    Failed,
    client::Answer,
    lying::proxy::{Answered, Asked, Proxy},
    report::Report,
    system::System,
};

/// The text of Alice's first message.
pub const TEXT: &str = "Shall we meet at noon?";

/// Runs it.
///
/// # Errors
/// [`Failed`] if it cannot go on.
pub async fn run(report: &mut Report, system: &System) -> Result<(), Failed> {
    let bob = system.client("bob")?;
    let alice = system.client("alice")?;

    report.title("1. Bob registers two devices, uploads prekeys for each, and goes offline");
    report.doing("Bob registers");
    let answer = bob.run(&["register", "bob", "--devices", "2"]).await?;
    report.line(&format!(
        "in a log of {} entries, as version {}",
        answer.number("tree_size"),
        answer.number("version")
    ));
    for device in members(&answer, "devices") {
        report.line(&format!("device {}", describe(device)));
    }
    report.answer("1. register", &answer, "verified", "published under a witnessed head");

    report.title("2. Alice looks Bob up, and writes to each of his devices");
    report.doing("Alice looks Bob up");
    let answer = alice.run(&["lookup", "bob"]).await?;
    look_up_lines(report, &answer);
    report.answer("2. lookup", &answer, "verified", "proven, fresh, witnessed, and signed by Bob's identity");
    report.doing("Alice registers");
    let answer = alice.run(&["register", "alice"]).await?;
    report.answer("2. register", &answer, "verified", "Alice has an account to write from");
    report.doing("Alice runs X3DH with each device");
    let answer = alice.run(&["send", "bob", TEXT]).await?;
    for device in members(&answer, "devices") {
        report.line(&format!("device {}", describe(device)));
    }
    report.answer("2. send", &answer, "verified", "an encrypted first message lies in each mailbox");

    report.title("3. Bob comes online");
    let replaying = replay_messages(system.url()?).await.map_err(Failed::Listen)?;
    let bob = system.client_of("bob", &replaying.url());
    report.doing("Bob receives");
    let answer = bob.run(&["receive"]).await?;
    let texts: Vec<&str> = members(&answer, "messages")
        .filter_map(|message| message.get("text").and_then(Value::as_str))
        .collect();
    let read = !texts.is_empty() && texts.iter().all(|text| *text == TEXT);
    report.line(&format!("decrypted: {texts:?}"));
    let verdict = if read { answer.verdict() } else { "another text" };
    report.verdict(
        "3. receive",
        verdict,
        "verified",
        "both devices derived Alice's secret",
        answer.json.clone(),
    );
    report.doing("the same messages are delivered again");
    let answer = bob.run(&["receive"]).await?;
    let again = members(&answer, "messages").count();
    report.line(&format!("redelivered: {}, shown again: {again}", answer.number("redelivered")));
    let ignored = again == 0 && answer.number("redelivered") > 0;
    let verdict = if ignored { answer.verdict() } else { "accepted twice" };
    report.verdict(
        "3. redelivery",
        verdict,
        "verified",
        "the handshakes were seen before",
        answer.json.clone(),
    );
    Ok(())
}

/// What was verified in a look-up.
pub fn look_up_lines(report: &Report, answer: &Answer) {
    let names: Vec<&str> = members(answer, "witnesses").filter_map(Value::as_str).collect();
    let devices = members(answer, "devices").count();
    report.line(&format!(
        "log          {} entries, head {} ms old",
        answer.number("tree_size"),
        answer.number("head_age_ms")
    ));
    report.line(&format!("witnesses    {} of 3, 2 needed: {}", names.len(), names.join(", ")));
    report.line(&format!("account      version {}, {devices} devices", answer.number("version")));
    report.line(&format!(
        "proof        {} bytes, verified in {:.2} ms",
        answer.number("proof_bytes"),
        std::time::Duration::from_micros(answer.number("verify_us")).as_secs_f64() * 1000.0
    ));
    let watch = answer.json.get("watch_pending").and_then(Value::as_bool).unwrap_or(false);
    report.line(if watch {
        "watch        pending: Bob has not checked this version himself yet"
    } else {
        "watch        nothing"
    });
}

/// The elements of a member of the answer that is a list.
pub fn members<'a>(answer: &'a Answer, name: &str) -> impl Iterator<Item = &'a Value> {
    answer.json.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A JSON object on one line, for a person.
fn describe(value: &Value) -> String {
    let Some(object) = value.as_object() else { return value.to_string() };
    let id = object.get("id").or_else(|| object.get("device")).map(ToString::to_string).unwrap_or_default();
    let others = object
        .iter()
        .filter(|(name, _)| *name != "id" && *name != "device")
        .map(|(name, value)| format!("{name} {value}").replace('"', ""));
    format!("{id}: {}", others.collect::<Vec<_>>().join(", "))
}

/// A server that delivers every device's messages again after they were acknowledged.
async fn replay_messages(url: &str) -> std::io::Result<Proxy> {
    let delivered: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    let lie = move |asked: &Asked, answered: Answered| {
        if asked.method != Method::GET || !asked.path.starts_with(keyglass_account::api::MESSAGES) {
            return answered;
        }
        let empty = serde_json::from_slice::<Value>(&answered.body)
            .ok()
            .is_none_or(|body| body.get("messages") == Some(&json!([])));
        let mut delivered = delivered.lock().unwrap_or_else(PoisonError::into_inner);
        if !empty {
            delivered.push(answered.body.clone());
            return answered;
        }
        // The devices ask in the same order as before.
        if delivered.is_empty() { answered } else { Answered { body: delivered.remove(0), ..answered } }
    };
    Proxy::start(url, Arc::new(lie)).await
}
