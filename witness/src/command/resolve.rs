//! `resolve`: an operator goes on with a log although there is evidence against it.

use std::path::Path;

use keyglass_gossip::{book::Book, decide::Tree, trust::Trust};
use keyglass_tlog::cosignature::Cosigner;
use keyglass_witness::{
    clock::{Clock as _, SystemClock},
    head::OriginHash,
    store::{DurableStore, HeadStore as _},
};

use super::{CommandError, policy_file, print_line, vkeys};

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;

pub(super) fn run(
    data: &Path,
    policy_path: &Path,
    cosigners: &[Cosigner],
    origin: &str,
    reason: &str,
    json: bool,
) -> Result<(), CommandError> {
    if reason.trim().is_empty() || reason.chars().count() > MAX_REASON {
        return Err(CommandError::Reason);
    }
    let policy = policy_file::read(policy_path)?;
    // Nobody may sign meanwhile: the head that is read here is what the witness goes on from.
    let store = DurableStore::open(data, &vkeys(cosigners))?;
    let kept = store.load(OriginHash::of(origin))?;
    let own = kept.head().map(|head| {
        let checkpoint = head.checkpoint();
        Tree { size: checkpoint.tree_size(), root: *checkpoint.root() }
    });
    let book = Book::open(data, Trust::of_policy(&policy))?;
    let ids: Vec<String> = book.holdings().about(origin).iter().map(|held| held.id.to_string()).collect();
    let record = serde_json::json!({
        "time": SystemClock.now().0, "origin": origin, "reason": reason,
        "tree_size": own.map(|own| own.size), "evidence": ids,
    });
    book.resolve(origin, own.as_ref(), &record.to_string())?;
    if json {
        return print_line(&record.to_string());
    }
    ids.iter().try_for_each(|id| print_line(id))
}
