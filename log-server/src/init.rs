//! Making a new log: its keys, its configuration, and the origin that commits to it.

use keyglass_crypto::{sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::{
    config::{AuditingFields, CipherSuite, Configuration, ModeFields},
    wire::{Wire as _, WireError},
};
use keyglass_tlog::note::{KeyName, KeyNameError, PublicKey, Vkey, VkeyError};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    data_dir::{Identity, Mismatch},
    signing_keys::LogKey,
};

/// What the operator decides about a new log, for good: a change makes another log. Times are in milliseconds.
#[derive(Debug, Clone)]
pub struct Choices {
    /// What the origin starts with: by custom a name under which the log is known.
    pub prefix: String,
    /// The cipher suite.
    pub suite: CipherSuite,
    /// The auditor's verifier key, for third-party auditing; contact monitoring without one.
    pub auditor: Option<Vkey>,
    /// How far the auditor may lag behind.
    pub max_auditor_lag: u64,
    /// The first entry that the auditor verifies.
    pub auditor_start: u64,
    /// How far the last entry may be ahead of a user's clock.
    pub max_ahead: u64,
    /// How far the last entry may be behind a user's clock.
    pub max_behind: u64,
    /// How often owners are expected to monitor.
    pub reasonable_monitoring_window: u64,
    /// How long entries live; for ever if absent.
    pub maximum_lifetime: Option<u64>,
}

/// Why no log was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InitError {
    /// The prefix makes no origin.
    #[error("the prefix makes no name: {0}")]
    Prefix(#[from] KeyNameError),
    /// The auditor's key is of the wrong kind for the suite.
    #[error("the auditor's key is not a cosigner's")]
    AuditorKey,
    /// An audit that does not begin with the log needs tiles to take its tree from, which suite 0x0002 does not have.
    #[error("under suite 0x0002 an audit begins at entry 0")]
    AuditorStart,
    /// An entry would die before clients may rely on it.
    #[error("the maximum lifetime must be greater than the reasonable monitoring window")]
    Lifetime,
    /// No head would ever be fresh.
    #[error("max-behind must not be 0")]
    MaxBehind,
    /// Something has no encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The parts do not fit together.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

impl From<VkeyError> for InitError {
    fn from(_: VkeyError) -> Self {
        Self::AuditorKey
    }
}

/// A new log and its verifier key.
pub struct NewLog {
    /// Keys and configuration.
    pub identity: Identity,
    /// The verifier key of the log's signatures, as policies name it.
    pub vkey: Vkey,
}

/// Draws keys and puts a configuration together.
///
/// # Errors
/// [`InitError`].
pub fn new_log(choices: &Choices, rng: &mut dyn CryptoRng) -> Result<NewLog, InitError> {
    if choices.max_behind == 0 {
        return Err(InitError::MaxBehind);
    }
    if choices.maximum_lifetime.is_some_and(|lifetime| lifetime <= choices.reasonable_monitoring_window) {
        return Err(InitError::Lifetime);
    }
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    let log_key = SigningKey::from_seed(&seed);
    rng.fill_bytes(&mut *seed);
    let vrf_key = VrfSecretKey::from_seed(&seed);

    let mut configuration = Configuration {
        ciphersuite: choices.suite.number(),
        signature_public_key: Vec::new(),
        vrf_public_key: vrf_key.public_key().to_bytes().to_vec(),
        mode: mode(choices)?,
        max_ahead: choices.max_ahead,
        max_behind: choices.max_behind,
        reasonable_monitoring_window: choices.reasonable_monitoring_window,
        maximum_lifetime: choices.maximum_lifetime,
    };
    let public = PublicKey::Ed25519(log_key.verifying_key());
    let vkey = match choices.suite {
        CipherSuite::Tlog => {
            let origin = configuration.origin(choices.prefix.trim_end_matches('/'))?;
            let vkey = Vkey::new(KeyName::new(&origin)?, public);
            configuration.signature_public_key = vkey.to_string().into_bytes();
            vkey
        }
        CipherSuite::Draft => {
            configuration.signature_public_key = public.material();
            Vkey::new(KeyName::new(&choices.prefix)?, public)
        }
    };
    let identity = Identity::new(configuration.encode()?, vec![LogKey::Ed25519(Box::new(log_key))], vrf_key)?;
    Ok(NewLog { identity, vkey })
}

fn mode(choices: &Choices) -> Result<ModeFields, InitError> {
    let Some(auditor) = &choices.auditor else { return Ok(ModeFields::ContactMonitoring) };
    let auditor_public_key = match (choices.suite, auditor.key()) {
        (CipherSuite::Tlog, key) if key.is_cosigner() => auditor.to_string().into_bytes(),
        (CipherSuite::Draft, PublicKey::Ed25519(key) | PublicKey::Ed25519Cosigner(key)) => {
            key.to_bytes().to_vec()
        }
        _ => return Err(InitError::AuditorKey),
    };
    if choices.suite == CipherSuite::Draft && choices.auditor_start > 0 {
        return Err(InitError::AuditorStart);
    }
    let max_auditor_lag = choices.max_auditor_lag;
    Ok(ModeFields::ThirdPartyAuditing(AuditingFields {
        max_auditor_lag,
        auditor_start_pos: choices.auditor_start,
        auditor_public_key,
    }))
}
