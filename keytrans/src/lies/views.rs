//! Lies about how the log grew, and proofs with too much or too little in them.

use super::{
    response::Response,
    scene::{Lie, START, Scene, Session, Told, greatest, grow, lie, town, town_in, unsigned, version},
    shameless::Claim,
};
use crate::{
    algorithms::Violation,
    client::{HeadError, ProofError, session::Op},
    config::{CipherSuite, DeploymentMode},
    log_tree::LogTreeError,
    prover::model::{NaiveLog, search_key},
    wire::{CombinedTreeProof, FullTreeHead, PrefixProof, TreeHead},
};

const UPDATING: &str = "Updating Views of the Tree: Algorithm";
const IBST: &str = "Updating Views of the Tree: Implicit Binary Search Tree";
const COMBINED: &str = "Tree Proofs: Combined Tree";
const FIRST: &str = "Users verify that the first timestamp is greater than or equal to the timestamp of the rightmost log entry they retained, and that each subsequent timestamp is greater than or equal to the one prior.";
const NEW_USER: &str = "The user verifies that the timestamp of each is greater than or equal to the one prior, and that the rightmost timestamp is within the defined bounds of the user's local clock.";
const STRUCTURE: &str = "That is, users check that any timestamp they observe in the root's left subtree is less than or equal to the root's timestamp, and that any timestamp they observe in the root's right subtree is greater than or equal to the root's timestamp, and so on recursively.";
const MONOTONIC: &str = "Additionally, users MUST verify that the timestamps explicitly included in `timestamps`, along with any retained timestamps, represent a monotonic series.";
const EXTENDS: &str = "If root hash B is shown after root hash A, then root hash B contains all the same log entries as A with any new log entries added to the rightmost edge of A.";
const RETAINED: &str = "Users MUST verify that the computed value for the head of any such subtree matches the retained value to avoid accepting invalid proofs.";
const EXACTLY: &str = "Users processing a `CombinedTreeProof` MUST verify that the `timestamps`, `prefix_proofs`, and `prefix_roots` fields contain exactly the expected number of entries -- no more and no less.";
const MINIMUM: &str = "The `inclusion` field contains the minimum set of node values from the log tree that would allow a user to compute:";
const SAME_ROOT: &str = "If multiple proofs are consumed for the same log entry, users MUST verify that they all produce the same root hash.";
const RETAINED_ROOT: &str = "If the log entry is one whose data the user retained, users MUST verify that the produced root hash matches their retained prefix tree root hash for that log entry, due to the fact that the log entry will not be covered by `inclusion`.";
const EMPTY: &str = "Log trees initially consist of a single leaf node.";
const ORDERED: &str = "ProofView::timestamp";

fn bob() -> Claim {
    Claim { greatest: Some(0), ..Claim::default() }
}

/// A user whose last head had `last` entries of the town's log, which has 14 now.
fn returning(suite: CipherSuite, last: u64) -> Session {
    let mut session = Session::new(town(suite));
    let rest = session.log.entries.split_off(last as usize);
    session.perform(&Op::Distinguished { stop: None, recent: 10 });
    session.log.entries.extend(rest);
    session
}

/// The town's log with a fork after entry 3, and entry 7 as it was.
fn forked(log: &mut NaiveLog) {
    log.rewrite(4, |tree| {
        tree.0.remove(&search_key(b"dave", 1).0);
    });
}

/// A fixed-version search whose proof has something in each of its parts: it inspects entries 7 and 3.
fn carol() -> Op {
    version(b"carol", 0)
}

fn edited(suite: CipherSuite, edit: fn(&mut CombinedTreeProof), verdict: ProofError) -> Told {
    let session = Session::new(town(suite));
    Told::edited(session, carol(), |_, response| edit(response.proof()), verdict)
}

pub(super) fn lies() -> Vec<Lie> {
    vec![
        lie(UPDATING, NEW_USER, ORDERED, "time goes back on the frontier", |suite| {
            let back = |log: &mut NaiveLog| log.entries[11].timestamp = START + 1301;
            let verdict = ProofError::TimestampOrder(13);
            Told::shown(Session::new(town(suite)), greatest(b"bob"), &bob(), back, verdict)
        }),
        lie(UPDATING, FIRST, ORDERED, "the first new entry is older than the last known one", |suite| {
            let back = |log: &mut NaiveLog| log.entries[13].timestamp = START + 1099;
            let verdict = ProofError::TimestampOrder(13);
            Told::shown(returning(suite, 12), greatest(b"bob"), &bob(), back, verdict)
        }),
        lie(UPDATING, FIRST, ORDERED, "time goes back among the new entries", |suite| {
            let back = |log: &mut NaiveLog| log.entries[7].timestamp = START + 1101;
            let verdict = ProofError::TimestampOrder(11);
            Told::shown(returning(suite, 5), greatest(b"bob"), &bob(), back, verdict)
        }),
        lie(IBST, STRUCTURE, ORDERED, "an entry in the left subtree is later than the root", |suite| {
            let late = |log: &mut NaiveLog| log.entries[3].timestamp = START + 701;
            let verdict = ProofError::TimestampOrder(3);
            Told::shown(Session::new(town(suite)), carol(), &Claim::default(), late, verdict)
        }),
        lie(IBST, STRUCTURE, ORDERED, "an entry in the right subtree is earlier than its root", |suite| {
            let early = |log: &mut NaiveLog| log.entries[5].timestamp = START + 299;
            let (session, verdict) = (Session::new(town(suite)), ProofError::TimestampOrder(5));
            let op = version(b"dave", 0);
            Told::shown(session, op, &Claim::default(), early, verdict)
        }),
        lie(COMBINED, MONOTONIC, ORDERED, "an entry is later than a retained one to its right", |suite| {
            let late = |log: &mut NaiveLog| log.entries[3].timestamp = START + 701;
            let verdict = ProofError::TimestampOrder(3);
            Told::shown(returning(suite, 14), carol(), &Claim::default(), late, verdict)
        }),
        lie(
            "Updating Views of the Tree",
            EXTENDS,
            "Verifier::verify_tree_head",
            "a fork is shown to a returning user",
            |suite| {
                let mut session = returning(suite, 12);
                grow(&mut session.log, 16);
                let verdict = unsigned(&session.log);
                let claim = Claim { greatest: Some(0), ..Claim::default() };
                Told::shown(session, greatest(b"bob"), &claim, forked, verdict)
            },
        ),
        lie(
            "Tree Proofs: Log Tree",
            RETAINED,
            "log_tree::verify",
            "a fork behind a retained head",
            |suite| {
                let verdict = ProofError::LogTree(LogTreeError::RetainedMismatch);
                Told::shown(returning(suite, 12), carol(), &Claim::default(), forked, verdict)
            },
        ),
        lie(COMBINED, EXACTLY, ORDERED, "a timestamp is missing", |suite| {
            let edit = |proof: &mut CombinedTreeProof| {
                proof.timestamps.pop();
            };
            edited(suite, edit, ProofError::TimestampMissing)
        }),
        lie(COMBINED, EXACTLY, "ProofView::finish", "a timestamp too many", |suite| {
            edited(suite, |proof| proof.timestamps.push(START), ProofError::Leftover)
        }),
        lie(COMBINED, EXACTLY, "ProofView::look_up", "a prefix proof is missing", |suite| {
            edited(
                suite,
                |proof| {
                    proof.prefix_proofs.pop();
                },
                ProofError::PrefixProofMissing,
            )
        }),
        lie(COMBINED, EXACTLY, "ProofView::finish", "a prefix proof too many", |suite| {
            edited(suite, |proof| proof.prefix_proofs.push(PrefixProof::default()), ProofError::Leftover)
        }),
        lie(COMBINED, EXACTLY, "ProofView::finish", "a prefix root is missing", |suite| {
            edited(
                suite,
                |proof| {
                    proof.prefix_roots.pop();
                },
                ProofError::Leftover,
            )
        }),
        lie(COMBINED, EXACTLY, "ProofView::finish", "a prefix root too many", |suite| {
            edited(suite, |proof| proof.prefix_roots.push([0; 32]), ProofError::Leftover)
        }),
        lie(COMBINED, MINIMUM, "log_tree::verify", "an element of the inclusion proof is missing", |suite| {
            let edit = |proof: &mut CombinedTreeProof| {
                proof.inclusion.elements.pop();
            };
            edited(suite, edit, LogTreeError::MissingElement.into())
        }),
        lie(COMBINED, MINIMUM, "log_tree::verify", "an element of the inclusion proof too many", |suite| {
            edited(suite, |proof| proof.inclusion.elements.push([0; 32]), LogTreeError::SpareElements.into())
        }),
        lie(
            COMBINED,
            SAME_ROOT,
            "ProofView::look_up",
            "the last look-up is in another entry's tree",
            |suite| {
                let other = |log: &NaiveLog, response: &mut Response| {
                    let proof = log.entries[12].tree.prove(&[search_key(b"dave", 0).0]);
                    *response.proof().prefix_proofs.last_mut().unwrap() = proof;
                };
                let session = Session::new(town(suite));
                Told::edited(session, version(b"dave", 0), other, ProofError::PrefixRoots(4))
            },
        ),
        lie(
            COMBINED,
            RETAINED_ROOT,
            "ProofView::look_up",
            "the newest version is hidden under the same head",
            |suite| {
                let hide = |log: &mut NaiveLog| {
                    log.hide(13, b"alice", 2);
                };
                let claim = Claim { greatest: Some(1), ..Claim::default() };
                let verdict = ProofError::PrefixRoots(13);
                Told::shown(returning(suite, 14), greatest(b"alice"), &claim, hide, verdict)
            },
        ),
        lie("Tree Construction: Log Tree", EMPTY, "Verifier::run", "a log without entries", |suite| {
            let empty = |_: &NaiveLog, response: &mut Response| {
                let tree_head = TreeHead { tree_size: 0, signature: Vec::new() };
                *response.head() = FullTreeHead::Updated { tree_head, auditor_tree_head: None };
            };
            Told::edited(Session::new(town(suite)), greatest(b"bob"), empty, Violation::EmptyLog)
        }),
        lie(
            COMBINED,
            "If an `AuditorTreeHead` was provided by the Transparency Log, the root value of the log tree when it had `AuditorTreeHead.tree_size` leaves,",
            "Verifier::verify_auditor_head",
            "the auditor's part of the log is another log's",
            |suite| {
                let mut session = Session::new(town_in(suite, DeploymentMode::ThirdPartyAuditing, 14));
                session.log.unaudited = 3;
                let fork = |log: &NaiveLog, response: &mut Response| {
                    let mut log = log.clone();
                    forked(&mut log);
                    let head = log.head().auditor_tree_head;
                    let FullTreeHead::Updated { auditor_tree_head, .. } = response.head() else { panic!() };
                    *auditor_tree_head = head;
                };
                Told::edited(session, greatest(b"bob"), fork, HeadError::AuditorSignature)
            },
        ),
        lie(
            "User Operations",
            "Users MUST retain the most recent `TreeHead` and `AuditorTreeHead` they've successfully verified as part of any query response, and populate the `last` field of any subsequent query request with the `tree_size` of the last `TreeHead`.",
            "Verifier::run",
            "an answer to a user that has no head yet",
            |suite| {
                let mut session = returning(suite, 12);
                grow(&mut session.log, 16);
                let fresh = Session { state: Default::default(), ..session.clone() };
                let response = fresh.answer(&greatest(b"bob")).encode();
                let honest = Scene::honest(session, greatest(b"bob"));
                let lie = Scene { response, ..honest.clone() };
                // What a returning user has retained is proven to a new one: those elements are spare.
                Told { honest, lie, verdict: ProofError::LogTree(LogTreeError::SpareElements).into() }
            },
        ),
    ]
}
