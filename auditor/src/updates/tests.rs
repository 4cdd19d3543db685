use keyglass_keytrans::wire::{BatchPrefixProof, PrefixLeaf, PrefixSearchKind, PrefixSearchResult};
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { leaves: 50 };

fn update(added: usize, removed: usize, elements: usize, kinds: &[u8]) -> BatchAuditorUpdate {
    let leaf = |i: usize| PrefixLeaf { vrf_output: [i as u8; 32], commitment: [7; 32] };
    let kind = |i: usize| match kinds.get(i).copied().unwrap_or(1) % 3 {
        0 => PrefixSearchKind::Inclusion,
        1 => PrefixSearchKind::NonInclusionLeaf(leaf(i)),
        _ => PrefixSearchKind::NonInclusionParent,
    };
    let results =
        (0..added + removed).map(|i| PrefixSearchResult { kind: kind(i), depth: i as u8 }).collect();
    BatchAuditorUpdate {
        timestamp: 5,
        added: (0..added).map(leaf).collect(),
        removed: (0..removed).map(leaf).collect(),
        proof: BatchPrefixProof { results, elements: vec![[9; 32]; elements] },
    }
}

fn encode(form: Form, update: &BatchAuditorUpdate) -> Vec<u8> {
    match form {
        Form::Batch => update.encode().unwrap(),
        Form::Draft => AuditorUpdate::try_from(update.clone()).unwrap().encode().unwrap(),
    }
}

proptest! {
    #[test]
    fn whatever_pieces_arrive_the_updates_are_the_same(
        shapes in prop::collection::vec((0_usize..20, 0_usize..20, 0_usize..30, any::<[u8; 40]>()), 0..6),
        cuts in prop::collection::vec(1_usize..200, 1..50), short in 0_usize..40,
    ) {
        for form in [Form::Draft, Form::Batch] {
            let updates: Vec<Vec<u8>> =
                shapes.iter().map(|(a, r, e, kinds)| encode(form, &update(*a, *r, *e, kinds))).collect();
            let mut stream = updates.concat();
            let rest = stream.split_off(stream.len().saturating_sub(short));
            let mut splitter = Splitter::new(form, LIMITS);
            let (mut left, mut cuts) = (&stream[..], cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, after) = left.split_at((*cuts.next().unwrap()).min(left.len()));
                splitter.push(piece).unwrap();
                left = after;
            }
            let (complete, begun) = splitter.finish();
            prop_assert_eq!(&complete[..], &updates[..complete.len()]);
            prop_assert_eq!([complete.concat(), begun.clone()].concat(), stream);
            // Exactly those are complete whose last byte has arrived.
            let next = updates.get(complete.len());
            prop_assert!(next.is_none_or(|next| begun.len() < next.len()));
            prop_assert!(next.is_some() || (begun.is_empty() && rest.is_empty()));
            for bytes in &complete {
                prop_assert_eq!(&encode(form, &form.decode(bytes).unwrap()), bytes);
            }
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused_within_the_bounds(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        for form in [Form::Draft, Form::Batch] {
            let mut splitter = Splitter::new(form, LIMITS);
            for piece in bytes.chunks(64) {
                if splitter.push(piece).is_err() {
                    break;
                }
            }
            let (complete, begun) = splitter.finish();
            prop_assert!(begun.len() <= LIMITS.bytes() + 64);
            prop_assert!(complete.iter().all(|update| update.len() <= LIMITS.bytes()));
        }
    }
}

fn refused(form: Form, bytes: &[u8]) -> Malformed {
    Splitter::new(form, LIMITS).push(bytes).unwrap_err()
}

#[test]
fn counts_are_judged_before_what_they_announce_arrives() {
    let timestamp = [0; 8];
    let huge = [&timestamp[..], &u32::MAX.to_be_bytes()].concat();
    assert_eq!(refused(Form::Batch, &huge), Malformed::Leaves { leaves: u32::MAX as usize, limit: 50 });
    let huge = [&timestamp[..], &51_u16.to_be_bytes()].concat();
    assert_eq!(refused(Form::Draft, &huge), Malformed::Leaves { leaves: 51, limit: 50 });
    // Added and removed count together.
    let both = encode(Form::Batch, &update(30, 21, 0, &[]));
    assert_eq!(
        refused(Form::Batch, &both[..8 + 4 + 30 * 64 + 4]),
        Malformed::Leaves { leaves: 51, limit: 50 }
    );
    assert!(Malformed::Leaves { leaves: 51, limit: 50 }.is_limit());

    let mut more = encode(Form::Batch, &update(2, 1, 0, &[]));
    let results = 8 + 4 + 2 * 64 + 4 + 64;
    more[results..results + 4].copy_from_slice(&4_u32.to_be_bytes());
    assert_eq!(refused(Form::Batch, &more[..results + 4]), Malformed::Results { results: 4, leaves: 3 });
    let mut kind = encode(Form::Batch, &update(2, 1, 0, &[]));
    kind[results + 4] = 9;
    assert_eq!(refused(Form::Batch, &kind[..results + 5]), Malformed::Kind);
    let mut elements = encode(Form::Batch, &update(0, 0, 0, &[]));
    elements[8 + 4 + 4 + 4..].copy_from_slice(&(1_u32 << 30).to_be_bytes());
    assert_eq!(refused(Form::Batch, &elements), Malformed::Bytes { limit: LIMITS.bytes() });
}

#[test]
fn the_bytes_allowed_are_enough_for_paths_in_large_trees() {
    // A single leaf among 2^60, and the limit's leaves among 2^33, each with a path of its own below the shared top.
    let one = encode(Form::Batch, &update(1, 0, 62, &[]));
    assert!(one.len() <= Limits { leaves: 1 }.bytes());
    let leaves = 1 << 17;
    assert!(leaves * (64 + 66 + 32 * (33 - 17)) <= Limits { leaves }.bytes());
}
