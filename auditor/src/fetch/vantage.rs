//! Other places that show the log's heads: the log at another of its URLs, and other auditors, which serve the checkpoint
//! that they cosigned last as a witness does (C2SP tlog-witness, "Monitor Retrieval Mechanism").

use keyglass_tlog::{note::MAX_NOTE_LEN, witness::checkpoint_path};
use reqwest::Url;

use super::{AddressError, FetchError, Http, prefix};
use crate::{
    head::{HeadError, SignedHead},
    records::Source,
    trust::Trust,
};

/// A place to ask.
#[derive(Debug, Clone)]
pub struct VantageSource {
    http: Http,
    source: Source,
    name: String,
    is_log: bool,
    checkpoint: Url,
}

/// What such a place showed. Whoever it is, nothing counts but what the log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A head that the log signed.
    Head(Box<SignedHead>),
    /// An auditor that has nothing of this log.
    Nothing,
    /// It did not answer.
    Failed(FetchError),
    /// Its answer is no head of the log.
    NoHead(HeadError),
}

impl VantageSource {
    /// The log at another URL prefix.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn mirror(http: Http, url: &str) -> Result<Self, AddressError> {
        let checkpoint = prefix(url)?.join("checkpoint").map_err(|_| AddressError)?;
        let (source, name) = (Source::Mirror(url.to_owned()), url.to_owned());
        Ok(Self { http, source, name, is_log: true, checkpoint })
    }

    /// Another auditor, of this name, asked about the log with this origin.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn auditor(http: Http, name: &str, url: &str, origin: &str) -> Result<Self, AddressError> {
        let checkpoint = prefix(url)?.join(&checkpoint_path(origin)).map_err(|_| AddressError)?;
        let source = Source::Auditor(name.to_owned());
        Ok(Self { http, source, name: name.to_owned(), is_log: false, checkpoint })
    }

    /// What it is.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the log itself.
    #[must_use]
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    /// Where it is asked.
    #[must_use]
    pub fn url(&self) -> &str {
        self.checkpoint.as_str()
    }

    /// Asks it.
    pub async fn ask(&self, trust: &Trust) -> Seen {
        match self.http.get(self.checkpoint.clone(), MAX_NOTE_LEN).await {
            Err(FetchError::Status(404)) if !self.is_log => Seen::Nothing,
            Err(error) => Seen::Failed(error),
            Ok(note) => match SignedHead::read(&note, trust) {
                Ok(head) => Seen::Head(Box::new(head)),
                Err(error) => Seen::NoHead(error),
            },
        }
    }
}
