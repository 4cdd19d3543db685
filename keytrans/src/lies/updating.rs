//! Lies to owners about new versions.

use super::{
    response::{Response, shorten},
    scene::{Lie, Scene, Session, Told, add, grow, lie, unsigned},
    shameless::Claim,
};
use crate::{
    algorithms::{NewVersions, Violation},
    client::{VerifyError, session::Op},
    config::{CipherSuite, DeploymentMode},
    prover::{ProverData as _, model::NaiveLog},
    wire::{LabelValue, UpdateSuffix},
};

const OPERATION: &str = "User Operations: Updating a Label";
const ALGORITHM: &str = "Updating a Label: Algorithm";
const RIGHT: &str = "Verify that `position` is to the right of where the previous greatest version of the label was inserted.";
const FIRST: &str = "If this is the first version inserted since the user became the label owner, verify that `position` is to the right of the starting position chosen in {{owner-algorithm}}.";
const INSERTED: &str = "The `position` field contains the index of the log entry where the new versions of the label were inserted.";
const INFO: &str = "If `UpdateResponse.values` is non-empty, verify that the length of `info` is equal to that of `UpdateResponse.values`. Otherwise, verify that the length of `info` is equal to that of `UpdateRequest.values`. Regardless, verify that `info` is non-empty.";
const OPERATOR: &str = "If a Third-Party Manager is present, verify that the signatures provided in each element of `info` are valid.";
const STEPS: &str = "Verify that the expected number of entries is present in `binary_ladder`, that all of the proofs properly evaluate into a VRF output, and that no commitment is provided for any version greater than `greatest_version`.";
const CREATED: &str = "Inversely, if `UpdateResponse.values` is empty, this indicates that all of the new versions of the label in `UpdateRequest.values` were successfully created and no versions of the label other than the indicated number of skipped versions, followed by those in `UpdateRequest.values`, were created in the log entry `position`.";
const BEFORE: &str = "Verify that the binary ladder terminates in a way that is consistent with the previous greatest version of the label being the greatest that exists.";
const INCLUDED: &str = "Verify that all lookups result in an inclusion proof.";
const GREATEST: &str = "Verify that all lookups terminate in a way that is consistent with the new greatest version of the label being the greatest that exists.";
const SKIPPED: &str = "Skipped versions are inserted into the prefix tree with an all-zero commitment value.";
const ZERO: &str = "set_commitment";

/// An owner of Alice's label that has verified entry 7, where version 0 was the greatest.
fn owner(suite: CipherSuite, mode: DeploymentMode) -> Session {
    let mut log = NaiveLog::in_mode(suite, mode, 1000, None);
    add(&mut log, 1, b"alice", &[b"alice 0"]);
    // Others, so that no two searches for Alice's versions end at one place.
    add(&mut log, 2, b"bob", &[b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"10", b"11"]);
    grow(&mut log, 8);
    let mut session = Session::new(log);
    session.perform(&Op::OwnerInit { label: b"alice".to_vec(), start: 7 });
    session
}

/// The new versions, and what the owner knows, as the log's index has them.
fn claim(session: &Session, position: u64) -> Claim {
    let knowledge = session.state.labels[&b"alice"[..]].owner.clone().unwrap();
    let first = knowledge.greatest_version().unwrap() + 1;
    let last = session.log.greatest(b"alice").unwrap();
    Claim { new: Some((knowledge, NewVersions { position, first, last })), ..Claim::default() }
}

fn op(values: &[&[u8]]) -> Op {
    let values = values.iter().map(|value| value.to_vec()).collect();
    Op::Update { label: b"alice".to_vec(), values }
}

/// What the owner asked for was created at `position`, and the log has `size` entries. The answer says so; `change`
/// makes it untrue in a copy of the log.
fn created(
    mut session: Session,
    position: u64,
    size: u64,
    values: &'static [&'static [u8]],
    change: impl FnOnce(&mut NaiveLog),
    verdict: impl FnOnce(&NaiveLog) -> VerifyError,
) -> Told {
    add(&mut session.log, position, b"alice", values);
    grow(&mut session.log, size);
    let claim = claim(&session, position);
    let op = op(values);
    let verdict = verdict(&session.log);
    let log = session.log.clone();
    let honest = Scene::shown(session.clone(), op.clone(), &log, &claim);
    if session.log.config.deployment_mode() == DeploymentMode::ContactMonitoring {
        let request = session.request(&op);
        let answer = Response::honest(&log, &request, log.greatest(b"alice")).unwrap();
        assert_eq!(honest.response, answer.encode());
    }
    let mut log = session.log.clone();
    change(&mut log);
    Told { honest, lie: Scene::shown(session, op, &log, &claim), verdict }
}

/// One version was created in entry 10, the last; `edit` changes the answer.
fn edited(
    session: Session,
    edit: impl FnOnce(&NaiveLog, &mut Response),
    verdict: impl Into<VerifyError>,
) -> Told {
    let verdict = verdict.into();
    let told = created(session, 10, 11, &[b"alice 1"], |_| (), |_| verdict);
    let lie = told.honest.edited(edit);
    Told { lie, ..told }
}

fn contact(suite: CipherSuite) -> Session {
    owner(suite, DeploymentMode::ContactMonitoring)
}

const FOUR: &[&[u8]] = &[b"alice 1", b"alice 2", b"alice 3", b"alice 4"];

pub(super) fn lies() -> Vec<Lie> {
    let mut lies = responses();
    lies.extend(trees());
    lies
}

fn responses() -> Vec<Lie> {
    vec![
        lie(
            OPERATION,
            FIRST,
            "update_label",
            "a new version is said to be older than the owner's start",
            |suite| {
                let earlier = |_: &NaiveLog, response: &mut Response| response.update().position = 7;
                edited(contact(suite), earlier, Violation::BadPosition(7))
            },
        ),
        lie(
            OPERATION,
            RIGHT,
            "update_label",
            "a new version is said to be as old as the previous one",
            |suite| {
                let mut session = contact(suite);
                grow(&mut session.log, 9);
                session.update(b"alice", &[b"alice 1"]);
                add(&mut session.log, 10, b"alice", &[b"alice 2"]);
                grow(&mut session.log, 12);
                let earlier = |_: &NaiveLog, response: &mut Response| response.update().position = 9;
                Told::edited(session, op(&[]), earlier, Violation::BadPosition(9))
            },
        ),
        lie(
            OPERATION,
            INSERTED,
            "update_label",
            "a new version is in an entry that does not exist yet",
            |suite| {
                let later = |_: &NaiveLog, response: &mut Response| response.update().position = 11;
                edited(contact(suite), later, Violation::BadPosition(11))
            },
        ),
        lie(OPERATION, INFO, "new_versions", "no opening for the new version", |suite| {
            edited(contact(suite), |_, response| response.update().info.clear(), VerifyError::NewVersions)
        }),
        lie(OPERATION, INFO, "new_versions", "more openings than requested values", |suite| {
            let more = |_: &NaiveLog, response: &mut Response| {
                let info = &mut response.update().info;
                info.push(info[0].clone());
            };
            edited(contact(suite), more, VerifyError::NewVersions)
        }),
        lie(OPERATION, INFO, "new_versions", "more values than openings", |suite| {
            let more = |_: &NaiveLog, response: &mut Response| {
                let value = || LabelValue { value: b"alice 1".to_vec() };
                response.update().values = vec![value(), value()];
            };
            edited(contact(suite), more, VerifyError::NewVersions)
        }),
        lie(
            OPERATION,
            OPERATOR,
            "Verifier::verify_operator",
            "a new value that the operator did not sign",
            |suite| {
                let session = owner(suite, DeploymentMode::ThirdPartyManagement);
                let strip = |log: &NaiveLog, response: &mut Response| {
                    response.update().info[0].suffix = UpdateSuffix {
                        signature: log.update_value(b"alice", 2, b"alice 1").suffix.signature,
                    };
                };
                edited(session, strip, VerifyError::OperatorSignature(1))
            },
        ),
        lie(OPERATION, STEPS, "Verifier::learned_versions", "a step of the ladder is missing", |suite| {
            let fewer = |_: &NaiveLog, response: &mut Response| shorten(response);
            edited(contact(suite), fewer, VerifyError::LadderLength)
        }),
        lie(OPERATION, STEPS, "Verifier::learned_versions", "a step of the ladder too many", |suite| {
            let more = |_: &NaiveLog, response: &mut Response| {
                let ladder = response.ladder().unwrap();
                ladder.push(ladder[0].clone());
            };
            edited(contact(suite), more, VerifyError::LadderLength)
        }),
        lie(OPERATION, STEPS, "Verifier::search_key", "a VRF proof of another version", |suite| {
            let swap = |_: &NaiveLog, response: &mut Response| response.ladder().unwrap().swap(0, 1);
            edited(contact(suite), swap, VerifyError::Vrf(2))
        }),
        lie(
            OPERATION,
            STEPS,
            "Verifier::learned_versions",
            "a commitment for a version that does not exist",
            |suite| {
                let give = |_: &NaiveLog, response: &mut Response| {
                    response.ladder().unwrap()[0].commitment = Some([0; 32]);
                };
                edited(contact(suite), give, VerifyError::CommitmentGiven(2))
            },
        ),
        lie(
            OPERATION,
            CREATED,
            "CommitmentValue::commitment",
            "another value than the requested one was stored",
            |suite| {
                let replace = |log: &mut NaiveLog| {
                    let versions = log.labels.get_mut(&b"alice"[..]).unwrap();
                    versions.get_mut(&1).unwrap().update.as_mut().unwrap().value = b"mallory".to_vec();
                    let commitment = log.commitment(b"alice", 1).unwrap();
                    log.plant(10, b"alice", 1, commitment);
                };
                created(contact(suite), 10, 11, &[b"alice 1"], replace, unsigned)
            },
        ),
        lie(OPERATION, CREATED, "CommitmentValue::commitment", "another opening", |suite| {
            let session = contact(suite);
            let verdict = unsigned(&session.log);
            edited(session, |_, response| response.update().info[0].opening[0] ^= 1, verdict)
        }),
    ]
}

fn trees() -> Vec<Lie> {
    vec![
        lie(
            ALGORITHM,
            BEFORE,
            "search_previous_tree",
            "a malicious version was there before the owner's own",
            |suite| {
                let forge = |log: &mut NaiveLog| {
                    log.plant(9, b"alice", 1, [0x66; 32]);
                };
                created(contact(suite), 10, 11, &[b"alice 1"], forge, |_| {
                    Violation::UnexpectedVersion(9).into()
                })
            },
        ),
        lie(
            ALGORITHM,
            BEFORE,
            "search_previous_tree",
            "the previous version was gone before the new one came",
            |suite| {
                let mut session = contact(suite);
                session.update(b"alice", &[b"alice 1"]);
                let hide = |log: &mut NaiveLog| log.hide(11, b"alice", 1);
                let verdict = |_: &NaiveLog| Violation::UnexpectedVersion(11).into();
                created(session, 12, 13, &[b"alice 2"], hide, verdict)
            },
        ),
        lie(ALGORITHM, GREATEST, "update_label", "the new version is not in its entry", |suite| {
            let hide = |log: &mut NaiveLog| {
                log.hide(10, b"alice", 1);
            };
            created(contact(suite), 10, 11, &[b"alice 1"], hide, |_| Violation::UnexpectedVersion(10).into())
        }),
        lie(
            ALGORITHM,
            GREATEST,
            "ProofView::look_up",
            "the new version's entry holds a greater one",
            |suite| {
                let add = |log: &mut NaiveLog| {
                    log.plant(10, b"alice", 2, [0x66; 32]);
                };
                // The ladder looks it up, and nobody gave a commitment for it.
                let verdict = |_: &NaiveLog| crate::client::ProofError::CommitmentUnknown(2).into();
                created(contact(suite), 10, 11, &[b"alice 1"], add, verdict)
            },
        ),
        lie(
            ALGORITHM,
            INCLUDED,
            "update_label",
            "one of several new versions is not in its entry",
            |suite| {
                let hide = |log: &mut NaiveLog| {
                    log.hide(10, b"alice", 2);
                };
                created(contact(suite), 10, 11, FOUR, hide, |_| Violation::NewVersionMissing(10).into())
            },
        ),
        lie(
            ALGORITHM,
            INCLUDED,
            "update_label",
            "one of several new versions is not in its distinguished entry",
            |suite| {
                let hide = |log: &mut NaiveLog| {
                    log.hide(15, b"alice", 2);
                };
                created(contact(suite), 15, 30, FOUR, hide, |_| Violation::NewVersionMissing(15).into())
            },
        ),
        lie(ALGORITHM, SKIPPED, ZERO, "a skipped version has a commitment", |suite| {
            let mut session = owner(suite, DeploymentMode::ThirdPartyManagement);
            let updates: [(&[u8], Option<&[u8]>); 2] = [(b"alice", None), (b"alice", Some(b"alice 2"))];
            grow(&mut session.log, 10);
            session.log.append_with_skipped(session.log.now() + 100, &updates);
            let (claim, op) = (claim(&session, 10), op(&[b"alice 2"]));
            let log = session.log.clone();
            let honest = Scene::shown(session.clone(), op.clone(), &log, &claim);
            let mut log = log;
            log.plant(10, b"alice", 1, [0x66; 32]);
            let lie = Scene::shown(session, op, &log, &claim);
            Told { honest, lie, verdict: unsigned(&log) }
        }),
    ]
}
