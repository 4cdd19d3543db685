//! What an auditor trusts: one log's configuration, and a policy. Both are files that its operator chose.

use std::time::Duration;

use keyglass_keytrans::client::{ConfigurationError, Verifier};
use keyglass_tlog::{
    note::Vkey,
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
    /// The log's heads are not checkpoints.
    #[error("a log of cipher suite 0x0002 has no checkpoints and no tiles to follow")]
    NoCheckpoints,
}

/// A log's key and bounds, and the policy by which its heads are judged.
#[derive(Debug, Clone)]
pub struct Trust {
    vkey: Vkey,
    policy: Policy,
    max_ahead: Duration,
    max_behind: Duration,
}

impl Trust {
    /// Takes the TLS encoding of a Configuration and a tlog-policy file, validated as a client validates them.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn new(configuration: &[u8], policy: &[u8]) -> Result<Self, TrustError> {
        let verifier = Verifier::new(configuration, Some(policy))?;
        let (Some(vkey), Some(policy)) = (verifier.log_vkey(), verifier.policy()) else {
            return Err(TrustError::NoCheckpoints);
        };
        Ok(Self {
            vkey: vkey.clone(),
            policy: policy.clone(),
            max_ahead: Duration::from_millis(verifier.configuration().max_ahead),
            max_behind: Duration::from_millis(verifier.configuration().max_behind),
        })
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.vkey.name().as_str()
    }

    /// The log's key.
    #[must_use]
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the policy asks for any witness at all.
    #[must_use]
    pub fn asks_for_witnesses(&self) -> bool {
        self.policy.quorum() != Quorum::None
    }

    /// How far the newest entry may be ahead of the clock.
    #[must_use]
    pub fn max_ahead(&self) -> Duration {
        self.max_ahead
    }

    /// How far the newest entry may be behind the clock.
    #[must_use]
    pub fn max_behind(&self) -> Duration {
        self.max_behind
    }

    /// The judge of the log's heads at this time.
    #[must_use]
    pub fn judge(&self, now: UnixMillis) -> Judge<'_> {
        Judge::of_log(&self.policy, [&self.vkey], Horizon::at(now, self.max_ahead))
    }
}
