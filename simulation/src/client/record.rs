//! Changes of one's own record: each is stored before it is published, and becomes the account's only once the log shows it.

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    record::AccountRecord,
    verify::ValidRecord,
};
use keyglass_client_verify::{
    state::{OwnDeviceState, OwnIdentity},
    verdict::Verdict,
};
use keyglass_crypto::{secret::Secret, sign::SigningKey};

use super::{Client, Finding, PENDING, Step, Stop, failed};
use crate::{env::Env, setting::setting};

/// A change that an owner makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One more device.
    AddDevice,
    /// The oldest device goes, and another takes its place.
    ReplaceDevice,
    /// Another identity key.
    Rotate,
    /// Lockdown on.
    LockDown,
}

/// A change that was stored and is not known to be published.
pub(super) struct Pending {
    record: Vec<u8>,
    identity_seed: Option<[u8; 32]>,
    device: Option<OwnDeviceState>,
    removed: Option<u32>,
}

impl Pending {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (record, identity_seed, device, removed) = serde_json::from_slice(bytes).unwrap();
        let pending = Self { record, identity_seed, device, removed };
        (!pending.record.is_empty()).then_some(pending)
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&(&self.record, self.identity_seed, &self.device, self.removed)).unwrap()
    }
}

/// A new device and its entry.
pub(super) fn new_device(
    env: &mut Env,
    label: &str,
    id: u32,
    now: u64,
    suites: Vec<Suite>,
) -> (OwnDeviceState, Device) {
    let state = OwnDeviceState::new(id, env.dice.secret(), env.dice.secret());
    let added = keyglass_account::time::UnixMillis(now);
    let key = state.dh_key().public_key();
    let (origin, label) = (&setting().origin, label.as_bytes());
    let device = Device::sign(origin, label, id, &state.signing_key(), key, suites, added);
    (state, device)
}

impl Client {
    /// Makes a change, publishes it and takes it over.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn change(&mut self, env: &mut Env, change: Change) -> Step<()> {
        self.finish_pending(env)?;
        let label = self.label.clone();
        self.own(env)?;
        let pending = self.draft(env, change)?;
        self.disk.write(PENDING, pending.encode())?;
        self.home_mut().pending = Some(pending);
        env.note(format!("      {label} publishes: {change:?}"));
        self.finish_pending(env)
    }

    fn draft(&mut self, env: &mut Env, change: Change) -> Step<Pending> {
        let account = self.account()?;
        let (published, record) = (account.published.unwrap_or(0), account.record.clone());
        let identity = account.identity.signing_key().unwrap();
        let oldest = account.devices.first().map(|device| device.id);
        let owner = self.home().state.label(self.label.as_bytes()).and_then(|state| state.owner.as_ref());
        let greatest = owner.and_then(|owner| owner.greatest_version()).unwrap_or(published);
        let (origin, label, now) = (&setting().origin, self.label.clone(), self.now().0);
        let known = ValidRecord::restore(origin, label.as_bytes(), published, &record).unwrap();
        let draft = Draft::after(origin, label.as_bytes(), &known, greatest + 1);
        let mut pending = Pending { record: Vec::new(), identity_seed: None, device: None, removed: None };
        let signed = match change {
            Change::AddDevice | Change::ReplaceDevice => {
                let suites =
                    known.record().devices.first().map_or(vec![Suite::X3DH], |device| device.suites.clone());
                let (state, device) = new_device(env, &label, draft.next_device_id(), now, suites);
                pending.device = Some(state);
                let draft = draft.add_device(device);
                pending.removed = oldest.filter(|_| change == Change::ReplaceDevice);
                let draft = pending.removed.map_or(draft.clone(), |id| draft.remove_device(id));
                draft.sign(&identity)
            }
            Change::Rotate => {
                let seed = env.dice.bytes();
                pending.identity_seed = Some(seed);
                draft.sign_rotation(&identity, &SigningKey::from_seed(&seed))
            }
            Change::LockDown => draft.set_lockdown(true).sign(&identity),
        };
        match signed {
            Ok(record) => pending.record = record.encode(),
            Err(error) => return failed(Verdict::Failed, error.to_string()),
        }
        Ok(pending)
    }

    /// Publishes what was stored to be published, and takes it over.
    pub(super) fn finish_pending(&mut self, env: &mut Env) -> Step<()> {
        let Some(pending) = &self.home().pending else { return Ok(()) };
        let record = pending.record.clone();
        if self.account()?.record == record {
            return self.drop_pending();
        }
        self.own(env)?;
        let version = AccountRecord::decode(&record).unwrap().version;
        let label = self.label.clone();
        let owner = self.home().state.label(label.as_bytes()).and_then(|state| state.owner.as_ref());
        if owner.and_then(|owner| owner.greatest_version()) >= Some(version) {
            // It was published, and the client did not live to take it over; or somebody else's version has its number.
            if self.search(env, &label, Some(version))?.bytes() == record {
                self.adopt(version)?;
            }
            return self.drop_pending();
        }
        match self.submit(env, &record) {
            Ok(Some(version)) => {
                self.adopt(version)?;
                self.drop_pending()
            }
            Ok(None) => {
                // Somebody else's versions came first: what was drafted does not follow from them.
                self.drop_pending()?;
                let finding = Finding::new(Verdict::Unexpected, "unexpected_version");
                Err(Stop::Failed(finding.about(&self.label.clone())))
            }
            Err(Stop::Failed(finding)) if finding.verdict == Verdict::Declined => {
                self.drop_pending()?;
                Err(Stop::Failed(finding))
            }
            Err(stop) => Err(stop),
        }
    }

    fn adopt(&mut self, version: u32) -> Step<()> {
        let Some(pending) = self.home_mut().pending.take() else { return Ok(()) };
        let account = self.account_mut();
        account.record = pending.record;
        account.published = Some(version);
        if let Some(seed) = pending.identity_seed {
            account.identity = OwnIdentity::Held(Secret::new(seed));
        }
        if let Some(id) = pending.removed {
            account.devices.retain(|device| device.id != id);
        }
        account.devices.extend(pending.device);
        self.store_account(&[])
    }

    fn drop_pending(&mut self) -> Step<()> {
        self.home_mut().pending = None;
        let nothing = Pending { record: Vec::new(), identity_seed: None, device: None, removed: None };
        self.disk.write(PENDING, nothing.encode())?;
        Ok(())
    }

    /// Where an account was reset for its owner, who lost everything: the record that the operator publishes.
    #[must_use]
    pub fn reset_record(
        &mut self,
        env: &mut Env,
        before: &ValidRecord,
        version: u32,
    ) -> Option<(AccountRecord, [u8; 32], OwnDeviceState)> {
        let (origin, label, now) = (&setting().origin, self.label.clone(), self.now().0);
        let mut draft = Draft::after(origin, label.as_bytes(), before, version);
        let suites =
            before.record().devices.first().map_or(vec![Suite::X3DH], |device| device.suites.clone());
        let (state, device) = new_device(env, &label, draft.next_device_id(), now, suites);
        for old in &before.record().devices {
            draft = draft.remove_device(old.id);
        }
        let seed = env.dice.bytes();
        let record =
            draft.add_device(device).set_recovery(None).sign_reset(&SigningKey::from_seed(&seed)).ok()?;
        Some((record, seed, state))
    }
}
