//! The log tree over the store: its frontier, roots, consistency proofs and tiles, all from the full subtrees' values.

use keyglass_crypto::hash::Digest;
use keyglass_keytrans::{
    log_hash::LogHash,
    log_tree::{self, Appender, NodeId},
};
use keyglass_tlog::rfc6962::{self, ProveError};

use crate::store::{Snapshot, StoreError};

/// The log tree of the first `size` entries, ready to be extended.
///
/// # Errors
/// [`StoreError`], also if a node is missing.
pub fn appender(snapshot: &dyn Snapshot, hash: LogHash, size: u64) -> Result<Appender, StoreError> {
    let heads = values(snapshot, &log_tree::full_subtrees(size))?;
    Appender::resume(hash, size, &heads)
        .map_err(|_| StoreError::Corrupt("the log tree's heads do not fit its size"))
}

/// The root of the first `size` entries; `None` if there are none.
///
/// # Errors
/// [`StoreError`], also if a node is missing.
pub fn root(snapshot: &dyn Snapshot, hash: LogHash, size: u64) -> Result<Option<Digest>, StoreError> {
    Ok(log_tree::root(hash, size, &values(snapshot, &log_tree::full_subtrees(size))?))
}

/// The RFC 6962 consistency proof from the tree of `old` entries to that of `new`; `None` if `old` is the larger.
///
/// # Errors
/// [`StoreError`], also if a node is missing.
pub fn consistency_proof(
    snapshot: &dyn Snapshot,
    old: u64,
    new: u64,
) -> Result<Option<Vec<Digest>>, StoreError> {
    let ids: Option<Vec<NodeId>> =
        rfc6962::consistency_nodes(old, new).iter().map(|id| NodeId::new(id.level, id.index)).collect();
    let mut values = values(snapshot, &ids.ok_or(StoreError::Corrupt("the log is too long"))?)?.into_iter();
    // The proof asks for exactly these nodes, in this order.
    let next =
        |_| values.next().ok_or(StoreError::Corrupt("a consistency proof asks for more nodes than it named"));
    match rfc6962::consistency_proof(old, new, next) {
        Ok(proof) => Ok(Some(proof)),
        Err(ProveError::OutOfRange) => Ok(None),
        Err(ProveError::Node(error)) => Err(error),
    }
}

/// The values of `width` neighbours of one level, from index `first`.
///
/// # Errors
/// [`StoreError`], also if one is missing.
pub fn row(snapshot: &dyn Snapshot, level: u8, first: u64, width: u64) -> Result<Vec<Digest>, StoreError> {
    let ids: Option<Vec<NodeId>> =
        (first..first.saturating_add(width)).map(|index| NodeId::new(level, index)).collect();
    values(snapshot, &ids.ok_or(StoreError::Corrupt("the log is too long"))?)
}

/// Values of full subtrees, all of which must be there.
fn values(snapshot: &dyn Snapshot, ids: &[NodeId]) -> Result<Vec<Digest>, StoreError> {
    let missing = StoreError::Corrupt("a node of the log tree is missing");
    snapshot.nodes(ids)?.into_iter().map(|value| value.ok_or_else(|| missing.clone())).collect()
}

#[cfg(test)]
mod tests {
    use keyglass_keytrans::prefix_tree::TreeRoot;
    use keyglass_tlog::rfc6962::{CompactTree, empty_root, verify_consistency};

    use super::*;
    use crate::store::{Batch, EntryRecord, Store, memory::MemoryStore};

    fn leaf(index: u64) -> Digest {
        LogHash::Rfc6962.leaf(index, &[7; 32])
    }

    fn filled(size: u64) -> (MemoryStore, Vec<Digest>) {
        let store = MemoryStore::default();
        let mut tree = Appender::new(LogHash::Rfc6962);
        let mut roots = vec![empty_root()];
        for position in 0..size {
            let nodes = tree.append(leaf(position));
            let entry = EntryRecord { timestamp: position, tree: TreeRoot::EMPTY };
            let batch =
                Batch { entry, nodes, pages: vec![], superseded: vec![], replaced: vec![], labels: vec![] };
            store.commit(position, &batch).unwrap();
            roots.push(tree.root().unwrap());
        }
        (store, roots)
    }

    #[test]
    fn roots_and_appenders_agree_with_rfc_6962() {
        let (store, roots) = filled(130);
        let snapshot = store.snapshot().unwrap();
        let mut model = CompactTree::new();
        for size in 0..=130 {
            let read = appender(&*snapshot, LogHash::Rfc6962, size).unwrap();
            assert_eq!(read.size(), size);
            assert_eq!(read.root().unwrap_or(empty_root()), model.root());
            assert_eq!(root(&*snapshot, LogHash::Rfc6962, size).unwrap(), read.root());
            assert_eq!(roots[usize::try_from(size).unwrap()], model.root());
            model.append(leaf(size)).unwrap();
        }
        assert!(root(&*snapshot, LogHash::Rfc6962, 131).is_err());
    }

    #[test]
    fn consistency_proofs_verify() {
        let (store, roots) = filled(40);
        let snapshot = store.snapshot().unwrap();
        for new in 0..=40 {
            for old in 0..=new {
                let proof = consistency_proof(&*snapshot, old, new).unwrap().unwrap();
                let root = |size| &roots[usize::try_from(size).unwrap()];
                verify_consistency(old, root(old), new, root(new), &proof).unwrap();
            }
        }
        assert_eq!(consistency_proof(&*snapshot, 5, 4).unwrap(), None);
    }

    #[test]
    fn rows_are_the_nodes_of_a_level() {
        let (store, _) = filled(9);
        let snapshot = store.snapshot().unwrap();
        assert_eq!(row(&*snapshot, 0, 2, 3).unwrap(), [leaf(2), leaf(3), leaf(4)]);
        assert!(row(&*snapshot, 0, 8, 2).is_err());
        assert_eq!(row(&*snapshot, 3, 0, 1).unwrap().len(), 1);
    }
}
