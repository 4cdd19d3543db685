//! What the demo says: lines for a person, or JSON lines for scripts.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::client::Answer;

/// Says what happens, and remembers whether all of it was as expected.
pub struct Report {
    json: bool,
    spinner: ProgressBar,
    started: Instant,
    failures: Vec<String>,
}

impl Report {
    /// A report for a person, or with `json` for scripts.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let spinner = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self { json, spinner, started: Instant::now(), failures: Vec::new() }
    }

    /// A new part of the demo.
    pub fn title(&self, title: &str) {
        if !self.json {
            self.print(&format!("\n{title}"));
        }
    }

    /// What is going on right now; forgotten when the next thing is said.
    pub fn doing(&self, what: &str) {
        self.spinner.set_message(what.to_owned());
    }

    /// A line for a person.
    pub fn line(&self, line: &str) {
        if !self.json {
            self.print(&format!("  {line}"));
        }
    }

    /// What a step came to, which is right exactly if `verdict` is `expected`.
    pub fn verdict(&mut self, step: &str, verdict: &str, expected: &str, why: &str, details: Value) {
        let right = verdict == expected;
        if !right {
            self.failures.push(format!("{step}: {verdict} instead of {expected}: {why}"));
        }
        if self.json {
            let mut line = Map::new();
            line.insert("step".to_owned(), json!(step));
            line.insert("verdict".to_owned(), json!(verdict));
            line.insert("expected".to_owned(), json!(expected));
            line.insert("ok".to_owned(), json!(right));
            line.insert("why".to_owned(), json!(why));
            line.insert("details".to_owned(), details);
            line.insert(
                "elapsed_ms".to_owned(),
                json!(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)),
            );
            println!("{}", Value::Object(line));
        } else {
            let mark = if right { "as expected" } else { "UNEXPECTED" };
            self.print(&format!("  => {verdict} ({mark}): {why}"));
        }
    }

    /// What a command answered, which is right exactly if its verdict is `expected`; `why` says what that means.
    pub fn answer(&mut self, step: &str, answer: &Answer, expected: &str, why: &str) {
        if answer.verdict() != expected {
            for line in answer.transcript.lines() {
                self.line(line);
            }
        }
        self.verdict(step, answer.verdict(), expected, why, answer.json.clone());
    }

    /// The last words; whether everything was as expected.
    #[must_use]
    pub fn finish(self) -> bool {
        self.spinner.finish_and_clear();
        let elapsed = self.started.elapsed();
        if self.json {
            let line = json!({
                "step": "end", "ok": self.failures.is_empty(), "failures": self.failures,
                "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            });
            println!("{line}");
        } else if self.failures.is_empty() {
            println!("\nEvery verdict was the expected one, in {:.1} s.", elapsed.as_secs_f64());
        } else {
            println!("\nNot as expected:");
            for failure in &self.failures {
                println!("  {failure}");
            }
        }
        self.failures.is_empty()
    }

    fn print(&self, line: &str) {
        // Without a terminal there is no spinner, and a bar's own printing would say nothing.
        self.spinner.suspend(|| println!("{line}"));
    }
}
