//! The part of a batch that needs no lock: where its versions go in the prefix tree, and what they commit to.

use std::{sync::Arc, thread};

use keyglass_crypto::{commitment::OPENING_LEN, vrf::VrfSecretKey};
use keyglass_keytrans::wire::{PrefixLeaf, WireError};
use rand::CryptoRng;

use super::{Submission, entry};
use crate::store::OpenedValue;

/// A submission with its openings and the leaves that it adds to the prefix tree.
pub(super) struct Prepared {
    pub(super) submission: Submission,
    pub(super) values: Vec<OpenedValue>,
    pub(super) leaves: Vec<PrefixLeaf>,
}

/// One version of a label, before its leaf is known.
struct Work<'a> {
    label: &'a [u8],
    version: u32,
    opened: &'a OpenedValue,
}

/// Draws openings and computes leaves, on up to `threads` threads.
///
/// # Errors
/// [`WireError`] if a label or a value has no encoding; submissions were checked for that when they were admitted.
pub(super) fn prepare(
    submissions: Vec<Submission>,
    key: &Arc<VrfSecretKey>,
    rng: &mut dyn CryptoRng,
    threads: usize,
) -> Result<Vec<Prepared>, WireError> {
    let mut prepared: Vec<Prepared> = submissions
        .into_iter()
        .map(|mut submission| {
            let values = core::mem::take(&mut submission.values).into_iter().map(|value| {
                let mut opening = [0; OPENING_LEN];
                rng.fill_bytes(&mut opening);
                OpenedValue { opening, value }
            });
            Prepared { values: values.collect(), leaves: Vec::new(), submission }
        })
        .collect();
    let work: Vec<Work<'_>> = prepared
        .iter()
        .flat_map(|one| {
            let versions = one.submission.first_version..=u32::MAX;
            let label = one.submission.claim.label();
            versions.zip(&one.values).map(move |(version, opened)| Work { label, version, opened })
        })
        .collect();
    let mut leaves = leaves(&work, key, threads)?.into_iter();
    for one in &mut prepared {
        one.leaves = leaves.by_ref().take(one.values.len()).collect();
    }
    Ok(prepared)
}

fn leaves(work: &[Work<'_>], key: &Arc<VrfSecretKey>, threads: usize) -> Result<Vec<PrefixLeaf>, WireError> {
    // Fewer versions than this are done before a thread has started.
    const WORTH_A_THREAD: usize = 16;
    let share = work.len().div_ceil(threads.max(1)).max(WORTH_A_THREAD);
    let compute = |share: &[Work<'_>]| {
        let leaf = |one: &Work<'_>| entry::leaf(key, one.label, one.version, one.opened);
        share.iter().map(leaf).collect::<Result<Vec<_>, _>>()
    };
    if work.len() <= share {
        return compute(work);
    }
    thread::scope(|scope| {
        let running: Vec<_> = work.chunks(share).map(|share| scope.spawn(move || compute(share))).collect();
        let mut all = Vec::with_capacity(work.len());
        for thread in running {
            match thread.join() {
                Ok(leaves) => all.extend(leaves?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}
