//! What a user trusts: one log's configuration and, under suite 0xF001, a policy.

use keyglass_crypto::{
    sign::{SignError, VerifyingKey},
    vrf::{VrfError, VrfPublicKey},
};
use keyglass_tlog::{
    note::{PublicKey, Vkey, VkeyError},
    policy::{Policy, PolicyError},
};
use thiserror::Error;

use crate::{
    config::{CipherSuite, Configuration, DeploymentMode, ModeFields},
    wire::{Context, Wire, WireError},
};

/// Why a user cannot be set up with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigurationError {
    /// It is malformed.
    #[error("the configuration is malformed")]
    Wire(#[from] WireError),
    /// Its cipher suite is not implemented.
    #[error("cipher suite {0:#06x} is not implemented")]
    CipherSuite(u16),
    /// A key does not have 32 bytes.
    #[error("a public key does not have 32 bytes")]
    KeyLength,
    /// A signature key is not one.
    #[error("a signature key is refused")]
    SignatureKey(#[from] SignError),
    /// The VRF key is not one.
    #[error("the VRF key is refused")]
    VrfKey(#[from] VrfError),
    /// Suite 0xF001: a key is not a vkey.
    #[error("a key is not a vkey")]
    Vkey(#[from] VkeyError),
    /// Suite 0xF001: the log's vkey is not of a log, or the auditor's not of a cosigner.
    #[error("a vkey has the wrong signature type")]
    VkeyType,
    /// Suite 0xF001: the vkey's name does not commit to this configuration.
    #[error("the origin does not commit to this configuration")]
    Origin,
    /// Suite 0xF001: no policy was given.
    #[error("a policy is needed to judge the heads of this log")]
    NoPolicy,
    /// The policy is malformed.
    #[error("the policy is malformed: {0}")]
    Policy(#[from] PolicyError),
    /// The policy names logs, but not this one.
    #[error("the policy does not name this log")]
    PolicyForAnotherLog,
    /// The maximum lifetime does not exceed the Reasonable Monitoring Window, or is zero.
    #[error("the maximum lifetime must exceed the monitoring window")]
    Lifetime,
}

/// What heads are judged by.
#[derive(Debug, Clone)]
pub(super) enum HeadTrust {
    Draft { key: VerifyingKey, auditor: Option<VerifyingKey> },
    Tlog { log: TlogKeys, policy: Box<Policy>, auditor: Option<Vkey> },
}

/// The keys of a log of suite 0xF001, at least one, all with the origin for their name.
#[derive(Debug, Clone)]
pub(super) struct TlogKeys {
    pub(super) origin: String,
    pub(super) keys: Vec<Vkey>,
}

/// Verifies the responses of one log. It holds no state of the user's and never changes.
#[derive(Debug, Clone)]
pub struct Verifier {
    pub(super) config: Configuration,
    pub(super) suite: CipherSuite,
    pub(super) vrf_key: VrfPublicKey,
    pub(super) heads: HeadTrust,
    pub(super) operator_key: Option<VerifyingKey>,
}

fn key32(bytes: &[u8]) -> Result<&[u8; 32], ConfigurationError> {
    bytes.try_into().map_err(|_| ConfigurationError::KeyLength)
}

fn vkey(bytes: &[u8]) -> Result<Vkey, ConfigurationError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ConfigurationError::VkeyType)?;
    Ok(Vkey::parse(text)?)
}

impl Verifier {
    /// Takes the TLS encoding of a configuration, which the user must have from a trusted source. `policy` is a
    /// tlog-policy file; suite 0x0002 has no use for one.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn new(configuration: &[u8], policy: Option<&[u8]>) -> Result<Self, ConfigurationError> {
        // Decoding a configuration takes nothing from the context.
        let config = Configuration::decode(configuration, Context::new(DeploymentMode::ContactMonitoring))?;
        let suite = CipherSuite::from_number(config.ciphersuite)
            .ok_or(ConfigurationError::CipherSuite(config.ciphersuite))?;
        let vrf_key = VrfPublicKey::from_bytes(key32(&config.vrf_public_key)?)?;
        if config.maximum_lifetime.is_some_and(|lifetime| lifetime <= config.reasonable_monitoring_window) {
            return Err(ConfigurationError::Lifetime);
        }
        let (operator_key, auditor_key) = match &config.mode {
            ModeFields::ContactMonitoring => (None, None),
            ModeFields::ThirdPartyManagement { leaf_public_key } => (Some(leaf_public_key), None),
            ModeFields::ThirdPartyAuditing(fields) => (None, Some(&fields.auditor_public_key)),
        };
        let operator_key =
            operator_key.map(|key| Ok::<_, ConfigurationError>(VerifyingKey::from_bytes(key32(key)?)?));
        let heads = match suite {
            CipherSuite::Draft => HeadTrust::Draft {
                key: VerifyingKey::from_bytes(key32(&config.signature_public_key)?)?,
                auditor: auditor_key
                    .map(|key| key32(key))
                    .transpose()?
                    .map(VerifyingKey::from_bytes)
                    .transpose()?,
            },
            CipherSuite::Tlog => tlog_trust(&config, policy, auditor_key.map(Vec::as_slice))?,
        };
        Ok(Self { suite, vrf_key, heads, operator_key: operator_key.transpose()?, config })
    }

    /// The configuration.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.config
    }

    /// The cipher suite.
    #[must_use]
    pub fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// The log's keys, under suite 0xF001; none under 0x0002. One of them must have signed a head, and the name of each is
    /// the origin.
    ///
    /// They are those of the policy's `log` lines for this origin, in their order; where the policy has no `log` lines, the
    /// one that the configuration names.
    #[must_use]
    pub fn log_keys(&self) -> &[Vkey] {
        match &self.heads {
            HeadTrust::Draft { .. } => &[],
            HeadTrust::Tlog { log, .. } => &log.keys,
        }
    }

    /// The log's origin, under suite 0xF001.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match &self.heads {
            HeadTrust::Draft { .. } => None,
            HeadTrust::Tlog { log, .. } => Some(&log.origin),
        }
    }

    /// Judges the same log by the same keys, and asks for no witness: to learn what it has signed, never to use it.
    ///
    /// # Errors
    /// [`ConfigurationError::Policy`], which does not occur.
    pub fn without_witnesses(&self) -> Result<Self, ConfigurationError> {
        let mut verifier = self.clone();
        if let HeadTrust::Tlog { policy, .. } = &mut verifier.heads {
            **policy = Policy::parse(b"quorum none\n")?;
        }
        Ok(verifier)
    }

    /// The policy, under suite 0xF001.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        match &self.heads {
            HeadTrust::Draft { .. } => None,
            HeadTrust::Tlog { policy, .. } => Some(policy),
        }
    }

    pub(super) fn context(&self) -> Context {
        Context::new(self.config.deployment_mode())
    }
}

fn tlog_trust(
    config: &Configuration,
    policy: Option<&[u8]>,
    auditor_key: Option<&[u8]>,
) -> Result<HeadTrust, ConfigurationError> {
    let log = vkey(&config.signature_public_key)?;
    if !matches!(log.key(), PublicKey::Ed25519(_)) {
        return Err(ConfigurationError::VkeyType);
    }
    let origin = log.name().as_str();
    let prefix = origin.rsplit_once('/').map(|(prefix, _)| prefix).ok_or(ConfigurationError::Origin)?;
    if config.origin(prefix)? != origin {
        return Err(ConfigurationError::Origin);
    }
    let auditor = auditor_key.map(vkey).transpose()?;
    if auditor.as_ref().is_some_and(|auditor| !auditor.key().is_cosigner()) {
        return Err(ConfigurationError::VkeyType);
    }
    let policy = Policy::parse(policy.ok_or(ConfigurationError::NoPolicy)?)?;
    let mut keys: Vec<Vkey> = policy.log_keys(origin).cloned().collect();
    if keys.is_empty() {
        if !policy.logs().is_empty() {
            return Err(ConfigurationError::PolicyForAnotherLog);
        }
        keys.push(log.clone());
    }
    let log = TlogKeys { origin: origin.to_owned(), keys };
    Ok(HeadTrust::Tlog { log, policy: Box::new(policy), auditor })
}
