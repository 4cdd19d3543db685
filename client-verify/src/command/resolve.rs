//! From a label to a proven account: the newest version, its history where that decides, and what this home knew.

use keyglass_account::{
    record::AccountRecord,
    verify::{AuthorisedBy, ValidRecord},
};

use super::{
    context::{Context, now},
    outcome::Failure,
    search::Found,
    withheld::hidden,
};
use crate::{
    proven::{self, History, Identity, ProvenAccount, ProvenValue, Proving},
    state::{CarriedContact, Contact, Contacts, ToldVersion},
    verdict::Verdict,
};

/// A proven account with the look-up that proved it.
pub struct Resolved {
    /// The account.
    pub account: ProvenAccount,
    /// The look-up of its newest version.
    pub found: Found,
    /// The bytes of all answers, those for older versions included.
    pub proof_bytes: usize,
    /// What this home knew of the account before.
    pub before: Option<Contact>,
    /// What it knew of it in a log that was handed over to this one, if it meets it here for the first time.
    pub carried: Option<CarriedContact>,
}

impl Resolved {
    /// Whether the account was met in a log before this one, under another identity key.
    #[must_use]
    pub fn is_another_identity(&self) -> bool {
        let identity_key = self.account.valid().record().identity_key.to_bytes();
        self.carried.as_ref().is_some_and(|carried| carried.identity_key != identity_key)
    }
}

impl Context {
    /// Proves the account of `label`.
    ///
    /// The head is retained as soon as it is verified; the account is remembered by [`Self::remember`] only.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub async fn resolve(&mut self, label: &str) -> Result<Resolved, Failure> {
        let found = self.search(label.as_bytes(), None).await?;
        self.resolve_found(label, found).await
    }

    /// Proves the account of `label` from a search for its newest version.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn resolve_found(&mut self, label: &str, found: Found) -> Result<Resolved, Failure> {
        let before = self.contacts.by_label.get(label).cloned();
        if let Some(before) = before.as_ref().filter(|before| found.value.version() < before.version) {
            return Err(hidden(label, found.value.version(), before.version));
        }
        let known = before.as_ref().map(|contact| self.known(label, contact)).transpose()?;
        let (account, history_bytes) = self.prove_newest(label, found.value.clone(), known.as_ref()).await?;
        let proof_bytes = found.proof_bytes.saturating_add(history_bytes);
        let carried = self.contacts.carried.get(label).filter(|_| before.is_none()).cloned();
        Ok(Resolved { account, found, proof_bytes, before, carried })
    }

    /// Proves the newest value of `label` against the record known before, looking up as much of its history as decides.
    /// Gives the bytes that this took besides.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn prove_newest(
        &mut self,
        label: &str,
        newest: ProvenValue,
        known: Option<&ValidRecord>,
    ) -> Result<(ProvenAccount, usize), Failure> {
        let mut proof_bytes = 0_usize;
        let mut proving = proven::prove(newest, known)?;
        loop {
            let pending = match proving {
                Proving::Done(account) => return Ok((*account, proof_bytes)),
                Proving::NeedsVersion(pending) => pending,
            };
            let history = match self.search(label.as_bytes(), Some(pending.wanted())).await {
                Ok(older) => {
                    proof_bytes = proof_bytes.saturating_add(older.proof_bytes);
                    History::Value(older.value)
                }
                Err(failure) => absent(failure)?,
            };
            proving = pending.supply(history)?;
        }
    }

    /// Remembers the account as it was proven, once the person may go on with it and is told of it.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub fn remember(&mut self, label: &str, account: &ProvenAccount) -> Result<(), Failure> {
        self.remember_all(&[(label.to_owned(), account.clone())])
    }

    /// Remembers several accounts in one step, of which the person was told what changed.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub fn remember_all(&mut self, accounts: &[(String, ProvenAccount)]) -> Result<(), Failure> {
        if accounts.is_empty() {
            return Ok(());
        }
        let mut contacts = self.contacts.clone();
        for (label, account) in accounts {
            enter(&mut contacts, label, account).told = None;
        }
        self.store_contacts(contacts)
    }

    /// Remembers an account, and that the person was not told yet what changed since it was the one known before.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub(super) fn remember_untold(&mut self, label: &str, account: &ProvenAccount) -> Result<(), Failure> {
        let mut contacts = self.contacts.clone();
        let before = contacts.by_label.get(label).cloned();
        let contact = enter(&mut contacts, label, account);
        let changed = before.filter(|before| contact.told.is_none() && before.record != contact.record);
        if let Some(Contact { version, record, last_seen, .. }) = changed {
            contact.told = Some(ToldVersion { version, record, last_seen });
        }
        self.store_contacts(contacts)
    }

    pub(super) fn store_contacts(&mut self, contacts: Contacts) -> Result<(), Failure> {
        self.home.store_contacts(&contacts)?;
        self.contacts = contacts;
        Ok(())
    }

    /// The record that was proven last, as it was stored.
    fn known(&self, label: &str, contact: &Contact) -> Result<ValidRecord, Failure> {
        let damaged = |error| Failure::new(Verdict::Failed, "home_damaged", format!("{label}: {error}"));
        ValidRecord::restore(&self.origin, label.as_bytes(), contact.version, &contact.record)
            .map_err(damaged)
    }
}

/// Enters an account among the contacts as it was proven. What the person was told of stays as it is.
fn enter<'a>(contacts: &'a mut Contacts, label: &str, account: &ProvenAccount) -> &'a mut Contact {
    let record = account.valid().record();
    let carried = contacts.carried.remove(label);
    let first = carried.map(|carried| (carried.first_identity_key, carried.first_seen));
    let (first_identity_key, first_seen) = first.unwrap_or_else(|| (record.identity_key.to_bytes(), now().0));
    let contact = contacts.by_label.entry(label.to_owned()).or_insert_with(|| Contact {
        first_identity_key,
        first_seen,
        version: record.version,
        record: Vec::new(),
        last_seen: 0,
        unwatched: false,
        told: None,
    });
    contact.version = record.version;
    contact.record = record.encode();
    contact.last_seen = now().0;
    contact
}

/// What the failure to find an older version means for the history; other failures stay failures.
fn absent(failure: Failure) -> Result<History, Failure> {
    match failure.reason {
        "erased_version" => Ok(History::Erased),
        "expired_version" => Ok(History::Expired),
        "unknown_label" | "unknown_version" | "label_withheld" | "version_withheld" | "version_not_there"
        | "never_expires" | "declined" => Ok(History::Withheld),
        _ => Err(failure),
    }
}

/// The failure that stops at an identity which nobody but the provider vouches for.
#[must_use]
pub fn broken_identity(resolved: &Resolved) -> Failure {
    let record = resolved.account.valid().record();
    let message = match (&resolved.before, resolved.account.change().is_reset()) {
        (Some(_), true) => {
            "THE PROVIDER HAS RESET THIS ACCOUNT: the identity that you knew did not agree to the new one. It may be \
             a lost phone, or it may be somebody else. Ask the person through another channel; --accept-change goes on."
        }
        (None, true) => {
            "this account was once reset by its provider: nobody else vouches for its identity. Ask the person \
             through another channel; --accept-change goes on."
        }
        _ => {
            "the log withholds or has lost the beginning of this account's history, which counts as a reset by its \
             provider. Ask the person through another channel; --accept-change goes on."
        }
    };
    Failure::new(Verdict::Changed, "identity_reset", message)
        .with("version", record.version)
        .with("authorised_by", authorised_by(&resolved.account))
        .with("identity_key", hex(&record.identity_key.to_bytes()))
        .with(
            "identity_key_before",
            resolved.before.as_ref().and_then(|before| known_identity(&before.record)),
        )
}

/// The failure that stops at an account that had another identity in the log before this one.
#[must_use]
pub fn another_identity(resolved: &Resolved) -> Failure {
    let message = "IN THE LOG BEFORE THIS ONE THIS ACCOUNT HAD ANOTHER IDENTITY, and nothing shows that its owner changed \
                   it. Ask the person through another channel; --accept-change goes on.";
    let record = resolved.account.valid().record();
    Failure::new(Verdict::Changed, "identity_changed_between_logs", message)
        .with("version", record.version)
        .with("authorised_by", authorised_by(&resolved.account))
        .with("identity_key", hex(&record.identity_key.to_bytes()))
        .with("identity_key_before", resolved.carried.as_ref().map(|carried| hex(&carried.identity_key)))
}

/// The identity key in a stored record, in hex.
#[must_use]
pub fn known_identity(record: &[u8]) -> Option<String> {
    AccountRecord::decode(record).ok().map(|record| hex(&record.identity_key.to_bytes()))
}

/// Who authorised the identity as it is: the last change of it, or the account's beginning.
#[must_use]
pub fn authorised_by(account: &ProvenAccount) -> &'static str {
    if account.identity() == Identity::Broken {
        return "provider";
    }
    author_name(account.change().identity.last().map_or(account.change().by, |change| change.by))
}

/// A stable name for who authorised something, for scripts.
#[must_use]
pub fn author_name(by: AuthorisedBy) -> &'static str {
    match by {
        AuthorisedBy::Genesis => "genesis",
        AuthorisedBy::Identity(_) => "identity",
        AuthorisedBy::Recovery(_) => "recovery",
        AuthorisedBy::Provider => "provider",
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
