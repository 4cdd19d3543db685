//! A server that goes on serving an old head.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Failed,
    lying::proxy::{Answered, Asked, Proxy},
    report::Report,
    system::System,
};

/// A server that answers every search as it answered the first one like it.
pub struct OldHead {
    proxy: Proxy,
    recorded: Instant,
}

impl OldHead {
    /// Starts the server and has it record its answer to somebody who looks Alice up.
    ///
    /// # Errors
    /// [`Failed`] if it cannot go on.
    pub async fn record(report: &mut Report, system: &System) -> Result<Self, Failed> {
        let answers: Mutex<Vec<(Asked, Answered)>> = Mutex::new(Vec::new());
        let lie = move |asked: &Asked, answered: Answered| {
            if asked.path != "/v1/search" {
                return answered;
            }
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            let before = answers.iter().find(|(before, _)| before.body == asked.body);
            if let Some((_, before)) = before {
                return before.clone();
            }
            answers.push((asked.clone(), answered.clone()));
            answered
        };
        let proxy = Proxy::start(system.url()?, Arc::new(lie)).await.map_err(Failed::Listen)?;
        let answer = system.client_of("stranger-early", &proxy.url()).run(&["lookup", "alice"]).await?;
        report.answer("2. another lookup", &answer, "verified", "for now, this server tells the truth");
        Ok(Self { proxy, recorded: Instant::now() })
    }

    /// Somebody else looks Alice up, when that head is too old.
    ///
    /// # Errors
    /// [`Failed`] if it cannot go on.
    pub async fn run(self, report: &mut Report, system: &System) -> Result<(), Failed> {
        report.title("4d. An old head is served for too long");
        report.doing("waiting until the recorded head is too old");
        let too_old = Duration::from_millis(system.timing.max_behind.saturating_add(1_000));
        tokio::time::sleep_until((self.recorded + too_old).into()).await;
        let late = system.client_of("stranger-late", &self.proxy.url());
        let answer = late.run(&["lookup", "alice"]).await?;
        let why = "the head verifies but is older than the log's configuration allows";
        report.answer("4d. old head", &answer, "stale", why);
        let Self { proxy, .. } = self;
        let url = proxy.url();
        drop(proxy);
        let gone = system.client_of("stranger-late", &url);
        let answer = gone.run(&["lookup", "alice", "--timeout", "1"]).await?;
        report.answer(
            "4d. no server",
            &answer,
            "unreachable",
            "nobody answers: that is not the same as lying",
        );
        let honest = system.client("stranger-late")?.run(&["lookup", "alice"]).await?;
        report.answer("4d. honest server", &honest, "verified", "the log itself was in order all the time");
        Ok(())
    }
}
