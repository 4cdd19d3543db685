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

impl Api {
    pub fn new(base: &str, origin: &str) -> Self {
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, base: base.to_owned(), origin: origin.to_owned() }
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some((media_type, body)) = body {
            request = request.header(CONTENT_TYPE, media_type).body(body);
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

    pub async fn get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        self.send(Method::GET, path, None, None).await
    }

    /// One of the draft's operations.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn operation(&self, path: &str, request: Vec<u8>) -> Result<Answer, reqwest::Error> {
        self.send(Method::POST, path, None, Some((OCTETS, request))).await
    }

    /// A JSON request with a token.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn with_token(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let body = (!body.is_empty()).then_some((JSON, body));
        self.send(method, path, Some(token), body).await
    }

    /// A JSON request that a device signs, anew each time.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn signed(
        &self,
        method: Method,
        path: &str,
        device: &Device,
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let header = self.credential(&method, path, device, &body).to_header();
        self.with_token(method, path, &header, body).await
    }

    /// A device's signature over a request.
    pub fn credential(&self, method: &Method, path: &str, device: &Device, body: &[u8]) -> Credential {
        let request = Request { origin: &self.origin, method: method.as_str(), path, body };
        Credential::sign(&request, &device.label, device.id, &device.signing_key, now(), rand::random())
    }
}
