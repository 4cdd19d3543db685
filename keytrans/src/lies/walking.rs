//! Lies about distinguished heads.

use super::{
    scene::{Lie, Scene, Session, Told, grow, lie},
    shameless::Claim,
};
use crate::{
    client::{ProofError, session::Op},
    config::CipherSuite,
    prover::model::NaiveLog,
};

const WALK: &str = "Walking Distinguished Heads: Algorithm";
const DISTINGUISHED: &str = "If the current log entry is not distinguished, stop.";
const STOP: &str = "If a stopping position was provided and the current log entry's position is less than or equal to the requested stopping position, stop.";
const RECENT: &str =
    "If the current log entry doesn't meet the application's definition of \"recent\", stop.";
const EXPIRED: &str = "An application's definition of \"recent\" SHOULD NOT include more than ten distinguished log entries, and MUST NOT include any expired distinguished log entries.";
const EXACTLY: &str = "Users processing a `CombinedTreeProof` MUST verify that the `timestamps`, `prefix_proofs`, and `prefix_roots` fields contain exactly the expected number of entries -- no more and no less.";

fn log(suite: CipherSuite, window: u64, lifetime: Option<u64>) -> NaiveLog {
    let mut log = NaiveLog::new(suite, window, lifetime);
    grow(&mut log, 30);
    log
}

fn walk(stop: Option<u64>, recent: usize) -> Op {
    Op::Distinguished { stop, recent }
}

/// The user walks as `honest` says; the log walks over `walked`, as `lie` says. The head is the user's log's.
fn walked(log: NaiveLog, honest: Op, walked: &NaiveLog, lie: Op, verdict: ProofError) -> Told {
    let session = Session::new(log);
    let other = Scene::shown(session.clone(), lie, walked, &Claim::default());
    let honest = Scene::shown(session.clone(), honest, &session.log, &Claim::default());
    let mut lie = honest.clone();
    lie.response = other
        .edited(|log, response| {
            let served = log.head();
            *response.head() = crate::wire::FullTreeHead::Updated {
                tree_head: served.tree_head,
                auditor_tree_head: served.auditor_tree_head,
            };
        })
        .response;
    Told { honest, lie, verdict: verdict.into() }
}

pub(super) fn lies() -> Vec<Lie> {
    vec![
        lie(
            WALK,
            DISTINGUISHED,
            "walk_distinguished",
            "entries that are not distinguished are walked over",
            |suite| {
                // With a window of no time, all are. The timestamp of one that is not stands in entry 7's place.
                let (log, all) = (log(suite, 1000, None), log(suite, 0, None));
                walked(log, walk(None, 10), &all, walk(None, 10), ProofError::TimestampOrder(7))
            },
        ),
        lie(WALK, DISTINGUISHED, "walk_distinguished", "distinguished entries are passed over", |suite| {
            // Entry 19 is passed over, and entry 7's timestamp stands in its place.
            let (log, few) = (log(suite, 800, None), log(suite, 1000, None));
            walked(log, walk(None, 10), &few, walk(None, 10), ProofError::TimestampOrder(19))
        }),
        lie(WALK, STOP, "walk_distinguished", "the walk goes on after the stopping position", |suite| {
            let log = log(suite, 1000, None);
            walked(log.clone(), walk(Some(15), 10), &log, walk(None, 10), ProofError::Leftover)
        }),
        lie(WALK, STOP, "walk_distinguished", "the walk stops before the stopping position", |suite| {
            let log = log(suite, 1000, None);
            walked(log.clone(), walk(None, 10), &log, walk(Some(15), 10), ProofError::TimestampMissing)
        }),
        lie(WALK, RECENT, "walk_distinguished", "the walk goes on to older entries", |suite| {
            let log = log(suite, 1000, None);
            walked(log.clone(), walk(None, 1), &log, walk(None, 3), ProofError::Leftover)
        }),
        lie(WALK, EXPIRED, "walk_distinguished", "the walk goes on to expired entries", |suite| {
            let (log, immortal) = (log(suite, 1000, Some(1100)), log(suite, 1000, None));
            walked(log, walk(None, 10), &immortal, walk(None, 10), ProofError::Leftover)
        }),
        lie(
            "Tree Proofs: Combined Tree",
            EXACTLY,
            "ProofView::finish",
            "a prefix proof in a walk",
            |suite| {
                let more = |log: &NaiveLog, response: &mut super::response::Response| {
                    response.proof().prefix_proofs.push(log.entries[15].tree.prove(&[]));
                };
                Told::edited(Session::new(log(suite, 1000, None)), walk(None, 10), more, ProofError::Leftover)
            },
        ),
    ]
}
