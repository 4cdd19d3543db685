//! What one run came to, for a person and for a script.

use serde_json::{Value, json};

use super::{
    super::{
        outbox::Resent,
        outcome::{Failure, Outcome},
    },
    inbox::Inbox,
};
use crate::{http::printable, state::UnreadText, verdict::Verdict};

/// What is remarked on a text that was sent to an older record of the account.
pub(super) const OLDER_RECORD: &str =
    "it was sent to an older record of your account, so that devices added since did not get it";

/// What is remarked on a text that was sent to a record of the account that is not known here.
pub(super) const NEWER_RECORD: &str =
    "it was sent to a newer record of your account than this home knows: run monitor";

/// Whether a remark is about what a message says of the log.
fn is_about_the_log(remark: &str) -> bool {
    remark != OLDER_RECORD && remark != NEWER_RECORD
}

/// A message that was not opened, or that says of the log what does not fit.
pub(super) struct Problem {
    pub(super) account: String,
    pub(super) device: u32,
    pub(super) from: Option<String>,
    pub(super) failure: Failure,
    pub(super) about: About,
}

/// What a problem is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A message that was not opened and waits in the mailbox.
    Kept,
    /// A message that was not opened and is gone.
    Removed,
    /// A message that was opened, and its sender's view of the log.
    View,
    /// A head that a message before this run told of.
    Head,
}

impl Problem {
    pub(super) fn about_a_head(from: String, failure: Failure) -> Self {
        Self { account: String::new(), device: 0, from: Some(from), failure, about: About::Head }
    }
}

pub(super) fn report(texts: &[(String, UnreadText)], inbox: Inbox, resent: Resent) -> Outcome {
    let worst = inbox.problems.iter().map(|problem| problem.failure.verdict);
    // The log's misbehaviour outweighs everything; otherwise the first problem is the verdict, and none is none.
    let verdict = worst
        .clone()
        .find(|verdict| *verdict == Verdict::Misbehaving)
        .or_else(|| worst.clone().next())
        .or_else(|| resent.verdict())
        .unwrap_or(Verdict::Verified);
    let mut outcome = Outcome::new(verdict);
    let mut messages: Vec<Value> = Vec::new();
    for (account, text) in texts {
        let from = String::from_utf8_lossy(&text.from).into_owned();
        outcome.line(readable(&text.text));
        let devices: Vec<String> = text.devices.iter().map(ToString::to_string).collect();
        outcome.note(format!(
            "  from {}, device {}, proven in version {}; received by {account}, device {}",
            printable(from.clone()),
            text.from_device,
            text.from_version,
            devices.join(" and ")
        ));
        messages.push(json!({
            "account": account,
            "devices": text.devices,
            "from": from,
            "from_device": text.from_device,
            "from_version": text.from_version,
            "text": text.text,
        }));
    }
    let mut problems: Vec<Value> = Vec::new();
    for problem in inbox.problems {
        outcome.note(problem.line());
        problems.push(problem.into_json());
    }
    let mut remarks: Vec<Value> = Vec::new();
    for (from, remark) in inbox.remarks {
        let why = if is_about_the_log(remark) { ", so that it counts for nothing" } else { "" };
        outcome.note(format!("  a message from {from}: {remark}{why}"));
        remarks.push(json!({ "from": from, "remark": remark }));
    }
    if messages.is_empty() && problems.is_empty() && resent.is_empty() {
        outcome.note("nothing has arrived");
    }
    outcome.field("messages", messages);
    outcome.field("problems", problems);
    outcome.field("remarks", remarks);
    outcome.field("redelivered", inbox.redelivered);
    if let Some(failure) = inbox.receipts {
        let (name, message) = (failure.verdict.name(), &failure.message);
        outcome.note(format!("  whether what you wrote could be opened is not known: {name}: {message}"));
        outcome.field("receipts", json!({ "verdict": name, "reason": failure.reason }));
    }
    resent.describe(&mut outcome);
    outcome
}

/// A text as a terminal may show it: nobody who writes can move the cursor, or make lines that seem to be this program's.
fn readable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => "\n  | ".to_owned(),
        '\t' => c.to_string(),
        c if c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

impl Problem {
    /// For a person.
    fn line(&self) -> String {
        let Self { account, device, from, failure, about } = self;
        let (name, message) = (failure.verdict.name(), &failure.message);
        let who = from.as_deref().unwrap_or("an unreadable sender");
        let fate = match about {
            About::Kept => "it stays in the mailbox",
            About::Removed => "it was removed",
            About::View => {
                return format!(
                    "  ANOTHER VIEW OF THE LOG: a message from {who} to {account}, device {device}, was opened: {name}: \
                     {message}"
                );
            }
            About::Head => {
                return format!("  ANOTHER VIEW OF THE LOG: {who} told of a head before: {name}: {message}");
            }
        };
        format!(
            "  NOT OPENED: a message said to be from {who} to {account}, device {device}: {name}: {message}; {fate}"
        )
    }

    /// For a script.
    fn into_json(self) -> Value {
        let Self { account, device, from, failure, about } = self;
        let mut entry = failure.fields;
        if about != About::Head {
            entry.insert("account".into(), json!(account));
            entry.insert("device".into(), json!(device));
        }
        entry.insert("from".into(), json!(from));
        entry.insert("verdict".into(), json!(failure.verdict.name()));
        entry.insert("reason".into(), json!(failure.reason));
        entry.insert("message".into(), json!(failure.message));
        entry.insert("kept".into(), json!(about == About::Kept));
        entry.insert("opened".into(), json!(matches!(about, About::View | About::Head)));
        Value::Object(entry)
    }
}
