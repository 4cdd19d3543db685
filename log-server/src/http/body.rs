//! Bodies are read as a whole before anything else is done with a request.
//!
//! A refusal that is sent while the client is still writing may be lost with the connection. So what is too long is read
//! on and thrown away, up to a bound, before it is refused.

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use keyglass_account::problem::Problem;

use super::failure::Failure;

/// The longest body that any endpoint takes, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// How many bytes are read before the connection of somebody who does not stop is given up.
const MAX_READ: usize = 16 << 20;

/// Reads the body, and passes the request on if it is not too long.
pub async fn read(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match whole(body.into_data_stream()).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(failure) => failure.into_response(),
    }
}

async fn whole(mut stream: BodyDataStream) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let mut length: usize = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Failure::new(Problem::Truncated).because("the body broke off"))?;
        length = length.saturating_add(chunk.len());
        if length <= MAX_BODY {
            body.extend_from_slice(&chunk);
        } else if length > MAX_READ {
            break;
        } else {
            body = Vec::new();
        }
    }
    if length > MAX_BODY {
        return Err(Failure::new(Problem::BodyTooLarge).because(format!("at most {MAX_BODY} bytes are read")));
    }
    Ok(body)
}
