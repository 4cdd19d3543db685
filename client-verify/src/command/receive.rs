//! `keyglass receive`: every text once, each from a sender who was proven first. A text that several devices of the
//! home received is one text.
//!
//! The session, the erased one-time secret and the text enter the home in one durable step; only then is the message
//! acknowledged, and the text leaves the home when it was printed. What fails for good is acknowledged and reported;
//! what may succeed later stays in the mailbox.

use std::collections::BTreeMap;

use keyglass_account::api::{Id128, Message};
use serde_json::{Value, json};

use super::{
    context::Context,
    heads_gossip::Finding,
    lookup::usable,
    outcome::{Failure, Outcome},
    service::Service,
};
use crate::{
    http::printable,
    proven::{ProvenAccount, ProvenDevice},
    state::{OwnAccount, TextKey, UnreadText},
    verdict::Verdict,
    x3dh::{self, AcceptError, Accepted, FirstMessage, InitialMessage, OwnDevice, Party, Received},
};

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
    for mut account in accounts {
        for index in 0..account.devices.len() {
            inbox.collect(context, &mut account, index).await?;
        }
        texts.extend(account.unread.iter().cloned().map(|text| (account.label.clone(), text)));
    }
    Ok(report(&texts, inbox))
}

/// Forgets the texts of every account, which have been printed.
///
/// # Errors
/// [`Verdict::Failed`].
pub fn shown(context: &Context) -> Result<(), Failure> {
    for mut account in context.home.accounts()? {
        if !account.unread.is_empty() {
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

/// What becomes of a message in the mailbox.
enum Fate {
    /// It is done with.
    Acknowledge,
    /// It may be opened later.
    Keep,
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
                match self.open(context, account, index, &message).await? {
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
        Ok(())
    }

    async fn open(
        &mut self,
        context: &mut Context,
        account: &mut OwnAccount,
        index: usize,
        message: &Message,
    ) -> Result<Fate, Failure> {
        let initial = match InitialMessage::decode(message.body.as_bytes()) {
            Ok(initial) => initial,
            Err(error) => {
                let failure = Failure::new(Verdict::Undecryptable, "malformed", error);
                return Ok(self.problem(account, index, None, failure, Fate::Acknowledge));
            }
        };
        let from = printable(String::from_utf8_lossy(&initial.claimed_sender().label).into_owned());
        let Some(device) = account.devices.get(index) else {
            return Ok(Fate::Keep);
        };
        let (party, dh_key, secrets) = (account.party(device), device.dh_key(), device.secrets());
        let own = OwnDevice { party: &party, dh_secret: &dh_key, version: account.published.unwrap_or(0) };
        if x3dh::Memory::has_seen(&secrets, &x3dh::handshake_of(own, &initial)) {
            self.redelivered = self.redelivered.saturating_add(1);
            return Ok(Fate::Acknowledge);
        }
        let sender = match self.sender(context, &initial).await {
            Ok(sender) => sender,
            Err((failure, fate)) => return Ok(self.problem(account, index, Some(from), failure, fate)),
        };
        let received = match x3dh::accept(own, &sender, &secrets, &initial) {
            Ok(Accepted::Seen(_)) => return Ok(Fate::Acknowledge),
            Ok(Accepted::New(received)) => received,
            Err(error) => {
                return Ok(self.problem(account, index, Some(from), refusal(&error), Fate::Acknowledge));
            }
        };
        drop(secrets);
        match self.admit(context, account, index, &sender, &initial, &received).await {
            Ok(()) => Ok(Fate::Acknowledge),
            // Nothing was stored, so the message is as good as before.
            Err(failure) if failure.verdict == Verdict::Failed => Err(failure),
            Err(failure) => Ok(self.problem(account, index, Some(from), failure, Fate::Acknowledge)),
        }
    }

    /// Stores a message's session and text in one step, and then compares its sender's view of the log.
    async fn admit(
        &mut self,
        context: &mut Context,
        account: &mut OwnAccount,
        index: usize,
        sender: &ProvenDevice,
        initial: &InitialMessage,
        received: &Received,
    ) -> Result<(), Failure> {
        let content = FirstMessage::decode(&received.plaintext);
        let Some(device) = account.devices.get_mut(index) else {
            return Ok(());
        };
        device.absorb(received, initial.prekeys().signed);
        let device = device.id;
        if let Ok(content) = &content {
            let Party { label, device_id, .. } = sender.party();
            account.take_text(UnreadText {
                key: TextKey::new(label, &content.id, &content.text),
                devices: vec![device],
                from: label.clone(),
                from_device: *device_id,
                from_version: sender.version(),
                text: content.text.clone(),
            });
        }
        context.home.store_account(account)?;
        let content = content.map_err(|error| Failure::new(Verdict::Undecryptable, "payload", error))?;
        let from = printable(String::from_utf8_lossy(&sender.party().label).into_owned());
        for finding in context.examine(&from, &content).await? {
            let (account, from) = (account.label.clone(), from.clone());
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

    /// The sender's device, proven by the log. If it is not, says whether that may change.
    async fn sender(
        &mut self,
        context: &mut Context,
        initial: &InitialMessage,
    ) -> Result<ProvenDevice, (Failure, Fate)> {
        let claimed = initial.claimed_sender();
        let not_proven = |message: &str| Failure::new(Verdict::Refused, "sender_not_proven", message);
        let Ok(label) = std::str::from_utf8(&claimed.label) else {
            let failure = not_proven("the sender's label is not one that can be looked up");
            return Err((failure, Fate::Acknowledge));
        };
        if !self.senders.contains_key(label) {
            let account = prove_sender(context, label).await;
            self.senders.insert(label.to_owned(), account);
        }
        let account = match self.senders.get(label) {
            Some(Ok(account)) => account,
            Some(Err(failure)) if failure.reason == "unknown_label" => {
                return Err((failure.clone(), Fate::Acknowledge));
            }
            Some(Err(failure)) => return Err((failure.clone(), Fate::Keep)),
            None => return Err((not_proven("the sender was not looked up"), Fate::Keep)),
        };
        match account.device(claimed.device_id) {
            Some(device) if device.party() == claimed => Ok(device),
            // A device that was removed may have fallen into other hands, so that its older versions do not help it.
            _ => {
                let failure = not_proven("the sender's device is not in the sender's proven record");
                let newer = initial.claimed_version() > account.valid().version();
                Err((failure, if newer { Fate::Keep } else { Fate::Acknowledge }))
            }
        }
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

async fn prove_sender(context: &mut Context, label: &str) -> Result<ProvenAccount, Failure> {
    let mut resolved = context.resolve(label).await?;
    let account = usable(&mut resolved, false)?.clone();
    context.remember(label, &account)?;
    Ok(account)
}

/// Why a message was not opened, each cause under a name of its own.
fn refusal(error: &AcceptError) -> Failure {
    let reason = match error {
        AcceptError::Suite(_) => "suite",
        AcceptError::SenderNotProven => "sender_not_proven",
        AcceptError::WrongSecret => "home_damaged",
        AcceptError::SignedPreKeyUnknown(_) => "signed_prekey_unknown",
        AcceptError::OneTimePreKeyUnknown(_) => "one_time_prekey_unknown",
        AcceptError::OneTimePreKeyReused(_) => "one_time_prekey_reused",
        AcceptError::NotAuthentic => "not_authentic",
        _ => "handshake",
    };
    Failure::new(Verdict::Undecryptable, reason, error)
}

fn report(texts: &[(String, UnreadText)], inbox: Inbox) -> Outcome {
    let worst = inbox.problems.iter().map(|problem| problem.failure.verdict);
    // The log's misbehaviour outweighs everything; otherwise the first problem is the verdict, and none is none.
    let verdict = worst
        .clone()
        .find(|verdict| *verdict == Verdict::Misbehaving)
        .or_else(|| worst.clone().next())
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
        outcome.note(format!("  a message from {from}: {remark}, so that it counts for nothing"));
        remarks.push(json!({ "from": from, "remark": remark }));
    }
    if messages.is_empty() && problems.is_empty() {
        outcome.note("nothing has arrived");
    }
    outcome.field("messages", messages);
    outcome.field("problems", problems);
    outcome.field("remarks", remarks);
    outcome.field("redelivered", inbox.redelivered);
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
