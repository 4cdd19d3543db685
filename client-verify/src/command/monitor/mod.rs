//! `keyglass monitor`: one round over all own labels and all contacts.
//!
//! What verifies is retained at once; what a round found is remembered only after it was reported, so that a crash in
//! between repeats a report and loses none.

mod adopt;
mod contact;
mod event;
mod own;

use serde_json::{Map, Value, json};

pub use adopt::adopt;
pub(super) use contact::changes;
pub use event::Event;

use super::{
    context::{Context, now},
    outcome::{Failure, Outcome},
    own::{find_out_pending, told_of_built_upon},
};
use crate::{
    http::printable,
    proven::ProvenAccount,
    state::WatchDocument,
    verdict::Verdict,
    watching::words::{self, Checked},
};

/// What one round found.
pub struct Round {
    /// What there is to tell, in the order in which it was found.
    pub events: Vec<Event>,
    /// What was checked. The log's entries are those of the newest head that was verified, now or before.
    pub checked: Checked,
    /// Whether everything was asked. If not, the last event says why.
    pub complete: bool,
    /// What keeping watch remembers, as it is after this round.
    pub watch: WatchDocument,
    /// The contacts as they were proven, to be remembered.
    proven: Vec<(String, ProvenAccount)>,
    /// The own accounts of which it is told that versions made elsewhere are built upon.
    told: Vec<String>,
}

/// Looks once at everything.
///
/// # Errors
/// [`Verdict::Failed`] if the home cannot be read; what the log says and does not say is in the round.
pub async fn round(context: &mut Context) -> Result<Round, Failure> {
    let checked = Checked { own: 0, contacts: 0, entries: 0, age: 0 };
    let watch = context.home.watch()?;
    let (events, proven, told) = (Vec::new(), Vec::new(), Vec::new());
    let mut round = Round { events, checked, complete: true, watch, proven, told };
    match look(context, &mut round).await {
        Ok(()) => {}
        Err(failure) if matches!(failure.verdict, Verdict::Failed | Verdict::Usage) => return Err(failure),
        Err(failure) => {
            round.complete = false;
            round.events.push(Event::of_failure(None, failure));
        }
    }
    if let Some(tree) = &context.state.tree {
        round.checked.entries = tree.tree_size();
        round.checked.age = now().0.saturating_sub(tree.rightmost_timestamp());
    }
    Ok(round)
}

/// Looks at one label after the other.
///
/// # Errors
/// Those that concern every label, after which asking for the others would be of no use.
async fn look(context: &mut Context, round: &mut Round) -> Result<(), Failure> {
    let mut own = Vec::new();
    for mut account in context.home.accounts()? {
        if account.published.is_some() && (account.pending.is_some() || !account.declined.is_empty()) {
            // A version of an earlier run, of which no answer came or that was declined: it is one's own, if the log has it.
            let found_out = find_out_pending(context, &mut account).await.map(|_| ());
            round.take(&account.label, found_out)?;
        }
        let Some(published) = account.published else {
            continue;
        };
        let looked = own::look(context, &account, published, round).await;
        round.take(&account.label, looked)?;
        if let Some(since) = account.built_upon_since {
            round.events.push(built_upon(&account.label, since));
            round.told.push(account.label.clone());
        }
        let maintained = prekeys(context, &account.label, round).await;
        round.take(&account.label, maintained)?;
        round.checked.own = round.checked.own.saturating_add(1);
        own.push(account.label);
    }
    let is_own = |label: &[u8]| own.iter().any(|own| own.as_bytes() == label);
    let monitored: Vec<Vec<u8>> = context
        .state
        .labels
        .iter()
        .filter(|(label, state)| !state.map.is_empty() && !is_own(label))
        .map(|(label, _)| label.clone())
        .collect();
    for label in monitored {
        let looked = contact::monitor(context, &label, round).await;
        round.take(&String::from_utf8_lossy(&label), looked)?;
    }
    let watched = context.contacts.by_label.iter().filter(|(_, contact)| !contact.unwatched);
    let contacts: Vec<String> =
        watched.map(|(label, _)| label).filter(|label| !is_own(label.as_bytes())).cloned().collect();
    for label in contacts {
        let looked = contact::look(context, &label, round).await;
        round.take(&label, looked)?;
        round.checked.contacts = round.checked.contacts.saturating_add(1);
    }
    // Kept for comparing with other people; and where there is nobody to look at, the log itself is.
    match context.recent_heads().await {
        Err(failure) if concerns_all(failure.verdict) => return Err(failure),
        Err(failure) => round.events.push(Event::of_failure(None, failure)),
        Ok(_) => {}
    }
    // Heads that people told of in messages, and that the log did not explain then.
    for (from, mut failure) in context.settle().await? {
        failure.message = format!("a head that {from} told of: {}", failure.message);
        round.events.push(Event::of_failure(None, failure).with("from", from));
    }
    Ok(())
}

fn built_upon(label: &str, since: u32) -> Event {
    let text = words::built_upon_since(&printable(label.to_owned()), since);
    Event::new("built_upon", Verdict::Updated, label, text).with("since_version", since).passing()
}

/// Looks after an own account's prekeys, where it is time. What the server's pool differed in is told; it is repaired.
async fn prekeys(context: &Context, label: &str, round: &mut Round) -> Result<(), Failure> {
    // Looking may have changed what is stored.
    let Some(mut account) = context.home.account(label)? else { return Ok(()) };
    for (device, maintained) in context.maintain_due(&mut account).await? {
        if !maintained.differences.is_empty() {
            let told: Vec<String> = maintained.differences.iter().map(ToString::to_string).collect();
            let text = format!("{label}, device {device}: new prekeys, since {}", told.join(" and "));
            let event = Event::new("prekeys_differed", Verdict::Updated, label, text);
            round
                .events
                .push(event.with("device", device).with("differences", maintained.differences).passing());
        }
    }
    Ok(())
}

impl Round {
    /// Takes in what looking at one label came to.
    ///
    /// # Errors
    /// What concerns every label.
    fn take(&mut self, label: &str, looked: Result<(), Failure>) -> Result<(), Failure> {
        match looked {
            Err(failure) if concerns_all(failure.verdict) => Err(failure),
            Err(failure) => {
                self.events.push(Event::of_failure(Some(label), failure));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The gravest of what was found.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.gravest().map_or(Verdict::Verified, |event| event.verdict)
    }

    fn gravest(&self) -> Option<&Event> {
        self.events.iter().min_by_key(|event| gravity(event.verdict))
    }

    /// Whether the home has anything to watch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.complete && self.checked.own == 0 && self.checked.contacts == 0 && self.events.is_empty()
    }

    /// What was checked, for scripts.
    #[must_use]
    pub fn fields(&self) -> Map<String, Value> {
        let Checked { own, contacts, entries, age } = self.checked;
        let members = [
            ("own", json!(own)),
            ("contacts", json!(contacts)),
            ("tree_size", json!(entries)),
            ("head_age_ms", json!(age)),
            ("complete", json!(self.complete)),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The round for a person and for scripts.
    #[must_use]
    pub fn describe(&self) -> Outcome {
        let mut outcome = Outcome::new(self.verdict());
        for event in &self.events {
            outcome.line(event.text.clone());
        }
        if self.is_empty() {
            outcome.line("nothing to watch: this home has no account in this log, and has met nobody there");
        } else if self.complete {
            outcome.line(self.checked.tell());
        }
        outcome.fields = self.fields();
        outcome.field("events", self.events.iter().map(Event::json).collect::<Vec<_>>());
        if let Some(event) = self.gravest() {
            outcome.field("reason", event.name);
            outcome.field("message", &event.text);
        }
        outcome
    }

    /// Remembers what was found, which has been reported.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub fn settle(self, context: &mut Context) -> Result<(), Failure> {
        context.remember_all(&self.proven)?;
        self.told.iter().try_for_each(|label| told_of_built_upon(context, label))?;
        Ok(context.home.store_watch(&self.watch)?)
    }
}

/// Whether a verdict about one label is one about the log, its head or this machine.
fn concerns_all(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Misbehaving
            | Verdict::Unreconciled
            | Verdict::Disputed
            | Verdict::Unwitnessed
            | Verdict::Stale
            | Verdict::Unreachable
            | Verdict::Failed
            | Verdict::Usage
    )
}

/// The place of a verdict among what a round can come to; the gravest is 0.
fn gravity(verdict: Verdict) -> usize {
    const ORDER: [Verdict; 15] = [
        Verdict::Misbehaving,
        Verdict::Unexpected,
        Verdict::Withheld,
        Verdict::Unreconciled,
        Verdict::Disputed,
        Verdict::Changed,
        Verdict::Refused,
        Verdict::Invalid,
        Verdict::Unwitnessed,
        Verdict::Stale,
        Verdict::Unreachable,
        Verdict::Declined,
        Verdict::NotFound,
        Verdict::Updated,
        Verdict::Verified,
    ];
    // What has no place here does not come from a round; should it, it must not go unseen.
    ORDER.iter().position(|known| *known == verdict).map_or(0, |place| place.saturating_add(1))
}
