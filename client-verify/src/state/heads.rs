//! What a home keeps of a log's distinguished heads, and the heads that others told of and the log has not explained.

use keyglass_crypto::hash::Digest;
use keyglass_keytrans::client::{Agreement, DistinguishedEntry};
use serde::{Deserialize, Serialize};

use super::{format::Format, text};

/// The most entries that are kept, as many as a `DistinguishedHead` can hold. The oldest go first.
pub const MAX_ENTRIES: usize = 255;

/// The most unexplained heads that are kept. The oldest go first.
pub const MAX_UNSETTLED: usize = 32;

/// A log's distinguished heads as this home verified them.
///
/// The entries follow one another in the log without a gap: what was known is kept beyond the walk that showed it, so that
/// messages which arrive late can still be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsDocument {
    format: Format<1>,
    /// The log's origin.
    pub origin: String,
    /// When the log was walked last, in milliseconds since the Unix epoch; 0 if never.
    pub walked: u64,
    /// When a walk that nobody asked for failed last, likewise.
    pub failed: u64,
    /// How many of the entries the last walk gave: the recent ones.
    recent: usize,
    entries: Vec<KnownHead>,
    unsettled: Vec<UnsettledHead>,
}

/// A distinguished log entry and the log tree's root when it was the rightmost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownHead {
    /// Its position.
    pub position: u64,
    /// Its timestamp, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The root.
    #[serde(with = "text::array")]
    pub root: Digest,
}

/// A head that the log signed and witnesses cosigned, that somebody told of, and that the log has not shown to belong to
/// the history it shows here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsettledHead {
    /// Who told of it.
    pub from: String,
    /// The signed note.
    pub note: String,
}

impl HeadsDocument {
    /// Nothing known yet.
    #[must_use]
    pub fn new(origin: String) -> Self {
        Self {
            format: Format,
            origin,
            walked: 0,
            failed: 0,
            recent: 0,
            entries: Vec::new(),
            unsettled: Vec::new(),
        }
    }

    /// All entries that are kept, ascending.
    #[must_use]
    pub fn entries(&self) -> &[KnownHead] {
        &self.entries
    }

    /// The entries of the last walk, ascending.
    #[must_use]
    pub fn recent(&self) -> &[KnownHead] {
        self.entries.get(self.entries.len().saturating_sub(self.recent)..).unwrap_or(&[])
    }

    /// Takes in a verified walk at `now`, in milliseconds since the Unix epoch. Gives [`Agreement::Disputed`], and changes
    /// nothing, if it contradicts what is kept.
    pub fn take_walk(&mut self, walk: &[DistinguishedEntry], now: u64) -> Agreement {
        let walk: Vec<KnownHead> = walk
            .iter()
            .map(|entry| KnownHead { position: entry.position, timestamp: entry.timestamp, root: entry.root })
            .collect();
        let agreement =
            Agreement::of_entries(&positions_and_roots(&self.entries), &positions_and_roots(&walk));
        if agreement == Agreement::Disputed {
            return agreement;
        }
        // Without overlap there may be a gap, and then nothing says that the older entries come right before.
        let first = walk.first().map_or(0, |entry| entry.position);
        let keep = |entry: &KnownHead| agreement == Agreement::Agree && entry.position < first;
        self.entries.retain(keep);
        self.recent = walk.len();
        self.entries.extend(walk);
        let excess = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..excess);
        self.walked = now;
        agreement
    }

    /// The heads that wait for an explanation.
    #[must_use]
    pub fn unsettled(&self) -> &[UnsettledHead] {
        &self.unsettled
    }

    /// Keeps a head until the log explains it.
    pub fn keep_unsettled(&mut self, head: UnsettledHead) {
        if !self.unsettled.iter().any(|kept| kept.note == head.note) {
            self.unsettled.push(head);
            let excess = self.unsettled.len().saturating_sub(MAX_UNSETTLED);
            self.unsettled.drain(..excess);
        }
    }

    /// Forgets a head that was explained.
    pub fn settle(&mut self, note: &str) {
        self.unsettled.retain(|kept| kept.note != note);
    }
}

/// Entries as they are compared.
#[must_use]
pub fn positions_and_roots(entries: &[KnownHead]) -> Vec<(u64, Digest)> {
    entries.iter().map(|entry| (entry.position, entry.root)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(branch: u8, positions: std::ops::Range<u64>) -> Vec<DistinguishedEntry> {
        positions
            .map(|position| {
                let root = [u8::try_from(position).unwrap() ^ branch; 32];
                DistinguishedEntry { position, timestamp: position * 10, root }
            })
            .collect()
    }

    fn kept(document: &HeadsDocument) -> Vec<u64> {
        document.entries().iter().map(|entry| entry.position).collect()
    }

    #[test]
    fn walks_that_overlap_lengthen_the_history_and_others_replace_it() {
        let mut document = HeadsDocument::new("log".into());
        assert_eq!(document.take_walk(&walk(0, 0..10), 7), Agreement::NoOverlap);
        assert_eq!((document.walked, document.recent().len()), (7, 10));
        assert_eq!(document.take_walk(&walk(0, 4..14), 8), Agreement::Agree);
        assert_eq!(kept(&document), (0..14).collect::<Vec<u64>>());
        assert_eq!(document.recent().first().unwrap().position, 4);
        // Entries that have expired leave the walk at its left end, and are still kept.
        assert_eq!(document.take_walk(&walk(0, 12..14), 9), Agreement::Agree);
        assert_eq!((kept(&document).len(), document.recent().len()), (14, 2));
        assert_eq!(document.take_walk(&walk(0, 20..30), 10), Agreement::NoOverlap);
        assert_eq!(kept(&document), (20..30).collect::<Vec<u64>>());
    }

    #[test]
    fn a_walk_that_contradicts_what_is_kept_changes_nothing() {
        let mut document = HeadsDocument::new("log".into());
        document.take_walk(&walk(0, 0..10), 7);
        let before = document.clone();
        assert_eq!(document.take_walk(&walk(1, 5..15), 8), Agreement::Disputed);
        assert_eq!(document, before);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut document = HeadsDocument::new("log".into());
        for start in (0..246).step_by(9) {
            document.take_walk(&walk(0, start..start + 10), start);
        }
        assert_eq!(document.entries().len(), 253);
        document.take_walk(&walk(0, 243..256), 1);
        assert_eq!(document.entries().len(), MAX_ENTRIES);
        assert_eq!(document.entries().last().unwrap().position, 255);

        for n in 0..100 {
            let head = UnsettledHead { from: "alice".into(), note: n.to_string() };
            document.keep_unsettled(head.clone());
            document.keep_unsettled(head);
        }
        assert_eq!(document.unsettled().len(), MAX_UNSETTLED);
        assert_eq!(document.unsettled().first().unwrap().note, "68");
        document.settle("68");
        assert_eq!(document.unsettled().len(), MAX_UNSETTLED - 1);
    }
}
