//! Asking others, who may answer anything: every answer is bounded in bytes and in time, and typed when it is none.

mod log;
mod updates;
mod vantage;
mod witness;

use std::{io::Read as _, time::Duration};

use flate2::read::GzDecoder;
use keyglass_service::tls::CertificateDer;
use reqwest::{
    Certificate, StatusCode, Url,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use thiserror::Error;

pub use self::{
    log::{LogSource, NodesError},
    updates::{Ended, Fetched},
    vantage::{Seen, VantageSource},
    witness::{Shown, WitnessSource},
};

/// Why an address cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an http or https URL that paths can be appended to")]
pub struct AddressError;

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchError {
    /// No complete answer within the deadline.
    #[error("no complete answer within the deadline")]
    Deadline,
    /// No connection, or one that broke before the answer was complete.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// A refusal, with its HTTP status.
    #[error("refused with status {0}")]
    Status(u16),
    /// A redirection: the address is configured, and others are not asked in its name.
    #[error("redirected with status {0}; redirections are not followed")]
    Redirect(u16),
    /// More bytes than the resource can have.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The most bytes that an honest answer has.
        limit: usize,
    },
    /// Fewer bytes than the resource has.
    #[error("the answer is not {expected} bytes long")]
    WrongLength {
        /// The bytes of an honest answer.
        expected: usize,
    },
    /// A content encoding that was not asked for, or bytes that do not decode.
    #[error("the content encoding is unknown, or the body does not decode")]
    Encoding,
}

/// What a failure says about who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: there was no answer.
    Unreachable,
    /// It answers, and does not hand out what it must have.
    Withheld,
    /// It answers with what no honest party sends.
    Garbage,
}

impl FetchError {
    /// What it says about who was asked.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Deadline | Self::Unreachable(_) => Meaning::Unreachable,
            // 429 asks for patience.
            Self::Status(status) if (400..500).contains(status) && *status != 429 => Meaning::Withheld,
            Self::Status(_) => Meaning::Unreachable,
            Self::Redirect(_) | Self::TooLong { .. } | Self::WrongLength { .. } | Self::Encoding => {
                Meaning::Garbage
            }
        }
    }
}

/// An HTTP client with bounds.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    deadline: Duration,
}

impl Http {
    /// A client whose every request ends within `deadline`.
    ///
    /// # Errors
    /// What the TLS library says.
    pub fn new(deadline: Duration) -> Result<Self, reqwest::Error> {
        Self::trusting(deadline, &[])
    }

    /// As [`new`](Self::new), trusting these authorities beside the system's.
    ///
    /// # Errors
    /// What the TLS library says.
    pub fn trusting(deadline: Duration, roots: &[CertificateDer<'_>]) -> Result<Self, reqwest::Error> {
        let roots = roots.iter().map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("keyglass-auditor/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(deadline)
            .pool_max_idle_per_host(8)
            .tls_certs_merge(roots)
            .build()?;
        Ok(Self { client, deadline })
    }

    /// The body of a 200 answer, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get(&self, url: Url, limit: usize) -> Result<Vec<u8>, FetchError> {
        tokio::time::timeout(self.deadline, self.answer(url, limit))
            .await
            .map_err(|_| FetchError::Deadline)?
    }

    /// Hands the body of a 200 answer to `take` as it arrives, until that has enough, as it says by `false`.
    ///
    /// # Errors
    /// [`FetchError`]; what was handed over by then has arrived.
    pub async fn stream(&self, url: Url, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), FetchError> {
        let streamed = async {
            let mut response = self.request(url, "identity").await?;
            if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
                return Err(FetchError::Encoding);
            }
            while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
                if !take(&chunk) {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(self.deadline, streamed).await.map_err(|_| FetchError::Deadline)?
    }

    /// A 200 answer, whose body is still to come.
    async fn request(&self, url: Url, codings: &'static str) -> Result<reqwest::Response, FetchError> {
        let request = self.client.get(url).header(ACCEPT_ENCODING, codings);
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect(status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status.as_u16()));
        }
        Ok(response)
    }

    async fn answer(&self, url: Url, limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut response = self.request(url, "gzip, identity").await?;
        let gzip = match response.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"identity") => false,
            Some(coding) if coding.eq_ignore_ascii_case(b"gzip") => true,
            Some(_) => return Err(FetchError::Encoding),
        };
        // Compression of what cannot be compressed adds little.
        let wire_limit = if gzip { limit.saturating_add(1024) } else { limit };
        let too_long = FetchError::TooLong { limit };
        let claimed = response.content_length().and_then(|length| usize::try_from(length).ok());
        if claimed.is_some_and(|length| length > wire_limit) {
            return Err(too_long);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len().saturating_add(chunk.len()) > wire_limit {
                return Err(too_long);
            }
            body.extend_from_slice(&chunk);
        }
        if gzip { decompress(&body, limit) } else { Ok(body) }
    }
}

fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, FetchError> {
    let mut decoded = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(body).take(one_more).read_to_end(&mut decoded).map_err(|_| FetchError::Encoding)?;
    if decoded.len() > limit { Err(FetchError::TooLong { limit }) } else { Ok(decoded) }
}

fn unreachable(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Deadline;
    }
    // The library's own words name the URL only; the reason is at the end of the chain.
    let mut reason: &dyn core::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    FetchError::Unreachable(reason.to_string())
}

/// A URL to whose end paths can be appended.
fn prefix(url: &str) -> Result<Url, AddressError> {
    let mut url: Url = url.parse().map_err(|_| AddressError)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(AddressError);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}
