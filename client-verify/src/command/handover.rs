//! `--handover`: from a log that ended to the one that comes after it, without losing who was met.
//!
//! What this home holds of the old log must end where the old log declared its end; only then is anything carried over:
//!
//! - contacts, as identity keys to be recognised by. Nothing of the new log is proven by them: an account is looked up there
//!   as at a first meeting, and another identity than the known one is [`Verdict::Changed`];
//! - own accounts, with the identity and the devices that they had, under records made anew: every signature of a record
//!   covers the origin. They are not in the new log before `register` publishes them;
//! - where the old log ended, so that a later head of it is an alarm wherever it is met.
//!
//! The old log's part of the home stays as it is.

use core::time::Duration;

use keyglass_account::{author::Draft, device::Device, record::AccountRecord};
use keyglass_crypto::{secret::Secret, sign::SigningKey};
use keyglass_keytrans::client::{TreeState, Verifier};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    evidence::Evidence,
    handover::{Handover, HandoverError, MAX_LEN},
    note::{SignedNote, Vkey},
    witnessed::{Horizon, Judge, JudgeError, Judged},
};

use super::{
    args::Common,
    context::{Context, head_note, now, read_file, refuse_convicted},
    outcome::Failure,
    reconcile::{Comparison, compare_notes, keep_conviction},
    reporting,
};
use crate::{
    http::Server,
    state::{CarriedContact, Contacts, EndDocument, Home, OwnAccount, OwnDeviceState, OwnIdentity},
    verdict::Verdict,
    x3dh::SUITES,
};

/// Does what `--handover` asks for, once. Gives what a person should be told.
///
/// # Errors
/// [`Verdict::Usage`] for a file that cannot be used here, [`Verdict::Invalid`] and [`Verdict::Unwitnessed`] for one that
/// proves nothing, [`Verdict::Misbehaving`] and [`Verdict::Unreconciled`] for an end that is not that of the history known
/// here. Nothing is carried over then.
pub(super) async fn take_over(context: &mut Context, common: &Common) -> Result<Option<String>, Failure> {
    let Some(path) = &common.handover else {
        return Ok(None);
    };
    let bytes = read_file(path, u64::try_from(MAX_LEN).unwrap_or(u64::MAX))?;
    let handover = Handover::parse(&bytes).map_err(|error| usage("handover_malformed", error))?;
    let declaration = handover.declaration();
    // The new log's key may have changed since the declaration; its origin has not.
    if declaration.to.name().as_str() != context.origin {
        let message = format!("the handover is to {}, and this is {}", declaration.to.name(), context.origin);
        return Err(usage("handover_to_another_log", message));
    }
    let known = context.predecessors.ended.iter().find(|end| end.origin == declaration.from);
    if let Some(known) = known {
        let same = Handover::parse(known.handover.as_bytes()).is_ok_and(|h| h.declaration() == declaration);
        let message = "this home has taken another handover of that log before";
        return if same { Ok(None) } else { Err(usage("another_handover", message)) };
    }
    let Some(old) = context.home.beside(&declaration.from)? else {
        return Ok(Some(format!(
            "this home never used {}: there is nothing to carry over",
            declaration.from
        )));
    };
    let old = OldLog::open(old)?;
    old.verify(&handover, context.trust_without_witnesses)?;
    let server = common.old_server.as_deref();
    let server = server.map(|url| common.reach(url)).transpose()?;
    old.ends_with(&handover, server.as_ref()).await?;
    let (contacts, accounts) = old.carry_over(context, &handover)?;
    Ok(Some(format!(
        "{} ended with {} entries; carried over {contacts} contacts and {accounts} own accounts, which `register` \
         publishes in the new log",
        declaration.from, declaration.size
    )))
}

/// The part of a home that belongs to the log that ended.
struct OldLog {
    home: Home,
    verifier: Verifier,
}

impl OldLog {
    fn open(home: Home) -> Result<Self, Failure> {
        let Some(trust) = home.trust()? else {
            let message = "this home does not know the old log's key: it was used by an earlier version of this program \
                           only. Run any command with the old log's configuration and policy first";
            return Err(usage("old_log_unknown", message));
        };
        let damaged =
            || Failure::new(Verdict::Failed, "home_damaged", "the old log's configuration is damaged");
        let verifier = trust.verifier().ok_or_else(damaged)?;
        if verifier.log_keys().is_empty() {
            return Err(usage("no_checkpoints", "only a log of suite 0xF001 is handed over"));
        }
        refuse_convicted(&home, verifier.log_keys())?;
        Ok(Self { home, verifier })
    }

    /// Verifies that the old log declared it and that the final head would be believed.
    fn verify(&self, handover: &Handover, trust_without_witnesses: bool) -> Result<(), Failure> {
        let Some(policy) = self.verifier.policy() else {
            return Err(usage("no_checkpoints", "only a log of suite 0xF001 is handed over"));
        };
        let ahead = Duration::from_millis(self.verifier.configuration().max_ahead);
        let judge = Judge::of_log(policy, self.verifier.log_keys(), Horizon::at(now(), ahead));
        let unwitnessed =
            |message: String| Failure::new(Verdict::Unwitnessed, "final_head_unwitnessed", message);
        match handover.verify(self.verifier.log_keys(), &judge) {
            Ok(Judged::Witnessed(_)) => Ok(()),
            Ok(Judged::LogSigned(_)) if trust_without_witnesses => Ok(()),
            Ok(Judged::LogSigned(_)) => Err(unwitnessed(
                "the old log's policy requires no witness; --trust-without-witnesses goes on".into(),
            )),
            Err(HandoverError::NotBelieved(error @ JudgeError::QuorumNotMet { .. })) => {
                Err(unwitnessed(format!("the old log's final head: {error}")))
            }
            Err(error) => Err(Failure::new(Verdict::Invalid, "handover_not_proven", error)),
        }
    }

    /// Proves that what this home holds of the old log is of the history that ends with the handover.
    async fn ends_with(&self, handover: &Handover, server: Option<&Server>) -> Result<(), Failure> {
        let Some(document) = self.home.log()? else {
            return Ok(());
        };
        let state = document.user_state().map_err(|error| {
            Failure::new(Verdict::Failed, "home_damaged", format!("the old log's state: {error}"))
        })?;
        let ours = state.tree.as_ref().and_then(|tree| head_note(self.home.origin(), tree));
        let Some((head, ours)) = ours.and_then(|note| Some((Checkpoint::from_note(&note).ok()?, note)))
        else {
            return Ok(());
        };
        let declaration = handover.declaration();
        if declaration.is_contradicted_by(&head) {
            let evidence = Evidence::AfterHandover { a: handover.declared().clone(), b: ours };
            return Err(self.convict(&evidence));
        }
        if head.tree_size() == declaration.size {
            return Ok(());
        }
        let Some(server) = server else {
            let message = format!(
                "this home's head of the old log has {} entries, and the final one {}: --old-server URL says where \
                 the tiles between them are served",
                head.tree_size(),
                declaration.size
            );
            return Err(usage("old_server_needed", message));
        };
        match compare_notes(server, &ours, handover.last()).await {
            Comparison::Consistent => Ok(()),
            Comparison::Contradiction(evidence) => Err(self.convict(&evidence)),
            Comparison::Unknown(why) => {
                [&ours, handover.last()].into_iter().for_each(reporting::disputed);
                let message = format!(
                    "the final head is not shown to extend the head that this home holds of the old log: {why}. Another \
                     --old-server may have the tiles between them; nothing was carried over"
                );
                Err(Failure::new(Verdict::Unreconciled, "end_not_explained", message)
                    .with("ours", ours.to_string())
                    .with("theirs", handover.last().to_string()))
            }
        }
    }

    /// Keeps evidence against the old log beside what is known of it.
    fn convict(&self, evidence: &Evidence) -> Failure {
        let keys: Vec<&Vkey> = self.verifier.log_keys().iter().collect();
        keep_conviction(&self.home, &keys, self.verifier.policy(), evidence)
    }

    /// Carries over what is worth it. Each file is written whole, and the list of logs before the new one last, so that a
    /// crash in between is mended by doing all of it again.
    fn carry_over(&self, context: &mut Context, handover: &Handover) -> Result<(usize, usize), Failure> {
        let mut contacts = context.contacts.clone();
        let carried = carry_contacts(&self.home.contacts()?, &mut contacts);
        let mut accounts = 0_usize;
        for account in self.home.accounts()? {
            if context.home.account(&account.label)?.is_none()
                && let Some(renewed) = renewed(&context.origin, &account)?
            {
                context.home.store_account(&renewed)?;
                accounts = accounts.saturating_add(1);
            }
        }
        context.home.store_contacts(&contacts)?;
        context.contacts = contacts;
        let origin = self.home.origin().to_owned();
        let end = EndDocument::new(origin, self.verifier.log_keys(), handover.to_string());
        self.home.store_end(&end)?;
        let mut predecessors = context.predecessors.clone();
        predecessors.add(self.home.predecessors()?.ended);
        predecessors.add([end]);
        context.home.store_predecessors(&predecessors)?;
        context.predecessors = predecessors;
        Ok((carried, accounts))
    }
}

/// Adds the old log's contacts to those to be recognised in the new one, and gives their number. Who was met in the new log
/// already is known better from there.
fn carry_contacts(old: &Contacts, new: &mut Contacts) -> usize {
    let met = old.by_label.iter().filter_map(|(label, contact)| {
        let identity_key = AccountRecord::decode(&contact.record).ok()?.identity_key.to_bytes();
        let contact = CarriedContact {
            log: old.origin.clone(),
            identity_key,
            first_identity_key: contact.first_identity_key,
            first_seen: contact.first_seen,
            last_seen: contact.last_seen,
        };
        Some((label.clone(), contact))
    });
    let earlier = old.carried.iter().map(|(label, contact)| (label.clone(), contact.clone()));
    let mut count = 0_usize;
    for (label, contact) in met.chain(earlier) {
        if !new.by_label.contains_key(&label) && !new.carried.contains_key(&label) {
            new.carried.insert(label, contact);
            count = count.saturating_add(1);
        }
    }
    count
}

/// An own account as it begins in another log: the same identity and devices, and everything that is signed signed anew,
/// since every signature covers the origin. Prekeys and sessions stay with the old log. `None` on a linked device, which
/// cannot sign for the identity: the home that can carries the account over, and this one is linked to it again.
fn renewed(origin: &str, old: &OwnAccount) -> Result<Option<OwnAccount>, Failure> {
    let OwnIdentity::Held(seed) = &old.identity else { return Ok(None) };
    let damaged = |error| Failure::new(Verdict::Failed, "home_damaged", format!("{}: {error}", old.label));
    let record = AccountRecord::decode(&old.record).map_err(damaged)?;
    let label = old.label.as_bytes();
    let mut draft = Draft::new(origin, label, 0)
        .set_recovery(record.recovery.as_ref().map(|grant| grant.key))
        .set_lockdown(record.flags.lockdown);
    let copy = |secret: &Secret<32>| Secret::new(*secret.expose());
    let mut devices = Vec::new();
    for old in &old.devices {
        let device = OwnDeviceState::new(old.id, copy(&old.signing_seed), copy(&old.dh_secret));
        // All prekeys are made anew as well, so that a device from before PQXDH announces it from here on.
        let suites = SUITES.to_vec();
        let (signing_key, dh_key) = (device.signing_key(), device.dh_key().public_key());
        draft = draft.add_device(Device::sign(origin, label, old.id, &signing_key, dh_key, suites, now()));
        devices.push(device);
    }
    let record = draft.sign_genesis(&SigningKey::from_seed(seed.expose()));
    let record = record.map_err(|error| Failure::new(Verdict::Failed, "record", error))?.encode();
    let identity = OwnIdentity::Held(copy(seed));
    Ok(Some(OwnAccount::new(origin.to_owned(), old.label.clone(), identity, record, devices)))
}

impl Context {
    /// Refuses a head of this log beyond the end that it declared to this home.
    ///
    /// # Errors
    /// [`Verdict::Misbehaving`], with the evidence.
    pub(super) fn check_end(&self, tree: &TreeState) -> Result<(), Failure> {
        let Some(handover) = self.end.as_ref().and_then(|end| Handover::parse(end.handover.as_bytes()).ok())
        else {
            return Ok(());
        };
        let Some(note) = head_note(&self.origin, tree) else {
            return Ok(());
        };
        let beyond =
            Checkpoint::from_note(&note).is_ok_and(|head| handover.declaration().is_contradicted_by(&head));
        if !beyond {
            return Ok(());
        }
        Err(self.convict(&Evidence::AfterHandover { a: handover.declared().clone(), b: note }))
    }

    /// What a signed head means that is of a log which was handed over to this one: `None` if this home knows no such end,
    /// or if the head is none that the old log must not have signed.
    pub(super) fn head_after_end(
        &self,
        note: &SignedNote,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Failure>, Failure> {
        let end = self.predecessors.ended.iter().find(|end| end.origin == checkpoint.origin());
        let Some(end) = end else {
            return Ok(None);
        };
        let (Ok(handover), Some(keys)) = (Handover::parse(end.handover.as_bytes()), end.log_keys()) else {
            return Err(Failure::new(Verdict::Failed, "home_damaged", "predecessors.json is damaged"));
        };
        let keys: Vec<&Vkey> = keys.iter().collect();
        let evidence = Evidence::AfterHandover { a: handover.declared().clone(), b: note.clone() };
        if !handover.declaration().is_contradicted_by(checkpoint) || evidence.verify(&keys, None).is_err() {
            return Ok(None);
        }
        let Some(home) = self.home.beside(&end.origin)? else {
            return Ok(Some(keep_conviction(&self.home, &keys, None, &evidence)));
        };
        Ok(Some(keep_conviction(&home, &keys, None, &evidence)))
    }
}

fn usage(reason: &'static str, message: impl ToString) -> Failure {
    Failure::new(Verdict::Usage, reason, message)
}
