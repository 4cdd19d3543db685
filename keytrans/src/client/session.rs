//! A user's operations in one form, for tests that try responses of every kind: those of the vectors, and lies.

use keyglass_tlog::time::UnixMillis;
use serde_json::{Value, json};

use super::{UserState, Verified, Verifier, VerifyError, decode_update_responses};
use crate::{
    algorithms::{MonitoringMap, Recent},
    log_tree,
    vectors::bytes,
    wire::{
        ContactMonitorRequest, DistinguishedRequest, OwnerInitRequest, OwnerMonitorRequest, SearchRequest,
        UpdateRequest, Wire,
    },
};

/// An operation, as the user means it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Search { label: Vec<u8>, version: Option<u32> },
    ContactMonitor { label: Vec<u8> },
    OwnerInit { label: Vec<u8>, start: u64 },
    OwnerMonitor { label: Vec<u8> },
    Update { label: Vec<u8>, values: Vec<Vec<u8>> },
    Distinguished { stop: Option<u64>, recent: usize },
}

/// What the log is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Search(SearchRequest),
    ContactMonitor(ContactMonitorRequest),
    OwnerInit(OwnerInitRequest),
    OwnerMonitor(OwnerMonitorRequest),
    Update(UpdateRequest),
    Distinguished(DistinguishedRequest, Recent),
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Search(request) => request.encode(),
            Self::ContactMonitor(request) => request.encode(),
            Self::OwnerInit(request) => request.encode(),
            Self::OwnerMonitor(request) => request.encode(),
            Self::Update(request) => request.encode(),
            Self::Distinguished(request, _) => request.encode(),
        }
        .unwrap()
    }
}

/// The result of a response as the vectors write it, and the state after it.
pub(crate) type Outcome = Result<(Value, UserState), VerifyError>;

fn hex_of(bytes: &[u8]) -> Value {
    json!(hex::encode(bytes))
}

fn map_json(map: &MonitoringMap) -> Value {
    json!(map.entries().map(|entry| (entry.position, entry.version)).collect::<Vec<_>>())
}

fn applied<T>(
    verifier: &Verifier,
    state: &UserState,
    verified: Verified<T>,
    result: impl FnOnce(&T, &UserState) -> Value,
) -> (Value, UserState) {
    let mut state = state.clone();
    state.apply(verified.update);
    // The head that the result holds under is the one that is retained.
    let tree = state.tree.as_ref().unwrap();
    assert_eq!(verified.head.tree_size(), tree.tree_size());
    let root = log_tree::root(verifier.suite().log_hash(), tree.tree_size(), &tree.full_subtrees);
    assert_eq!(Some(*verified.head.root()), root);
    assert_eq!(Some(tree.rightmost_timestamp()), tree.frontier.last().map(|(_, entry)| entry.timestamp));
    // What is stored is what is read back.
    assert_eq!(UserState::decode(&state.encode().unwrap()).as_ref(), Ok(&state));
    (result(&verified.result, &state), state)
}

impl Op {
    /// Reads an operation of the vectors.
    pub(crate) fn from_json(op: &str, params: &Value) -> Self {
        let label = params["label"].as_str().map(|_| bytes(&params["label"])).unwrap_or_default();
        match op {
            "search" => {
                let version = params["version"].as_u64().map(|version| u32::try_from(version).unwrap());
                Self::Search { label, version }
            }
            "contact_monitor" => Self::ContactMonitor { label },
            "owner_init" => Self::OwnerInit { label, start: params["start"].as_u64().unwrap() },
            "owner_monitor" => Self::OwnerMonitor { label },
            "update" => {
                let values = params["values"].as_array().unwrap().iter().map(bytes).collect();
                Self::Update { label, values }
            }
            "distinguished" => Self::Distinguished {
                stop: params["stop"].as_u64(),
                recent: usize::try_from(params["recent"].as_u64().unwrap()).unwrap(),
            },
            other => panic!("no operation {other}"),
        }
    }

    /// The operation as the vectors name it, with its parameters.
    pub(crate) fn to_json(&self) -> (&'static str, Value) {
        match self {
            Self::Search { label, version } => {
                ("search", json!({"label": hex_of(label), "version": version}))
            }
            Self::ContactMonitor { label } => ("contact_monitor", json!({"label": hex_of(label)})),
            Self::OwnerInit { label, start } => {
                ("owner_init", json!({"label": hex_of(label), "start": start}))
            }
            Self::OwnerMonitor { label } => ("owner_monitor", json!({"label": hex_of(label)})),
            Self::Update { label, values } => {
                let values: Vec<Value> = values.iter().map(|value| hex_of(value)).collect();
                ("update", json!({"label": hex_of(label), "values": values}))
            }
            Self::Distinguished { stop, recent } => {
                ("distinguished", json!({"stop": stop, "recent": recent}))
            }
        }
    }

    /// The request; none if the user's state gives no cause for one.
    pub(crate) fn request(&self, verifier: &Verifier, state: &UserState) -> Option<Request> {
        Some(match self {
            Self::Search { label, version } => {
                Request::Search(verifier.search_request(state, label, *version))
            }
            Self::ContactMonitor { label } => {
                Request::ContactMonitor(verifier.contact_monitor_request(state, label)?)
            }
            Self::OwnerInit { label, start } => {
                Request::OwnerInit(verifier.owner_init_request(state, label, *start))
            }
            Self::OwnerMonitor { label } => {
                Request::OwnerMonitor(verifier.owner_monitor_request(state, label)?)
            }
            Self::Update { label, values } => {
                Request::Update(verifier.update_request(state, label, values.clone())?)
            }
            Self::Distinguished { stop, recent } => {
                let recent = Recent { count: *recent };
                Request::Distinguished(verifier.distinguished_request(state, *stop), recent)
            }
        })
    }
}

impl Request {
    /// Verifies a response. Several responses to an update are processed one after the other.
    pub(crate) fn attempt(
        &self,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Outcome {
        match self {
            Self::Search(request) => {
                let verified = verifier.verify_search(state, request, response, now)?;
                Ok(applied(
                    verifier,
                    state,
                    verified,
                    |found, _| json!({"version": found.version, "value": hex_of(&found.value), "terminal": found.terminal}),
                ))
            }
            Self::ContactMonitor(request) => {
                let verified = verifier.verify_contact_monitor(state, request, response, now)?;
                Ok(applied(verifier, state, verified, |map, _| json!({"map": map_json(map)})))
            }
            Self::OwnerInit(request) => {
                let verified = verifier.verify_owner_init(state, request, response, now)?;
                Ok(applied(
                    verifier,
                    state,
                    verified,
                    |start, _| json!({"start": start.position, "version": start.version}),
                ))
            }
            Self::OwnerMonitor(request) => {
                let verified = verifier.verify_owner_monitor(state, request, response, now)?;
                Ok(applied(verifier, state, verified, |round, state| {
                    let label = &state.labels[&request.label];
                    json!({
                        "inspected": round.inspected, "complete": round.complete,
                        "map": map_json(&label.map), "start": label.owner.as_ref().unwrap().start,
                    })
                }))
            }
            Self::Update(request) => Self::attempt_update(request, verifier, state, response, now),
            Self::Distinguished(request, recent) => {
                let verified = verifier.verify_distinguished(state, request, *recent, response, now)?;
                Ok(applied(verifier, state, verified, |entries, _| {
                    let positions: Vec<u64> = entries.iter().map(|entry| entry.position).collect();
                    let heads: Vec<Value> = entries.iter().map(|entry| hex_of(&entry.root)).collect();
                    json!({"entries": positions, "heads": heads})
                }))
            }
        }
    }

    /// The result of one response, or the list of the results of several.
    fn attempt_update(
        request: &UpdateRequest,
        verifier: &Verifier,
        state: &UserState,
        response: &[u8],
        now: UnixMillis,
    ) -> Outcome {
        let responses = decode_update_responses(response, verifier.response_context())?;
        let (mut request, mut state, mut results) = (request.clone(), state.clone(), Vec::new());
        for response in &responses {
            let verified = verifier.verify_update(&state, &request, response, now)?;
            let created = verified.result.clone();
            let (result, after) = applied(verifier, &state, verified, |created, _| {
                let versions: Vec<u32> = created.versions.iter().map(|(version, _)| *version).collect();
                let values: Vec<Value> = created
                    .versions
                    .iter()
                    .map(|(_, value)| json!(value.as_ref().map(hex::encode)))
                    .collect();
                json!({
                    "position": created.position, "versions": versions, "values": values,
                    "monitored": created.monitored, "proven": created.proven,
                })
            });
            results.push(result);
            state = after;
            request = verifier.next_update_request(&state, &request, &created).unwrap();
        }
        let result = if results.len() == 1 { results.remove(0) } else { json!({"responses": results}) };
        Ok((result, state))
    }
}

/// What the user retains, as the vectors write it.
pub(crate) fn state_json(verifier: &Verifier, state: &UserState) -> Value {
    let tree = state.tree.as_ref().unwrap();
    let root = log_tree::root(verifier.suite().log_hash(), tree.tree_size(), &tree.full_subtrees).unwrap();
    let heads: Vec<Value> = tree.full_subtrees.iter().map(|head| hex_of(head)).collect();
    let frontier: Vec<Value> = tree
        .frontier
        .iter()
        .map(|(position, entry)| json!([position, entry.timestamp, hex_of(&entry.prefix_tree)]))
        .collect();
    let labels: serde_json::Map<String, Value> = state
        .labels
        .iter()
        .map(|(label, known)| {
            let owner = known.owner.as_ref().map(|owner| {
                json!({
                    "start": owner.start, "version_at_start": owner.version_at_start,
                    "later_versions": owner.later_versions,
                })
            });
            (hex::encode(label), json!({"monitoring_map": map_json(&known.map), "owner": owner}))
        })
        .collect();
    json!({
        "tree_size": tree.tree_size(), "root": hex_of(&root), "full_subtrees": heads, "frontier": frontier,
        "auditor_tree_size": tree.auditor_tree_head.as_ref().map(|head| head.tree_size), "labels": labels,
    })
}
