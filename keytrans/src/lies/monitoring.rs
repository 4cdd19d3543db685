//! Lies to contacts and owners that monitor a label, and to new owners.

use super::{
    response::{Response, shorten},
    scene::{Lie, Scene, Session, Told, add, greatest, grow, lie, town, unsigned, version},
    shameless::Claim,
};
use crate::{
    algorithms::{MonitoringMap, Violation},
    client::{ProofError, VerifyError, session::Op},
    config::CipherSuite,
    prover::model::{NaiveLog, search_key},
    wire::MonitorMapEntry,
};

const CONTACT: &str = "Contact Algorithm";
const OWNER: &str = "Owner Algorithm";
const INIT: &str = "User Operations: Owner Initialization";
const SHOWN: &str = "Obtain a monitoring binary ladder from this log entry where the target version is the version currently in the map. Verify that all expected lookups are present and all show inclusion.";
const LESSER: &str = "If it had a target version less than or equal to that of the current map entry, terminate and return an error to the user.";
const START: &str = "This starting position MUST correspond to an unexpired distinguished log entry.";
const DESCEND: &str = "Verify that each version is less than or equal to the one prior.";
const CLAIMS: &str = "Verify that the number of entries in `greatest_versions` is less than or equal to the number of log entries in the computed list, and that `greatest_versions` is in descending order.";
const STEPS: &str = "Verify that the expected number of entries is present in `binary_ladder` and that a commitment is provided for each version in `greatest_versions`.";
const OUTPUT: &str =
    "Compute the VRF output for each version of the label from the proofs in `binary_ladder`.";
const CLAIMED: &str = "Verify that each binary ladder terminates in a way that is consistent with the claimed greatest version of the label.";
const COMPLETE: &str = "Obtain a search binary ladder from each log entry in the list computed in step 1 where the target version is the corresponding version given in step 2, or zero if no version was given, without omitting redundant lookups.";
const EXPECTED: &str = "Verify that the binary ladder terminates in a way that is consistent with the expected version being the greatest that exists.";
const CONSUMED: &str = "From a user's perspective, the only stop condition is having consumed all of the Transparency Log's response.";

fn monitor() -> Op {
    Op::ContactMonitor { label: b"alice".to_vec() }
}

/// A user that found Alice's version 1 in entry 11 when there were twelve, in a log of sixteen. The entry to monitor
/// next is the new root, 15.
fn contact(suite: CipherSuite) -> Session {
    let mut session = Session::new(town(suite));
    let rest = session.log.entries.split_off(12);
    session.perform(&greatest(b"alice"));
    session.log.entries.extend(rest);
    grow(&mut session.log, 16);
    session
}

/// A user that monitors two of Alice's versions, from entries 11 and 12, which meet at entry 15: 1 and 2, or these.
///
/// No log can bring about such a map. It is the one of a user whose stored state was merged with another's.
fn out_of_order(suite: CipherSuite, versions: [u32; 2]) -> Told {
    let scene = |versions: [u32; 2]| {
        let mut log = town(suite);
        log.entries.truncate(13);
        let mut session = Session::new(log);
        session.perform(&greatest(b"alice"));
        grow(&mut session.log, 14);
        session.perform(&version(b"alice", 1));
        let known = session.state.labels.get_mut(&b"alice"[..]).unwrap();
        let entries = |[left, right]: [u32; 2]| {
            [(11, left), (12, right)].map(|(position, version)| MonitorMapEntry { position, version })
        };
        assert!(known.map.entries().eq(entries([1, 2])));
        if versions != [1, 2] {
            known.map = MonitoringMap::new(entries(versions));
            session.steps = None;
        }
        grow(&mut session.log, 16);
        let log = session.log.clone();
        Scene::shown(session, monitor(), &log, &Claim::default())
    };
    let verdict = Violation::MonitoredVersionsOutOfOrder(15).into();
    Told { honest: scene([1, 2]), lie: scene(versions), verdict }
}

fn hide(version: u32) -> impl FnOnce(&mut NaiveLog) {
    move |log| log.hide(15, b"alice", version)
}

fn init(start: u64) -> Op {
    Op::OwnerInit { label: b"alice".to_vec(), start }
}

/// A log of thirty entries in which Alice has version 2 in entry 15 and version 3 in entry 23, both distinguished, and
/// those are the entries that an owner who starts at 23 inspects.
fn long(suite: CipherSuite) -> NaiveLog {
    let mut log = town(suite);
    add(&mut log, 20, b"alice", &[b"alice 3"]);
    grow(&mut log, 30);
    log
}

/// New owners of Alice's label are told of these greatest versions.
fn claimed(suite: CipherSuite, greatest_versions: &[u32], verdict: impl Into<VerifyError>) -> Told {
    let claim = Claim { greatest_versions: greatest_versions.to_vec(), ..Claim::default() };
    Told::shown(Session::new(long(suite)), init(23), &claim, |_| (), verdict)
}

fn edited(suite: CipherSuite, edit: fn(&mut Response), verdict: impl Into<VerifyError>) -> Told {
    Told::edited(Session::new(long(suite)), init(23), |_, response| edit(response), verdict)
}

/// A log answers new owners that start where they should not; honest is what they do instead.
fn start(log: NaiveLog, honest: u64, lie: u64) -> Told {
    let honest = Scene::honest(Session::new(log.clone()), init(honest));
    let session = Session::new(log.clone());
    let lie_scene = Scene::shown(session, init(lie), &log, &Claim::default());
    Told { honest, lie: lie_scene, verdict: Violation::BadStart(lie).into() }
}

/// An owner of Alice's label that has verified entry 7, where version 0 was the greatest, in a log that has `size`
/// entries now.
fn owner(suite: CipherSuite, size: u64) -> Session {
    let mut log = NaiveLog::new(suite, 1000, None);
    add(&mut log, 1, b"alice", &[b"alice 0"]);
    add(&mut log, 2, b"bob", &[b"bob 0"]);
    grow(&mut log, 8);
    let mut session = Session::new(log);
    session.perform(&init(7));
    grow(&mut session.log, size);
    session
}

fn owner_monitor() -> Op {
    Op::OwnerMonitor { label: b"alice".to_vec() }
}

/// The answer to an owner's monitoring request from changed trees.
fn owner_shown(
    session: Session,
    change: impl FnOnce(&mut NaiveLog),
    verdict: impl Into<VerifyError>,
) -> Told {
    let knowledge = session.state.labels[&b"alice"[..]].owner.clone().unwrap();
    let claim = Claim { owner: Some((knowledge, 64)), ..Claim::default() };
    Told::shown(session, owner_monitor(), &claim, change, verdict)
}

pub(super) fn lies() -> Vec<Lie> {
    let mut lies = contacts();
    lies.extend(new_owners());
    lies.extend(owners());
    lies
}

fn contacts() -> Vec<Lie> {
    vec![
        lie(CONTACT, SHOWN, "contact_monitor", "a monitored version is gone", |suite| {
            let verdict = Violation::MonitoredVersionMissing(15);
            Told::shown(contact(suite), monitor(), &Claim::default(), hide(1), verdict)
        }),
        lie(CONTACT, SHOWN, "contact_monitor", "a version below a monitored one is gone", |suite| {
            let verdict = Violation::MonitoredVersionMissing(15);
            Told::shown(contact(suite), monitor(), &Claim::default(), hide(0), verdict)
        }),
        lie(CONTACT, SHOWN, "ProofView::look_up", "a lookup of the monitoring ladder is missing", |suite| {
            let omit = |log: &NaiveLog, response: &mut Response| {
                let proof = log.entries[15].tree.prove(&[search_key(b"alice", 1).0]);
                response.proof().prefix_proofs[0] = proof;
            };
            Told::edited(contact(suite), monitor(), omit, ProofError::ResultMissing(15))
        }),
        lie(CONTACT, SHOWN, "prefix_tree::evaluate", "a monitored version has another value", |suite| {
            let session = contact(suite);
            let verdict = unsigned(&session.log);
            let rewrite = |log: &mut NaiveLog| {
                log.plant(15, b"alice", 1, [0x66; 32]);
            };
            Told::shown(session, monitor(), &Claim::default(), rewrite, verdict)
        }),
        lie(
            CONTACT,
            LESSER,
            "contact_monitor",
            "a lesser version is shown to the right of a greater one",
            |suite| out_of_order(suite, [2, 1]),
        ),
        lie(CONTACT, LESSER, "contact_monitor", "a version is shown twice", |suite| {
            out_of_order(suite, [1, 1])
        }),
    ]
}

fn new_owners() -> Vec<Lie> {
    vec![
        lie(OWNER, START, "owner_init_entries", "a starting position that is not distinguished", |suite| {
            start(town(suite), 7, 5)
        }),
        lie(OWNER, START, "owner_init_entries", "a starting position that is expired", |suite| {
            let mut log = NaiveLog::new(suite, 1000, Some(1100));
            add(&mut log, 1, b"alice", &[b"alice 0"]);
            grow(&mut log, 30);
            start(log, 23, 15)
        }),
        lie(OWNER, START, "owner_init_entries", "a starting position beyond the log", |suite| {
            start(town(suite), 7, 14)
        }),
        lie(OWNER, DESCEND, "owner_init_ladders", "the greatest versions grow to the left", |suite| {
            claimed(suite, &[2, 3], Violation::BadGreatestVersions)
        }),
        lie(INIT, CLAIMS, "owner_init_ladders", "more greatest versions than entries", |suite| {
            claimed(suite, &[3, 2, 1], Violation::BadGreatestVersions)
        }),
        lie(OWNER, CLAIMED, "owner_init_ladders", "an older version is said to be the greatest", |suite| {
            claimed(suite, &[2, 2], Violation::UnexpectedVersion(23))
        }),
        lie(OWNER, CLAIMED, "owner_init_ladders", "an entry is said to hold less than it does", |suite| {
            claimed(suite, &[3, 1], Violation::UnexpectedVersion(15))
        }),
        lie(OWNER, CLAIMED, "owner_init_ladders", "an entry is said to hold more than it does", |suite| {
            claimed(suite, &[3, 3], Violation::UnexpectedVersion(15))
        }),
        lie(OWNER, CLAIMED, "owner_init_ladders", "a label is said not to have existed", |suite| {
            // Version 0 is there, so that the ladder goes on to a version whose search key nobody proved.
            claimed(suite, &[], ProofError::KeyUnknown(1))
        }),
        lie(OWNER, COMPLETE, "complete_ladder", "a lookup that another entry implies is omitted", |suite| {
            let omit = |log: &NaiveLog, response: &mut Response| {
                let keys = [1, 3, 2].map(|version| search_key(b"alice", version).0);
                response.proof().prefix_proofs[1] = log.entries[15].tree.prove(&keys);
            };
            Told::edited(Session::new(long(suite)), init(23), omit, ProofError::ResultLeft(15))
        }),
        lie(INIT, STEPS, "Verifier::verify_owner_init", "a step of the ladder is missing", |suite| {
            edited(suite, shorten, VerifyError::LadderLength)
        }),
        lie(INIT, STEPS, "Verifier::verify_owner_init", "a step of the ladder too many", |suite| {
            let more = |response: &mut Response| {
                let ladder = response.ladder().unwrap();
                ladder.push(ladder[0].clone());
            };
            edited(suite, more, VerifyError::LadderLength)
        }),
        lie(INIT, STEPS, "Verifier::verify_owner_init", "a greatest version without a commitment", |suite| {
            let strip = |response: &mut Response| response.ladder().unwrap()[2].commitment = None;
            edited(suite, strip, VerifyError::CommitmentMissing(2))
        }),
        lie(INIT, STEPS, "ProofView::look_up", "a lesser version without a commitment", |suite| {
            let strip = |response: &mut Response| response.ladder().unwrap()[1].commitment = None;
            edited(suite, strip, ProofError::CommitmentUnknown(1))
        }),
        lie(INIT, OUTPUT, "Verifier::search_key", "the ladder is in another order", |suite| {
            edited(suite, |response| response.ladder().unwrap().swap(1, 2), VerifyError::Vrf(1))
        }),
    ]
}

fn owners() -> Vec<Lie> {
    vec![
        lie(OWNER, EXPECTED, "owner_monitor", "a version that the owner did not make", |suite| {
            let forge = |log: &mut NaiveLog| {
                log.plant_from(20, b"alice", 1, [0x66; 32]);
            };
            // The ladder looks it up, and the owner knows no commitment of a version that it did not make.
            owner_shown(owner(suite, 30), forge, ProofError::CommitmentUnknown(1))
        }),
        lie(
            OWNER,
            EXPECTED,
            "owner_monitor",
            "a version that the owner will make later is there already",
            |suite| {
                let mut session = owner(suite, 39);
                session.update(b"alice", &[b"alice 1"]);
                grow(&mut session.log, 50);
                let early = |log: &mut NaiveLog| {
                    let commitment = crate::prover::ProverData::commitment(log, b"alice", 1).unwrap();
                    log.plant(23, b"alice", 1, commitment);
                };
                owner_shown(session, early, Violation::UnexpectedVersion(23))
            },
        ),
        lie(OWNER, EXPECTED, "owner_monitor", "the owner's version is gone", |suite| {
            let remove = |log: &mut NaiveLog| {
                log.hide(23, b"alice", 0);
            };
            owner_shown(owner(suite, 30), remove, Violation::UnexpectedVersion(23))
        }),
        lie(OWNER, EXPECTED, "owner_monitor", "the owner's newest version is gone", |suite| {
            let mut session = owner(suite, 39);
            session.update(b"alice", &[b"alice 1"]);
            grow(&mut session.log, 50);
            let remove = |log: &mut NaiveLog| {
                log.hide(47, b"alice", 1);
            };
            owner_shown(session, remove, Violation::UnexpectedVersion(47))
        }),
        lie(
            CONTACT,
            SHOWN,
            "owner_monitor",
            "the owner's version is gone between distinguished entries",
            |suite| {
                let mut session = owner(suite, 8);
                session.update(b"alice", &[b"alice 1"]);
                grow(&mut session.log, 13);
                let remove = |log: &mut NaiveLog| {
                    log.hide(9, b"alice", 1);
                };
                owner_shown(session, remove, Violation::MonitoredVersionMissing(9))
            },
        ),
        lie(
            OWNER,
            CONSUMED,
            "ProofView::finish",
            "the answer goes on after the last distinguished entry",
            |suite| {
                let more = |_: &NaiveLog, response: &mut Response| {
                    let proofs = &mut response.proof().prefix_proofs;
                    proofs.push(proofs[0].clone());
                };
                Told::edited(owner(suite, 30), owner_monitor(), more, ProofError::Leftover)
            },
        ),
        lie(
            OWNER,
            "Obtain a search binary ladder from the current log entry where the target version is the greatest version of the label expected to exist at this point according to the label owner's local state, without omitting redundant lookups.",
            "complete_ladder",
            "a lookup that another entry implies is omitted",
            |suite| {
                let omit = |log: &NaiveLog, response: &mut Response| {
                    response.proof().prefix_proofs[1] =
                        log.entries[23].tree.prove(&[search_key(b"alice", 1).0]);
                };
                Told::edited(owner(suite, 30), owner_monitor(), omit, Violation::UnexpectedVersion(23))
            },
        ),
    ]
}
