//! What there is to see of all logs at once.

use std::collections::HashMap;

use keyglass_gossip::holdings::Summary;
use keyglass_tlog::{note::Vkey, time::UnixSeconds};

use crate::{
    head::OriginHash,
    http::{Ages, Last, ROWS, Row, Status},
    kept::Kept,
    logs::Logs,
    store::HeadStore,
};

/// A page: the logs of the policy by origin, and then those that have left it.
pub(crate) fn status(
    vkeys: &[&Vkey],
    logs: &Logs,
    store: &impl HeadStore,
    stops: impl Fn(&str) -> Option<Summary>,
    now: UnixSeconds,
    page: usize,
) -> Status {
    let mut listed = logs.origins();
    listed.sort_unstable();
    let hashes: HashMap<OriginHash, &str> =
        listed.iter().map(|origin| (OriginHash::of(origin), origin.as_str())).collect();
    let mut former = store.known().unwrap_or_else(|error| {
        tracing::error!(%error, "the state cannot be read");
        Vec::new()
    });
    former.retain(|hash| !hashes.contains_key(hash));
    former.sort_unstable_by_key(|hash| hash.0);

    let first = page.saturating_sub(1).saturating_mul(ROWS);
    let of_policy = listed.iter().map(|origin| (OriginHash::of(origin), Some(origin.as_str())));
    let all = of_policy.chain(former.iter().map(|hash| (*hash, None)));
    let rows = all.skip(first).take(ROWS).map(|(hash, origin)| row(store, hash, origin, &stops)).collect();
    Status {
        name: vkeys.first().map(|vkey| vkey.name().as_str().to_owned()).unwrap_or_default(),
        vkeys: vkeys.iter().map(|vkey| vkey.to_string()).collect(),
        now,
        logs: listed.len().saturating_add(former.len()),
        listed: listed.len(),
        page,
        rows,
    }
}

/// `origin` is known of logs of the policy; others are named by what is kept of them.
fn row(
    store: &impl HeadStore,
    hash: OriginHash,
    origin: Option<&str>,
    stops: impl Fn(&str) -> Option<Summary>,
) -> Row {
    let kept = store.load(hash);
    let named = |kept: &Kept| {
        let head = match kept {
            Kept::Nothing => None,
            Kept::Head(head) => Some(head),
            Kept::Suspended(suspended) => suspended.head.as_ref().or(suspended.proof.as_ref()),
        };
        head.map(|head| head.checkpoint().origin().to_owned())
    };
    let name = origin.map(str::to_owned).or_else(|| kept.as_ref().ok().and_then(named));
    let last = match kept {
        Ok(Kept::Nothing) => Last::Never,
        Ok(Kept::Head(head)) => Last::At(head.checkpoint().tree_size(), head.time()),
        Ok(Kept::Suspended(_)) => Last::Suspended,
        Err(_) => Last::Unreadable,
    };
    let evidence = name.as_deref().and_then(stops).map(|held| held.id.to_string());
    Row { origin: name.unwrap_or_else(|| "(unknown)".to_owned()), listed: origin.is_some(), last, evidence }
}

/// When the logs of the policy were cosigned last.
pub(crate) fn ages(logs: &Logs, store: &impl HeadStore) -> Ages {
    let mut ages = Ages::default();
    for origin in logs.origins() {
        match store.load(OriginHash::of(&origin)) {
            Ok(Kept::Head(head)) => {
                let time = head.time();
                ages.newest = ages.newest.max(time);
                ages.oldest = if ages.oldest.0 == 0 { time } else { ages.oldest.min(time) };
            }
            Ok(Kept::Nothing) => ages.never = ages.never.saturating_add(1),
            Ok(Kept::Suspended(_)) | Err(_) => {}
        }
    }
    ages
}
