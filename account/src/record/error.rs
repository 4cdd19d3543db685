//! Why a record is malformed or invalid.

use keyglass_crypto::{dh::DhError, sign::SignError};
use thiserror::Error;

use crate::{codec::CodecError, label::LabelLength};

/// What a key of an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRole {
    /// The identity key of the record.
    Identity,
    /// An identity key of the past, in the chain.
    PastIdentity,
    /// The recovery key.
    Recovery,
    /// The signing key of the device with this id.
    DeviceSigning(u32),
    /// The X25519 key of the device with this id.
    DeviceDh(u32),
}

/// Why a record is malformed or invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes are no record.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The label is empty or too long.
    #[error(transparent)]
    Label(#[from] LabelLength),
    /// The encoding is longer than any record.
    #[error("the record has {0} bytes, more than any record may")]
    TooLong(usize),
    /// An Ed25519 key is not canonical or of small order.
    #[error("the {role:?} key is refused: {error}")]
    BadSigningKey {
        /// Which key.
        role: KeyRole,
        /// Why.
        error: SignError,
    },
    /// An X25519 key is not canonical or of small order.
    #[error("the {role:?} key is refused: {error}")]
    BadDhKey {
        /// Which key.
        role: KeyRole,
        /// Why.
        error: DhError,
    },
    /// Two devices have one id.
    #[error("two devices have the id {0}")]
    DuplicateDevice(u32),
    /// The devices are not in ascending order of their ids.
    #[error("the devices are not in ascending order at id {0}")]
    DevicesNotAscending(u32),
    /// A device id is 0, or not below `next_device_id`.
    #[error("the device id {0} is out of range")]
    DeviceIdOutOfRange(u32),
    /// A device's suites are not in strictly ascending order.
    #[error("the suites of device {0} are not in ascending order")]
    SuitesNotAscending(u32),
    /// A flag is set that this format does not define.
    #[error("the flags {0:#x} are not all defined")]
    UnknownFlags(u32),
    /// The retired keys are not in strictly ascending order.
    #[error("the retired keys are not in ascending order")]
    RetiredNotAscending,
    /// One key stands in two places, or a retired key has returned.
    #[error("the {0:?} key was used before in this account")]
    KeyReused(KeyRole),
    /// The record is for another version than the one it is stored at.
    #[error("the record is for version {found}, not {expected}")]
    WrongVersion {
        /// What the record says.
        found: u32,
        /// Where it was found.
        expected: u32,
    },
    /// Genesis is not at version 0 without predecessor, or something else is; or fields do not suit the kind.
    #[error("this kind of authorisation is not allowed here")]
    WrongAuthorisation,
    /// The identity chain does not start and continue as its kinds and versions require.
    #[error("the identity chain is broken at version {0}")]
    BrokenChain(u32),
    /// The signature of a link of the identity chain does not verify.
    #[error("the identity chain's signature of version {0} does not verify")]
    BadLinkSignature(u32),
    /// A recovery key was not granted by the identity key that it replaces or belongs to.
    #[error("the recovery key is not granted by the identity key")]
    BadRecoveryGrant,
    /// The authorising key's signature does not verify.
    #[error("the record is not signed by the key that must authorise it")]
    BadIdentitySignature,
    /// The recovery key's signature does not verify.
    #[error("the record is not signed by the recovery key")]
    BadRecoverySignature,
    /// A new identity key's own signature does not verify.
    #[error("the new identity key has not signed the record")]
    BadNewIdentitySignature,
    /// A new identity key came without its own signature, or a signature without a new key.
    #[error("a new identity key and its own signature must come together")]
    NewIdentitySignaturePresence,
    /// A recovery must bring a new identity key.
    #[error("a recovery keeps the identity key that it should replace")]
    RecoveryKeepsIdentity,
    /// A device has not signed its membership.
    #[error("device {0} has not signed that it belongs to this account")]
    DeviceNotSigned(u32),
    /// A device's keys, time or signature changed while its id stayed.
    #[error("device {0} is not what it was")]
    DeviceAltered(u32),
    /// A new device has an id that was used before.
    #[error("the device id {0} was used before")]
    DeviceIdReused(u32),
    /// `next_device_id` is not what the records so far make it.
    #[error("the next device id is {found}, not {expected}")]
    WrongNextDeviceId {
        /// What the record says.
        found: u32,
        /// What it must be (at least, where records between are not known).
        expected: u32,
    },
    /// The retired keys are not those of the last valid record and the keys that were removed since.
    #[error("the list of retired keys is not the one that follows from the last valid record")]
    WrongRetired,
    /// The predecessor is not the last valid record.
    #[error("the record does not follow the last valid version {last_valid}")]
    WrongPredecessor {
        /// The version that it should name or come after.
        last_valid: u32,
    },
    /// The chain is not the one of the record known before, continued.
    #[error("the identity chain does not continue the one known since version {known}")]
    ChainDiverges {
        /// The version known before.
        known: u32,
    },
    /// The version known before is a greater one.
    #[error("the version lies below version {known}, which is known")]
    VersionBelowKnown {
        /// The version known before.
        known: u32,
    },
    /// This very version was different before.
    #[error("version {0} is not the record that it was")]
    Rewritten(u32),
    /// The record that was passed as known belongs to another account or log.
    #[error("the record known before belongs to another account")]
    WrongAccount,
    /// The owner forbids resets.
    #[error("the account was in lockdown when it was reset")]
    LockdownForbidsReset,
    /// The version that the chain names as its root holds something else.
    #[error("version {version} is not the root that the identity chain names")]
    RootMismatch {
        /// The root's version.
        version: u32,
    },
    /// Judging the account would take more searches than any honest history needs.
    #[error("the account's history of resets and invalid versions is too long to judge")]
    HistoryTooLong,
    /// The owner's next record would not fit a bound of the format.
    #[error("the account is full: no more devices, links or retired keys fit")]
    Full,
}
