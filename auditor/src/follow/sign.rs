//! Signing what was verified: the head of the log whose configuration names this auditor, and a cosignature of every head.
//!
//! What is signed is durable before anybody can ask for it. Signing has the records to itself, so that nothing is signed once
//! there is evidence, although the round that asks for it may have begun before.

use std::sync::Arc;

use keyglass_keytrans::wire::AuditorTreeHead;
use keyglass_tlog::time::UnixSeconds;

use super::{AuditError, Follower, audit::Audited};
use crate::{
    head::SignedHead,
    records::Records,
    report::{Report, SignedReport},
    signing::cosign,
    verdict::Verdict,
};

impl Follower {
    /// Signs the head of all that was verified, if this is the log's auditor and nothing speaks against it, and notes in the
    /// report what is signed.
    ///
    /// A signature follows what is durable, and covers only entries under a head that is witnessed as the policy demands:
    /// `proven` says that what was replayed is known to be a part of the tree of the head that the log shows.
    pub(super) async fn sign(
        &self,
        report: &mut Report,
        audited: &Audited,
        proven: bool,
    ) -> Result<(), AuditError> {
        let Some(signer) = self.signer.clone() else { return Ok(()) };
        report.audit.signs = true;
        let signed = self.with_store(|store| Ok(store.auditor_head()?)).await?;
        let state =
            |head: &AuditorTreeHead| SignedReport { tree_size: head.tree_size, timestamp_ms: head.timestamp };
        report.audit.head = signed.as_ref().map(state);
        let Some(verified) = audited.verified.filter(|verified| verified.size > audited.start) else {
            return Ok(());
        };
        if signed.is_some_and(|head| head.tree_size >= verified.size) {
            return Ok(());
        }
        let shown = report.shown.as_ref().is_some_and(|shown| {
            shown.tree_size >= verified.size && (shown.witnessed || !self.trust.asks_for_witnesses())
        });
        let under_it = !self.trust.has_checkpoints() || (proven && shown);
        if report.verdict >= Verdict::Invalid || !under_it {
            report.audit.not_signed = Some(format!("the verdict is {}", report.verdict));
            return Ok(());
        }
        let (trust, now) = (Arc::clone(&self.trust), self.clock.now());
        let sign = move |records: &mut Records| {
            if convicted(records) {
                return Ok(Err(format!("the verdict is {}", Verdict::Misbehaving)));
            }
            match signer.sign(&trust, &verified, now) {
                Err(reason) => Ok(Err(reason.to_string())),
                Ok(head) => records.store().put_auditor_head(&head).map(|()| Ok(head)).map_err(Into::into),
            }
        };
        match self.records.with(sign).await? {
            Err(reason) => report.audit.not_signed = Some(reason),
            Ok(head) => report.audit.head = Some(state(&head)),
        }
        Ok(())
    }

    /// Cosigns the head that the log shows, if everything up to it was verified and nothing speaks against it, and notes in the
    /// report what was cosigned last.
    pub(super) async fn cosign(
        &self,
        report: &mut Report,
        audited: &Audited,
        shown: Option<SignedHead>,
    ) -> Result<(), AuditError> {
        let Some(cosigner) = self.cosigner.clone().filter(|_| self.trust.has_checkpoints()) else {
            return Ok(());
        };
        let before = self.with_store(|store| Ok(store.cosigned()?)).await?;
        let before = before.map(|(head, at)| (head.size(), at));
        let state = |size: u64, at: UnixSeconds| SignedReport {
            tree_size: size,
            timestamp_ms: at.to_millis().map_or(0, |at| at.0),
        };
        report.audit.cosigned = before.map(|(size, at)| state(size, at));
        let (Some(head), Some(verified)) = (shown, audited.verified) else { return Ok(()) };
        let witnessed = report.shown.as_ref().is_some_and(|shown| shown.witnessed);
        let now = self.clock.now();
        let in_time = match &self.signer {
            Some(signer) => signer.in_time(&self.trust, &verified, now).is_ok(),
            None => true,
        };
        // Only larger checkpoints, so that the cosignatures are of one growing tree, each with the time at which it was new.
        let grown = head.size() > before.map_or(0, |(size, _)| size) && verified.size > audited.start;
        let speaks_against =
            report.verdict >= Verdict::Stale || (!witnessed && self.trust.asks_for_witnesses());
        if !grown || !in_time || speaks_against {
            return Ok(());
        }
        let size = head.size();
        let put = move |records: &mut Records| match cosign(&cosigner, &head, &verified, now) {
            Ok((note, at)) if !convicted(records) => {
                records.store().put_cosigned(&note, at)?;
                Ok(Some(at))
            }
            _ => Ok(None),
        };
        if let Some(at) = self.records.with(put).await? {
            report.audit.cosigned = Some(state(size, at));
        }
        Ok(())
    }
}

fn convicted(records: &Records) -> bool {
    records.evidence().convictions().next().is_some()
}
