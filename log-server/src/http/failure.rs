//! Errors as RFC 9457 problem details.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use keyglass_account::problem::{MEDIA_TYPE, Problem};

/// A refusal on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    problem: Problem,
    detail: Option<String>,
    retry_after: Option<u32>,
}

impl Failure {
    /// A refusal for this cause.
    #[must_use]
    pub fn new(problem: Problem) -> Self {
        Self { problem, detail: None, retry_after: None }
    }

    /// Adds what is special to this occurrence.
    #[must_use]
    pub fn because(mut self, detail: impl core::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Asks the client to come back after this many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The cause.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// What is special to this occurrence.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let details = self.problem.details(self.detail);
        // Strings and a number always have a JSON form.
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = (status, body).into_response();
        // For what counts refusals.
        response.extensions_mut().insert(self.problem);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
