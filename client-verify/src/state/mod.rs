//! The home directory: what the command remembers, written so that no crash can tear it.
//!
//! Every file is replaced whole and made durable before anything that depends on it happens; files are readable by
//! their owner only; one process at a time works with a home. The state of a log changes only after a response verified.

mod account;
mod document;
mod file;
mod home;
mod lock;
mod log;
mod text;

#[cfg(test)]
mod tests;

pub use account::{
    BatchState, Counters, OneTimeState, OwnAccount, OwnDeviceState, Secrets, SeenHandshake,
    SignedPreKeyState, StoredSession, TextKey, UnreadText,
};
pub use document::{Format, StateError};
pub use file::{FileError, MAX_FILE};
pub use home::Home;
pub use lock::{Lock, LockError};
pub use log::{Contact, Contacts, LogDocument};
