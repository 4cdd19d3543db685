//! Errors over HTTP: RFC 9457 problem details, with one stable `type` for each cause.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{followed::Refusal, head::HeadError};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A cause for which a request is refused. The URIs and statuses never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No such path, or no such evidence.
    NotFound,
    /// The path exists, not for this method.
    MethodNotAllowed,
    /// The body is longer than any note.
    BodyTooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The body is not `text/plain`.
    UnsupportedMediaType,
    /// The caller asks too often.
    RateLimited,
    /// The auditor is busy or has not finished a round, or has no room for another head.
    Unavailable,
    /// The auditor failed; nothing was changed.
    Internal,
    /// The body is not a checkpoint in a signed note.
    MalformedHead,
    /// The checkpoint is of another log.
    UnknownLog,
    /// The log has not signed the checkpoint.
    HeadNotSigned,
    /// The body is not a file of evidence.
    MalformedEvidence,
    /// The evidence does not convict the log.
    NotProven,
    /// The query is not the one of the endpoint.
    MalformedQuery,
    /// The log's configuration names another auditor, or none.
    NotTheAuditor,
    /// No head was signed yet.
    NothingSigned,
}

impl Problem {
    /// The URI in the member `type`.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::NotFound => "urn:keyglass:problem:not-found",
            Self::MethodNotAllowed => "urn:keyglass:problem:method-not-allowed",
            Self::BodyTooLarge => "urn:keyglass:problem:body-too-large",
            Self::TooSlow => "urn:keyglass:problem:too-slow",
            Self::UnsupportedMediaType => "urn:keyglass:problem:unsupported-media-type",
            Self::RateLimited => "urn:keyglass:problem:rate-limited",
            Self::Unavailable => "urn:keyglass:problem:unavailable",
            Self::Internal => "urn:keyglass:problem:internal",
            Self::MalformedHead => "urn:keyglass:problem:malformed-head",
            Self::UnknownLog => "urn:keyglass:problem:unknown-log",
            Self::HeadNotSigned => "urn:keyglass:problem:head-not-signed",
            Self::MalformedEvidence => "urn:keyglass:problem:malformed-evidence",
            Self::NotProven => "urn:keyglass:problem:not-proven",
            Self::MalformedQuery => "urn:keyglass:problem:malformed-query",
            Self::NotTheAuditor => "urn:keyglass:problem:not-the-auditor",
            Self::NothingSigned => "urn:keyglass:problem:nothing-signed",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownLog | Self::NotTheAuditor => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::NothingSigned => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MalformedHead | Self::MalformedEvidence | Self::MalformedQuery => StatusCode::BAD_REQUEST,
            Self::HeadNotSigned | Self::NotProven => StatusCode::FORBIDDEN,
        }
    }

    /// The member `title`: the same for every occurrence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "This path has no such method",
            Self::BodyTooLarge => "The body is larger than any note or evidence",
            Self::TooSlow => "The request did not arrive in time",
            Self::UnsupportedMediaType => "A head is reported as text/plain",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "The auditor cannot answer now",
            Self::Internal => "The auditor failed",
            Self::MalformedHead => "The body is not a checkpoint in a signed note",
            Self::UnknownLog => "This auditor does not follow that log",
            Self::HeadNotSigned => "The log has not signed that checkpoint",
            Self::MalformedEvidence => "The body is not a file of evidence",
            Self::NotProven => "The evidence does not convict the log",
            Self::MalformedQuery => {
                "The query must be log=, the SHA-256 of the log's configuration in hexadecimal"
            }
            Self::NotTheAuditor => "The log's configuration does not name this auditor",
            Self::NothingSigned => "This auditor has not signed a head of the log yet",
        }
    }
}

impl From<HeadError> for Problem {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Note(_) | HeadError::Checkpoint(_) => Self::MalformedHead,
            HeadError::OtherOrigin => Self::UnknownLog,
            HeadError::NotSigned => Self::HeadNotSigned,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Head(error) => error.into(),
            Refusal::Evidence(_) => Self::MalformedEvidence,
            Refusal::Unproven => Self::NotProven,
            Refusal::Unavailable | Refusal::NoRoom => Self::Unavailable,
            Refusal::Failed => Self::Internal,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({ "type": self.uri(), "title": self.title(), "status": status.as_u16() });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::RateLimited | Self::Unavailable | Self::NothingSigned) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
