//! Whether one record may follow another that is valid.

use crate::{
    chain::{Chain, RecoveryGrant},
    record::{AccountRecord, Authorisation, RecordError, fingerprint},
};

/// What a record is to the one known before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is the same, or it follows from it.
    Follows,
    /// The identity chain starts after the known record: somebody reset the account between them.
    ResetBetween,
}

/// Checks `next`, whose own signatures hold, against `known`, which is valid.
///
/// Where versions lie between the two that the caller has not seen, the chain is still checked in full; devices and
/// retired keys only as far as the two records can contradict each other.
pub(crate) fn check(known: &AccountRecord, next: &AccountRecord) -> Result<Outcome, RecordError> {
    if next.version < known.version {
        return Err(RecordError::VersionBelowKnown { known: known.version });
    }
    if next.version == known.version {
        let same = next.hash() == known.hash();
        return if same { Ok(Outcome::Follows) } else { Err(RecordError::Rewritten(next.version)) };
    }
    let wrong_predecessor = RecordError::WrongPredecessor { last_valid: known.version };
    let predecessor = next.predecessor.ok_or(wrong_predecessor)?;
    if predecessor.version < known.version
        || predecessor.version == known.version && predecessor.hash != known.hash()
    {
        return Err(wrong_predecessor);
    }
    let adjacent = predecessor.version == known.version;
    match &next.chain {
        None if adjacent && known.flags.lockdown => return Err(RecordError::LockdownForbidsReset),
        None if !adjacent => return check_contents(known, next, false).map(|()| Outcome::ResetBetween),
        None => {}
        Some(chain) if chain.root.version > known.version => {
            return check_contents(known, next, false).map(|()| Outcome::ResetBetween);
        }
        Some(chain) => check_chain(known, next, chain, adjacent)?,
    }
    check_contents(known, next, adjacent)?;
    Ok(Outcome::Follows)
}

/// The part of the check that does not depend on who authorised `next`.
fn check_contents(known: &AccountRecord, next: &AccountRecord, adjacent: bool) -> Result<(), RecordError> {
    for device in &next.devices {
        match known.device(device.id) {
            None if device.id < known.next_device_id => return Err(RecordError::DeviceIdReused(device.id)),
            Some(before)
                if (before.signing_key, before.dh_key, before.added, before.signature)
                    != (device.signing_key, device.dh_key, device.added, device.signature) =>
            {
                return Err(RecordError::DeviceAltered(device.id));
            }
            None | Some(_) => {}
        }
    }
    if adjacent {
        check_device_ids(Some(known), next)?;
    } else if next.next_device_id < known.next_device_id {
        let (found, expected) = (next.next_device_id, known.next_device_id);
        return Err(RecordError::WrongNextDeviceId { found, expected });
    }
    let before = known.keys();
    for (role, key) in next.keys() {
        if before.iter().any(|(other, old)| *old == key && *other != role) {
            return Err(RecordError::KeyReused(role));
        }
        if known.retired.binary_search(&fingerprint(&key)).is_ok() {
            return Err(RecordError::KeyReused(role));
        }
    }
    let expected = retired_after(known, next);
    let holds = if adjacent {
        expected == next.retired
    } else {
        expected.iter().all(|fingerprint| next.retired.binary_search(fingerprint).is_ok())
    };
    if !holds {
        return Err(RecordError::WrongRetired);
    }
    if let Some(grant) = &next.recovery
        && known.recovery.as_ref() != Some(grant)
        && (grant.since <= known.version || adjacent && grant.since != next.version)
    {
        return Err(RecordError::BadRecoveryGrant);
    }
    Ok(())
}

/// Whether `next_device_id` counts every id used so far.
pub(crate) fn check_device_ids(
    before: Option<&AccountRecord>,
    next: &AccountRecord,
) -> Result<(), RecordError> {
    let expected = next_device_id_after(before, next);
    if next.next_device_id == expected {
        Ok(())
    } else {
        Err(RecordError::WrongNextDeviceId { found: next.next_device_id, expected })
    }
}

/// `next_device_id` of a record with these devices.
pub(crate) fn next_device_id_after(before: Option<&AccountRecord>, next: &AccountRecord) -> u32 {
    let used = before.map_or(1, |before| before.next_device_id);
    next.devices.last().map_or(used, |last| last.id.saturating_add(1).max(used))
}

/// The retired keys of a record that follows `known` directly: all that were, and those that it drops.
pub(crate) fn retired_after(known: &AccountRecord, next: &AccountRecord) -> Vec<u64> {
    let kept = next.keys();
    let dropped = known.keys().into_iter().filter(|(_, key)| kept.iter().all(|(_, other)| other != key));
    let mut retired = known.retired.clone();
    retired.extend(dropped.map(|(_, key)| fingerprint(&key)));
    retired.sort_unstable();
    retired.dedup();
    retired
}

/// The chain must be the known one, continued by links that are younger than the known record.
fn check_chain(
    known: &AccountRecord,
    next: &AccountRecord,
    chain: &Chain,
    adjacent: bool,
) -> Result<(), RecordError> {
    let diverges = RecordError::ChainDiverges { known: known.version };
    let before = Chain::after(known)?;
    if chain.root != before.root {
        return Err(diverges);
    }
    let (kept, added) = chain.links.split_at_checked(before.links.len()).ok_or(diverges)?;
    if kept != before.links || adjacent && !added.is_empty() {
        return Err(diverges);
    }
    for link in added {
        let follows_known = link.predecessor.version == known.version;
        if link.predecessor.version < known.version || follows_known && link.predecessor.hash != known.hash()
        {
            return Err(diverges);
        }
    }
    let authorisations = added.iter().map(|link| (&link.authorisation, link.predecessor.version));
    let last = next.predecessor.map(|predecessor| (&next.authorisation, predecessor.version));
    authorisations.chain(last).try_for_each(|(authorisation, follows)| match authorisation {
        Authorisation::Recovery(grant) => check_grant_used(known, grant, follows),
        _ => Ok(()),
    })
}

/// Whether a recovery whose predecessor is version `follows` may use `grant`: the one that `known` names, or one that began
/// later. Without this, whoever holds a recovery key that was replaced could go on from a version that nobody has seen.
fn check_grant_used(known: &AccountRecord, grant: &RecoveryGrant, follows: u32) -> Result<(), RecordError> {
    let is_later = follows > known.version
        && grant.since > known.version
        && known.retired.binary_search(&fingerprint(&grant.key.to_bytes())).is_err();
    if is_later || known.recovery.as_ref() == Some(grant) {
        Ok(())
    } else {
        Err(RecordError::BadRecoveryGrant)
    }
}
