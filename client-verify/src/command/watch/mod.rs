//! `keyglass watch`: round after round, until it is told to end.
//!
//! The home is held only during a round, so that other commands may use it in between; a lock of its own keeps a second
//! watcher away. Rounds change the home by atomic writes alone, and wait for nothing between a report and what is
//! remembered of it: ended at any point, the next start goes on where this one was.

mod ending;
mod speak;

use std::{collections::BTreeSet, io::Write, time::Duration};

use ending::Ending;
use keyglass_tlog::time::UnixMillis;
use serde_json::json;
use speak::Voice;

use super::{
    args::{Common, WatchOptions},
    context::{Context, now},
    marked,
    monitor::{self, Event, Round},
    open,
    outcome::{Failure, Outcome},
    random, reporting,
};
use crate::{
    verdict::Verdict,
    watching::{Looked, Schedule},
};

/// The longest that is slept at once. A machine that was suspended does not count the time by which others go on, so that
/// the clock is looked at again.
const SLICE: Duration = Duration::from_secs(30);

/// What the end of a round leaves to the next.
enum Left {
    /// When it is due.
    Next(UnixMillis),
    /// Why there must not be one.
    Over(Failure),
}

/// Runs the command.
///
/// # Errors
/// [`Verdict::Usage`] and [`Verdict::Failed`] as other commands have; [`Verdict::Misbehaving`] once the log is convicted.
pub async fn run(
    common: &Common,
    options: &WatchOptions,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let mut ending = Ending::new()?;
    let mut voice = Voice::new(common.json, options.verbose, stdout);
    let context = open(common, stderr).await?;
    let schedule = schedule(options, &context);
    let _lock = context.home.lock_watch()?;
    let mut next = context.home.watch()?.next_round.map(UnixMillis);
    let mut outcome = marked(&context, Outcome::new(Verdict::Verified));
    drop(context);
    let mut rounds = 0_u64;
    while options.rounds.is_none_or(|limit| rounds < limit) {
        if ends_before(&mut ending, schedule, next).await {
            break;
        }
        let left = tokio::select! {
            left = one_round(common, schedule, &mut voice, stderr) => left?,
            () = ending.comes() => break,
        };
        next = match left {
            Left::Next(next) => Some(next),
            Left::Over(failure) => return Err(failure),
        };
        rounds = rounds.saturating_add(1);
    }
    outcome.field("rounds", rounds);
    Ok(outcome)
}

/// Waits until the next round is due, or for the end; says whether it is the end.
async fn ends_before(ending: &mut Ending, schedule: Schedule, next: Option<UnixMillis>) -> bool {
    loop {
        let wait = Duration::from_millis(schedule.wait(now(), next));
        if ending.comes_within(wait.min(SLICE)).await {
            return true;
        }
        if wait <= SLICE {
            return false;
        }
    }
}

fn schedule(options: &WatchOptions, context: &Context) -> Schedule {
    let window = context.verifier.configuration().reasonable_monitoring_window;
    options.every.map_or_else(|| Schedule::of_window(window), Schedule::every)
}

/// Looks once, reports, and plans the next round.
async fn one_round(
    common: &Common,
    schedule: Schedule,
    voice: &mut Voice<'_>,
    stderr: &mut dyn Write,
) -> Result<Left, Failure> {
    let mut context = match Context::open(common).await {
        Ok(context) => context,
        Err(failure) if failure.reason == "home_in_use" => {
            // Another command takes long; it will not be there for ever.
            let next = schedule.next(now(), Looked::Unanswered { in_a_row: 1 }, random_number()?);
            return Ok(Left::Next(next));
        }
        Err(failure) if failure.verdict == Verdict::Misbehaving => {
            return Ok(Left::Over(failure));
        }
        Err(failure) => return Err(failure),
    };
    let mut round = monitor::round(&mut context).await?;
    // From here on nothing is waited for.
    let random = random_number()?;
    let looked = match round.events.iter().find(|event| event.verdict == Verdict::Unreachable) {
        Some(_) => Looked::Unanswered { in_a_row: round.watch.unanswered.saturating_add(1) },
        None => Looked::Answered,
    };
    let next = schedule.next(now(), looked, random);
    let news = News::of(&mut round);
    voice.speak(&round, &news, next)?;
    let over = round.events.iter().find(|event| event.verdict == Verdict::Misbehaving).map(convicted);
    round.watch.next_round = Some(next.0);
    round.watch.unanswered = match looked {
        Looked::Answered => 0,
        Looked::Unanswered { in_a_row } => in_a_row,
    };
    round.settle(&mut context)?;
    drop(context);
    reporting::tell(common, stderr).await;
    Ok(over.map_or(Left::Next(next), Left::Over))
}

/// What is different from the round before.
struct News {
    /// What was not reported before.
    events: Vec<Event>,
    /// Whether something that was reported is no longer so.
    relief: bool,
}

impl News {
    /// Compares a round with what was reported. From now on what stands in it counts as reported.
    fn of(round: &mut Round) -> Self {
        let known = std::mem::take(&mut round.watch.reported);
        let events = round.events.iter().filter(|event| !known.contains(&event.key())).cloned().collect();
        let standing = round.events.iter().filter(|event| event.stands).map(Event::key);
        let standing: BTreeSet<String> = standing.collect();
        let relief = round.complete && known.iter().any(|key| !standing.contains(key));
        // What could not be looked at stands as it did.
        let unseen = if round.complete { BTreeSet::new() } else { known };
        round.watch.reported = standing.into_iter().chain(unseen).collect();
        Self { events, relief }
    }
}

/// The end of watching a log that signed two histories.
fn convicted(event: &Event) -> Failure {
    let mut failure = Failure::new(Verdict::Misbehaving, event.name, &event.text);
    failure.fields = event.fields.clone();
    failure
}

fn random_number() -> Result<u64, Failure> {
    Ok(u64::from_be_bytes(random::bytes()?))
}

/// A line of JSON.
fn line(mut object: serde_json::Map<String, serde_json::Value>) -> String {
    object.insert("time".into(), json!(now().0));
    serde_json::Value::Object(object).to_string()
}
