//! Walking distinguished heads.

use super::Tree;
use crate::{ibst, view::View};

/// Which distinguished log entries count as recent: the `count` rightmost ones that are not expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// How many at most. The draft says that it should not be more than ten.
    pub count: usize,
}

/// Enumerates the recent distinguished log entries that are to the right of `stop`; gives their positions, ascending.
///
/// # Errors
/// Those of the view.
pub fn walk_distinguished<V: View>(
    view: &mut V,
    tree: &Tree,
    stop: Option<u64>,
    recent: Recent,
) -> Result<Vec<u64>, V::Error> {
    let mut walk = Walk { tree: *tree, stop, recent, found: Vec::new() };
    let rightmost = view.timestamp(tree.rightmost())?;
    walk.visit(view, tree.root(), 0, rightmost)?;
    walk.found.reverse();
    Ok(walk.found)
}

struct Walk {
    tree: Tree,
    stop: Option<u64>,
    recent: Recent,
    found: Vec<u64>,
}

impl Walk {
    /// The subtree of `entry`, whose timestamps lie between `left` and `right`. No deeper than the tree: 64 levels.
    fn visit<V: View>(&mut self, view: &mut V, entry: u64, left: u64, right: u64) -> Result<(), V::Error> {
        if !self.tree.spans_window(left, right) {
            return Ok(());
        }
        let timestamp = view.timestamp(entry)?;
        if let Some(child) = ibst::right(entry, self.tree.size) {
            self.visit(view, child, timestamp, right)?;
        }
        if self.stop.is_some_and(|stop| entry <= stop) {
            return Ok(());
        }
        if self.found.len() >= self.recent.count || self.tree.is_expired(view, entry)? {
            return Ok(());
        }
        self.found.push(entry);
        match ibst::left(entry) {
            Some(child) => self.visit(view, child, left, timestamp),
            None => Ok(()),
        }
    }
}
