//! A server between users and the honest log-server, which changes answers on their way.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Longest body that is passed on.
const MAX_BODY: usize = 1 << 20;

/// A request as the lie sees it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Its path with the query.
    pub path: String,
    /// Its body.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: Option<header::HeaderValue>,
    /// Its body.
    pub body: Bytes,
}

/// What becomes of an honest answer.
pub type Lie = Arc<dyn Fn(&Asked, Answered) -> Answered + Send + Sync>;

struct Upstream {
    url: String,
    client: reqwest::Client,
    lie: Lie,
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy of the server at `url`, on a port that the system picks.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(url: &str, lie: Lie) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(std::io::Error::other)?;
        let upstream = Arc::new(Upstream { url: url.to_owned(), client, lie });
        let router = Router::new().fallback(pass_on).with_state(upstream);
        let task = tokio::spawn(async move {
            // It ends with the task: nothing is left to report to.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn pass_on(State(upstream): State<Arc<Upstream>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let asked = Asked { method: parts.method, path, body };
    match ask(&upstream, &asked, parts.headers).await {
        Ok(answered) => {
            let answered = (upstream.lie)(&asked, answered);
            let mut response = Response::new(Body::from(answered.body));
            *response.status_mut() = answered.status;
            if let Some(content_type) = answered.content_type {
                response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            }
            response
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn ask(upstream: &Upstream, asked: &Asked, mut headers: HeaderMap) -> reqwest::Result<Answered> {
    for hop in [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
        headers.remove(hop);
    }
    let url = format!("{}{}", upstream.url, asked.path);
    let response = upstream
        .client
        .request(asked.method.clone(), url)
        .headers(headers)
        .body(asked.body.clone())
        .send()
        .await?;
    Ok(Answered {
        status: response.status(),
        content_type: response.headers().get(header::CONTENT_TYPE).cloned(),
        body: response.bytes().await?,
    })
}
