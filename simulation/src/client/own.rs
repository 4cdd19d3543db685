//! One's own label: registering it, owning it, and looking whether anybody else made a version of it.

use keyglass_account::{author::Draft, device::Suite, problem::Problem};
use keyglass_client_verify::{
    state::{OwnAccount, OwnIdentity},
    verdict::Verdict,
};
use keyglass_keytrans::client::{CreatedVersions, StateUpdate, UserState, decode_update_responses};

use super::{
    Client, Finding, Mutant, Step, Stop, failed,
    lookup::{refused, unreachable_now},
    record::new_device,
};
use crate::{
    branch::Question,
    env::{Env, NoAnswer},
    setting::setting,
};

impl Client {
    /// The command `register`: each step is durable before the next.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn register(&mut self, env: &mut Env, devices: u32, suites: &[Suite]) -> Step<()> {
        if self.home().account.is_none() {
            let account = self.create(env, devices, suites);
            self.home_mut().account = Some(account);
            self.store_account(&[])?;
        }
        if self.home().account.as_ref().is_some_and(|account| account.published.is_none()) {
            let version = self.publish_first(env)?;
            self.account_mut().published = Some(version);
            self.store_account(&[])?;
        }
        self.supply_prekeys(env)
    }

    fn create(&mut self, env: &mut Env, devices: u32, suites: &[Suite]) -> OwnAccount {
        let (origin, label, now) = (&setting().origin, self.label.clone(), self.now().0);
        let mut draft = Draft::new(origin, label.as_bytes(), 0);
        let mut states = Vec::new();
        for id in 1..=devices {
            let (state, device) = new_device(env, &label, id, now, suites.to_vec());
            draft = draft.add_device(device);
            states.push(state);
        }
        let identity = OwnIdentity::Held(env.dice.secret());
        let key = identity.signing_key().unwrap();
        let mut account = OwnAccount::new(origin.clone(), label.clone(), identity, Vec::new(), states);
        account.record = draft.sign_genesis(&key).unwrap().encode();
        account
    }

    /// Takes over an account that the operator has reset at the owner's request.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn take_over(&mut self, account: OwnAccount) -> Step<()> {
        self.home_mut().account = Some(account);
        self.store_account(&[])
    }

    /// Proves where the label stands at the rightmost distinguished entry. Nothing is stored of the label yet.
    fn begin_to_own(&mut self, env: &mut Env) -> Step<(u64, Option<u32>, UserState)> {
        self.walk_heads(env)?;
        let Some(start) = self.home().heads.recent().last().map(|entry| entry.position) else {
            return Err(unreachable_now());
        };
        let (version, update) = self.owner_init(env, start)?;
        let tree = StateUpdate { label: None, ..update.clone() };
        self.retain(env, tree)?;
        let mut state = self.home().state.clone();
        state.apply(update);
        Ok((start, version, state))
    }

    fn owner_init(&mut self, env: &mut Env, start: u64) -> Step<(Option<u32>, StateUpdate)> {
        let label = self.label.clone();
        let request = setting().verifier.owner_init_request(&self.home().state, label.as_bytes(), start);
        let question = Question::OwnerInit(request.clone());
        let verified = self.perform(env, &question, |verifier, state, response, now| {
            verifier.verify_owner_init(state, &request, response, now)
        })?;
        Ok((verified.result.version, verified.update))
    }

    fn publish_first(&mut self, env: &mut Env) -> Step<u32> {
        let record = self.home().account.as_ref().map(|account| account.record.clone()).unwrap_or_default();
        let (start, version, state) = self.begin_to_own(env)?;
        if version.is_some() {
            let label = self.label.clone();
            let found = self.search(env, &label, Some(0))?;
            if found.bytes() != record {
                return failed(Verdict::Taken, "taken");
            }
            let (_, update) = self.owner_init(env, start)?;
            self.retain(env, update)?;
            return Ok(0);
        }
        match self.exchange(env, state, vec![record.clone()], |created| holds(created, &record))? {
            Some(created) => Ok(version_of(&created, &record).unwrap_or(0)),
            None => failed(Verdict::Taken, "taken"),
        }
    }

    /// Hands a record in as the next version. Gives the version that it is; `None` if others came before it.
    pub(super) fn submit(&mut self, env: &mut Env, record: &[u8]) -> Step<Option<u32>> {
        let state = self.home().state.clone();
        let wanted = |created: &CreatedVersions| holds(created, record);
        let created = self.exchange(env, state, vec![record.to_vec()], wanted)?;
        Ok(created.and_then(|created| version_of(&created, record)))
    }

    /// Sends an update and verifies the answers. Stops at the first that is wanted, which is retained; what others say of the
    /// tree is retained, and of the label only if the caller's state is the retained one.
    fn exchange(
        &mut self,
        env: &mut Env,
        mut state: UserState,
        values: Vec<Vec<u8>>,
        wanted: impl Fn(&CreatedVersions) -> bool,
    ) -> Step<Option<CreatedVersions>> {
        let verifier = &setting().verifier;
        let label = self.label.clone();
        let Some(mut request) = verifier.update_request(&state, label.as_bytes(), values) else {
            return failed(Verdict::Failed, "not_owned");
        };
        let answer = match env.update(self.id, &request) {
            Ok(answer) => answer,
            Err(NoAnswer::Unreachable) => return Err(unreachable_now()),
            Err(NoAnswer::Declined(Problem::NoValues)) => return Ok(None),
            Err(NoAnswer::Declined(problem)) if problem.status() >= 500 => return Err(unreachable_now()),
            Err(NoAnswer::Declined(problem)) => return failed(Verdict::Declined, problem.uri()),
        };
        for response in decode_update_responses(&answer, verifier.response_context()).unwrap() {
            let verified = match verifier.verify_update(&state, &request, &response, self.now()) {
                Ok(verified) => verified,
                Err(error) => return Err(Stop::Failed(refused(&error).about(&label))),
            };
            if wanted(&verified.result) {
                self.retain(env, verified.update)?;
                return Ok(Some(verified.result));
            }
            state.apply(verified.update.clone());
            self.retain(env, StateUpdate { label: None, ..verified.update })?;
            match verifier.next_update_request(&state, &request, &verified.result) {
                Some(next) => request = next,
                None => break,
            }
        }
        Ok(None)
    }

    /// Makes sure that the label is owned up to what was published here.
    pub(super) fn own(&mut self, env: &mut Env) -> Step<()> {
        let account = self.account()?;
        let (published, record) = (account.published.unwrap_or(0), account.record.clone());
        let label = self.label.clone();
        let owner = |client: &Self| client.home().state.label(label.as_bytes()).and_then(|s| s.owner.clone());
        if owner(self).is_none() {
            let (start, ..) = self.begin_to_own(env)?;
            let (_, update) = self.owner_init(env, start)?;
            self.retain(env, update)?;
        }
        for _ in 0..16 {
            if owner(self).is_some_and(|owner| owner.greatest_version() >= Some(published)) {
                break;
            }
            let state = self.home().state.clone();
            let wanted = |created: &CreatedVersions| {
                created.versions.iter().all(|(version, value)| {
                    *version < published || (*version == published && value.as_ref() == Some(&record))
                })
            };
            if self.exchange(env, state, Vec::new(), wanted)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The command `monitor`: the own label, and those of contacts.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn monitor(&mut self, env: &mut Env) -> Step<()> {
        self.settle(env)?;
        if self.account().is_ok() && self.mutant != Some(Mutant::IgnoresOwnLabel) {
            let own = self.monitor_own(env);
            self.take_finding(own)?;
        }
        let mut watched: Vec<Vec<u8>> = self.home().state.labels.keys().cloned().collect();
        watched.retain(|label| *label != self.label.as_bytes());
        for label in watched {
            let monitored = self.monitor_contact(env, &label);
            self.take_finding(monitored)?;
        }
        let met: Vec<String> = self.home().contacts.by_label.keys().cloned().collect();
        for label in met {
            let looked_up = self.contact(env, &label).map(|_| ());
            self.take_finding(looked_up)?;
        }
        Ok(())
    }

    fn take_finding(&mut self, result: Step<()>) -> Step<()> {
        match result {
            Err(Stop::Failed(finding)) => {
                let ends = finding.verdict == Verdict::Misbehaving;
                self.findings.push(finding.clone());
                if ends { Err(Stop::Failed(finding)) } else { Ok(()) }
            }
            other => other,
        }
    }

    fn monitor_contact(&mut self, env: &mut Env, label: &[u8]) -> Step<()> {
        let Some(request) = setting().verifier.contact_monitor_request(&self.home().state, label) else {
            return Ok(());
        };
        let question = Question::Contact(request.clone());
        let verified = self.perform(env, &question, |verifier, state, response, now| {
            verifier.verify_contact_monitor(state, &request, response, now)
        })?;
        self.retain(env, verified.update)
    }

    fn monitor_own(&mut self, env: &mut Env) -> Step<()> {
        self.finish_pending(env)?;
        self.own(env)?;
        let label = self.label.clone();
        let monitored = self.monitor_owned(env);
        self.take_finding(monitored)?;
        let account = self.account()?;
        let (published, record) = (account.published.unwrap_or(0), account.record.clone());
        let found = self.search(env, &label, None)?;
        if found.version() < published {
            return Err(Stop::Failed(Finding::new(Verdict::Withheld, "version_hidden").about(&label)));
        }
        if found.version() == published && found.bytes() == record {
            return Ok(());
        }
        let finding = Finding::new(Verdict::Unexpected, "unexpected_version");
        Err(Stop::Failed(finding.about(&label).at(found.version())))
    }

    fn monitor_owned(&mut self, env: &mut Env) -> Step<()> {
        let label = self.label.clone();
        for _ in 0..16 {
            let request = setting().verifier.owner_monitor_request(&self.home().state, label.as_bytes());
            let Some(request) = request else { return Ok(()) };
            let question = Question::Owner(request.clone());
            let verified = self.perform(env, &question, |verifier, state, response, now| {
                verifier.verify_owner_monitor(state, &request, response, now)
            })?;
            let done = verified.result.complete || verified.result.inspected.is_empty();
            self.retain(env, verified.update)?;
            if done {
                break;
            }
        }
        Ok(())
    }
}

fn version_of(created: &CreatedVersions, record: &[u8]) -> Option<u32> {
    created.versions.iter().find(|(_, value)| value.as_deref() == Some(record)).map(|(version, _)| *version)
}

fn holds(created: &CreatedVersions, record: &[u8]) -> bool {
    version_of(created, record).is_some()
}
