//! The operations of the test vectors' sessions: where a client stands when an answer arrives.

use keyglass_keytrans::{
    algorithms::Recent,
    client::{StateUpdate, UserState, Verified, Verifier, VerifyError, decode_update_responses},
    wire::{
        ContactMonitorRequest, DistinguishedRequest, OwnerInitRequest, OwnerMonitorRequest, SearchRequest,
        UpdateRequest,
    },
};
use keyglass_tlog::time::UnixMillis;
use serde_json::Value;

use crate::vector_file;

/// The files of sessions.
const FILES: [&str; 6] =
    ["search.json", "fixed.json", "monitor.json", "owner.json", "update.json", "distinguished.json"];

/// About so many sessions are taken from each file, from all over it: both suites and all modes. Inputs name an operation by
/// one byte, and every run of a target goes through all of them.
const SESSIONS_OF_A_FILE: usize = 4;

/// The most operations that are taken from one session.
const MOST_OF_A_SESSION: usize = 3;

/// Longer answers only slow the search down.
const LONGEST_ANSWER: usize = 4000;

enum Request {
    Search(SearchRequest),
    ContactMonitor(ContactMonitorRequest),
    OwnerInit(OwnerInitRequest),
    OwnerMonitor(OwnerMonitorRequest),
    Update(UpdateRequest),
    Distinguished(DistinguishedRequest, Recent),
}

/// A client that has asked, and the honest answer.
pub struct Scene {
    verifier: Verifier,
    /// What the client retains before it reads the answer.
    pub state: UserState,
    request: Request,
    now: UnixMillis,
    /// What the log answered.
    pub honest: Vec<u8>,
}

impl Scene {
    /// Lets the client read an answer; gives its state after one that it accepts.
    pub fn read(&self, answer: &[u8]) -> Result<UserState, VerifyError> {
        let (verifier, state, now) = (&self.verifier, &self.state, self.now);
        match &self.request {
            Request::Search(request) => {
                Ok(applied(state, verifier.verify_search(state, request, answer, now)?))
            }
            Request::ContactMonitor(request) => {
                Ok(applied(state, verifier.verify_contact_monitor(state, request, answer, now)?))
            }
            Request::OwnerInit(request) => {
                Ok(applied(state, verifier.verify_owner_init(state, request, answer, now)?))
            }
            Request::OwnerMonitor(request) => {
                Ok(applied(state, verifier.verify_owner_monitor(state, request, answer, now)?))
            }
            Request::Distinguished(request, recent) => {
                Ok(applied(state, verifier.verify_distinguished(state, request, *recent, answer, now)?))
            }
            Request::Update(request) => self.read_updates(request, answer),
        }
    }

    fn read_updates(&self, request: &UpdateRequest, answer: &[u8]) -> Result<UserState, VerifyError> {
        let responses = decode_update_responses(answer, self.verifier.response_context())?;
        let (mut request, mut state) = (request.clone(), self.state.clone());
        for response in &responses {
            let verified = self.verifier.verify_update(&state, &request, response, self.now)?;
            let created = verified.result.clone();
            state = applied(&state, verified);
            match self.verifier.next_update_request(&state, &request, &created) {
                Some(next) => request = next,
                None => break,
            }
        }
        Ok(state)
    }
}

fn applied<T>(state: &UserState, verified: Verified<T>) -> UserState {
    let update: StateUpdate = verified.update;
    let mut state = state.clone();
    state.apply(update);
    let tree = state.tree.as_ref().expect("an accepted answer has a head");
    assert_eq!(verified.head.tree_size(), tree.tree_size());
    state
}

fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// The scenes of all files, in order.
pub fn load() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for file in FILES {
        let parsed = vector_file(file);
        let sessions = parsed["sessions"].as_array().unwrap();
        for session in sessions.iter().step_by(sessions.len().div_ceil(SESSIONS_OF_A_FILE)) {
            let policy = session["policy"].as_str().map(str::as_bytes);
            let verifier = Verifier::new(&octets(&session["config"]), policy).unwrap();
            let mut state = UserState::default();
            for step in session["steps"].as_array().unwrap().iter().take(MOST_OF_A_SESSION) {
                let honest = step["responses"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|response| response["name"] == "honest");
                let Some(honest) = honest else { continue };
                let now = UnixMillis(honest["now"].as_u64().unwrap());
                let Some(request) = request(&verifier, &state, step) else { continue };
                let scene = Scene {
                    verifier: verifier.clone(),
                    state: state.clone(),
                    request,
                    now,
                    honest: octets(&honest["response"]),
                };
                state = scene.read(&scene.honest).expect("the honest answer is accepted");
                if scene.honest.len() <= LONGEST_ANSWER {
                    scenes.push(scene);
                }
            }
        }
    }
    scenes
}

fn request(verifier: &Verifier, state: &UserState, step: &Value) -> Option<Request> {
    let params = &step["params"];
    let label = params["label"].as_str().map(|_| octets(&params["label"])).unwrap_or_default();
    Some(match step["op"].as_str().unwrap() {
        "search" => {
            let version = params["version"].as_u64().map(|version| u32::try_from(version).unwrap());
            Request::Search(verifier.search_request(state, &label, version))
        }
        "contact_monitor" => Request::ContactMonitor(verifier.contact_monitor_request(state, &label)?),
        "owner_init" => {
            let start = params["start"].as_u64().unwrap();
            Request::OwnerInit(verifier.owner_init_request(state, &label, start))
        }
        "owner_monitor" => Request::OwnerMonitor(verifier.owner_monitor_request(state, &label)?),
        "update" => {
            let values = params["values"].as_array().unwrap().iter().map(octets).collect();
            Request::Update(verifier.update_request(state, &label, values)?)
        }
        "distinguished" => {
            let recent = usize::try_from(params["recent"].as_u64().unwrap()).unwrap();
            let request = verifier.distinguished_request(state, params["stop"].as_u64());
            Request::Distinguished(request, Recent { count: recent })
        }
        other => panic!("no operation {other}"),
    })
}
