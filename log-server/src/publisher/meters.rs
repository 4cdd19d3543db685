//! What is counted about questions to witnesses. The series are bounded by the policy, whose names are the labels.

use core::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::AskError;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    witness: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabels {
    witness: String,
}

/// Counters of one publisher; clones count together.
#[derive(Debug, Clone)]
pub struct Meters {
    requests: Family<OutcomeLabels, Counter>,
    seconds: Family<WitnessLabels, Histogram, fn() -> Histogram>,
}

impl Default for Meters {
    fn default() -> Self {
        // From a millisecond to a little over eight seconds: the deadline is five.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        Self { requests: Family::default(), seconds: Family::new_with_constructor(histogram) }
    }
}

impl Meters {
    /// Makes them part of what is scraped.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "witness_requests",
            "Questions for a witness's cosignature by how they ended",
            self.requests.clone(),
        );
        registry.register("witness_request_seconds", "Time from a question to its end", self.seconds.clone());
    }

    pub(super) fn count(&self, witness: &str, error: Option<&AskError>) {
        let outcome = error.map_or("cosigned", AskError::kind);
        self.requests.get_or_create(&OutcomeLabels { witness: witness.to_owned(), outcome }).inc();
    }

    pub(super) fn time(&self, witness: &str, took: Duration) {
        let labels = WitnessLabels { witness: witness.to_owned() };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
