//! Looking up: ask, verify, retain; and where an answer does not fit what is retained, find out why.

use keyglass_account::{problem::Problem, verify::ValidRecord};
use keyglass_client_verify::{
    proven::{
        self, History, Identity, ProveError, ProvenAccount, ProvenValue, Proving, Unverified, Witnessing,
    },
    state::{Contact, LogDocument},
    verdict::Verdict,
};
use keyglass_keytrans::{
    algorithms::Violation,
    client::{HeadError, StateUpdate, UserState, Verified, VerifiedHead, Verifier, VerifyError},
    wire::SearchRequest,
};
use keyglass_tlog::{rfc6962::CompactTree, time::UnixMillis, witnessed::JudgeError};

use super::{CONTACTS, Client, Finding, LOG, Mutant, Step, Stop, failed};
use crate::{
    branch::Question,
    env::{Env, NoAnswer},
    oracle::By,
    setting::{MAX_BEHIND, setting},
};

/// Whether an answer that does not verify may be one of another history than the retained one.
fn may_be_a_fork(error: &VerifyError) -> bool {
    !matches!(
        error,
        VerifyError::Head(
            HeadError::TooFarAhead(_)
                | HeadError::TooFarBehind(_)
                | HeadError::NothingToKeep
                | HeadError::Judge(JudgeError::QuorumNotMet { .. }),
        ) | VerifyError::Violation(Violation::NotFound | Violation::Expired)
            | VerifyError::Wire(_)
            | VerifyError::WrongState
    )
}

/// What an answer that does not verify means by itself.
pub(super) fn refused(error: &VerifyError) -> Finding {
    match error {
        VerifyError::Head(HeadError::Judge(JudgeError::QuorumNotMet { .. })) => {
            Finding::new(Verdict::Unwitnessed, "quorum_not_met")
        }
        VerifyError::Head(HeadError::TooFarBehind(_)) => Finding::new(Verdict::Stale, "head_too_old"),
        VerifyError::Head(HeadError::TooFarAhead(_)) => {
            Finding::new(Verdict::Invalid, "head_from_the_future")
        }
        other => Finding::new(Verdict::Invalid, other.to_string()),
    }
}

/// No usable answer arrived.
pub(super) fn unreachable_now() -> Stop {
    Stop::Failed(Finding::new(Verdict::Unreachable, "no_answer"))
}

impl Client {
    /// Applies what a verified answer says of the log, and stores it.
    pub(super) fn retain(&mut self, env: &mut Env, update: StateUpdate) -> Step<()> {
        if self.now().0.saturating_sub(update.tree.rightmost_timestamp()) > MAX_BEHIND {
            env.oracle.violated("a head older than max_behind was retained");
        }
        if let Some(branch) = env.deceit.unwitnessed {
            let size = update.tree.tree_size();
            let tree = CompactTree::from_frontier(size, update.tree.full_subtrees.clone()).unwrap();
            let of = |branch: usize| env.branches[branch].root_at(size) == Some(tree.root());
            if of(branch) && !of(0) {
                env.oracle.violated("a head that no quorum has cosigned was retained");
            }
        }
        let mut state = self.home().state.clone();
        state.apply(update);
        let document = LogDocument::new(setting().origin.clone(), &state).unwrap();
        self.disk.write(LOG, serde_json::to_vec(&document).unwrap())?;
        self.home_mut().state = state;
        Ok(())
    }

    fn verifier(&self) -> &'static Verifier {
        match self.mutant {
            Some(Mutant::TrustsTheLogAlone) => &setting().quarantine,
            _ => &setting().verifier,
        }
    }

    /// The time by which answers are judged.
    fn judging_time(&self, env: &Env) -> UnixMillis {
        let now = self.now();
        if self.mutant != Some(Mutant::IgnoresAge) {
            return now;
        }
        // As old as the newest head, so that none is too old.
        UnixMillis(
            self.home()
                .state
                .tree
                .as_ref()
                .map_or(now.0, |tree| tree.rightmost_timestamp())
                .min(env.time.now()),
        )
    }

    /// Searches for a label's greatest version, or for `version`, and retains what that shows of the log.
    pub(super) fn search(&mut self, env: &mut Env, label: &str, version: Option<u32>) -> Step<ProvenValue> {
        let verifier = self.verifier();
        let request = verifier.search_request(&self.home().state, label.as_bytes(), version);
        let response = match env.ask(self.id, &Question::Search(request.clone())) {
            Ok(response) => response,
            Err(error) => return Err(self.not_answered(env, label, version, error)),
        };
        let now = self.judging_time(env);
        let response = Unverified::from_wire(response);
        let search = match proven::search(verifier, &self.home().state, &request, &response, now) {
            Ok(search) => search,
            Err(error) if may_be_a_fork(&error) => {
                return Err(self.reconcile_search(env, &request, refused(&error).about(label)));
            }
            Err(error) => return Err(Stop::Failed(refused(&error).about(label))),
        };
        let value = match search.value {
            Witnessing::Witnessed(value) => value,
            Witnessing::Unwitnessed(value) if self.mutant == Some(Mutant::TrustsTheLogAlone) => {
                value.trust_the_log_alone()
            }
            Witnessing::Unwitnessed(_) => return failed(Verdict::Unwitnessed, "no_quorum_required"),
        };
        self.retain(env, search.update)?;
        Ok(value)
    }

    /// What the lack of an answer to a search means.
    fn not_answered(&mut self, env: &mut Env, label: &str, version: Option<u32>, error: NoAnswer) -> Stop {
        let problem = match error {
            NoAnswer::Unreachable => return unreachable_now(),
            NoAnswer::Declined(problem) => problem,
        };
        let finding = match problem {
            Problem::LastBeyondTree => {
                let request = SearchRequest { last: None, label: label.as_bytes().to_vec(), version };
                let cause = Finding::new(Verdict::Unreconciled, "tree_shrank");
                return self.reconcile_search(env, &request, cause);
            }
            Problem::UnknownLabel | Problem::UnknownVersion => {
                let shown = self.greatest_shown(label);
                let denied = shown.is_some_and(|shown| version.is_none_or(|version| version <= shown));
                let (verdict, reason) = if denied {
                    (Verdict::Withheld, "withheld")
                } else {
                    (Verdict::NotFound, "unknown_label")
                };
                Finding::new(verdict, reason)
            }
            problem if problem.status() >= 500 => return unreachable_now(),
            problem => Finding::new(Verdict::Declined, problem.uri()),
        };
        Stop::Failed(finding.about(label))
    }

    /// The greatest version of a label that this home knows to be in the log.
    fn greatest_shown(&self, label: &str) -> Option<u32> {
        let home = self.home();
        let monitored = home.state.label(label.as_bytes()).and_then(|state| {
            let owned = state.owner.as_ref().and_then(|owner| owner.greatest_version());
            owned.max(state.map.entries().map(|entry| entry.version).max())
        });
        let met = home.contacts.by_label.get(label).map(|contact| contact.version);
        let own = home.account.as_ref().filter(|account| account.label == label);
        monitored.max(met).max(own.and_then(|account| account.published))
    }

    /// Verifies the answer to another question than a search.
    pub(super) fn perform<T>(
        &mut self,
        env: &mut Env,
        question: &Question,
        verify: impl FnOnce(&Verifier, &UserState, &[u8], UnixMillis) -> Result<Verified<T>, VerifyError>,
    ) -> Step<Verified<T>> {
        let response = match env.ask(self.id, question) {
            Ok(response) => response,
            Err(NoAnswer::Unreachable) => return Err(unreachable_now()),
            Err(NoAnswer::Declined(Problem::LastBeyondTree)) => {
                let cause = Finding::new(Verdict::Unreconciled, "tree_shrank");
                return Err(self.reconcile_heads(env, cause));
            }
            Err(NoAnswer::Declined(problem)) if problem.status() >= 500 => return Err(unreachable_now()),
            Err(NoAnswer::Declined(problem)) => return failed(Verdict::Withheld, problem.uri()),
        };
        let now = self.judging_time(env);
        let verified = match verify(self.verifier(), &self.home().state, &response, now) {
            Ok(verified) => verified,
            Err(error) if may_be_a_fork(&error) => return Err(self.reconcile_heads(env, refused(&error))),
            Err(error) => return Err(Stop::Failed(refused(&error))),
        };
        let witnessed = matches!(verified.head, VerifiedHead::Witnessed(_));
        if !witnessed && self.mutant != Some(Mutant::TrustsTheLogAlone) {
            return failed(Verdict::Unwitnessed, "no_quorum_required");
        }
        Ok(verified)
    }

    /// Proves the account of a label from its newest version.
    pub(super) fn resolve(&mut self, env: &mut Env, label: &str) -> Step<ProvenAccount> {
        let found = self.search(env, label, None)?;
        let version = found.version();
        let before = self.home().contacts.by_label.get(label).cloned();
        let before = before.filter(|_| self.mutant != Some(Mutant::ForgetsVersions));
        if before.as_ref().is_some_and(|before| version < before.version) {
            let finding = Finding::new(Verdict::Withheld, "version_hidden");
            return Err(Stop::Failed(finding.about(label).at(version)));
        }
        let known = before.map(|contact| {
            let (origin, label) = (&setting().origin, label.as_bytes());
            ValidRecord::restore(origin, label, contact.version, &contact.record).unwrap()
        });
        let account = self.prove_newest(env, label, found, known.as_ref())?;
        self.check_truth(env, label, version, &account);
        Ok(account)
    }

    /// Proves a label's newest value, looking up as much of its history as decides.
    pub(super) fn prove_newest(
        &mut self,
        env: &mut Env,
        label: &str,
        newest: ProvenValue,
        known: Option<&ValidRecord>,
    ) -> Step<ProvenAccount> {
        let version = newest.version();
        let refused = |error: ProveError| {
            let verdict = match error {
                ProveError::NotVouchedFor { .. } => Verdict::Refused,
                ProveError::NotWanted => Verdict::Invalid,
            };
            Stop::Failed(Finding::new(verdict, error.to_string()).about(label).at(version))
        };
        let mut proving = proven::prove(newest, known).map_err(refused)?;
        loop {
            let pending = match proving {
                Proving::Done(account) => return Ok(*account),
                Proving::NeedsVersion(pending) => pending,
            };
            let history = match self.search(env, label, Some(pending.wanted())) {
                Ok(value) => History::Value(value),
                Err(Stop::Failed(finding))
                    if matches!(finding.verdict, Verdict::Withheld | Verdict::NotFound) =>
                {
                    History::Withheld
                }
                Err(stop) => return Err(stop),
            };
            proving = pending.supply(history).map_err(refused)?;
        }
    }

    /// An account that was proven is one that its owner published, or its identity is known to be broken.
    fn check_truth(&self, env: &mut Env, label: &str, version: u32, account: &ProvenAccount) {
        let branch = env.deceit.branch_for(self.id, env.side[self.id]);
        let Some(truth) = env.oracle.versions_of(branch, label).get(version as usize).cloned() else {
            env.oracle.violated(format!("{label} was proven at version {version}, which nobody published"));
            return;
        };
        if account.valid().record().encode() != truth.value {
            env.oracle.violated(format!("{label} version {version} was proven with another value"));
        }
        if let By::Lie(lie) = truth.by
            && account.is_usable()
        {
            env.oracle.violated(format!("{label} version {version} is usable, and is a lie: {lie:?}"));
        }
    }

    /// Looks a contact up, as a person does who compares keys through another channel where that is asked for.
    pub(super) fn contact(&mut self, env: &mut Env, label: &str) -> Step<ProvenAccount> {
        let mut account = self.resolve(env, label)?;
        if account.identity() == Identity::Broken {
            let version = account.valid().version();
            let branch = env.deceit.branch_for(self.id, env.side[self.id]);
            let genuine = env.oracle.lies_about(branch, label).is_empty();
            if !genuine && self.mutant != Some(Mutant::AcceptsResets) {
                let finding = Finding::new(Verdict::Changed, "identity_reset");
                return Err(Stop::Failed(finding.about(label).at(version)));
            }
            // Whoever compares keys finds that they are the owner's.
            let finding = Finding::new(Verdict::Changed, "identity_accepted");
            self.findings.push(finding.about(label).at(version));
            account = account.accept_broken_identity();
        }
        let known = self.home().contacts.by_label.get(label).map(|contact| contact.version);
        if known.is_some_and(|known| account.valid().version() < known) {
            env.oracle.violated(format!("{label} went back to a version below the one known"));
        }
        self.remember(label, &account)?;
        Ok(account)
    }

    fn remember(&mut self, label: &str, account: &ProvenAccount) -> Step<()> {
        let record = account.valid().record();
        let now = self.now().0;
        let mut contacts = self.home().contacts.clone();
        let before = contacts.by_label.get(label);
        let first = before.map(|before| (before.first_identity_key, before.first_seen));
        let (first_identity_key, first_seen) = first.unwrap_or((record.identity_key.to_bytes(), now));
        let contact = Contact {
            first_identity_key,
            first_seen,
            version: record.version,
            record: record.encode(),
            last_seen: now,
            unwatched: false,
            told: None,
        };
        contacts.by_label.insert(label.to_owned(), contact);
        self.disk.write(CONTACTS, serde_json::to_vec(&contacts).unwrap())?;
        self.home_mut().contacts = contacts;
        Ok(())
    }

    /// The command `lookup`.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn look_up(&mut self, env: &mut Env, label: &str) -> Step<()> {
        let account = self.contact(env, label)?;
        let version = account.valid().version();
        self.findings.push(Finding::new(Verdict::Verified, "proven").about(label).at(version));
        Ok(())
    }
}
