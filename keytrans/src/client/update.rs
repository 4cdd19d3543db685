//! Updating a label.

use std::collections::BTreeMap;

use keyglass_tlog::time::UnixMillis;

use super::{
    error::VerifyError,
    operation::{Verified, merge_versions},
    state::{KnownVersion, LabelState, StateUpdate, UserState},
    trust::Verifier,
};
use crate::{
    algorithms::{NewVersions, update_label},
    ladder::versions_for_update,
    wire::{
        CommitmentValue, Context, LabelValue, Reader, UpdateRequest, UpdateResponse, UpdateValue, Wire,
        WireError,
    },
};

/// The versions that one log entry created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedVersions {
    /// The log entry.
    pub position: u64,
    /// The versions, ascending, each with its value; those that third-party management skipped have none.
    pub versions: Vec<(u32, Option<Vec<u8>>)>,
    /// Whether the values are the ones that the request asked for. If not, they are somebody else's doing, or an
    /// earlier request's.
    pub requested: bool,
    /// Whether the greatest of them is now in the monitoring map.
    pub monitored: bool,
    /// The versions that the log entry was shown to hold, ascending. The others follow from owner monitoring.
    pub proven: Vec<u32>,
}

/// The responses to one update request, of which there is one for each log entry that created versions.
///
/// # Errors
/// [`WireError`]. No response at all is [`WireError::Truncated`].
pub fn decode_update_responses(bytes: &[u8], context: Context) -> Result<Vec<UpdateResponse>, WireError> {
    let mut reader = Reader::new(bytes, context);
    let mut responses = vec![UpdateResponse::read(&mut reader)?];
    while reader.remaining() > 0 {
        responses.push(UpdateResponse::read(&mut reader)?);
    }
    Ok(responses)
}

/// The most versions that one response can vouch for: it has a VRF proof for each.
const MAX_NEW_VERSIONS: usize = 255;

/// The commitment of a version that third-party management skipped.
const SKIPPED: [u8; 32] = [0; 32];

impl Verifier {
    /// The request to store `values` as the next versions of an owned label, or, with none, to be told of versions
    /// that exist already. `None` if the label is not owned.
    #[must_use]
    pub fn update_request(
        &self,
        state: &UserState,
        label: &[u8],
        values: Vec<Vec<u8>>,
    ) -> Option<UpdateRequest> {
        let owner = state.label(label)?.owner.as_ref()?;
        Some(UpdateRequest {
            last: state.last(),
            label: label.to_vec(),
            greatest_version: owner.greatest_version(),
            values: values.into_iter().map(|value| LabelValue { value }).collect(),
        })
    }

    /// The context for [`decode_update_responses`].
    #[must_use]
    pub fn response_context(&self) -> Context {
        self.context()
    }

    /// Verifies one response to `request`, which was made from `state`. If there are several, each further one answers
    /// [`Self::next_update_request`], made from the state after the one before.
    ///
    /// # Errors
    /// [`VerifyError`]; then nothing of the response may be used.
    pub fn verify_update(
        &self,
        state: &UserState,
        request: &UpdateRequest,
        response: &UpdateResponse,
        now: UnixMillis,
    ) -> Result<Verified<CreatedVersions>, VerifyError> {
        Self::check_state(state, request.last)?;
        let label = request.label.as_slice();
        let known = state.label(label).ok_or(VerifyError::NotOwned)?;
        let owner = known.owner.as_ref().ok_or(VerifyError::NotOwned)?;
        let previous = owner.greatest_version();
        if request.greatest_version != previous {
            return Err(VerifyError::WrongState);
        }
        let requested = response.values.is_empty();
        let values = if requested { &request.values } else { &response.values };
        let (new, unskipped) = new_versions(previous, response, values)?;
        let mut learned = self.learned_versions(label, previous, new, response)?;
        let mut versions = Vec::with_capacity(values.len());
        for skipped in new.first..*unskipped.start() {
            set_commitment(&mut learned, known, skipped, SKIPPED)?;
            versions.push((skipped, None));
        }
        for (version, (value, info)) in unskipped.zip(values.iter().zip(&response.info)) {
            let update = UpdateValue { value: value.value.clone(), suffix: info.suffix.clone() };
            self.verify_operator(label, version, &update)?;
            let committed = CommitmentValue { opening: info.opening, label: label.to_vec(), version, update };
            set_commitment(&mut learned, known, version, committed.commitment()?)?;
            versions.push((version, Some(value.value.clone())));
        }
        let mut all = known.versions.clone();
        all.extend(learned.iter().map(|(&version, &known)| (version, known)));
        let (outcome, concluded) =
            self.run(state, &response.full_tree_head, &response.update, &all, now, |view, tree| {
                update_label(view, tree, owner, new)
            })?;
        let mut map = known.map.clone();
        if outcome.monitored {
            map.watch(new.position, new.last);
        }
        let mut owner = owner.clone();
        owner.later_versions.push((new.position, new.last));
        let versions_known = merge_versions(Some(known), learned, &concluded.consumed.shown)?;
        let label_state = LabelState { map, owner: Some(owner), versions: versions_known };
        Ok(Verified {
            result: CreatedVersions {
                position: new.position,
                versions,
                requested,
                monitored: outcome.monitored,
                proven: outcome.proven,
            },
            head: concluded.head,
            update: StateUpdate { tree: concluded.tree, label: Some((label.to_vec(), label_state)) },
        })
    }

    /// The request that a further response to `request` answers, after `created` was verified and `state` updated.
    #[must_use]
    pub fn next_update_request(
        &self,
        state: &UserState,
        request: &UpdateRequest,
        created: &CreatedVersions,
    ) -> Option<UpdateRequest> {
        let values = if created.requested { Vec::new() } else { request.values.clone() };
        let values = values.into_iter().map(|value| value.value).collect();
        self.update_request(state, &request.label, values)
    }

    /// The search keys of the versions whose VRF proofs the response carries, with the commitments of those that
    /// existed before (verification step 4).
    fn learned_versions(
        &self,
        label: &[u8],
        previous: Option<u32>,
        new: NewVersions,
        response: &UpdateResponse,
    ) -> Result<BTreeMap<u32, KnownVersion>, VerifyError> {
        let needed = versions_for_update(previous, &(new.first..=new.last).collect::<Vec<u32>>());
        if needed.len() != response.binary_ladder.len() {
            return Err(VerifyError::LadderLength);
        }
        let mut versions = BTreeMap::new();
        for (version, step) in needed.into_iter().zip(&response.binary_ladder) {
            if step.commitment.is_some() && previous.is_none_or(|previous| version > previous) {
                return Err(VerifyError::CommitmentGiven(version));
            }
            let key = self.search_key(label, version, step)?;
            versions.insert(version, KnownVersion { key, commitment: step.commitment, shown: false });
        }
        Ok(versions)
    }
}

/// The versions that a response says were created, and which of them have values.
fn new_versions(
    previous: Option<u32>,
    response: &UpdateResponse,
    values: &[LabelValue],
) -> Result<(NewVersions, std::ops::RangeInclusive<u32>), VerifyError> {
    let skipped = response.skipped_versions.unwrap_or(0);
    let count = usize::try_from(skipped).ok().and_then(|skipped| skipped.checked_add(values.len()));
    if response.info.is_empty()
        || response.info.len() != values.len()
        || count.is_none_or(|count| count > MAX_NEW_VERSIONS)
    {
        return Err(VerifyError::NewVersions);
    }
    let values = u32::try_from(values.len()).map_err(|_| VerifyError::NewVersions)?;
    let first =
        previous.map_or(Some(0), |previous| previous.checked_add(1)).ok_or(VerifyError::NewVersions)?;
    let first_value = first.checked_add(skipped).ok_or(VerifyError::NewVersions)?;
    let last = first_value.checked_add(values.saturating_sub(1)).ok_or(VerifyError::NewVersions)?;
    Ok((NewVersions { position: response.position, first, last }, first_value..=last))
}

/// Sets a new version's commitment. Its search key was proven now, or is known because the ladder of the version
/// before looked it up.
fn set_commitment(
    learned: &mut BTreeMap<u32, KnownVersion>,
    known: &LabelState,
    version: u32,
    commitment: [u8; 32],
) -> Result<(), VerifyError> {
    let key = learned
        .get(&version)
        .or_else(|| known.versions.get(&version))
        .map(|known| known.key)
        .ok_or(VerifyError::LadderLength)?;
    learned.insert(version, KnownVersion { key, commitment: Some(commitment), shown: false });
    Ok(())
}
