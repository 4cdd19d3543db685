//! The home directory: what the command remembers, written so that no crash can tear it.
//!
//! Every file is replaced whole and made durable before anything that depends on it happens; files are readable by
//! their owner only; one process at a time works with a home. The state of a log changes only after a response verified.

mod account;
mod device;
mod document;
mod file;
mod handover;
mod heads;
mod home;
mod lock;
mod log;
mod session;
mod text;
mod watch;

#[cfg(test)]
mod tests;

pub use account::{OwnAccount, TextKey, UnreadText};
pub use device::{
    BatchState, Counters, OneTimeState, OwnDeviceState, Secrets, SeenHandshake, SignedPreKeyState,
};
pub use document::{Format, StateError};
pub use file::{FileError, MAX_FILE};
pub use handover::{EndDocument, PredecessorsDocument, TrustDocument};
pub use heads::{HeadsDocument, KnownHead, UnsettledHead, positions_and_roots};
pub use home::Home;
pub use lock::{Lock, LockError, WatchLock};
pub use log::{CarriedContact, Contact, Contacts, LogDocument};
pub use session::StoredSession;
pub use watch::WatchDocument;
