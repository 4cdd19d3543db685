//! What a watcher says, and that it has left the process.

use std::io::{self, Write};

use keyglass_tlog::time::UnixMillis;
use serde_json::{Map, json};

use super::{News, line};
use crate::{
    command::{
        monitor::{Event, Round},
        outcome::Failure,
        unwritable,
    },
    verdict::Verdict,
};

/// Says what is new, a line at a time.
pub(super) struct Voice<'a> {
    json: bool,
    verbose: bool,
    /// Whether nothing was checked yet; the first round always says that it was.
    is_first: bool,
    out: &'a mut dyn Write,
}

impl<'a> Voice<'a> {
    pub(super) fn new(json: bool, verbose: bool, out: &'a mut dyn Write) -> Self {
        Self { json, verbose, is_first: true, out }
    }

    /// Says what is new in a round, and what was checked if that is of interest. When this returns, it was said.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub(super) fn speak(&mut self, round: &Round, news: &News, next: UnixMillis) -> Result<(), Failure> {
        self.write(round, news, next).map_err(|error| unwritable(&error))
    }

    fn write(&mut self, round: &Round, news: &News, next: UnixMillis) -> io::Result<()> {
        for event in &news.events {
            self.event(event)?;
        }
        if round.complete && (self.verbose || self.is_first || news.relief || !news.events.is_empty()) {
            self.is_first = false;
            self.checked(round, next)?;
        }
        self.out.flush()
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.json {
            let object = match event.json() {
                serde_json::Value::Object(object) => object,
                _ => Map::new(),
            };
            return writeln!(self.out, "{}", line(object));
        }
        match event.verdict {
            Verdict::Updated => writeln!(self.out, "{}", event.text),
            verdict => writeln!(self.out, "{}: {}", verdict.name().to_uppercase(), event.text),
        }
    }

    fn checked(&mut self, round: &Round, next: UnixMillis) -> io::Result<()> {
        if self.json {
            let mut object = Map::new();
            object.insert("event".into(), json!("checked"));
            object.insert("verdict".into(), json!(round.verdict()));
            object.extend(round.fields());
            object.insert("next_round".into(), json!(next.0));
            object.insert("text".into(), json!(round.checked.tell()));
            return writeln!(self.out, "{}", line(object));
        }
        if round.is_empty() {
            writeln!(
                self.out,
                "Nothing to watch yet: this home has no account in this log, and has met nobody there"
            )
        } else {
            writeln!(self.out, "{}", round.checked.tell())
        }
    }
}
