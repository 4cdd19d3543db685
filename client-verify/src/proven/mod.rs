//! The key gate: what has been proven, as types.
//!
//! ```text
//! search response ── keytrans::client ──> verified result and its head
//!        └─ ProvenValue (Checkpoint<Witnessed>), or UnwitnessedValue, which takes an explicit override
//!               └─ prove ──> Proven<ValidRecord>          the account's own keys vouch for it
//!                      └─ prove_bundle ──> ProvenBundle   a device of that record signed every prekey
//!                             └─ x3dh::initiate           takes nothing else, by value
//! ```
//!
//! Every type has private fields and no public constructor, so that each can only come from the one before it.
//!
//! | What went wrong elsewhere | What prevents it here |
//! |---|---|
//! | a bundle whose signature nobody checked reaches the handshake | [`ProvenBundle`] comes from [`ProvenAccount::prove_bundle`] only |
//! | an identity key that merely came with the bundle is believed | the bundle carries none: keys are those of the proven record |
//! | trust as a flag that somebody forgets to read | there is no flag; an unproven thing has another type |
//! | a record without witnesses used like any other | [`UnwitnessedValue`] is a type of its own with one loud way out |
//! | an old record used when the newest is invalid | [`prove`] takes the newest value and has no way back |
//! | a one-time prekey used for two handshakes | [`ProvenBundle`] is not `Clone` and X3DH takes it by value |

mod bundle;
mod device;
mod difference;
mod record;
mod value;

#[cfg(test)]
mod tests;

pub use bundle::{BundleError, ProvenBundle};
pub use device::ProvenDevice;
pub use difference::{Author, Difference, differences};
pub use record::{History, Identity, PendingAccount, ProveError, Proven, ProvenAccount, Proving, prove};
pub use value::{ProvenValue, Search, UnwitnessedValue, Witnessing, origin, search};

/// Something that came from outside and is well-formed, of which nothing is known beyond that.
///
/// There is no way to look inside: it can only be handed to what verifies it.
#[derive(Debug)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    /// Marks `value` as what it is.
    pub fn from_wire(value: T) -> Self {
        Self(value)
    }
}
