//! `POST /v1/messages`, `GET /v1/messages`, `POST /v1/messages/ack`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use keyglass_account::{
    api::{AckMessages, Base64, MAX_BODY, MESSAGES, MESSAGES_ACK, Message, Messages, SendMessage},
    problem::Problem,
};

use super::{SendError, Service};
use crate::{
    http::failure::Failure,
    tokens::{
        self, DeviceName,
        request::{Parts, answer, handle},
    },
};

struct Endpoints {
    mailbox: Arc<Service>,
    tokens: Arc<tokens::Service>,
}

/// The endpoints of the mailbox.
pub fn router(mailbox: Arc<Service>, tokens: Arc<tokens::Service>) -> Router {
    Router::new()
        .route(MESSAGES, post(send).get(read))
        .route(MESSAGES_ACK, post(acknowledge))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Endpoints { mailbox, tokens }))
}

async fn send(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<StatusCode, Response> {
    handle(endpoints, parts, |endpoints, incoming| {
        // The sender is authenticated, so that strangers cannot fill mailboxes, and then forgotten.
        incoming.token_of(&endpoints.tokens)?;
        let SendMessage { target, id, body } = incoming.json()?;
        let name = DeviceName { label: target.label.into_bytes(), device: target.device };
        Ok(endpoints.mailbox.send(&name, id, body.into_bytes())?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<Response, Response> {
    let messages = handle(endpoints, parts, |endpoints, incoming| {
        incoming.no_body()?;
        let receiver = incoming.token_of(&endpoints.tokens)?.name;
        let (stored, more) = endpoints.mailbox.read(&receiver)?;
        let mut messages = Vec::with_capacity(stored.len());
        for message in stored {
            let body = Base64::new(message.body).map_err(|_| Problem::Internal)?;
            messages.push(Message { id: message.id, received: message.received.0, body });
        }
        Ok(Messages { messages, more })
    });
    Ok(answer(messages.await?))
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

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::UnknownDevice => Problem::UnknownDevice.into(),
            SendError::Length(_) => Self::new(Problem::MessageTooLarge).because(error),
            SendError::Full => Self::new(Problem::MailboxFull).retry_after(60),
            SendError::IdReused => Problem::MessageIdReused.into(),
            SendError::Store(error) => error.into(),
        }
    }
}
