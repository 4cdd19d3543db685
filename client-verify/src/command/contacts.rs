//! `keyglass contacts`: whom the home has met, and who of them is watched.

use keyglass_tlog::time::UnixMillis;
use serde_json::json;

use super::{
    args::ContactsOptions,
    context::{Context, now},
    outcome::{Failure, Outcome},
    resolve::{hex, known_identity},
};
use crate::{http::printable, verdict::Verdict, watching::Date};

/// Runs the command. Nothing is asked of the server.
///
/// # Errors
/// [`Verdict::Usage`] for somebody whom the home has not met, [`Verdict::Failed`].
pub fn run(context: &mut Context, options: &ContactsOptions) -> Result<Outcome, Failure> {
    let changed = match (&options.ignore, &options.watch) {
        (Some(label), _) => Some((label, true)),
        (None, Some(label)) => Some((label, false)),
        (None, None) => None,
    };
    if let Some((label, unwatched)) = changed {
        let mut contacts = context.contacts.clone();
        let contact = contacts.by_label.get_mut(label).ok_or_else(|| {
            Failure::new(
                Verdict::Usage,
                "not_met",
                format!("this home has not met {label}; look it up first"),
            )
        })?;
        contact.unwatched = unwatched;
        context.home.store_contacts(&contacts)?;
        context.contacts = contacts;
    }
    Ok(list(context))
}

fn list(context: &Context) -> Outcome {
    let today = Date::of(now());
    let day = |time: u64| Date::of(UnixMillis(time)).seen_from(today);
    let mut outcome = Outcome::new(Verdict::Verified);
    let mut contacts = Vec::new();
    for (label, contact) in &context.contacts.by_label {
        outcome.line(format!(
            "{}: version {}, met on {}, last seen on {}, {}",
            printable(label.clone()),
            contact.version,
            day(contact.first_seen),
            day(contact.last_seen),
            if contact.unwatched { "NOT WATCHED" } else { "watched" }
        ));
        contacts.push(json!({
            "label": label,
            "version": contact.version,
            "first_seen": contact.first_seen,
            "last_seen": contact.last_seen,
            "watched": !contact.unwatched,
            "identity_key": known_identity(&contact.record),
            "first_identity_key": hex(&contact.first_identity_key),
        }));
    }
    if contacts.is_empty() {
        outcome.note("this home has met nobody in this log");
    }
    outcome.field("contacts", contacts);
    outcome
}
