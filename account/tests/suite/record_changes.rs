//! What an owner can do, and how it is described.

use keyglass_account::{
    device::Suite,
    record::{Authorisation, KeyRole, RecordError},
    root::Finding,
    verify::AuthorisedBy,
};

use crate::cast::*;

#[test]
fn a_genesis_is_the_beginning() {
    let (record, change, root) = check(genesis().record(), None).unwrap();
    assert_eq!((record.version(), root), (0, Finding::Genesis));
    assert_eq!((change.since, change.by, change.skipped), (None, AuthorisedBy::Genesis, 0));
    assert_eq!(change.devices_added, [1, 2]);
    assert!(!change.is_reset() && !change.is_none() && change.recovery_changed);
    assert!(record.is_of(ORIGIN, LABEL) && !record.is_of(ORIGIN, b"bo") && !record.is_of("other", LABEL));
    assert_eq!(record.record().next_device_id, 3);
}

#[test]
fn devices_come_and_go() {
    let zero = genesis();
    let one = after(&zero).add_device(device(3)).remove_device(1).sign(&identity(1)).unwrap();
    let (one, change, root) = check(&one, Some(&zero)).unwrap();
    assert_eq!((change.since, change.by), (Some(0), AuthorisedBy::Identity(identity(1).verifying_key())));
    assert_eq!((change.devices_added, change.devices_removed), (vec![3], vec![1]));
    assert_eq!((change.identity.len(), root), (0, Finding::AlreadyKnown));
    assert_eq!(one.record().retired.len(), 2, "both keys of the removed device");
    assert_eq!(after(&one).next_device_id(), 4);
    assert!(one.record().device(1).is_none() && one.record().device(3).is_some());
}

#[test]
fn the_same_version_again_changes_nothing() {
    let zero = genesis();
    let (_, change, root) = check(zero.record(), Some(&zero)).unwrap();
    assert!(change.is_none() && root == Finding::AlreadyKnown);

    let reset = after(&zero).remove_device(1).sign_reset(&identity(9)).unwrap();
    let reset = valid(&reset, Some(&zero));
    let (_, change, root) = check(reset.record(), Some(&reset)).unwrap();
    assert!(change.is_none() && root == Finding::AlreadyKnown);
}

#[test]
fn suites_and_lockdown_change_without_the_devices() {
    let zero = genesis();
    let one = after(&zero)
        .set_suites(2, &[Suite::X3DH, Suite::PQXDH])
        .set_lockdown(true)
        .sign(&identity(1))
        .unwrap();
    let (one, change, _) = check(&one, Some(&zero)).unwrap();
    assert!(change.lockdown_changed && one.record().flags.lockdown);
    assert_eq!(change.suites_changed, [2]);
    assert!(one.record().device(2).unwrap().accepts(Suite::PQXDH));
    assert!(change.devices_added.is_empty() && change.devices_removed.is_empty());
}

#[test]
fn a_rotation_is_authorised_by_the_old_key_and_keeps_devices_and_recovery_key() {
    let zero = genesis();
    let one = after(&zero).sign_rotation(&identity(1), &identity(2)).unwrap();
    let (one, change, _) = check(&one, Some(&zero)).unwrap();
    let [step] = change.identity[..] else { panic!() };
    assert_eq!(step.by, AuthorisedBy::Identity(identity(1).verifying_key()));
    assert_eq!(
        (step.version, step.from, step.to),
        (1, Some(identity(1).verifying_key()), identity(2).verifying_key())
    );
    assert!(!change.recovery_changed && change.devices_added.is_empty());
    assert_eq!(one.record().recovery.unwrap().since, 1, "granted anew, by the new key");
    // The new key goes on; the old one is finished.
    let two = after(&one).add_device(device(3)).sign(&identity(2)).unwrap();
    assert!(check(&two, Some(&one)).is_ok());
    let error = after(&one).sign(&identity(1)).unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::Identity));
}

#[test]
fn a_recovery_is_authorised_by_the_recovery_key() {
    let zero = genesis();
    let one = after(&zero)
        .remove_device(1)
        .set_recovery(Some(recovery(2).verifying_key()))
        .sign_recovery(&recovery(1), &identity(2))
        .unwrap();
    let (one, change, _) = check(&one, Some(&zero)).unwrap();
    let [step] = change.identity[..] else { panic!() };
    assert_eq!(step.by, AuthorisedBy::Recovery(recovery(1).verifying_key()));
    assert!(change.recovery_changed && !change.is_reset());
    assert!(matches!(one.record().authorisation, Authorisation::Recovery(_)));
    // Without a recovery key there is nothing to recover with.
    let two = after(&one).set_recovery(None).sign(&identity(2)).unwrap();
    let two = valid(&two, Some(&one));
    assert!(two.record().recovery.is_none());
    assert_eq!(
        after(&two).sign_recovery(&recovery(2), &identity(3)).unwrap_err(),
        RecordError::WrongAuthorisation
    );
}

#[test]
fn a_reset_is_loud() {
    let zero = genesis();
    let one = after(&zero)
        .remove_device(1)
        .remove_device(2)
        .set_recovery(None)
        .add_device(device(3))
        .sign_reset(&identity(9))
        .unwrap();
    let (one, change, root) = check(&one, Some(&zero)).unwrap();
    assert!(change.is_reset());
    assert_eq!(change.by, AuthorisedBy::Provider);
    assert_eq!(root, Finding::Reset { version: 1, before: Some(zero.as_predecessor()) });
    assert_eq!((change.devices_added, change.devices_removed), (vec![3], vec![1, 2]));
    assert!(one.record().chain.is_none());
}

#[test]
fn an_invalid_version_is_skipped_by_the_next_valid_one() {
    let zero = genesis();
    // Version 1 is garbage that the log holds; version 2 names version 0.
    assert!(check_bytes(1, b"garbage", Some(&zero)).is_err());
    let two = keyglass_account::author::Draft::after(ORIGIN, LABEL, &zero, 2).set_lockdown(true);
    let two = two.sign(&identity(1)).unwrap();
    let (_, change, _) = check(&two, Some(&zero)).unwrap();
    assert_eq!(change.skipped, 1);
}

#[test]
fn an_account_whose_first_version_is_garbage_can_only_be_reset() {
    let reset = keyglass_account::author::Draft::new(ORIGIN, LABEL, 1).add_device(device(1));
    let reset = reset.sign_reset(&identity(1)).unwrap();
    let log = Log(vec![Entry::Value(b"garbage".to_vec()), Entry::Value(reset.encode())]);
    let (found, asked) = log.look_up(None);
    let (_, change, root) = found.unwrap();
    assert_eq!((asked, root), (vec![0], Finding::Reset { version: 1, before: None }));
    assert!(change.is_reset());
}

#[test]
fn versions_that_were_not_seen_are_bridged_by_the_chain() {
    let zero = genesis();
    let one =
        valid(&after(&zero).remove_device(2).sign_rotation(&identity(1), &identity(2)).unwrap(), Some(&zero));
    let two = valid(&after(&one).add_device(device(3)).sign(&identity(2)).unwrap(), Some(&one));
    let three = after(&two).sign_recovery(&recovery(1), &identity(3)).unwrap();
    let three = valid(&three, Some(&two));
    let four = valid(&after(&three).set_lockdown(true).sign(&identity(3)).unwrap(), Some(&three));

    for known in [&zero, &one, &two, &three] {
        let (_, change, root) = check(four.record(), Some(known)).unwrap();
        assert_eq!((change.since, root), (Some(known.version()), Finding::AlreadyKnown));
        let steps: Vec<u32> = change.identity.iter().map(|step| step.version).collect();
        let expected: Vec<u32> = [1, 3].into_iter().filter(|version| *version > known.version()).collect();
        assert_eq!(steps, expected);
    }
    let (_, change, _) = check(four.record(), Some(&zero)).unwrap();
    assert_eq!((change.devices_added, change.devices_removed), (vec![3], vec![2]));
}
