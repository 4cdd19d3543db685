//! Where the draft's reference implementation goes another way than the text: the text's way, one test for each
//! ("Divergences of the reference implementation" in `docs/deviations.md`).

use keyglass_tlog::time::UnixMillis;

use super::{model::NaiveLog, *};
use crate::{
    client::{UserState, Verifier, VerifyError},
    config::CipherSuite,
    ladder::{base_ladder, monitoring_ladder},
    log_tree::{self, NodeId},
    prefix_tree::{self, PrefixProofError, model::Model},
    wire::{PrefixLeaf, PrefixProof, PrefixSearchKind, SearchRequest, SearchResponse, UpdateResponse, Wire},
};

const LABEL: &[u8] = b"alice";
const STEP: u64 = 10;

/// A log in suite 0x0002 and who verifies it.
struct World {
    log: NaiveLog,
    verifier: Verifier,
}

impl World {
    /// No entry but the root of the implicit binary search tree is distinguished while the window spans more steps
    /// than there are entries.
    fn new(window: u64) -> Self {
        let log = NaiveLog::new(CipherSuite::Draft, window, None);
        let verifier = Verifier::new(&log.config.encode().unwrap(), None).unwrap();
        Self { log, verifier }
    }

    /// Adds entries up to `size`, the last of them with these values as the next versions of the label.
    fn grow(&mut self, size: u64, values: &[&[u8]]) {
        while self.log.size() < size {
            let updates: Vec<(&[u8], &[u8])> = values.iter().map(|value| (LABEL, *value)).collect();
            let last = self.log.size() + 1 == size;
            let timestamp = self.log.now().max(1_700_000_000_000) + STEP;
            self.log.append(timestamp, if last { &updates } else { &[] });
        }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.log.now())
    }

    fn respond(&self, request: &SearchRequest) -> SearchResponse {
        search(&self.log, &self.log.head(), request).unwrap()
    }

    fn judge(
        &self,
        state: &UserState,
        request: &SearchRequest,
        response: &SearchResponse,
    ) -> Result<(), VerifyError> {
        self.verifier
            .verify_search(state, request, &response.encode().unwrap(), self.now())
            .map(|_verified| ())
    }

    /// Searches for the greatest version and keeps what there is to keep.
    fn search(&self, state: &mut UserState) {
        let request = self.verifier.search_request(state, LABEL, None);
        let response = self.respond(&request).encode().unwrap();
        let verified = self.verifier.verify_search(state, &request, &response, self.now()).unwrap();
        state.apply(verified.update);
    }

    /// Takes the label over at `start`.
    fn own(&self, start: u64) -> UserState {
        let mut state = UserState::default();
        let request = self.verifier.owner_init_request(&state, LABEL, start);
        let response = owner_init(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
        let verified = self.verifier.verify_owner_init(&state, &request, &response, self.now()).unwrap();
        state.apply(verified.update);
        state
    }

    /// Tells the owner of all versions that it does not know yet, and gives the responses.
    fn tell(&self, state: &mut UserState) -> Vec<UpdateResponse> {
        let mut request = self.verifier.update_request(state, LABEL, Vec::new()).unwrap();
        let responses = update_responses(&self.log, &self.log.head(), &request, None).unwrap();
        for response in &responses {
            let verified = self.verifier.verify_update(state, &request, response, self.now()).unwrap();
            state.apply(verified.update);
            request = self.verifier.next_update_request(state, &request, &verified.result).unwrap();
        }
        responses
    }

    /// One round as a contact; gives the map after it.
    fn monitor(&self, state: &mut UserState) -> Vec<(u64, u32)> {
        let request = self.verifier.contact_monitor_request(state, LABEL).unwrap();
        let response = contact_monitor(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
        let verified = self.verifier.verify_contact_monitor(state, &request, &response, self.now()).unwrap();
        state.apply(verified.update);
        map(state)
    }

    /// One round as the owner; gives the map after it.
    fn owner_monitor(&self, state: &mut UserState) -> Vec<(u64, u32)> {
        let request = self.verifier.owner_monitor_request(state, LABEL).unwrap();
        let response = owner_monitor(&self.log, &self.log.head(), &request).unwrap().encode().unwrap();
        let verified = self.verifier.verify_owner_monitor(state, &request, &response, self.now()).unwrap();
        state.apply(verified.update);
        map(state)
    }
}

fn map(state: &UserState) -> Vec<(u64, u32)> {
    state.labels[LABEL].map.entries().map(|entry| (entry.position, entry.version)).collect()
}

fn outcomes(proof: &PrefixProof) -> Vec<bool> {
    proof.results.iter().map(|result| result.kind == PrefixSearchKind::Inclusion).collect()
}

/// The retained head ends on the new frontier, so the list is "the remainder of the frontier" alone.
#[test]
fn the_rest_of_the_frontier_is_given_from_left_to_right() {
    let mut world = World::new(u64::MAX);
    world.grow(4, &[b"value"]);
    let mut state = UserState::default();
    world.search(&mut state);
    world.grow(7, &[]);
    let request = world.verifier.search_request(&state, LABEL, None);
    let mut response = world.respond(&request);
    let rightmost = world.log.now();
    assert_eq!(response.search.timestamps, [rightmost - STEP, rightmost]);
    assert_eq!(world.judge(&state, &request, &response), Ok(()));
    response.search.timestamps.reverse();
    assert!(world.judge(&state, &request, &response).is_err());
}

#[test]
fn a_head_that_is_the_same_comes_without_the_retained_values() {
    let mut world = World::new(u64::MAX);
    world.grow(7, &[b"value"]);
    let mut state = UserState::default();
    world.search(&mut state);
    let request = world.verifier.search_request(&state, LABEL, None);
    let mut response = world.respond(&request);
    assert_eq!(response.full_tree_head, FullTreeHead::Same);
    assert!(response.search.inclusion.elements.is_empty());
    assert_eq!(world.judge(&state, &request, &response), Ok(()));
    response.search.inclusion.elements = state.tree.as_ref().unwrap().full_subtrees.clone();
    assert!(world.judge(&state, &request, &response).is_err());
}

#[test]
fn an_update_may_show_several_versions_beside_the_ladder() {
    let mut world = World::new(1000);
    world.grow(8, &[b"0"]);
    let mut owner = world.own(7);
    world.grow(10, &[b"1", b"2", b"3", b"4", b"5"]);
    let responses = world.tell(&mut owner);
    // The ladder for version 5 looks up 0, 1, 3, 7, 5 and 6.
    assert_eq!(responses[0].position, 9);
    assert_eq!(outcomes(responses[0].update.prefix_proofs.last().unwrap()), [true, true]);
    assert_eq!(owner.labels[LABEL].owner.as_ref().unwrap().greatest_version(), Some(5));
}

/// Versions 0, 1, 2 and 3 in the entries 7, 9, 12 and 14. When 3 is added, the frontier before it is 7, 11, 13. Entry
/// 11 is skipped since version 2 came after it, and all that a search would have shown there is that 1 exists.
#[test]
fn what_a_skipped_entry_did_not_hold_is_looked_up_after_it() {
    let mut world = World::new(1000);
    world.grow(8, &[b"0"]);
    let mut owner = world.own(7);
    world.grow(10, &[b"1"]);
    world.grow(13, &[b"2"]);
    world.grow(15, &[b"3"]);
    let responses = world.tell(&mut owner);
    let third = responses.last().unwrap();
    assert_eq!(third.position, 14);
    // From entry 13, where the ladder for version 2 looks up 0, 1, 3 and 2: 3 and 2.
    assert_eq!(outcomes(&third.update.prefix_proofs[0]), [false, true]);
}

#[test]
fn of_two_versions_that_meet_the_greater_stays_monitored() {
    let mut world = World::new(u64::MAX);
    let mut state = UserState::default();
    world.grow(4, &[b"0"]);
    world.search(&mut state);
    world.grow(8, &[b"1", b"2"]);
    world.search(&mut state);
    assert_eq!(map(&state), [(3, 0), (7, 2)]);
    assert_eq!(world.monitor(&mut state), [(7, 2)]);
}

/// Version 0 was monitored from entry 3 up to 7; then a search finds version 1 in entry 5.
#[test]
fn a_greater_version_found_below_a_lesser_one_is_monitored_in_its_place() {
    let mut world = World::new(u64::MAX);
    let mut state = UserState::default();
    world.grow(4, &[b"0"]);
    world.search(&mut state);
    world.grow(6, &[b"1"]);
    world.grow(7, &[b"2"]);
    world.grow(8, &[]);
    assert_eq!(world.monitor(&mut state), [(7, 0)]);
    let request = world.verifier.search_request(&state, LABEL, Some(1));
    let response = world.respond(&request).encode().unwrap();
    let verified = world.verifier.verify_search(&state, &request, &response, world.now()).unwrap();
    state.apply(verified.update);
    world.grow(16, &[]);
    assert_eq!(world.monitor(&mut state), [(15, 1)]);
}

/// The owner monitored version 0 from entry 16 up to 19 before it was told of version 1, in entry 18.
#[test]
fn a_version_that_the_owner_learns_of_late_is_monitored_in_place_of_a_lesser_one() {
    let mut world = World::new(1000);
    world.grow(16, &[]);
    let mut owner = world.own(15);
    world.grow(17, &[b"0"]);
    world.tell(&mut owner);
    world.grow(19, &[b"1"]);
    world.grow(20, &[]);
    assert_eq!(world.owner_monitor(&mut owner), [(19, 0)]);
    assert_eq!(world.tell(&mut owner)[0].position, 18);
    world.grow(24, &[]);
    assert_eq!(world.owner_monitor(&mut owner), [(23, 1)]);
}

/// Version 3 exists, and no log entry that the search for version 2 inspects shows it.
#[test]
fn a_version_that_exists_has_its_commitment_in_the_response() {
    let mut world = World::new(u64::MAX);
    world.grow(4, &[b"0", b"1", b"2"]);
    world.grow(5, &[b"3"]);
    let request = world.verifier.search_request(&UserState::default(), LABEL, Some(2));
    let response = world.respond(&request);
    assert_eq!(response.search.prefix_proofs.len(), 1);
    assert_eq!(outcomes(&response.search.prefix_proofs[0]), [true, true, false, true]);
    // The ladder for version 2: 0, 1, 3, 2.
    let given: Vec<bool> = response.binary_ladder.iter().map(|step| step.commitment.is_some()).collect();
    assert_eq!(given, [true, true, true, false]);
}

#[test]
fn the_leaf_of_a_key_does_not_show_its_absence() {
    let tree = Model([([0; 32], [1; 32]), ([0x80; 32], [2; 32])].into());
    let keys = [[0; 32]];
    let mut proof = tree.prove(&keys);
    assert_eq!(prefix_tree::evaluate(&tree.searches(&keys), &proof), Ok(tree.root()));
    let own_leaf = PrefixLeaf { vrf_output: keys[0], commitment: [1; 32] };
    proof.results[0].kind = PrefixSearchKind::NonInclusionLeaf(own_leaf);
    assert_eq!(prefix_tree::evaluate(&tree.searches(&keys), &proof), Err(PrefixProofError::LeafOfKey));
}

#[test]
fn two_searches_that_end_at_one_leaf_say_the_same_of_it() {
    let tree = Model([([0; 32], [1; 32]), ([0x80; 32], [2; 32])].into());
    let keys = [[0x10; 32], [0x20; 32]];
    let honest = tree.prove(&keys);
    assert_eq!(prefix_tree::evaluate(&tree.searches(&keys), &honest), Ok(tree.root()));
    let mut proof = honest;
    proof.results[1].kind =
        PrefixSearchKind::NonInclusionLeaf(PrefixLeaf { vrf_output: [0; 32], commitment: [3; 32] });
    assert_eq!(prefix_tree::evaluate(&tree.searches(&keys), &proof), Err(PrefixProofError::Contradiction));
}

#[test]
fn ladders_of_great_versions_end() {
    let greatest = u32::MAX;
    for version in [1 << 30, (1 << 31) - 2, (1 << 31) - 1, 1 << 31, greatest - 1, greatest] {
        let ladder = base_ladder(version);
        assert!(ladder.len() <= 64 && ladder.contains(&version), "{version}");
        assert_eq!(
            monitoring_ladder(version),
            ladder.into_iter().filter(|&v| v <= version).collect::<Vec<_>>()
        );
    }
}

/// A user who retained the head of 4 entries computes the auditor's root at that size without being sent a thing.
#[test]
fn an_auditors_size_adds_nothing_that_is_known() {
    let without = log_tree::plan(7, &[5, 6], Some(4), None).unwrap();
    assert_eq!(log_tree::plan(7, &[5, 6], Some(4), Some(4)), Ok(without.clone()));
    assert_eq!(without, [NodeId::leaf(4)]);
    // Nor a leaf whose log entry is given.
    assert_eq!(log_tree::plan(3, &[2], None, Some(3)), log_tree::plan(3, &[2], None, None));
}
