//! Taking updates: one at a time for each label, answered when they are published.

use std::sync::Arc;

use keyglass_account::problem::Problem;
use keyglass_keytrans::wire::UpdateRequest;
use tokio::sync::oneshot;

use crate::{
    answers,
    http::failure::Failure,
    log::Log,
    sequencer::{AdmitError, MAX_VALUES, Sequenced, SubmitError},
    store::LabelRecord,
    values::{self, Author, ValueError},
};

/// What an update turned out to be.
enum Step {
    /// There are newer versions than the requester knows: it is told of them.
    Tell,
    /// New versions are on their way; the last of them is `greatest`.
    Submitted { greatest: u32, sequenced: oneshot::Receiver<Sequenced> },
}

/// Carries out an update. `authorization` is the header of that name, at which only the policy of registration looks, and only
/// for version 0.
///
/// While a version of the label is not published yet, any update of the label is asked to come back; whoever comes
/// back finds the version, and recognises values of its own.
///
/// # Errors
/// Why nothing was changed; [`Problem::UpdatePending`] also if it was, but is not published in time.
pub async fn update(
    log: &Arc<Log>,
    request: UpdateRequest,
    author: Author,
    authorization: Option<String>,
) -> Result<Vec<u8>, Failure> {
    let step = {
        let (log, request) = (Arc::clone(log), request.clone());
        Arc::clone(&log).block(move || begin(&log, &request, author, authorization.as_deref())).await?
    };
    match step {
        Step::Tell => answers::update(log, request, None).await,
        Step::Submitted { greatest, sequenced } => {
            wait(log, sequenced).await?;
            answers::update(log, request, Some(greatest)).await
        }
    }
}

fn pending() -> Failure {
    Failure::new(Problem::UpdatePending).retry_after(1)
}

/// Waits until an update is sequenced and published.
async fn wait(log: &Log, sequenced: oneshot::Receiver<Sequenced>) -> Result<(), Failure> {
    let published = async {
        // Whether an interrupted update is durable shows after the restart.
        let Sequenced { position } = sequenced.await.map_err(|_| pending())?;
        let mut heads = log.published().watch();
        let reached = heads.wait_for(|head| head.as_ref().is_some_and(|head| head.size > position)).await;
        reached.map(|_| ()).map_err(|_| pending())
    };
    tokio::time::timeout(log.limits().publication, published).await.map_err(|_| pending())?
}

/// Decides what to do about a request and, if it adds versions, hands them in. Blocks on the store.
fn begin(
    log: &Log,
    request: &UpdateRequest,
    author: Author,
    authorization: Option<&str>,
) -> Result<Step, Failure> {
    let label = request.label.as_slice();
    keyglass_account::label::check(label).map_err(|error| Failure::new(error.into()).because(error))?;
    if request.values.len() > MAX_VALUES {
        return Err(Problem::TooManyValues.into());
    }
    let Ok(sequencer) = log.sequencer() else {
        // Nothing can be pending, and what is published can be told of.
        let record = log.store().snapshot()?.label(label)?;
        return match compare(request, record.as_ref())? {
            Comparison::Behind => Ok(Step::Tell),
            Comparison::Equal => log.sequencer().map(|_| Step::Tell),
        };
    };
    let admission = sequencer.admit(label).map_err(|error| match error {
        AdmitError::Pending => pending(),
        AdmitError::Label(error) => Failure::new(error.into()),
        AdmitError::Store(error) => error.into(),
    })?;
    // The head is read after the label's record: what was published when the record was read still is.
    let head = log.head()?;
    // What could not be answered in the end is not begun.
    answers::served_head(log, &head, &*log.store().snapshot()?)?;
    if admission.record().is_some_and(|record| record.newest_position() >= head.size) {
        return Err(pending());
    }
    if request.last.is_some_and(|last| last == 0 || last > head.size) {
        return Err(
            Failure::new(Problem::LastBeyondTree).because(format!("the log has {} entries", head.size))
        );
    }
    match compare(request, admission.record())? {
        Comparison::Behind => return Ok(Step::Tell),
        Comparison::Equal if request.values.is_empty() => {
            let known = admission.record().is_some();
            return Err(if known { Problem::NoValues } else { Problem::UnknownLabel }.into());
        }
        Comparison::Equal => {}
    }
    if admission.record().is_none() {
        log.admission().admit(log.origin(), label, authorization)?;
    }
    let values: Vec<Vec<u8>> = request.values.iter().map(|value| value.value.clone()).collect();
    let count = u32::try_from(values.len()).map_err(|_| Problem::TooManyValues)?;
    let no_versions_left = || Failure::new(Problem::TooManyValues).because(SubmitError::NoVersionsLeft);
    let first = match admission.record() {
        None => 0,
        Some(record) => record.greatest().checked_add(1).ok_or_else(no_versions_left)?,
    };
    let greatest = first.checked_add(count.saturating_sub(1)).ok_or_else(no_versions_left)?;
    values::check(&*log.store().snapshot()?, log.origin(), label, first, &values, author)?;
    let sequenced = admission.submit(values).map_err(|error| match error {
        SubmitError::ValueCount | SubmitError::NoVersionsLeft => {
            Failure::new(Problem::TooManyValues).because(error)
        }
        SubmitError::Busy | SubmitError::Stopped => {
            Failure::new(Problem::Unavailable).because(error).retry_after(1)
        }
    })?;
    Ok(Step::Submitted { greatest, sequenced })
}

/// How what the requester knows compares with the sequenced versions.
enum Comparison {
    Behind,
    Equal,
}

fn compare(request: &UpdateRequest, record: Option<&LabelRecord>) -> Result<Comparison, Failure> {
    let current = record.map(LabelRecord::greatest);
    match request.greatest_version.cmp(&current) {
        core::cmp::Ordering::Less => Ok(Comparison::Behind),
        core::cmp::Ordering::Equal => Ok(Comparison::Equal),
        core::cmp::Ordering::Greater => {
            let detail = current.map_or("the label has no version".to_owned(), |greatest| {
                format!("the label's greatest version is {greatest}")
            });
            Err(Failure::new(Problem::GreatestVersionBeyond).because(detail))
        }
    }
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        let problem = match &error {
            ValueError::Invalid { error, .. } => Problem::from(*error),
            ValueError::ResetByOwner => Problem::ResetNotAllowed,
            ValueError::NotAReset => Problem::WrongAuthorisation,
            ValueError::OwnerErased(_) => Problem::ErasedVersion,
            ValueError::Store(error) => return error.clone().into(),
        };
        Self::new(problem).because(error)
    }
}
