//! What is in a device's mailbox: fetched, opened, acknowledged, and whose senders are told.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_account::api::{Base64, Id128, Message, SendReceipt, Target};

use super::{
    super::{
        context::{Context, now},
        heads_gossip::Finding,
        lookup::usable,
        outcome::Failure,
        resolve::Resolved,
        service::{Authorized, Service},
    },
    report::{About, NEWER_RECORD, OLDER_RECORD, Problem},
};
use crate::{
    http::{HttpError, printable},
    messaging::{self, Cause, Delivery, Fate, Opening, Receipt, Recipient, Refusal, Sender},
    state::OwnAccount,
    verdict::Verdict,
    x3dh::AcceptError,
};

/// At most so many lists of messages are fetched for a device in one run.
const MAX_ROUNDS: usize = 100;

/// What one run met.
#[derive(Default)]
pub(super) struct Inbox {
    /// What look-ups of those came to whom messages name as their senders, each done once.
    senders: BTreeMap<String, Result<Resolved, Failure>>,
    /// Those of them from whom a message was opened.
    met: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) remarks: Vec<(String, &'static str)>,
    pub(super) redelivered: usize,
    /// Why it is not known what devices say of messages that were sent from here.
    pub(super) receipts: Option<Failure>,
}

impl Inbox {
    /// Fetches and opens everything in one device's mailbox.
    pub(super) async fn collect(
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
        let mut held: Vec<Held> = Vec::new();
        let mut kept: BTreeSet<Id128> = BTreeSet::new();
        let mut last_kept = None;
        for _ in 0..MAX_ROUNDS {
            let page = service.messages(last_kept).await?;
            let mut done = Vec::new();
            let mut progress = false;
            for message in page.messages {
                let id = message.id;
                // A server that does not know where to go on begins at the oldest again.
                if kept.contains(&id) {
                    continue;
                }
                progress = true;
                match self.open(context, account, index, &message).await? {
                    Opened::Done => {
                        done.push(id);
                        continue;
                    }
                    Opened::Kept => {}
                    Opened::Held(refusal, from, failure) => {
                        held.push(Held { message, refusal, from, failure });
                    }
                }
                kept.insert(id);
                last_kept = Some(id);
            }
            service.acknowledge(done).await?;
            if !page.more || !progress {
                break;
            }
        }
        self.tell_senders(&service, account, index, held).await?;
        match context.take_receipts(&service, account).await {
            Err(failure) if failure.verdict != Verdict::Failed => self.receipts = Some(failure),
            taken => taken?,
        }
        Ok(())
    }

    async fn open(
        &mut self,
        context: &mut Context,
        account: &mut OwnAccount,
        index: usize,
        message: &Message,
    ) -> Result<Opened, Failure> {
        let pending = match messaging::open(account, index, message.body.as_bytes()) {
            Opening::Seen => {
                self.redelivered = self.redelivered.saturating_add(1);
                return Ok(Opened::Done);
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
            let sender = resolve_usable(context, &label).await;
            self.senders.insert(label.clone(), sender);
        }
        let looked_up = self.senders.get(&label);
        let is_current = context.must_know(message);
        let sender = match looked_up {
            Some(Ok(resolved)) => Sender::Proven { account: &resolved.account, is_current },
            Some(Err(failure)) if failure.reason == "unknown_label" && is_current => Sender::Unknown,
            Some(Err(_)) | None => Sender::NotProven,
        };
        match pending.supply(account, sender) {
            Delivery::Seen => Ok(Opened::Done),
            Delivery::Opened(opened) => {
                context.home.store_account(account)?;
                if let Some(Ok(resolved)) = looked_up
                    && self.met.insert(label.clone())
                {
                    context.remember_changes(&label, resolved)?;
                }
                self.compare(context, account, index, &from, &opened).await?;
                Ok(Opened::Done)
            }
            Delivery::Refused(refusal) => {
                context.home.store_account(account)?;
                // Why a sender could not be proven, the look-up knows best.
                let failure = match (refusal.cause, looked_up) {
                    (Cause::SenderNotProven | Cause::SenderUnknown, Some(Err(failure))) => failure.clone(),
                    _ => refused(&refusal),
                };
                if refusal.receipt.is_some() {
                    return Ok(Opened::Held(Box::new(refusal), from, failure));
                }
                Ok(self.problem(account, index, Some(from), failure, refusal.fate))
            }
        }
    }

    /// Tells the devices that sent them of messages that could not be opened, now that all others were: one that was opened
    /// meanwhile came in an altered copy, too.
    async fn tell_senders(
        &mut self,
        service: &Authorized<'_>,
        account: &OwnAccount,
        index: usize,
        held: Vec<Held>,
    ) -> Result<(), Failure> {
        let mut done = Vec::new();
        for Held { message, refusal, from, failure } in held {
            if messaging::is_copy(account, index, message.body.as_bytes()) {
                self.redelivered = self.redelivered.saturating_add(1);
                done.push(message.id);
                continue;
            }
            let fate = if tell(service, &refusal).await { refusal.fate } else { Fate::Keep };
            if matches!(self.problem(account, index, Some(from), failure, fate), Opened::Done) {
                done.push(message.id);
            }
        }
        service.acknowledge(done).await
    }

    /// Forgets those whom messages named that were not opened: anybody can name anybody, and whoever is remembered is watched.
    pub(super) fn forget_strangers(&self, context: &mut Context) -> Result<(), Failure> {
        for label in self.senders.keys().filter(|label| !self.met.contains(*label)) {
            let is_known = context.contacts.by_label.contains_key(label)
                || context.home.account(label)?.is_some()
                || context.state.label(label.as_bytes()).is_none();
            if !is_known {
                context.forget_monitored(label.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Compares the sender's view of the log with the one of this home.
    async fn compare(
        &mut self,
        context: &mut Context,
        account: &OwnAccount,
        index: usize,
        from: &str,
        opened: &messaging::Opened,
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
    ) -> Opened {
        let device = account.devices.get(index).map_or(0, |device| device.id);
        let (about, opened) = match fate {
            Fate::Keep => (About::Kept, Opened::Kept),
            Fate::Acknowledge => (About::Removed, Opened::Done),
        };
        self.problems.push(Problem { account: account.label.clone(), device, from, failure, about });
        opened
    }
}

/// What became of a message.
enum Opened {
    /// It is to be acknowledged.
    Done,
    /// It stays in the mailbox.
    Kept,
    /// It was not opened, and its sender is to be told, unless it turns out to be a copy: whom it says it is from, and why.
    Held(Box<Refusal>, String, Failure),
}

/// A message that was not opened and whose sender is to be told.
struct Held {
    message: Message,
    refusal: Box<Refusal>,
    from: String,
    failure: Failure,
}

/// Looks up whom a message names as its sender. Nobody is remembered for being named.
async fn resolve_usable(context: &mut Context, label: &str) -> Result<Resolved, Failure> {
    let mut resolved = context.resolve(label).await?;
    usable(&mut resolved, false)?;
    Ok(resolved)
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

/// Why a message was not opened, each cause under a name of its own: that of the receipt, where the handshake failed.
fn refused(refusal: &Refusal) -> Failure {
    let (verdict, reason) = match (&refusal.cause, &refusal.receipt) {
        (Cause::Malformed(_), _) => (Verdict::Undecryptable, "malformed"),
        (Cause::SenderLabel | Cause::SenderUnknown | Cause::SenderNotProven | Cause::DeviceNotProven, _) => {
            (Verdict::Refused, "sender_not_proven")
        }
        (Cause::MemoryFull, _) => (Verdict::Undecryptable, "memory_full"),
        (Cause::Payload(_), _) => (Verdict::Undecryptable, "payload"),
        (Cause::Handshake(_), Some(receipt)) => (Verdict::Undecryptable, receipt.reason.name()),
        (Cause::Handshake(AcceptError::WrongSecret), None) => (Verdict::Undecryptable, "home_damaged"),
        (Cause::Handshake(_), None) => (Verdict::Undecryptable, "handshake"),
    };
    Failure::new(verdict, reason, refusal.cause)
}

impl Context {
    /// Whether a log must know the sender of a message by now. A head that is accepted is at most `max_behind` old, and a
    /// server may answer from any such head.
    fn must_know(&self, message: &Message) -> bool {
        let lag = self.verifier.configuration().max_behind;
        message.received.saturating_add(lag) < now().0
    }
}
