//! Signing heads: of what was verified, and nothing else. Pure.
//!
//! The auditor that a log's configuration names signs its heads ("Auditor Tree Head Signature"), and only while they are recent.
//! Every auditor of a log of suite 0xF001 also cosigns the checkpoints that it has replayed, as a witness does and with the same
//! format, but as a stronger statement: *every entry up to here was replayed, and so was every change of the prefix tree that
//! they made* (from `auditor_start_pos` on, where the configuration has one); *no version was rewritten, and none removed before
//! its owner could see it*. It comes after the checkpoint was published, because nobody can replay what is not.

use std::{sync::Arc, time::Duration};

use keyglass_keytrans::{
    config::CipherSuite,
    wire::{AuditorTreeHead, AuditorTreeHeadTbs, Wire as _},
};
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{MAX_SIGNATURES, SignedNote, format_signature_lines},
    time::{UnixMillis, UnixSeconds},
};
use thiserror::Error;

use crate::{head::SignedHead, trust::Trust};

/// Why a head is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotSigned {
    /// The last entry is older than the auditor may lag behind.
    #[error("its last entry is {age_ms} ms old; the configuration allows {max_lag_ms} ms")]
    TooOld {
        /// Its age.
        age_ms: u64,
        /// `Configuration.max_auditor_lag`.
        max_lag_ms: u64,
    },
    /// The last entry is ahead of the clock.
    #[error("its last entry is {ahead_ms} ms ahead of the clock")]
    Ahead {
        /// How far.
        ahead_ms: u64,
    },
    /// The clock tells no time that a signature may carry.
    #[error("the clock is not set")]
    Clock,
    /// What was verified is not the tree of the checkpoint.
    #[error("the checkpoint is not of the tree that was verified")]
    OtherTree,
    /// Something has no encoding.
    #[error("the head has no encoding")]
    Encoding,
}

/// The auditor that a log's configuration names, with its key.
#[derive(Debug)]
pub struct Signer {
    key: Arc<Cosigner>,
    max_lag: Duration,
}

/// What is signed: all that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The number of entries.
    pub size: u64,
    /// The log tree's root.
    pub root: Digest,
    /// The timestamp of the last entry.
    pub last: UnixMillis,
}

impl Signer {
    /// The signer with this key, if it is the key of the log's auditor.
    #[must_use]
    pub fn new(key: impl Into<Arc<Cosigner>>, trust: &Trust) -> Option<Self> {
        let key = key.into();
        let fields = trust.auditing()?;
        let own = match trust.suite() {
            CipherSuite::Tlog => key.vkey().to_string().into_bytes(),
            CipherSuite::Draft => key.ed25519_key()?.verifying_key().to_bytes().to_vec(),
        };
        let max_lag = Duration::from_millis(fields.max_auditor_lag);
        (own == fields.auditor_public_key).then_some(Self { key, max_lag })
    }

    /// Whether what was verified is recent enough to be signed.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn in_time(&self, trust: &Trust, verified: &Verified, now: UnixMillis) -> Result<(), NotSigned> {
        let (age, ahead) = (now.saturating_since(verified.last), verified.last.saturating_since(now));
        if age > self.max_lag {
            return Err(NotSigned::TooOld { age_ms: ms(age), max_lag_ms: ms(self.max_lag) });
        }
        if ahead > trust.max_ahead() {
            return Err(NotSigned::Ahead { ahead_ms: ms(ahead) });
        }
        Ok(())
    }

    /// Signs the head of what was verified, which the caller has made durable.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(
        &self,
        trust: &Trust,
        verified: &Verified,
        now: UnixMillis,
    ) -> Result<AuditorTreeHead, NotSigned> {
        self.in_time(trust, verified, now)?;
        let Verified { size: tree_size, root, last } = *verified;
        match trust.suite() {
            CipherSuite::Tlog => {
                let checkpoint = Checkpoint::new(trust.origin(), tree_size, root);
                let checkpoint = checkpoint.map_err(|_| NotSigned::Encoding)?;
                let time = now.to_seconds();
                let line = self.key.cosign(&checkpoint, time).map_err(|_| NotSigned::Clock)?;
                let signature = format_signature_lines(&[line]).into_bytes();
                // The cosignature covers no other timestamp.
                let timestamp = time.to_millis().ok_or(NotSigned::Clock)?.0;
                Ok(AuditorTreeHead { timestamp, tree_size, signature })
            }
            CipherSuite::Draft => {
                // Step 8 of "Auditing": the timestamp of the last update.
                let (config, timestamp) = (trust.configuration().clone(), last.0);
                let signed = AuditorTreeHeadTbs { config, timestamp, tree_size, root };
                let signed = signed.encode().map_err(|_| NotSigned::Encoding)?;
                let signature = self.key.ed25519_key().ok_or(NotSigned::Encoding)?.sign(&signed).0.to_vec();
                Ok(AuditorTreeHead { timestamp, tree_size, signature })
            }
        }
    }
}

/// Cosigns a checkpoint of what was verified, which the caller has made durable. Of the log's own auditor the caller asks
/// [`Signer::in_time`] first: its cosignature is a signature under the configuration as well. Gives the note with all lines of
/// `head` and the cosignature, and the time of that.
///
/// # Errors
/// [`NotSigned`].
pub fn cosign(
    key: &Cosigner,
    head: &SignedHead,
    verified: &Verified,
    now: UnixMillis,
) -> Result<(SignedNote, UnixSeconds), NotSigned> {
    if (head.size(), head.root()) != (verified.size, &verified.root) {
        return Err(NotSigned::OtherTree);
    }
    let time = now.to_seconds();
    let line = key.cosign(head.checkpoint(), time).map_err(|_| NotSigned::Clock)?;
    let own =
        |other: &&keyglass_tlog::note::SignatureLine| (other.name(), other.id()) != (line.name(), line.id());
    let mut lines: Vec<_> = head.note().signatures().iter().filter(own).cloned().collect();
    lines.truncate(MAX_SIGNATURES.saturating_sub(1));
    lines.push(line);
    let note = SignedNote::new(head.note().text(), lines).map_err(|_| NotSigned::Encoding)?;
    Ok((note, time))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
