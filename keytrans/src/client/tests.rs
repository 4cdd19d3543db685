//! The sessions of the test vectors: every response is tried, accepted or refused as the vectors say, and the state
//! follows.

use keyglass_tlog::time::UnixMillis;
use serde_json::{Value, json};

use super::{
    operation::merge_versions,
    session::{Op, state_json},
    *,
};
use crate::vectors::{self, bytes};

/// The response's bytes: its own, or the honest ones with a patch.
fn response_bytes(response: &Value, honest: Option<&[u8]>) -> Vec<u8> {
    if response["response"].is_string() {
        return bytes(&response["response"]);
    }
    let patch = response["patch"].as_array().unwrap();
    let offset = usize::try_from(patch[0].as_u64().unwrap()).unwrap();
    let removed = usize::try_from(patch[1].as_u64().unwrap()).unwrap();
    let mut patched = honest.unwrap().to_vec();
    patched.splice(offset..offset + removed, bytes(&patch[2]));
    patched
}

/// The vectors write an empty map as `{}`.
fn assert_result(actual: &Value, expected: &Value, name: &str) {
    for (key, value) in expected.as_object().unwrap() {
        let expected = if key == "map" && value.is_object() { &json!([]) } else { value };
        assert_eq!(&actual[key], expected, "{name}: {key}");
    }
}

/// The vectors may name labels of which nothing is retained.
fn assert_state(actual: &Value, expected: &Value, name: &str) {
    let mut expected = expected.clone();
    for label in expected["labels"].as_object_mut().unwrap().values_mut() {
        if label["monitoring_map"].is_object() {
            label["monitoring_map"] = json!([]);
        }
    }
    let nothing = json!({"monitoring_map": [], "owner": null});
    expected["labels"].as_object_mut().unwrap().retain(|_, label| *label != nothing);
    assert_eq!(*actual, expected, "{name}");
}

/// Runs every session of a file; gives how many responses were accepted and refused.
fn run_sessions(file: &str) -> (usize, usize) {
    run_sessions_of(file, &vectors::read(file))
}

/// Runs every session of a parsed file.
pub(crate) fn run_sessions_of(file: &str, parsed: &Value) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for session in parsed["sessions"].as_array().unwrap() {
        let policy = session["policy"].as_str().map(str::as_bytes);
        let verifier = Verifier::new(&bytes(&session["config"]), policy).unwrap();
        let mut state = UserState::default();
        for (index, step) in session["steps"].as_array().unwrap().iter().enumerate() {
            let place = format!("{file}: {}: step {index}", session["name"]);
            let responses = step["responses"].as_array().unwrap();
            let honest = responses.iter().find(|response| response["name"] == "honest");
            let honest_bytes = honest.map(|response| bytes(&response["response"]));
            let op = Op::from_json(step["op"].as_str().unwrap(), &step["params"]);
            let request = op.request(&verifier, &state).unwrap();
            assert_eq!(request.encode(), bytes(&step["request"]), "{place}");
            let mut next = None;
            for response in responses {
                let name = format!("{place}: {}", response["name"]);
                let now = UnixMillis(response["now"].as_u64().unwrap());
                let outcome = request.attempt(
                    &verifier,
                    &state,
                    &response_bytes(response, honest_bytes.as_deref()),
                    now,
                );
                match (response["expect"].as_str().unwrap(), outcome) {
                    ("accept", Ok((result, state))) => {
                        assert_result(&result, &response["result"], &name);
                        if response["name"] == "honest" {
                            next = Some(state);
                        }
                        accepted += 1;
                    }
                    ("reject", Err(error)) => {
                        if let Some(expected) = response["error"].as_str() {
                            assert_eq!(error.to_string(), expected, "{name}");
                        }
                        refused += 1;
                    }
                    (expect, outcome) => panic!("{name}: {expect}, not {outcome:?} ({})", response["why"]),
                }
            }
            if let Some(next) = next {
                state = next;
            }
            if state.tree.is_some() && step["state"].is_object() {
                assert_state(&state_json(&verifier, &state), &step["state"], &place);
            }
        }
    }
    println!("{file}: {accepted} responses accepted, {refused} refused");
    (accepted, refused)
}

fn all_kinds(file: &str) {
    let (accepted, refused) = run_sessions(file);
    assert!(accepted > 0 && refused > 0);
}

#[test]
fn vector_search() {
    all_kinds("search.json");
}

#[test]
fn vector_fixed() {
    all_kinds("fixed.json");
}

#[test]
fn vector_monitor() {
    all_kinds("monitor.json");
}

#[test]
fn vector_owner() {
    all_kinds("owner.json");
}

#[test]
fn vector_update() {
    all_kinds("update.json");
}

#[test]
fn vector_distinguished() {
    all_kinds("distinguished.json");
}

#[test]
fn vector_configurations() {
    let file = vectors::read("search.json");
    let cases = file["configurations"].as_array().unwrap();
    for case in cases {
        // Where the vectors give no policy, none is at issue.
        let policy = case["policy"].as_str().unwrap_or("quorum none\n");
        let verifier = Verifier::new(&bytes(&case["config"]), Some(policy.as_bytes()));
        assert_eq!(
            verifier.is_ok(),
            case["accept"].as_bool().unwrap(),
            "{}: {:?}",
            case["name"],
            verifier.err()
        );
    }
    println!("search.json: {} configurations", cases.len());
    assert!(!cases.is_empty());
}

#[test]
fn roots_overlap_as_the_draft_says() {
    let roots: Vec<[u8; 32]> = (0..6).map(|i| [i; 32]).collect();
    assert!(compare_roots(&roots[..3], &roots[..3]));
    assert!(compare_roots(&roots[..3], &roots[2..5]));
    assert!(compare_roots(&roots[2..5], &roots[..3]));
    assert!(!compare_roots(&roots[..3], &roots[3..]));
    assert!(!compare_roots(&roots[..3], &roots[..2]));
    assert!(!compare_roots(&[], &[]));
}

fn known(commitment: Option<u8>, shown: bool) -> KnownVersion {
    KnownVersion { key: [9; 32], commitment: commitment.map(|byte| [byte; 32]), shown }
}

/// What was shown is a fact. What is the log's word gives way to a fact and to a newer word, but not to silence.
#[test]
fn a_word_gives_way_to_a_fact_and_a_fact_to_nothing() {
    let cases = [
        // What was known, what is learned, whether it is shown now, and what is known then.
        (None, known(Some(1), false), false, Ok(known(Some(1), false))),
        (None, known(Some(1), false), true, Ok(known(Some(1), true))),
        (None, known(None, false), false, Ok(known(None, false))),
        (Some(known(Some(1), false)), known(Some(2), false), false, Ok(known(Some(2), false))),
        (Some(known(Some(1), false)), known(Some(2), false), true, Ok(known(Some(2), true))),
        (Some(known(Some(1), false)), known(None, false), false, Ok(known(Some(1), false))),
        (Some(known(None, false)), known(Some(2), false), false, Ok(known(Some(2), false))),
        (Some(known(Some(1), true)), known(Some(2), false), false, Ok(known(Some(1), true))),
        (Some(known(Some(1), true)), known(None, false), false, Ok(known(Some(1), true))),
        (Some(known(Some(1), true)), known(Some(1), false), true, Ok(known(Some(1), true))),
        (Some(known(Some(1), true)), known(Some(2), false), true, Err(VerifyError::Rewritten(7))),
    ];
    for (before, learned, shown, expected) in cases {
        let versions = before.map(|before| (7, before)).into_iter().collect();
        let label = LabelState { versions, ..LabelState::default() };
        let shown = shown.then_some(7).into_iter().collect();
        let merged = merge_versions(Some(&label), [(7, learned)].into(), &shown);
        let expected = expected.map(|known| [(7, known)].into());
        assert_eq!(merged, expected, "{before:?} {learned:?} {shown:?}");
    }
    // What nothing is learned of may be shown all the same.
    let label = LabelState { versions: [(7, known(Some(1), false))].into(), ..LabelState::default() };
    let merged = merge_versions(Some(&label), Default::default(), &[7].into()).unwrap();
    assert_eq!(merged, [(7, known(Some(1), true))].into());
}

/// A request from one state is not answered in another.
#[test]
fn a_request_belongs_to_the_state_that_it_was_made_from() {
    use crate::lies::scene::{Session, greatest, grow, town};
    let label = || b"alice".to_vec();
    let mut session = Session::new(town(crate::config::CipherSuite::Draft));
    session.perform(&greatest(b"alice"));
    session.perform(&Op::OwnerInit { label: label(), start: 7 });
    grow(&mut session.log, 20);
    for op in [
        greatest(b"alice"),
        Op::ContactMonitor { label: label() },
        Op::OwnerInit { label: label(), start: 7 },
        Op::OwnerMonitor { label: label() },
        Op::Update { label: label(), values: Vec::new() },
        Op::Distinguished { stop: None, recent: 10 },
    ] {
        let (request, response) = (session.request(&op), session.answer(&op).encode());
        let mut newer = session.clone();
        newer.perform(&Op::Distinguished { stop: None, recent: 10 });
        let now = UnixMillis(session.clock());
        assert!(request.attempt(&session.verifier, &session.state, &response, now).is_ok(), "{op:?}");
        let other = request.attempt(&session.verifier, &newer.state, &response, now);
        assert_eq!(other.map(|_| ()), Err(VerifyError::WrongState), "{op:?}");
        assert_ne!(newer.request(&op), request, "{op:?}");
    }
}

#[test]
fn a_verifier_says_whom_it_trusts() {
    use crate::{
        config::CipherSuite,
        lies::scene::{Session, town},
    };
    let draft = Session::new(town(CipherSuite::Draft)).verifier;
    assert_eq!(draft.suite(), CipherSuite::Draft);
    assert!(draft.log_keys().is_empty() && draft.origin().is_none() && draft.policy().is_none());
    let log = town(CipherSuite::Tlog);
    let tlog = Session::new(log.clone()).verifier;
    assert_eq!((tlog.suite(), tlog.configuration()), (CipherSuite::Tlog, &log.config));
    assert_eq!(tlog.origin(), Some(log.origin().as_str()));
    assert!(tlog.policy().unwrap().logs().is_empty());
}

#[test]
fn the_policys_log_lines_say_which_keys_count() {
    use keyglass_crypto::sign::SigningKey;
    use keyglass_tlog::note::{KeyName, PublicKey, Vkey};

    use crate::{
        client::{ConfigurationError, Verifier},
        config::CipherSuite,
        lies::scene::town,
        wire::Wire as _,
    };
    let log = town(CipherSuite::Tlog);
    let encoded = log.config.encode().unwrap();
    let configured = Vkey::parse(str::from_utf8(&log.config.signature_public_key).unwrap()).unwrap();
    let key = |name: &str, seed| {
        let public = PublicKey::Ed25519(SigningKey::from_seed(&[seed; 32]).verifying_key());
        Vkey::new(KeyName::new(name).unwrap(), public)
    };
    let (next, other) = (key(&log.origin(), 0x71), key("other.example/log", 0x72));
    let keys = |lines: &[&Vkey]| {
        let lines: String = lines.iter().map(|vkey| format!("log {vkey}\n")).collect();
        let verifier = Verifier::new(&encoded, Some(format!("{lines}quorum none\n").as_bytes()))?;
        assert_eq!(verifier.without_witnesses().unwrap().log_keys(), verifier.log_keys());
        Ok(verifier.log_keys().to_vec())
    };
    assert_eq!(keys(&[]), Ok(vec![configured.clone()]));
    assert_eq!(keys(&[&configured]), Ok(vec![configured.clone()]));
    assert_eq!(keys(&[&next, &other, &configured]), Ok(vec![next.clone(), configured]));
    // Not even the configuration's own key, where the policy leaves it out.
    assert_eq!(keys(&[&next]), Ok(vec![next]));
    assert_eq!(keys(&[&other]), Err(ConfigurationError::PolicyForAnotherLog));
}

/// One response has a VRF proof for each new version, skipped ones included, and so no more than 255 of them.
#[test]
fn a_response_tells_of_so_many_versions() {
    use crate::{
        config::{CipherSuite, DeploymentMode},
        lies::scene::{Session, town_in},
        wire::{CombinedTreeProof, FullTreeHead, LabelValue, UpdateInfo, UpdateResponse, UpdateSuffix},
    };
    let mut session = Session::new(town_in(CipherSuite::Draft, DeploymentMode::ThirdPartyManagement, 14));
    session.perform(&Op::OwnerInit { label: b"alice".to_vec(), start: 7 });
    let (state, now) = (&session.state, UnixMillis(session.clock()));
    let request = session.verifier.update_request(state, b"alice", Vec::new()).unwrap();
    let mut response = UpdateResponse {
        full_tree_head: FullTreeHead::Same,
        position: 9,
        skipped_versions: Some(254),
        values: vec![LabelValue { value: Vec::new() }],
        info: vec![UpdateInfo { opening: [0; 16], suffix: UpdateSuffix::default() }],
        binary_ladder: Vec::new(),
        update: CombinedTreeProof::default(),
    };
    let mut refused = |skipped| {
        response.skipped_versions = Some(skipped);
        session.verifier.verify_update(state, &request, &response, now).unwrap_err()
    };
    assert_eq!(refused(254), VerifyError::LadderLength);
    assert_eq!(refused(255), VerifyError::NewVersions);
    assert_eq!(refused(256), VerifyError::NewVersions);
    assert_eq!(refused(u32::MAX), VerifyError::NewVersions);
}
