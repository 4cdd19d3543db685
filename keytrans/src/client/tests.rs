//! The sessions of the test vectors: every response is tried, accepted or refused as the vectors say, and the state
//! follows.

use keyglass_tlog::time::UnixMillis;
use serde_json::{Value, json};

use super::*;
use crate::{
    algorithms::Recent,
    vectors::{self, bytes},
    wire::Wire,
};

/// A session's client: what it trusts and what it retains.
struct Session {
    verifier: Verifier,
    state: UserState,
}

/// The result of a response as the vectors write it, and the state after it.
type Outcome = Result<(Value, UserState), VerifyError>;

/// What tries a response at a time.
type Attempt<'a> = Box<dyn Fn(&[u8], UnixMillis) -> Outcome + 'a>;

fn hex_of(bytes: &[u8]) -> Value {
    json!(hex::encode(bytes))
}

impl Session {
    fn new(session: &Value) -> Self {
        let policy = session["policy"].as_str().map(str::as_bytes);
        let verifier = Verifier::new(&bytes(&session["config"]), policy).unwrap();
        Self { verifier, state: UserState::default() }
    }

    fn applied<T>(&self, verified: Verified<T>, result: impl FnOnce(&T) -> Value) -> (Value, UserState) {
        let mut state = self.state.clone();
        let value = result(&verified.result);
        state.apply(verified.update);
        // What is stored is what is read back.
        assert_eq!(UserState::decode(&state.encode().unwrap()).as_ref(), Ok(&state));
        (value, state)
    }

    /// The request for a step, and what tries a response to it.
    fn step<'a>(&'a self, op: &str, params: &Value) -> (Vec<u8>, Attempt<'a>) {
        let label = params["label"].as_str().map(|_| bytes(&params["label"])).unwrap_or_default();
        match op {
            "search" => {
                let version = params["version"].as_u64().map(|version| u32::try_from(version).unwrap());
                let request = self.verifier.search_request(&self.state, &label, version);
                let encoded = request.encode().unwrap();
                let run = move |response: &[u8], now| {
                    let verified = self.verifier.verify_search(&self.state, &request, response, now)?;
                    Ok(self.applied(verified, |found| {
                        json!({"version": found.version, "value": hex_of(&found.value), "terminal": found.terminal})
                    }))
                };
                (encoded, Box::new(run))
            }
            "contact_monitor" => {
                let request = self.verifier.contact_monitor_request(&self.state, &label).unwrap();
                let encoded = request.encode().unwrap();
                let run = move |response: &[u8], now| {
                    let verified =
                        self.verifier.verify_contact_monitor(&self.state, &request, response, now)?;
                    Ok(self.applied(verified, |map| {
                        let entries: Vec<_> =
                            map.entries().map(|entry| (entry.position, entry.version)).collect();
                        json!({"map": entries})
                    }))
                };
                (encoded, Box::new(run))
            }
            "owner_init" => {
                let start = params["start"].as_u64().unwrap();
                let request = self.verifier.owner_init_request(&self.state, &label, start);
                let encoded = request.encode().unwrap();
                let run = move |response: &[u8], now| {
                    let verified = self.verifier.verify_owner_init(&self.state, &request, response, now)?;
                    Ok(self.applied(
                        verified,
                        |start| json!({"start": start.position, "version": start.version}),
                    ))
                };
                (encoded, Box::new(run))
            }
            "owner_monitor" => {
                let request = self.verifier.owner_monitor_request(&self.state, &label).unwrap();
                let encoded = request.encode().unwrap();
                let run = move |response: &[u8], now| {
                    let verified =
                        self.verifier.verify_owner_monitor(&self.state, &request, response, now)?;
                    let (result, state) = self.applied(
                        verified,
                        |round| json!({"inspected": round.inspected, "complete": round.complete}),
                    );
                    let label_state = &state.labels[&label];
                    let map: Vec<_> = label_state.map.entries().map(|e| (e.position, e.version)).collect();
                    let start = label_state.owner.as_ref().unwrap().start;
                    let mut result = result;
                    result["map"] = json!(map);
                    result["start"] = json!(start);
                    Ok((result, state))
                };
                (encoded, Box::new(run))
            }
            "update" => {
                let values = params["values"].as_array().unwrap().iter().map(bytes).collect();
                let request = self.verifier.update_request(&self.state, &label, values).unwrap();
                let encoded = request.encode().unwrap();
                let run = move |response: &[u8], now| {
                    let mut responses = decode_update_responses(response, self.verifier.response_context())?;
                    assert_eq!(responses.len(), 1);
                    let verified =
                        self.verifier.verify_update(&self.state, &request, &responses.remove(0), now)?;
                    Ok(self.applied(verified, |created| {
                        let versions: Vec<u32> =
                            created.versions.iter().map(|(version, _)| *version).collect();
                        json!({
                            "position": created.position, "versions": versions,
                            "monitored": created.monitored, "proven": created.proven,
                        })
                    }))
                };
                (encoded, Box::new(run))
            }
            "distinguished" => {
                let request = self.verifier.distinguished_request(&self.state, params["stop"].as_u64());
                let recent = Recent { count: usize::try_from(params["recent"].as_u64().unwrap()).unwrap() };
                let encoded = request.encode().unwrap();
                let run = move |response: &[u8], now| {
                    let verified =
                        self.verifier.verify_distinguished(&self.state, &request, recent, response, now)?;
                    Ok(self.applied(verified, |entries| {
                        let positions: Vec<u64> = entries.iter().map(|entry| entry.position).collect();
                        let heads: Vec<Value> = entries.iter().map(|entry| hex_of(&entry.root)).collect();
                        json!({"entries": positions, "heads": heads})
                    }))
                };
                (encoded, Box::new(run))
            }
            other => panic!("no operation {other}"),
        }
    }
}

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

fn assert_state(state: &UserState, expected: &Value, log_hash: crate::log_hash::LogHash, name: &str) {
    let tree = state.tree.as_ref().unwrap();
    assert_eq!(json!(tree.tree_size()), expected["tree_size"], "{name}");
    let root = crate::log_tree::root(log_hash, tree.tree_size(), &tree.full_subtrees).unwrap();
    assert_eq!(hex_of(&root), expected["root"], "{name}");
    let heads: Vec<Value> = tree.full_subtrees.iter().map(|head| hex_of(head)).collect();
    assert_eq!(json!(heads), expected["full_subtrees"], "{name}");
    let frontier: Vec<Value> = tree
        .frontier
        .iter()
        .map(|(position, entry)| json!([position, entry.timestamp, hex_of(&entry.prefix_tree)]))
        .collect();
    assert_eq!(json!(frontier), expected["frontier"], "{name}");
    let auditor_size = tree.auditor_tree_head.as_ref().map(|head| head.tree_size);
    assert_eq!(json!(auditor_size), expected["auditor_tree_size"], "{name}");
    let labels = expected["labels"].as_object().unwrap();
    for label in state.labels.keys() {
        assert!(labels.contains_key(&hex::encode(label)), "{name}: a label too many");
    }
    for (label, expected) in labels {
        let label_state = state.labels.get(&hex::decode(label).unwrap()).cloned().unwrap_or_default();
        let map: Vec<_> = label_state.map.entries().map(|entry| (entry.position, entry.version)).collect();
        assert_eq!(json!(map), expected["monitoring_map"], "{name}");
        let owner = label_state.owner.map(|owner| {
            json!({
                "start": owner.start, "version_at_start": owner.version_at_start,
                "later_versions": owner.later_versions,
            })
        });
        assert_eq!(json!(owner), expected["owner"], "{name}");
    }
}

/// Runs every session of a file; gives how many responses were accepted and refused.
fn run_sessions(file: &str) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    let parsed = vectors::read(file);
    for session in parsed["sessions"].as_array().unwrap() {
        let mut client = Session::new(session);
        for (index, step) in session["steps"].as_array().unwrap().iter().enumerate() {
            let place = format!("{file}: {}: step {index}", session["name"]);
            let responses = step["responses"].as_array().unwrap();
            let honest = responses.iter().find(|response| response["name"] == "honest");
            let honest_bytes = honest.map(|response| bytes(&response["response"]));
            let (request, run) = client.step(step["op"].as_str().unwrap(), &step["params"]);
            assert_eq!(request, bytes(&step["request"]), "{place}");
            let mut next = None;
            for response in responses {
                let name = format!("{place}: {}", response["name"]);
                let now = UnixMillis(response["now"].as_u64().unwrap());
                let outcome = run(&response_bytes(response, honest_bytes.as_deref()), now);
                match (response["expect"].as_str().unwrap(), outcome) {
                    ("accept", Ok((result, state))) => {
                        assert_result(&result, &response["result"], &name);
                        if response["name"] == "honest" {
                            next = Some(state);
                        }
                        accepted += 1;
                    }
                    ("reject", Err(_)) => refused += 1,
                    (expect, outcome) => panic!("{name}: {expect}, not {outcome:?} ({})", response["why"]),
                }
            }
            drop(run);
            if let Some(state) = next {
                client.state = state;
            }
            if client.state.tree.is_some() && step["state"].is_object() {
                assert_state(&client.state, &step["state"], client.verifier.suite().log_hash(), &place);
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
