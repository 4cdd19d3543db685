//! What the handlers of the prekey and mailbox service share: bodies, authentication, JSON.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    response::{IntoResponse, Response},
};
use keyglass_account::problem::Problem;
use serde::{Serialize, de::DeserializeOwned};

use super::{AuthenticationError, CHALLENGE, Caller, Refused, Service};
use crate::http::failure::Failure;

/// A request whose body was read, within the limit of its route.
pub(crate) struct Incoming {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// The parts of a request as axum extracts them.
pub(crate) type Parts = (Method, axum::extract::OriginalUri, HeaderMap, Result<Bytes, BytesRejection>);

impl Incoming {
    /// The request, unless its body was too large or broken off.
    pub(crate) fn new((method, uri, headers, body): Parts) -> Result<Self, Failure> {
        let body = body.map_err(|rejection| {
            let too_large = rejection.status().as_u16() == 413;
            Failure::new(if too_large { Problem::BodyTooLarge } else { Problem::Malformed })
        })?;
        Ok(Self { method, path: target(&uri), headers, body })
    }

    /// The body, if it is JSON of this type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let media_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::UnsupportedMediaType.into());
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new(Problem::MalformedJson).because(error))
    }

    /// The query, without its question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        self.path.split_once('?').map(|(_, query)| query)
    }

    /// Refuses a body where none belongs.
    pub(crate) fn no_body(&self) -> Result<(), Failure> {
        let refuse = || Failure::new(Problem::MalformedJson).because("this endpoint takes no body");
        if self.body.is_empty() { Ok(()) } else { Err(refuse()) }
    }

    /// Who signed the request. It may block.
    pub(crate) fn signed_by(&self, tokens: &Service) -> Result<Caller, Failure> {
        let caller =
            tokens.authenticate_signed(self.authorization(), self.method.as_str(), &self.path, &self.body)?;
        Ok(caller)
    }

    /// Whose token came with the request. It may block.
    pub(crate) fn token_of(&self, tokens: &Service) -> Result<Caller, Failure> {
        Ok(tokens.authenticate_token(self.authorization())?)
    }

    /// The one `Authorization` header.
    fn authorization(&self) -> Option<&str> {
        let mut values = self.headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next()?.to_str().ok();
        // With two of them it is not clear who asks.
        if values.next().is_some() { None } else { value }
    }
}

/// The request target as it was sent.
fn target(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned())
}

/// Runs a handler's work on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(run).await.map_err(|error| {
        tracing::error!(%error, "a request panicked");
        Failure::new(Problem::Internal)
    })?
}

/// An answer that no cache keeps.
pub(crate) fn answer(value: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

/// The work of a handler with its services.
pub(crate) async fn handle<S, T>(
    service: Arc<S>,
    parts: Parts,
    work: impl FnOnce(&S, &Incoming) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Response>
where
    S: Send + Sync + 'static,
    T: Send + 'static,
{
    let incoming = Incoming::new(parts).map_err(IntoResponse::into_response)?;
    blocking(move || work(&service, &incoming)).await.map_err(|failure| {
        let unauthenticated = failure.problem().status() == 401;
        let mut response = failure.into_response();
        if unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    })
}

impl From<AuthenticationError> for Failure {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Missing => Problem::Unauthenticated.into(),
            AuthenticationError::Auth(error) => Self::new(error.into()).because(error),
            AuthenticationError::UnknownDevice => {
                Self::new(Problem::BadRequestSignature).because("no published record names this device")
            }
            AuthenticationError::DeviceGone => {
                Self::new(Problem::BadToken).because("the account no longer has this device")
            }
            AuthenticationError::Refused(Refused::Replayed) => Problem::Replayed.into(),
            AuthenticationError::Refused(Refused::TooManyOfDevice) => {
                Self::new(Problem::RateLimited).retry_after(60)
            }
            AuthenticationError::Refused(Refused::TooMany) => Self::new(Problem::Unavailable).retry_after(10),
            AuthenticationError::Refused(Refused::Store(error)) | AuthenticationError::Store(error) => {
                error.into()
            }
        }
    }
}
