//! From what an operator wrote down to what a follower needs: files read, keys checked, addresses parsed. Nothing is asked of
//! the network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keyglass_service::tls::CertificateDer;
use keyglass_tlog::{cosignature::Cosigner, policy::Witness};

use crate::{
    cli::Common,
    clock::Clock,
    fetch::{Http, LogSource, VantageSource, WitnessSource},
    follow::{Auditing, Follower, SharedRecords},
    progress::Meter,
    run::{RunError, read},
    settings::{AuditorSettings, LogSettings},
    signing::Signer,
    trust::Trust,
    updates::Limits,
};

/// A log that is ready to be followed.
#[derive(Clone)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub urls: Vec<String>,
    /// Its keys and bounds.
    pub trust: Arc<Trust>,
    /// The time between rounds.
    pub interval: Duration,
    /// The key that signs its heads, if it names this auditor.
    pub signer: Option<Arc<Signer>>,
    log: LogSource,
    witnesses: Vec<WitnessSource>,
    others: Vec<VantageSource>,
    auditing: Auditing,
}

impl Plan {
    /// Reads what is to be read.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn new(
        log: &LogSettings,
        auditors: &[AuditorSettings],
        common: &Common,
        roots: &[CertificateDer<'_>],
        key: &Arc<Cosigner>,
    ) -> Result<Self, RunError> {
        let configuration = read(&log.configuration)?;
        let policy = log.policy.as_deref().map(read).transpose()?;
        let trust = Arc::new(Trust::new(&configuration, policy.as_deref())?);
        if !trust.has_checkpoints() {
            tracing::warn!(
                log = log.name,
                "a log of suite 0x0002 has no witnesses: only its updates are replayed"
            );
        } else if !trust.asks_for_witnesses() {
            tracing::warn!(
                log = log.name,
                "the policy says `quorum none`: its heads are worth the log's word alone"
            );
        }
        let timeout = LogSettings::or(log.timeout_ms, common.timeout);
        let http = Http::trusting(timeout, roots).map_err(RunError::Client)?;
        let address = |url: &str| {
            let url = url.to_owned();
            move |error| RunError::LogAddress { url, error }
        };
        let Some((first, more)) = log.urls.split_first() else { return Err(RunError::NoUrl) };
        let source = LogSource::new(http.clone(), first).map_err(address(first))?;
        let witnesses = witnesses(&http, &trust, &log.monitoring)?;
        let mut others = Vec::new();
        for url in more {
            others.push(VantageSource::mirror(http.clone(), url).map_err(address(url))?);
        }
        for auditor in auditors {
            let other = VantageSource::auditor(http.clone(), &auditor.name, &auditor.url, trust.origin());
            others.push(other.map_err(address(&auditor.url))?);
        }
        let signer = Signer::new(Arc::clone(key), &trust).map(Arc::new);
        match (&signer, trust.auditing()) {
            (Some(_), _) => tracing::info!(log = log.name, "this is the log's auditor: heads are signed"),
            (None, Some(_)) => {
                tracing::info!(
                    log = log.name,
                    "the log's configuration names another auditor: no heads for it"
                );
            }
            (None, None) => {}
        }
        let leaves = log.max_update_leaves.and_then(|leaves| usize::try_from(leaves).ok());
        let auditing = Auditing {
            patience: LogSettings::or(log.patience_ms, common.patience),
            limits: Limits { leaves: leaves.unwrap_or(common.max_update_leaves) },
            signer: signer.clone(),
            cosigner: Some(Arc::clone(key)),
        };
        let interval = LogSettings::or(log.interval_ms, common.interval);
        let (name, urls, log) = (log.name.clone(), log.urls.clone(), source);
        Ok(Self { name, urls, trust, interval, signer, log, witnesses, others, auditing })
    }

    /// The same, for somebody who only looks.
    #[must_use]
    pub fn signing_nothing(mut self) -> Self {
        (self.signer, self.auditing.signer, self.auditing.cosigner) = (None, None, None);
        self
    }

    /// Where the log is asked for tiles.
    #[must_use]
    pub fn source(&self) -> &LogSource {
        &self.log
    }

    /// A follower of the log.
    #[must_use]
    pub fn follower(&self, records: SharedRecords, clock: Arc<dyn Clock>, meter: Arc<Meter>) -> Follower {
        let (trust, auditing) = (Arc::clone(&self.trust), self.auditing.clone());
        Follower::new(trust, records, self.log.clone(), self.witnesses.clone(), clock, auditing)
            .beside(self.others.clone())
            .measured_by(meter)
    }
}

/// The policy's witnesses, each at its monitoring prefix.
fn witnesses(
    http: &Http,
    trust: &Trust,
    monitoring: &BTreeMap<String, String>,
) -> Result<Vec<WitnessSource>, RunError> {
    let name = |witness: &Witness| witness.name().to_string();
    if let Some(unknown) =
        monitoring.keys().find(|key| !trust.policy().witnesses().iter().any(|w| name(w) == **key))
    {
        return Err(RunError::UnknownWitness(unknown.clone()));
    }
    let source = |witness: &Witness| {
        match monitoring.get(&name(witness)) {
            Some(url) => WitnessSource::at(http.clone(), witness, trust.origin(), Some(url)),
            None => WitnessSource::new(http.clone(), witness, trust.origin()),
        }
        .map_err(|error| RunError::WitnessAddress { name: name(witness), error })
    };
    trust.policy().witnesses().iter().map(source).collect()
}
