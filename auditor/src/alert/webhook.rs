//! Telling a webhook: one POST of JSON under an HMAC that covers the time, so that nobody else can tell it anything and
//! nobody can tell it the same thing much later.
//!
//! ```text
//! Keyglass-Signature: t=<seconds since the Unix epoch>,v1=<hex of HMAC-SHA256(secret, t || "." || body)>
//! Keyglass-Alert-Id: <the notice's id>
//! ```

use std::time::Duration;

use keyglass_crypto::kdf::hmac_sha256;
use keyglass_service::tls::CertificateDer;
use keyglass_tlog::time::UnixSeconds;
use reqwest::{Certificate, Url, header::CONTENT_TYPE};
use thiserror::Error;

/// The header with the time and the signature.
pub const SIGNATURE: &str = "keyglass-signature";
/// The header with the notice's id.
pub const ID: &str = "keyglass-alert-id";

/// Why a receiver has not taken a notice.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// No connection, or a broken one.
    #[error("unreachable")]
    Unreachable,
    /// An answer that does not say that the notice was taken. Redirections are not followed.
    #[error("answered {0}")]
    Status(u16),
}

/// A client for webhooks.
///
/// # Errors
/// What the TLS library says.
pub fn client(roots: &[CertificateDer<'_>]) -> Result<reqwest::Client, reqwest::Error> {
    let roots = roots.iter().map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
    reqwest::Client::builder()
        .user_agent(concat!("keyglass-auditor/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .tls_certs_merge(roots)
        .build()
}

/// The value of [`SIGNATURE`].
#[must_use]
pub fn signature(secret: &[u8], time: UnixSeconds, body: &[u8]) -> String {
    let mac = hmac_sha256(secret, &[time.to_string().as_bytes(), b".", body]);
    format!("t={time},v1={}", hex::encode(mac))
}

/// Posts a notice. Any status from 200 to 299 says that it was taken; the answer's body is not read.
///
/// # Errors
/// [`WebhookError`].
pub async fn post(
    client: &reqwest::Client,
    url: &Url,
    secret: &[u8],
    (id, body): (u64, Vec<u8>),
    time: UnixSeconds,
    timeout: Duration,
) -> Result<(), WebhookError> {
    let signature = signature(secret, time, &body);
    let request = client.post(url.clone()).timeout(timeout).header(CONTENT_TYPE, "application/json");
    let request = request.header(SIGNATURE, signature).header(ID, id).body(body);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(WebhookError::Status(answer.status().as_u16())),
        Err(error) if error.is_timeout() => Err(WebhookError::TimedOut(timeout)),
        Err(_) => Err(WebhookError::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac module.
    #[test]
    fn the_signature_is_what_receivers_compute() {
        assert_eq!(
            signature(b"0123456789abcdef", UnixSeconds(1_700_000_000), b"{}"),
            "t=1700000000,v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e"
        );
    }
}
