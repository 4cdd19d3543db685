//! Bytes in, domain call, status table out. Who answers is behind [`Responder`]: the honest [`crate::service::Witness`] in
//! the program, a liar in a test.

mod answer;
mod status;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use keyglass_gossip::evidence::EvidenceId;
use keyglass_service::server;
use keyglass_tlog::{
    time::UnixSeconds,
    witness::{AddCheckpoint, MAX_REQUEST_LEN},
};

pub use self::{
    answer::{Answer, Problem},
    status::{Last, ROWS, Row, Status},
};
use crate::{decide::Refusal, head::OriginHash, metrics::Metrics};
pub use keyglass_service::server::Server;

/// What connections may take. A log needs one; requests are short, and a witness that stops lets them finish.
pub const CONNECTIONS: server::Limits = server::Limits {
    connections: 1024,
    per_address: 256,
    handshake: Duration::from_secs(10),
    head_time: Duration::from_secs(60),
    head_len: 64 * 1024,
    grace: Duration::from_secs(3),
};

/// Serves plain HTTP on an address, without counting connections: what a test or a demonstration needs. Must be called
/// within a tokio runtime.
///
/// # Errors
/// The address cannot be taken.
pub fn serve(address: SocketAddr, router: Router) -> io::Result<Server> {
    Server::plain(server::bind(address)?, router)
}

/// What a client may take of the server's time and memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long a body may be, in bytes.
    pub body_len: usize,
}

impl Default for Limits {
    /// Ten seconds, and what the longest request needs.
    fn default() -> Self {
        Self { body_timeout: Duration::from_secs(10), body_len: MAX_REQUEST_LEN }
    }
}

/// When the logs of the policy were cosigned last; all 0 if there is nothing to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// The time of the log that was cosigned last.
    pub newest: UnixSeconds,
    /// The time of the log that was not cosigned for the longest time.
    pub oldest: UnixSeconds,
    /// Logs that were never cosigned.
    pub never: usize,
}

/// Whoever answers for a witness.
pub trait Responder: Send + Sync + 'static {
    /// Answers an add-checkpoint request. It is run to its end even if the client has gone.
    fn add_checkpoint(&self, request: AddCheckpoint) -> impl Future<Output = Answer> + Send;

    /// Answers with the last cosigned checkpoint of a log.
    fn latest(&self, origin: OriginHash) -> impl Future<Output = Answer> + Send;

    /// Why requests cannot be expected to succeed, in words for the operator; `None` if they can.
    fn unready(&self) -> Option<&'static str>;

    /// What the page of this number shows, from 1; a page beyond the last has no rows. `None` if there is no such page.
    fn status(&self, page: usize) -> Option<Status> {
        let _ = page;
        None
    }

    /// The list of evidence that is held, from after this name; `None` if evidence is nothing that this party keeps.
    fn evidence_list(&self, after: Option<EvidenceId>) -> Option<String> {
        let _ = after;
        None
    }

    /// Answers with evidence. May wait for the disk.
    fn evidence(&self, id: &EvidenceId) -> Answer {
        let _ = id;
        Answer::Problem(Problem::NO_SUCH_PATH)
    }

    /// When the logs of the policy were cosigned last.
    fn ages(&self) -> Ages {
        Ages::default()
    }
}

struct Endpoints<R> {
    responder: Arc<R>,
    metrics: Arc<Metrics>,
    limits: Limits,
}

impl<R> Clone for Endpoints<R> {
    fn clone(&self) -> Self {
        Self {
            responder: Arc::clone(&self.responder),
            metrics: Arc::clone(&self.metrics),
            limits: self.limits,
        }
    }
}

/// The endpoints of a witness: submission and monitoring under one prefix, and those for its operator.
pub fn router<R: Responder>(responder: Arc<R>, metrics: Arc<Metrics>, limits: Limits) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint::<R>))
        .route("/{origin_hash}/checkpoint", get(checkpoint::<R>))
        .route("/gossip/v1/evidence", get(evidence_list::<R>))
        .route("/gossip/v1/evidence/{id}", get(evidence::<R>))
        .route("/", get(status::page::<R>))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::<R>))
        .route("/metrics", get(metrics_text::<R>))
        .fallback(async || Answer::Problem(Problem::NO_SUCH_PATH))
        .method_not_allowed_fallback(async || Answer::Problem(Problem::WRONG_METHOD))
        .with_state(Endpoints { responder, metrics, limits })
}

async fn add_checkpoint<R: Responder>(State(endpoints): State<Endpoints<R>>, body: Body) -> Response {
    let timer = endpoints.metrics.start();
    let answer = answer_add_checkpoint(&endpoints, body).await;
    endpoints.metrics.answered(answer.outcome(), timer);
    answer.into_response()
}

async fn answer_add_checkpoint<R: Responder>(endpoints: &Endpoints<R>, body: Body) -> Answer {
    let Ok(read) =
        tokio::time::timeout(endpoints.limits.body_timeout, to_bytes(body, endpoints.limits.body_len)).await
    else {
        return Answer::Problem(Problem::BODY_TOO_SLOW);
    };
    let Ok(body) = read else {
        return Answer::Problem(Problem::BODY_TOO_LARGE);
    };
    let request = match AddCheckpoint::parse(&body) {
        Ok(request) => request,
        Err(error) => return Answer::Problem(Refusal::Malformed(error).into()),
    };
    // A task of its own: a client that hangs up must not stop a request between storing and signing.
    let responder = Arc::clone(&endpoints.responder);
    let answered = tokio::spawn(async move { responder.add_checkpoint(request).await }).await;
    answered.unwrap_or_else(|error| {
        tracing::error!(%error, "a request was not run to its end");
        Answer::Problem(Problem::STORE_FAILED)
    })
}

async fn checkpoint<R: Responder>(
    State(endpoints): State<Endpoints<R>>,
    Path(hash): Path<String>,
) -> Response {
    let answer = match parse_origin_hash(&hash) {
        Some(origin) => endpoints.responder.latest(origin).await,
        None => Answer::Problem(Problem::NO_SUCH_PATH),
    };
    answer.into_response()
}

/// The list of evidence; `after=NAME` is where it goes on.
async fn evidence_list<R: Responder>(
    State(endpoints): State<Endpoints<R>>,
    RawQuery(query): RawQuery,
) -> Response {
    let after = match query.as_deref() {
        None | Some("") => None,
        Some(query) => match query.strip_prefix("after=").and_then(EvidenceId::parse) {
            Some(id) => Some(id),
            None => return Problem::NO_SUCH_PATH.into_response(),
        },
    };
    let list = endpoints.responder.evidence_list(after);
    list.map_or(Answer::Problem(Problem::NO_SUCH_PATH), Answer::Evidence).into_response()
}

async fn evidence<R: Responder>(State(endpoints): State<Endpoints<R>>, Path(id): Path<String>) -> Response {
    let Some(id) = EvidenceId::parse(&id) else {
        return Problem::NO_SUCH_PATH.into_response();
    };
    let responder = endpoints.responder;
    let answer = tokio::task::spawn_blocking(move || responder.evidence(&id)).await;
    answer.unwrap_or(Answer::Problem(Problem::STORE_FAILED)).into_response()
}

/// Reads 64 lower-case hexadecimal digits.
fn parse_origin_hash(hash: &str) -> Option<OriginHash> {
    keyglass_gossip::hex::decode(hash).map(OriginHash)
}

async fn ready<R: Responder>(State(endpoints): State<Endpoints<R>>) -> Response {
    match endpoints.responder.unready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics_text<R: Responder>(State(endpoints): State<Endpoints<R>>) -> Response {
    // Reading all heads takes as long as there are logs: not on a thread that requests need, and not for every caller.
    if endpoints.metrics.ages_are_due() {
        let responder = Arc::clone(&endpoints.responder);
        if let Ok(ages) = tokio::task::spawn_blocking(move || responder.ages()).await {
            endpoints.metrics.ages(ages);
        }
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], endpoints.metrics.text()).into_response()
}
