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
    context::{Context, now},
    outcome::Failure,
    reconcile::{Question, ShownHead},
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
        let response = match self.ask(&request).await {
            Ok(response) => response,
            Err(error) => return Err(self.not_answered(&request, error).await),
        };
        let proof_bytes = response.len();
        let response = Unverified::from_wire(response);
        let start = Instant::now();
        let verified = proven::search(&self.verifier, &self.state, &request, &response, now());
        let verified_in = start.elapsed();
        let Search { value, head, watch_pending, update } = match verified {
            Ok(search) => search,
            Err(error) if may_be_a_fork(&error) => {
                return Err(self.reconcile(&Question::Search(&request), error.into()).await);
            }
            Err(error) => return Err(self.refused(error)),
        };
        let value = match value {
            Witnessing::Witnessed(value) => value,
            Witnessing::Unwitnessed(value) if self.trust_without_witnesses => value.trust_the_log_alone(),
            Witnessing::Unwitnessed(_) => {
                let message = "the policy requires no witness, so that nobody but the log vouches for this head; \
                               --trust-without-witnesses goes on all the same";
                return Err(Failure::new(Verdict::Unwitnessed, "no_quorum_required", message));
            }
        };
        self.retain(update)?;
        Ok(Found { value, head, watch_pending, proof_bytes, verified_in })
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
        let HttpError::Declined(problem) = &error else {
            return error.into();
        };
        let name = String::from_utf8_lossy(&request.label);
        match Problem::ALL.iter().find(|known| known.uri() == problem.kind) {
            Some(Problem::UnknownLabel) if self.contacts.by_label.contains_key(&*name) => {
                let message = "the log says that it has no such label, and has proven it to this home before";
                Failure::new(Verdict::Invalid, "label_denied", message)
            }
            Some(Problem::UnknownLabel) => {
                Failure::new(Verdict::NotFound, "unknown_label", "the log says that it has no such label")
            }
            Some(Problem::UnknownVersion) => Failure::new(
                Verdict::NotFound,
                "unknown_version",
                "the log says that the label has no such version",
            ),
            Some(Problem::ErasedVersion) => {
                Failure::new(Verdict::NotFound, "erased_version", "the log says that the version was erased")
            }
            Some(Problem::ExpiredVersion) => Failure::new(
                Verdict::NotFound,
                "expired_version",
                "the log says that the version has expired",
            ),
            Some(Problem::LastBeyondTree) => {
                let message = "the log says that its tree is smaller than it was";
                let failure = Failure::new(Verdict::Unreconciled, "tree_shrank", message);
                self.reconcile(&Question::Search(request), failure).await
            }
            _ => error.into(),
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
