//! The draft's operations: TLS structures as `application/octet-stream`, both ways.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use keyglass_account::{
    problem::Problem,
    search_many::{SEARCH_MANY, SearchManyRequest},
};
use keyglass_keytrans::wire::{
    ContactMonitorRequest, DistinguishedRequest, OwnerInitRequest, OwnerMonitorRequest, SearchRequest,
    UpdateRequest, Wire,
};

use super::failure::Failure;
use crate::{
    answers::{self, Question},
    log::Log,
    updates,
    values::Author,
};

/// The media type of requests and answers.
pub(super) const MEDIA_TYPE: &str = "application/octet-stream";

/// The longest question in bytes: a label, and the 255 entries of a monitoring map.
const MAX_QUESTION: usize = 4096;

/// The longest question about many labels, in bytes.
const MAX_SEARCH_MANY: usize = 16 * 1024;

/// The longest update in bytes: several records of the greatest length, or many of a usual one.
pub const MAX_UPDATE: usize = super::body::MAX_BODY;

/// `GET /v1/configuration` and `POST /v1/...` for each operation.
pub fn router(log: Arc<Log>) -> Router {
    Router::new()
        .route("/v1/configuration", get(configuration))
        .route("/v1/search", post(question::<SearchRequest>))
        .route(SEARCH_MANY, post(search_many))
        .route("/v1/contact-monitor", post(question::<ContactMonitorRequest>))
        .route("/v1/owner-init", post(question::<OwnerInitRequest>))
        .route("/v1/owner-monitor", post(question::<OwnerMonitorRequest>))
        .route("/v1/distinguished", post(question::<DistinguishedRequest>))
        .route("/v1/update", post(update))
        .with_state(log)
}

async fn configuration(State(log): State<Arc<Log>>) -> Response {
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, log.encoded_configuration().to_vec()).into_response()
}

async fn question<Q: Question>(State(log): State<Arc<Log>>, request: Request) -> Result<Response, Failure> {
    let question = decode::<Q>(&log, request, MAX_QUESTION).await?;
    Ok(encoded(answers::answer(&log, question).await?))
}

async fn search_many(State(log): State<Arc<Log>>, request: Request) -> Result<Response, Failure> {
    let body = octets(request, MAX_SEARCH_MANY).await?;
    let request =
        SearchManyRequest::decode(&body).map_err(|error| Failure::new(error.into()).because(error))?;
    Ok(encoded(answers::search_many(&log, request).await?))
}

async fn update(State(log): State<Arc<Log>>, request: Request) -> Result<Response, Failure> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = decode::<UpdateRequest>(&log, request, MAX_UPDATE).await?;
    Ok(encoded(updates::update(&log, request, Author::Owner, authorization).await?))
}

fn encoded(answer: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, answer).into_response()
}

async fn decode<T: Wire>(log: &Log, request: Request<Body>, limit: usize) -> Result<T, Failure> {
    let body = octets(request, limit).await?;
    T::decode(&body, log.context()).map_err(answers::undecodable)
}

async fn octets(request: Request<Body>, limit: usize) -> Result<Bytes, Failure> {
    if !is_octets(request.headers()) {
        let wanted = format!("the body must be {MEDIA_TYPE}");
        return Err(Failure::new(Problem::UnsupportedMediaType).because(wanted));
    }
    let too_large = || Failure::new(Problem::BodyTooLarge).because(format!("at most {limit} bytes are read"));
    to_bytes(request.into_body(), limit).await.map_err(|_| too_large())
}

fn is_octets(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}
