//! How much one account may leave: whoever fills a mailbox must not be able to keep others out of it.
//!
//! Who sent a message is not kept with it. What is counted is in memory only, under hashes, and forgotten by a restart: it
//! bounds a flood, and an account that is told to wait sends the same message again later.

use std::time::Duration;

use keyglass_tlog::time::UnixMillis;

use crate::{
    prekeys::quota::{Counts, Quota},
    tokens::DeviceName,
};

/// What one account may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For all devices together.
    pub per_sender: Quota,
    /// For one device.
    pub per_pair: Quota,
    /// For one device whose mailbox is half full.
    pub per_pair_crowded: Quota,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Limits {
    /// Of messages. An account alone needs weeks to fill a mailbox, and by then its first messages have waited too long.
    pub const MESSAGES: Self = Self {
        per_sender: Quota { count: 3600, period: HOUR },
        per_pair: Quota { count: 120, period: HOUR },
        per_pair_crowded: Quota { count: 12, period: Duration::from_secs(24 * 3600) },
    };

    /// Of receipts: as many as a burst of messages that could not be opened.
    pub const RECEIPTS: Self = Self {
        per_sender: Quota { count: 600, period: HOUR },
        per_pair: Quota { count: 64, period: HOUR },
        per_pair_crowded: Quota { count: 4, period: Duration::from_secs(24 * 3600) },
    };
}

/// Counts what accounts leave.
pub(super) struct Shares {
    senders: Counts,
    pairs: Counts,
    crowded: Counts,
}

impl Shares {
    pub(super) fn new(limits: Limits) -> Self {
        let Limits { per_sender, per_pair, per_pair_crowded } = limits;
        Self {
            senders: Counts::new(per_sender),
            pairs: Counts::new(per_pair),
            crowded: Counts::new(per_pair_crowded),
        }
    }

    /// Counts one more from the account of `from` for `to`, whose mailbox `is_crowded` or not. Says whether it may be left;
    /// if not, nothing was counted.
    pub(super) fn take(&self, from: &DeviceName, to: &DeviceName, is_crowded: bool, now: UnixMillis) -> bool {
        if !self.senders.take(&from.label, now) {
            return false;
        }
        let pair = pair(from, to);
        if !self.pairs.take(&pair, now) {
            self.senders.give_back(&from.label, 1);
            return false;
        }
        if is_crowded && !self.crowded.take(&pair, now) {
            self.senders.give_back(&from.label, 1);
            self.pairs.give_back(&pair, 1);
            return false;
        }
        true
    }

    /// Gives back what [`Self::take`] counted for something that was not left after all.
    pub(super) fn give_back(&self, from: &DeviceName, to: &DeviceName, was_crowded: bool) {
        let pair = pair(from, to);
        self.senders.give_back(&from.label, 1);
        self.pairs.give_back(&pair, 1);
        if was_crowded {
            self.crowded.give_back(&pair, 1);
        }
    }
}

/// The account of `from` and the device `to` in one string, which no other pair has.
fn pair(from: &DeviceName, to: &DeviceName) -> Vec<u8> {
    let mut pair = to.to_key();
    pair.extend_from_slice(&from.label);
    pair
}
