//! What is signed, and which lines are served with it.

use keyglass_crypto::ml_dsa::MlDsaSigningKey;
use keyglass_keytrans::{
    config::{Configuration, ModeFields},
    wire::{TreeHeadTbs, Wire as _},
};
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{PublicKey, SignedNote},
    time::UnixSeconds,
};

use super::*;
use crate::signing_keys::LogKey;

#[tokio::test]
async fn heads_of_suite_0x0002_need_no_witness_and_get_none() {
    let configuration = Configuration {
        ciphersuite: 0x0002,
        signature_public_key: SigningKey::from_seed(&[0xaa; 32]).verifying_key().to_bytes().to_vec(),
        vrf_public_key: vec![0; 32],
        mode: ModeFields::ContactMonitoring,
        max_ahead: 1,
        max_behind: 1,
        reasonable_monitoring_window: 1,
        maximum_lifetime: None,
    };
    let signer =
        HeadSigner::new(SigningKey::from_seed(&[0xaa; 32]), "unused", configuration.clone()).unwrap();
    let head = signer.sign(7, [5; 32], UnixSeconds(1)).unwrap();
    let policy = Policy::parse(b"quorum none\n").unwrap();
    let published = to_publish(&head, &policy, &Cosignatures::new()).unwrap();
    let signed = TreeHeadTbs { config: configuration, tree_size: 7, root: [5; 32] };
    let signature = keyglass_crypto::sign::Signature(published.signature.try_into().unwrap());
    let key = SigningKey::from_seed(&[0xaa; 32]).verifying_key();
    key.verify(&signed.encode().unwrap(), &signature).unwrap();
}

#[test]
fn a_quorum_comes_first_when_not_all_lines_fit() {
    // 70 witnesses are more than a note has lines; the quorum is the last three of them.
    let cosigners: Vec<Cosigner> = (0..70)
        .map(|i| Cosigner::new(KeyName::new(&format!("w{i}")).unwrap(), SigningKey::from_seed(&[i; 32])))
        .collect();
    let mut text = String::new();
    for (i, cosigner) in cosigners.iter().enumerate() {
        text.push_str(&format!("witness n{i} {}\n", cosigner.vkey()));
    }
    text.push_str("group g all n67 n68 n69\nquorum g\n");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let head = signer().sign(1, [3; 32], UnixSeconds(1)).unwrap();
    let OwnSignature::Checkpoint(checkpoint, _) = &head.signature else { unreachable!() };
    let mut lines = Cosignatures::new();
    for (i, cosigner) in cosigners.iter().enumerate() {
        let name = policy.witnesses()[i].name().clone();
        assert!(i < 69 || to_publish(&head, &policy, &lines).is_none());
        lines.insert(name, cosigner.cosign(checkpoint, NOW.to_seconds()).unwrap());
    }
    let published = to_publish(&head, &policy, &lines).unwrap();
    assert!(published.signature.len() <= MAX_SIGNATURE_LEN);
    assert_eq!(judge(&published, &policy).cosigners().len(), note::MAX_SIGNATURES - 1);
    SignedNote::new(&checkpoint.text(), note::parse_signature_lines(&published.signature).unwrap()).unwrap();
}

/// A log with two Ed25519 keys and two of ML-DSA-44.
fn rich_signer() -> HeadSigner {
    let keys = vec![
        LogKey::MlDsa44(MlDsaSigningKey::from_seed(&[1; 32])),
        LogKey::Ed25519(Box::new(SigningKey::from_seed(&[0xbb; 32]))),
        LogKey::MlDsa44(MlDsaSigningKey::from_seed(&[2; 32])),
    ];
    HeadSigner::Checkpoint(CheckpointSigner::new(note_signer(0xaa)).with(keys).unwrap())
}

#[test]
fn every_key_of_the_log_signs_ed25519_first_and_always_the_same() {
    let signer = rich_signer();
    let head = signer.sign(5, [7; 32], UnixSeconds(1_700_000_000)).unwrap();
    assert_eq!(rich_signer().sign(5, [7; 32], UnixSeconds(1_700_000_000)).unwrap(), head);
    let OwnSignature::Checkpoint(checkpoint, lines) = &head.signature else { unreachable!() };
    let vkeys = signer.vkeys();
    let note = SignedNote::new(&checkpoint.text(), lines.clone()).unwrap();
    let verified = note.verify(&vkeys).unwrap();
    assert_eq!(verified.iter().map(|line| line.key_index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let is_ed25519 = |vkey: &&Vkey| matches!(vkey.key(), PublicKey::Ed25519(_));
    assert_eq!(vkeys.iter().map(is_ed25519).collect::<Vec<_>>(), [true, true, false, false]);
    let times = [None, None, Some(UnixSeconds(1_700_000_000)), Some(UnixSeconds(1_700_000_000))];
    assert_eq!(verified.iter().map(|line| line.time).collect::<Vec<_>>(), times);
    // Each key alone is enough for who knows no other.
    for vkey in vkeys {
        let policy = Policy::parse(format!("log {vkey}\nquorum none\n").as_bytes()).unwrap();
        assert!(Judge::new(&policy, Horizon::ignored()).judge(&note).is_ok());
    }
    // The first second of the epoch, which means no time.
    let head = signer.sign(5, [7; 32], UnixSeconds(0)).unwrap();
    let OwnSignature::Checkpoint(_, lines) = head.signature else { unreachable!() };
    let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
    assert_eq!(note.verify(&signer.vkeys()).unwrap()[2].time, Some(UnixSeconds(1)));
}

#[test]
fn lines_of_the_log_leave_room_for_a_quorum_or_nothing_is_published() {
    // 25 ML-DSA-44 lines are too many beside the log's own two, and 18 of them fit.
    let cosigners: Vec<Cosigner> = (0..25)
        .map(|i| {
            let name = KeyName::new(&format!("w{i}.example")).unwrap();
            Cosigner::ml_dsa_44(name, MlDsaSigningKey::from_seed(&[i; 32])).unwrap()
        })
        .collect();
    let mut text = String::new();
    for (i, cosigner) in cosigners.iter().enumerate() {
        text.push_str(&format!("witness n{i} {}\n", cosigner.vkey()));
    }
    let names: Vec<String> = (0..25).map(|i| format!("n{i}")).collect();
    let head = rich_signer().sign(1, [3; 32], UnixSeconds(1)).unwrap();
    let OwnSignature::Checkpoint(checkpoint, own) = &head.signature else { unreachable!() };
    let cosign = |policy: &Policy| -> Cosignatures {
        let lines = cosigners.iter().map(|one| one.cosign(checkpoint, NOW.to_seconds()).unwrap());
        policy.witnesses().iter().map(|witness| witness.name().clone()).zip(lines).collect()
    };
    for (quorum, enough) in [(1, true), (18, true), (19, false), (25, false)] {
        let policy = format!("{text}group g {quorum} {}\nquorum g\n", names.join(" "));
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let published = to_publish(&head, &policy, &cosign(&policy));
        assert_eq!(published.is_some(), enough, "{quorum} of 25");
        let Some(published) = published else { continue };
        assert!(published.signature.len() <= MAX_SIGNATURE_LEN);
        let lines = note::parse_signature_lines(&published.signature).unwrap();
        assert_eq!(lines[..4], own[..]);
        assert_eq!(judge(&published, &policy).cosigners().len(), 18);
    }
}
