//! Searching the log: ask, verify, retain, and where an answer does not fit what is retained, find out why.

use std::time::{Duration, Instant};

use keyglass_account::{label, problem::Problem};
use keyglass_keytrans::{
    algorithms::Violation,
    client::{HeadError, UserState, VerifiedHead, VerifyError},
    wire::{SearchRequest, Wire as _},
};
use keyglass_tlog::witnessed::JudgeError;

use super::{
    context::{Context, no_quorum_required, now},
    outcome::Failure,
    reconcile::ShownHead,
    withheld::tree_shrank,
};
use crate::{
    http::{HttpError, OCTETS, Request},
    proven::{self, ProvenValue, Search, Unverified, Witnessing},
    verdict::Verdict,
};

/// The longest answer to a search that is read, in bytes.
pub const MAX_SEARCH_RESPONSE: usize = 1 << 20;

/// A value that was searched for and proven, with what it took.
pub struct Found {
    /// The value.
    pub value: ProvenValue,
    /// The head that it is proven under.
    pub head: VerifiedHead,
    /// A log entry whose prefix tree was shown to hold the version.
    pub terminal: u64,
    /// Whether the label has to be monitored.
    pub watch_pending: bool,
    /// The bytes of the answer.
    pub proof_bytes: usize,
    /// How long verifying it took.
    pub verified_in: Duration,
}

impl Context {
    /// Searches for a label's greatest version, or for `version`, and retains what the answer proves about the log.
    ///
    /// # Errors
    /// The verdicts of a look-up. Nothing is retained then, but for evidence.
    pub async fn search(&mut self, label: &[u8], version: Option<u32>) -> Result<Found, Failure> {
        label::check(label).map_err(|error| Failure::new(Verdict::Usage, "label", error))?;
        let request = self.verifier.search_request(&self.state, label, version);
        match self.ask(&request).await {
            Ok(response) => self.take_response(&request, response).await,
            Err(error) => Err(self.not_answered(&request, error).await),
        }
    }

    /// Verifies a response and retains what it proves about the log.
    ///
    /// # Errors
    /// The verdicts of a look-up. Nothing is retained then, but for evidence.
    pub(super) async fn take_response(
        &mut self,
        request: &SearchRequest,
        response: Vec<u8>,
    ) -> Result<Found, Failure> {
        let proof_bytes = response.len();
        let response = Unverified::from_wire(response);
        let start = Instant::now();
        let verified = proven::search(&self.verifier, &self.state, request, &response, now());
        let verified_in = start.elapsed();
        let Search { value, head, terminal, watch_pending, update } = match verified {
            Ok(search) => search,
            Err(error) if may_be_a_fork(&error) => {
                return Err(self.reconcile(self.search_in_quarantine(request), error.into()).await);
            }
            Err(error) => return Err(self.refused(error)),
        };
        let value = match value {
            Witnessing::Witnessed(value) => value,
            Witnessing::Unwitnessed(value) if self.trust_without_witnesses => value.trust_the_log_alone(),
            Witnessing::Unwitnessed(_) => return Err(no_quorum_required()),
        };
        self.retain(update)?;
        Ok(Found { value, head, terminal, watch_pending, proof_bytes, verified_in })
    }

    /// Sends a search and gives the answer's bytes.
    async fn ask(&self, request: &SearchRequest) -> Result<Vec<u8>, SearchError> {
        let body = request.encode().map_err(|error| SearchError::Request(VerifyError::from(error)))?;
        let answer = self.server.send(MAX_SEARCH_RESPONSE, Request::post("v1/search", OCTETS, body));
        answer.await.map_err(SearchError::Http)
    }

    /// What the lack of an answer means.
    async fn not_answered(&self, request: &SearchRequest, error: SearchError) -> Failure {
        let error = match error {
            SearchError::Request(error) => return error.into(),
            SearchError::Http(error) => error,
        };
        match error.known_problem() {
            Some(problem) => self.refused_with(request, problem, || error.into()).await,
            None => error.into(),
        }
    }

    /// What it means that the log refuses a search for `problem`; `otherwise` where it means nothing about the log.
    pub(super) async fn refused_with(
        &self,
        request: &SearchRequest,
        problem: Problem,
        otherwise: impl FnOnce() -> Failure,
    ) -> Failure {
        match problem {
            Problem::LastBeyondTree => {
                self.reconcile(self.search_in_quarantine(request), tree_shrank()).await
            }
            problem => self.absence(&request.label, request.version, problem).unwrap_or_else(otherwise),
        }
    }

    /// Searches without saying what is retained, and verifies the answer without asking for witnesses: the head that the
    /// log now shows, to be compared and never used.
    ///
    /// # Errors
    /// Why there is no such head.
    pub(super) async fn search_in_quarantine(&self, request: &SearchRequest) -> Result<ShownHead, Failure> {
        let nothing = UserState::default();
        let request = SearchRequest { last: None, ..request.clone() };
        let response = match self.ask(&request).await {
            Ok(response) => Unverified::from_wire(response),
            Err(SearchError::Request(error)) => return Err(error.into()),
            Err(SearchError::Http(error)) => return Err(error.into()),
        };
        let search = proven::search(&self.quarantine, &nothing, &request, &response, now())?;
        Ok(ShownHead { head: search.head, update: search.update })
    }
}

/// Why there is no answer.
enum SearchError {
    Request(VerifyError),
    Http(HttpError),
}

/// Whether an answer that does not verify may be one of another history than the retained one. What is merely too old, not
/// witnessed or not decodable is not.
pub(super) fn may_be_a_fork(error: &VerifyError) -> bool {
    match error {
        VerifyError::Head(
            HeadError::TooFarAhead(_)
            | HeadError::TooFarBehind(_)
            | HeadError::NothingToKeep
            | HeadError::Judge(JudgeError::QuorumNotMet { .. }),
        )
        | VerifyError::Violation(Violation::NotFound | Violation::Expired)
        | VerifyError::Wire(_)
        | VerifyError::WrongState => false,
        VerifyError::Head(_)
        | VerifyError::Proof(_)
        | VerifyError::Violation(_)
        | VerifyError::Rewritten(_) => true,
        _ => false,
    }
}
