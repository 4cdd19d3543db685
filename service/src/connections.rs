//! How many connections there are, and what became of them, as metrics.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counts of a server's connections. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: Gauge<i64, AtomicI64>,
    accepted: Counter,
    refused: Counter,
    failed_accepts: Counter,
    failed_handshakes: Counter,
    failed_reloads: Counter,
}

impl Connections {
    /// Puts the counts into a server's metrics, under the registry's prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that are open", self.open.clone());
        registry.register("accepted_connections", "Connections that were accepted", self.accepted.clone());
        registry.register(
            "refused_connections",
            "Connections that were closed at once because their address held as many as one may",
            self.refused.clone(),
        );
        registry.register(
            "failed_accepts",
            "Connections that could not be accepted, for want of file descriptors as a rule",
            self.failed_accepts.clone(),
        );
        registry.register(
            "tls_failed_handshakes",
            "Connections whose TLS handshake failed or took too long",
            self.failed_handshakes.clone(),
        );
        registry.register(
            "tls_failed_reloads",
            "Times that the certificate could not be read again, so that the one before was kept",
            self.failed_reloads.clone(),
        );
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> i64 {
        self.open.get()
    }

    /// Connections that were closed at once because their address held as many as one may.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// TLS handshakes that failed or took too long.
    #[must_use]
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.get()
    }

    /// Counts a connection in, and out again when the result is dropped.
    pub(crate) fn accepted(&self) -> Open {
        self.accepted.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    pub(crate) fn refuse(&self) {
        self.refused.inc();
    }

    pub(crate) fn accept_failed(&self) {
        self.failed_accepts.inc();
    }

    pub(crate) fn handshake_failed(&self) {
        self.failed_handshakes.inc();
    }

    pub(crate) fn reload_failed(&self) {
        self.failed_reloads.inc();
    }
}

/// An open connection.
pub(crate) struct Open(Gauge<i64, AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
