//! Decides which head the witnesses are asked about, and publishes.

use std::{collections::BTreeSet, sync::Arc};

use keyglass_tlog::{
    note::{self, SignatureLine},
    policy::Name,
    time::UnixSeconds,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    Parts, PublisherError, Settings, Status,
    head::{Cosignatures, OwnSignature, SignedHead, to_publish},
    round::Round,
};
use crate::store::StoreError;

/// What one question to a witness led to.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whose.
    pub(super) worker: usize,
    /// The size that was asked about.
    pub(super) size: u64,
    /// The cosignatures, verified, by the names of the witnesses in the policy; none if the question failed.
    pub(super) lines: Vec<(Name, SignatureLine)>,
}

pub(super) struct Coordinator {
    pub(super) parts: Parts,
    pub(super) settings: Settings,
    pub(super) target: watch::Sender<Option<Arc<SignedHead>>>,
    pub(super) status: watch::Sender<Status>,
    /// The workers that answered the last head in time. The grace is for them alone: a witness that stalls is not waited
    /// for again before it has answered in time once more.
    pub(super) prompt: BTreeSet<usize>,
}

impl Coordinator {
    pub(super) async fn run(mut self, mut answers: mpsc::Receiver<Answer>) -> Result<(), PublisherError> {
        let mut round = self.resume().await?;
        loop {
            while let Ok(answer) = answers.try_recv() {
                self.take(round.as_mut(), answer);
            }
            if let Some(round) = &mut round
                && round.is_due(Instant::now(), &self.settings)
                && let Some(head) = to_publish(round.head(), &self.parts.policy, round.cosignatures())
            {
                let (store, published) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.published));
                blocking(move || published.publish(&*store, head)).await?;
                round.published();
            }
            let newest = self.parts.sequenced.borrow_and_update().size;
            let waiting = newest > round.as_ref().map_or(0, Round::size);
            let ends_at = round.as_ref().map(|round| round.ends_at(&self.settings));
            if waiting && ends_at.is_none_or(|at| at <= Instant::now()) {
                round = Some(self.begin(newest, round.as_ref()).await?);
                continue;
            }
            self.report(round.as_ref());
            let due_at = round.as_ref().and_then(|round| round.due_at(&self.settings));
            let wake_at = due_at.into_iter().chain(ends_at.filter(|_| waiting)).min();
            tokio::select! {
                biased;
                Some(answer) = answers.recv() => self.take(round.as_mut(), answer),
                () = until(wake_at) => {}
                changed = self.parts.sequenced.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
        }
    }

    fn take(&mut self, round: Option<&mut Round>, answer: Answer) {
        let Some(round) = round.filter(|round| round.size() == answer.size) else { return };
        if answer.lines.is_empty() {
            self.prompt.remove(&answer.worker);
        } else {
            self.prompt.insert(answer.worker);
        }
        round.answered(answer);
    }

    /// Goes on with the published head: witnesses that have not cosigned it are asked again.
    async fn resume(&self) -> Result<Option<Round>, PublisherError> {
        let Some(published) = self.parts.published.current() else { return Ok(None) };
        let head = self.sign(published.size).await?;
        if head.root != published.root {
            return Err(PublisherError::OtherRoot { size: published.size });
        }
        let lines = note::parse_signature_lines(&published.signature).unwrap_or_default();
        let mut cosignatures = Cosignatures::new();
        for witness in self.parts.policy.witnesses() {
            let of = |line: &&SignatureLine| {
                line.name() == witness.vkey().name() && line.id() == witness.vkey().id()
            };
            if let Some(line) = lines.iter().find(of) {
                cosignatures.insert(witness.name().clone(), line.clone());
            }
        }
        let now = self.parts.clock.now();
        self.status.send_modify(|status| {
            status.aim(published.size, now);
            let indices = 0..status.witnesses.len();
            let known = |name: &String| cosignatures.keys().any(|known| known.to_string() == *name);
            let cosigned: Vec<usize> =
                indices.filter(|i| status.witnesses.get(*i).is_some_and(|w| known(&w.name))).collect();
            for index in cosigned {
                status.cosigned(index, published.size, None);
            }
        });
        // The log's keys may be others than when the head was published.
        let own = match &head.signature {
            OwnSignature::Checkpoint(_, own) => own.iter().all(|line| lines.contains(line)),
            OwnSignature::TreeHead(signature) => *signature == published.signature,
        };
        let round = Round::resumed(head, cosignatures, !own);
        self.target.send_replace(Some(round.head_shared()));
        Ok(Some(round))
    }

    /// Signs the head of the first `size` entries and asks all witnesses for it.
    async fn begin(&mut self, size: u64, before: Option<&Round>) -> Result<Round, PublisherError> {
        for late in before.into_iter().flat_map(Round::expected) {
            self.prompt.remove(late);
        }
        let round = Round::new(self.sign(size).await?, self.prompt.clone());
        let now = self.parts.clock.now();
        self.status.send_modify(|status| status.aim(size, now));
        self.target.send_replace(Some(round.head_shared()));
        Ok(round)
    }

    async fn sign(&self, size: u64) -> Result<SignedHead, PublisherError> {
        let (store, hash) = (Arc::clone(&self.parts.store), self.parts.signer.log_hash());
        let read = blocking(move || {
            let snapshot = store.snapshot()?;
            let nothing = StoreError::Corrupt("a log without entries has no head");
            let last = size.checked_sub(1).map(|last| snapshot.entry(last)).transpose()?.flatten();
            let root = crate::log_tree::root(&*snapshot, hash, size)?.ok_or(nothing.clone())?;
            Ok::<_, StoreError>((root, last.ok_or(nothing)?.timestamp))
        });
        let (root, timestamp) = read.await?;
        Ok(self.parts.signer.sign(size, root, UnixSeconds(timestamp / 1000))?)
    }

    fn report(&self, round: Option<&Round>) {
        let published = self.parts.published.current().map_or(0, |head| head.size);
        self.status.send_if_modified(|status| {
            let (target, missing) = round.map_or((0, 0), |round| {
                (round.size(), self.parts.policy.missing(&round.cosignatures().keys().collect()))
            });
            let changed = (status.target, status.missing, status.published) != (target, missing, published);
            (status.target, status.missing, status.published) = (target, missing, published);
            changed
        });
    }
}

/// Waits until then; for ever without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => core::future::pending().await,
    }
}

/// Runs something that blocks where blocking is allowed.
async fn blocking<T: Send + 'static, E: Send + 'static + Into<PublisherError>>(
    run: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, PublisherError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(StoreError::Backend(error.to_string()).into()),
    }
}
