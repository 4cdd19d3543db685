//! The life of a device's prekeys, without making them or sending them: pure, like everything that decides.
//!
//! | What | Made | Used by others for | Secret kept |
//! |---|---|---|---|
//! | signed prekey, last-resort KEM prekey | every [`ROTATION`] | [`SIGNED_LIFETIME`] | [`RETENTION`] longer |
//! | batch of one-time prekeys | when fewer than [`REFILL_BELOW`] are left | [`BATCH_LIFETIME`] | until a handshake uses it, at most [`RETENTION`] longer |
//!
//! A first message may be made with a prekey until the moment when that expires, and then wait for the device. What waits
//! for longer than [`RETENTION`] cannot be opened any more; that is the price of erasing keys at all.
//!
//! - [`difference`]: how the server's idea of the pool differs from the device's, and what the device does about it.
//! - [`needs`]: what the device lacks.
//! - [`schedule`]: when the device looks after its prekeys, so that it does not tell when it is there.

use core::time::Duration;

pub mod difference;
pub mod needs;
pub mod schedule;

pub use difference::{Difference, adopt, differences, settle};
pub use needs::{Needs, forget_future};
pub use schedule::{Due, due, next};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One-time prekeys in a batch, of either type.
pub const BATCH: u32 = 100;

/// A new batch is made when the server has fewer one-time prekeys of its type than this.
pub const REFILL_BELOW: u32 = 75;

/// After how long a signed prekey is replaced, and the last-resort KEM prekey with it.
pub const ROTATION: Duration = DAY.saturating_mul(7);

/// How long a signed prekey may be used by others: a device may be away for three weeks beyond its rotation.
pub const SIGNED_LIFETIME: Duration = DAY.saturating_mul(30);

/// How long one-time prekeys may be used by others.
pub const BATCH_LIFETIME: Duration = DAY.saturating_mul(90);

/// For how long after its end a prekey's secret is kept: the longest that a message may be on its way, and a day for clocks
/// that differ.
pub const RETENTION: Duration = DAY.saturating_mul(31);
