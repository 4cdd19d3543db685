//! `POST /v1/messages`, `GET /v1/messages[?after=ID]`, `POST /v1/messages/ack`, and the same three of receipts.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use keyglass_account::{
    api::{
        AckMessages, Base64, Id128, MAX_BODY, MESSAGES, MESSAGES_ACK, Message, Messages, RECEIPTS,
        RECEIPTS_ACK, SendMessage, SendReceipt,
    },
    problem::Problem,
};

use super::{Receipts, SendError, Service};
use crate::{
    http::failure::Failure,
    tokens::{
        self, DeviceName,
        request::{Parts, answer, handle},
    },
};

struct Endpoints {
    mailbox: Arc<Service>,
    receipts: Arc<Receipts>,
    tokens: Arc<tokens::Service>,
}

/// The endpoints of the mailbox.
pub fn router(mailbox: Arc<Service>, receipts: Arc<Receipts>, tokens: Arc<tokens::Service>) -> Router {
    Router::new()
        .route(MESSAGES, post(send).get(read))
        .route(MESSAGES_ACK, post(acknowledge))
        .route(RECEIPTS, post(leave_receipt).get(read_receipts))
        .route(RECEIPTS_ACK, post(acknowledge_receipts))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Endpoints { mailbox, receipts, tokens }))
}

async fn send(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<StatusCode, Response> {
    handle(endpoints, parts, |endpoints, incoming| {
        // The sender is authenticated and counted, so that nobody can fill mailboxes, and then forgotten.
        let from = incoming.token_of(&endpoints.tokens)?.name;
        let SendMessage { target, id, body, version } = incoming.json()?;
        let name = DeviceName { label: target.label.into_bytes(), device: target.device };
        match version {
            Some(version) => {
                endpoints.mailbox.send_to_version(&from, &name, version, id, body.into_bytes())?;
            }
            None => endpoints.mailbox.send(&from, &name, id, body.into_bytes())?,
        }
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<Response, Response> {
    let messages = handle(endpoints, parts, |endpoints, incoming| {
        incoming.no_body()?;
        let receiver = incoming.token_of(&endpoints.tokens)?.name;
        let after = after(incoming.query())?;
        let (stored, more) = endpoints.mailbox.read(&receiver, after)?;
        let mut messages = Vec::with_capacity(stored.len());
        for message in stored {
            let body = Base64::new(message.body).map_err(|_| Problem::Internal)?;
            messages.push(Message { id: message.id, received: message.received.0, body });
        }
        Ok(Messages { messages, more })
    });
    Ok(answer(messages.await?))
}

/// The id in the query `after=…`, if there is a query.
fn after(query: Option<&str>) -> Result<Option<Id128>, Failure> {
    let Some(query) = query else { return Ok(None) };
    let id = query.strip_prefix("after=").and_then(|id| Id128::parse(id).ok());
    let refuse =
        || Failure::new(Problem::Malformed).because("the query is not `after=` and the id of a message");
    id.map(Some).ok_or_else(refuse)
}

async fn acknowledge(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<StatusCode, Response> {
    handle(endpoints, parts, |endpoints, incoming| {
        let receiver = incoming.token_of(&endpoints.tokens)?.name;
        let AckMessages { ids } = incoming.json()?;
        Ok(endpoints.mailbox.acknowledge(&receiver, &ids)?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn leave_receipt(
    State(endpoints): State<Arc<Endpoints>>,
    parts: Parts,
) -> Result<StatusCode, Response> {
    handle(endpoints, parts, |endpoints, incoming| {
        let from = incoming.token_of(&endpoints.tokens)?.name;
        let SendReceipt { target, handshake, reason } = incoming.json()?;
        let handshake = handshake.as_bytes().try_into().map_err(|_| Problem::MalformedJson)?;
        let target = DeviceName { label: target.label.into_bytes(), device: target.device };
        Ok(endpoints.receipts.leave(&from, &target, handshake, reason)?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read_receipts(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<Response, Response> {
    let receipts = handle(endpoints, parts, |endpoints, incoming| {
        incoming.no_body()?;
        let receiver = incoming.token_of(&endpoints.tokens)?.name;
        let (receipts, more) = endpoints.receipts.read(&receiver)?;
        Ok(keyglass_account::api::Receipts { receipts, more })
    });
    Ok(answer(receipts.await?))
}

async fn acknowledge_receipts(
    State(endpoints): State<Arc<Endpoints>>,
    parts: Parts,
) -> Result<StatusCode, Response> {
    handle(endpoints, parts, |endpoints, incoming| {
        let receiver = incoming.token_of(&endpoints.tokens)?.name;
        let AckMessages { ids } = incoming.json()?;
        Ok(endpoints.receipts.acknowledge(&receiver, &ids)?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::UnknownDevice => Problem::UnknownDevice.into(),
            SendError::Length(_) => Self::new(Problem::MessageTooLarge).because(error),
            SendError::TooMany => Self::new(Problem::RateLimited).because(error).retry_after(600),
            SendError::Full => Self::new(Problem::MailboxFull).retry_after(60),
            SendError::StaleRecord(_) => Self::new(Problem::StaleRecord).because(error),
            SendError::IdReused => Problem::MessageIdReused.into(),
            SendError::Store(error) => error.into(),
        }
    }
}
