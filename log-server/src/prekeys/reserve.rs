//! Who gets a one-time prekey, and who gets one of the last.
//!
//! Draining a pool is an attack: what is left then is a handshake without a one-time prekey, and a refill that tells when
//! the device was there. Three rules, in this order:
//!
//! 1. An account gets so many one-time prekeys of a device in a period (the *pair quota*).
//! 2. All accounts together get so many in a period (the *target quota*), and never the pool's *reserve*: a share of what
//!    the pool held after its last upload.
//! 3. Beyond both, an account gets one key in a longer period if it is *established*: its first version was published long
//!    enough ago. The accounts of the device itself need no age.
//!
//! What is counted is stored in the commit that hands the key out, so that nobody gains by a restart.

use keyglass_crypto::hash::{Digest, sha256};
use keyglass_tlog::time::UnixMillis;

use super::{Service, pool::Pool, pool::Stock, quota::Rate};
use crate::{store::StoreError, tokens::DeviceName};

/// An account and a device of which it gets one-time prekeys, by a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairKey(pub Digest);

impl PairKey {
    /// The pair of the requester's account and the target.
    #[must_use]
    pub fn new(requester: &DeviceName, target: &DeviceName) -> Self {
        Self(sha256(&[b"keyglass prekey pair", &target.to_key(), &requester.label]))
    }
}

/// What is remembered of a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pair {
    /// When in Unix nanoseconds all counts of the pair quota will be back.
    pub back: u64,
    /// When the account last got a key beyond the target quota and the reserve's boundary.
    pub reserve: Option<UnixMillis>,
    /// When all this says nothing any more.
    pub expires: UnixMillis,
}

/// How a request for one-time prekeys ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Keys that anybody gets.
    Common,
    /// At least one key that only established accounts get.
    Reserve,
    /// None: there are none.
    Empty,
    /// None: the account has had its share of this device's keys.
    PairQuota,
    /// None: all accounts together have had their share of this device's keys, and this one is not established or has had
    /// its key from the reserve.
    TargetQuota,
    /// None: only the reserve is left, and the account is too young for it.
    NotEstablished,
    /// None: only the reserve is left, and the account has had its key from it.
    ReserveTaken,
}

impl Grant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Common,
        Self::Reserve,
        Self::Empty,
        Self::PairQuota,
        Self::TargetQuota,
        Self::NotEstablished,
        Self::ReserveTaken,
    ];

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Reserve => "reserve",
            Self::Empty => "empty",
            Self::PairQuota => "pair_quota",
            Self::TargetQuota => "target_quota",
            Self::NotEstablished => "not_established",
            Self::ReserveTaken => "reserve_taken",
        }
    }
}

/// The rules, ready to be applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) pair: Rate,
    pub(super) target: Rate,
}

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    pub(super) grant: Grant,
    /// Whether an X25519 key is to be taken, and whether a KEM key.
    pub(super) x25519: bool,
    pub(super) kem: bool,
    /// What is to be stored with the pop; the pool's own count is in the pool already.
    pub(super) pair: Option<Pair>,
}

impl Decision {
    fn none(grant: Grant) -> Self {
        Self { grant, x25519: false, kem: false, pair: None }
    }
}

impl Service {
    /// Decides what `requester` may take of `target`'s `pool`, and counts it in the pool. It may block.
    pub(super) fn decide(
        &self,
        requester: &DeviceName,
        target: &DeviceName,
        pool: &mut Pool,
        before: Option<&Pair>,
        now: UnixMillis,
    ) -> Result<Decision, StoreError> {
        if pool.x25519.left() == 0 && pool.kem.left() == 0 {
            return Ok(Decision::none(Grant::Empty));
        }
        let before = before.copied().unwrap_or_default();
        let Some(back) = self.rules.pair.take(before.back, now) else {
            return Ok(Decision::none(Grant::PairQuota));
        };
        let target_back = self.rules.target.take(pool.target_back, now);
        let common = |stock: &Stock| target_back.is_some() && stock.left() > self.reserve_of(stock);
        let scarce = |stock: &Stock| stock.left() > 0 && !common(stock);
        let (x25519, kem) = (common(&pool.x25519), common(&pool.kem));
        let denied = if scarce(&pool.x25519) || scarce(&pool.kem) {
            self.barred(requester, target, &before, now)?
        } else {
            None
        };
        let reserve = (scarce(&pool.x25519) || scarce(&pool.kem)) && denied.is_none();
        let takes =
            |stock: &Stock, is_common: bool| stock.left() > 0 && (is_common || (reserve && scarce(stock)));
        let (takes_x25519, takes_kem) = (takes(&pool.x25519, x25519), takes(&pool.kem, kem));
        if !takes_x25519 && !takes_kem {
            let grant =
                if target_back.is_none() { Grant::TargetQuota } else { denied.unwrap_or(Grant::Empty) };
            return Ok(Decision::none(grant));
        }
        if x25519 || kem {
            pool.target_back = target_back.unwrap_or(pool.target_back);
        }
        let taken = if reserve { Some(now) } else { before.reserve };
        let quiet = taken.map_or(UnixMillis(0), |taken| taken.saturating_add(self.settings.reserve_period));
        let pair = Pair { back, reserve: taken, expires: quiet.max(UnixMillis(back.div_ceil(1_000_000))) };
        let grant = if reserve { Grant::Reserve } else { Grant::Common };
        Ok(Decision { grant, x25519: takes_x25519, kem: takes_kem, pair: Some(pair) })
    }

    /// The keys of a stock that only established accounts get.
    fn reserve_of(&self, stock: &Stock) -> u32 {
        let reserve = u64::from(stock.stocked).saturating_mul(u64::from(self.settings.reserve_percent)) / 100;
        u32::try_from(reserve).unwrap_or(u32::MAX)
    }

    /// Why the account may not have a key of the reserve; `None` if it may.
    fn barred(
        &self,
        requester: &DeviceName,
        target: &DeviceName,
        pair: &Pair,
        now: UnixMillis,
    ) -> Result<Option<Grant>, StoreError> {
        if self.settings.reserve_percent == 0 {
            return Ok(Some(Grant::NotEstablished));
        }
        let again = |taken: UnixMillis| now >= taken.saturating_add(self.settings.reserve_period);
        // A clock that was ahead does not bar an account for longer than a period.
        if pair.reserve.is_some_and(|taken| taken <= now && !again(taken)) {
            return Ok(Some(Grant::ReserveTaken));
        }
        if requester.label == target.label {
            return Ok(None);
        }
        let since = self.accounts.since(&requester.label)?;
        let established =
            since.is_some_and(|since| now >= since.saturating_add(self.settings.established_after));
        Ok((!established).then_some(Grant::NotEstablished))
    }
}
