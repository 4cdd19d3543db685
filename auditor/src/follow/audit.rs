//! Replaying the updates of the entries that are known.
//!
//! Under suite 0xF001 only entries are taken that were replayed from the log's tiles before, under a head that the log
//! signed, and every update must lead to exactly the entry that stands there. Under 0x0002 there is no tree to compare with:
//! the updates are the log's only word, and whoever is served it verifies the head that this auditor signs against its own.

use std::{collections::BTreeSet, sync::Arc};

use keyglass_keytrans::{
    config::DeploymentMode,
    ibst,
    wire::{Context, LogEntry, Wire as _},
};
use keyglass_tlog::{
    Digest,
    rfc6962::{empty_root, leaf_hash, range_nodes},
    tile::{Content, FULL_WIDTH, Tile, parse_bundle},
};
use tokio::time::{Instant, timeout_at};

use super::{AuditError, Follower};
use crate::{
    audited::{Audit, AuditState, Fault},
    fetch::Ended,
    finding::Finding,
    progress::Replayed,
    records::{
        Records, RecordsError,
        store::{Damage, Position, Store},
    },
    signing::Verified,
    updates::Form,
};

/// How far the replay of updates came.
#[derive(Default)]
pub(super) struct Audited {
    /// All that was verified, in whatever round; none before the first entry.
    pub(super) verified: Option<Verified>,
    /// The first entry whose update counts.
    pub(super) start: u64,
    /// How many updates this round verified.
    pub(super) replayed: u64,
    /// Whether nothing is left to verify.
    pub(super) complete: bool,
    pub(super) findings: Vec<Finding>,
}

impl Audited {
    /// What was verified as a position in the log.
    pub(super) fn position(&self) -> Position {
        let nothing = Position { size: 0, root: empty_root(), last: None };
        self.verified.map_or(nothing, |Verified { size, root, last }| Position {
            size,
            root,
            last: Some(last),
        })
    }

    fn learn(&mut self, audit: &Audit) {
        self.start = audit.start();
        let (size, last) = (audit.size(), audit.last_timestamp());
        self.verified = audit.root().zip(last).map(|(root, last)| Verified { size, root, last });
    }
}

/// An update that was refused.
struct Refused {
    position: u64,
    fault: Fault,
    bytes: Vec<u8>,
}

impl Follower {
    /// Replays updates up to `known` entries, or as many as there are where no tree is known; or until the time is up, or until
    /// one is refused.
    pub(super) async fn audit(&self, known: Option<u64>, until: Instant) -> Result<Audited, AuditError> {
        let mut done = Audited::default();
        let Some(mut audit) = self.begin(known, until, &mut done).await? else { return Ok(done) };
        done.learn(&audit);
        loop {
            let from = audit.size();
            self.meter.note(Replayed::Changes, from, known, Instant::now());
            if known.is_some_and(|known| from >= known) {
                done.complete = true;
                return Ok(done);
            }
            if Instant::now() >= until {
                done.findings.push(Finding::Auditing { verified: from, size: known });
                return Ok(done);
            }
            let fetching = self.log.updates(from, Form::of(self.trust.suite()), self.limits);
            // If the time is up, the next look at the clock ends it.
            let Ok(fetched) = timeout_at(until, fetching).await else { continue };
            let mut updates = fetched.updates;
            if let Some(left) = known.and_then(|known| usize::try_from(known.saturating_sub(from)).ok()) {
                updates.truncate(left);
            }
            if updates.is_empty() {
                match (fetched.ended, known) {
                    (Ended::Well, None) => done.complete = true,
                    (Ended::Well, Some(size)) => {
                        done.findings.push(Finding::UpdatesEnd { position: from, size });
                    }
                    (Ended::CutOff(error), _) => done.findings.push(Finding::of_updates(error, from)),
                    (Ended::Malformed { error, bytes }, _) => {
                        let refused = Refused { position: from, fault: error.into(), bytes };
                        done.findings.push(self.refuse(refused).await?);
                    }
                }
                return Ok(done);
            }
            let (replayed, refused) = self.replay(audit, updates).await?;
            audit = replayed;
            done.replayed = done.replayed.saturating_add(audit.size().saturating_sub(from));
            done.learn(&audit);
            if let Some(mut refused) = refused {
                if let (Fault::OtherEntry(led_to), Some(known)) = (&refused.fault, known) {
                    refused.fault = self.explain(refused.position, led_to, known).await;
                }
                done.findings.push(self.refuse(refused).await?);
                return Ok(done);
            }
            tracing::debug!(verified = audit.size(), "updates verified");
        }
    }

    /// The replay as it is stored, or a new one; none if the log is not there yet where it has to begin.
    async fn begin(
        &self,
        known: Option<u64>,
        until: Instant,
        done: &mut Audited,
    ) -> Result<Option<Audit>, AuditError> {
        let start = self.trust.start();
        let stored = self.with_store(|store| Ok(store.audit()?)).await?;
        match (stored, known) {
            (Some(state), _) => Ok(Some(self.resume(state).await?)),
            (None, _) if start == 0 => Ok(Some(Audit::new(&self.trust))),
            (None, Some(known)) if known >= start => {
                let beginning = timeout_at(until, self.beginning(start, known)).await;
                let Ok(beginning) = beginning else {
                    done.findings.push(Finding::Auditing { verified: 0, size: Some(known) });
                    return Ok(None);
                };
                match beginning? {
                    Ok(state) => Ok(Some(self.resume(state).await?)),
                    Err(finding) => {
                        done.findings.push(finding);
                        Ok(None)
                    }
                }
            }
            // There is nothing to verify yet.
            (None, _) => {
                done.complete = true;
                Ok(None)
            }
        }
    }

    /// What was verified in earlier rounds.
    pub(super) async fn audited_before(&self) -> Result<Audited, AuditError> {
        let mut done = Audited::default();
        if let Some(state) = self.with_store(|store| Ok(store.audit()?)).await? {
            done.learn(&self.resume(state).await?);
        }
        Ok(done)
    }

    async fn resume(&self, state: AuditState) -> Result<Audit, AuditError> {
        let trust = Arc::clone(&self.trust);
        let resume = move |store: &Store| {
            Audit::resume(&trust, &state).map_err(|_| store.damaged(Damage::Audit).into())
        };
        self.with_store(resume).await
    }

    /// The log at the entry where the audit begins, out of the tiles: its tree was replayed under heads that the log signed.
    async fn beginning(&self, start: u64, known: u64) -> Result<Result<AuditState, Finding>, AuditError> {
        let positions = ibst::frontier(start);
        let bundles: BTreeSet<Option<Tile>> =
            positions.iter().map(|position| bundle_of(*position, known)).collect();
        let bundles = match self.log.tiles(bundles.into_iter().flatten()).await {
            Ok(bundles) => bundles,
            Err(error) => return Ok(Err(Finding::of_tile(error, known))),
        };
        let (hashes, full_subtrees) = {
            let positions = positions.clone();
            let read = move |store: &Store| {
                let hash = |position: &u64| {
                    Ok(store.leaf_hashes(*position, 1)?.first().copied().unwrap_or_default())
                };
                let hashes = positions.iter().map(hash).collect::<Result<Vec<Digest>, RecordsError>>()?;
                let snapshot = store.snapshot()?;
                let nodes = range_nodes(0, start).into_iter().map(|id| snapshot.node(id));
                Ok((hashes, nodes.collect::<Result<Vec<Digest>, _>>()?))
            };
            self.with_store(read).await?
        };
        let mut frontier = Vec::new();
        for (position, hash) in positions.into_iter().zip(hashes) {
            let bundle = bundles.iter().find(|(tile, _)| Some(*tile) == bundle_of(position, known));
            let entry = bundle.and_then(|(tile, contents)| entry_in(tile, contents, position, &hash));
            let Some(entry) = entry else { return Ok(Err(Finding::EntriesDoNotMatch { size: known })) };
            frontier.push((position, entry));
        }
        Ok(Ok(AuditState { start, size: start, full_subtrees, frontier }))
    }

    /// Verifies updates, as far as they verify, and makes that durable.
    async fn replay(
        &self,
        audit: Audit,
        updates: Vec<Vec<u8>>,
    ) -> Result<(Audit, Option<Refused>), AuditError> {
        let (form, has_tree) = (Form::of(self.trust.suite()), self.trust.has_checkpoints());
        self.with_store(move |store| replay(store, audit, updates, form, has_tree)).await
    }

    /// What an entry that an update led to differs in from the one in the log's tree.
    async fn explain(&self, position: u64, led_to: &LogEntry, known: u64) -> Fault {
        let told = async {
            let tile = bundle_of(position, known)?;
            let contents = self.log.tile(&tile).await.ok()?;
            let hash = self.with_store(move |store| Ok(store.leaf_hashes(position, 1)?)).await.ok()?;
            entry_in(&tile, &contents, position, hash.first()?)
        };
        told.await.map_or(Fault::OtherEntry(*led_to), |entry| Fault::of_difference(led_to, &entry))
    }

    /// Keeps an update that was refused, and says what is wrong with it.
    async fn refuse(&self, refused: Refused) -> Result<Finding, AuditError> {
        let Refused { position, fault, bytes } = refused;
        let keep = move |records: &mut Records| Ok(records.refused().keep(position, &bytes)?);
        let kept = self.records.with(keep).await?;
        Ok(Finding::BadUpdate { position, fault: Box::new(fault), kept })
    }

    /// Works with the database where waiting is allowed, without keeping others from the records.
    pub(super) async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, RecordsError> + Send + 'static,
    ) -> Result<T, AuditError> {
        let store = Arc::clone(&self.store);
        Ok(tokio::task::spawn_blocking(move || work(&store)).await.map_err(|_| AuditError::Task)??)
    }
}

/// Verifies updates, as far as they verify, and makes that durable.
fn replay(
    store: &Store,
    mut audit: Audit,
    updates: Vec<Vec<u8>>,
    form: Form,
    has_tree: bool,
) -> Result<(Audit, Option<Refused>), RecordsError> {
    let from = audit.size();
    let (mut decoded, mut refused) = (Vec::new(), None);
    for update in &updates {
        match form.decode(update) {
            Ok(update) => decoded.push(update),
            Err(error) => {
                refused = Some((decoded.len(), Fault::Malformed(error.into())));
                break;
            }
        }
    }
    let leaves = if has_tree { Some(store.leaf_hashes(from, decoded.len())?) } else { None };
    let refused = audit.replay(&decoded, leaves.as_deref(), |keys| store.published(keys))?.or(refused);
    let refused = refused.map(|(i, fault)| {
        let bytes = updates.into_iter().nth(i).unwrap_or_default();
        Refused { position: audit.size(), fault, bytes }
    });
    if audit.size() > from {
        if has_tree && Some(store.snapshot()?.root_at(audit.size())?) != audit.root() {
            // Every leaf is the tree's, so one of the two was not stored as it was computed.
            return Err(store.damaged(Damage::Audit).into());
        }
        store.commit_audit(from, &audit)?;
        audit.stored();
    }
    Ok((audit, refused))
}

/// The bundle with the entry at `position`, in the tree of `size`.
fn bundle_of(position: u64, size: u64) -> Option<Tile> {
    let width = u64::from(FULL_WIDTH);
    let index = position / width;
    let width = size.saturating_sub(index.saturating_mul(width)).min(width);
    Tile::new(Content::Entries, index, u16::try_from(width).ok()?).ok()
}

/// The entry at `position`, if the bundle has the one with this hash there.
fn entry_in(tile: &Tile, contents: &[u8], position: u64, hash: &Digest) -> Option<LogEntry> {
    let entries = parse_bundle(tile, contents).ok()?;
    let place = usize::try_from(position % u64::from(FULL_WIDTH)).ok()?;
    let entry = entries.into_iter().nth(place).filter(|entry| leaf_hash(entry) == *hash)?;
    LogEntry::decode(entry, Context::new(DeploymentMode::ThirdPartyAuditing)).ok()
}
