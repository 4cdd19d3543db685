//! Texts that were written here and have not arrived: what devices say that could not open them, and trying again.

use std::collections::{BTreeMap, BTreeSet};

use keyglass_account::{receipt::FailureReason, record::AccountRecord};
use serde_json::{Value, json};

use super::{
    context::{Context, now},
    fan_out::{Recipient, deliver},
    outcome::{Failure, Outcome},
    service::{Authorized, Service},
};
use crate::{
    http::printable,
    messaging::{self, ReceiptEffect},
    state::{OwnAccount, Step},
    verdict::Verdict,
    x3dh::HandshakeId,
};

/// At most so many lists of receipts are fetched for a device in one run.
const MAX_ROUNDS: usize = 10;

/// What one run did for texts that had not arrived.
#[derive(Default)]
pub(super) struct Resent {
    entries: Vec<Entry>,
}

struct Entry {
    from: String,
    to: String,
    device: u32,
    what: What,
}

enum What {
    /// The device could not open it, and it was encrypted and sent again.
    Again(Option<FailureReason>),
    /// It had waited here, and was sent.
    Sent,
    /// It waits.
    Waits(Failure),
    /// It will not be sent again.
    GivenUp(Option<FailureReason>),
}

impl Context {
    /// Takes in what devices say of messages that the device of `service` sent.
    ///
    /// # Errors
    /// The verdicts of a request; [`Verdict::Failed`].
    pub(super) async fn take_receipts(
        &mut self,
        service: &Authorized<'_>,
        account: &mut OwnAccount,
    ) -> Result<(), Failure> {
        for _ in 0..MAX_ROUNDS {
            let list = service.receipts().await?;
            let mut changed = false;
            let mut ids = Vec::new();
            for receipt in list.receipts {
                ids.push(receipt.id);
                // A reason that a later version knows says at least that the message was not opened.
                let reason = FailureReason::from_name(&receipt.reason).unwrap_or(FailureReason::NotAuthentic);
                let Ok(handshake) = receipt.handshake.as_bytes().try_into() else { continue };
                let (from, device) = (receipt.from.label.as_bytes(), receipt.from.device);
                let effect = messaging::take_receipt(account, from, device, &HandshakeId(handshake), reason);
                changed |= effect != ReceiptEffect::Nothing;
            }
            if changed {
                self.home.store_account(account)?;
            }
            let progress = !ids.is_empty();
            service.acknowledge_receipts(ids).await?;
            if !list.more || !progress {
                break;
            }
        }
        Ok(())
    }

    /// Sends what waits, and encrypts anew what devices could not open.
    ///
    /// # Errors
    /// [`Verdict::Failed`]. What else went wrong is in `resent`.
    pub(super) async fn resend(
        &mut self,
        account: &mut OwnAccount,
        resent: &mut Resent,
    ) -> Result<(), Failure> {
        messaging::forget_settled(account, now());
        let from: BTreeSet<u32> = account.outbox.iter().map(|text| text.from_device).collect();
        for device in from {
            let work = |account: &OwnAccount| {
                account.outbox.iter().any(|text| {
                    text.from_device == device
                        && text
                            .devices
                            .iter()
                            .any(|entry| matches!(entry.step, Step::Unsent { .. } | Step::Due { .. }))
                })
            };
            if work(account) {
                self.resend_from(account, device, resent).await?;
            }
        }
        for text in &account.outbox {
            for entry in &text.devices {
                if let Step::Abandoned { reason } = entry.step {
                    let (from, to) = (account.label.clone(), text.to.clone());
                    let what = What::GivenUp(reason);
                    resent.entries.push(Entry { from, to, device: entry.device, what });
                }
            }
        }
        self.home.store_account(account)?;
        Ok(())
    }

    async fn resend_from(
        &mut self,
        account: &mut OwnAccount,
        device: u32,
        resent: &mut Resent,
    ) -> Result<(), Failure> {
        let Some(index) = account.devices.iter().position(|own| own.id == device) else {
            return Ok(());
        };
        let server = self.server.clone();
        let service = match account.devices.get(index) {
            Some(own) => Service::new(&server, account, own).authorize().await,
            None => return Ok(()),
        };
        let service = match service {
            Ok(service) => service,
            Err(failure) => {
                resent.all_wait(account, device, &failure);
                return Ok(());
            }
        };
        for post in messaging::unsent(account) {
            let ours = |text: &crate::state::OutgoingText| text.id == post.text && text.from_device == device;
            if !account.outbox.iter().any(ours) {
                continue;
            }
            let what = match deliver(&service, account, &post).await {
                Ok(()) => What::Sent,
                Err(failure) => What::Waits(failure),
            };
            self.home.store_account(account)?;
            let (from, to) = (account.label.clone(), post.to.clone());
            resent.entries.push(Entry { from, to, device: post.device, what });
        }
        self.retry(&service, account, index, resent).await
    }

    /// Makes sure that the log's record of an own account has the identity and the device that this home speaks for.
    ///
    /// # Errors
    /// [`Verdict::Unexpected`] if it has others; the verdicts of a look-up.
    async fn check_own_keys(&mut self, account: &OwnAccount, index: usize) -> Result<(), Failure> {
        let label = &account.label;
        let newest = self.search(label.as_bytes(), None).await?.value;
        let record = AccountRecord::decode(newest.bytes()).ok();
        let is_known = record.zip(account.devices.get(index)).is_some_and(|(record, own)| {
            let device = record.device(own.id);
            record.identity_key == account.identity_key()
                && device.is_some_and(|device| device.dh_key == own.dh_key().public_key())
        });
        if is_known {
            return Ok(());
        }
        let message = format!(
            "version {} of your own account {label} has other keys than this home, so that nobody can open what it writes: \
             run `keyglass monitor`",
            newest.version()
        );
        Err(Failure::new(Verdict::Unexpected, "own_keys_changed", message).with("version", newest.version()))
    }

    /// Starts another handshake for each text that a device could not open.
    async fn retry(
        &mut self,
        service: &Authorized<'_>,
        account: &mut OwnAccount,
        index: usize,
        resent: &mut Resent,
    ) -> Result<(), Failure> {
        let device = account.devices.get(index).map_or(0, |own| own.id);
        let due: Vec<([u8; 16], String, String, Vec<u32>)> = messaging::due(account)
            .into_iter()
            .filter(|(text, _)| text.from_device == device)
            .map(|(text, devices)| (text.id, text.to.clone(), text.text.clone(), devices))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut reasons = BTreeMap::new();
        for text in &account.outbox {
            for entry in &text.devices {
                if let Step::Due { reason } = entry.step {
                    reasons.insert((text.id, entry.device), reason);
                }
            }
        }
        if reasons.values().any(|reason| *reason == Some(FailureReason::KeyNotProven))
            && let Err(failure) = self.check_own_keys(account, index).await
        {
            // Whatever is encrypted under keys that nobody knows any more, nobody opens.
            if failure.verdict == Verdict::Failed {
                return Err(failure);
            }
            resent.all_wait(account, device, &failure);
            return Ok(());
        }
        let mut recipients = Vec::new();
        for (id, label, text, devices) in due {
            match self.prove_account(&label, false).await {
                Ok(proven) => {
                    let mut recipient = Recipient {
                        label,
                        account: proven,
                        id,
                        text,
                        to_all: false,
                        devices,
                        results: BTreeMap::new(),
                        accept_change: false,
                    };
                    recipient.plan(account);
                    recipients.push(recipient);
                }
                Err(failure) if failure.verdict == Verdict::Failed => return Err(failure),
                Err(failure) => {
                    for device in devices {
                        let (from, to) = (account.label.clone(), label.clone());
                        resent.entries.push(Entry { from, to, device, what: What::Waits(failure.clone()) });
                    }
                }
            }
        }
        let sent = match self.view().await {
            Ok(view) => self.fan_out(service, account, index, &mut recipients, &view).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = sent {
            if failure.verdict == Verdict::Failed {
                return Err(failure);
            }
            resent.all_wait(account, device, &failure);
        }
        for recipient in recipients {
            for (device, result) in recipient.results {
                let reason = reasons.get(&(recipient.id, device)).copied().flatten();
                let what = match result {
                    Ok(_) => What::Again(reason),
                    Err(failure) => What::Waits(failure),
                };
                let (from, to) = (account.label.clone(), recipient.label.clone());
                resent.entries.push(Entry { from, to, device, what });
            }
        }
        Ok(())
    }
}

impl Resent {
    fn all_wait(&mut self, account: &OwnAccount, device: u32, failure: &Failure) {
        for text in account.outbox.iter().filter(|text| text.from_device == device) {
            for entry in &text.devices {
                if matches!(entry.step, Step::Unsent { .. } | Step::Due { .. }) {
                    let (from, to) = (account.label.clone(), text.to.clone());
                    let what = What::Waits(failure.clone());
                    self.entries.push(Entry { from, to, device: entry.device, what });
                }
            }
        }
    }

    /// The verdict, if it is not that all is well.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let bad = |entry: &Entry| matches!(entry.what, What::Waits(_) | What::GivenUp(_));
        self.entries.iter().any(bad).then_some(Verdict::Partial)
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds what there is to say.
    pub(super) fn describe(self, outcome: &mut Outcome) {
        let mut list: Vec<Value> = Vec::new();
        for Entry { from, to, device, what } in self.entries {
            let shown = printable(to.clone());
            let because = |reason: Option<FailureReason>| {
                reason.map_or_else(String::new, |reason| format!(" ({reason})"))
            };
            let (state, line) = match &what {
                What::Again(reason) => (
                    "sent_again",
                    format!("could not open what {from} wrote{}, and was sent it anew", because(*reason)),
                ),
                What::Sent => ("sent", format!("was sent what {from} wrote and what had waited here")),
                What::Waits(failure) => (
                    "waits",
                    format!(
                        "HAS NOT what {from} wrote: {}: {}; it waits here",
                        failure.verdict.name(),
                        failure.message
                    ),
                ),
                What::GivenUp(reason) => (
                    "given_up",
                    format!("COULD NOT OPEN what {from} wrote{}, and it is not sent again", because(*reason)),
                ),
            };
            outcome.note(format!("  {shown}, device {device}: {line}"));
            let mut entry = json!({ "from": from, "to": to, "device": device, "state": state });
            let reason = match &what {
                What::Again(reason) | What::GivenUp(reason) => reason.map(FailureReason::name),
                What::Waits(failure) => Some(failure.reason),
                What::Sent => None,
            };
            if let (Some(object), Some(reason)) = (entry.as_object_mut(), reason) {
                object.insert("reason".into(), json!(reason));
            }
            list.push(entry);
        }
        outcome.field("resent", list);
    }
}
