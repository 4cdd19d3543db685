//! What a witness shows: the last checkpoint that it cosigned (C2SP tlog-witness, "Monitor Retrieval Mechanism").

use keyglass_tlog::{note::MAX_NOTE_LEN, policy::Witness, time::UnixSeconds, witness::checkpoint_path};
use reqwest::Url;
use thiserror::Error;

use super::{AddressError, FetchError, Http, prefix};
use crate::{
    head::{HeadError, SignedHead},
    trust::Trust,
};

/// A witness to ask.
#[derive(Debug, Clone)]
pub struct WitnessSource {
    http: Http,
    witness: Witness,
    /// Absent if the policy has no URL for it.
    checkpoint: Option<Url>,
}

/// What a witness showed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Shown {
    /// A head with its cosignature of that time.
    #[error("a head of {} entries", .0.size())]
    Head(Box<SignedHead>, UnixSeconds),
    /// It has never cosigned a checkpoint of the log.
    #[error("it has never cosigned a checkpoint of this log")]
    Never,
    /// The policy does not say where it is.
    #[error("the policy has no URL for it")]
    NoUrl,
    /// It did not answer.
    #[error("{0}")]
    Failed(FetchError),
    /// Its answer is no checkpoint of the log.
    #[error("{0}")]
    NoHead(HeadError),
    /// Its answer lacks its own cosignature. The log did sign it, so that it can still be compared.
    #[error("its checkpoint does not carry its own cosignature")]
    NotCosigned(Box<SignedHead>),
}

impl WitnessSource {
    /// A witness of the policy, asked about the log with this origin. Its submission and monitoring prefixes are one.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(http: Http, witness: &Witness, origin: &str) -> Result<Self, AddressError> {
        let text = |url| core::str::from_utf8(url).map_err(|_| AddressError);
        let url = witness.url().map(text).transpose()?;
        Self::at(http, witness, origin, url)
    }

    /// A witness of the policy that is asked at another monitoring prefix than the URL in the policy, or at none.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn at(http: Http, witness: &Witness, origin: &str, url: Option<&str>) -> Result<Self, AddressError> {
        let address = |url| prefix(url)?.join(&checkpoint_path(origin)).map_err(|_| AddressError);
        let checkpoint = url.map(address).transpose()?;
        Ok(Self { http, witness: witness.clone(), checkpoint })
    }

    /// Where it is asked.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.checkpoint.as_ref().map(Url::as_str)
    }

    /// The witness.
    #[must_use]
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Asks it.
    pub async fn ask(&self, trust: &Trust) -> Shown {
        let Some(url) = &self.checkpoint else {
            return Shown::NoUrl;
        };
        let note = match self.http.get(url.clone(), MAX_NOTE_LEN).await {
            Ok(note) => note,
            Err(FetchError::Status(404)) => return Shown::Never,
            Err(error) => return Shown::Failed(error),
        };
        match SignedHead::read(&note, trust) {
            Err(error) => Shown::NoHead(error),
            Ok(head) => match head.cosigned_by(&self.witness) {
                Some(time) => Shown::Head(Box::new(head), time),
                None => Shown::NotCosigned(Box::new(head)),
            },
        }
    }
}
