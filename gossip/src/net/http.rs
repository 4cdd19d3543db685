//! GET, with bounds: an answer is read to a limit, within a deadline, and from the address that was asked only.

use std::time::Duration;

use reqwest::{Certificate, StatusCode, Url};
use thiserror::Error;

/// How long servers give a peer, or a log, for one answer.
pub const PEER_DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no answer to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FetchError {
    /// Not an address.
    #[error("not an address")]
    Address,
    /// No complete answer within the deadline.
    #[error("no complete answer within the deadline")]
    Deadline,
    /// No connection, or one that broke.
    #[error("no connection, or one that broke")]
    Unreachable,
    /// Another status than 200. Redirections are not followed.
    #[error("answered with status {0}")]
    Status(u16),
    /// More bytes than an honest answer has, or encoded ones, which nobody asked for.
    #[error("the answer is longer than {limit} bytes, or encoded")]
    TooLong {
        /// The most bytes of an honest answer.
        limit: usize,
    },
}

/// An HTTP client with bounds.
#[derive(Debug, Clone)]
pub struct Fetch {
    client: reqwest::Client,
    deadline: Duration,
}

impl Fetch {
    /// A client whose every request ends within `deadline`, and that trusts these certificate authorities (DER) beside the
    /// system's.
    ///
    /// # Errors
    /// What the TLS library says.
    pub fn new(deadline: Duration, roots: &[&[u8]]) -> Result<Self, reqwest::Error> {
        let roots = roots.iter().map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("keyglass-gossip/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(deadline)
            .pool_max_idle_per_host(1)
            .tls_certs_merge(roots)
            .build()?;
        Ok(Self { client, deadline })
    }

    /// The body of a 200 answer at `prefix` + `path`, of at most `limit` bytes.
    pub(super) async fn get(&self, prefix: &str, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let url: Url = format!("{prefix}{path}").parse().map_err(|_| FetchError::Address)?;
        let answered = tokio::time::timeout(self.deadline, self.answer(url, limit)).await;
        answered.map_err(|_| FetchError::Deadline)?
    }

    async fn answer(&self, url: Url, limit: usize) -> Result<Vec<u8>, FetchError> {
        let failed = |error: &reqwest::Error| {
            if error.is_timeout() { FetchError::Deadline } else { FetchError::Unreachable }
        };
        let mut response = self.client.get(url).send().await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let encoding = response.headers().get(reqwest::header::CONTENT_ENCODING);
        let claimed = response.content_length().and_then(|length| usize::try_from(length).ok());
        if encoding.is_some_and(|encoding| encoding != "identity")
            || claimed.is_some_and(|length| length > limit)
        {
            return Err(FetchError::TooLong { limit });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(FetchError::TooLong { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
