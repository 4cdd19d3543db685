//! Which cause an error of this crate is.

use keyglass_crypto::{dh::DhError, sign::SignError};

use super::Problem;
use crate::{
    auth::AuthError, codec::CodecError, label::LabelLength, prekey::PreKeyError, record::RecordError,
};

impl From<CodecError> for Problem {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Truncated => Self::Truncated,
            CodecError::TrailingBytes => Self::TrailingBytes,
            CodecError::VectorLength { .. } => Self::VectorLength,
            CodecError::UnknownFormat(_) | CodecError::UnknownVariant(_) | CodecError::BadPresence(_) => {
                Self::Malformed
            }
        }
    }
}

impl From<LabelLength> for Problem {
    fn from(_: LabelLength) -> Self {
        Self::LabelLength
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        match error {
            SignError::NonCanonicalKey => Self::NonCanonicalKey,
            SignError::SmallOrderKey => Self::LowOrderKey,
            SignError::BadSignature => Self::BadSignature,
        }
    }
}

impl From<DhError> for Problem {
    fn from(error: DhError) -> Self {
        match error {
            DhError::NonCanonicalKey => Self::NonCanonicalKey,
            DhError::SmallOrder => Self::LowOrderKey,
        }
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        use RecordError as E;
        match error {
            E::Label(error) => error.into(),
            E::BadSigningKey { error, .. } => error.into(),
            E::BadDhKey { error, .. } => error.into(),
            E::Codec(_)
            | E::TooLong(_)
            | E::SuitesNotAscending(_)
            | E::UnknownFlags(_)
            | E::RetiredNotAscending
            | E::WrongRetired
            | E::Full => Self::RecordMalformed,
            E::DuplicateDevice(_) | E::DevicesNotAscending(_) => Self::DuplicateDevice,
            E::DeviceIdOutOfRange(_) | E::DeviceIdReused(_) | E::WrongNextDeviceId { .. } => Self::DeviceId,
            E::DeviceAltered(_) => Self::DeviceAltered,
            E::KeyReused(_) => Self::KeyReused,
            E::BadLinkSignature(_)
            | E::BadRecoveryGrant
            | E::BadIdentitySignature
            | E::BadRecoverySignature
            | E::BadNewIdentitySignature
            | E::DeviceNotSigned(_) => Self::BadSignature,
            E::WrongAuthorisation | E::NewIdentitySignaturePresence | E::RecoveryKeepsIdentity => {
                Self::WrongAuthorisation
            }
            E::WrongVersion { .. }
            | E::WrongPredecessor { .. }
            | E::VersionBelowKnown { .. }
            | E::Rewritten(_)
            | E::WrongAccount => Self::WrongPredecessor,
            E::BrokenChain(_) | E::ChainDiverges { .. } | E::RootMismatch { .. } | E::HistoryTooLong => {
                Self::WrongChain
            }
            E::LockdownForbidsReset => Self::Lockdown,
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::BadHeader | AuthError::Codec(_) | AuthError::Label(_) => Self::Unauthenticated,
            AuthError::BadSignature => Self::BadRequestSignature,
            AuthError::OutsideWindow => Self::OutsideWindow,
            AuthError::BadToken => Self::BadToken,
            AuthError::TokenExpired => Self::TokenExpired,
        }
    }
}

impl From<PreKeyError> for Problem {
    fn from(error: PreKeyError) -> Self {
        use PreKeyError as E;
        match error {
            E::BadKey { error, .. } => error.into(),
            E::BadKemKey { .. } | E::Codec(_) | E::BatchSize(_) | E::WrongRoot | E::Path(_) => {
                Self::PreKeyMalformed
            }
            E::ExpiresBeforeCreated => Self::PreKeyLifetime,
            E::IdsNotAscending(_) => Self::PreKeyIdReused,
            E::WrongDevice { .. } | E::BadSignature | E::BadBatchSignature => Self::PreKeySignature,
            E::Expired => Self::SignedPreKeyExpired,
            E::BatchExpired => Self::BatchExpired,
            E::BelowFloor { .. } => Self::BelowFloor,
        }
    }
}
