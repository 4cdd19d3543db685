//! Everything that an auditor remembers, and what it concludes when it is shown one more head. No network.

pub mod evidence;
mod known;
pub mod store;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use keyglass_tlog::{Digest, evidence::Evidence, rfc6962::ProveError, time::UnixMillis};
use thiserror::Error;

pub use self::known::{Known, Source, Standing};
use self::{
    evidence::{EvidenceDir, EvidenceStoreError},
    store::{Change, Position, Snapshot, Store, StoreError},
};
use crate::{
    data_dir::{EVIDENCE, REFUSED, STATE},
    head::SignedHead,
    refused::{RefusedDir, RefusedError},
    relate::{Relation, contradiction, relate},
    replay::{NewHashes, Replay},
    trust::Trust,
};

/// The most heads that agree with what was replayed; the largest are kept.
pub const MAX_AGREEING: usize = 512;
/// The most heads that do not agree. More than one is evidence already.
pub const MAX_DISAGREEING: usize = 128;
/// The most heads of one witness, or of the log, that are beyond what was replayed.
pub const MAX_OPEN: usize = 16;
/// The most such heads that clients reported.
pub const MAX_OPEN_REPORTED: usize = 128;
/// With how many heads one that does not agree is confronted.
const MAX_CONFRONTED: usize = 64;

/// Why nothing could be concluded.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceStoreError),
    /// The updates that were refused.
    #[error(transparent)]
    Refused(#[from] RefusedError),
}

/// What became of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was compared, or is kept until it can be.
    Stands(Standing),
    /// It cannot be compared yet, and there is no room to keep it.
    NoRoom,
}

/// The memory of an auditor.
pub struct Records {
    trust: Arc<Trust>,
    store: Arc<Store>,
    evidence: EvidenceDir,
    refused: RefusedDir,
    heads: BTreeMap<(u64, Digest), Known>,
}

impl Records {
    /// Opens what is in a data directory.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn open(data: &Path, auditor: &str, trust: Arc<Trust>) -> Result<Self, RecordsError> {
        let store = Store::open(&data.join(STATE), auditor, trust.origin())?;
        let evidence = EvidenceDir::open(&data.join(EVIDENCE), Arc::clone(&trust))?;
        let heads = store.heads()?.into_iter().map(|known| (key(&known.head), known)).collect();
        let refused = RefusedDir::new(data.join(REFUSED));
        Ok(Self { trust, store: Arc::new(store), evidence, refused, heads })
    }

    /// The database, for the replay of updates, which needs nothing else of what is remembered.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The updates that were refused.
    #[must_use]
    pub fn refused(&self) -> &RefusedDir {
        &self.refused
    }

    /// How far the log was replayed.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn position(&self) -> Result<Position, RecordsError> {
        Ok(self.store.snapshot()?.position())
    }

    /// What was replayed, for reading.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn snapshot(&self) -> Result<Snapshot<'_>, RecordsError> {
        Ok(self.store.snapshot()?)
    }

    /// The evidence.
    #[must_use]
    pub fn evidence(&self) -> &EvidenceDir {
        &self.evidence
    }

    /// The heads that stand like this, smaller ones first.
    pub fn standing(&self, standing: Standing) -> impl DoubleEndedIterator<Item = &Known> {
        self.heads.values().filter(move |known| known.standing == standing)
    }

    /// Takes note of entries that were replayed from `from` entries on and proven to belong to a head of the log.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn advance(&mut self, from: u64, hashes: &NewHashes, replay: &Replay) -> Result<(), RecordsError> {
        let advance = Some((from, hashes, replay));
        Ok(self.store.commit(&Change { advance, ..Change::default() })?)
    }

    /// Compares again whatever could not be compared or proven before. Call it after [`Records::advance`].
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn settle(&mut self, now: UnixMillis) -> Result<(), RecordsError> {
        let size = self.position()?.size;
        let due = |known: &&Known| match known.standing {
            Standing::Open => known.head.size() <= size,
            Standing::Disputed => true,
            Standing::Agrees | Standing::Contradicts => false,
        };
        let due: Vec<Known> = self.heads.values().filter(due).cloned().collect();
        for known in due {
            self.admit(known.head, known.source, now)?;
        }
        Ok(())
    }

    /// Compares a head with all that was seen before, and remembers it. Contradictions become evidence at once.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn admit(
        &mut self,
        head: SignedHead,
        source: Source,
        now: UnixMillis,
    ) -> Result<Admission, RecordsError> {
        let key = key(&head);
        let before = self.heads.get(&key);
        let mut known = before.cloned().unwrap_or(Known {
            head: head.clone(),
            standing: Standing::Open,
            first_seen: now,
            source,
        });
        let was_convicted = before.is_some_and(|before| before.standing == Standing::Contradicts);
        let news = before.is_none() || known.head.merge(&head);
        let position = self.position()?;
        let settled = match known.standing {
            Standing::Agrees | Standing::Contradicts => true,
            Standing::Open => known.head.size() > position.size,
            Standing::Disputed => false,
        };
        if settled && !news {
            return Ok(Admission::Stands(known.standing));
        }
        let evidence = self.confront(&mut known)?;
        // Evidence that came from elsewhere is not found again here.
        let mut convicted = was_convicted;
        for evidence in evidence {
            convicted |= self.evidence.convict(&evidence)?;
        }
        if convicted && known.standing == Standing::Disputed {
            known.standing = Standing::Contradicts;
        }
        self.remember(known)
    }

    /// Stores evidence that was found elsewhere, if it convicts the log, and says whether it does. `head` is the head
    /// that it is about, if it is one that was disputed.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn convict(&mut self, evidence: &Evidence, head: &SignedHead) -> Result<bool, RecordsError> {
        let convicted = self.evidence.convict(evidence)?;
        if let Some(known) = self.heads.get(&key(head)).filter(|known| known.standing == Standing::Disputed)
            && convicted
        {
            let mut known = known.clone();
            known.standing = Standing::Contradicts;
            self.remember(known)?;
        }
        Ok(convicted)
    }

    /// Stores evidence that somebody else found, if it convicts the log, and says whether it does.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn take_evidence(&mut self, evidence: &Evidence) -> Result<bool, RecordsError> {
        Ok(self.evidence.convict(evidence)?)
    }

    /// Settles how a head stands, as far as what was replayed tells, and gives the contradictions in which it is.
    fn confront(&self, known: &mut Known) -> Result<Vec<Evidence>, RecordsError> {
        let snapshot = self.store.snapshot()?;
        let head = &known.head;
        let same_size = self.heads.range((head.size(), [0; 32])..=(head.size(), [0xff; 32]));
        let same_size = same_size.map(|(_, other)| &other.head).chain([head]);
        let mut evidence: Vec<Evidence> = same_size.filter_map(|other| contradiction(head, other)).collect();
        if head.size() > snapshot.position().size {
            known.standing = Standing::Open;
            return Ok(evidence);
        }
        let agrees = snapshot.root_at(head.size())? == *head.root();
        known.standing = if agrees { Standing::Agrees } else { Standing::Disputed };
        // One of the two is in the tree that was replayed, and it must be the larger one: its nodes are at hand.
        let others: Vec<&SignedHead> = if agrees {
            let disagree = |other: &&Known| {
                matches!(other.standing, Standing::Disputed | Standing::Contradicts)
                    && other.head.size() < head.size()
            };
            self.heads.values().filter(disagree).map(|other| &other.head).take(MAX_CONFRONTED).collect()
        } else {
            let after = (head.size().saturating_add(1), [0; 32]);
            let larger = self.heads.range(after..).map(|(_, other)| other);
            let larger = larger.filter(|other| other.standing == Standing::Agrees).map(|other| &other.head);
            larger.clone().take(MAX_CONFRONTED).chain(larger.clone().next_back()).collect()
        };
        for other in others {
            evidence.extend(self.proven_contradiction(&snapshot, head, other)?);
        }
        Ok(evidence)
    }

    fn proven_contradiction(
        &self,
        snapshot: &Snapshot<'_>,
        x: &SignedHead,
        y: &SignedHead,
    ) -> Result<Option<Evidence>, StoreError> {
        if x.size().max(y.size()) > snapshot.position().size {
            return Ok(None);
        }
        let relation = relate(x, y, |id| snapshot.node(id));
        match relation.map_err(|error: ProveError<StoreError>| snapshot.unprovable(error))? {
            Relation::Contradicts(evidence) => Ok(Some(evidence)),
            Relation::Same | Relation::Extends | Relation::Unproven(_) => Ok(None),
        }
    }

    /// Stores a head within the bounds of memory.
    fn remember(&mut self, known: Known) -> Result<Admission, RecordsError> {
        let key = key(&known.head);
        let standing = known.standing;
        if self.heads.get(&key) == Some(&known) {
            return Ok(Admission::Stands(standing));
        }
        let mut remove = Vec::new();
        if self.heads.get(&key).is_none_or(|before| before.standing != standing) {
            let alike = self.heads.iter().filter(|(other, old)| **other != key && old.standing == standing);
            match standing {
                Standing::Agrees => {
                    let count = alike.clone().count();
                    if count >= MAX_AGREEING {
                        remove.extend(alike.map(|(key, _)| *key).next());
                    }
                }
                Standing::Disputed | Standing::Contradicts => {
                    let disagreeing =
                        |old: &&Known| matches!(old.standing, Standing::Disputed | Standing::Contradicts);
                    let is_new = !self.heads.contains_key(&key);
                    if is_new && self.heads.values().filter(disagreeing).count() >= MAX_DISAGREEING {
                        return Ok(Admission::Stands(standing));
                    }
                }
                Standing::Open => {
                    let of_source = alike.filter(|(_, old)| old.source == known.source);
                    let count = of_source.clone().count();
                    if known.source == Source::Client {
                        if count >= MAX_OPEN_REPORTED {
                            return Ok(Admission::NoRoom);
                        }
                    } else if count >= MAX_OPEN {
                        // The oldest ones stay, so that nobody can push out a head that is waited for.
                        remove.extend(of_source.max_by_key(|(_, old)| old.first_seen).map(|(key, _)| *key));
                    }
                }
            }
        }
        let change = Change { put: vec![known.clone()], remove, advance: None };
        self.store.commit(&change)?;
        for key in &change.remove {
            self.heads.remove(key);
        }
        self.heads.insert(key, known);
        Ok(Admission::Stands(standing))
    }

    /// The log, the policy and the bounds.
    #[must_use]
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }
}

fn key(head: &SignedHead) -> (u64, Digest) {
    (head.size(), head.id())
}
