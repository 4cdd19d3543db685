//! HTTP to a server, one attempt at a time: what is retried, and when, is the test's business.

use std::time::Duration;

use keyglass_account::{
    auth::{Credential, Request},
    problem::{MEDIA_TYPE, Problem, ProblemDetails},
};
use reqwest::{
    Client, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{account::Device, now};

pub const OCTETS: &str = "application/octet-stream";
pub const JSON: &str = "application/json";

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A server and the log that it serves.
#[derive(Debug, Clone)]
pub struct Api {
    http: Client,
    pub base: String,
    pub origin: String,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub media_type: String,
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The problem, if the answer is one of ours in the form of RFC 9457, with its own status.
    pub fn problem(&self) -> Option<Problem> {
        let details: ProblemDetails = serde_json::from_slice(&self.body).ok()?;
        let problem = details.problem().filter(|_| self.media_type == MEDIA_TYPE)?;
        (problem.status() == self.status && details.status == Some(self.status)).then_some(problem)
    }

    pub fn json<T: DeserializeOwned>(&self) -> T {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Asker<'a> {
    Nobody,
    /// The value of the `Authorization` header.
    Header(&'a str),
    /// A device that signs the request, anew for each attempt.
    Device(&'a Device),
}

/// A request, which can be sent again.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub asker: Asker<'a>,
    pub media_type: &'a str,
    pub body: Vec<u8>,
}

impl<'a> Call<'a> {
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, asker: Asker::Nobody, media_type: JSON, body: Vec::new() }
    }

    /// One of the draft's operations.
    pub fn operation(path: &'a str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, asker: Asker::Nobody, media_type: OCTETS, body }
    }

    /// A JSON request with a token.
    pub fn with_token(method: Method, path: &'a str, token: &'a str, body: Vec<u8>) -> Self {
        Self { method, path, asker: Asker::Header(token), media_type: JSON, body }
    }

    /// A JSON request that a device signs.
    pub fn signed(method: Method, path: &'a str, device: &'a Device, body: Vec<u8>) -> Self {
        Self { method, path, asker: Asker::Device(device), media_type: JSON, body }
    }
}

impl Api {
    pub fn new(base: &str, origin: &str) -> Self {
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, base: base.to_owned(), origin: origin.to_owned() }
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn attempt(&self, call: &Call<'_>) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(call.method.clone(), format!("{}{}", self.base, call.path));
        request = match call.asker {
            Asker::Nobody => request,
            Asker::Header(header) => request.header(AUTHORIZATION, header),
            Asker::Device(device) => {
                let credential = self.credential(&call.method, call.path, device, &call.body);
                request.header(AUTHORIZATION, credential.to_header())
            }
        };
        if !call.body.is_empty() || call.media_type == OCTETS {
            request = request.header(CONTENT_TYPE, call.media_type).body(call.body.clone());
        }
        let response = request.send().await?;
        let text = |headers: &HeaderMap, name| headers.get(name)?.to_str().ok().map(str::to_owned);
        Ok(Answer {
            status: response.status().as_u16(),
            media_type: text(response.headers(), CONTENT_TYPE).unwrap_or_default(),
            retry_after: text(response.headers(), RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Sends a request once to a server that must answer.
    pub async fn call(&self, call: Call<'_>) -> Answer {
        self.attempt(&call).await.unwrap_or_else(|error| panic!("{} {}: {error:?}", call.method, call.path))
    }

    /// A device's signature over a request.
    pub fn credential(&self, method: &Method, path: &str, device: &Device, body: &[u8]) -> Credential {
        let request = Request { origin: &self.origin, method: method.as_str(), path, body };
        Credential::sign(&request, &device.label, device.id, &device.signing_key, now(), rand::random())
    }
}
