//! First contact, and contact after a reset: what must be searched, and what an attacker can no longer hide.

use keyglass_account::{
    author::{Draft, sign},
    chain::{Chain, Predecessor},
    record::{AccountRecord, Authorisation, RecordError},
    root::{Finding, MAX_STEPS},
    verify::{AuthorisedBy, ValidRecord},
};

use crate::cast::*;

fn next(
    before: &ValidRecord,
    make: impl FnOnce(Draft<'_>) -> Result<AccountRecord, RecordError>,
) -> ValidRecord {
    valid(&make(after(before)).unwrap(), Some(before))
}

/// Removes everything of the owner's and puts the provider's device in.
fn takeover(draft: Draft<'_>) -> Draft<'_> {
    let id = draft.next_device_id();
    let mut draft = draft.set_lockdown(false).set_recovery(None);
    for id in 1..id {
        draft = draft.remove_device(id);
    }
    draft.add_device(device(id))
}

#[test]
fn one_search_proves_an_account_that_was_never_reset() {
    let zero = genesis();
    let one = next(&zero, |draft| draft.sign_rotation(&identity(1), &identity(2)));
    let two = next(&one, |draft| draft.sign_recovery(&recovery(1), &identity(3)));
    let (found, asked) = Log::of(&[&zero, &one, &two]).look_up(None);
    let (record, change, root) = found.unwrap();
    assert_eq!((record.version(), root, asked), (2, Finding::Genesis, vec![0]));
    let by: Vec<AuthorisedBy> = change.identity.iter().map(|step| step.by).collect();
    assert_eq!(
        by,
        [
            AuthorisedBy::Genesis,
            AuthorisedBy::Identity(identity(1).verifying_key()),
            AuthorisedBy::Recovery(recovery(1).verifying_key())
        ]
    );
}

#[test]
fn a_reset_under_a_rotation_is_still_seen() {
    let zero = genesis();
    let one = next(&zero, |draft| takeover(draft).sign_reset(&identity(66)));
    let two = next(&one, |draft| draft.sign_rotation(&identity(66), &identity(67)));
    let three = next(&two, |draft| draft.set_lockdown(true).sign(&identity(67)));
    let log = Log::of(&[&zero, &one, &two, &three]);
    let expected = Finding::Reset { version: 1, before: Some(zero.as_predecessor()) };
    let (found, asked) = log.look_up(None);
    let (_, change, root) = found.unwrap();
    assert_eq!((root, asked), (expected, vec![1, 0]));
    assert!(change.is_reset());
    // Who knew version 0 asks only for the reset itself.
    let (found, asked) = log.look_up(Some(&zero));
    let (_, change, root) = found.unwrap();
    assert_eq!((root, asked), (expected, vec![1]));
    assert!(change.is_reset());
    assert_eq!(change.identity.len(), 2);
    // Who knew version 1 was told then.
    let (found, asked) = log.look_up(Some(&one));
    assert_eq!((found.unwrap().2, asked.len()), (Finding::AlreadyKnown, 0));
}

#[test]
fn a_chain_that_invents_its_genesis() {
    let zero = genesis();
    // The provider's own account of the same label, never logged, under which it signs version 1.
    let fake_zero = valid(&draft().add_device(device(3)).sign_genesis(&identity(66)).unwrap(), None);
    let one = next(&fake_zero, |draft| draft.add_device(device(4)).sign(&identity(66)));
    let mut log = Log::of(&[&zero]);
    log.push(one.record());
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::RootMismatch { version: 0 });
    // The same identity key, another genesis record.
    let other_zero = valid(&draft().add_device(device(1)).sign_genesis(&identity(1)).unwrap(), None);
    let mut log = Log::of(&[&other_zero]);
    log.push(next(&zero, |draft| draft.set_lockdown(true).sign(&identity(1))).record());
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::RootMismatch { version: 0 });
}

#[test]
fn a_root_that_is_no_root_or_garbage() {
    let zero = genesis();
    let one = next(&zero, |draft| draft.set_lockdown(true).sign(&identity(1)));
    let mut log = Log::of(&[&zero, &one]);
    log.0[0] = Entry::Value(b"garbage".to_vec());
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::RootMismatch { version: 0 });

    // A chain that claims version 1, an ordinary version, as its reset.
    let mut two = next(&one, |draft| draft.set_lockdown(false).sign(&identity(1))).record().clone();
    let root = &mut two.chain.as_mut().unwrap().root;
    (root.version, root.is_reset, root.hash) = (1, true, one.hash());
    two.recovery = None;
    sign(ORIGIN, LABEL, &mut two, &identity(1), None);
    let mut log = Log::of(&[&zero, &one]);
    log.push(&two);
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::RootMismatch { version: 1 });
}

#[test]
fn an_erased_or_withheld_root_counts_as_a_reset_and_an_expired_one_as_itself() {
    let zero = genesis();
    let one = next(&zero, |draft| draft.set_lockdown(true).sign(&identity(1)));
    let mut log = Log::of(&[&zero, &one]);
    for (entry, finding) in [
        (Entry::Erased, Finding::Withheld { version: 0 }),
        (Entry::Withheld, Finding::Withheld { version: 0 }),
        (Entry::Expired, Finding::HistoryExpired { version: 0 }),
    ] {
        log.0[0] = entry;
        assert_eq!(log.look_up(None).0.unwrap().2, finding);
    }
}

#[test]
fn the_version_before_a_reset_may_be_withheld_but_not_unnoticed() {
    let zero = genesis();
    let one = next(&zero, |draft| takeover(draft).sign_reset(&identity(66)));
    let mut log = Log::of(&[&zero, &one]);
    log.0[0] = Entry::Withheld;
    let (_, change, root) = log.look_up(None).0.unwrap();
    assert!(change.is_reset());
    assert_eq!(root, Finding::Withheld { version: 0 });
}

/// Version 0, a lockdown at version 1, and the provider's forged reset after it at `version`.
fn locked_then_reset(version: u32) -> (Log, ValidRecord, AccountRecord) {
    let zero = genesis();
    let one = next(&zero, |draft| draft.set_lockdown(true).sign(&identity(1)));
    // Made as if version 1 were not there, then pointed at it.
    let mut reset = takeover(Draft::after(ORIGIN, LABEL, &zero, version)).sign_reset(&identity(66)).unwrap();
    reset.predecessor = Some(one.as_predecessor());
    sign(ORIGIN, LABEL, &mut reset, &identity(66), None);
    (Log::of(&[&zero, &one]), one, reset)
}

#[test]
fn a_lockdown_is_found_at_first_contact() {
    let (mut log, one, reset) = locked_then_reset(2);
    log.push(&reset);
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::LockdownForbidsReset);
    assert_eq!(log.look_up(Some(&one)).0.unwrap_err(), RecordError::LockdownForbidsReset);
}

#[test]
fn garbage_between_lockdown_and_reset_hides_nothing() {
    let (mut log, _, reset) = locked_then_reset(5);
    for _ in 2..5 {
        log.0.push(Entry::Value(b"garbage".to_vec()));
    }
    log.push(&reset);
    let (found, asked) = log.look_up(None);
    assert_eq!(found.unwrap_err(), RecordError::LockdownForbidsReset);
    assert_eq!(asked, [4, 3, 2, 1, 0], "the lockdown of version 1 counts once its own root is proven");
}

#[test]
fn a_reset_that_names_a_version_before_the_lockdown() {
    let zero = genesis();
    let one = next(&zero, |draft| draft.set_lockdown(true).sign(&identity(1)));
    let reset = takeover(Draft::after(ORIGIN, LABEL, &zero, 2)).sign_reset(&identity(66)).unwrap();
    let mut log = Log::of(&[&zero, &one]);
    log.push(&reset);
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::WrongPredecessor { last_valid: 1 });
    // Or none at all.
    let mut reset = reset;
    (reset.predecessor, reset.retired) = (None, Vec::new());
    reset.devices.clear();
    reset.next_device_id = 1;
    sign(ORIGIN, LABEL, &mut reset, &identity(66), None);
    let mut log = Log::of(&[&zero, &one]);
    log.push(&reset);
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::WrongPredecessor { last_valid: 1 });
}

/// The record that would follow `before` if `before` were valid.
fn follow_invalid(
    before: &AccountRecord,
    signer: u8,
    change: impl FnOnce(&mut AccountRecord),
) -> AccountRecord {
    let mut record = before.clone();
    record.version = before.version + 1;
    record.predecessor = Some(Predecessor { version: before.version, hash: before.hash() });
    change(&mut record);
    sign(ORIGIN, LABEL, &mut record, &identity(signer), None);
    record
}

#[test]
fn a_second_reset_does_not_launder_the_first() {
    let (mut log, _, first) = locked_then_reset(2);
    let second = follow_invalid(&first, 66, |_| ());
    log.push(&first);
    log.push(&second);
    assert_eq!(
        log.look_up(None).0.unwrap_err(),
        RecordError::WrongPredecessor { last_valid: 1 },
        "version 2 is invalid, so version 3 does not follow it"
    );
    // Nor does a second reset that names the locked version itself.
    let mut honest_about_it = second.clone();
    honest_about_it.predecessor = first.predecessor;
    sign(ORIGIN, LABEL, &mut honest_about_it, &identity(66), None);
    log.0.pop();
    log.push(&honest_about_it);
    assert_eq!(log.look_up(None).0.unwrap_err(), RecordError::LockdownForbidsReset);
}

#[test]
fn a_reset_under_an_ordinary_version_under_a_reset_is_judged_too() {
    let (mut log, _, first) = locked_then_reset(2);
    let third = follow_invalid(&first, 66, |record| {
        record.chain = Some(Chain::after(&first).unwrap());
        record.authorisation = Authorisation::Identity;
    });
    let fourth = follow_invalid(&third, 66, |record| {
        record.chain = None;
        record.authorisation = Authorisation::Reset;
    });
    log.push(&first);
    log.push(&third);
    log.push(&fourth);
    let (found, asked) = log.look_up(None);
    assert_eq!(found.unwrap_err(), RecordError::WrongPredecessor { last_valid: 1 });
    // Version 3 and its root 2; that falls to version 1, whose root is 0; then version 2 as what may precede version 4.
    assert_eq!(asked, [3, 2, 1, 0, 2]);
}

#[test]
fn a_known_lockdown_is_not_forgotten_while_history_is_withheld() {
    let (mut log, one, first) = locked_then_reset(2);
    let third = follow_invalid(&first, 66, |record| {
        record.chain = Some(Chain::after(&first).unwrap());
        record.authorisation = Authorisation::Identity;
    });
    log.push(&first);
    log.push(&third);
    for entry in [Entry::Withheld, Entry::Erased, Entry::Expired] {
        log.0[2] = entry;
        assert_eq!(log.look_up(Some(&one)).0.unwrap_err(), RecordError::LockdownForbidsReset);
    }
}

#[test]
fn a_lockdown_that_the_owner_lifted_allows_a_reset_again() {
    let zero = genesis();
    let one = next(&zero, |draft| draft.set_lockdown(true).sign(&identity(1)));
    let two = next(&one, |draft| draft.set_lockdown(false).sign(&identity(1)));
    let three = next(&two, |draft| takeover(draft).sign_reset(&identity(9)));
    let four = next(&three, |draft| draft.set_lockdown(true).sign(&identity(9)));
    let log = Log::of(&[&zero, &one, &two, &three, &four]);
    let expected = Finding::Reset { version: 3, before: Some(two.as_predecessor()) };
    for known in [None, Some(&zero), Some(&one)] {
        let (found, asked) = log.look_up(known);
        assert_eq!(found.unwrap().2, expected);
        assert_eq!(asked, if known.is_none() { vec![3, 2, 0] } else { vec![3, 2] });
    }
}

#[test]
fn many_honest_resets_are_followed_to_the_genesis() {
    let mut records = vec![genesis()];
    for number in 1..=20 {
        let before = records.last().unwrap();
        records.push(next(before, |draft| takeover(draft).sign_reset(&identity(100 + number))));
    }
    let log = Log::of(&records.iter().collect::<Vec<_>>());
    let (found, asked) = log.look_up(None);
    assert!(matches!(found.unwrap().2, Finding::Reset { version: 20, .. }));
    assert_eq!(asked.len(), 20);
}

#[test]
fn an_endless_history_is_given_up() {
    let zero = genesis();
    let mut log = Log::of(&[&zero]);
    for _ in 0..100 {
        log.0.push(Entry::Value(b"garbage".to_vec()));
    }
    log.push(&takeover(Draft::after(ORIGIN, LABEL, &zero, 101)).sign_reset(&identity(66)).unwrap());
    let (found, asked) = log.look_up(None);
    assert_eq!(found.unwrap_err(), RecordError::HistoryTooLong);
    assert_eq!(asked.len(), MAX_STEPS + 1);
}
