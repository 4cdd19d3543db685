//! Comparisons, which take a log's tiles. They are made beside the rounds with peers, one at a time of each log: a log that
//! stalls costs neither peers nor other logs their turn, and is asked ever more rarely.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use keyglass_tlog::{
    note::MAX_NOTE_LEN,
    relate::{nodes_to_relate, relate},
};
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, timeout},
};

use super::{
    ask::Asker,
    rounds::{Host, Outcome, Settings},
    tiles::{self, NoNodes},
};
use crate::{
    head::Head,
    node::{Comparison, Step, THE_LOG},
    schedule::pause,
    trust::Trust,
};

/// Comparisons at a time, each of another log.
const CONCURRENCY: usize = 16;
/// The most comparisons that wait to be begun or left.
pub(super) const MAX_WAITING: usize = 64;

/// A log that did not answer.
struct Failing {
    times: u32,
    until: Instant,
}

/// The comparisons that are being made.
pub(super) struct Comparisons<H> {
    asker: Asker<H>,
    settings: Settings,
    /// Each says whether the log answered.
    running: JoinSet<bool>,
    origins: HashMap<Id, String>,
    failing: BTreeMap<String, Failing>,
}

impl<H: Host> Comparisons<H> {
    pub(super) fn new(asker: Asker<H>, settings: Settings) -> Self {
        let (running, origins, failing) = (JoinSet::new(), HashMap::new(), BTreeMap::new());
        Self { asker, settings, running, origins, failing }
    }

    /// Begins a comparison, or leaves it for later.
    pub(super) fn begin(&mut self, comparison: Comparison) {
        let origin = comparison.head.origin();
        let busy = self.running.len() >= CONCURRENCY || self.origins.values().any(|busy| busy == origin);
        if busy {
            return self.asker.leave_open(&comparison);
        }
        if self.failing.get(origin).is_some_and(|failing| Instant::now() < failing.until) {
            let step = self.asker.node().related(&comparison, None);
            debug_assert_eq!(step, Step::Done, "what was not compared proves nothing");
            return;
        }
        let (asker, most, origin) = (self.asker.clone(), self.settings.round, origin.to_owned());
        let task = self.running.spawn(async move { asker.compare(&comparison, most).await });
        self.origins.insert(task.id(), origin);
    }

    /// Waits until a comparison ends; for ever, if there is none.
    pub(super) async fn end_of_one(&mut self) {
        let (id, answered) = match self.running.join_next_with_id().await {
            None => return core::future::pending().await,
            Some(Ok(ended)) => ended,
            // It panicked, which was reported.
            Some(Err(error)) => (error.id(), false),
        };
        let Some(origin) = self.origins.remove(&id) else { return };
        if answered {
            self.failing.remove(&origin);
            return;
        }
        let failing = self.failing.entry(origin).or_insert(Failing { times: 0, until: Instant::now() });
        failing.times = failing.times.saturating_add(1);
        failing.until = Instant::now() + pause(self.settings.period, failing.times, rand::random());
    }

    /// Forgets logs that are not known any more.
    pub(super) fn retain_logs(&mut self, trust: &Trust) {
        self.failing.retain(|origin, _| trust.log(origin).is_some());
    }
}

impl<H: Host> Asker<H> {
    /// Compares two heads; says whether the log answered. If it did and had not what it takes, or had the tiles of another
    /// tree, the head that it shows itself may be one that contradicts both.
    async fn compare(&self, comparison: &Comparison, most: Duration) -> bool {
        let answered = self.relate(comparison, most).await;
        let (origin, tree) = (comparison.head.origin(), comparison.head.tree());
        let from_peer = comparison.from.is_some_and(|from| from != THE_LOG);
        if answered && from_peer && self.node().is_open(origin, tree) {
            return self.ask_the_log(origin, most).await;
        }
        answered
    }

    /// Relates two heads by the log's tiles, which it has so much time to supply. Says whether it answered.
    async fn relate(&self, comparison: &Comparison, most: Duration) -> bool {
        let (small, large) = comparison.sizes();
        let trust = self.host.book().trust();
        let url = trust.log(comparison.head.origin()).and_then(|log| log.url());
        let nodes = match url {
            Some(url) => {
                let ids = nodes_to_relate(small, large);
                let nodes = timeout(most, tiles::nodes(&self.fetch, &with_slash(url), large, &ids)).await;
                nodes.unwrap_or(Err(NoNodes::NoAnswer))
            }
            None => Err(NoNodes::NotThere),
        };
        let answered = nodes != Err(NoNodes::NoAnswer);
        let nodes = nodes.unwrap_or_default();
        let node = |id| nodes.get(&id).copied().ok_or(());
        let relation = relate(comparison.anchor.note(), comparison.head.note(), node).ok();
        self.host.observe(Outcome::Compared);
        let step = self.node().related(comparison, relation);
        if let Step::Evidence(evidence) = step {
            self.found(*evidence).await;
        }
        answered
    }

    /// Compares the head that the log shows itself. Says whether it answered.
    async fn ask_the_log(&self, origin: &str, most: Duration) -> bool {
        let trust = self.host.book().trust();
        let Some(url) = trust.log(origin).and_then(|log| log.url()) else { return true };
        let note = match self.fetch.get(&with_slash(url), "checkpoint", MAX_NOTE_LEN).await {
            Ok(note) => note,
            Err(error) => return NoNodes::from(error) != NoNodes::NoAnswer,
        };
        let head = Head::read(&note, &trust).ok().filter(|head| head.origin() == origin);
        let Some(head) = head else { return true };
        let step = self.node().learn(THE_LOG, &Arc::new(head));
        match step {
            Step::Done => true,
            Step::Evidence(evidence) => {
                self.found(*evidence).await;
                true
            }
            Step::Compare(comparison) => self.relate(&comparison, most).await,
        }
    }
}

/// A prefix that paths can be appended to.
fn with_slash(url: &str) -> String {
    if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }
}
