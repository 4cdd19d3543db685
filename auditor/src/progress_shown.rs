//! Progress for whoever waits: a bar on a terminal, lines in the log otherwise.

use std::{convert::Infallible, io::IsTerminal as _, time::Duration};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::progress::{Meter, Progress};

/// How often a bar moves.
const REDRAWN: Duration = Duration::from_millis(200);
/// How soon a line is written, so that short replays are silent.
const FIRST_LINE: Duration = Duration::from_secs(1);
/// How often further lines are.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the progress of a replay while it is waited for.
pub async fn during<T>(replay: impl Future<Output = T>, log: &str, meter: &Meter) -> T {
    let bar = std::io::stderr().is_terminal().then(bar);
    let done = tokio::select! {
        done = replay => done,
        never = show(log, meter, bar.as_ref()) => match never {},
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    done
}

async fn show(log: &str, meter: &Meter, bar: Option<&ProgressBar>) -> Infallible {
    let (first, then) = if bar.is_some() { (REDRAWN, REDRAWN) } else { (FIRST_LINE, LINE_EVERY) };
    let first = Instant::now().checked_add(first).unwrap_or_else(Instant::now);
    let mut pause = tokio::time::interval_at(first, then);
    let mut last = None;
    loop {
        pause.tick().await;
        let progress = meter.read(Instant::now());
        if last == Some(progress) {
            continue;
        }
        last = Some(progress);
        let entries_are_done = progress.entries.of.is_some_and(|of| progress.entries.done >= of);
        let (what, progress) =
            if entries_are_done { ("changes", progress.changes) } else { ("entries", progress.entries) };
        match bar {
            Some(bar) => draw(bar, what, &progress),
            None => tracing::info!(log, "{}", in_words(what, &progress)),
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn draw(bar: &ProgressBar, what: &str, progress: &Progress) {
    bar.set_length(progress.of.unwrap_or(progress.done));
    bar.set_position(progress.done);
    bar.set_message(format!("{what}{}", pace(progress)));
}

/// A line of the log.
#[must_use]
pub fn in_words(what: &str, progress: &Progress) -> String {
    let of = progress.of.map_or(String::new(), |of| format!(" of {of}"));
    format!("{}{of} {what} replayed{}", progress.done, pace(progress))
}

fn pace(progress: &Progress) -> String {
    let rate = progress.per_second.map_or(String::new(), |rate| format!(", {rate:.0}/s"));
    let left = progress
        .left_ms
        .map_or(String::new(), |ms| format!(", {} left", HumanDuration(Duration::from_millis(ms))));
    format!("{rate}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let progress = Progress { done: 5, of: Some(9), per_second: Some(2.0), left_ms: Some(120_000) };
        assert_eq!(in_words("entries", &progress), "5 of 9 entries replayed, 2/s, 2 minutes left");
        assert_eq!(in_words("changes", &Progress { done: 5, ..Progress::default() }), "5 changes replayed");
    }
}
