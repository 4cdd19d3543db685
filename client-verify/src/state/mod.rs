//! What a client remembers. The documents are pure; with the feature `cli` they live in a home directory, written so that
//! no crash can tear it.
//!
//! Every file is replaced whole and made durable before anything that depends on it happens; files are readable by
//! their owner only; one process at a time works with a home. The state of a log changes only after a response verified.

mod account;
mod device;
mod format;
mod handover;
mod heads;
mod identity;
mod link;
mod log;
mod outbox;
mod pending;
mod session;
mod text;
mod watch;

#[cfg(feature = "cli")]
mod document;
#[cfg(feature = "cli")]
mod file;
#[cfg(feature = "cli")]
mod home;
mod kem;
#[cfg(feature = "cli")]
mod lock;

#[cfg(all(test, feature = "cli"))]
mod tests;

pub use account::{DocumentError, OwnAccount, TextKey, UnreadText};
pub use device::{
    BatchState, Counters, MAX_SEEN, MAX_SESSIONS, MAX_SESSIONS_WITH_PEER, OneTimeState, OwnDeviceState,
    Secrets, SeenHandshake, SignedPreKeyState,
};
pub use format::Format;
pub use handover::{EndDocument, PredecessorsDocument, TrustDocument};
pub use heads::{HeadsDocument, KnownHead, UnsettledHead, positions_and_roots};
pub use identity::OwnIdentity;
pub use link::LinkDocument;
pub use log::{CarriedContact, Contact, Contacts, LogDocument, ToldVersion};
pub use outbox::{OutgoingDevice, OutgoingText, Step};
pub use pending::{PendingVersion, Record, Seed};
pub use session::StoredSession;
pub use watch::WatchDocument;

#[cfg(feature = "cli")]
pub use document::StateError;
#[cfg(feature = "cli")]
pub use file::{FileError, MAX_FILE};
#[cfg(feature = "cli")]
pub use home::Home;
pub use kem::{KemBatchState, KemPreKeys, LastResortState, OneTimeKemState};
#[cfg(feature = "cli")]
pub use lock::{Lock, LockError, WatchLock};
