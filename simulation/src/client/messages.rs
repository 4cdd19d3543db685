//! Texts: written, sent, received and shown, by the real messaging steps.

use std::collections::BTreeMap;

use keyglass_account::{
    api::Id128,
    device::Suite,
    prekey::{KemPreKey, PreKeyBundle},
    receipt::FailureReason,
};
use keyglass_client_verify::{
    messaging::{
        self, Answer, Cause, Delivery, Fate, Opened, Opening, Randomness, Receipt, Sender, StartError,
        WrittenText,
    },
    proven::{BundleError, ProvenAccount, Unverified},
    state::{OwnDeviceState, StoredSession},
    verdict::Verdict,
    x3dh::{AcceptError, HandshakeId, InitialMessage},
};
use keyglass_crypto::hash::sha256;

use super::{Client, Finding, Mutant, Step, Stop};
use crate::{
    env::{Env, NoAnswer},
    faults::Fault,
    oracle::{Handshake, PreKeyName},
};

/// A text that a person wants to arrive.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its id, which no other has.
    pub id: [u8; 16],
    /// To whom.
    pub to: String,
    /// The text, which no other has.
    pub text: String,
}

/// What both sides of a session have in common, as it is stored.
fn handshake_of(session: &StoredSession, text: [u8; 16]) -> Handshake {
    let keys = [&session.root_key, &session.initiator_chain, &session.responder_chain];
    Handshake {
        text,
        secrets: keys.iter().map(|key| *key.expose()).collect(),
        associated_data: session.associated_data.clone(),
    }
}

/// What becomes of a message.
enum Become {
    /// It is acknowledged.
    Done,
    /// It stays in the mailbox.
    Kept,
    /// It was not opened, and its sender is to be told, unless it turns out to be a copy.
    Held(Receipt, Finding),
}

impl From<Fate> for Become {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Acknowledge => Self::Done,
            Fate::Keep => Self::Kept,
        }
    }
}

impl Client {
    /// The command `send`: a handshake with every device of the recipient that has none for this text yet.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn write(&mut self, env: &mut Env, written: &Written) -> Step<()> {
        self.account()?;
        // Who may have other keys in the log than here would write in a name that nobody knows any more.
        self.finish_pending(env)?;
        let account = self.contact(env, &written.to)?;
        let view = self.view(env)?;
        let text = WrittenText { id: written.id, text: &written.text, view: &view, now: self.now() };
        for device in messaging::plan(self.account_mut(), text.id, &account) {
            self.start(env, &account, device, &text)?;
        }
        self.store_account(&[])?;
        self.post(env)
    }

    /// Starts the handshakes that are due because a device could not open the ones before, and posts what waits.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn retry(&mut self, env: &mut Env) -> Step<()> {
        self.account()?;
        let due: Vec<Written> = messaging::due(self.account()?)
            .into_iter()
            .map(|(text, _)| Written { id: text.id, to: text.to.clone(), text: text.text.clone() })
            .collect();
        for written in due {
            match self.write(env, &written) {
                Err(Stop::Failed(finding)) => self.findings.push(finding),
                other => other?,
            }
        }
        self.post(env)
    }

    fn start(
        &mut self,
        env: &mut Env,
        account: &ProvenAccount,
        device: u32,
        text: &WrittenText<'_>,
    ) -> Step<()> {
        let to = String::from_utf8(account.label().to_vec()).unwrap();
        let own = self.account()?.devices.first().map_or(0, |device| device.id);
        let request = env.dice.bytes();
        let fetched = self.token(env, own).and_then(|token| env.fetch(&token, (&to, device), request));
        let bundle = match fetched {
            Ok(bundle) => bundle,
            Err(error) => {
                let (verdict, why) = match error {
                    NoAnswer::Unreachable => (Verdict::Unreachable, ""),
                    NoAnswer::Declined(problem) => (Verdict::Declined, problem.uri()),
                };
                self.findings.push(Finding::new(verdict, format!("no_bundle {why}")));
                return Ok(());
            }
        };
        let randomness = Randomness {
            ephemeral: env.dice.secret(),
            encapsulation: env.dice.secret(),
            message: env.dice.bytes(),
        };
        let unverified = Unverified::from_wire(bundle.clone());
        match messaging::start(self.account_mut(), 0, account, device, unverified, text, randomness) {
            Ok(_) => self.check_start(env, account, device, &bundle, text.id),
            Err(error) => {
                let verdict = match &error {
                    StartError::Bundle(BundleError::IdentityNotAccepted) => Verdict::Changed,
                    StartError::Bundle(_) | StartError::Initiate(_) => Verdict::Refused,
                    _ => Verdict::Failed,
                };
                self.findings.push(Finding::new(verdict, format!("bundle: {error}")).about(&to));
            }
        }
        Ok(())
    }

    /// Every key that a handshake is started with is one that the owner made.
    fn check_start(
        &mut self,
        env: &mut Env,
        account: &ProvenAccount,
        device: u32,
        bundle: &PreKeyBundle,
        text: [u8; 16],
    ) {
        let label = String::from_utf8(account.label().to_vec()).unwrap();
        let Some(session) = self.account_mut().devices.first().and_then(|own| own.sessions.last()) else {
            return;
        };
        let signed = PreKeyName::Signed(label.clone(), device, bundle.signed_prekey.id);
        let one_time = bundle.one_time.as_ref().map(|entry| {
            let name = PreKeyName::OneTime(label.clone(), device, entry.header.batch, entry.prekey.id);
            env.oracle.is_made(&name, &entry.prekey.key.to_bytes())
        });
        let made = env.oracle.is_made(&signed, &session.ratchet_key);
        let published = env.oracle.has_device(&label, device, &session.peer_dh_key);
        let kem = bundle.kem.as_ref().map(|kem| {
            let name = match kem {
                KemPreKey::OneTime(entry) => {
                    PreKeyName::Kem(label.clone(), device, entry.header.batch, entry.prekey.id)
                }
                KemPreKey::LastResort(prekey) => PreKeyName::LastResort(label.clone(), device, prekey.id),
            };
            env.oracle.is_made(&name, &sha256(&[kem.key().as_bytes()]))
        });
        let entry = account.valid().record().device(device);
        let announced = entry.is_some_and(|entry| entry.accepts(Suite::PQXDH));
        if announced != (session.suite == Suite::PQXDH.0) {
            env.oracle.violated(format!("the handshake with {label} is weaker than its device announces"));
        }
        let kem_good = session.suite != Suite::PQXDH.0 || kem == Some(true);
        let (id, handshake) = (session.handshake, handshake_of(session, text));
        env.oracle.handshakes.insert(id, handshake);
        if !made || one_time == Some(false) || !published || !kem_good {
            env.oracle
                .violated(format!("a text to {label} was encrypted to a key that {label} never published"));
        }
    }

    fn post(&mut self, env: &mut Env) -> Step<()> {
        let posts = messaging::unsent(self.account()?);
        for post in posts {
            let own = self
                .account()?
                .outbox
                .iter()
                .find(|text| text.id == post.text)
                .map_or(0, |text| text.from_device);
            let sent = self.token(env, own).and_then(|token| {
                env.send(&token, (&post.to, post.device), Id128(post.id), &post.body, post.text)
            });
            let answer = match sent {
                Ok(()) => Answer::Taken,
                Err(NoAnswer::Unreachable) => Answer::Later,
                Err(NoAnswer::Declined(problem)) => Answer::of(problem),
            };
            if answer == Answer::Later {
                self.findings.push(Finding::new(Verdict::Unreachable, "waits"));
            }
            messaging::posted(self.account_mut(), &post, answer);
        }
        self.store_account(&[])
    }

    /// The command `receive`: opens what is in the mailboxes of all devices, then sends what waits.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn receive(&mut self, env: &mut Env) -> Step<()> {
        self.account()?;
        // What others address to keys that are published and not yet taken over could not be opened.
        self.finish_pending(env)?;
        self.settle(env)?;
        let mut senders = BTreeMap::new();
        for index in 0..self.account()?.devices.len() {
            let collected = self.collect(env, index, &mut senders);
            match collected {
                Err(Stop::Failed(finding)) => self.findings.push(finding),
                other => other?,
            }
        }
        self.show(env)?;
        self.retry(env)
    }

    fn collect(
        &mut self,
        env: &mut Env,
        index: usize,
        senders: &mut BTreeMap<String, Step<ProvenAccount>>,
    ) -> Step<()> {
        let device = self.account()?.devices[index].id;
        let unreachable = |_| Stop::Failed(Finding::new(Verdict::Unreachable, "no_messages"));
        let token = self.token(env, device).map_err(unreachable)?;
        let messages = env.messages(&token).map_err(unreachable)?;
        if self.mutant == Some(Mutant::AcknowledgesEarly) {
            let ids: Vec<Id128> = messages.iter().map(|(id, _)| *id).collect();
            env.acknowledge(&token, &ids).map_err(unreachable)?;
        }
        let (mut done, mut held) = (Vec::new(), Vec::new());
        for (id, body) in messages {
            match self.open(env, index, &body, senders)? {
                Become::Done => done.push(id),
                Become::Kept => {}
                Become::Held(receipt, finding) => held.push((id, body, receipt, finding)),
            }
        }
        for (id, body, receipt, finding) in held {
            // What was opened meanwhile came in an altered copy, too.
            if messaging::is_copy(self.account()?, index, &body) {
                self.ignored += 1;
                done.push(id);
                continue;
            }
            self.findings.push(finding);
            // Without an answer, its sender is told again.
            if !matches!(env.leave_receipt(&token, &receipt), Err(NoAnswer::Unreachable)) {
                done.push(id);
            }
        }
        env.acknowledge(&token, &done).map_err(unreachable)?;
        self.take_receipts(env, &token)
    }

    /// Takes in what devices say of messages that were sent from here.
    fn take_receipts(&mut self, env: &mut Env, token: &str) -> Step<()> {
        let unreachable = |_| Stop::Failed(Finding::new(Verdict::Unreachable, "no_receipts"));
        let label = self.label.clone();
        let mut ids = Vec::new();
        for receipt in env.receipts(token).map_err(unreachable)? {
            ids.push(receipt.id);
            let handshake = HandshakeId(receipt.handshake.as_bytes().try_into().unwrap());
            let reason = FailureReason::from_name(&receipt.reason).unwrap();
            let (from, device) = (receipt.from.label.as_bytes(), receipt.from.device);
            let taken = messaging::take_receipt(self.account_mut(), from, device, &handshake, reason);
            let from = String::from_utf8_lossy(from);
            env.note(format!("      {label} hears from {from}/{device}: {reason}, {taken:?}"));
            if taken == messaging::ReceiptEffect::Abandoned {
                env.given_up(&handshake.0);
            }
        }
        if !ids.is_empty() {
            self.store_account(&[])?;
            env.acknowledge_receipts(token, &ids).map_err(unreachable)?;
        }
        Ok(())
    }

    fn open(
        &mut self,
        env: &mut Env,
        index: usize,
        body: &[u8],
        senders: &mut BTreeMap<String, Step<ProvenAccount>>,
    ) -> Step<Become> {
        if self.mutant == Some(Mutant::ForgetsHandshakes) {
            forget(&mut self.account_mut().devices[index]);
        }
        let pending = match messaging::open(self.account()?, index, body) {
            Opening::Seen => {
                self.ignored += 1;
                return Ok(Become::Done);
            }
            Opening::Refused(refusal) => {
                self.findings.push(refused(&refusal.cause));
                return Ok(refusal.fate.into());
            }
            Opening::NeedsSender(pending) => pending,
        };
        let label = pending.label().to_owned();
        if !senders.contains_key(&label) {
            let sender = match self.contact(env, &label) {
                Err(Stop::Crashed) => return Err(Stop::Crashed),
                other => other,
            };
            senders.insert(label.clone(), sender);
        }
        let sender = match &senders[&label] {
            Ok(account) => Sender::Proven { account, is_current: true },
            Err(Stop::Failed(finding)) if finding.verdict == Verdict::NotFound => Sender::Unknown,
            Err(_) => Sender::NotProven,
        };
        match pending.supply(self.account_mut(), sender) {
            Delivery::Seen => {
                self.ignored += 1;
                Ok(Become::Done)
            }
            Delivery::Opened(opened) => {
                self.opened(env, index, body, &opened)?;
                Ok(Become::Done)
            }
            Delivery::Refused(refusal) => {
                self.store_account(&[])?;
                let finding = match (refusal.cause, &senders[&label]) {
                    (Cause::SenderNotProven | Cause::SenderUnknown, Err(Stop::Failed(finding))) => {
                        finding.clone()
                    }
                    (cause, _) => refused(&cause),
                };
                let finding = finding.about(&label);
                if let Some(receipt) = refusal.receipt {
                    return Ok(Become::Held(receipt, finding));
                }
                self.findings.push(finding);
                Ok(refusal.fate.into())
            }
        }
    }

    /// Stores what was opened, and checks it against what is true.
    fn opened(&mut self, env: &mut Env, index: usize, body: &[u8], opened: &Opened) -> Step<()> {
        let device = &self.account_mut().devices[index];
        let Some(session) = device.sessions.last() else { return Ok(()) };
        let newest = device.signed_prekeys.last().map_or(0, |key| key.id);
        if InitialMessage::decode(body).is_ok_and(|message| message.prekeys().signed < newest) {
            env.fault(Fault::PreKeyRotated);
        }
        let (handshake, id) = (session.handshake, device.id);
        let derived = handshake_of(session, [0; 16]);
        let one_time = InitialMessage::decode(body).ok().and_then(|message| message.prekeys().one_time);
        let mut taken = vec![sha256(&[b"handshake", &handshake])];
        taken.extend(one_time.map(|key| {
            sha256(&[b"one-time", &id.to_be_bytes(), &key.batch.to_be_bytes(), &key.id.to_be_bytes()])
        }));
        let kem = InitialMessage::decode(body).ok().and_then(|message| message.prekeys().kem?.one_time());
        taken.extend(kem.map(|key| {
            sha256(&[b"one-time KEM", &id.to_be_bytes(), &key.batch.to_be_bytes(), &key.id.to_be_bytes()])
        }));
        if taken.iter().any(|taken| self.disk.image().taken.contains(taken)) {
            env.oracle.violated("a handshake or a one-time key was accepted twice");
        }
        match env.oracle.handshakes.get(&handshake) {
            None => env.oracle.violated("a handshake was accepted that nobody started"),
            Some(started)
                if started.secrets != derived.secrets
                    || started.associated_data != derived.associated_data =>
            {
                env.oracle.violated("the two sides of a handshake derived different secrets");
            }
            Some(_) => {}
        }
        let from = String::from_utf8_lossy(&opened.sender.party().label).into_owned();
        if self.mutant == Some(Mutant::ErasesLate) {
            self.show_now(env)?;
        }
        self.store_account(&taken)?;
        self.examine(env, &from, &opened.view)
    }

    /// Shows texts without having stored that they came.
    fn show_now(&mut self, env: &mut Env) -> Step<()> {
        let taken = self.texts(env);
        self.disk.write_with("screen", Vec::new(), taken)?;
        self.account_mut().mark_shown();
        Ok(())
    }

    /// Shows what has come, each text once.
    fn show(&mut self, env: &mut Env) -> Step<()> {
        if self.account()?.unread.is_empty() {
            return Ok(());
        }
        let taken = self.texts(env);
        self.account_mut().mark_shown();
        self.store_account(&taken)
    }

    /// The texts that wait to be shown, checked against those that were written.
    fn texts(&mut self, env: &mut Env) -> Vec<[u8; 32]> {
        let mut taken = Vec::new();
        let (me, label) = (self.id, self.label.clone());
        for unread in &self.home().account.as_ref().unwrap().unread {
            let hash = sha256(&[b"text", unread.text.as_bytes()]);
            if self.disk.image().taken.contains(&hash) {
                env.oracle.violated(format!("{label} was shown a text twice: {}", unread.text));
            }
            taken.push(hash);
            let from = String::from_utf8_lossy(&unread.from).into_owned();
            env.note(format!("      {label} reads from {from}: {}", unread.text));
            env.oracle.read(me, &from, &unread.text);
        }
        taken
    }
}

/// What a mutant does not remember.
fn forget(device: &mut OwnDeviceState) {
    device.seen.clear();
    for key in device.batches.iter_mut().flat_map(|batch| &mut batch.keys) {
        key.used_by = None;
    }
    for key in device.kem.batches.iter_mut().flat_map(|batch| &mut batch.keys) {
        key.used_by = None;
    }
}

/// Why a message was not opened.
fn refused(cause: &Cause) -> Finding {
    let (verdict, reason) = match cause {
        Cause::Malformed(_) => (Verdict::Undecryptable, "malformed"),
        Cause::SenderLabel | Cause::SenderUnknown | Cause::SenderNotProven | Cause::DeviceNotProven => {
            (Verdict::Refused, "sender_not_proven")
        }
        Cause::Handshake(AcceptError::SignedPreKeyUnknown(_)) => {
            (Verdict::Undecryptable, "signed_prekey_unknown")
        }
        Cause::Handshake(AcceptError::OneTimePreKeyUnknown(_) | AcceptError::KemPreKeyUnknown(_)) => {
            (Verdict::Undecryptable, "one_time_prekey_unknown")
        }
        Cause::Handshake(AcceptError::OneTimePreKeyReused(_) | AcceptError::KemPreKeyReused(_)) => {
            (Verdict::Undecryptable, "one_time_prekey_reused")
        }
        Cause::Handshake(AcceptError::NotAuthentic) => (Verdict::Undecryptable, "not_authentic"),
        Cause::Handshake(_) => (Verdict::Undecryptable, "handshake"),
        Cause::MemoryFull => (Verdict::Failed, "memory_full"),
        Cause::Payload(_) => (Verdict::Undecryptable, "payload"),
    };
    Finding::new(verdict, reason)
}
