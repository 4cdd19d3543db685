//! Where each version of a label was inserted.

use super::StoreError;

/// How many insertions of a label are kept in its own record; older ones move to rows of their own.
pub const INLINE_INSERTIONS: usize = 8;

/// The new versions of a label that one log entry added: `first` and those after it, up to the next insertion's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insertion {
    /// The least version that the log entry added.
    pub first: u32,
    /// The log entry's position.
    pub position: u64,
}

/// A label's newest insertions, in ascending order. A label with a record has at least version 0.
///
/// A record changes with every update of its label, so it tells the past as well as the present: a reader who looks at
/// a smaller log (the published one) asks for the greatest version *below* that size, and a record written later still
/// answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRecord {
    greatest: u32,
    /// Never empty.
    insertions: Vec<Insertion>,
}

/// The answer of a record to a question about a label's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<T> {
    /// The record knows.
    Here(T),
    /// Only versions below this one have the answer; each has a row of its own.
    Before(u32),
}

impl LabelRecord {
    /// The record of a label whose versions 0 to `greatest` are inserted at `position`.
    #[must_use]
    pub fn new(greatest: u32, position: u64) -> Self {
        Self { greatest, insertions: vec![Insertion { first: 0, position }] }
    }

    /// Takes apart what [`insertions`](Self::insertions) and [`greatest`](Self::greatest) gave.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] unless versions and positions ascend.
    pub fn from_parts(greatest: u32, insertions: Vec<Insertion>) -> Result<Self, StoreError> {
        let ascending = insertions.is_sorted_by(|a, b| a.first < b.first && a.position < b.position);
        match insertions.last() {
            Some(last) if ascending && last.first <= greatest => Ok(Self { greatest, insertions }),
            _ => Err(StoreError::Corrupt("a label's record is out of order")),
        }
    }

    /// The greatest version that is sequenced, published or not.
    #[must_use]
    pub fn greatest(&self) -> u32 {
        self.greatest
    }

    /// The newest insertions, oldest first.
    #[must_use]
    pub fn insertions(&self) -> &[Insertion] {
        &self.insertions
    }

    /// The position of the log entry that added the greatest version.
    #[must_use]
    pub fn newest_position(&self) -> u64 {
        self.insertions.last().map_or(0, |newest| newest.position)
    }

    /// The record after the log entry at `position` has added the versions up to `greatest`, and the insertion that no
    /// longer fits, as (versions, position), for rows of its own.
    #[must_use]
    pub fn extended(&self, greatest: u32, position: u64) -> (Self, Option<(core::ops::Range<u32>, u64)>) {
        let mut next = self.clone();
        next.insertions.push(Insertion { first: self.greatest.saturating_add(1), position });
        next.greatest = greatest;
        if next.insertions.len() <= INLINE_INSERTIONS {
            return (next, None);
        }
        let oldest = next.insertions.remove(0);
        let end = next.insertions.first().map_or(oldest.first, |insertion| insertion.first);
        (next, Some((oldest.first..end, oldest.position)))
    }

    /// The position of the log entry that added `version`; `None` if that version is not sequenced.
    #[must_use]
    pub fn position_of(&self, version: u32) -> Option<Known<u64>> {
        if version > self.greatest {
            return None;
        }
        let insertion = self.insertions.iter().rev().find(|insertion| insertion.first <= version);
        Some(insertion.map_or(Known::Before(version.saturating_add(1)), |found| Known::Here(found.position)))
    }

    /// The greatest version that the first `size` log entries hold; `Here(None)` if they hold none.
    #[must_use]
    pub fn greatest_below(&self, size: u64) -> Known<Option<u32>> {
        let mut end = self.greatest.checked_add(1);
        for insertion in self.insertions.iter().rev() {
            if insertion.position < size {
                return Known::Here(Some(end.map_or(u32::MAX, |end| end.saturating_sub(1))));
            }
            end = Some(insertion.first);
        }
        match end {
            Some(0) | None => Known::Here(None),
            Some(end) => Known::Before(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(steps: &[(u32, u64)]) -> (LabelRecord, Vec<(u32, u64)>) {
        let mut rows = Vec::new();
        let mut record = LabelRecord::new(steps[0].0, steps[0].1);
        for &(greatest, position) in &steps[1..] {
            let (next, moved) = record.extended(greatest, position);
            if let Some((versions, position)) = moved {
                rows.extend(versions.map(|version| (version, position)));
            }
            record = next;
        }
        (record, rows)
    }

    #[test]
    fn every_version_is_found_in_the_record_or_in_a_row() {
        let steps: Vec<(u32, u64)> = (0..20).map(|i| (i * 3 + 1, u64::from(i) * 5 + 2)).collect();
        let (record, rows) = grown(&steps);
        assert_eq!(record.insertions().len(), INLINE_INSERTIONS);
        for version in 0..=record.greatest() {
            let expected = steps.iter().find(|(greatest, _)| *greatest >= version).unwrap().1;
            match record.position_of(version).unwrap() {
                Known::Here(position) => assert_eq!(position, expected),
                Known::Before(_) => assert!(rows.contains(&(version, expected))),
            }
        }
        assert_eq!(record.position_of(record.greatest() + 1), None);
    }

    #[test]
    fn the_greatest_version_of_every_size() {
        let steps = [(0, 3), (1, 4), (4, 9)];
        let (record, _) = grown(&steps);
        let answers: Vec<_> = [3, 4, 5, 9, 10, u64::MAX].map(|size| record.greatest_below(size)).into();
        let expected = [None, Some(0), Some(1), Some(1), Some(4), Some(4)].map(Known::Here);
        assert_eq!(answers, expected);
    }

    #[test]
    fn the_last_version_of_all_is_not_passed() {
        let record = LabelRecord::new(u32::MAX, 7);
        assert_eq!(record.greatest_below(8), Known::Here(Some(u32::MAX)));
        assert_eq!(record.position_of(u32::MAX), Some(Known::Here(7)));
    }

    #[test]
    fn a_record_out_of_order_is_corrupt() {
        let at = |first, position| Insertion { first, position };
        assert!(LabelRecord::from_parts(3, vec![]).is_err());
        assert!(LabelRecord::from_parts(3, vec![at(0, 5), at(2, 5)]).is_err());
        assert!(LabelRecord::from_parts(1, vec![at(0, 4), at(2, 5)]).is_err());
        assert!(LabelRecord::from_parts(3, vec![at(0, 4), at(2, 5)]).is_ok());
    }
}
