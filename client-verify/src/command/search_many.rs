//! Looking several accounts up in one request.

use keyglass_account::{
    label,
    problem::Problem,
    search_many::{MAX_LABELS, MAX_RESPONSE, SEARCH_MANY, SearchAnswer, SearchManyRequest, decode_answers},
};

use super::{context::Context, outcome::Failure, resolve::Resolved, search::Found};
use crate::{
    http::{HttpError, OCTETS, Request},
    verdict::Verdict,
};

impl Context {
    /// Proves the accounts of several labels, each with its result in its place, in as few requests as may be.
    ///
    /// What is retained and remembered is as in [`Context::resolve`].
    ///
    /// # Errors
    /// Never as a whole but where nothing could be asked.
    pub(super) async fn resolve_many(
        &mut self,
        labels: &[String],
    ) -> Result<Vec<Result<Resolved, Failure>>, Failure> {
        let mut results = Vec::new();
        for chunk in labels.chunks(MAX_LABELS) {
            if let [label] = chunk {
                results.push(self.resolve(label).await);
                continue;
            }
            let found = self.search_many(chunk).await?;
            for (label, found) in chunk.iter().zip(found) {
                let resolved = match found {
                    Ok(found) => self.resolve_found(label, found).await,
                    Err(failure) => Err(failure),
                };
                results.push(resolved);
            }
        }
        Ok(results)
    }

    /// Searches for the greatest versions of up to [`MAX_LABELS`] labels. A log that does not know the request is asked for
    /// one after the other.
    async fn search_many(&mut self, labels: &[String]) -> Result<Vec<Result<Found, Failure>>, Failure> {
        for name in labels {
            label::check(name.as_bytes()).map_err(|error| Failure::new(Verdict::Usage, "label", error))?;
        }
        let request = SearchManyRequest {
            last: self.state.last(),
            labels: labels.iter().map(|label| label.as_bytes().to_vec()).collect(),
        };
        let post = Request::post(SEARCH_MANY.trim_start_matches('/'), OCTETS, request.encode());
        let answers = match self.server.send(MAX_RESPONSE, post).await {
            Ok(bytes) => {
                decode_answers(&bytes).map_err(|error| Failure::new(Verdict::Invalid, "malformed", error))?
            }
            // Alone, each search says best what it means.
            Err(HttpError::Declined(_)) => return Ok(self.search_each(labels).await),
            Err(error) => return Err(error.into()),
        };
        if answers.len() != labels.len() {
            let message = "the answer is about another number of labels than was asked for";
            return Err(Failure::new(Verdict::Invalid, "malformed", message));
        }
        let mut found = Vec::new();
        for (label, answer) in labels.iter().zip(answers) {
            // Made anew from what the answers before it have proven, which is what the log answered to.
            let request = self.verifier.search_request(&self.state, label.as_bytes(), None);
            found.push(match answer {
                SearchAnswer::Response(response) => self.take_response(&request, response).await,
                SearchAnswer::Problem(uri) => {
                    let otherwise = || {
                        Failure::new(Verdict::Declined, "declined", "the log declined to look this label up")
                            .with("problem", uri.as_str())
                    };
                    match Problem::from_uri(&uri) {
                        Some(problem) => Err(self.refused_with(&request, problem, otherwise).await),
                        None => Err(otherwise()),
                    }
                }
            });
        }
        Ok(found)
    }

    async fn search_each(&mut self, labels: &[String]) -> Vec<Result<Found, Failure>> {
        let mut found = Vec::new();
        for label in labels {
            found.push(self.search(label.as_bytes(), None).await);
        }
        found
    }
}
