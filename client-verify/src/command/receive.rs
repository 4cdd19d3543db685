//! `keyglass receive`: every text once, each from a sender who was proven first. A text that several devices of the
//! home received is one text.
//!
//! The session, the erased one-time secret and the text enter the home in one durable step; only then is the message
//! acknowledged, and the text leaves the home when it was printed. What fails for good is acknowledged and reported;
//! what may succeed later stays in the mailbox.

use std::collections::BTreeMap;

use keyglass_account::api::{Base64, Id128, Message, SendReceipt, Target};
use serde_json::{Value, json};

use super::{
    context::{Context, now},
    heads_gossip::Finding,
    outbox::Resent,
    outcome::{Failure, Outcome},
    service::{Authorized, Service},
};
use crate::{
    http::{HttpError, printable},
    messaging::{self, Cause, Delivery, Fate, Opened, Opening, Receipt, Recipient, Refusal, Sender},
    proven::ProvenAccount,
    state::{OutgoingText, OwnAccount, Step, UnreadText},
    verdict::Verdict,
    x3dh::AcceptError,
};

/// What is remarked on a text that was sent to an older record of the account.
const OLDER_RECORD: &str =
    "it was sent to an older record of your account, so that devices added since did not get it";

/// What is remarked on a text that was sent to a record of the account that is not known here.
const NEWER_RECORD: &str = "it was sent to a newer record of your account than this home knows: run monitor";

/// Whether a remark is about what a message says of the log.
fn is_about_the_log(remark: &str) -> bool {
    remark != OLDER_RECORD && remark != NEWER_RECORD
}

/// At most so many lists of messages are fetched for a device in one run.
const MAX_ROUNDS: usize = 100;

/// Runs the command. The texts are in the outcome; [`shown`] removes them from the home once they were printed.
///
/// # Errors
/// [`Verdict::Usage`] if there is no account, and the verdicts of a request.
pub async fn run(context: &mut Context) -> Result<Outcome, Failure> {
    let accounts = context.home.accounts()?;
    let accounts: Vec<OwnAccount> =
        accounts.into_iter().filter(|account| account.published.is_some()).collect();
    if accounts.is_empty() {
        let message = "this home has no published account; make one with register";
        return Err(Failure::new(Verdict::Usage, "no_account", message));
    }
    let mut inbox = Inbox::default();
    for (from, failure) in context.settle().await? {
        inbox.problems.push(Problem::about_a_head(from, failure));
    }
    let mut texts = Vec::new();
    let mut resent = Resent::default();
    for mut account in accounts {
        for index in 0..account.devices.len() {
            inbox.collect(context, &mut account, index).await?;
        }
        context.resend(&mut account, &mut resent).await?;
        texts.extend(account.unread.iter().cloned().map(|text| (account.label.clone(), text)));
    }
    Ok(report(&texts, inbox, resent))
}

/// Forgets the texts of every account, which have been printed, and what was given up.
///
/// # Errors
/// [`Verdict::Failed`].
pub fn shown(context: &Context) -> Result<(), Failure> {
    for mut account in context.home.accounts()? {
        let given_up = |text: &OutgoingText| {
            text.devices.iter().any(|entry| matches!(entry.step, Step::Abandoned { .. }))
        };
        if !account.unread.is_empty() || account.outbox.iter().any(given_up) {
            account.mark_shown();
            context.home.store_account(&account)?;
        }
    }
    Ok(())
}

/// What one run met.
#[derive(Default)]
struct Inbox {
    /// What look-ups of senders came to, each done once.
    senders: BTreeMap<String, Result<ProvenAccount, Failure>>,
    problems: Vec<Problem>,
    remarks: Vec<(String, &'static str)>,
    redelivered: usize,
    /// Why it is not known what devices say of messages that were sent from here.
    receipts: Option<Failure>,
}

/// A message that was not opened, or that says of the log what does not fit.
struct Problem {
    account: String,
    device: u32,
    from: Option<String>,
    failure: Failure,
    about: About,
}

/// What a problem is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
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
    fn about_a_head(from: String, failure: Failure) -> Self {
        Self { account: String::new(), device: 0, from: Some(from), failure, about: About::Head }
    }
}

impl Inbox {
    /// Fetches and opens everything in one device's mailbox.
    async fn collect(
        &mut self,
        context: &mut Context,
        account: &mut OwnAccount,
        index: usize,
    ) -> Result<(), Failure> {
        let Some(device) = account.devices.get(index) else {
            return Ok(());
        };
        let server = context.server.clone();
        let service = Service::new(&server, account, device).authorize().await?;
        let mut kept: Vec<Id128> = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let messages = service.messages().await?;
            let mut done = Vec::new();
            for message in messages.messages {
                if kept.contains(&message.id) {
                    continue;
                }
                match self.open(context, &service, account, index, &message).await? {
                    Fate::Acknowledge => done.push(message.id),
                    Fate::Keep => kept.push(message.id),
                }
            }
            let progress = !done.is_empty();
            service.acknowledge(done).await?;
            if !messages.more || !progress {
                break;
            }
        }
        match context.take_receipts(&service, account).await {
            Err(failure) if failure.verdict != Verdict::Failed => self.receipts = Some(failure),
            taken => taken?,
        }
        Ok(())
    }

    async fn open(
        &mut self,
        context: &mut Context,
        service: &Authorized<'_>,
        account: &mut OwnAccount,
        index: usize,
        message: &Message,
    ) -> Result<Fate, Failure> {
        let pending = match messaging::open(account, index, message.body.as_bytes()) {
            Opening::Seen => {
                self.redelivered = self.redelivered.saturating_add(1);
                return Ok(Fate::Acknowledge);
            }
            Opening::Refused(refusal) => {
                let failure = refused(&refusal);
                return Ok(self.problem(account, index, None, failure, refusal.fate));
            }
            Opening::NeedsSender(pending) => pending,
        };
        let label = pending.label().to_owned();
        let from = printable(label.clone());
        if !self.senders.contains_key(&label) {
            let sender = context.prove_account(&label, false).await;
            self.senders.insert(label.clone(), sender);
        }
        let looked_up = self.senders.get(&label);
        let sender = match looked_up {
            Some(Ok(account)) => Sender::Proven(account),
            Some(Err(failure)) if failure.reason == "unknown_label" && context.must_know(message) => {
                Sender::Unknown
            }
            Some(Err(_)) | None => Sender::NotProven,
        };
        match pending.supply(account, sender) {
            Delivery::Seen => Ok(Fate::Acknowledge),
            Delivery::Opened(opened) => {
                context.home.store_account(account)?;
                self.compare(context, account, index, &from, &opened).await?;
                Ok(Fate::Acknowledge)
            }
            Delivery::Refused(refusal) => {
                context.home.store_account(account)?;
                // Why a sender could not be proven, the look-up knows best.
                let failure = match (refusal.cause, looked_up) {
                    (Cause::SenderNotProven | Cause::SenderUnknown, Some(Err(failure))) => failure.clone(),
                    _ => refused(&refusal),
                };
                let fate = if tell(service, &refusal).await { refusal.fate } else { Fate::Keep };
                Ok(self.problem(account, index, Some(from), failure, fate))
            }
        }
    }

    /// Compares the sender's view of the log with the one of this home.
    async fn compare(
        &mut self,
        context: &mut Context,
        account: &OwnAccount,
        index: usize,
        from: &str,
        opened: &Opened,
    ) -> Result<(), Failure> {
        let device = account.devices.get(index).map_or(0, |device| device.id);
        let findings = match context.examine(from, &opened.view).await {
            Ok(findings) => findings,
            // What was received is stored, so that the message is done with whatever comes of its view.
            Err(failure) if failure.verdict == Verdict::Failed => return Err(failure),
            Err(failure) => vec![Finding::Alarm(failure)],
        };
        match opened.record {
            Some(Recipient::Older { .. }) => self.remarks.push((from.to_owned(), OLDER_RECORD)),
            Some(Recipient::Newer { .. }) => self.remarks.push((from.to_owned(), NEWER_RECORD)),
            Some(Recipient::Same) | None => {}
        }
        for finding in findings {
            let (account, from) = (account.label.clone(), from.to_owned());
            match finding {
                Finding::Alarm(failure) => {
                    let from = Some(from);
                    self.problems.push(Problem { account, device, from, failure, about: About::View });
                }
                Finding::Remark(remark) => self.remarks.push((from, remark)),
            }
        }
        Ok(())
    }

    fn problem(
        &mut self,
        account: &OwnAccount,
        index: usize,
        from: Option<String>,
        failure: Failure,
        fate: Fate,
    ) -> Fate {
        let device = account.devices.get(index).map_or(0, |device| device.id);
        let about = if matches!(fate, Fate::Keep) { About::Kept } else { About::Removed };
        self.problems.push(Problem { account: account.label.clone(), device, from, failure, about });
        fate
    }
}

/// Tells the sender's device that its message could not be opened. Whether that is done with: without an answer it is to be
/// told again.
async fn tell(service: &Authorized<'_>, refusal: &Refusal) -> bool {
    let Some(Receipt { to, device, handshake, reason }) = &refusal.receipt else {
        return true;
    };
    let (Ok(label), Ok(handshake)) = (Base64::new(to.clone()), Base64::new(handshake.0.to_vec())) else {
        return true;
    };
    let target = Target { label, device: *device };
    match service.leave_receipt(&SendReceipt { target, handshake, reason: *reason }).await {
        Ok(()) => true,
        // Where the server takes no receipts, or none for this device, the message is done with all the same.
        Err(error) => matches!(error, HttpError::Declined(_)),
    }
}

/// Why a message was not opened, each cause under a name of its own: that of the receipt, where there is one.
fn refused(refusal: &Refusal) -> Failure {
    let (verdict, reason) = match (&refusal.receipt, &refusal.cause) {
        (Some(receipt), _) => (Verdict::Undecryptable, receipt.reason.name()),
        (None, Cause::Malformed(_)) => (Verdict::Undecryptable, "malformed"),
        (
            None,
            Cause::SenderLabel | Cause::SenderUnknown | Cause::SenderNotProven | Cause::DeviceNotProven,
        ) => (Verdict::Refused, "sender_not_proven"),
        (None, Cause::MemoryFull) => (Verdict::Undecryptable, "memory_full"),
        (None, Cause::Payload(_)) => (Verdict::Undecryptable, "payload"),
        (None, Cause::Handshake(AcceptError::WrongSecret)) => (Verdict::Undecryptable, "home_damaged"),
        (None, Cause::Handshake(_)) => (Verdict::Undecryptable, "handshake"),
    };
    Failure::new(verdict, reason, refusal.cause)
}

fn report(texts: &[(String, UnreadText)], inbox: Inbox, resent: Resent) -> Outcome {
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
        outcome.line(text.text.clone());
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

impl Context {
    /// Whether a log must know the sender of a message by now. A head that is accepted is at most `max_behind` old, and a
    /// server may answer from any such head.
    fn must_know(&self, message: &Message) -> bool {
        let lag = self.verifier.configuration().max_behind;
        message.received.saturating_add(lag) < now().0
    }
}
