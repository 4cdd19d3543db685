//! What an operator watches of gossip, under the prefix of whichever server gossips.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{holdings::Holdings, net::Outcome};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// Counts of what came of asking peers, and of evidence. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct GossipMetrics {
    outcomes: Family<Labels, Counter>,
    evidence: Gauge,
}

impl GossipMetrics {
    /// Puts the counts into a server's metrics, under the registry's prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("gossip", "What came of asking peers, by outcome", self.outcomes.clone());
        registry.register(
            "evidence",
            "Evidence held that logs signed two histories, for peers to fetch",
            self.evidence.clone(),
        );
    }

    /// Counts what happened.
    pub fn observe(&self, outcome: Outcome) {
        self.outcomes.get_or_create(&Labels { outcome: outcome.name() }).inc();
    }

    /// Takes note of how much evidence is held.
    pub fn held(&self, holdings: &Holdings) {
        self.evidence.set(i64::try_from(holdings.len()).unwrap_or(i64::MAX));
    }
}
