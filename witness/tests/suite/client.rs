//! Just enough of an HTTP client: one connection, kept alive.

use std::net::SocketAddr;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    http::response::Parts,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub media_type: String,
    pub retry_after: Option<String>,
    pub body: String,
}

impl Answer {
    /// The `type` of problem details.
    pub fn problem(&self) -> String {
        assert_eq!(self.media_type, "application/problem+json", "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(!body["title"].as_str().unwrap().is_empty());
        let slug = body["type"].as_str().unwrap().strip_prefix("urn:keyglass:problem:").unwrap();
        slug.to_owned()
    }
}

/// A request that can be sent to a router or over a connection.
pub fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).header("host", "witness").body(body.into()).unwrap()
}

/// Reads a router's response.
pub async fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    answer(&parts, &body)
}

fn answer(parts: &Parts, body: &[u8]) -> Answer {
    let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Answer {
        status: parts.status,
        media_type: header("content-type").unwrap_or_default(),
        retry_after: header("retry-after"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// A connection to a witness.
pub struct Connection(SendRequest<Body>);

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends a request; an error if the server dies first.
    pub async fn send(&mut self, method: Method, path: &str, body: String) -> Result<Answer, hyper::Error> {
        self.0.ready().await?;
        let response = self.0.send_request(request(method, path, body)).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(answer(&parts, &body))
    }
}
