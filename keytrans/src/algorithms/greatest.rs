//! Greatest-version search.

use std::cmp::Ordering;

use super::{Tree, Violation, lookups::search_ladder};
use crate::{ibst, ladder::ShownLookups, view::View};

/// Searches for `claimed` as a label's greatest version; gives the terminal log entry, the leftmost one inspected that
/// contains it.
///
/// # Errors
/// A [`Violation`] if another version is the greatest; those of the view.
pub fn greatest_version_search<V: View>(view: &mut V, tree: &Tree, claimed: u32) -> Result<u64, V::Error> {
    let start = tree.rightmost_distinguished(view)?.unwrap_or_else(|| tree.root());
    let mut shown = ShownLookups::default();
    let mut terminal = None;
    for position in ibst::frontier(tree.size).into_iter().filter(|&position| position >= start) {
        match search_ladder(view, &mut shown, position, claimed)? {
            Ordering::Greater => return Err(Violation::GreaterVersionExists(position).into()),
            Ordering::Less if position == tree.rightmost() => {
                return Err(Violation::GreatestVersionMissing.into());
            }
            Ordering::Less => {}
            Ordering::Equal => terminal = terminal.or(Some(position)),
        }
    }
    terminal.ok_or_else(|| Violation::EmptyLog.into())
}
