//! Fixed-version search.

use std::cmp::Ordering;

use super::{
    Tree, Violation,
    lookups::{listed_lookups, search_ladder},
};
use crate::{ibst, ladder::ShownLookups, view::View};

/// Searches for version `target` of a label; gives the terminal log entry.
///
/// # Errors
/// [`Violation::NotFound`] or [`Violation::Expired`]; those of the view.
pub fn fixed_version_search<V: View>(view: &mut V, tree: &Tree, target: u32) -> Result<u64, V::Error> {
    let mut shown = ShownLookups::default();
    // Unexpired entries, in the order of the walk, which is from the root down.
    let mut inspected = Vec::new();
    let mut leftmost_greater: Option<u64> = None;
    let mut expired_seen = false;
    let mut next = Some(tree.root());
    while let Some(position) = next {
        if tree.is_expired(view, position)? {
            expired_seen = true;
            next = ibst::right(position, tree.size);
            continue;
        }
        inspected.push(position);
        match search_ladder(view, &mut shown, position, target)? {
            Ordering::Less => next = ibst::right(position, tree.size),
            Ordering::Greater => {
                leftmost_greater = Some(leftmost_greater.map_or(position, |found| found.min(position)));
                next = ibst::left(position);
            }
            Ordering::Equal => {
                // Every entry on the walk but the last is on the direct path of the last.
                let vouched =
                    !expired_seen || any_distinguished(view, tree, &inspected, |entry| entry <= position)?;
                return if vouched { Ok(position) } else { Err(Violation::Expired.into()) };
            }
        }
    }
    let identified = leftmost_greater.ok_or(Violation::NotFound)?;
    if expired_seen && !any_distinguished(view, tree, &inspected, |entry| entry < identified)? {
        return Err(Violation::Expired.into());
    }
    if listed_lookups(view, identified, vec![target])? {
        Ok(identified)
    } else {
        Err(Violation::NotFound.into())
    }
}

/// Whether one of the `inspected` entries that pass `filter` is distinguished. Their paths were walked, so this asks
/// the view for nothing new.
fn any_distinguished<V: View>(
    view: &mut V,
    tree: &Tree,
    inspected: &[u64],
    filter: impl Fn(u64) -> bool,
) -> Result<bool, V::Error> {
    for &entry in inspected.iter().filter(|&&entry| filter(entry)) {
        if tree.is_distinguished(view, entry)? {
            return Ok(true);
        }
    }
    Ok(false)
}
