//! The status table.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use keyglass_gossip::{evidence::EvidenceId, listing};
use keyglass_tlog::{
    tile::CHECKPOINT_MEDIA_TYPE,
    witness::{SIZE_MEDIA_TYPE, format_size},
};
use serde::Serialize;

use crate::decide::Refusal;

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: signature lines.
    Cosignatures(String),
    /// 200: the last cosigned checkpoint.
    Checkpoint(String),
    /// 200: evidence, or a list of it.
    Evidence(String),
    /// 409: the size of the last cosigned checkpoint.
    Size(u64),
    /// Anything else that is not 200.
    Problem(Problem),
}

impl Answer {
    /// A stable name for metrics.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Cosignatures(_) => "cosigned",
            Self::Checkpoint(_) | Self::Evidence(_) => "served",
            Self::Size(_) => "old-size-conflict",
            Self::Problem(problem) => problem.slug,
        }
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status code.
    pub status: u16,
    /// The last part of the `type`, one for each cause.
    pub slug: &'static str,
    /// What went wrong, in the same words for every occurrence.
    pub title: &'static str,
    /// This occurrence, if there is more to say.
    pub detail: String,
    /// After how many seconds asking again may help.
    pub retry_after: Option<u32>,
}

impl Problem {
    const fn new(status: u16, slug: &'static str, title: &'static str) -> Self {
        Self { status, slug, title, detail: String::new(), retry_after: None }
    }

    const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// No such resource.
    pub const NO_SUCH_PATH: Self = Self::new(404, "no-such-path", "there is nothing at this path");
    /// The resource has other methods.
    pub const WRONG_METHOD: Self = Self::new(405, "wrong-method", "this path does not have this method");
    /// No checkpoint of the log was ever cosigned.
    pub const NEVER_COSIGNED: Self =
        Self::new(404, "never-cosigned", "no checkpoint of this log has been cosigned");
    /// The body is longer than any request.
    pub const BODY_TOO_LARGE: Self =
        Self::new(413, "body-too-large", "the body is longer than a request can be");
    /// The body did not arrive in time.
    pub const BODY_TOO_SLOW: Self = Self::new(408, "body-too-slow", "the body did not arrive in time");
    /// The log makes too many requests.
    pub const TOO_MANY_REQUESTS: Self =
        Self::new(429, "too-many-requests", "this log makes too many requests").retry_after(1);
    /// The head could not be read or stored.
    pub const STORE_FAILED: Self =
        Self::new(503, "store-failed", "the witness cannot keep its state at the moment").retry_after(5);
    /// The state for this log is older than what was signed for it.
    pub const STATE_ROLLED_BACK: Self = Self::new(
        503,
        "state-rolled-back",
        "the witness may have signed more for this log than its state says, and waits for its operator",
    )
    .retry_after(3600);
    /// Evidence against the log is held. tlog-witness has no status for a witness that will not go on with a log: those that
    /// it has say what is wrong with a request, and 503 that waiting helps. 423 (Locked) is none of them.
    #[must_use]
    pub fn evidence_held(id: &EvidenceId) -> Self {
        let title =
            "this witness holds evidence that the log signed two histories, and cosigns nothing of it";
        let detail =
            format!("The evidence is at /{}/{id}. The witness's operator can resolve it.", listing::PATH);
        Self { detail, ..Self::new(423, "evidence-held", title) }
    }
    /// The clock cannot be right.
    pub const CLOCK_JUMPED: Self =
        Self::new(503, "clock-jumped", "the witness's clock has jumped ahead").retry_after(60);
    /// The witness signs with ML-DSA-44 only, which has no cosignatures for such an origin.
    pub const ORIGIN_TOO_LONG: Self =
        Self::new(422, "origin-too-long", "the origin is longer than the cosignatures of this witness allow");
    /// The witness does not know the time.
    pub const NO_TIME: Self = Self::new(503, "no-time", "the witness's clock is not set").retry_after(60);
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let title = match &refusal {
            Refusal::Malformed(_) => "the body is not an add-checkpoint request",
            Refusal::UnknownOrigin => "the origin is not known to this witness",
            Refusal::NotSigned => "no trusted key of the log signed the checkpoint",
            Refusal::BadSignature => "a trusted key's signature does not verify",
            Refusal::OldSizeTooLarge => "the old size is larger than the checkpoint's size",
            Refusal::Conflict { .. } => "the old size is not that of the latest cosigned checkpoint",
            Refusal::WrongEmptyRoot => "the root is not that of the empty tree",
            Refusal::ProofNotEmpty => "the consistency proof from size 0 is not empty",
            Refusal::BadProof(_) => "the consistency proof does not verify",
            Refusal::RootsDiffer => "a checkpoint of this size and another root was cosigned before",
        };
        let detail = format!("{refusal}. tlog-witness: {}", refusal.sentence());
        Self { status: refusal.status(), slug: refusal.slug(), title, detail, retry_after: None }
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ProblemBody {
            r#type: format!("urn:keyglass:problem:{}", self.slug),
            title: self.title,
            status: self.status,
            detail: &self.detail,
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let typed = |status, media_type: &'static str, body: String| {
            (status, [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store")], body)
                .into_response()
        };
        match self {
            Self::Cosignatures(lines) => typed(StatusCode::OK, CHECKPOINT_MEDIA_TYPE, lines),
            Self::Checkpoint(note) => typed(StatusCode::OK, CHECKPOINT_MEDIA_TYPE, note),
            Self::Evidence(text) => typed(StatusCode::OK, listing::MEDIA_TYPE, text),
            Self::Size(size) => typed(StatusCode::CONFLICT, SIZE_MEDIA_TYPE, format_size(size)),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}
