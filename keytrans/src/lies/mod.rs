//! A log that lies in one respect at a time, and what becomes of each lie.
//!
//! Every row of the table is a sentence of the draft, the check that enforces it, and an answer that is honest but for
//! that: the head is signed anew where the lie changes what the log holds, so that no earlier check can see it. The
//! same answer without the lie is accepted.

mod auditing;
mod heads;
mod histories;
mod monitoring;
pub(crate) mod mutation;
mod proofs;
pub(crate) mod response;
pub(crate) mod scene;
mod searching;
pub(crate) mod shameless;
mod updating;
mod vectors;
mod views;
mod walking;

use std::collections::BTreeSet;

pub(crate) use scene::Lie;

/// The whole table but for what an auditor checks.
pub(crate) fn all() -> Vec<Lie> {
    [
        heads::lies(),
        views::lies(),
        proofs::lies(),
        searching::lies(),
        monitoring::lies(),
        updating::lies(),
        walking::lies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_lie_is_refused_by_name() {
    let mut sentences = BTreeSet::new();
    let (mut told, mut wrong) = (0, Vec::new());
    for lie in all() {
        sentences.insert((lie.section, lie.sentence));
        let mut verdict = String::new();
        for &suite in lie.suites {
            let place = format!("{}: {} ({suite:?})", lie.section, lie.lie);
            let story = (lie.told)(suite);
            if let Err(error) = story.honest.run() {
                wrong.push(format!("{place}: the honest answer: {error:?}"));
            }
            let before = story.lie.session.state.clone();
            let outcome = story.lie.run().map(|(result, _)| result);
            if outcome != Err(story.verdict.clone()) {
                wrong.push(format!("{place}: {outcome:?}, not {:?}", story.verdict));
            }
            assert_eq!(story.lie.session.state, before, "{place}");
            verdict = format!("{:?}", story.verdict);
            told += 1;
        }
        println!("| {} | {} | {} | {} | {verdict} |", lie.section, lie.sentence, lie.check, lie.lie);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} sentences, {told} lies", sentences.len());
}

/// The liar is an honest prover where its log is honest.
#[test]
fn a_log_without_a_lie_is_shown_as_the_prover_shows_it() {
    use scene::{BOTH, Session, greatest, town, version};
    use shameless::{Claim, answer};
    for &suite in BOTH {
        let mut session = Session::new(town(suite));
        for round in 0..3 {
            let claim = Claim { greatest: Some(2), ..Claim::default() };
            for op in [greatest(b"alice"), version(b"alice", 0), version(b"dave", 0), version(b"alice", 1)] {
                let shown = answer(&session.log, &session.request(&op), &claim);
                assert_eq!(shown, session.answer(&op), "{op:?}");
            }
            if round > 0 {
                scene::grow(&mut session.log, 14 + 3 * round);
            }
            session.perform(&greatest(b"alice"));
        }
    }
}
