//! The documents of a home about a log as a whole.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    super::{
        document::{self, StateError},
        handover::{EndDocument, PredecessorsDocument, TrustDocument},
        heads::HeadsDocument,
        log::{Contacts, LogDocument},
        watch::WatchDocument,
    },
    Home,
};

/// A document of which a home has one for each log.
trait OfLog: Serialize + DeserializeOwned {
    /// The file's name.
    const FILE: &'static str;

    /// The log's origin, as the document says.
    fn origin(&self) -> &String;
}

macro_rules! documents_of_a_log {
    ($($document:ty = $file:literal,)*) => {
        $(impl OfLog for $document {
            const FILE: &'static str = $file;

            fn origin(&self) -> &String {
                &self.origin
            }
        })*
    };
}

documents_of_a_log! {
    LogDocument = "log.json",
    Contacts = "contacts.json",
    HeadsDocument = "heads.json",
    TrustDocument = "trust.json",
    EndDocument = "end.json",
    PredecessorsDocument = "predecessors.json",
    WatchDocument = "watch.json",
}

impl Home {
    /// What is retained of the log.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn log(&self) -> Result<Option<LogDocument>, StateError> {
        self.document()
    }

    /// Retains a new state of the log.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_log(&self, document: &LogDocument) -> Result<(), StateError> {
        self.store(document)
    }

    /// The accounts met before.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn contacts(&self) -> Result<Contacts, StateError> {
        Ok(self.document()?.unwrap_or_else(|| Contacts::new(self.origin.clone())))
    }

    /// Remembers the accounts met.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_contacts(&self, contacts: &Contacts) -> Result<(), StateError> {
        self.store(contacts)
    }

    /// What keeping watch remembers.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn watch(&self) -> Result<WatchDocument, StateError> {
        Ok(self.document()?.unwrap_or_else(|| WatchDocument::new(self.origin.clone())))
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_watch(&self, watch: &WatchDocument) -> Result<(), StateError> {
        self.store(watch)
    }

    /// The log's distinguished heads.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn heads(&self) -> Result<HeadsDocument, StateError> {
        Ok(self.document()?.unwrap_or_else(|| HeadsDocument::new(self.origin.clone())))
    }

    /// Remembers the log's distinguished heads.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_heads(&self, heads: &HeadsDocument) -> Result<(), StateError> {
        self.store(heads)
    }

    /// The configuration and the policy with which the log was used last.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn trust(&self) -> Result<Option<TrustDocument>, StateError> {
        self.document()
    }

    /// Remembers them.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_trust(&self, trust: &TrustDocument) -> Result<(), StateError> {
        self.store(trust)
    }

    /// Where the log ended, if it was handed over to another.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn end(&self) -> Result<Option<EndDocument>, StateError> {
        self.document()
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_end(&self, end: &EndDocument) -> Result<(), StateError> {
        self.store(end)
    }

    /// The logs that were handed over to this one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn predecessors(&self) -> Result<PredecessorsDocument, StateError> {
        Ok(self.document()?.unwrap_or_else(|| PredecessorsDocument::new(self.origin.clone())))
    }

    /// Remembers them.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn store_predecessors(&self, predecessors: &PredecessorsDocument) -> Result<(), StateError> {
        self.store(predecessors)
    }

    /// A document about the log as a whole.
    fn document<T: OfLog>(&self) -> Result<Option<T>, StateError> {
        let path = self.directory.join(T::FILE);
        let document: Option<T> = document::load(&path)?;
        self.check(&path, document.as_ref().map(T::origin))?;
        Ok(document)
    }

    fn store<T: OfLog>(&self, document: &T) -> Result<(), StateError> {
        document::store(&self.directory.join(T::FILE), document)
    }
}
