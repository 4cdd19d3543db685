//! Which servers are reached, and whose certificates are trusted on the way.

use std::time::Duration;

use reqwest::Certificate;

use super::{args::Common, context::read_file, outcome::Failure};
use crate::{http::Server, verdict::Verdict};

/// The longest file of certificates, in bytes.
const MAX_CA: u64 = 1 << 20;

impl Common {
    /// The server at an address, as the options say.
    ///
    /// # Errors
    /// [`Verdict::Usage`] for an address that is none, or certificates that cannot be read.
    pub(super) fn reach(&self, address: &str) -> Result<Server, Failure> {
        self.reach_within(address, Duration::from_secs(self.timeout))
    }

    /// The same, with another patience.
    ///
    /// # Errors
    /// As [`reach`](Self::reach).
    pub(super) fn reach_within(&self, address: &str, patience: Duration) -> Result<Server, Failure> {
        let roots = match &self.ca {
            None => Vec::new(),
            Some(path) => {
                let refused = |message: String| Failure::new(Verdict::Usage, "certificates", message);
                let roots = Certificate::from_pem_bundle(&read_file(path, MAX_CA)?)
                    .map_err(|error| refused(format!("{}: {error}", path.display())))?;
                if roots.is_empty() {
                    return Err(refused(format!("{}: no certificate in it", path.display())));
                }
                roots
            }
        };
        Ok(Server::trusting(address, patience, roots)?)
    }
}
