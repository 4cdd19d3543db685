//! `POST /v1/tokens`.

use std::sync::Arc;

use axum::{Router, extract::State, response::Response, routing::post};
use keyglass_account::api::{MAX_BODY, TOKENS};

use super::{
    Service,
    request::{Parts, answer, handle},
};

/// The endpoint of tokens.
pub fn router(tokens: Arc<Service>) -> Router {
    Router::new()
        .route(TOKENS, post(issue))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(tokens)
}

async fn issue(State(tokens): State<Arc<Service>>, parts: Parts) -> Result<Response, Response> {
    let issued = handle(tokens, parts, |tokens, incoming| {
        incoming.no_body()?;
        let caller = incoming.signed_by(tokens)?;
        Ok(tokens.issue(&caller))
    })
    .await?;
    Ok(answer(issued))
}
