//! `keyglass heads`: the log's distinguished heads, to be compared with what other people see of the log.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_keytrans::client::Agreement;
use keyglass_tlog::time::UnixMillis;
use serde_json::{Value, json};

use super::{
    context::{Context, read_file},
    heads_text::{HeadsText, MAX_LEN},
    lookup::duration,
    outcome::{Failure, Outcome},
};
use crate::{
    state::{HeadsDocument, KnownHead, positions_and_roots},
    verdict::Verdict,
    watching::Date,
};

/// Walks the log's recent distinguished heads and shows them; with `export` as text that another person can compare.
///
/// # Errors
/// The verdicts of a look-up.
pub async fn run(context: &mut Context, export: bool) -> Result<Outcome, Failure> {
    let unexplained = context.settle().await?;
    if let Some((_, failure)) =
        unexplained.iter().find(|(_, failure)| failure.verdict == Verdict::Misbehaving)
    {
        return Err(failure.clone());
    }
    let heads = context.walk_heads().await?;
    let mut outcome =
        Outcome::new(unexplained.first().map_or(Verdict::Verified, |(_, failure)| failure.verdict));
    for (_, failure) in &unexplained {
        outcome.note(format!("  {}", failure.message));
    }
    let text = HeadsText::of(&heads).to_string();
    if export {
        text.lines().for_each(|line| outcome.line(line));
    } else {
        describe(context, &heads, &mut outcome);
    }
    outcome.field("export", text);
    fields(context, &heads, &mut outcome);
    Ok(outcome)
}

/// Compares the log's distinguished heads as this home verifies them with another person's: an export, or a file of one.
///
/// # Errors
/// The verdicts of a look-up, and [`Verdict::Usage`] for what is no such text, or of another log.
pub async fn compare(context: &mut Context, file_or_text: &str) -> Result<Outcome, Failure> {
    let theirs = read(file_or_text)?;
    if theirs.origin != context.origin {
        let message = format!("the list is of {}, and this is {}", theirs.origin, context.origin);
        return Err(Failure::new(Verdict::Usage, "another_log", message));
    }
    let heads = context.walk_heads().await?;
    let ours = positions_and_roots(heads.entries());
    let theirs: Vec<_> = theirs.entries.iter().map(|entry| (entry.position, entry.root)).collect();
    let common = theirs.iter().filter(|entry| ours.contains(entry)).count();
    let (verdict, name, line) = match Agreement::of_entries(&ours, &theirs) {
        Agreement::Agree => {
            (Verdict::Verified, "agree", format!("both see the same log: {common} heads in common"))
        }
        Agreement::NoOverlap => (
            Verdict::NoOverlap,
            "no_overlap",
            "the lists do not overlap; compare again with newer ones".to_owned(),
        ),
        Agreement::Disputed => (
            Verdict::Disputed,
            "disputed",
            format!("THE LISTS CONTRADICT EACH OTHER, with {common} heads in common"),
        ),
    };
    let mut outcome = Outcome::new(verdict);
    outcome.line(line);
    outcome.field("agreement", name);
    outcome.field("common", common);
    outcome.field("compared", theirs.len());
    fields(context, &heads, &mut outcome);
    Ok(outcome)
}

/// The text itself, or what is in the file of that name.
fn read(file_or_text: &str) -> Result<HeadsText, Failure> {
    let bytes = if file_or_text.starts_with(super::heads_text::HEADER) {
        // Shells take the last newline off.
        let mut text = file_or_text.trim_end_matches('\n').to_owned();
        text.push('\n');
        text.into_bytes()
    } else {
        read_file(file_or_text.as_ref(), u64::try_from(MAX_LEN).unwrap_or(u64::MAX))?
    };
    HeadsText::parse(&bytes).map_err(|error| Failure::new(Verdict::Usage, "heads_malformed", error))
}

fn describe(context: &Context, heads: &HeadsDocument, outcome: &mut Outcome) {
    let size = context.state.last().unwrap_or(0);
    outcome.line(context.origin.as_str());
    outcome
        .line(format!("  {size} entries; the recent distinguished heads, which everybody should see alike:"));
    for head in heads.recent() {
        outcome.line(format!(
            "  entry {:<10} {}  {}",
            head.position,
            utc(head.timestamp),
            STANDARD.encode(head.root)
        ));
    }
    let older = heads.entries().len().saturating_sub(heads.recent().len());
    if older > 0 {
        outcome.line(format!("  {older} older ones are kept to compare with"));
    }
    let waiting = heads.unsettled().len();
    if waiting > 0 {
        outcome.line(format!("  {waiting} heads that others told of have not been explained yet"));
    }
    let age = context.state.tree.as_ref().map_or(0, |tree| tree.rightmost_timestamp());
    let age = super::context::now().0.saturating_sub(age);
    outcome.line(format!("  the head is {} old", duration(age)));
}

fn fields(context: &Context, heads: &HeadsDocument, outcome: &mut Outcome) {
    let shown = |head: &KnownHead| -> Value {
        json!({ "position": head.position, "timestamp": head.timestamp, "root": STANDARD.encode(head.root) })
    };
    outcome.field("origin", &context.origin);
    outcome.field("tree_size", context.state.last());
    outcome.field("heads", heads.recent().iter().map(shown).collect::<Vec<_>>());
    outcome.field("kept", heads.entries().len());
    outcome.field("unsettled", heads.unsettled().len());
}

/// A timestamp in milliseconds as date and time, to the second.
fn utc(timestamp: u64) -> String {
    let Date { year, month, day } = Date::of(UnixMillis(timestamp));
    let time = timestamp / 1000 % 86_400;
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (1_709_164_800, "2024-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(seconds * 1000 + 999), text);
        }
        assert!(utc(u64::MAX).ends_with("UTC"));
    }
}
