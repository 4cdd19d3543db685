//! What an auditor trusts: one log's configuration, and a policy. Both are files that its operator chose.

use std::{sync::Arc, time::Duration};

use keyglass_gossip::trust::{KnownLog, Witnesses};
use keyglass_keytrans::{
    client::{ConfigurationError, Verifier},
    config::{AuditingFields, CipherSuite, Configuration, ModeFields},
};
use keyglass_tlog::{
    Digest,
    note::{KeyName, PublicKey, Vkey},
    policy::{Policy, Quorum},
    time::UnixMillis,
    witnessed::{Horizon, Judge},
};
use thiserror::Error;

/// Why a configuration and a policy cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// One of them is malformed, or they do not belong together.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The log's tree up to there could be taken only from witnessed tiles, which a log of suite 0x0002 does not have.
    #[error("under suite 0x0002 an audit begins at entry 0; this configuration says {0} (auditor_start_pos)")]
    Start(u64),
}

/// A log's keys and bounds, and the policy by which its heads are judged.
#[derive(Debug, Clone)]
pub struct Trust {
    configuration: Configuration,
    suite: CipherSuite,
    id: Digest,
    /// At least one.
    log_keys: Vec<Vkey>,
    origin: String,
    witnesses: Arc<Witnesses>,
    /// The keys and the policy again, as notes are read by them.
    known: KnownLog,
}

impl Trust {
    /// Takes the TLS encoding of a Configuration and a tlog-policy file, validated as a client validates them. Suite 0x0002
    /// has no use for a policy: no witness can cosign its heads.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn new(configuration: &[u8], policy: Option<&[u8]>) -> Result<Self, TrustError> {
        let verifier = Verifier::new(configuration, policy)?;
        let id = verifier.configuration().log_id().map_err(ConfigurationError::from)?;
        let (origin, log_keys, policy) = match (verifier.origin(), verifier.policy()) {
            (Some(origin), Some(policy)) => (origin.to_owned(), verifier.log_keys().to_vec(), policy.clone()),
            _ => {
                let (vkey, policy) = draft_stand_ins(verifier.configuration(), &id)?;
                (vkey.name().as_str().to_owned(), vec![vkey], policy)
            }
        };
        let witnesses = Arc::new(Witnesses::of(policy));
        let known = KnownLog::new(log_keys.clone(), None, Arc::clone(&witnesses));
        let trust = Self {
            configuration: verifier.configuration().clone(),
            suite: verifier.suite(),
            id,
            log_keys,
            origin,
            witnesses,
            known,
        };
        match (trust.suite, trust.start()) {
            (CipherSuite::Draft, start @ 1..) => Err(TrustError::Start(start)),
            _ => Ok(trust),
        }
    }

    /// The log's configuration.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Its cipher suite.
    #[must_use]
    pub fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// Whether the log shows checkpoints and tiles. Under suite 0x0002 it has neither.
    #[must_use]
    pub fn has_checkpoints(&self) -> bool {
        self.suite == CipherSuite::Tlog
    }

    /// What names the log under either suite, whatever key it signs with at present ([`Configuration::log_id`]).
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// What third-party auditing demands, in that mode.
    #[must_use]
    pub fn auditing(&self) -> Option<&AuditingFields> {
        match &self.configuration.mode {
            ModeFields::ThirdPartyAuditing(fields) => Some(fields),
            ModeFields::ContactMonitoring | ModeFields::ThirdPartyManagement { .. } => None,
        }
    }

    /// The first entry whose update is verified.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.auditing().map_or(0, |fields| fields.auditor_start_pos)
    }

    /// The log's identity: its origin; under suite 0x0002, which has none, a stand-in.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log's keys, of which one must have signed a head ([`Verifier::log_keys`]).
    #[must_use]
    pub fn log_keys(&self) -> &[Vkey] {
        &self.log_keys
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.witnesses.policy()
    }

    /// The policy's witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &Arc<Witnesses> {
        &self.witnesses
    }

    /// Whose lines count in the log's notes.
    #[must_use]
    pub fn known(&self) -> &KnownLog {
        &self.known
    }

    /// Whether the policy asks for any witness at all.
    #[must_use]
    pub fn asks_for_witnesses(&self) -> bool {
        self.policy().quorum() != Quorum::None
    }

    /// How far the newest entry may be ahead of the clock.
    #[must_use]
    pub fn max_ahead(&self) -> Duration {
        Duration::from_millis(self.configuration.max_ahead)
    }

    /// How far the newest entry may be behind the clock.
    #[must_use]
    pub fn max_behind(&self) -> Duration {
        Duration::from_millis(self.configuration.max_behind)
    }

    /// The judge of the log's heads at this time.
    #[must_use]
    pub fn judge(&self, now: UnixMillis) -> Judge<'_> {
        Judge::of_log(self.policy(), &self.log_keys, Horizon::at(now, self.max_ahead()))
    }
}

/// A name, and a policy that asks for nobody, for a log whose heads are no notes. The log's key signs nothing under that
/// name: no note of it exists.
fn draft_stand_ins(configuration: &Configuration, id: &Digest) -> Result<(Vkey, Policy), ConfigurationError> {
    let key: &[u8; 32] = configuration
        .signature_public_key
        .as_slice()
        .try_into()
        .map_err(|_| ConfigurationError::KeyLength)?;
    let key = keyglass_crypto::sign::VerifyingKey::from_bytes(key)?;
    let name = KeyName::new(&format!("kt:{}", hex::encode(id))).map_err(|_| ConfigurationError::Origin)?;
    Ok((Vkey::new(name, PublicKey::Ed25519(key)), Policy::parse(b"quorum none\n")?))
}
