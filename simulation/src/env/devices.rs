//! What devices ask a server for beside the log: tokens, prekeys, messages, receipts.

use keyglass_account::{
    api::{self, Id128, PREKEYS, PreKeyStatus, TOKENS, UploadPreKeys},
    auth::{Credential, Request},
    prekey::PreKeyBundle,
    problem::Problem,
    time::UnixMillis,
};
use keyglass_client_verify::messaging::Receipt;
use keyglass_crypto::sign::SigningKey;
use keyglass_log_server::{
    prekeys::FetchError,
    tokens::{Caller, DeviceName},
};

use super::{Env, NoAnswer, Trouble, refused};
use crate::{
    clock::{DAY, HOUR},
    deceit::Deceit,
    faults::Fault,
    services::{Parcel, device},
    setting::setting,
};

/// How long the server keeps receipts, less an hour for its clock.
const RECEIPTS_KEPT: u64 = 30 * DAY - HOUR;

impl Env {
    /// A token for a device that signs its request.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn token(&mut self, device: &Signer) -> Result<String, NoAnswer> {
        let header = device.sign("POST", TOKENS, b"", self.dice.bytes());
        self.call(|env| {
            let tokens = &env.services.tokens;
            let caller = tokens.authenticate_signed(Some(&header), "POST", TOKENS, b"").map_err(refused)?;
            Ok(tokens.issue(&caller).authorization)
        })
    }

    fn bearer(&self, token: &str) -> Result<Caller, Trouble> {
        self.services.tokens.authenticate_token(Some(token)).map_err(refused)
    }

    /// A device leaves prekeys.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn upload(&mut self, device: &Signer, upload: &UploadPreKeys) -> Result<PreKeyStatus, NoAnswer> {
        let body = serde_json::to_vec(upload).unwrap();
        let header = device.sign("PUT", PREKEYS, &body, self.dice.bytes());
        self.call(|env| {
            let tokens = &env.services.tokens;
            let caller = tokens.authenticate_signed(Some(&header), "PUT", PREKEYS, &body).map_err(refused)?;
            env.step()?;
            let status = env.services.prekeys.upload(&caller, upload).map_err(refused)?;
            env.step()?;
            Ok(status)
        })
    }

    /// What the server holds of a device's prekeys.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn status(&mut self, token: &str) -> Result<PreKeyStatus, NoAnswer> {
        self.call(|env| {
            let caller = env.bearer(token)?;
            Ok(env.services.prekeys.status(&caller.name).unwrap())
        })
    }

    /// A bundle of a device.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn fetch(
        &mut self,
        token: &str,
        to: (&str, u32),
        request: [u8; 16],
    ) -> Result<PreKeyBundle, NoAnswer> {
        self.call(|env| {
            let requester = env.bearer(token)?;
            let target = device(to.0, to.1);
            env.step()?;
            let fetched = env.services.prekeys.fetch(&requester.name, &target, &request);
            if fetched == Err(FetchError::NoSignedPreKey) {
                env.fault(Fault::PreKeyExpired);
            }
            let bundle = fetched.map_err(refused)?;
            env.step()?;
            if bundle.one_time.is_none() {
                env.fault(Fault::PoolEmpty);
            }
            Ok(Deceit::bundle(env, &target, bundle))
        })
    }

    /// Leaves a message for a device. It is on its way then.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn send(
        &mut self,
        token: &str,
        to: (&str, u32),
        id: Id128,
        body: &[u8],
        text: [u8; 16],
    ) -> Result<(), NoAnswer> {
        self.call(|env| {
            let from = env.bearer(token)?.name;
            let to = device(to.0, to.1);
            if env.services.accounts.device(&to.label, to.device).unwrap().is_none() {
                return Err(Problem::UnknownDevice.into());
            }
            env.step()?;
            env.post(Parcel { at: env.time.now(), from, to, id, body: body.to_vec(), text });
            env.step()
        })
    }

    fn post(&mut self, mut parcel: Parcel) {
        if self.dice.happens(self.weather.message_lost) {
            self.fault(Fault::MessageLost);
            self.oracle.excuse(&parcel.text, "lost");
            return;
        }
        if self.dice.happens(self.weather.message_delayed) {
            let most = self.dice.pick(&[6 * HOUR, 3 * DAY, 28 * DAY]);
            parcel.at += self.dice.below(most);
            self.fault(Fault::MessageDelayed);
        }
        if self.dice.happens(self.weather.message_repeated) {
            self.fault(Fault::MessageRepeated);
            let again = Parcel { at: parcel.at + self.dice.below(10 * DAY), ..parcel.clone() };
            self.parcels.push(again);
        }
        if Deceit::parcel(self, &parcel) {
            self.oracle.excuse(&parcel.text, "withheld");
        } else {
            self.parcels.push(parcel);
        }
    }

    /// Delivers what has arrived by now, in the order of arrival.
    pub(super) fn deliver(&mut self) {
        let now = self.time.now();
        let (mut due, rest) =
            std::mem::take(&mut self.parcels).into_iter().partition::<Vec<_>, _>(|p| p.at <= now);
        self.parcels = rest;
        if due.windows(2).any(|pair| pair[0].at > pair[1].at) {
            self.fault(Fault::MessagesReordered);
        }
        due.sort_by_key(|parcel| parcel.at);
        for parcel in due {
            // A device that is gone meanwhile.
            if self.services.mailbox.send(&parcel.from, &parcel.to, parcel.id, parcel.body).is_err() {
                self.oracle.excuse(&parcel.text, "the device is gone");
            }
        }
    }

    /// The messages of a device.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn messages(&mut self, token: &str) -> Result<Vec<(Id128, Vec<u8>)>, NoAnswer> {
        self.deliver();
        let (device, mut messages) = self.call(|env| {
            let caller = env.bearer(token)?;
            let (messages, _) = env.services.mailbox.read(&caller.name, None).unwrap();
            let messages = messages.into_iter().map(|message| (message.id, message.body));
            Ok((caller.name, messages.collect::<Vec<_>>()))
        })?;
        Deceit::messages(self, &device, &mut messages);
        Ok(messages)
    }

    /// A device is done with messages.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn acknowledge(&mut self, token: &str, ids: &[Id128]) -> Result<(), NoAnswer> {
        self.call(|env| {
            let caller = env.bearer(token)?;
            env.step()?;
            env.services.mailbox.acknowledge(&caller.name, ids).unwrap();
            env.step()
        })
    }

    /// A device says that it could not open a message.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn leave_receipt(&mut self, token: &str, receipt: &Receipt) -> Result<(), NoAnswer> {
        let to = DeviceName { label: receipt.to.clone(), device: receipt.device };
        self.call(|env| {
            let from = env.bearer(token)?.name;
            env.step()?;
            let left = env.services.receipts.leave(&from, &to, &receipt.handshake.0, receipt.reason);
            left.map_err(refused)?;
            if let Some(handshake) = env.oracle.handshakes.get(&receipt.handshake.0) {
                env.receipts_left.insert(handshake.text, env.time.now());
            }
            env.step()
        })
    }

    /// What devices that could not open messages said to this one.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn receipts(&mut self, token: &str) -> Result<Vec<api::Receipt>, NoAnswer> {
        let receipts = self.call(|env| {
            let caller = env.bearer(token)?;
            Ok(env.services.receipts.read(&caller.name).unwrap().0)
        })?;
        for receipt in &receipts {
            let handshake = receipt.handshake.as_bytes().try_into().ok();
            let handshake: Option<[u8; 32]> = handshake;
            if let Some(started) = handshake.and_then(|id| self.oracle.handshakes.get(&id)) {
                self.receipts_left.remove(&started.text);
            }
        }
        Ok(receipts)
    }

    /// Whether a receipt about a text has waited for so long that its sender never heard of it.
    #[must_use]
    pub fn receipt_is_gone(&self, text: &[u8; 16]) -> bool {
        let left = self.receipts_left.get(text);
        left.is_some_and(|left| self.time.now().saturating_sub(*left) > RECEIPTS_KEPT)
    }

    /// A device has taken receipts in.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn acknowledge_receipts(&mut self, token: &str, ids: &[Id128]) -> Result<(), NoAnswer> {
        self.call(|env| {
            let caller = env.bearer(token)?;
            env.step()?;
            env.services.receipts.acknowledge(&caller.name, ids).unwrap();
            env.step()
        })
    }
}

/// A device that signs requests.
pub struct Signer {
    /// Its name.
    pub name: DeviceName,
    /// Its key.
    pub key: SigningKey,
    /// The time by its clock.
    pub now: UnixMillis,
}

impl Signer {
    fn sign(&self, method: &str, path: &str, body: &[u8], nonce: [u8; 16]) -> String {
        let request = Request { origin: &setting().origin, method, path, body };
        let DeviceName { label, device } = &self.name;
        Credential::sign(&request, label, *device, &self.key, self.now, nonce).to_header()
    }
}
