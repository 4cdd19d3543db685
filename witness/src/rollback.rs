//! What the witness's own cosignatures say about its state: one that the state does not know of proves that the state is
//! older than what was signed.

use keyglass_tlog::{
    checkpoint::CheckpointError,
    note::{SignatureLine, SignedNote, Vkey, verify_lines},
    time::UnixSeconds,
};
use thiserror::Error;

use crate::{
    decide::{Refusal, log_signed},
    head::Head,
    kept::{Kept, Suspended},
};

/// The most lines under the witness's own names that are verified: no honest note has more than one of each key.
const MAX_OWN_LINES: usize = 4;

/// The lines of a note that verify under one of the witness's keys, and the latest time in them.
pub(crate) fn own_cosignatures(
    note: &SignedNote,
    own: &[&Vkey],
) -> Option<(Vec<SignatureLine>, UnixSeconds)> {
    let claimed =
        |line: &&SignatureLine| own.iter().any(|key| key.id() == line.id() && key.name() == line.name());
    let mut found: Option<(Vec<SignatureLine>, UnixSeconds)> = None;
    for line in note.signatures().iter().filter(claimed).take(MAX_OWN_LINES) {
        // Each by itself: a line that somebody made up must not hide another.
        let verified = verify_lines(note.text(), std::slice::from_ref(line), own).unwrap_or_default();
        if let Some(time) = verified.first().and_then(|verified| verified.time) {
            let (lines, latest) = found.get_or_insert_with(Default::default);
            lines.push(line.clone());
            *latest = time.max(*latest);
        }
    }
    found
}

/// Why a checkpoint says nothing about what this witness has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotShown {
    /// The note's text is not a checkpoint.
    #[error(transparent)]
    NotACheckpoint(#[from] CheckpointError),
    /// The policy has no key of this log.
    #[error("the policy does not have this log")]
    UnknownLog,
    /// A key of the log did not sign, or its signature is bad.
    #[error("the log's signature: {0}")]
    Log(#[from] Refusal),
    /// No key of this witness signed.
    #[error("no cosignature of this witness is on it")]
    NotCosigned,
}

/// The head that a checkpoint shows this witness to have cosigned, with the log's verified lines and its own.
///
/// # Errors
/// [`NotShown`].
pub fn shown_by(note: SignedNote, log_keys: &[Vkey], own: &[&Vkey]) -> Result<Head, NotShown> {
    let (lines, time) = own_cosignatures(&note, own).ok_or(NotShown::NotCosigned)?;
    if log_keys.is_empty() {
        return Err(NotShown::UnknownLog);
    }
    Ok(log_signed(&note, log_keys)?.at(time).with_cosignatures(lines))
}

/// Whether `state` is older than what a submitted note shows to have been signed: `submitted` is its head, with the log's
/// verified lines. The result is what to keep for the log instead.
///
/// No cosignature leaves before its head is stored, so an honest state has at least the size and the time of each.
pub(crate) fn proven_by(
    note: &SignedNote,
    submitted: &Head,
    state: Option<&Head>,
    own: &[&Vkey],
) -> Option<Suspended> {
    let (lines, time) = own_cosignatures(note, own)?;
    let behind = state.is_none_or(|head| {
        let (known, shown) = (head.checkpoint(), submitted.checkpoint());
        time > head.time()
            || shown.tree_size() > known.tree_size()
            || (shown.tree_size() == known.tree_size() && shown.root() != known.root())
    });
    let proof = || submitted.clone().at(time).with_cosignatures(lines);
    behind.then(|| Suspended { head: state.cloned(), proof: Some(proof()) })
}

/// The witness's key has signed two roots for one size: nothing can repair that.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{}: this witness has signed two trees of the size {}; it must go on under new keys only",
    .0.checkpoint().origin(), .0.checkpoint().tree_size()
)]
pub struct TwoRoots(pub Box<Head>);

/// What to keep for a log once its operator has shown the checkpoints `shown`, each cosigned by this witness, or has said
/// that the state is to count `as_it_is`. `None` if that confirms nothing.
///
/// # Errors
/// [`TwoRoots`].
pub(crate) fn confirm(kept: &Kept, shown: &[Head], as_it_is: bool) -> Result<Option<Kept>, TwoRoots> {
    let proof = match kept {
        Kept::Suspended(suspended) => suspended.proof.as_ref(),
        Kept::Nothing | Kept::Head(_) => None,
    };
    let known: Vec<&Head> = kept.head().into_iter().chain(proof).collect();
    let size = |head: &Head| head.checkpoint().tree_size();
    let all = || known.iter().copied().chain(shown);
    for (index, head) in all().enumerate() {
        let same_size = all().take(index).filter(|other| size(other) == size(head));
        if let Some(other) = same_size.into_iter().find(|o| o.checkpoint().root() != head.checkpoint().root())
        {
            return Err(TwoRoots(Box::new(other.clone())));
        }
    }
    // A copy that is older than the state says nothing about what came after.
    let floor = known.iter().copied().map(size).max();
    let reaches = |head: &Head| floor.is_none_or(|floor| size(head) >= floor);
    if !as_it_is && !shown.iter().any(reaches) {
        return Ok(None);
    }
    let latest = all().map(Head::time).max().unwrap_or_default();
    let largest = all().max_by_key(|head| (size(head), head.time()));
    Ok(Some(largest.map_or(Kept::Nothing, |head| Kept::Head(head.clone().at(latest)))))
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sign::SigningKey};
    use keyglass_tlog::{
        Digest,
        checkpoint::Checkpoint,
        cosignature::Cosigner,
        note::{KeyName, NoteSigner},
    };

    use super::*;

    const T: u64 = 1_700_000_000;

    fn name(name: &str) -> KeyName {
        KeyName::new(name).unwrap()
    }

    fn cosigners() -> [Cosigner; 2] {
        [
            Cosigner::new(name("w.example"), SigningKey::from_seed(&[2; 32])),
            Cosigner::ml_dsa_44(name("w.example"), MlDsaSigningKey::from_seed(&[3; 32])).unwrap(),
        ]
    }

    fn head(size: u64, root: Digest, time: u64) -> Head {
        let log = NoteSigner::new(name("log.example"), SigningKey::from_seed(&[1; 32]));
        let text = Checkpoint::new("log.example", size, root).unwrap().text();
        let note = SignedNote::new(&text, vec![log.sign(&text)]).unwrap();
        Head::new(note, UnixSeconds(time)).unwrap()
    }

    /// The head's note with lines of these cosigners.
    fn cosigned(head: &Head, cosigners: &[Cosigner], time: u64) -> SignedNote {
        let line = |c: &Cosigner| c.cosign(head.checkpoint(), UnixSeconds(time)).unwrap();
        head.cosigned(cosigners.iter().map(line).collect()).unwrap()
    }

    #[test]
    fn a_cosignature_beyond_the_state_proves_that_it_lags() {
        let ours = cosigners();
        let own: Vec<&Vkey> = ours.iter().map(Cosigner::vkey).collect();
        let state = head(5, [5; 32], T);
        let proves = |submitted: &Head, time, state: Option<&Head>| {
            let each = ours.iter().map(|one| {
                let note = cosigned(submitted, std::slice::from_ref(one), time);
                proven_by(&note, submitted, state, &own).is_some()
            });
            let found: Vec<bool> = each.collect();
            assert_eq!(found[0], found[1], "either key proves as much");
            found[0]
        };
        // What the state knows of.
        assert!(!proves(&head(5, [5; 32], 0), T, Some(&state)));
        assert!(!proves(&head(4, [4; 32], 0), T - 9, Some(&state)));
        // A larger size, a later time, another root, or no state at all.
        assert!(proves(&head(6, [6; 32], 0), T - 9, Some(&state)));
        assert!(proves(&head(5, [5; 32], 0), T + 1, Some(&state)));
        assert!(proves(&head(4, [4; 32], 0), T + 1, Some(&state)));
        assert!(proves(&head(5, [9; 32], 0), T, Some(&state)));
        assert!(proves(&head(0, [0; 32], 0), 1, None));
    }

    #[test]
    fn what_others_make_up_proves_nothing() {
        let ours = cosigners();
        let own: Vec<&Vkey> = ours.iter().map(Cosigner::vkey).collect();
        let submitted = head(9, [9; 32], 0);
        let other = Cosigner::new(name("w.example"), SigningKey::from_seed(&[4; 32]));
        let of_another = cosigned(&head(8, [8; 32], 0), &ours, T).signatures()[1..].to_vec();
        let stranger = cosigned(&submitted, &[other], T).signatures()[1..].to_vec();
        for lines in [stranger, of_another.clone(), vec![of_another[0].clone(); 60]] {
            let note = submitted.cosigned(lines).unwrap();
            assert_eq!(proven_by(&note, &submitted, None, &own), None);
        }
        // But a bad line before a good one hides nothing.
        let good = cosigned(&submitted, &ours[1..], T).signatures()[1].clone();
        let note = submitted.cosigned(vec![of_another[0].clone(), good]).unwrap();
        let proof = proven_by(&note, &submitted, None, &own).unwrap().proof.unwrap();
        assert_eq!((proof.time(), proof.cosignatures().len()), (UnixSeconds(T), 1));
    }

    #[test]
    fn a_floor_is_raised_confirmed_or_left() {
        let state = Kept::Head(head(5, [5; 32], T));
        let with_proof =
            |proof| Kept::Suspended(Suspended { head: Some(head(5, [5; 32], T)), proof: Some(proof) });
        let newer = head(9, [9; 32], T + 60);
        let raised = Kept::Head(newer.clone());
        assert_eq!(confirm(&state, std::slice::from_ref(&newer), false), Ok(Some(raised.clone())));
        assert_eq!(confirm(&Kept::Nothing, std::slice::from_ref(&newer), false), Ok(Some(raised.clone())));
        // The same head again, at a later time: the time counts.
        let later = confirm(&state, &[head(5, [5; 32], T + 7)], false).unwrap().unwrap();
        assert_eq!(later.head().unwrap().time(), UnixSeconds(T + 7));
        // Older copies confirm nothing, nor do copies below what is proven.
        assert_eq!(confirm(&state, &[head(4, [4; 32], T - 1)], false), Ok(None));
        let suspended = with_proof(newer.clone());
        assert_eq!(confirm(&suspended, &[head(7, [7; 32], T)], false), Ok(None));
        // As it is: but never below what is proven, and never at an earlier time.
        assert_eq!(confirm(&state, &[], true), Ok(Some(state.clone())));
        assert_eq!(confirm(&suspended, &[], true), Ok(Some(raised)));
        assert_eq!(confirm(&Kept::Nothing, &[], true), Ok(Some(Kept::Nothing)));
        let timed = confirm(&with_proof(head(3, [3; 32], T + 99)), &[], true).unwrap().unwrap();
        assert_eq!(
            timed.head().map(|head| (head.checkpoint().tree_size(), head.time().0)),
            Some((5, T + 99))
        );
        // Two roots for one size, wherever they are found.
        for shown in [vec![head(5, [6; 32], T)], vec![head(8, [1; 32], T), head(8, [2; 32], T)]] {
            assert!(confirm(&state, &shown, true).is_err());
        }
        assert!(confirm(&with_proof(head(5, [6; 32], T)), &[], true).is_err());
    }
}
