//! What is counted about prekeys: what shows an attack on pools, and how well devices are supplied.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{FetchError, UploadError, reserve::Grant};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BundleLabels {
    /// How the request for one-time prekeys ended.
    one_time: &'static str,
    /// Which KEM prekey the bundle has.
    kem: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: &'static str,
}

/// Which KEM prekey a bundle has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KemKind {
    /// One that nobody else gets.
    OneTime,
    /// The one that everybody gets.
    LastResort,
    /// None.
    None,
}

impl KemKind {
    fn name(self) -> &'static str {
        match self {
            Self::OneTime => "one_time",
            Self::LastResort => "last_resort",
            Self::None => "none",
        }
    }
}

/// How many pools are how full, as of the last pass through all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// Pools with a valid signed prekey, of devices that a published record names.
    pub live: u64,
    /// Those of them below the low-water mark, empty ones too.
    pub low: u64,
    /// Those of them without one-time prekeys of a type that the device has.
    pub empty: u64,
    /// Pools whose signed prekey has expired: their devices have been away.
    pub expired: u64,
    /// Pools of devices that no published record names any more.
    pub absent: u64,
}

/// Counters of one service; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    bundles: Family<BundleLabels, Counter>,
    repeated: Counter,
    refused: Family<ReasonLabels, Counter>,
    uploads: Family<ResultLabels, Counter>,
    pools: Family<LevelLabels, Gauge>,
    pruned: Counter,
    removed: Counter,
}

impl Meters {
    /// Makes them part of what is scraped.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "prekey_bundles",
            "New bundles by how the request for one-time prekeys ended and which KEM prekey they have",
            self.bundles.clone(),
        );
        registry.register(
            "prekey_bundles_repeated",
            "Bundles given again for a request id",
            self.repeated.clone(),
        );
        registry.register(
            "prekey_bundles_refused",
            "Requests for a bundle that got none, by reason",
            self.refused.clone(),
        );
        registry.register("prekey_uploads", "Uploads of prekeys by result", self.uploads.clone());
        registry.register(
            "prekey_pools",
            "Pools by how full they were at the last pass through all of them",
            self.pools.clone(),
        );
        registry.register(
            "prekey_pruned",
            "Things of the prekey service deleted by age",
            self.pruned.clone(),
        );
        registry.register(
            "prekey_pools_removed",
            "Pools deleted because no published record names their device",
            self.removed.clone(),
        );
    }

    pub(super) fn bundle(&self, grant: Grant, kem: KemKind) {
        self.bundles.get_or_create(&BundleLabels { one_time: grant.name(), kem: kem.name() }).inc();
    }

    pub(super) fn repeat(&self) {
        self.repeated.inc();
    }

    pub(super) fn refuse(&self, error: &FetchError) {
        let reason = match error {
            FetchError::UnknownDevice => "unknown_device",
            FetchError::NoSignedPreKey => "no_signed_prekey",
            FetchError::RequesterQuota => "requester_quota",
            FetchError::Store(_) => "store",
        };
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn upload(&self, result: Result<(), &UploadError>) {
        let result = result.map_or_else(UploadError::name, |()| "taken");
        self.uploads.get_or_create(&ResultLabels { result }).inc();
    }

    pub(super) fn prune(&self, count: usize) {
        self.pruned.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn remove(&self) {
        self.removed.inc();
    }

    pub(super) fn observe(&self, levels: Levels) {
        for (level, count) in [
            ("live", levels.live),
            ("low", levels.low),
            ("empty", levels.empty),
            ("expired", levels.expired),
            ("absent", levels.absent),
        ] {
            let gauge = self.pools.get_or_create(&LevelLabels { level }).clone();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// New bundles whose request for one-time prekeys ended in this way.
    #[must_use]
    pub fn bundles(&self, grant: Grant) -> u64 {
        let kinds = [KemKind::OneTime, KemKind::LastResort, KemKind::None];
        let labels = |kem: KemKind| BundleLabels { one_time: grant.name(), kem: kem.name() };
        kinds.iter().map(|kem| self.bundles.get_or_create(&labels(*kem)).get()).sum()
    }

    /// Bundles that were given again for a request id.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.get()
    }
}
