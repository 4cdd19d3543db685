//! Accounts that are different from what this home knew, where a command finds so that is not about looking: `send` and
//! `receive` say it, too. Should they not come to saying it, `monitor` does.

use keyglass_account::time::UnixMillis;

use super::{
    context::Context,
    monitor::{self, Event},
    outcome::{Failure, Outcome},
    resolve::Resolved,
};

/// What there is to tell.
#[derive(Debug, Default)]
pub(super) struct Changes {
    events: Vec<Event>,
    /// The accounts of which all there is to tell is here.
    labels: Vec<String>,
}

impl Context {
    /// Remembers an account that handshakes may be run with. What is different in it from the one known before is to be told.
    ///
    /// # Errors
    /// [`Verdict::Failed`](crate::verdict::Verdict::Failed).
    pub(super) fn remember_changes(&mut self, label: &str, resolved: &Resolved) -> Result<(), Failure> {
        if let Some(before) = &resolved.before {
            let since = UnixMillis(before.last_seen);
            let events = monitor::changes(self, label, &before.record, since, &resolved.account)?;
            // What an earlier run did not come to telling, `monitor` tells together with this.
            if !events.is_empty() && before.told.is_none() {
                self.changes.labels.push(label.to_owned());
            }
            self.changes.events.extend(events);
        }
        self.remember_untold(label, &resolved.account)
    }

    /// Says what is different.
    pub(super) fn tell_changes(&self, outcome: &mut Outcome) {
        for event in &self.changes.events {
            outcome.note(format!("  {}", event.text));
        }
        outcome.field("changes", self.changes.events.iter().map(Event::json).collect::<Vec<_>>());
    }

    /// Remembers that it was said: it was printed.
    ///
    /// # Errors
    /// [`Verdict::Failed`](crate::verdict::Verdict::Failed).
    pub(super) fn changes_were_told(&mut self) -> Result<(), Failure> {
        let Changes { labels, .. } = std::mem::take(&mut self.changes);
        if labels.is_empty() {
            return Ok(());
        }
        let mut contacts = self.contacts.clone();
        for label in labels {
            if let Some(contact) = contacts.by_label.get_mut(&label) {
                contact.told = None;
            }
        }
        self.store_contacts(contacts)
    }
}
