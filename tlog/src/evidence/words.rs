//! Evidence in plain words.

use super::{Conviction, Explanation, Side, Signer, Statement};
use crate::{
    shown::{base64, octets, seconds},
    time::UnixSeconds,
};

/// An explanation for a person who knows nothing of logs. Names in it that strangers chose have what would not be seen for what
/// it is escaped; the lines have no markup and no line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What is proven, or that nothing is, in one sentence.
    pub headline: String,
    /// Why that is a contradiction, or why there is none.
    pub reason: String,
    /// What was signed: a sentence for each statement, each followed by the sentences about its signatures.
    pub statements: Vec<Vec<String>>,
    /// What that means for the witnesses; empty if nothing is proven.
    pub witnesses: Vec<String>,
}

impl Words {
    /// All sentences in their order.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let first = [&self.headline, &self.reason].into_iter();
        first.chain(self.statements.iter().flatten()).chain(&self.witnesses).map(String::as_str)
    }
}

impl Explanation {
    /// The explanation in words.
    #[must_use]
    pub fn words(&self) -> Words {
        let statements = self.statements.iter().map(|statement| self.of_statement(statement)).collect();
        match &self.verdict {
            Ok(conviction) => Words {
                headline: self.headline(conviction),
                reason: self.contradiction(conviction),
                statements,
                witnesses: self.of_witnesses(),
            },
            Err(error) => Words {
                headline: "NOT PROVEN: this file convicts nobody".to_owned(),
                reason: format!("What follows is what the file claims. It proves nothing, because {error}."),
                statements,
                witnesses: Vec::new(),
            },
        }
    }

    fn headline(&self, conviction: &Conviction) -> String {
        let (origin, (a, b)) = (octets(conviction.origin().as_bytes()), conviction.sizes());
        match self.kind {
            "same-size" => format!("PROVEN: {origin} signed two different logs of {}", entries(a)),
            "empty-tree" => format!("PROVEN: {origin} signed an impossible empty log"),
            "after-handover" => {
                format!(
                    "PROVEN: {origin} declared its end at {} and signed a log of {} all the same",
                    entries(a),
                    entries(b)
                )
            }
            _ => format!(
                "PROVEN: {origin} signed a log of {} that does not extend the one of {} that it signed",
                entries(b),
                entries(a)
            ),
        }
    }

    fn contradiction(&self, conviction: &Conviction) -> String {
        let (a, b) = conviction.sizes();
        match self.kind {
            "same-size" => format!(
                "A log only ever grows, so it has one content at each size. Both statements are about {}, the root hash stands \
                 for the whole content, and the root hashes differ: some people were shown one log and others another.",
                entries(a)
            ),
            "empty-tree" => "Every empty log has the same root hash. The log signed another one for a log without entries, \
                             which no log can have."
                .to_owned(),
            "after-handover" => format!(
                "The log promised to sign nothing beyond {} and named its successor. It signed a statement about {} that is \
                 not the end it promised: those who followed it there and those who did not see different logs.",
                entries(a),
                entries(b)
            ),
            _ => format!(
                "A log only ever grows, so the first {} of the second statement's log should be those of the first \
                 statement. The proof in the file shows that they are not: there, the root hash over {} was {}. Entries \
                 were changed or removed, or some people were shown one log and others another.",
                entries(a),
                entries(a),
                self.other_root.map_or_else(|| "another one".to_owned(), |root| base64(&root))
            ),
        }
    }

    fn of_statement(&self, statement: &Statement) -> Vec<String> {
        let which = if self.statements.len() == 1 { "The" } else { ordinal(statement.side) };
        let (origin, root) = (octets(statement.origin.as_bytes()), base64(&statement.root));
        let size = entries(statement.size);
        let mut sentences = vec![match &statement.successor {
            None => format!("{which} statement: {origin} has {size}, root hash {root}."),
            Some(next) => format!(
                "{which} statement: {origin} ends with {size}, root hash {root}, and {} comes after it.",
                octets(next.as_str().as_bytes())
            ),
        }];
        for line in &statement.lines {
            let key = format!("{}+{}", octets(line.key.as_str().as_bytes()), line.id);
            sentences.push(match &line.signer {
                Signer::Log => match line.time {
                    None => format!("Signed by the log, with its key {key}; its signature states no time."),
                    Some(time) => format!("Signed by the log, with its key {key}, {}.", at(Some(time))),
                },
                Signer::Witness(name) => {
                    format!("Cosigned by the witness {} ({key}), {}.", octets(name.as_bytes()), at(line.time))
                }
                Signer::Forged => {
                    format!("A line claims the key {key}, which did not sign this: it says nothing.")
                }
                Signer::Unknown => format!("A line of {key}, who is unknown here: it says nothing."),
            });
        }
        sentences
    }

    fn of_witnesses(&self) -> Vec<String> {
        if !self.has_policy {
            return vec!["No policy was given, so no witness can be named.".to_owned()];
        }
        let mut sentences = Vec::new();
        for part in self.witnesses() {
            let name = octets(part.name.as_bytes());
            sentences.push(match (part.is_faulty, part.first, part.second) {
                (true, Some(first), Some(second)) => format!(
                    "The witness {name} cosigned both statements (the first {}, the second {}) and is itself proven faulty: \
                     a witness promises to cosign one history only.",
                    at(first),
                    at(second)
                ),
                (true, first, second) => format!(
                    "The witness {name} cosigned this impossible statement {} and is itself proven faulty.",
                    at(first.or(second).flatten())
                ),
                (false, Some(_), Some(_)) => format!(
                    "The witness {name} cosigned both statements. No witness is told of a log's end, so that is no fault of it."
                ),
                (false, first, _) => format!(
                    "The witness {name} cosigned the {} statement only: nothing in this file is held against it.",
                    if first.is_some() { "first" } else { "second" }
                ),
            });
        }
        if sentences.is_empty() {
            sentences.push("No witness of the policy cosigned either statement.".to_owned());
        } else if !self.witnesses().iter().any(|part| part.is_faulty) {
            sentences.push("No witness of the policy is proven faulty.".to_owned());
        }
        sentences
    }
}

fn ordinal(side: Side) -> &'static str {
    match side {
        Side::A => "First",
        Side::B => "Second",
    }
}

fn entries(size: u64) -> String {
    if size == 1 { "1 entry".to_owned() } else { format!("{size} entries") }
}

fn at(time: Option<UnixSeconds>) -> String {
    time.map_or_else(|| "at a time that is not stated".to_owned(), |time| format!("on {}", seconds(time)))
}
