//! How the server's idea of a device's pool differs from the device's own.
//!
//! They differ when one of the two has lost state: the server was restored from a backup, or the device was. Numbers that
//! one of them has used and the other does not know of show it, and where all numbers agree, the pool's
//! [digest](keyglass_account::pool). What follows is always the same and safe for either: the device takes over the higher
//! numbers, and raises its *floor* above every batch that there ever was, so that no key is handed out that was before or
//! whose secret is gone. Secrets that the device has stay until their time, for messages that are on their way.

use keyglass_account::{
    api::PreKeyStatus,
    pool::{PoolBatch, PoolState, encoding_hash},
    prekey::{KeyType, PreKeyBatch},
};
use serde::Serialize;
use thiserror::Error;

use crate::state::OwnDeviceState;

/// How far ahead of its own a device takes numbers of a server over: more than it can have used and forgotten.
const MAX_AHEAD: u32 = 1 << 20;

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Error)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum Difference {
    /// The server does not have the signed or last-resort prekey that it confirmed.
    #[error("the server has lost the signed prekey {id}")]
    SignedPreKeyLost {
        /// The device's newest.
        id: u32,
    },
    /// The server has a signed or last-resort prekey of which the device knows nothing.
    #[error("the server has the signed prekey {id}, which this device does not know")]
    SignedPreKeyUnknown {
        /// The server's.
        id: u32,
    },
    /// The server never heard of a batch that it confirmed.
    #[error("the server has lost the batch {batch}")]
    BatchLost {
        /// The batch.
        batch: u32,
    },
    /// The server hands out keys of a batch for which the device has no secrets.
    #[error("the server hands out keys of the batch {batch}, for which this device has no secrets")]
    BatchUnknown {
        /// The batch.
        batch: u32,
    },
    /// The server would hand out keys that handshakes have used.
    #[error("the server would hand out keys of the batch {batch} that were used already")]
    HandedOutAgain {
        /// The batch.
        batch: u32,
    },
    /// The server knows of numbers that the device has not given out.
    #[error("the server knows of prekey numbers that this device has not given out")]
    NumbersAhead,
    /// The server was told of a higher floor.
    #[error("the server was told of the floor {floor}, above this device's")]
    FloorAhead {
        /// The floor.
        floor: u32,
    },
    /// All numbers agree, and the keys do not.
    #[error("the server has other keys under the same numbers")]
    Contents,
}

/// Every difference between what the server says and what the device has, ascending.
#[must_use]
pub fn differences(
    origin: &str,
    label: &[u8],
    device: &OwnDeviceState,
    status: &PreKeyStatus,
) -> Vec<Difference> {
    let mut found = Vec::new();
    signed(device, status, &mut found);
    batches(device, status, &mut found);
    if status.next_batch > device.counters.batch || status.next_id > device.counters.one_time {
        found.push(Difference::NumbersAhead);
    }
    let floors = [&status.signed_prekey, &status.last_resort];
    if let Some(floor) = floors.into_iter().flatten().map(|held| held.floor).max()
        && floor > device.floor()
    {
        found.push(Difference::FloorAhead { floor });
    }
    if found.is_empty()
        && let (Some(told), Some(state)) = (&status.digest, expected(device, status))
        && told.as_bytes() != state.digest(origin, label, device.id)
    {
        found.push(Difference::Contents);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Takes over what the server knows, and forbids every batch that there was, if one of the differences demands it. Says
/// whether it does: the device then needs new prekeys of every kind.
///
/// What was only lost by the server is marked as not confirmed, so that it is uploaded again.
pub fn adopt(device: &mut OwnDeviceState, status: &PreKeyStatus, differences: &[Difference]) -> bool {
    let resend = |difference: &Difference| matches!(difference, Difference::SignedPreKeyLost { .. });
    if differences.iter().any(resend) {
        if let Some(key) = device.signed_prekeys.last_mut() {
            key.uploaded = false;
        }
        if let Some(key) = device.kem.last_resorts.last_mut() {
            key.uploaded = false;
        }
    }
    if differences.iter().all(resend) {
        return false;
    }
    let held = [&status.signed_prekey, &status.last_resort];
    let signed = held.into_iter().flatten().map(|held| held.id.saturating_add(1)).max();
    let floors = held.into_iter().flatten().map(|held| held.floor).max();
    let counters = &mut device.counters;
    counters.signed_prekey = beyond(counters.signed_prekey, signed.unwrap_or(0));
    counters.batch = beyond(counters.batch, status.next_batch.max(floors.unwrap_or(0)));
    counters.one_time = beyond(counters.one_time, status.next_id);
    device.min_floor = counters.batch;
    // None of them is ever handed out again, so none needs to be uploaded.
    device.batches.iter_mut().for_each(|batch| batch.uploaded = true);
    device.kem.batches.iter_mut().for_each(|batch| batch.uploaded = true);
    true
}

/// The greater of the device's number and the server's, but no further ahead than [`MAX_AHEAD`]: numbers are the server's word,
/// and whoever could make a device use them up would leave it without prekeys for good.
fn beyond(own: u32, told: u32) -> u32 {
    own.max(told.min(own.saturating_add(MAX_AHEAD)))
}

/// Marks as confirmed what the server has evidently taken, whether or not its answer arrived: its numbers show it, or that a
/// handshake has used a key of the batch. What is confirmed is never uploaded again, not even to a server that has lost it.
pub fn settle(device: &mut OwnDeviceState, status: &PreKeyStatus) {
    let signed = status.signed_prekey.as_ref().map(|held| held.id);
    let last_resort = status.last_resort.as_ref().map(|held| held.id);
    device.signed_prekeys.iter_mut().for_each(|key| key.uploaded |= signed >= Some(key.id));
    device.kem.last_resorts.iter_mut().for_each(|key| key.uploaded |= last_resort >= Some(key.id));
    for batch in &mut device.batches {
        let is_used = batch.keys.iter().any(|key| key.secret.is_none());
        batch.uploaded |= is_used || batch.number < status.next_batch;
    }
    for batch in &mut device.kem.batches {
        let is_used = batch.keys.iter().any(|key| key.seed.is_none());
        batch.uploaded |= is_used || batch.number < status.next_batch;
    }
}

fn signed(device: &OwnDeviceState, status: &PreKeyStatus, found: &mut Vec<Difference>) {
    let own = device.signed_prekeys.iter().map(|key| (key.id, key.uploaded)).collect::<Vec<_>>();
    let own_kem = device.kem.last_resorts.iter().map(|key| (key.id, key.uploaded)).collect::<Vec<_>>();
    for (held, own) in [(&status.signed_prekey, own), (&status.last_resort, own_kem)] {
        let held = held.as_ref().map(|held| held.id);
        let newest = own.last().map(|(id, _)| *id);
        let confirmed = own.iter().filter(|(_, uploaded)| *uploaded).map(|(id, _)| *id).max();
        if let Some(id) = held
            && !own.iter().any(|(known, _)| *known == id)
            && newest.is_none_or(|newest| newest < id)
        {
            found.push(Difference::SignedPreKeyUnknown { id });
        } else if let Some(id) = confirmed
            && held.is_none_or(|held| held < id)
        {
            found.push(Difference::SignedPreKeyLost { id });
        }
    }
}

/// A batch of one's own: its number, whether it was confirmed, and which of its keys were used.
type Own = (u32, bool, Vec<bool>);

fn batches(device: &OwnDeviceState, status: &PreKeyStatus, found: &mut Vec<Difference>) {
    let x25519 = device.batches.iter().map(|batch| -> Own {
        (batch.number, batch.uploaded, batch.keys.iter().map(|key| key.secret.is_none()).collect())
    });
    let kem = device.kem.batches.iter().map(|batch| -> Own {
        (batch.number, batch.uploaded, batch.keys.iter().map(|key| key.seed.is_none()).collect())
    });
    for (held, own) in [(&status.batches, x25519.collect::<Vec<_>>()), (&status.kem_batches, kem.collect())] {
        for (batch, uploaded, _) in &own {
            if *uploaded && *batch >= status.next_batch && *batch >= device.floor() {
                found.push(Difference::BatchLost { batch: *batch });
            }
        }
        for held in held {
            let Some((batch, _, used)) = own.iter().find(|(batch, ..)| *batch == held.batch) else {
                found.push(Difference::BatchUnknown { batch: held.batch });
                continue;
            };
            // Keys are handed out in their order, so that one that was used lies before those that are left.
            if used.iter().skip(usize::from(held.handed_out)).any(|used| *used) {
                found.push(Difference::HandedOutAgain { batch: *batch });
            }
        }
    }
}

/// The pool as the device's own records have it, under the server's numbers.
fn expected(device: &OwnDeviceState, status: &PreKeyStatus) -> Option<PoolState> {
    let signed_prekey = match &status.signed_prekey {
        None => None,
        Some(held) => Some(&device.signed_prekeys.iter().find(|key| key.id == held.id)?.signed),
    };
    let last_resort = match &status.last_resort {
        None => None,
        Some(held) => Some(&device.kem.last_resorts.iter().find(|key| key.id == held.id)?.signed),
    };
    let mut batches = Vec::new();
    for held in &status.batches {
        let own = device.batches.iter().find(|batch| batch.number == held.batch)?;
        batches.push(PoolBatch {
            key_type: KeyType::X25519,
            batch: held.batch,
            leaf_count: held.leaf_count,
            handed_out: held.handed_out,
            root: PreKeyBatch::decode(&own.signed).ok()?.header().root,
        });
    }
    for held in &status.kem_batches {
        let own = device.kem.batches.iter().find(|batch| batch.number == held.batch)?;
        batches.push(PoolBatch {
            key_type: KeyType::MlKem768,
            batch: held.batch,
            leaf_count: held.leaf_count,
            handed_out: held.handed_out,
            root: own.root,
        });
    }
    Some(PoolState {
        next_batch: status.next_batch,
        next_id: status.next_id,
        signed_prekey: encoding_hash(signed_prekey.map(Vec::as_slice)),
        last_resort: encoding_hash(last_resort.map(Vec::as_slice)),
        batches,
    })
}

#[cfg(test)]
mod tests;
