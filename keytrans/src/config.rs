//! A log's configuration, its cipher suites and the origin that commits to it.

use keyglass_crypto::hash::sha256;

use crate::{
    log_hash::LogHash,
    wire::{Prefix, Reader, Wire, WireError, Writer},
};

/// The private-use suite of Keyglass: as 0x0002, with the log tree of RFC 6962 and heads that are C2SP checkpoints.
pub const KT_128_SHA256_ED25519_TLOG: u16 = 0xF001;
/// `KT_128_SHA256_Ed25519` of the draft.
pub const KT_128_SHA256_ED25519: u16 = 0x0002;

/// A cipher suite that can be computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CipherSuite {
    /// 0x0002
    Draft,
    /// 0xF001
    Tlog,
}

impl CipherSuite {
    /// The suite with this number; `None` for those not implemented, 0x0001 among them.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        match number {
            KT_128_SHA256_ED25519 => Some(Self::Draft),
            KT_128_SHA256_ED25519_TLOG => Some(Self::Tlog),
            _ => None,
        }
    }

    /// The suite's number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Draft => KT_128_SHA256_ED25519,
            Self::Tlog => KT_128_SHA256_ED25519_TLOG,
        }
    }

    /// How the log tree is hashed.
    #[must_use]
    pub fn log_hash(self) -> LogHash {
        match self {
            Self::Draft => LogHash::Draft,
            Self::Tlog => LogHash::Rfc6962,
        }
    }
}

/// Who vouches for the log beside itself ("Tree Head Signature").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentMode {
    /// Contacts monitor what they looked up.
    ContactMonitoring,
    /// A third party runs the log; the service operator signs each value.
    ThirdPartyManagement,
    /// A third party signs heads whose every entry it has checked.
    ThirdPartyAuditing,
}

/// The fields that third-party auditing adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditingFields {
    /// How far the auditor may lag behind, in milliseconds.
    pub max_auditor_lag: u64,
    /// The first log entry that the auditor processed.
    pub auditor_start_pos: u64,
    /// Under 0x0002 an Ed25519 key of 32 bytes, under 0xF001 a cosigner's vkey as text.
    pub auditor_public_key: Vec<u8>,
}

/// The mode with the fields that it adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModeFields {
    /// None.
    ContactMonitoring,
    /// The key of the service operator's signatures over values.
    ThirdPartyManagement {
        /// An Ed25519 key of 32 bytes.
        leaf_public_key: Vec<u8>,
    },
    /// The auditor's key and bounds.
    ThirdPartyAuditing(AuditingFields),
}

/// A log's long-term configuration.
///
/// Decoding checks the encoding only; [`crate::client::Verifier`] checks what the fields mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The cipher suite's number.
    pub ciphersuite: u16,
    /// Under 0x0002 an Ed25519 key of 32 bytes, under 0xF001 the log's vkey as text.
    pub signature_public_key: Vec<u8>,
    /// 32 bytes.
    pub vrf_public_key: Vec<u8>,
    /// The deployment mode and its fields.
    pub mode: ModeFields,
    /// How far the rightmost entry may be ahead of a user's clock, in milliseconds.
    pub max_ahead: u64,
    /// How far it may be behind, in milliseconds.
    pub max_behind: u64,
    /// The Reasonable Monitoring Window, in milliseconds.
    pub reasonable_monitoring_window: u64,
    /// How long a log entry lives, in milliseconds; for ever if absent.
    pub maximum_lifetime: Option<u64>,
}

impl Configuration {
    /// The mode without its fields.
    #[must_use]
    pub fn deployment_mode(&self) -> DeploymentMode {
        match self.mode {
            ModeFields::ContactMonitoring => DeploymentMode::ContactMonitoring,
            ModeFields::ThirdPartyManagement { .. } => DeploymentMode::ThirdPartyManagement,
            ModeFields::ThirdPartyAuditing(_) => DeploymentMode::ThirdPartyAuditing,
        }
    }

    /// The hash that ends the origin of a 0xF001 log with this configuration: SHA-256 of the encoding with an empty
    /// `signature_public_key`, since that key's name is the origin itself.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn origin_hash(&self) -> Result<[u8; 32], WireError> {
        let emptied = Self { signature_public_key: Vec::new(), ..self.clone() };
        Ok(sha256(&[&emptied.encode()?]))
    }

    /// What the log is known by for as long as it is the same log: under 0xF001 [`Self::origin_hash`], which does not change
    /// with the keys that the log signs with; under 0x0002 the SHA-256 of the whole encoding.
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn log_id(&self) -> Result<[u8; 32], WireError> {
        match CipherSuite::from_number(self.ciphersuite) {
            Some(CipherSuite::Tlog) => self.origin_hash(),
            Some(CipherSuite::Draft) | None => Ok(sha256(&[&self.encode()?])),
        }
    }

    /// The origin of a 0xF001 log with this configuration: `<prefix>/` and the unpadded base64url of
    /// [`Self::origin_hash`].
    ///
    /// # Errors
    /// [`WireError::TooLong`].
    pub fn origin(&self, prefix: &str) -> Result<String, WireError> {
        use base64::Engine as _;
        let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.origin_hash()?);
        Ok(format!("{prefix}/{hash}"))
    }
}

impl Wire for Configuration {
    fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.u16(self.ciphersuite);
        w.u8(match self.mode {
            ModeFields::ContactMonitoring => 1,
            ModeFields::ThirdPartyManagement { .. } => 2,
            ModeFields::ThirdPartyAuditing(_) => 3,
        });
        w.opaque(Prefix::U16, &self.signature_public_key)?;
        w.opaque(Prefix::U16, &self.vrf_public_key)?;
        match &self.mode {
            ModeFields::ContactMonitoring => {}
            ModeFields::ThirdPartyManagement { leaf_public_key } => w.opaque(Prefix::U16, leaf_public_key)?,
            ModeFields::ThirdPartyAuditing(fields) => {
                w.u64(fields.max_auditor_lag);
                w.u64(fields.auditor_start_pos);
                w.opaque(Prefix::U16, &fields.auditor_public_key)?;
            }
        }
        w.u64(self.max_ahead);
        w.u64(self.max_behind);
        w.u64(self.reasonable_monitoring_window);
        w.optional(self.maximum_lifetime.as_ref(), |w, lifetime| {
            w.u64(*lifetime);
            Ok(())
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let ciphersuite = r.u16()?;
        let mode = r.u8()?;
        let signature_public_key = r.opaque(Prefix::U16)?;
        let vrf_public_key = r.opaque(Prefix::U16)?;
        let mode = match mode {
            1 => ModeFields::ContactMonitoring,
            2 => ModeFields::ThirdPartyManagement { leaf_public_key: r.opaque(Prefix::U16)? },
            3 => ModeFields::ThirdPartyAuditing(AuditingFields {
                max_auditor_lag: r.u64()?,
                auditor_start_pos: r.u64()?,
                auditor_public_key: r.opaque(Prefix::U16)?,
            }),
            _ => return Err(WireError::Enumeration),
        };
        Ok(Self {
            ciphersuite,
            signature_public_key,
            vrf_public_key,
            mode,
            max_ahead: r.u64()?,
            max_behind: r.u64()?,
            reasonable_monitoring_window: r.u64()?,
            maximum_lifetime: r.optional(Reader::u64)?,
        })
    }
}
