//! What the end-to-end tests share: the programs as processes, their HTTP, accounts made by hand, and a verifying user.

pub mod account;
pub mod api;
pub mod programs;
pub mod user;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use keyglass_account::time::UnixMillis;

/// Now, as the programs see it.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(since.as_millis()).unwrap())
}

/// A counter that many tasks share.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).unwrap(), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
