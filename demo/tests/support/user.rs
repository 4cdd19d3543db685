//! A user who verifies everything and keeps one state for good.

use std::sync::Arc;

use keyglass_demo::system::System;
use keyglass_keytrans::{
    client::{
        CreatedVersions, SearchResult, UserState, VerifiedHead, Verifier, VerifyError,
        decode_update_responses,
    },
    ibst,
    wire::{OwnerInitRequest, SearchRequest, UpdateRequest},
};

use super::now;

/// Who is trusted, and what was seen.
#[derive(Debug, Clone)]
pub struct User {
    pub verifier: Arc<Verifier>,
    pub state: UserState,
}

/// The verifier of the system's users.
pub fn verifier(system: &System) -> Arc<Verifier> {
    let configuration = std::fs::read(&system.log.configuration).unwrap();
    let policy = std::fs::read(&system.policy).unwrap();
    Arc::new(Verifier::new(&configuration, Some(&policy)).unwrap())
}

impl User {
    /// A user who has seen nothing yet.
    pub fn new(verifier: &Arc<Verifier>) -> Self {
        Self { verifier: Arc::clone(verifier), state: UserState::default() }
    }

    pub fn search_request(&self, label: &[u8], version: Option<u32>) -> SearchRequest {
        self.verifier.search_request(&self.state, label, version)
    }

    /// Verifies and retains what a search was answered.
    ///
    /// # Errors
    /// The answer is not to be believed.
    pub fn searched(
        &mut self,
        request: &SearchRequest,
        answer: &[u8],
    ) -> Result<(SearchResult, VerifiedHead), VerifyError> {
        let verified = self.verifier.verify_search(&self.state, request, answer, now())?;
        self.state.apply(verified.update);
        Ok((verified.result, verified.head))
    }

    /// The request to begin owning a label at the root of the implicit search tree, which is always distinguished.
    pub fn owner_init_request(&self, label: &[u8]) -> OwnerInitRequest {
        let start = self.state.last().map_or(0, ibst::root);
        self.verifier.owner_init_request(&self.state, label, start)
    }

    /// Verifies and retains what it was answered.
    ///
    /// # Errors
    /// The answer is not to be believed.
    pub fn owns(&mut self, request: &OwnerInitRequest, answer: &[u8]) -> Result<VerifiedHead, VerifyError> {
        let verified = self.verifier.verify_owner_init(&self.state, request, answer, now())?;
        self.state.apply(verified.update);
        Ok(verified.head)
    }

    /// The request to store a value under an owned label.
    pub fn update_request(&self, label: &[u8], value: Vec<u8>) -> UpdateRequest {
        self.verifier.update_request(&self.state, label, vec![value]).unwrap()
    }

    /// Verifies and retains what an update was answered: what each log entry created, under which head.
    ///
    /// # Errors
    /// The answer is not to be believed.
    pub fn updated(
        &mut self,
        request: &UpdateRequest,
        answer: &[u8],
    ) -> Result<Vec<(CreatedVersions, VerifiedHead)>, VerifyError> {
        let mut request = request.clone();
        let mut created = Vec::new();
        for response in decode_update_responses(answer, self.verifier.response_context())? {
            let verified = self.verifier.verify_update(&self.state, &request, &response, now())?;
            self.state.apply(verified.update);
            request = self.verifier.next_update_request(&self.state, &request, &verified.result).unwrap();
            created.push((verified.result, verified.head));
        }
        Ok(created)
    }
}
