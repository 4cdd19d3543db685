//! From new versions of labels to the batch of one log entry, as a pure function: no thread, no clock, no randomness. The
//! caller commits.

use keyglass_crypto::vrf::VrfSecretKey;
use keyglass_keytrans::{
    log_hash::LogHash,
    log_tree::Appender,
    prefix_tree::{self, PageSource, TreeError, TreeRoot},
    wire::{CommitmentValue, PrefixLeaf, UpdateSuffix, UpdateValue, VrfInput, Wire as _, WireError},
};
use keyglass_tlog::time::UnixMillis;

use crate::{
    log_tree,
    store::{Batch, EntryRecord, LabelRecord, LabelUpdate, OpenedValue, Snapshot, StoreError, VersionRecord},
};

/// New versions of one label.
#[derive(Debug, Clone)]
pub struct NewVersions {
    /// The label.
    pub label: Vec<u8>,
    /// Its record before; `None` if it has no version.
    pub record: Option<LabelRecord>,
    /// The first of the versions: one more than the greatest of `record`.
    pub first: u32,
    /// What opens each, ascending; at least one.
    pub values: Vec<OpenedValue>,
    /// Their leaves, in the same order.
    pub leaves: Vec<PrefixLeaf>,
}

/// Where a version goes in the prefix tree, and what it commits to.
///
/// # Errors
/// [`WireError`] if the label or the value has no encoding.
pub fn leaf(
    key: &VrfSecretKey,
    label: &[u8],
    version: u32,
    opened: &OpenedValue,
) -> Result<PrefixLeaf, WireError> {
    let input = VrfInput { label: label.to_vec(), version }.encode()?;
    let committed = CommitmentValue {
        opening: opened.opening,
        label: label.to_vec(),
        version,
        update: UpdateValue { value: opened.value.clone(), suffix: UpdateSuffix::default() },
    };
    Ok(PrefixLeaf { vrf_output: key.output(&input), commitment: committed.commitment()? })
}

/// The two trees as the last log entry left them, ready to be extended.
#[derive(Debug, Clone)]
pub struct Trees {
    hash: LogHash,
    log_tree: Appender,
    tree: TreeRoot,
    timestamp: u64,
}

impl Trees {
    /// The trees of everything that is sequenced.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or contradicts itself.
    pub fn open(snapshot: &dyn Snapshot, hash: LogHash) -> Result<Self, StoreError> {
        let size = snapshot.size()?;
        let last = match size.checked_sub(1) {
            None => EntryRecord { timestamp: 0, tree: TreeRoot::EMPTY },
            Some(last) => {
                snapshot.entry(last)?.ok_or(StoreError::Corrupt("the last log entry is missing"))?
            }
        };
        let log_tree = log_tree::appender(snapshot, hash, size)?;
        Ok(Self { hash, log_tree, tree: last.tree, timestamp: last.timestamp })
    }

    /// The number of log entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.log_tree.size()
    }

    /// The last entry's timestamp, in milliseconds since the Unix epoch; 0 without entries.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// The batch of the next log entry, and the trees after it, once the batch is committed for [`Self::size`]. `expiring`
    /// says whether log entries expire, so that it has to be noted what each makes superfluous.
    ///
    /// # Errors
    /// [`TreeError`] if the prefix tree cannot be extended.
    pub fn extended(
        &self,
        pages: &impl PageSource<Error = StoreError>,
        now: UnixMillis,
        versions: Vec<NewVersions>,
        expiring: bool,
    ) -> Result<(Batch, Self), TreeError<StoreError>> {
        let position = self.size();
        let mut leaves: Vec<PrefixLeaf> =
            versions.iter().flat_map(|one| one.leaves.iter().copied()).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.vrf_output);
        let next = prefix_tree::insert(pages, &self.tree, position, &leaves)?;
        // A clock that was set back does not take the log with it.
        let timestamp = now.0.max(self.timestamp);
        let entry = EntryRecord { timestamp, tree: next.root };
        let mut log_tree = self.log_tree.clone();
        let nodes = log_tree.append(self.hash.leaf(timestamp, entry.tree.value()));

        let mut labels = Vec::with_capacity(versions.len());
        let mut replaced = Vec::new();
        for NewVersions { label, record, first, values, leaves } in versions {
            let records = values
                .into_iter()
                .zip(leaves)
                .map(|(opened, leaf)| VersionRecord { commitment: leaf.commitment, opened: Some(opened) });
            let records: Vec<VersionRecord> = records.collect();
            let greatest = greatest(first, records.len());
            let (record, moved) = match &record {
                None => (LabelRecord::new(greatest, position), None),
                Some(record) => record.extended(greatest, position),
            };
            // From the greatest version before, if there was one, to the one before the greatest now.
            let below = first.saturating_sub(1)..greatest;
            if expiring && !below.is_empty() {
                replaced.push((label.clone(), below));
            }
            labels.push(LabelUpdate { label, record, moved, versions: records });
        }
        let batch = Batch { entry, nodes, pages: next.pages, superseded: next.superseded, replaced, labels };
        Ok((batch, Self { hash: self.hash, log_tree, tree: entry.tree, timestamp }))
    }
}

/// The last of `count` versions from `first` on; there is at least one, and all are within 32 bits.
fn greatest(first: u32, count: usize) -> u32 {
    let after = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_add(after)
}
