//! The sessions of the test vectors: every response is tried, accepted or refused as the vectors say, and the state
//! follows.

use keyglass_tlog::time::UnixMillis;
use serde_json::{Value, json};

use super::{
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
