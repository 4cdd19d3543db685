use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sign::SigningKey};

use super::*;
use crate::{
    note::{KeyFileError, NoteVerifyError, SignatureLine, SignedNote},
    policy::Policy,
    testkit::{self, HONEST, TIME},
    witnessed::{Horizon, Judge, JudgeError, Judged},
};

fn ml_dsa(name: &str) -> Cosigner {
    Cosigner::ml_dsa_44(testkit::name(name), MlDsaSigningKey::from_seed(&[7; 32])).unwrap()
}

#[test]
fn ml_dsa_cosignatures_bind_name_time_origin_size_and_root() {
    let cosigner = ml_dsa("w.example");
    let checkpoint = HONEST.checkpoint(7);
    let line = cosigner.cosign(&checkpoint, TIME).unwrap();
    let verify = |key: &Vkey, checkpoint: &Checkpoint, signature: &[u8]| {
        verify_line(key, &checkpoint.text(), signature).ok()
    };
    let good = line.signature();
    assert_eq!(verify(cosigner.vkey(), &checkpoint, good), Some(Some(TIME)));
    assert_eq!(verify(ml_dsa("w2.example").vkey(), &checkpoint, good), None);
    let other = |origin, size, root| Checkpoint::new(origin, size, root).unwrap();
    let (origin, size, root) = (checkpoint.origin(), checkpoint.tree_size(), *checkpoint.root());
    for other in [other("o", size, root), other(origin, size + 1, root), other(origin, size, [1; 32])] {
        assert_eq!(verify(cosigner.vkey(), &other, good), None);
    }
    for at in 0..8 {
        let mut time = good.to_vec();
        time[at] ^= 1;
        assert_eq!(verify(cosigner.vkey(), &checkpoint, &time), None);
    }
    assert_eq!(verify(cosigner.vkey(), &checkpoint, &good[..good.len() - 1]), None);
    assert_eq!(verify(cosigner.vkey(), &checkpoint, &[good, &[0]].concat()), None);
}

#[test]
fn times_that_no_cosignature_may_carry_are_refused() {
    for cosigner in [ml_dsa("w.example"), testkit::witness(1)] {
        for time in [0, 1 << 63, u64::MAX] {
            let refusal = cosigner.cosign(&HONEST.checkpoint(7), UnixSeconds(time));
            assert_eq!(refusal, Err(CosignError::BadTime));
        }
        assert!(cosigner.cosign(&HONEST.checkpoint(7), MAX_TIME).is_ok());
    }
}

/// The signature line of this ML-DSA key with a time that [`Cosigner::cosign`] would refuse.
fn timeless(name: &str, seed: u8, checkpoint: &Checkpoint) -> (Vkey, SignatureLine) {
    let key = MlDsaSigningKey::from_seed(&[seed; 32]);
    let vkey = Vkey::new(testkit::name(name), PublicKey::MlDsa44Cosigner(key.verifying_key()));
    let message = ml_dsa_44_message(vkey.name(), UnixSeconds(0), checkpoint).unwrap();
    let signature = [&[0; 8], &key.sign(&message).unwrap()[..]].concat();
    let line = SignatureLine::new(vkey.name().clone(), vkey.id(), signature);
    (vkey, line)
}

/// A log may sign in this format without a word on time. A witness must give one, or it does not count.
#[test]
fn a_time_of_zero_is_no_time() {
    let checkpoint = HONEST.checkpoint(7);
    let (log, log_line) = timeless(testkit::ORIGIN, 8, &checkpoint);
    assert_eq!(verify_line(&log, &checkpoint.text(), log_line.signature()), Ok(None));
    let witness = ml_dsa("w.example");
    let policy = format!("log {log}\nwitness w {}\nquorum w\n", witness.vkey());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let judge = |line| {
        Judge::new(&policy, Horizon::ignored()).judge_lines(checkpoint.clone(), &[log_line.clone(), line])
    };
    let timed = witness.cosign(&checkpoint, TIME).unwrap();
    assert_eq!(judge(timed).unwrap().cosigners()[0].time, TIME);
    let (_, line) = timeless("w.example", 7, &checkpoint);
    assert!(matches!(judge(line), Err(JudgeError::QuorumNotMet { missing: 1, .. })));

    let ed25519 = testkit::witness(1);
    let key = SigningKey::from_seed(&[1; 32]);
    let signature = key.sign(ed25519_message(UnixSeconds(0), &checkpoint.text()).as_bytes());
    let signature = [&[0; 8], &signature.0[..]].concat();
    assert_eq!(verify_line(ed25519.vkey(), &checkpoint.text(), &signature), Err(BadSignature));
}

/// tlog-checkpoint: "Logs SHOULD use ML-DSA-44 cosignatures to sign the checkpoint".
#[test]
fn a_log_may_sign_with_ml_dsa_alone_or_beside_ed25519() {
    let checkpoint = HONEST.checkpoint(7);
    let (plain, post_quantum) = (testkit::log(), ml_dsa(testkit::ORIGIN));
    let both = [plain.sign(&checkpoint.text()), post_quantum.cosign(&checkpoint, TIME).unwrap()];
    let keys = [plain.vkey(), post_quantum.vkey()];
    let policy = format!("log {}\nlog {}\nquorum none\n", keys[0], keys[1]);
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let judge = |lines: &[SignatureLine]| {
        Judge::new(&policy, Horizon::ignored()).judge_lines(checkpoint.clone(), lines)
    };
    for lines in [&both[..], &both[..1], &both[1..]] {
        assert!(matches!(judge(lines), Ok(Judged::LogSigned(_))));
    }
    let of_another = post_quantum.cosign(&HONEST.checkpoint(8), TIME).unwrap();
    let bad = JudgeError::BadSignature(post_quantum.vkey().name().clone());
    assert_eq!(judge(&[both[0].clone(), of_another]), Err(bad));
    // Under another name the key is no log's.
    let elsewhere = ml_dsa("elsewhere.example").cosign(&checkpoint, TIME).unwrap();
    assert_eq!(judge(&[elsewhere]), Err(JudgeError::LogSignatureMissing));
}

#[test]
fn names_and_origins_have_at_most_255_bytes() {
    let (longest, too_long) = ("n".repeat(255), "n".repeat(256));
    let key = || MlDsaSigningKey::from_seed(&[7; 32]);
    assert_eq!(Cosigner::ml_dsa_44(testkit::name(&too_long), key()).unwrap_err(), CosignerNameTooLong);
    let cosigner = ml_dsa(&longest);
    let sign = |origin: &str| {
        let checkpoint = Checkpoint::new(origin, 0, [0; 32]).unwrap();
        cosigner
            .cosign(&checkpoint, TIME)
            .map(|line| SignedNote::new(&checkpoint.text(), vec![line]).unwrap())
    };
    assert!(sign(&longest).unwrap().verify(&[cosigner.vkey()]).is_ok());
    assert_eq!(sign(&too_long), Err(CosignError::OriginTooLong));

    // The lines of such a name or origin are bad signatures: verifying is no panic either.
    let named = Vkey::new(testkit::name(&too_long), PublicKey::MlDsa44Cosigner(key().verifying_key()));
    let line = |key: &Vkey| SignatureLine::new(key.name().clone(), key.id(), vec![1; 8 + 2420]);
    for (key, origin) in [(&named, "o"), (cosigner.vkey(), too_long.as_str())] {
        let text = Checkpoint::new(origin, 0, [0; 32]).unwrap().text();
        let note = SignedNote::new(&text, vec![line(key)]).unwrap();
        assert!(matches!(note.verify(&[key]), Err(NoteVerifyError::BadSignature { .. })));
    }
}

#[test]
fn stored_ml_dsa_keys_come_back_and_damage_is_noticed() {
    let cosigner = ml_dsa("w.example");
    let file = cosigner.to_key_file();
    assert!(file.starts_with("PRIVATE+KEY+w.example+") && file.ends_with('\n'));
    assert_eq!(Cosigner::from_key_file(&file).unwrap().vkey(), cosigner.vkey());
    for end in 0..file.len() - 1 {
        assert!(Cosigner::from_key_file(&file[..end]).is_err(), "cut at {end}");
    }
    let refusal = |file: &str| Cosigner::from_key_file(file).unwrap_err();
    assert_eq!(refusal(&file.replace("w.example", "v.example")), KeyFileError::WrongId);
    assert_eq!(refusal(&file.replace("w.example", &"w".repeat(256))), KeyFileError::Malformed);
    assert!(!format!("{cosigner:?}").contains("[7, 7"));
}
