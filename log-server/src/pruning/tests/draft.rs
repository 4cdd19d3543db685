//! Which answers the draft refuses because something is expired, computed from everything there ever was.

use keyglass_keytrans::{algorithms::MonitoringMap, ibst};

/// A log's timestamps and durations.
pub(super) struct Times {
    pub(super) timestamps: Vec<u64>,
    pub(super) window: u64,
    pub(super) lifetime: u64,
}

impl Times {
    pub(super) fn size(&self) -> u64 {
        self.timestamps.len() as u64
    }

    fn at(&self, position: u64) -> u64 {
        self.timestamps[position as usize]
    }

    pub(super) fn is_expired(&self, position: u64) -> bool {
        self.at(self.size() - 1) - self.at(position) >= self.lifetime
    }

    /// The distinguished entries, by the recursion of "Reasonable Monitoring Window".
    pub(super) fn distinguished(&self) -> Vec<u64> {
        let mut found = Vec::new();
        self.visit(ibst::root(self.size()), 0, self.at(self.size() - 1), &mut found);
        found.sort_unstable();
        found
    }

    fn visit(&self, entry: u64, left: u64, right: u64, found: &mut Vec<u64>) {
        if right - left < self.window {
            return;
        }
        found.push(entry);
        if let Some(child) = ibst::left(entry) {
            self.visit(child, left, self.at(entry), found);
        }
        if let Some(child) = ibst::right(entry, self.size()) {
            self.visit(child, self.at(entry), right, found);
        }
    }

    /// Whether a fixed-version search for `target`, which exists, ends in "expired"; `created` tells where each version was
    /// created.
    pub(super) fn search_expires(&self, created: &[u64], target: usize) -> bool {
        let greatest = |entry: u64| created.iter().filter(|position| **position <= entry).count() as i64 - 1;
        let distinguished = self.distinguished();
        let (mut inspected, mut met_expired) = (Vec::new(), false);
        let mut next = Some(ibst::root(self.size()));
        while let Some(entry) = next {
            if self.is_expired(entry) {
                met_expired = true;
                next = ibst::right(entry, self.size());
                continue;
            }
            inspected.push(entry);
            match greatest(entry).cmp(&(target as i64)) {
                core::cmp::Ordering::Less => next = ibst::right(entry, self.size()),
                core::cmp::Ordering::Greater => next = ibst::left(entry),
                core::cmp::Ordering::Equal => {
                    // Step 5.
                    let on_path = |x: &u64| ibst::direct_path(entry, self.size()).contains(x) && *x < entry;
                    let mut vouching = distinguished.iter().filter(|x| **x == entry || on_path(x));
                    return met_expired && !vouching.any(|x| !self.is_expired(*x));
                }
            }
        }
        // Step 6.
        let identified = inspected.iter().filter(|x| greatest(**x) > target as i64).min().unwrap();
        met_expired && !inspected.iter().any(|x| x < identified && distinguished.contains(x))
    }

    /// Whether contact monitoring with this map has to look into an expired entry.
    pub(super) fn monitoring_expires(&self, map: &MonitoringMap) -> bool {
        let distinguished = self.distinguished();
        let mut provided = Vec::new();
        for entry in map.entries().rev().filter(|entry| !distinguished.contains(&entry.position)) {
            for above in ibst::direct_path(entry.position, self.size()) {
                if above < entry.position {
                    continue;
                }
                if provided.contains(&above) {
                    break;
                }
                if self.is_expired(above) {
                    return true;
                }
                provided.push(above);
                if distinguished.contains(&above) {
                    break;
                }
            }
        }
        false
    }
}
