//! Which witness lags, and since when. The series are bounded by the policy, whose names are the labels.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::http::health::WitnessReport;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabels {
    witness: String,
}

type Seconds = Gauge<f64, AtomicU64>;

/// What is watched of each witness.
#[derive(Default)]
pub(super) struct WitnessGauges {
    cosigned: Family<WitnessLabels, Gauge>,
    lag: Family<WitnessLabels, Gauge>,
    lagging: Family<WitnessLabels, Seconds>,
    since: Family<WitnessLabels, Seconds>,
    failures: Family<WitnessLabels, Gauge>,
}

impl WitnessGauges {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register(
            "witness_cosigned_entries",
            "The largest size that a witness is known to have cosigned",
            gauges.cosigned.clone(),
        );
        registry.register(
            "witness_lag_entries",
            "Entries of the newest head that a witness has not cosigned",
            gauges.lag.clone(),
        );
        registry.register(
            "witness_lagging_seconds",
            "For how long a witness has lacked the newest head; 0 while it has cosigned it",
            gauges.lagging.clone(),
        );
        registry.register(
            "witness_last_cosignature_seconds",
            "Time since the last cosignature of a witness; absent before the first",
            gauges.since.clone(),
        );
        registry.register("witness_failures", "Failures in a row of a witness", gauges.failures.clone());
        gauges
    }

    /// Brings one witness's gauges up to date; `now` is in milliseconds since the Unix epoch.
    pub(super) fn observe(&self, witness: &WitnessReport, now: u64) {
        let labels = WitnessLabels { witness: witness.name.clone() };
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let seconds = |since: u64| core::time::Duration::from_millis(now.saturating_sub(since)).as_secs_f64();
        self.cosigned.get_or_create(&labels).set(signed(witness.cosigned));
        self.lag.get_or_create(&labels).set(signed(witness.lag));
        self.lagging.get_or_create(&labels).set(witness.lagging_since_ms.map_or(0.0, seconds));
        if let Some(last) = witness.last_cosigned_ms {
            self.since.get_or_create(&labels).set(seconds(last));
        }
        self.failures.get_or_create(&labels).set(i64::from(witness.failures));
    }
}
