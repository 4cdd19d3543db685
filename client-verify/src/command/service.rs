//! The prekey and mailbox service of the log-server, as a device uses it.

use keyglass_account::{
    api::{
        AckMessages, BUNDLES, Bundles, FetchBundles, Id128, MAX_BODY, MAX_BUNDLES_BODY, MESSAGES,
        MESSAGES_ACK, Messages, PREKEYS, PreKeyStatus, RECEIPTS, RECEIPTS_ACK, Receipts, SendMessage,
        SendReceipt, TOKENS, Target, TargetBundle, TokenIssued, UploadPreKeys,
    },
    auth::{Credential, Request as SignedRequest},
};
use keyglass_crypto::sign::SigningKey;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use super::{context::now, outcome::Failure, random};
use crate::{
    http::{HttpError, JSON, Request, Server},
    state::{OwnAccount, OwnDeviceState},
    verdict::Verdict,
};

/// The longest list of messages that is read, in bytes: a hundred of the longest, in base64.
const MAX_MESSAGES_BODY: usize = 10 << 20;

/// A device that speaks to the service.
pub struct Service<'a> {
    server: &'a Server,
    origin: String,
    label: Vec<u8>,
    device: u32,
    signing_key: SigningKey,
}

/// A device that the service knows by its token for a while.
pub struct Authorized<'a> {
    server: &'a Server,
    authorization: String,
}

impl<'a> Service<'a> {
    /// The service for a device of one's own.
    #[must_use]
    pub fn new(server: &'a Server, account: &OwnAccount, device: &OwnDeviceState) -> Self {
        Self {
            server,
            origin: account.origin.clone(),
            label: account.label.as_bytes().to_vec(),
            device: device.id,
            signing_key: device.signing_key(),
        }
    }

    /// Gets a token.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn authorize(&self) -> Result<Authorized<'a>, Failure> {
        let issued: TokenIssued = self.signed(Method::POST, TOKENS, Vec::new()).await?;
        Ok(Authorized { server: self.server, authorization: issued.authorization })
    }

    /// Uploads prekeys.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn upload(&self, prekeys: &UploadPreKeys) -> Result<PreKeyStatus, Failure> {
        self.signed(Method::PUT, PREKEYS, to_json(prekeys)?).await
    }

    /// Sends a request that the device signs, anew for each attempt.
    async fn signed<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        let path = path.trim_start_matches('/');
        let target = self.server.target(path)?;
        // A signature over a time and a nonce is good once, so each attempt has its own.
        let make = || -> Result<Request, Failure> {
            let request =
                SignedRequest { origin: &self.origin, method: method.as_str(), path: &target, body: &body };
            let credential = Credential::sign(
                &request,
                &self.label,
                self.device,
                &self.signing_key,
                now(),
                random::bytes()?,
            );
            let mut request = Request::get(path).authorized(&credential.to_header());
            request.method = method.clone();
            request.body = (!body.is_empty()).then(|| (JSON, body.clone()));
            Ok(request)
        };
        from_json(&self.server.send_each(MAX_BODY, make).await?)
    }
}

impl Authorized<'_> {
    /// What the service holds for this device.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn status(&self) -> Result<PreKeyStatus, Failure> {
        let request = Request::get(path(PREKEYS)).authorized(&self.authorization);
        from_json(&self.server.send(MAX_BODY, request).await?)
    }

    /// One bundle for each target, in their order; wire input, of which nothing is verified.
    ///
    /// # Errors
    /// The verdicts of a request; [`Verdict::Invalid`] if the answer is about other targets.
    pub async fn bundles(
        &self,
        request_id: Id128,
        targets: Vec<Target>,
    ) -> Result<Vec<TargetBundle>, Failure> {
        let body = to_json(&FetchBundles { request_id, targets: targets.clone(), accounts: Vec::new() })?;
        let answer: Bundles = from_json(&self.post(BUNDLES, body, MAX_BUNDLES_BODY).await?)?;
        if answer.bundles.iter().map(|bundle| &bundle.target).ne(&targets) {
            return Err(Failure::new(Verdict::Invalid, "other_targets", "the bundles are of other devices"));
        }
        Ok(answer.bundles)
    }

    /// Leaves a message in a mailbox.
    ///
    /// # Errors
    /// Why there is no answer, or which.
    pub async fn send(&self, message: &SendMessage) -> Result<(), HttpError> {
        // Nothing in a message can fail to be encoded, and an empty body would be declined.
        self.post(MESSAGES, to_json(message).unwrap_or_default(), MAX_BODY).await?;
        Ok(())
    }

    /// The messages of this device that came after the one with the id `after`, the oldest first; all of them without one, and
    /// where the server has no such message.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn messages(&self, after: Option<Id128>) -> Result<Messages, Failure> {
        let query = after.map_or_else(String::new, |after| format!("?after={after}"));
        let path = format!("{}{query}", path(MESSAGES));
        let request = Request::get(path).authorized(&self.authorization);
        from_json(&self.server.send(MAX_MESSAGES_BODY, request).await?)
    }

    /// Deletes messages of this device.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn acknowledge(&self, ids: Vec<Id128>) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        self.post(MESSAGES_ACK, to_json(&AckMessages { ids })?, MAX_BODY).await?;
        Ok(())
    }

    /// Tells the device that sent a message that it could not be opened.
    ///
    /// # Errors
    /// Why there is no answer, or which.
    pub async fn leave_receipt(&self, receipt: &SendReceipt) -> Result<(), HttpError> {
        self.post(RECEIPTS, to_json(receipt).unwrap_or_default(), MAX_BODY).await?;
        Ok(())
    }

    /// The receipts for this device, the oldest first.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn receipts(&self) -> Result<Receipts, Failure> {
        let request = Request::get(path(RECEIPTS)).authorized(&self.authorization);
        from_json(&self.server.send(MAX_BODY, request).await?)
    }

    /// Deletes receipts.
    ///
    /// # Errors
    /// The verdicts of a request.
    pub async fn acknowledge_receipts(&self, ids: Vec<Id128>) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        self.post(RECEIPTS_ACK, to_json(&AckMessages { ids })?, MAX_BODY).await?;
        Ok(())
    }

    async fn post(&self, to: &'static str, body: Vec<u8>, answer: usize) -> Result<Vec<u8>, HttpError> {
        let request = Request::post(path(to), JSON, body).authorized(&self.authorization);
        self.server.send(answer, request).await
    }
}

/// A path of the API below the server's address.
fn path(path: &'static str) -> &'static str {
    path.trim_start_matches('/')
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::new(Verdict::Failed, "encoding", error))
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(Verdict::Invalid, "malformed", format!("the server's answer: {error}")))
}
