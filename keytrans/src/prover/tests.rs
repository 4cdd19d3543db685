//! Answers that were changed on the way, answers to other requests, and requests that have no answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{model::NaiveLog, *};
use crate::{
    client::{UserState, VerifyError, session::Op},
    config::CipherSuite,
    lies::{
        mutation::{ACTS, Mutation, says_no_more},
        response::Response,
        scene::{BOTH, Scene, Session, add, greatest, grow, town, version},
    },
    wire::{
        ContactMonitorRequest, DistinguishedRequest, MonitorMapEntry, OwnerInitRequest, OwnerMonitorRequest,
        SearchRequest, UpdateRequest,
    },
};

/// Honest answers to every operation, from a log with enough entries for every part of a proof to be there; to users
/// that return, but for one.
fn fixtures(suite: CipherSuite) -> Vec<Scene> {
    let alice = || b"alice".to_vec();
    let mut user = Session::new(town(suite));
    let rest = user.log.entries.split_off(12);
    user.perform(&greatest(b"alice"));
    user.log.entries.extend(rest);
    let mut owner = user.clone();
    owner.perform(&Op::OwnerInit { label: alice(), start: 7 });
    let told = Op::Update { label: alice(), values: Vec::new() };
    let mut watching = owner.clone();
    watching.perform(&told);
    for session in [&mut user, &mut owner, &mut watching] {
        add(&mut session.log, 17, b"bob", &[b"bob 1"]);
        grow(&mut session.log, 29);
    }
    let fresh = Session { state: UserState::default(), ..user.clone() };
    vec![
        Scene::honest(fresh, greatest(b"alice")),
        Scene::honest(user.clone(), greatest(b"alice")),
        Scene::honest(user.clone(), version(b"dave", 0)),
        Scene::honest(user.clone(), Op::ContactMonitor { label: alice() }),
        Scene::honest(user.clone(), Op::OwnerInit { label: alice(), start: 23 }),
        Scene::honest(watching, Op::OwnerMonitor { label: alice() }),
        Scene::honest(owner, told),
        Scene::honest(user, Op::Distinguished { stop: None, recent: RECENT.count }),
    ]
}

fn outcome(scene: &Scene, response: Vec<u8>) -> Result<(Value, UserState), VerifyError> {
    Scene { response, ..scene.clone() }.run()
}

/// Bits flipped, every byte removed, doubled or swapped with the next, and the end cut off at every byte. Where a
/// verification takes long, because it evaluates VRF proofs, one bit of each byte and one of the others.
#[test]
fn no_mutation_of_a_response_says_more() {
    for &suite in BOTH {
        for scene in fixtures(suite) {
            let honest = scene.run().unwrap();
            let response = Response::decode(&scene.op, &scene.session.verifier, &scene.response);
            let quick = response.clone().ladder().is_none();
            let (mut mutations, mut accepted) = (0, 0);
            for index in 0..scene.response.len() {
                let bits = (0..8).map(|bit| Mutation::FlipBit(8 * index + bit));
                let bits = bits.skip(if quick { 0 } else { index % 8 }).take(if quick { 8 } else { 1 });
                let others =
                    [Mutation::DropByte, Mutation::DoubleByte, Mutation::SwapBytes, Mutation::Truncate];
                let others = others.into_iter().map(|other| other(index));
                let others = others.skip(if quick { 0 } else { index % 4 }).take(if quick { 4 } else { 1 });
                for change in bits.chain(others) {
                    let bytes = change.of(&response);
                    if bytes == scene.response {
                        continue;
                    }
                    mutations += 1;
                    if let Ok(other) = outcome(&scene, bytes) {
                        assert!(says_no_more(&scene.op, &honest, &other), "{:?} {change:?}", scene.op);
                        accepted += 1;
                    }
                }
            }
            println!("{suite:?} {:?}: {mutations} mutations", scene.op);
            // Of the two responses to the update, the second may be cut off.
            assert!(mutations > 1000 && accepted <= 1, "{:?}", scene.op);
        }
    }
}

/// Elements removed, doubled, swapped and added as wholes, with the counts in front of them kept true.
#[test]
fn no_rearrangement_of_a_response_says_more() {
    for &suite in BOTH {
        for scene in fixtures(suite) {
            let honest = scene.run().unwrap();
            let mut response = Response::decode(&scene.op, &scene.session.verifier, &scene.response);
            let longest = response.longest_list();
            let mut tried = BTreeSet::new();
            // Eight kinds of lists; of some there is one in each prefix proof.
            for list in 0..8 * response.proof().prefix_proofs.len().max(2) {
                for index in 0..=longest {
                    for act in ACTS {
                        let change = Mutation::Element(list, index, act);
                        let bytes = change.of(&response);
                        if bytes == scene.response || !tried.insert(bytes.clone()) {
                            continue;
                        }
                        if let Ok(other) = outcome(&scene, bytes) {
                            assert!(says_no_more(&scene.op, &honest, &other), "{:?} {change:?}", scene.op);
                        }
                    }
                }
            }
            println!("{suite:?} {:?}: {} rearrangements", scene.op, tried.len());
            assert!(tried.len() > 20);
        }
    }
}

/// Answers to other requests, and under other heads, are refused.
#[test]
fn a_response_to_another_request_is_refused() {
    for &suite in BOTH {
        let scenes = fixtures(suite);
        let (mut tried, mut same) = (0, 0);
        for scene in &scenes {
            let honest = scene.run().unwrap();
            let mut others: Vec<(String, Vec<u8>)> = Vec::new();
            let answer = |name: &str, session: &Session, op: &Op| {
                let request = op.request(&session.verifier, &session.state)?;
                let response = Response::honest(&session.log, &request, None).ok()?;
                Some((format!("{name}: {op:?}"), response.encode()))
            };
            // Of other operations, also by users with other states.
            for other in &scenes {
                others.extend(answer("operation", &other.session, &other.op));
            }
            for op in neighbours(&scene.op) {
                others.extend(answer("parameters", &scene.session, &op));
            }
            // For users with another head, or none; under an older and a newer head; of another log.
            let session = &scene.session;
            let mut stale = session.clone();
            stale.log.entries.truncate(27);
            others.extend(answer("older head", &stale, &scene.op));
            let mut newer = session.clone();
            grow(&mut newer.log, 30);
            if !matches!(scene.op, Op::Distinguished { .. }) {
                let request = session.request(&scene.op);
                let mut mixed = Response::honest(&newer.log, &request, None).unwrap();
                *mixed.head() =
                    Response::decode(&scene.op, &session.verifier, &scene.response).head().clone();
                others.push(("newer proof".to_owned(), mixed.encode()));
            }
            let mut fresh = session.clone();
            fresh.state.tree = None;
            others.extend(answer("no head", &fresh, &scene.op));
            let mut forked = session.clone();
            forked.log.rewrite(4, |tree| tree.0.clear());
            others.extend(answer("fork", &forked, &scene.op));
            for (name, bytes) in others {
                if bytes == scene.response {
                    continue;
                }
                tried += 1;
                if let Ok(other) = outcome(scene, bytes) {
                    // An older head is still a head; what it shows is true, and where nothing happened since, the same.
                    let older = name.starts_with("older head") && session.state.last() < Some(27);
                    let fork = name.starts_with("fork") && session.state.tree.is_none();
                    let fresh = name.starts_with("no head") && session.state.tree.is_none();
                    assert!(older || fork || fresh || other == honest, "{suite:?} {:?}: {name}", scene.op);
                    same += 1;
                }
            }
        }
        println!("{suite:?}: {tried} responses to other requests, {same} of them also answers to this one");
        assert!(tried > 60);
    }
}

/// The same operation with other parameters.
fn neighbours(op: &Op) -> Vec<Op> {
    let bob = || b"bob".to_vec();
    match op.clone() {
        Op::Search { label, .. } => vec![
            Op::Search { label: bob(), version: None },
            Op::Search { label: label.clone(), version: Some(1) },
            Op::Search { label, version: None },
        ],
        Op::OwnerInit { label, start } => vec![
            Op::OwnerInit { label: bob(), start },
            Op::OwnerInit { label: label.clone(), start: 15 },
            Op::OwnerInit { label, start: 7 },
        ],
        Op::Distinguished { .. } => {
            [7, 15, 23].map(|stop| Op::Distinguished { stop: Some(stop), recent: RECENT.count }).to_vec()
        }
        Op::ContactMonitor { .. } | Op::OwnerMonitor { .. } | Op::Update { .. } => Vec::new(),
    }
}

/// A request to the town's log, which has 29 entries, and the error that answers it.
#[track_caller]
fn refuses<T: std::fmt::Debug + PartialEq>(
    answer: impl FnOnce(&NaiveLog, &ServedHead) -> Result<T, ProverError<std::convert::Infallible>>,
    expected: ProverError<std::convert::Infallible>,
) {
    let mut log = town(CipherSuite::Tlog);
    grow(&mut log, 29);
    assert_eq!(answer(&log, &log.head()), Err(expected));
}

#[test]
fn bad_requests_have_typed_answers() {
    let asks = |last, label: &[u8], version| {
        let request = SearchRequest { last, label: label.to_vec(), version };
        move |log: &NaiveLog, head: &ServedHead| search(log, head, &request)
    };
    refuses(asks(Some(30), b"bob", None), ProverError::BadLast { last: 30, size: 29 });
    refuses(asks(Some(0), b"bob", None), ProverError::BadLast { last: 0, size: 29 });
    refuses(asks(None, b"nobody", None), ProverError::UnknownLabel);
    refuses(asks(None, b"nobody", Some(0)), ProverError::UnknownLabel);
    refuses(asks(None, b"bob", Some(1)), ProverError::UnknownVersion);
    refuses(asks(None, b"bob", Some(u32::MAX)), ProverError::UnknownVersion);
    let monitors = |label: &[u8], entries: &[(u64, u32)]| {
        let entry = |&(position, version)| MonitorMapEntry { position, version };
        let entries = entries.iter().map(entry).collect();
        let request = ContactMonitorRequest { last: None, label: label.to_vec(), entries };
        move |log: &NaiveLog, head: &ServedHead| contact_monitor(log, head, &request)
    };
    refuses(monitors(b"nobody", &[(3, 0)]), ProverError::UnknownLabel);
    // Bob's version is from entry 2, whose direct path is 1, 3, 7 and 15.
    for entries in
        [&[(29, 0)][..], &[(7, 0), (3, 1)], &[(3, 0), (3, 1)], &[(3, 0), (7, 0)], &[(5, 0)], &[(3, 1)]]
    {
        refuses(monitors(b"bob", entries), ProverError::BadMap);
    }
    let walks = |last| {
        let request = DistinguishedRequest { last, stop: None };
        move |log: &NaiveLog, head: &ServedHead| distinguished(log, head, &request)
    };
    refuses(walks(Some(30)), ProverError::BadLast { last: 30, size: 29 });
}

#[test]
fn owners_bad_requests_have_typed_answers() {
    let begins = |start| {
        let request = OwnerInitRequest { last: None, label: b"alice".to_vec(), start };
        move |log: &NaiveLog, head: &ServedHead| owner_init(log, head, &request)
    };
    for start in [29, u64::MAX, 19] {
        refuses(begins(start), Violation::BadStart(start).into());
    }
    let monitors = |start, greatest_version, entries: &[(u64, u32)]| {
        let entry = |&(position, version)| MonitorMapEntry { position, version };
        let entries = entries.iter().map(entry).collect();
        let label = b"alice".to_vec();
        let request = OwnerMonitorRequest { last: None, label, entries, start, greatest_version };
        move |log: &NaiveLog, head: &ServedHead| owner_monitor(log, head, &request)
    };
    refuses(monitors(29, Some(2), &[]), Violation::BadStart(29).into());
    refuses(monitors(15, Some(3), &[]), ProverError::BadGreatestVersion);
    // Entry 15 has version 2 already, entry 7 has version 0.
    refuses(monitors(15, Some(1), &[]), ProverError::BadGreatestVersion);
    refuses(monitors(7, None, &[]), ProverError::BadGreatestVersion);
    refuses(monitors(7, Some(2), &[(8, 1)]), ProverError::BadMap);
    let updates = |greatest_version| {
        let (label, values) = (b"alice".to_vec(), Vec::new());
        let request = UpdateRequest { last: None, label, greatest_version, values };
        move |log: &NaiveLog, head: &ServedHead| update_responses(log, head, &request, None)
    };
    refuses(updates(Some(2)), ProverError::UnknownVersion);
    refuses(updates(Some(3)), ProverError::UnknownVersion);
    refuses(updates(Some(u32::MAX)), ProverError::UnknownVersion);
}

/// An owner of very many unmonitored versions is refused, up to the limit it is served.
#[test]
fn an_owner_may_be_behind_by_so_many_versions() {
    let mut log = NaiveLog::new(CipherSuite::Draft, 1000, None);
    grow(&mut log, 2);
    let label: &[u8] = b"alice";
    // Only the last version's creation matters to the check; the prover would ask for the others.
    log.append_versions(log.now() + 100, &[(label, 4097, Some(&b"x"[..]))]);
    let request = |start| OwnerMonitorRequest {
        last: None,
        label: label.to_vec(),
        entries: Vec::new(),
        start,
        greatest_version: Some(4097),
    };
    assert_eq!(owner_monitor(&log, &log.head(), &request(1)), Err(ProverError::BadGreatestVersion));
    let versions: Vec<u32> = (0..=4096).collect();
    let versions: Vec<_> = versions.into_iter().map(|version| (label, version, Some(&b"x"[..]))).collect();
    let mut log = NaiveLog::new(CipherSuite::Draft, 1000, None);
    grow(&mut log, 2);
    log.append_versions(log.now() + 100, &versions);
    let request = OwnerMonitorRequest { greatest_version: Some(4096), ..request(1) };
    assert!(owner_monitor(&log, &log.head(), &request).is_ok());
}

/// What was erased has no answer, and its neighbours have.
#[test]
fn an_erased_version_is_named() {
    let mut log = town(CipherSuite::Tlog);
    grow(&mut log, 29);
    log.labels.get_mut(&b"alice"[..]).unwrap().get_mut(&1).unwrap().erased = true;
    let ask = |version| {
        let request = SearchRequest { last: None, label: b"alice".to_vec(), version };
        search(&log, &log.head(), &request).map(|_| ())
    };
    assert_eq!(ask(Some(1)), Err(ProverError::Erased(1)));
    assert_eq!(ask(Some(0)), Ok(()));
    assert_eq!(ask(None), Ok(()));
    let request =
        UpdateRequest { last: None, label: b"alice".to_vec(), greatest_version: Some(0), values: Vec::new() };
    assert_eq!(update_responses(&log, &log.head(), &request, None), Err(ProverError::Erased(1)));
}

/// A long absence is caught up with in several rounds.
#[test]
fn a_round_of_owner_monitoring_inspects_so_many_entries() {
    // With a window of no time every entry is distinguished.
    let mut log = NaiveLog::new(CipherSuite::Draft, 0, None);
    add(&mut log, 1, b"alice", &[b"alice 0"]);
    grow(&mut log, 3);
    let mut session = Session::new(log);
    session.perform(&Op::OwnerInit { label: b"alice".to_vec(), start: 2 });
    grow(&mut session.log, 140);
    let monitor = Op::OwnerMonitor { label: b"alice".to_vec() };
    for (start, end, complete) in [(3, 67, false), (67, 131, false), (131, 140, true)] {
        let result = session.perform(&monitor);
        let inspected: Vec<u64> = (start..end).collect();
        assert_eq!(result["inspected"], serde_json::json!(inspected));
        assert_eq!(result["complete"], complete);
    }
}

/// Very many updates are told of in several answers.
#[test]
fn an_update_is_answered_with_so_many_responses() {
    let mut log = NaiveLog::new(CipherSuite::Draft, 1000, None);
    grow(&mut log, 2);
    let mut session = Session::new(log);
    session.perform(&Op::OwnerInit { label: b"alice".to_vec(), start: 1 });
    for position in 2..22 {
        add(&mut session.log, position, b"alice", &[b"x"]);
    }
    let update = Op::Update { label: b"alice".to_vec(), values: Vec::new() };
    for count in [MAX_UPDATE_RESPONSES, 4] {
        let result = session.perform(&update);
        assert_eq!(result["responses"].as_array().unwrap().len(), count);
    }
    let request = session.request(&update);
    assert_eq!(Response::honest(&session.log, &request, None), Err(ProverError::UnknownVersion));
}
