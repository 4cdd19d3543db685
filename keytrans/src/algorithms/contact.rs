//! The contact algorithm of "Monitoring the Tree".

use std::collections::BTreeMap;

use super::{Tree, Violation, lookups::monitoring_lookups};
use crate::{ibst, view::View, wire::MonitorMapEntry};

/// Which version of a label was proven to exist at which log entry, while that is still to be watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MonitoringMap(BTreeMap<u64, u32>);

impl MonitoringMap {
    /// The map with these entries, of which the greater version counts where two share a position.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = MonitorMapEntry>) -> Self {
        let mut map = Self::default();
        for entry in entries {
            map.put(entry.position, entry.version);
        }
        map
    }

    /// Starts watching `version` at `position`. Does nothing if that version is watched already.
    ///
    /// A lesser version that is watched further to the right is watched no longer. Monitoring took it there, up the
    /// direct path of an entry that is not to the right of `position`; so the path of the greater version leads through
    /// the same entries, and would meet the lesser one where step 3.1 takes the greater for hidden.
    pub fn watch(&mut self, position: u64, version: u32) {
        if !self.0.values().any(|&watched| watched == version) {
            self.0.retain(|&held, &mut watched| held <= position || watched > version);
            self.put(position, version);
        }
    }

    fn put(&mut self, position: u64, version: u32) {
        let entry = self.0.entry(position).or_insert(version);
        *entry = version.max(*entry);
    }

    /// The entries, by ascending position.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = MonitorMapEntry> + '_ {
        self.0.iter().map(|(&position, &version)| MonitorMapEntry { position, version })
    }

    /// Whether nothing needs to be watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What an owner-monitoring operation lets the contact algorithm leave to the owner's second algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerContext {
    /// The rightmost distinguished log entry that the owner has verified.
    pub start: u64,
}

/// The map after one round of monitoring.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Monitored {
    pub(super) map: MonitoringMap,
    /// Versions that leave the map once the owner's second algorithm has inspected a distinguished log entry:
    /// `(position in the map, that entry)`.
    pub(super) awaiting: Vec<(u64, u64)>,
}

/// Runs the contact algorithm; gives the map that remains.
///
/// # Errors
/// A [`Violation`] if a monitored version is hidden; those of the view.
pub fn contact_monitor<V: View>(
    view: &mut V,
    tree: &Tree,
    map: &MonitoringMap,
) -> Result<MonitoringMap, V::Error> {
    monitor(view, tree, map, None).map(|monitored| monitored.map)
}

/// The contact algorithm, for contacts and, with a context, for owners.
pub(super) fn monitor<V: View>(
    view: &mut V,
    tree: &Tree,
    map: &MonitoringMap,
    owner: Option<OwnerContext>,
) -> Result<Monitored, V::Error> {
    let mut provided: BTreeMap<u64, u32> = BTreeMap::new();
    let mut result = Monitored::default();
    for MonitorMapEntry { position, version } in map.entries().rev() {
        if tree.is_distinguished(view, position)? {
            continue;
        }
        let (path, distinguished) = path_to_inspect(view, tree, position)?;
        let skipped = distinguished.filter(|_| owner.is_some_and(|owner| position >= owner.start));
        let mut reached = Some(position);
        for entry in path.into_iter().filter(|&entry| Some(entry) != skipped) {
            match provided.get(&entry) {
                Some(&target) if target > version => {
                    reached = None;
                    break;
                }
                Some(_) => return Err(Violation::MonitoredVersionsOutOfOrder(entry).into()),
                None => {}
            }
            if !monitoring_lookups(view, entry, version)? {
                return Err(Violation::MonitoredVersionMissing(entry).into());
            }
            provided.insert(entry, version);
            reached = Some(entry);
        }
        // A version that reached a distinguished entry has been inspected where its owner will look.
        let Some(reached) = reached.filter(|&entry| skipped.is_some() || Some(entry) != distinguished) else {
            continue;
        };
        result.map.put(reached, version);
        if let Some(entry) = skipped {
            result.awaiting.push((reached, entry));
        }
    }
    Ok(result)
}

/// The entries to inspect for a version at `position`, left to right, and the distinguished one that ends them, if
/// there is one (step 2).
fn path_to_inspect<V: View>(
    view: &mut V,
    tree: &Tree,
    position: u64,
) -> Result<(Vec<u64>, Option<u64>), V::Error> {
    let mut path = Vec::new();
    for entry in ibst::direct_path(position, tree.size).into_iter().filter(|&entry| entry > position) {
        path.push(entry);
        if tree.is_distinguished(view, entry)? {
            return Ok((path, Some(entry)));
        }
    }
    Ok((path, None))
}
