//! Attacks on a record by somebody who controls the log, or who holds a key that no longer counts.

use keyglass_account::{
    author::{Draft, sign},
    chain::{Chain, Predecessor, RecoveryGrant},
    device::Suite,
    record::{AccountRecord, Authorisation, KeyRole, RecordError},
    verify::{ValidRecord, verify},
};

use crate::cast::*;

fn rotated() -> (ValidRecord, ValidRecord) {
    let zero = genesis();
    let one = valid(&after(&zero).sign_rotation(&identity(1), &identity(2)).unwrap(), Some(&zero));
    (zero, one)
}

/// Signs `record` as it is with identity key 1 and verifies it after `known`.
fn forged(mut record: AccountRecord, known: &ValidRecord) -> RecordError {
    sign(ORIGIN, LABEL, &mut record, &identity(1), None);
    check(&record, Some(known)).unwrap_err()
}

#[test]
fn an_old_record_at_a_later_version() {
    let zero = genesis();
    let error = check_bytes(1, &zero.record().encode(), Some(&zero)).unwrap_err();
    assert_eq!(error, RecordError::WrongVersion { found: 0, expected: 1 });
    // With the number changed, the signature no longer holds.
    let one = after(&zero).add_device(device(3)).sign(&identity(1)).unwrap();
    let one_valid = valid(&one, Some(&zero));
    let mut again = one;
    again.version = 2;
    assert_eq!(check(&again, Some(&one_valid)).unwrap_err(), RecordError::BadIdentitySignature);
    assert_eq!(check(&again, Some(&zero)).unwrap_err(), RecordError::BadIdentitySignature);
}

#[test]
fn a_record_of_another_label_or_log() {
    let bytes = genesis().record().encode();
    for (origin, label) in [(ORIGIN, &b"bobby"[..]), ("log.example/other", LABEL), ("kt:00", LABEL)] {
        assert_eq!(verify(origin, label, 0, &bytes, None).unwrap_err(), RecordError::BadIdentitySignature);
    }
}

#[test]
fn a_known_record_of_another_account_is_no_predecessor() {
    let foreign = Draft::new(ORIGIN, b"carol", 0).sign_genesis(&key("carol", 1)).unwrap();
    let foreign = match verify(ORIGIN, b"carol", 0, &foreign.encode(), None).unwrap() {
        keyglass_account::verify::Verified::Valid { record, .. } => *record,
        keyglass_account::verify::Verified::NeedsHistory(_) => panic!(),
    };
    assert_eq!(check(genesis().record(), Some(&foreign)).unwrap_err(), RecordError::WrongAccount);
}

#[test]
fn a_version_that_changed_after_it_was_seen() {
    let zero = genesis();
    let other = valid(&draft().add_device(device(1)).sign_genesis(&identity(1)).unwrap(), None);
    assert_eq!(check(other.record(), Some(&zero)).unwrap_err(), RecordError::Rewritten(0));
}

#[test]
fn a_greatest_version_below_the_known_one() {
    let (zero, one) = rotated();
    assert_eq!(check(zero.record(), Some(&one)).unwrap_err(), RecordError::VersionBelowKnown { known: 1 });
}

#[test]
fn a_device_that_the_owner_never_added() {
    let zero = genesis();
    let mut record = after(&zero).add_device(device(3)).sign(&identity(1)).unwrap();
    // The provider puts a device of its own, which signs its membership, but holds no identity key.
    record.devices.push(device(4));
    record.next_device_id = 5;
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadIdentitySignature);
    sign(ORIGIN, LABEL, &mut record, &identity(66), None);
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadIdentitySignature);
}

#[test]
fn a_rotation_by_a_stranger() {
    let zero = genesis();
    let mut record = after(&zero).sign_rotation(&identity(1), &identity(2)).unwrap();
    sign(ORIGIN, LABEL, &mut record, &identity(66), Some(&identity(2)));
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadIdentitySignature);
    // The owner's key signs, but nobody who holds the new one does.
    sign(ORIGIN, LABEL, &mut record, &identity(1), Some(&identity(66)));
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadNewIdentitySignature);
    sign(ORIGIN, LABEL, &mut record, &identity(1), None);
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::NewIdentitySignaturePresence);
}

#[test]
fn a_signature_for_one_role_is_none_for_the_other() {
    let zero = genesis();
    let mut record = after(&zero).sign_rotation(&identity(1), &identity(2)).unwrap();
    let new = record.new_identity_signature.unwrap();
    record.new_identity_signature = Some(record.signature);
    record.signature = new;
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadIdentitySignature);
}

#[test]
fn a_superfluous_signature_of_a_new_identity() {
    let zero = genesis();
    let mut record = after(&zero).set_lockdown(true).sign(&identity(1)).unwrap();
    record.new_identity_signature = Some(record.signature);
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::NewIdentitySignaturePresence);
}

#[test]
fn the_old_key_after_a_rotation() {
    let (zero, one) = rotated();
    // The holder of the old key goes on from version 0 as if there had been no rotation.
    let fork = Draft::after(ORIGIN, LABEL, &zero, 2).add_device(device(3)).sign(&identity(1)).unwrap();
    let last_valid = RecordError::WrongPredecessor { last_valid: 1 };
    assert_eq!(check(&fork, Some(&one)).unwrap_err(), last_valid);
    // Or claims to follow version 1.
    let mut fork = fork;
    fork.predecessor = Some(one.as_predecessor());
    sign(ORIGIN, LABEL, &mut fork, &identity(1), None);
    assert_eq!(check(&fork, Some(&one)).unwrap_err(), RecordError::ChainDiverges { known: 1 });
    // Or rotates away again, to be met by somebody who knows version 1.
    let other = Draft::after(ORIGIN, LABEL, &zero, 2).sign_rotation(&identity(1), &identity(66)).unwrap();
    let two = ValidRecord::clone(&valid(&other, Some(&zero)));
    let three = after(&two).sign(&identity(66)).unwrap();
    assert_eq!(check(&three, Some(&one)).unwrap_err(), RecordError::ChainDiverges { known: 1 });
}

#[test]
fn a_predecessor_with_another_hash_or_version() {
    let zero = genesis();
    let good = after(&zero).set_lockdown(true).sign(&identity(1)).unwrap();
    let mut record = good.clone();
    record.predecessor = Some(Predecessor { version: 0, hash: [7; 32] });
    assert_eq!(forged(record, &zero), RecordError::BrokenChain(1), "the root's hash is in the chain");

    let one = valid(&good, Some(&zero));
    let mut record = after(&one).set_lockdown(false).sign(&identity(1)).unwrap();
    record.predecessor = Some(Predecessor { version: 1, hash: [7; 32] });
    assert_eq!(forged(record, &one), RecordError::WrongPredecessor { last_valid: 1 });
    // A valid version is skipped.
    let record = Draft::after(ORIGIN, LABEL, &zero, 2).sign(&identity(1)).unwrap();
    assert_eq!(forged(record, &one), RecordError::WrongPredecessor { last_valid: 1 });
    // A predecessor that is not before.
    let mut record = after(&one).sign(&identity(1)).unwrap();
    record.predecessor = Some(Predecessor { version: 2, hash: [7; 32] });
    assert_eq!(forged(record, &one), RecordError::BrokenChain(2));
}

#[test]
fn a_chain_with_a_link_removed_reordered_or_altered() {
    let (_, one) = rotated();
    let two = valid(&after(&one).sign_rotation(&identity(2), &identity(3)).unwrap(), Some(&one));
    let three = valid(&after(&two).sign_recovery(&recovery(1), &identity(1 + 4)).unwrap(), Some(&two));
    let four = after(&three).set_lockdown(true).sign(&identity(5)).unwrap();
    let with = |change: &dyn Fn(&mut Chain)| {
        let mut record = four.clone();
        change(record.chain.as_mut().unwrap());
        sign(ORIGIN, LABEL, &mut record, &identity(5), None);
        check(&record, Some(&three)).unwrap_err()
    };
    assert_eq!(with(&|chain| drop(chain.links.remove(0))), RecordError::BadLinkSignature(2));
    assert_eq!(with(&|chain| drop(chain.links.remove(1))), RecordError::BadRecoveryGrant);
    assert_eq!(with(&|chain| chain.links.swap(0, 1)), RecordError::BadLinkSignature(2));
    assert_eq!(with(&|chain| chain.links[0].version = 2), RecordError::BadLinkSignature(2));
    assert_eq!(with(&|chain| chain.links[2].predecessor.version = 1), RecordError::BrokenChain(3));
    assert_eq!(with(&|chain| chain.links[1].predecessor.hash[0] ^= 1), RecordError::BrokenChain(2));
    assert_eq!(with(&|chain| chain.links[1].body_hash[0] ^= 1), RecordError::BadLinkSignature(2));
    assert_eq!(with(&|chain| chain.root.version = 1), RecordError::BrokenChain(1));
    assert_eq!(with(&|chain| chain.root.is_reset = true), RecordError::BrokenChain(0));
    assert_eq!(with(&|chain| chain.links[0].authorisation = Authorisation::Reset), {
        // The codec writes only what it can read: this becomes an unknown kind.
        RecordError::Codec(keyglass_account::codec::CodecError::UnknownVariant(3))
    });
}

#[test]
fn a_chain_whose_last_link_was_dropped_so_that_an_old_key_signs() {
    let (_, one) = rotated();
    let two = after(&one).set_lockdown(true).sign(&identity(2)).unwrap();
    let mut record = two;
    record.chain.as_mut().unwrap().links.clear();
    record.identity_key = identity(1).verifying_key();
    record.recovery = None;
    assert_eq!(forged(record, &one), RecordError::KeyReused(KeyRole::Identity), "it is among the retired");
}

#[test]
fn a_chain_from_another_account() {
    let (zero, one) = rotated();
    let carol_zero = Draft::new(ORIGIN, b"carol", 0).sign_genesis(&identity(1)).unwrap();
    assert_ne!(carol_zero.hash(), zero.hash());
    let mut record = after(&one).set_lockdown(true).sign(&identity(2)).unwrap();
    record.chain.as_mut().unwrap().root.hash = carol_zero.hash();
    sign(ORIGIN, LABEL, &mut record, &identity(2), None);
    assert_eq!(check(&record, Some(&one)).unwrap_err(), RecordError::BrokenChain(1));
}

#[test]
fn a_recovery_key_that_was_replaced() {
    let zero = genesis();
    let new = Some(recovery(2).verifying_key());
    let one = valid(&after(&zero).set_recovery(new).sign(&identity(1)).unwrap(), Some(&zero));
    // Whoever holds the old one has a grant that verifies, but the last valid record names another key.
    let mut record = after(&one).sign_recovery(&recovery(2), &identity(66)).unwrap();
    record.authorisation = Authorisation::Recovery(Box::new(zero.record().recovery.unwrap()));
    sign(ORIGIN, LABEL, &mut record, &recovery(1), Some(&identity(66)));
    assert_eq!(check(&record, Some(&one)).unwrap_err(), RecordError::BadRecoveryGrant);
    // The same buried under one more version.
    let mut chain = Chain::after(&record).unwrap();
    chain.links.truncate(1);
    let mut above = record.clone();
    above.version = 3;
    above.authorisation = Authorisation::Identity;
    above.predecessor = Some(Predecessor { version: 2, hash: record.hash() });
    above.chain = Some(chain);
    above.recovery = None;
    sign(ORIGIN, LABEL, &mut above, &identity(66), None);
    assert_eq!(check(&above, Some(&one)).unwrap_err(), RecordError::BadRecoveryGrant);
}

/// Whoever holds a recovery key that was replaced, and has the log's help, claims to follow a version that nobody has seen.
#[test]
fn a_replaced_recovery_key_after_a_version_that_nobody_saw() {
    let zero = genesis();
    let new = Some(recovery(2).verifying_key());
    let one = valid(&after(&zero).set_recovery(new).sign(&identity(1)).unwrap(), Some(&zero));
    let draft = Draft::after(ORIGIN, LABEL, &one, 3).set_recovery(None);
    let mut record = draft.sign_recovery(&recovery(2), &identity(66)).unwrap();
    record.predecessor = Some(Predecessor { version: 2, hash: [7; 32] });
    let with = |record: &AccountRecord, grant: Option<RecoveryGrant>, signer: u8| {
        let mut record = record.clone();
        record.authorisation = Authorisation::Recovery(Box::new(grant.unwrap()));
        sign(ORIGIN, LABEL, &mut record, &recovery(signer), Some(&identity(66)));
        record
    };
    assert!(check(&with(&record, one.record().recovery, 2), Some(&one)).is_ok(), "the key that is known");
    let replaced = with(&record, zero.record().recovery, 1);
    assert_eq!(check(&replaced, Some(&one)).unwrap_err(), RecordError::BadRecoveryGrant);
    // A grant of later, by the identity, for the key that was replaced: no honest owner makes one.
    let again = RecoveryGrant::sign(ORIGIN, LABEL, &identity(1), recovery(1).verifying_key(), 2);
    let again = with(&record, Some(again), 1);
    assert_eq!(check(&again, Some(&one)).unwrap_err(), RecordError::BadRecoveryGrant);
    // Buried under a version of the identity that it brought.
    let mut above = replaced.clone();
    above.version = 4;
    above.authorisation = Authorisation::Identity;
    above.predecessor = Some(Predecessor { version: 3, hash: replaced.hash() });
    above.chain = Some(Chain::after(&replaced).unwrap());
    sign(ORIGIN, LABEL, &mut above, &identity(66), None);
    assert_eq!(check(&above, Some(&one)).unwrap_err(), RecordError::BadRecoveryGrant);
    // Nor is a grant that was withdrawn named again, over a version that was not seen.
    let draft = Draft::after(ORIGIN, LABEL, &one, 3).set_recovery(Some(recovery(3).verifying_key()));
    let mut named = draft.sign(&identity(1)).unwrap();
    named.predecessor = Some(Predecessor { version: 2, hash: [7; 32] });
    named.recovery = Some(RecoveryGrant::sign(ORIGIN, LABEL, &identity(1), recovery(3).verifying_key(), 1));
    assert_eq!(forged(named, &one), RecordError::BadRecoveryGrant);
}

#[test]
fn a_recovery_key_of_the_attackers_own() {
    let zero = genesis();
    let mut record = after(&zero).sign_recovery(&recovery(1), &identity(66)).unwrap();
    let grant = RecoveryGrant::sign(ORIGIN, LABEL, &identity(66), recovery(66).verifying_key(), 0);
    record.authorisation = Authorisation::Recovery(Box::new(grant));
    sign(ORIGIN, LABEL, &mut record, &recovery(66), Some(&identity(66)));
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadRecoveryGrant);
}

#[test]
fn a_recovery_not_signed_by_the_recovery_key_or_without_a_new_identity() {
    let zero = genesis();
    let mut record = after(&zero).sign_recovery(&recovery(1), &identity(2)).unwrap();
    sign(ORIGIN, LABEL, &mut record, &identity(66), Some(&identity(2)));
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadRecoverySignature);
    assert_eq!(
        after(&zero).sign_recovery(&recovery(1), &identity(1)).unwrap_err(),
        RecordError::RecoveryKeepsIdentity
    );
}

#[test]
fn a_grant_that_begins_before_its_identity_or_in_the_future() {
    let (_, one) = rotated();
    for since in [0, 3] {
        let mut record = after(&one).set_lockdown(true).sign(&identity(2)).unwrap();
        let grant = RecoveryGrant::sign(ORIGIN, LABEL, &identity(2), recovery(1).verifying_key(), since);
        record.recovery = Some(grant);
        sign(ORIGIN, LABEL, &mut record, &identity(2), None);
        assert_eq!(check(&record, Some(&one)).unwrap_err(), RecordError::BadRecoveryGrant);
    }
}

#[test]
fn a_device_id_that_returns() {
    let zero = genesis();
    let one = valid(&after(&zero).remove_device(2).sign(&identity(1)).unwrap(), Some(&zero));
    // With the old entry, whose signature still verifies.
    let error = after(&one).add_device(device(2)).sign(&identity(1)).unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::DeviceSigning(2)));
    // With new keys under the old id.
    let error = after(&one).add_device(device_of(ORIGIN, LABEL, 2, 9)).sign(&identity(1)).unwrap_err();
    assert_eq!(error, RecordError::DeviceIdReused(2));
    // With the old keys under a new id.
    let error = after(&one).add_device(device_of(ORIGIN, LABEL, 3, 2)).sign(&identity(1)).unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::DeviceSigning(3)));
}

#[test]
fn a_device_whose_keys_change_under_its_id() {
    let zero = genesis();
    let swapped = device_of(ORIGIN, LABEL, 2, 9);
    let error = after(&zero).remove_device(2).add_device(swapped).sign(&identity(1)).unwrap_err();
    assert_eq!(error, RecordError::DeviceAltered(2));
}

#[test]
fn a_key_that_changes_its_purpose() {
    let zero = genesis();
    let error = after(&zero)
        .remove_device(1)
        .set_recovery(Some(device_key(1).verifying_key()))
        .sign(&identity(1))
        .unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::Recovery));
    let error = after(&zero).sign_rotation(&identity(1), &recovery(1)).unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::Recovery));
}

#[test]
fn a_rotation_back_to_an_earlier_identity() {
    let (_, one) = rotated();
    let error = after(&one).sign_rotation(&identity(2), &identity(1)).unwrap_err();
    assert_eq!(error, RecordError::KeyReused(KeyRole::Identity));
}

#[test]
fn retired_keys_that_are_dropped_or_invented() {
    let zero = genesis();
    let good = after(&zero).remove_device(2).sign(&identity(1)).unwrap();
    let mut fewer = good.clone();
    fewer.retired.pop();
    assert_eq!(forged(fewer, &zero), RecordError::WrongRetired);
    let mut more = good.clone();
    more.retired.insert(0, 0);
    assert_eq!(forged(more, &zero), RecordError::WrongRetired);
    // Also where a version between the two is not known.
    let one = valid(&good, Some(&zero));
    let mut two = after(&one).set_lockdown(true).sign(&identity(1)).unwrap();
    two.retired.clear();
    assert_eq!(forged(two, &zero), RecordError::WrongRetired);
}

#[test]
fn a_next_device_id_that_forgets() {
    let zero = genesis();
    let one = valid(&after(&zero).remove_device(2).sign(&identity(1)).unwrap(), Some(&zero));
    let mut two = after(&one).sign(&identity(1)).unwrap();
    assert_eq!(two.next_device_id, 3);
    two.next_device_id = 2;
    let forgets = RecordError::WrongNextDeviceId { found: 2, expected: 3 };
    assert_eq!(forged(two.clone(), &one), forgets);
    assert_eq!(forged(two, &zero), forgets, "with the version between not known");
}

#[test]
fn a_downgrade_of_suites_needs_the_owner() {
    let zero = genesis();
    let one = after(&zero).set_suites(1, &[Suite::X3DH, Suite::PQXDH]).sign(&identity(1)).unwrap();
    let mut record = one;
    record.devices[0].suites = vec![Suite::X3DH];
    assert_eq!(check(&record, Some(&zero)).unwrap_err(), RecordError::BadIdentitySignature);
}

#[test]
fn a_reset_keeps_what_was_retired_and_every_id() {
    let zero = genesis();
    let mut reset =
        after(&zero).remove_device(1).remove_device(2).set_recovery(None).sign_reset(&identity(9)).unwrap();
    assert_eq!(reset.retired.len(), 6, "identity, recovery, four keys of devices");
    reset.retired.clear();
    sign(ORIGIN, LABEL, &mut reset, &identity(9), None);
    assert_eq!(check(&reset, Some(&zero)).unwrap_err(), RecordError::WrongRetired);
}

#[test]
fn a_reset_under_lockdown() {
    let zero = genesis();
    let one = valid(&after(&zero).set_lockdown(true).sign(&identity(1)).unwrap(), Some(&zero));
    let forbidden = RecordError::LockdownForbidsReset;
    assert_eq!(after(&one).set_lockdown(false).sign_reset(&identity(9)).unwrap_err(), forbidden);
    // Neither the identity key nor the recovery key is bound by it.
    assert!(after(&one).set_lockdown(false).sign(&identity(1)).is_ok());
    assert!(after(&one).sign_recovery(&recovery(1), &identity(2)).is_ok());
}
