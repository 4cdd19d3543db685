//! First messages in a world that delays, repeats, reorders and loses them: what happens around [`x3dh`](crate::x3dh).
//!
//! Everything here is a step from one state of an [`OwnAccount`](crate::state::OwnAccount) to the next. Requests, clock and
//! randomness are the caller's. The caller's duty is one rule: **store the account after each step, before anything
//! that follows from it leaves this machine**, be it a message, a receipt, an acknowledgement or a line on the screen.
//!
//! | Step | Function | What a crash right after storing leaves |
//! |---|---|---|
//! | a handshake is started | [`start`] | the message waits in the outbox, and is sent by [`unsent`] under the same id |
//! | the server answered | [`posted`] | before it: the message is sent again, which changes nothing |
//! | a message is fetched and opened | [`open`], [`PendingMessage::supply`] | the message is fetched again, and is [`Delivery::Seen`] |
//! | a device says that it could not open one | [`take_receipt`] | the retry is due, see [`due`]; the receipt is fetched again, and says nothing new |
//! | texts were shown | [`OwnAccount::mark_shown`](crate::state::OwnAccount::mark_shown) | before it: they are shown again |
//!
//! A handshake is known by its [`HandshakeId`](crate::x3dh::HandshakeId): the parties' keys, the ephemeral key and the ids of
//! the prekeys. A message that comes again changes nothing and shows nothing, in whatever order and however often.
//!
//! | What is remembered | for how long | and at the bound |
//! |---|---|---|
//! | a handshake with a one-time prekey | as long as the batch of that key: the key's place holds the handshake instead of the secret | there are as many places as keys that the device made |
//! | a handshake without one | as long as its signed prekey is kept | [`MAX_SEEN`](crate::state::MAX_SEEN): the oldest signed prekey goes first, with its handshakes |
//! | a session | until newer ones take its place | [`MAX_SESSIONS_WITH_PEER`](crate::state::MAX_SESSIONS_WITH_PEER) with one device of a peer, [`MAX_SESSIONS`](crate::state::MAX_SESSIONS) in all: the oldest goes first |
//! | a text that was shown | until 4096 later ones were | the oldest goes first |
//! | a text that was written | [`KEPT_FOR`] | [`MAX_KEPT`] texts, [`MAX_KEPT_BYTES`] bytes: the oldest that is settled goes first; without one, nothing further is written |

mod incoming;
mod outgoing;
mod receipt;

#[cfg(test)]
mod tests;

pub use incoming::{
    Cause, Delivery, Fate, Opened, Opening, PendingMessage, Recipient, Refusal, Sender, is_copy, open,
};
pub use outgoing::{
    Answer, KEPT_FOR, MAX_ATTEMPTS, MAX_KEPT, MAX_KEPT_BYTES, Post, Randomness, StartError, Started,
    WrittenText, due, forget_settled, plan, posted, start, unsent,
};
pub use receipt::{Receipt, ReceiptEffect, reason_of, take_receipt};

use keyglass_crypto::hash::Digest;

/// What a party says of its view of the log inside a first message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Its newest head as a signed note; empty where it has none.
    pub checkpoint: String,
    /// The log's roots at its recent distinguished entries, left to right.
    pub heads: Vec<Digest>,
}
