//! Whose signatures count: the keys of each log that is known, and the witnesses of a policy.

use std::{collections::BTreeMap, sync::Arc};

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    Digest,
    note::{self, KeyId, MAX_SIGNATURES, SignatureLine, SignedNote, Vkey},
    policy::Policy,
};

/// The most lines of one key of a log that are tried before its head counts as unsigned: no honest head has more than one, and
/// a peer could else have as many signatures verified as a note has lines. Evidence is not treated so: whoever adds lines to it
/// must not be able to take it back.
const MAX_TRIED: usize = 4;

/// The witnesses of a policy, found by what their signature lines claim.
#[derive(Debug, Clone)]
pub struct Witnesses {
    policy: Policy,
    by_line: BTreeMap<(String, KeyId), Vec<usize>>,
}

impl Witnesses {
    /// Those of this policy.
    #[must_use]
    pub fn of(policy: Policy) -> Self {
        let mut by_line: BTreeMap<(String, KeyId), Vec<usize>> = BTreeMap::new();
        for (index, witness) in policy.witnesses().iter().enumerate() {
            let vkey = witness.vkey();
            by_line.entry((vkey.name().as_str().to_owned(), vkey.id())).or_default().push(index);
        }
        Self { policy, by_line }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// A log that is known.
#[derive(Debug, Clone)]
pub struct KnownLog {
    keys: Vec<Vkey>,
    url: Option<String>,
    witnesses: Arc<Witnesses>,
}

impl KnownLog {
    /// A log with these keys, of which one must have signed what is believed of it. `url` is the prefix of its tiles
    /// (C2SP tlog-tiles), if it is known.
    #[must_use]
    pub fn new(keys: Vec<Vkey>, url: Option<String>, witnesses: Arc<Witnesses>) -> Self {
        Self { keys, url, witnesses }
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> Vec<&Vkey> {
        self.keys.iter().collect()
    }

    /// The prefix of its tiles.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The policy that names the witnesses of its heads.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.witnesses.policy()
    }

    /// Whether one of the first few lines of some key of the log verifies. Costs little where none does.
    #[must_use]
    pub fn has_signed(&self, note: &SignedNote) -> bool {
        let of_key = |key: &Vkey| {
            let claimed = |line: &&SignatureLine| line.id() == key.id() && line.name() == key.name();
            let mut tried = note.signatures().iter().filter(claimed).take(MAX_TRIED);
            tried.any(|line| verifies(note, line, key))
        };
        self.keys.iter().any(of_key)
    }

    /// The note with one verified line of each key of the log, and of each witness of the policy, in that order; `None` if
    /// the log has not signed it. Whoever passes a note on can neither spoil it by bad lines nor make it grow.
    #[must_use]
    pub fn trim(&self, note: &SignedNote) -> Option<SignedNote> {
        let mut lines: Vec<SignatureLine> =
            self.keys.iter().filter_map(|key| line_of(note, key).cloned()).collect();
        if lines.is_empty() {
            return None;
        }
        // By the witness's place in the policy, so that equal contents have equal bytes.
        let mut cosigned: BTreeMap<usize, &SignatureLine> = BTreeMap::new();
        for line in note.signatures() {
            let claimed = (line.name().as_str().to_owned(), line.id());
            for index in self.witnesses.by_line.get(&claimed).into_iter().flatten() {
                let witness = self.witnesses.policy.witnesses().get(*index);
                if !cosigned.contains_key(index)
                    && witness.is_some_and(|witness| verifies(note, line, witness.vkey()))
                {
                    cosigned.insert(*index, line);
                }
            }
        }
        lines.extend(cosigned.into_values().cloned());
        lines.truncate(MAX_SIGNATURES);
        SignedNote::new(note.text(), lines).ok()
    }
}

/// The first line of this key that verifies. Others of the same key are not held against the note: they prove nothing.
fn line_of<'a>(note: &'a SignedNote, key: &Vkey) -> Option<&'a SignatureLine> {
    note.signatures().iter().find(|line| verifies(note, line, key))
}

fn verifies(note: &SignedNote, line: &SignatureLine, key: &Vkey) -> bool {
    note::verify_lines(note.text(), core::slice::from_ref(line), &[key]).is_ok_and(|lines| !lines.is_empty())
}

/// All logs that are known. What is about others is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    logs: BTreeMap<String, KnownLog>,
    by_hash: BTreeMap<Digest, String>,
}

impl Trust {
    /// These logs, each under the name of its keys, the origin. A log without a key is not known.
    #[must_use]
    pub fn new(logs: impl IntoIterator<Item = KnownLog>) -> Self {
        let of_log = |log: KnownLog| Some((log.keys.first()?.name().as_str().to_owned(), log));
        let logs: BTreeMap<String, KnownLog> = logs.into_iter().filter_map(of_log).collect();
        let by_hash = logs.keys().map(|origin| (sha256(&[origin.as_bytes()]), origin.clone())).collect();
        Self { logs, by_hash }
    }

    /// The logs and the witnesses of one policy. A log's URL there is the prefix of its tiles; of several, the first counts.
    #[must_use]
    pub fn of_policy(policy: &Policy) -> Self {
        let witnesses = Arc::new(Witnesses::of(policy.clone()));
        let mut logs: BTreeMap<String, KnownLog> = BTreeMap::new();
        for log in policy.logs() {
            let url = log.url().and_then(|url| core::str::from_utf8(url).ok()).map(str::to_owned);
            let known = logs
                .entry(log.origin().to_owned())
                .or_insert_with(|| KnownLog::new(Vec::new(), None, Arc::clone(&witnesses)));
            known.keys.push(log.vkey().clone());
            known.url = known.url.take().or(url);
        }
        Self::new(logs.into_values())
    }

    /// The log with this origin.
    #[must_use]
    pub fn log(&self, origin: &str) -> Option<&KnownLog> {
        self.logs.get(origin)
    }

    /// The origin with this SHA-256 hash.
    #[must_use]
    pub fn origin_of(&self, hash: &Digest) -> Option<&str> {
        self.by_hash.get(hash).map(String::as_str)
    }

    /// The origins from this one on, in order.
    pub fn origins_from<'a>(&'a self, start: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let from = core::ops::Bound::Included(start);
        self.logs.range::<str, _>((from, core::ops::Bound::Unbounded)).map(|(origin, _)| origin.as_str())
    }

    /// All origins, in order.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Branch, HONEST, log, policy, trust};

    #[test]
    fn what_nobody_known_signed_is_left_out() {
        let trust = trust(3);
        let log_trust = trust.log(crate::testkit::ORIGIN).unwrap();
        let noisy = crate::testkit::noisy(&HONEST.note(5, &[2, 0]));
        assert!(noisy.signatures().len() > 30);
        let trimmed = log_trust.trim(&noisy).unwrap();
        // In the policy's order, whatever order they came in.
        assert_eq!(trimmed, HONEST.note(5, &[0, 2]));
        assert_eq!(log_trust.trim(&HONEST.note(5, &[2, 0])).unwrap(), trimmed);
    }

    #[test]
    fn what_the_log_has_not_signed_is_nothing() {
        let trust = trust(2);
        let log_trust = trust.log(crate::testkit::ORIGIN).unwrap();
        let note = HONEST.note(5, &[0, 1]);
        let unsigned = SignedNote::new(note.text(), note.signatures()[1..].to_vec()).unwrap();
        assert_eq!(log_trust.trim(&unsigned), None);
        // The log's line of another tree does not count either.
        let other = Branch { fork_at: 0, branch: 1 }.note(5, &[]);
        let moved = SignedNote::new(note.text(), other.signatures().to_vec()).unwrap();
        assert_eq!(log_trust.trim(&moved), None);
    }

    #[test]
    fn a_flood_of_lines_is_not_tried_to_its_end() {
        let trust = trust(0);
        let log_trust = trust.log(crate::testkit::ORIGIN).unwrap();
        let (good, forged) = (HONEST.note(5, &[]), HONEST.note(6, &[]).signatures()[0].clone());
        let behind = |count: usize| {
            let lines = [vec![forged.clone(); count], good.signatures().to_vec()].concat();
            SignedNote::new(good.text(), lines).unwrap()
        };
        assert!(log_trust.has_signed(&good) && log_trust.has_signed(&behind(MAX_TRIED - 1)));
        assert!(!log_trust.has_signed(&behind(MAX_TRIED)) && !log_trust.has_signed(&behind(60)));
        assert_eq!(log_trust.trim(&behind(60)).unwrap(), good, "evidence is not taken back by that");
    }

    #[test]
    fn logs_are_those_of_the_policy() {
        let text = format!("log {} https://log.example/tiles\nquorum none\n", log().vkey());
        let trust = Trust::of_policy(&Policy::parse(text.as_bytes()).unwrap());
        assert_eq!(trust.origins().collect::<Vec<_>>(), [crate::testkit::ORIGIN]);
        assert_eq!(trust.log(crate::testkit::ORIGIN).unwrap().url(), Some("https://log.example/tiles"));
        let hash = sha256(&[crate::testkit::ORIGIN.as_bytes()]);
        assert_eq!(trust.origin_of(&hash), Some(crate::testkit::ORIGIN));
        assert_eq!(trust.origin_of(&[0; 32]), None);
        assert!(trust.log("log.example").is_none());
        assert_eq!(policy(2).witnesses().len(), 2);
    }
}
