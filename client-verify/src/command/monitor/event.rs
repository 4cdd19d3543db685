//! One thing that a round found.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    command::outcome::Failure,
    http::{one_line, printable},
    verdict::Verdict,
};

/// One thing that a round found.
#[derive(Debug, Clone)]
pub struct Event {
    /// A stable name, for scripts.
    pub name: &'static str,
    /// What it means.
    pub verdict: Verdict,
    /// The label that it is about, if it is about one.
    pub label: Option<String>,
    /// What it is, in a sentence.
    pub text: String,
    /// Further members of its JSON object.
    pub fields: Map<String, Value>,
    /// Whether later rounds find it again until somebody does something about it.
    pub stands: bool,
}

impl Event {
    /// An event about a label.
    #[must_use]
    pub fn new(name: &'static str, verdict: Verdict, label: &str, text: String) -> Self {
        let (label, text) = (Some(label.to_owned()), one_line(&text));
        Self { name, verdict, label, text, fields: Map::new(), stands: true }
    }

    /// A failure to look at a label, or at all.
    #[must_use]
    pub fn of_failure(label: Option<&str>, failure: Failure) -> Self {
        let Failure { verdict, reason, message, fields } = failure;
        let text = match label {
            Some(label) => format!("{}: {message}", printable(label.to_owned())),
            None => message,
        };
        Self { name: reason, verdict, label: label.map(str::to_owned), text, fields, stands: true }
    }

    /// The event as one that is remembered once it was told, so that no later round finds it.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { stands: false, ..self }
    }

    /// The event with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.fields.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// What tells it from others, but not from itself in a later round.
    #[must_use]
    pub fn key(&self) -> String {
        let member = |name| self.fields.get(name).map(Value::to_string).unwrap_or_default();
        let label = self.label.as_deref().unwrap_or_default();
        format!("{} {} {} {label}", self.name, member("version"), member("device"))
    }

    /// For scripts.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("event".into(), json!(self.name));
        object.insert("verdict".into(), json!(self.verdict));
        object.insert("label".into(), json!(self.label));
        object.insert("text".into(), json!(self.text));
        for (name, value) in &self.fields {
            object.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use keyglass_account::time::UnixMillis;

    use super::*;
    use crate::watching::words::{self, Maker};

    /// However long a label somebody has chosen, it does not push out of sight what is said of it.
    #[test]
    fn a_long_label_hides_no_words() {
        let name = "x".repeat(255);
        let (provider, now) = (Maker::Provider, UnixMillis(0));
        for (text, end) in [
            (words::unexpected(&name, Some(1), provider), "tell your contacts"),
            (words::erased(&name, 1, now, now), "is still proven"),
        ] {
            let event = Event::new("e", Verdict::Unexpected, &name, text);
            assert!(event.text.ends_with(end), "{}", event.text);
            let failure = Failure::new(Verdict::Unexpected, "f", &event.text);
            assert!(Event::of_failure(Some(&name), failure).text.ends_with(end));
        }
    }
}
