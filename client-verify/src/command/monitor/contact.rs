//! Looking at people whom the home has met.

use keyglass_account::{record::AccountRecord, time::UnixMillis, verify::ValidRecord};

use super::{Event, Round};
use crate::{
    command::{
        context::{Context, now},
        operation::{contact_monitor, monitoring_declined},
        outcome::Failure,
    },
    http::printable,
    proven::{Author, Difference, Identity, ProvenAccount, differences},
    state::ToldVersion,
    verdict::Verdict,
    watching::words::{self, Account},
};

/// Checks that what was shown of a label is still there.
///
/// # Errors
/// The verdicts of a look-up; [`Verdict::Withheld`] if the log declines.
pub(super) async fn monitor(context: &mut Context, label: &[u8], round: &mut Round) -> Result<(), Failure> {
    let verified = match context.perform(&contact_monitor(label)).await.map_err(monitoring_declined) {
        Ok(verified) => verified,
        Err(failure) if failure.reason == "expired_version" => {
            // What nobody can be shown any more, nobody can miss.
            context.forget_monitored(label)?;
            let name = String::from_utf8_lossy(label);
            let text = words::unwatched(&printable(name.clone().into_owned()));
            round.events.push(Event::new("unwatched", Verdict::Updated, &name, text).passing());
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    context.retain(verified.update)
}

/// Looks a contact up as `lookup` does, and tells what is different from the last time that the person was told.
///
/// # Errors
/// The verdicts of a look-up.
pub(super) async fn look(context: &mut Context, label: &str, round: &mut Round) -> Result<(), Failure> {
    let resolved = context.resolve(label).await?;
    let Some(before) = resolved.before else {
        return Ok(());
    };
    let (account, record, since) = match before.told {
        None => (resolved.account, before.record, before.last_seen),
        // Another command has met a version in between and did not come to telling so.
        Some(ToldVersion { version, record, last_seen }) => {
            let known = ValidRecord::restore(&context.origin, label.as_bytes(), version, &record)
                .map_err(|error| damaged(label, error))?;
            let newest = resolved.found.value;
            let (account, _) = context.prove_newest(label, newest, Some(&known)).await?;
            (account, record, last_seen)
        }
    };
    // Whom nobody but the provider vouches for is not taken for the one met before until a person says so.
    let is_accepted = account.identity() != Identity::Broken;
    for event in changes(context, label, &record, UnixMillis(since), &account)? {
        round.events.push(if is_accepted { event.passing() } else { event });
    }
    if is_accepted {
        round.proven.push((label.to_owned(), account));
    }
    Ok(())
}

/// What is different in `account` from `record`, against which it was proven, and which was its newest at `since`.
///
/// # Errors
/// [`Verdict::Failed`].
pub(in crate::command) fn changes(
    context: &Context,
    label: &str,
    record: &[u8],
    since: UnixMillis,
    account: &ProvenAccount,
) -> Result<Vec<Event>, Failure> {
    let known = AccountRecord::decode(record).map_err(|error| damaged(label, error))?;
    let until = context.state.tree.as_ref().map_or(0, |tree| tree.rightmost_timestamp());
    let name = printable(label.to_owned());
    let teller = Account { name: &name, since, until: UnixMillis(until) };
    let version = account.valid().version();
    let event = |difference: &Difference| {
        let verdict = if difference.is_of_identity() { Verdict::Changed } else { Verdict::Updated };
        let text = teller.tell(difference, now());
        let event = Event::new(difference.name(), verdict, label, text).with("version", version);
        with_details(event, difference, Author::from(account.change().by))
    };
    Ok(differences(&known, account).iter().map(event).collect())
}

fn damaged(label: &str, error: impl core::fmt::Display) -> Failure {
    Failure::new(Verdict::Failed, "home_damaged", format!("{label}: {error}"))
}

/// What a script learns of a difference, in a version that `of_version` authorised.
fn with_details(event: Event, difference: &Difference, of_version: Author) -> Event {
    let author = difference.authorised_by().unwrap_or(of_version);
    let event = event.with("authorised_by", author.name());
    match *difference {
        Difference::DeviceLinked { device, added, .. } => event.with("device", device).with("added", added.0),
        Difference::DeviceRemoved { device, .. } | Difference::DeviceChanged { device, .. } => {
            event.with("device", device)
        }
        Difference::Reset { version }
        | Difference::HistoryMissing { version, .. }
        | Difference::IdentityReplaced { version, .. } => event.with("since_version", version),
        Difference::InvalidVersions { count } => event.with("count", count),
        _ => event,
    }
}
