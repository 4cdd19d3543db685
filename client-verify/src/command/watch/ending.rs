//! Being told to end.

use std::time::Duration;

use crate::{command::outcome::Failure, verdict::Verdict};

/// The signals by which a person or a supervisor ends a program: SIGINT and SIGTERM.
pub(super) struct Ending {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Ending {
    /// Listens from now on; none that comes later is missed.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub(super) fn new() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let failed = |error| Failure::new(Verdict::Failed, "signals", error);
            let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
            let terminate = signal(SignalKind::terminate()).map_err(failed)?;
            Ok(Self { interrupt, terminate })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for one.
    pub(super) async fn comes(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits so long, or until one comes; says whether it did.
    pub(super) async fn comes_within(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.comes()).await.is_ok()
    }
}
