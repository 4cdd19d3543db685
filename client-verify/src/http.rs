//! Requests to the log-server: bounded, retried while that can help, and with typed errors.
//!
//! Every request of the protocol may be repeated: searches change nothing, and the others are idempotent. A refused or
//! broken connection, 503 and a rate limit are therefore tried again until the deadline; any other answer is final.

use std::time::Duration;

use reqwest::{
    Certificate, Client, Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde::Deserialize;
use thiserror::Error;
use tokio::time::Instant;

/// The first pause before a request is repeated; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause, unless the server asks for another with Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The most bytes of a problem document that are read.
const PROBLEM_LIMIT: usize = 16 << 10;

/// `application/octet-stream`, of the draft's structures.
pub const OCTETS: &str = "application/octet-stream";

/// `application/json`, of prekeys and mailboxes.
pub const JSON: &str = "application/json";

/// Why there is no answer to work with.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address is not one that requests can be sent to.
    #[error("the server's address is not an http or https URL")]
    Address,
    /// No connection, or none that lasted for an answer.
    #[error("{0}")]
    Unreachable(#[source] Transport),
    /// The server kept saying that it cannot answer now.
    #[error("the server is not ready: {0}")]
    Unavailable(Problem),
    /// The answer is longer than this request's answers can be.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The greatest acceptable length.
        limit: usize,
    },
    /// The server refused the request.
    #[error("{0}")]
    Declined(Problem),
}

impl HttpError {
    /// The cause for which the server refused the request, if it is one of the log-server's stable ones.
    #[must_use]
    pub fn known_problem(&self) -> Option<keyglass_account::problem::Problem> {
        let Self::Declined(problem) = self else {
            return None;
        };
        let mut known = keyglass_account::problem::Problem::ALL.iter();
        known.find(|known| known.uri() == problem.kind && known.status() == problem.status).copied()
    }
}

/// What went wrong below HTTP.
#[derive(Debug, Error)]
pub enum Transport {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection.
    #[error("cannot connect: {}", root(.0))]
    Connect(#[source] reqwest::Error),
    /// The connection broke.
    #[error("the connection broke: {}", root(.0))]
    Broken(#[source] reqwest::Error),
}

/// The innermost cause, which is the one that says something.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A problem document (RFC 9457), or what there was in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// The stable name of the cause; `about:blank` if the answer had none.
    pub kind: String,
    /// What it means, for people.
    pub title: String,
    /// More about this occurrence.
    pub detail: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.title, self.status, self.kind)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// The members of a problem document that are used.
#[derive(Deserialize)]
struct ProblemDocument {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
}

impl Problem {
    fn parse(status: StatusCode, body: &[u8]) -> Self {
        let document: Option<ProblemDocument> = serde_json::from_slice(body).ok();
        let (kind, title, detail) = document.map_or((None, None, None), |d| (d.kind, d.title, d.detail));
        Self {
            status: status.as_u16(),
            kind: printable(kind.unwrap_or_else(|| "about:blank".into())),
            title: printable(title.unwrap_or_else(|| status.canonical_reason().unwrap_or("refused").into())),
            detail: detail.map(printable),
        }
    }
}

/// A stranger's text as it may be shown on a terminal: [`one_line`], of bounded length.
#[must_use]
pub fn printable(text: String) -> String {
    one_line(&text).chars().take(300).collect()
}

/// A text in which spaces take the place of control characters, of line ends, and of characters that nobody sees and that
/// change what stands around them, such as those that turn the direction of writing.
#[must_use]
pub fn one_line(text: &str) -> String {
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if is_unseen(c) { ' ' } else { c }).collect()
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path below the server's address, without a leading slash.
    pub path: String,
    /// The body and its media type.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// Further headers.
    pub headers: HeaderMap,
}

impl Request {
    /// A GET.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, headers: HeaderMap::new() }
    }

    /// Sets the `Authorization` header. A value that cannot be one is left out, and the server then says so.
    #[must_use]
    pub fn authorized(mut self, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }

    /// A POST of `body`.
    #[must_use]
    pub fn post(path: impl Into<String>, media_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: Some((media_type, body)),
            headers: HeaderMap::new(),
        }
    }
}

/// A log-server, and how long to try.
#[derive(Debug, Clone)]
pub struct Server {
    client: Client,
    base: Url,
    patience: Duration,
}

impl Server {
    /// The server at `address`, whose requests are tried for `patience` each.
    ///
    /// # Errors
    /// [`HttpError::Address`].
    pub fn new(address: &str, patience: Duration) -> Result<Self, HttpError> {
        Self::trusting(address, patience, Vec::new())
    }

    /// As [`new`](Self::new), trusting these authorities beside the system's.
    ///
    /// # Errors
    /// [`HttpError::Address`].
    pub fn trusting(address: &str, patience: Duration, roots: Vec<Certificate>) -> Result<Self, HttpError> {
        let mut base = Url::parse(address).map_err(|_| HttpError::Address)?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(HttpError::Address);
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Redirects are not part of the protocol, and following one would send tokens elsewhere.
        let client = Client::builder().redirect(redirect::Policy::none()).tls_certs_merge(roots);
        let client = client.build().map_err(|_| HttpError::Address)?;
        Ok(Self { client, base, patience })
    }

    /// The request target of a path below the server's address: what a signed request covers.
    ///
    /// # Errors
    /// [`HttpError::Address`].
    pub fn target(&self, path: &str) -> Result<String, HttpError> {
        let url = self.base.join(path).map_err(|_| HttpError::Address)?;
        Ok(match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        })
    }

    /// The answer's body, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(&self, limit: usize, request: Request) -> Result<Vec<u8>, HttpError> {
        self.send_each(limit, || Ok(request.clone())).await
    }

    /// The answer's body, at most `limit` bytes of it, to the request that `make` makes for each attempt.
    ///
    /// # Errors
    /// [`HttpError`], or what `make` answers.
    pub async fn send_each<E: From<HttpError>>(
        &self,
        limit: usize,
        make: impl Fn() -> Result<Request, E>,
    ) -> Result<Vec<u8>, E> {
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let (error, wait) = match self.attempt(limit, make()?, deadline).await {
                Ok(body) => return Ok(body),
                Err(Attempt::Final(error)) => return Err(error.into()),
                Err(Attempt::Again { error, after }) => (error, after.unwrap_or(pause)),
            };
            // The server chooses how long, and not so long that no clock could tell.
            if Instant::now().checked_add(wait).is_none_or(|next| next >= deadline) {
                return Err(error.into());
            }
            tracing::debug!(%error, ?wait, "trying again");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, limit: usize, request: Request, deadline: Instant) -> Result<Vec<u8>, Attempt> {
        let url = self.base.join(&request.path).map_err(|_| Attempt::Final(HttpError::Address))?;
        let mut builder = self
            .client
            .request(request.method, url)
            .headers(request.headers)
            .timeout(deadline.saturating_duration_since(Instant::now()));
        if let Some((media_type, body)) = request.body {
            builder = builder.header(CONTENT_TYPE, media_type).body(body);
        }
        let response = builder.send().await.map_err(Attempt::transport)?;
        let status = response.status();
        let after = retry_after(response.headers());
        let limit = if status.is_success() { limit } else { PROBLEM_LIMIT };
        let body = bounded(response, limit).await?;
        if status.is_success() {
            return Ok(body);
        }
        let problem = Problem::parse(status, &body);
        let busy = problem.kind == keyglass_account::problem::Problem::RateLimited.uri();
        if status == StatusCode::SERVICE_UNAVAILABLE || busy {
            return Err(Attempt::Again { error: HttpError::Unavailable(problem), after });
        }
        Err(Attempt::Final(HttpError::Declined(problem)))
    }
}

/// How an attempt failed.
enum Attempt {
    Final(HttpError),
    Again { error: HttpError, after: Option<Duration> },
}

impl Attempt {
    fn transport(error: reqwest::Error) -> Self {
        let error = if error.is_builder() || error.is_redirect() {
            return Self::Final(HttpError::Address);
        } else if error.is_timeout() {
            Transport::Timeout
        } else if error.is_connect() {
            Transport::Connect(error)
        } else {
            Transport::Broken(error)
        };
        Self::Again { error: HttpError::Unreachable(error), after: None }
    }
}

/// The body, read no further than `limit` bytes.
async fn bounded(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Attempt> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Attempt::transport)? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(Attempt::Final(HttpError::TooLong { limit }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Retry-After in its form of seconds; dates are not used by the log-server.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_seen_for_what_it_is_becomes_a_space() {
        let hidden = "a\u{1b}[31mb\u{202e}c\u{2066}d\u{2028}e\u{9b}f\u{200b}g\u{feff}h\r\n\ti\u{e0041}";
        assert_eq!(one_line(hidden), "a [31mb c d e f g h   i ");
        // Letters of names, joiners and marks included, stay.
        for name in ["søren", "नमस्ते", "می\u{200c}خواهم", "שלום", "👩\u{200d}🚀"]
        {
            assert_eq!(one_line(name), name);
        }
        assert_eq!(printable("x".repeat(400)).len(), 300);
        assert_eq!(one_line(&"x".repeat(400)).len(), 400);
    }
}
