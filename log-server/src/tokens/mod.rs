//! Who asks: requests signed by devices, and the tokens that stand in for them.
//!
//! A device that the published record of an account names can sign requests. With one it gets a token, valid for an hour,
//! which authenticates fetching, sending and reading. A signed request is taken once: its nonce is remembered, across
//! restarts, until its time is outside the window.

use std::{sync::Arc, time::Duration};

use keyglass_account::{
    api::TokenIssued,
    auth::{AuthError, Credential, DEFAULT_WINDOW, Request, SCHEME, Token},
    device::Device,
};
use keyglass_crypto::{
    hash::{Digest, sha256},
    secret::Secret,
};
use keyglass_tlog::time::UnixMillis;
use thiserror::Error;

use crate::{clock::Clock, store::StoreError};

pub mod http;
pub mod key;
pub mod memory;
pub mod replay;
pub mod request;
pub mod rocksdb;

#[cfg(test)]
pub(crate) mod tests;

pub use replay::{Nonce, NonceStore, Refused};

use replay::ReplayGuard;

/// The devices of the accounts that the log has published.
pub trait Accounts: Send + Sync + 'static {
    /// The device with this id in the last valid record of `label` that is published. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device(&self, label: &[u8], device: u32) -> Result<Option<Device>, StoreError>;

    /// The ids of all devices in the last valid record of `label` that is published, ascending. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices(&self, label: &[u8]) -> Result<Vec<u32>, StoreError>;

    /// When the first version of `label` was sequenced, by the log's clock, if it is published. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    fn since(&self, label: &[u8]) -> Result<Option<UnixMillis>, StoreError>;

    /// The version of the last valid record of `label` that is published. It may block.
    ///
    /// # Errors
    /// [`StoreError`].
    fn version(&self, label: &[u8]) -> Result<Option<u32>, StoreError>;
}

/// A device of an account, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName {
    /// The account's label.
    pub label: Vec<u8>,
    /// The device's id in it.
    pub device: u32,
}

impl DeviceName {
    /// The name as a key: no two names share one, and none is the start of another.
    #[must_use]
    pub fn to_key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.label.len().saturating_add(5));
        // Labels are at most 255 bytes long wherever they come from.
        key.push(u8::try_from(self.label.len()).unwrap_or(u8::MAX));
        key.extend_from_slice(&self.label);
        key.extend_from_slice(&self.device.to_be_bytes());
        key
    }

    /// Takes a name off the front of a key.
    #[must_use]
    pub fn split_key(key: &[u8]) -> Option<(Self, &[u8])> {
        let (len, rest) = key.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*len))?;
        let (device, rest) = rest.split_first_chunk()?;
        Some((Self { label: label.to_owned(), device: u32::from_be_bytes(*device) }, rest))
    }

    /// A hash of the name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[b"keyglass device name", &self.to_key()])
    }
}

/// Who sent a request, as authenticated.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The device's name.
    pub name: DeviceName,
    /// The device, as the published record has it.
    pub device: Device,
}

/// How requests are authenticated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How far a signed request's time may lie from the clock, either way.
    pub window: Duration,
    /// How long a token is valid.
    pub lifetime: Duration,
    /// Signed requests that are remembered at a time; more are refused until some leave the window.
    pub remembered: usize,
    /// Signed requests that one device may make within a window, twice over.
    pub remembered_per_device: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: DEFAULT_WINDOW,
            lifetime: Duration::from_secs(3600),
            remembered: 1_000_000,
            remembered_per_device: 1000,
        }
    }
}

/// Why a request is not authenticated. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthenticationError {
    /// There is no `Authorization` header.
    #[error("the request has no Authorization header")]
    Missing,
    /// What the header says does not hold.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// No published record names the device.
    #[error("no published record names this device")]
    UnknownDevice,
    /// The published record no longer names the token's device.
    #[error("the published record no longer names the token's device")]
    DeviceGone,
    /// The request was taken before, or too many are remembered.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Authenticates requests and issues tokens.
pub struct Service {
    origin: String,
    key: Secret<32>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    replays: ReplayGuard,
}

impl Service {
    /// A service for the log `origin`, whose tokens are authenticated under `key`. Reads the nonces that are remembered.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new(
        origin: String,
        key: Secret<32>,
        accounts: Arc<dyn Accounts>,
        nonces: Arc<dyn NonceStore>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let replays = ReplayGuard::open(nonces, &settings)?;
        Ok(Self { origin, key, accounts, clock, settings, replays })
    }

    /// The log that this service belongs to.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The published devices.
    #[must_use]
    pub fn accounts(&self) -> &Arc<dyn Accounts> {
        &self.accounts
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Who signed this request. It may block.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub fn authenticate_signed(
        &self,
        authorization: Option<&str>,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Caller, AuthenticationError> {
        let credential = Credential::from_header(authorization.ok_or(AuthenticationError::Missing)?)?;
        let name = DeviceName { label: credential.label.clone(), device: credential.device };
        let device = self.device(&name)?.ok_or(AuthenticationError::UnknownDevice)?;
        let now = self.clock.now();
        let request = Request { origin: &self.origin, method, path, body };
        credential.verify(&request, &device.signing_key, now, self.settings.window)?;
        // Only what verifies is remembered: nobody can fill the memory in another's name.
        let nonce = Nonce::new(credential.time, &name, &credential.nonce);
        self.replays.admit(nonce, now)?;
        Ok(Caller { name, device })
    }

    /// Whose token this is. It may block.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub fn authenticate_token(&self, authorization: Option<&str>) -> Result<Caller, AuthenticationError> {
        let header = authorization.ok_or(AuthenticationError::Missing)?;
        let token = Token::from_header(header, &self.key, &self.origin, self.clock.now())?;
        let name = DeviceName { label: token.label, device: token.device };
        // A device that was removed from its account since loses its tokens.
        let device = self.device(&name)?.ok_or(AuthenticationError::DeviceGone)?;
        Ok(Caller { name, device })
    }

    /// A token for a device that has signed its request.
    #[must_use]
    pub fn issue(&self, caller: &Caller) -> TokenIssued {
        let expires = self.clock.now().saturating_add(self.settings.lifetime);
        let token = Token { label: caller.name.label.clone(), device: caller.name.device, expires };
        TokenIssued { authorization: token.to_header(&self.key, &self.origin), expires: expires.0 }
    }

    fn device(&self, name: &DeviceName) -> Result<Option<Device>, StoreError> {
        self.accounts.device(&name.label, name.device)
    }
}

/// The value of `WWW-Authenticate`: what a client may answer a 401 with.
pub const CHALLENGE: &str = SCHEME;
