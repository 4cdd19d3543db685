//! The JSON of the prekey and mailbox service.
//!
//! | Endpoint | Authentication | Body | Answer |
//! |---|---|---|---|
//! | `POST /v1/tokens` | signature | none | 200 [`TokenIssued`] |
//! | `PUT /v1/prekeys` | signature | [`UploadPreKeys`] | 200 [`PreKeyStatus`] |
//! | `GET /v1/prekeys` | token | | 200 [`PreKeyStatus`] |
//! | `POST /v1/bundles` | token | [`FetchBundles`] | 200 [`Bundles`] |
//! | `POST /v1/messages` | token | [`SendMessage`] | 204 |
//! | `GET /v1/messages` | token | | 200 [`Messages`] |
//! | `POST /v1/messages/ack` | token | [`AckMessages`] | 204 |
//! | `POST /v1/receipts` | token | [`SendReceipt`] | 204 |
//! | `GET /v1/receipts` | token | | 200 [`Receipts`] |
//! | `POST /v1/receipts/ack` | token | [`AckMessages`] | 204 |
//!
//! Errors are [`crate::problem`]s. Binary values are standard base64 with padding, ids of 128 bits are 32 lower-case hex
//! digits, times are milliseconds since the Unix epoch. Requests with unknown members are refused; in answers they
//! are ignored, so that a server can grow.

mod binary;

use serde::{Deserialize, Serialize};

pub use binary::{Base64, BinaryError, Id128, Label};

use crate::{
    prekey::{LAST_RESORT_LEN, MAX_BATCH_LEN, MAX_BUNDLE_LEN, MAX_KEM_BATCH_LEN, SIGNED_PREKEY_LEN},
    problem::ProblemDetails,
    receipt::FailureReason,
};

/// Path of [`TokenIssued`].
pub const TOKENS: &str = "/v1/tokens";
/// Path of [`UploadPreKeys`] and [`PreKeyStatus`].
pub const PREKEYS: &str = "/v1/prekeys";
/// Path of [`FetchBundles`].
pub const BUNDLES: &str = "/v1/bundles";
/// Path of [`SendMessage`] and [`Messages`].
pub const MESSAGES: &str = "/v1/messages";
/// Path of [`AckMessages`].
pub const MESSAGES_ACK: &str = "/v1/messages/ack";

/// Path of [`SendReceipt`] and [`Receipts`].
pub const RECEIPTS: &str = "/v1/receipts";
/// Path of [`AckMessages`] for receipts.
pub const RECEIPTS_ACK: &str = "/v1/receipts/ack";

/// Batches of X25519 keys in one upload at most.
pub const MAX_UPLOAD_BATCHES: usize = 4;
/// Batches of ML-KEM keys in one upload at most.
pub const MAX_UPLOAD_KEM_BATCHES: usize = 2;
/// Targets of one [`FetchBundles`] at most, and accounts at most.
pub const MAX_TARGETS: usize = 64;
/// Bundles in one answer at most: the targets and all devices of the accounts together.
pub const MAX_BUNDLES: usize = 256;
/// Bytes of one message at most.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// Messages in one answer at most.
pub const MAX_MESSAGES: usize = 100;
/// Ids in one [`AckMessages`] at most.
pub const MAX_ACKS: usize = 1000;

/// Bytes in the body of an upload at most: room for as many batches as allowed, each as large as allowed, in base64.
pub const MAX_UPLOAD_BODY: usize = 768 * 1024;
/// Bytes in the body of any other request at most.
pub const MAX_BODY: usize = 128 * 1024;
/// Bytes in the body of [`Bundles`] at most: [`MAX_BUNDLES`] of the longest, in base64, with their targets.
pub const MAX_BUNDLES_BODY: usize = 2 << 20;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIssued {
    /// The value of the `Authorization` header for later requests, with its scheme.
    pub authorization: String,
    /// From when on the token is refused.
    pub expires: u64,
}

/// Prekeys for the pool of the device that signs the request: all of them are taken, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadPreKeys {
    /// An encoded [`SignedPreKey`](crate::prekey::SignedPreKey) that replaces the one before; needed the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_prekey: Option<Base64<SIGNED_PREKEY_LEN>>,
    /// Encoded [`PreKeyBatch`](crate::prekey::PreKeyBatch)es, ascending by number, up to [`MAX_UPLOAD_BATCHES`].
    #[serde(default, deserialize_with = "binary::bounded::<_, _, MAX_UPLOAD_BATCHES>")]
    pub batches: Vec<Base64<MAX_BATCH_LEN>>,
    /// An encoded [`LastResortPreKey`](crate::prekey::LastResortPreKey) that replaces the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort: Option<Base64<LAST_RESORT_LEN>>,
    /// Encoded [`KemPreKeyBatch`](crate::prekey::KemPreKeyBatch)es, ascending by number, up to
    /// [`MAX_UPLOAD_KEM_BATCHES`]. Batch numbers and ids are common to both types: those of one upload are taken in the
    /// order of their numbers, whatever their type.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "binary::bounded::<_, _, MAX_UPLOAD_KEM_BATCHES>"
    )]
    pub kem_batches: Vec<Base64<MAX_KEM_BATCH_LEN>>,
}

/// What the server holds for a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreKeyStatus {
    /// The signed prekey, expired or not.
    #[serde(default)]
    pub signed_prekey: Option<SignedPreKeyStatus>,
    /// The last-resort KEM prekey, expired or not.
    #[serde(default)]
    pub last_resort: Option<SignedPreKeyStatus>,
    /// One-time X25519 prekeys that are left and not expired.
    pub one_time: u32,
    /// One-time KEM prekeys that are left and not expired.
    #[serde(default)]
    pub one_time_kem: u32,
    /// Whether those of one type are fewer than the server recommends, so that the device should upload a batch.
    pub low_water: bool,
    /// How many the server recommends to hold at least.
    pub low_water_mark: u32,
    /// The least number that the next batch of either type may have.
    pub next_batch: u32,
    /// The least id that the next one-time prekey of either type may have.
    pub next_id: u32,
    /// The batches of X25519 keys of which some are left, ascending, for comparison with the device's own records.
    #[serde(default)]
    pub batches: Vec<BatchStatus>,
    /// The batches of KEM keys likewise.
    #[serde(default)]
    pub kem_batches: Vec<BatchStatus>,
    /// The [digest](crate::pool::PoolState::digest) of all this and of the keys themselves, by which the device notices that
    /// the server holds other keys under the same numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Base64<32>>,
}

/// A signed or last-resort prekey on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPreKeyStatus {
    /// Its id.
    pub id: u32,
    /// From when on it is not handed out.
    pub expires: u64,
    /// The lowest batch that is handed out.
    pub floor: u32,
}

/// A batch on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatus {
    /// Its number.
    pub batch: u32,
    /// Keys that it had.
    pub leaf_count: u16,
    /// Keys that were handed out: those with an index below this.
    pub handed_out: u16,
    /// From when on it is not handed out.
    pub expires: u64,
}

/// Asks for one bundle of each of the targets, and of each device of the accounts.
///
/// The same request id for the same device gives the same bundle again, until its signed prekey expires; every new
/// id counts against the quotas. Targets and accounts together are at least one, and at most [`MAX_BUNDLES`] devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchBundles {
    /// Random, for one attempt to reach the targets.
    pub request_id: Id128,
    /// Up to [`MAX_TARGETS`] devices.
    #[serde(default, deserialize_with = "binary::bounded::<_, _, MAX_TARGETS>")]
    pub targets: Vec<Target>,
    /// Up to [`MAX_TARGETS`] accounts: all devices in each one's published record, whatever they are by then.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "binary::bounded::<_, _, MAX_TARGETS>"
    )]
    pub accounts: Vec<Label>,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The account's label.
    pub label: Label,
    /// The device in its record.
    pub device: u32,
}

/// One result for each target, in the order of the request; then one for each device of each account, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundles {
    /// The results.
    #[serde(deserialize_with = "binary::bounded::<_, _, MAX_BUNDLES>")]
    pub bundles: Vec<TargetBundle>,
    /// The accounts that have no published record, or one without devices.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "binary::bounded::<_, _, MAX_TARGETS>"
    )]
    pub unknown: Vec<Label>,
}

/// What came of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetBundle {
    /// The target.
    pub target: Target,
    /// Its bundle, or why there is none.
    pub result: BundleResult,
}

/// A bundle, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundleResult {
    /// An encoded [`PreKeyBundle`](crate::prekey::PreKeyBundle).
    Bundle(Base64<MAX_BUNDLE_LEN>),
    /// The cause.
    Problem(ProblemDetails),
}

/// Leaves a message in a device's mailbox. Sending the same again changes nothing while it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The receiver.
    pub target: Target,
    /// Random, chosen by the sender.
    pub id: Id128,
    /// The message, opaque to the server, 1 to [`MAX_MESSAGE_LEN`] bytes. The type admits more, so that a server can
    /// tell a message that is too large from a body that is malformed.
    pub body: Base64<MAX_BODY>,
    /// The version of the receiver's label in which the sender found the device. If a later one is published, the message is
    /// refused, so that the sender looks again and finds devices that were added. Without it, nothing is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// The messages of the device that asks, the oldest first. They stay until they are acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Up to [`MAX_MESSAGES`].
    #[serde(deserialize_with = "binary::bounded::<_, _, MAX_MESSAGES>")]
    pub messages: Vec<Message>,
    /// Whether more are left.
    pub more: bool,
}

/// A message in a mailbox. Who sent it, only its contents tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// As chosen by the sender.
    pub id: Id128,
    /// When the server took it.
    pub received: u64,
    /// The message.
    pub body: Base64<MAX_MESSAGE_LEN>,
}

/// Deletes messages from the mailbox of the device that asks. Ids that are not there are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckMessages {
    /// Up to [`MAX_ACKS`].
    #[serde(deserialize_with = "binary::bounded::<_, _, MAX_ACKS>")]
    pub ids: Vec<Id128>,
}

/// Tells the device that sent a first message that its handshake failed: see [`crate::receipt`]. The same again for the same
/// handshake changes nothing while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendReceipt {
    /// The device that sent the message.
    pub target: Target,
    /// The handshake's id, 32 bytes.
    pub handshake: Base64<32>,
    /// Why it failed.
    pub reason: FailureReason,
}

/// The receipts for the device that asks, the oldest first. They stay until they are acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// Up to [`MAX_MESSAGES`].
    #[serde(deserialize_with = "binary::bounded::<_, _, MAX_MESSAGES>")]
    pub receipts: Vec<Receipt>,
    /// Whether more are left.
    pub more: bool,
}

/// A receipt in a mailbox. That it is from this device, the server says, and nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Chosen by the server.
    pub id: Id128,
    /// When the server took it.
    pub received: u64,
    /// The device that could not open the message.
    pub from: Target,
    /// The handshake's id, 32 bytes.
    pub handshake: Base64<32>,
    /// The name of a [`FailureReason`], or of one that a later version knows.
    pub reason: String,
}
