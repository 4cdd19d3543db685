//! A naive user that knows everything: what an operation must come to, computed from the whole log and the draft's
//! words, without a proof.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value, json};

use super::{ProverData as _, model::NaiveLog};
use crate::{
    algorithms::{Violation, tests::distinguished_by_recursion},
    client::{LabelState, UserState, session::Op},
    config::DeploymentMode,
    ibst,
    ladder::base_ladder,
    log_tree::full_subtrees,
};

/// A monitoring map, by position.
type Map = BTreeMap<u64, u32>;

/// The start of an owner, its version there, and the later ones.
type Owner = (u64, Option<u32>, Vec<(u64, u32)>);

/// What is retained of a label that is monitored or owned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Label {
    map: Map,
    owner: Option<Owner>,
}

impl Label {
    fn of(known: Option<&LabelState>) -> Self {
        let Some(known) = known else { return Self::default() };
        let owner = known.owner.as_ref();
        Self {
            map: known.map.entries().map(|entry| (entry.position, entry.version)).collect(),
            owner: owner.map(|owner| (owner.start, owner.version_at_start, owner.later_versions.clone())),
        }
    }

    /// A version is watched once, and none to the right of a greater one.
    fn watch(&mut self, position: u64, version: u32) {
        if !self.map.values().any(|&watched| watched == version) {
            self.map.retain(|&held, &mut watched| held <= position || watched > version);
            let watched = self.map.entry(position).or_insert(version);
            *watched = version.max(*watched);
        }
    }
}

/// All of a log, as of now.
pub(super) struct Oracle<'a> {
    log: &'a NaiveLog,
    distinguished: BTreeSet<u64>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(log: &'a NaiveLog) -> Self {
        let window = log.config.reasonable_monitoring_window;
        let distinguished = distinguished_by_recursion(&log.timestamps(), window).into_iter().collect();
        Self { log, distinguished }
    }

    /// The result and the state after an honest answer, as the vectors write both; or why there is none.
    pub(super) fn expect(&self, op: &Op, state: &UserState) -> Result<(Value, Value), Violation> {
        let label = match op {
            Op::Search { label, .. }
            | Op::ContactMonitor { label }
            | Op::OwnerInit { label, .. }
            | Op::OwnerMonitor { label }
            | Op::Update { label, .. } => label.as_slice(),
            Op::Distinguished { .. } => b"",
        };
        let known = state.label(label);
        let mut after = Label::of(known);
        let result = match op {
            Op::Search { version, .. } => self.search(label, *version, &mut after)?,
            Op::ContactMonitor { .. } => {
                after.map = self.contact(&after.map, None)?.0;
                json!({"map": pairs(&after.map)})
            }
            Op::OwnerInit { start, .. } => {
                if *start >= self.log.size() || self.expired(*start) || !self.distinguished.contains(start) {
                    return Err(Violation::BadStart(*start));
                }
                let version = self.greatest_at(label, *start);
                after.owner = Some((*start, version, Vec::new()));
                json!({"start": start, "version": version})
            }
            Op::OwnerMonitor { .. } => self.owner_round(label, &mut after)?,
            Op::Update { .. } => self.updates(label, &mut after)?,
            Op::Distinguished { stop, recent } => {
                let recent: BTreeSet<u64> = (self.distinguished.iter().rev())
                    .filter(|&&entry| stop.is_none_or(|stop| entry > stop) && !self.expired(entry))
                    .take(*recent)
                    .copied()
                    .collect();
                let heads: Vec<String> =
                    recent.iter().map(|entry| hex::encode(self.log.root(entry + 1))).collect();
                json!({"entries": recent, "heads": heads})
            }
        };
        Ok((result, self.state_after(state, label, &after)))
    }

    fn state_after(&self, before: &UserState, label: &[u8], after: &Label) -> Value {
        let size = self.log.size();
        let subtrees = self.log.log_nodes(&full_subtrees(size)).unwrap();
        let frontier = ibst::frontier(size);
        let entries = self.log.log_entries(&frontier).unwrap();
        let frontier: Vec<Value> = frontier
            .iter()
            .zip(entries)
            .map(|(position, entry)| json!([position, entry.timestamp, hex::encode(entry.prefix_tree)]))
            .collect();
        let mut labels: BTreeMap<Vec<u8>, Label> =
            before.labels.iter().map(|(label, known)| (label.clone(), Label::of(Some(known)))).collect();
        labels.insert(label.to_vec(), after.clone());
        labels.retain(|_, label| !label.map.is_empty() || label.owner.is_some());
        let labels: serde_json::Map<String, Value> = labels
            .iter()
            .map(|(label, Label { map, owner })| {
                let owner = owner.as_ref().map(|(start, version, later)| {
                    json!({"start": start, "version_at_start": version, "later_versions": later})
                });
                (hex::encode(label), json!({"monitoring_map": pairs(map), "owner": owner}))
            })
            .collect();
        let kept = before.tree.as_ref().filter(|tree| tree.tree_size() == size);
        let auditor = match kept {
            Some(tree) => tree.auditor_tree_head.clone(),
            None => self.log.head().auditor_tree_head,
        };
        json!({
            "tree_size": size, "root": hex::encode(self.log.root(size)), "frontier": frontier,
            "full_subtrees": subtrees.iter().map(hex::encode).collect::<Vec<_>>(),
            "auditor_tree_size": auditor.map(|head| head.tree_size), "labels": labels,
        })
    }

    pub(super) fn expired(&self, position: u64) -> bool {
        let age = self.log.now() - self.log.entries[position as usize].timestamp;
        self.log.config.maximum_lifetime.is_some_and(|lifetime| age >= lifetime)
    }

    /// Only a fixed-version search gets past expired entries; every other operation that has to look into one is over.
    fn look_into(&self, position: u64) -> Result<(), Violation> {
        if self.expired(position) { Err(Violation::Expired) } else { Ok(()) }
    }

    fn greatest_at(&self, label: &[u8], position: u64) -> Option<u32> {
        self.log.greatest_below(label, position + 1).unwrap()
    }

    fn search(&self, label: &[u8], version: Option<u32>, after: &mut Label) -> Result<Value, Violation> {
        let target = version.or(self.log.greatest(label)).unwrap();
        let terminal = match version {
            Some(version) => self.fixed(label, version)?,
            None => self.greatest(label, target),
        };
        let unsettled = self.distinguished.last().is_none_or(|&last| terminal > last);
        if unsettled && self.log.config.deployment_mode() == DeploymentMode::ContactMonitoring {
            after.watch(terminal, target);
        }
        let value = hex::encode(self.log.value(label, target));
        Ok(json!({"version": target, "value": value, "terminal": terminal}))
    }

    /// Of the entries that a greatest-version search inspects, the leftmost that has the greatest version.
    fn greatest(&self, label: &[u8], target: u32) -> u64 {
        let size = self.log.size();
        let start = self.distinguished.last().copied().unwrap_or(ibst::root(size));
        let mut inspected = ibst::frontier(size).into_iter().filter(|&entry| entry >= start);
        inspected.find(|&entry| self.greatest_at(label, entry) == Some(target)).unwrap()
    }

    fn fixed(&self, label: &[u8], target: u32) -> Result<u64, Violation> {
        let size = self.log.size();
        let mut inspected = Vec::new();
        let mut met_expired = false;
        let mut next = Some(ibst::root(size));
        while let Some(entry) = next {
            if self.expired(entry) {
                met_expired = true;
                next = ibst::right(entry, size);
                continue;
            }
            inspected.push(entry);
            match self.greatest_at(label, entry).cmp(&Some(target)) {
                Ordering::Less => next = ibst::right(entry, size),
                Ordering::Greater => next = ibst::left(entry),
                Ordering::Equal => {
                    let path = ibst::direct_path(entry, size);
                    let counts = |&other: &u64| self.distinguished.contains(&other) && !self.expired(other);
                    let vouched = !path.iter().any(|&above| self.expired(above))
                        || counts(&entry)
                        || path.iter().any(|above| *above < entry && counts(above));
                    return if vouched { Ok(entry) } else { Err(Violation::Expired) };
                }
            }
        }
        let greater = |&&entry: &&u64| self.greatest_at(label, entry) > Some(target);
        let identified = *inspected.iter().filter(greater).min().ok_or(Violation::NotFound)?;
        let to_the_left = |&entry: &u64| entry < identified && self.distinguished.contains(&entry);
        if met_expired && !inspected.iter().any(to_the_left) {
            return Err(Violation::Expired);
        }
        Ok(identified)
    }

    /// Moves every version of a map to where its monitoring ends now; for an owner, also which distinguished entries
    /// are left to its other algorithm, by the position that awaits them.
    fn contact(&self, map: &Map, owner_start: Option<u64>) -> Result<(Map, BTreeMap<u64, u64>), Violation> {
        let (mut moved, mut awaiting) = (Map::new(), BTreeMap::new());
        let mut inspected: BTreeMap<u64, u32> = BTreeMap::new();
        for (&position, &version) in map.iter().rev() {
            if self.distinguished.contains(&position) {
                continue;
            }
            let path = ibst::direct_path(position, self.log.size());
            let above: Vec<u64> = path.into_iter().filter(|&entry| entry > position).collect();
            let first = above.iter().copied().find(|entry| self.distinguished.contains(entry));
            let left_to_owner = first.filter(|_| owner_start.is_some_and(|start| position >= start));
            let mut reached = Some(position);
            for entry in above.into_iter().take_while(|&entry| first.is_none_or(|first| entry <= first)) {
                if Some(entry) == left_to_owner {
                    continue;
                }
                if let Some(&greater) = inspected.get(&entry) {
                    assert!(greater > version, "an honest log's versions meet in order");
                    reached = None;
                    break;
                }
                self.look_into(entry)?;
                inspected.insert(entry, version);
                reached = (Some(entry) != first).then_some(entry);
            }
            if let Some(reached) = reached {
                let greater = moved.entry(reached).or_insert(version);
                *greater = version.max(*greater);
                if let Some(entry) = left_to_owner {
                    awaiting.insert(reached, entry);
                }
            }
        }
        Ok((moved, awaiting))
    }

    fn owner_round(&self, label: &[u8], after: &mut Label) -> Result<Value, Violation> {
        let (start, version_at_start, later) = after.owner.clone().unwrap();
        let advertised = later.last().map(|&(_, version)| version).or(version_at_start);
        let due: Vec<u64> = self.distinguished.iter().copied().filter(|&entry| entry > start).collect();
        let inspected: Vec<u64> = (due.iter().copied())
            .take_while(|&entry| self.greatest_at(label, entry) <= advertised)
            .take(64)
            .collect();
        let (mut map, awaiting) = self.contact(&after.map, Some(start))?;
        inspected.iter().try_for_each(|&entry| self.look_into(entry))?;
        map.retain(|position, _| awaiting.get(position).is_none_or(|entry| !inspected.contains(entry)));
        after.map = map;
        if let Some(&last) = inspected.last() {
            let later = later.into_iter().filter(|&(created, _)| created > last).collect();
            after.owner = Some((last, self.greatest_at(label, last), later));
        }
        let start = inspected.last().copied().unwrap_or(start);
        Ok(json!({
            "inspected": inspected, "complete": inspected.len() == due.len(), "map": pairs(&after.map),
            "start": start,
        }))
    }

    /// What the log tells of the versions that the owner does not know: one result, or the list of several.
    fn updates(&self, label: &[u8], after: &mut Label) -> Result<Value, Violation> {
        let (start, version_at_start, mut later) = after.owner.clone().unwrap();
        let mut results = Vec::new();
        while results.len() < super::MAX_UPDATE_RESPONSES {
            let known = later.last().map(|&(_, version)| version).or(version_at_start);
            let first = known.map_or(0, |known| known + 1);
            let Some(created) = self.log.labels.get(label).and_then(|versions| versions.get(&first)) else {
                break;
            };
            let position = created.position;
            let settled = later.last().map_or(start, |&(position, _)| position);
            if position <= settled {
                return Err(Violation::BadPosition(position));
            }
            let last = self.greatest_at(label, position).unwrap();
            let versions: Vec<u32> = (first..=last).collect();
            let monitored = !self.distinguished.contains(&position);
            let ladder = base_ladder(last);
            // A version with an expired successor is nobody's to look up any more.
            if let Some(next) = self.log.labels[label].get(&(first + 1)) {
                self.look_into(next.position)?;
            }
            let frontier = ibst::frontier(position).into_iter();
            for entry in frontier.skip_while(|entry| self.distinguished.contains(entry)) {
                if known.is_none() || entry > settled {
                    self.look_into(entry)?;
                }
            }
            if monitored || (first..=last).any(|version| !ladder.contains(&version)) {
                self.look_into(position)?;
            }
            let proven: Vec<u32> =
                versions.iter().copied().filter(|version| monitored || !ladder.contains(version)).collect();
            let values: Vec<String> =
                versions.iter().map(|&version| hex::encode(self.log.value(label, version))).collect();
            results.push(json!({
                "position": position, "versions": versions, "values": values, "monitored": monitored,
                "proven": proven,
            }));
            later.push((position, last));
            if monitored {
                after.watch(position, last);
            }
        }
        after.owner = Some((start, version_at_start, later));
        match results.len() {
            0 => Err(Violation::NotFound),
            1 => Ok(results.remove(0)),
            _ => Ok(json!({"responses": results})),
        }
    }
}

fn pairs(map: &Map) -> Vec<(u64, u32)> {
    map.iter().map(|(&position, &version)| (position, version)).collect()
}
