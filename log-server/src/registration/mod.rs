//! Who may begin an account, and under which labels: the operator's policy, asked once for each label, at its version 0.
//!
//! What was registered before a policy became stricter goes on: no later version is asked.

pub mod keys;
pub mod token;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use keyglass_account::{label::require_normalised, problem::Problem};

use crate::{clock::Clock, http::failure::Failure};
use keys::{KeyFileError, TokenKeys};

/// Which labels may be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Labels {
    /// Any 1 to 255 bytes.
    #[default]
    Any,
    /// Those in normalised form ([`keyglass_account::label::normal`]).
    Normalised,
}

/// Who may register.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Registration {
    /// Anybody.
    #[default]
    Open,
    /// Whoever brings a token that one of the keys in this file has signed.
    Token(PathBuf),
}

/// The policy as it is applied.
#[derive(Default)]
pub struct Admission {
    labels: Labels,
    registration: Option<Tokens>,
}

struct Tokens {
    file: PathBuf,
    keys: RwLock<Arc<TokenKeys>>,
    clock: Arc<dyn Clock>,
}

impl core::fmt::Debug for Admission {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let file = self.registration.as_ref().map(|tokens| &tokens.file);
        f.debug_struct("Admission").field("labels", &self.labels).field("tokens", &file).finish()
    }
}

impl Admission {
    /// Reads the keys that the policy names. By the clock tokens expire.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn open(
        labels: Labels,
        registration: Registration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyFileError> {
        let registration = match registration {
            Registration::Open => None,
            Registration::Token(file) => {
                let keys = RwLock::new(Arc::new(TokenKeys::read(&file)?));
                Some(Tokens { file, keys, clock })
            }
        };
        Ok(Self { labels, registration })
    }

    /// Reads the keys again. If that fails, those from before stay. Says how many there are, if the policy has any.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn reload(&self) -> Result<Option<usize>, KeyFileError> {
        let Some(Tokens { file, keys, .. }) = &self.registration else { return Ok(None) };
        let read = Arc::new(TokenKeys::read(file)?);
        let count = read.len();
        *keys.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(Some(count))
    }

    /// Whether an account may begin under `label` in the log `origin`, for a request with this `Authorization`.
    ///
    /// # Errors
    /// [`Problem::LabelNotNormalised`], and one for each way in which a token does not do.
    pub fn admit(&self, origin: &str, label: &[u8], authorization: Option<&str>) -> Result<(), Failure> {
        if self.labels == Labels::Normalised {
            require_normalised(label)
                .map_err(|error| Failure::new(Problem::LabelNotNormalised).because(error))?;
        }
        let Some(Tokens { keys, clock, .. }) = &self.registration else { return Ok(()) };
        let keys = Arc::clone(&keys.read().unwrap_or_else(PoisonError::into_inner));
        let missing = || Failure::new(Problem::RegistrationTokenMissing);
        let token = authorization.and_then(bearer).ok_or_else(missing)?;
        token::verify(&keys, token, origin, label, clock.now())
            .map_err(|error| Failure::new(error.into()).because(error))
    }
}

/// The token of an `Authorization` header (RFC 6750 section 2.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests;
