//! Which values the log takes: account records that follow from the label's last valid one.

use keyglass_account::{
    record::{AccountRecord, Authorisation, RecordError},
    root::{Answer, Finding},
    verify::{ValidRecord, Verified, verify},
};
use thiserror::Error;

use crate::store::{Snapshot, StoreError};

/// Who hands in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Anybody, over the network: owners, who can do everything but reset.
    Owner,
    /// The operator of this log, on this machine: resets and nothing else.
    Operator,
}

/// Why values are not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    /// The value for this version is no valid record.
    #[error("the value for version {version} is not a valid account record: {error}")]
    Invalid {
        /// The version it was meant for.
        version: u32,
        /// The first rule that it breaks.
        error: RecordError,
    },
    /// An owner handed in a reset.
    #[error("only the operator can reset an account")]
    ResetByOwner,
    /// The operator handed in something else than a reset.
    #[error("the operator can only reset an account")]
    NotAReset,
    /// The version that would show whose label it is, the newest or its root, was erased: an owner cannot be told from anybody
    /// else.
    #[error(
        "version {0}, which would show whose label this is, was erased: only the operator can go on, with a reset"
    )]
    OwnerErased(u32),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks the values for the versions from `first` on. The caller holds the label's admission.
///
/// # Errors
/// [`ValueError`].
pub fn check(
    snapshot: &dyn Snapshot,
    origin: &str,
    label: &[u8],
    first: u32,
    values: &[Vec<u8>],
    author: Author,
) -> Result<(), ValueError> {
    let mut last = last_valid(snapshot, origin, label, u64::from(first))?;
    let erased = erased_newest(snapshot, label, first)?;
    for (version, value) in (first..=u32::MAX).zip(values) {
        let invalid = |error| ValueError::Invalid { version, error };
        let (record, root) =
            judge(snapshot, verify(origin, label, version, value, last.as_ref()), label)?.map_err(invalid)?;
        check_author(record.record(), author)?;
        // Clients take such a record for a reset, and so must the log: anybody could have made it.
        let erased = match root {
            Finding::Withheld { version } | Finding::HistoryExpired { version } => Some(version),
            _ => erased,
        };
        if let (Author::Owner, Some(version)) = (author, erased) {
            return Err(ValueError::OwnerErased(version));
        }
        last = Some(record);
    }
    Ok(())
}

/// The version before `first`, if its value is gone. It may have replaced the keys that the last readable version names, and
/// whoever has those would go on with them.
fn erased_newest(snapshot: &dyn Snapshot, label: &[u8], first: u32) -> Result<Option<u32>, StoreError> {
    let Some(before) = first.checked_sub(1) else { return Ok(None) };
    let is_gone = snapshot.version(label, before)?.is_none_or(|stored| stored.opened.is_none());
    Ok(is_gone.then_some(before))
}

fn check_author(record: &AccountRecord, author: Author) -> Result<(), ValueError> {
    match (author, record.authorisation == Authorisation::Reset) {
        (Author::Owner, true) => Err(ValueError::ResetByOwner),
        (Author::Operator, false) => Err(ValueError::NotAReset),
        _ => Ok(()),
    }
}

/// The label's last valid record below version `end`. What is stored was checked when it came, so this is nearly
/// always the version before; versions that are not valid, or whose values are erased, are passed over.
///
/// # Errors
/// [`StoreError`].
pub fn last_valid(
    snapshot: &dyn Snapshot,
    origin: &str,
    label: &[u8],
    end: u64,
) -> Result<Option<ValidRecord>, StoreError> {
    for version in (0..end).rev().filter_map(|version| u32::try_from(version).ok()) {
        let stored = snapshot.version(label, version)?;
        let Some(stored) = stored.and_then(|stored| stored.opened) else { continue };
        let verified = verify(origin, label, version, &stored.value, None);
        if let Ok((record, _)) = judge(snapshot, verified, label)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Brings a verdict to its end with what the store holds for earlier versions; tells what they say of the root.
fn judge(
    snapshot: &dyn Snapshot,
    verified: Result<Verified, RecordError>,
    label: &[u8],
) -> Result<Result<(ValidRecord, Finding), RecordError>, StoreError> {
    let mut verified = verified;
    // The search itself bounds its steps.
    loop {
        match verified {
            Ok(Verified::Valid { record, root, .. }) => return Ok(Ok((*record, root))),
            Ok(Verified::NeedsHistory(search)) => {
                let stored = snapshot.version(label, search.wanted())?.and_then(|stored| stored.opened);
                let answer = stored.as_ref().map_or(Answer::Erased, |stored| Answer::Value(&stored.value));
                verified = search.supply(answer);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}
