//! The test vectors that the RFCs print, in `data/`.

use keyglass_crypto::{
    aead::{self, AeadError},
    dh::{DhError, DhPublicKey, DhSecretKey},
    kdf::{hkdf_sha256, hmac_sha256},
    secret::Secret,
    sign::{Signature, SigningKey, VerifyingKey},
};
use serde_json::Value;

/// Runs `check` on every case of a list, prints how many there were, and fails on none.
fn each(json: &str, list: &str, mut check: impl FnMut(&Value)) {
    let json: Value = serde_json::from_str(json).unwrap();
    let cases = json[list].as_array().expect(list);
    assert!(!cases.is_empty());
    cases.iter().for_each(&mut check);
    println!("{}: {} {list}", json["source"].as_str().unwrap(), cases.len());
}

fn bytes(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(case[name].as_str().expect(name)).expect(name)
}

fn array<const N: usize>(case: &Value, name: &str) -> [u8; N] {
    bytes(case, name).try_into().expect(name)
}

#[test]
fn vectors_of_rfc_8032() {
    each(include_str!("data/rfc8032.json"), "cases", |case| {
        let key = SigningKey::from_seed(&array(case, "secret_key"));
        let (message, signature) = (bytes(case, "message"), Signature(array(case, "signature")));
        let public = VerifyingKey::from_bytes(&array(case, "public_key")).unwrap();
        assert_eq!(key.verifying_key(), public);
        assert_eq!(key.sign(&message), signature);
        assert_eq!(public.verify(&message, &signature), Ok(()));
    });
}

/// The u-coordinate of the second case has its top bit set, which the RFC masks and this crate refuses.
#[test]
fn vectors_of_rfc_7748_functions() {
    each(include_str!("data/rfc7748.json"), "functions", |case| {
        let secret = DhSecretKey::from_bytes(&array(case, "scalar"));
        let mut u = array(case, "u");
        if u[31] & 0x80 != 0 {
            assert_eq!(DhPublicKey::from_bytes(&u), Err(DhError::NonCanonicalKey));
            u[31] &= 0x7f;
        }
        let shared = secret.agree(&DhPublicKey::from_bytes(&u).unwrap()).unwrap();
        assert_eq!(shared.expose(), &array(case, "result"));
    });
}

#[test]
fn vectors_of_rfc_7748_iterations() {
    each(include_str!("data/rfc7748.json"), "iterations", |case| {
        let (mut k, mut u) = ([0; 32], [0; 32]);
        (k[0], u[0]) = (9, 9);
        for _ in 0..case["count"].as_u64().unwrap() {
            let shared = DhSecretKey::from_bytes(&k).agree(&DhPublicKey::from_bytes(&u).unwrap()).unwrap();
            (k, u) = (*shared.expose(), k);
            // The scalar of a round is the point of the next, where an honest point would have its top bit zero.
            u[31] &= 0x7f;
        }
        assert_eq!(k, array(case, "result"));
    });
}

#[test]
fn vectors_of_rfc_7748_exchanges() {
    each(include_str!("data/rfc7748.json"), "exchanges", |case| {
        let a = DhSecretKey::from_bytes(&array(case, "a"));
        let b = DhSecretKey::from_bytes(&array(case, "b"));
        assert_eq!(a.public_key().to_bytes(), array(case, "a_public"));
        assert_eq!(b.public_key().to_bytes(), array(case, "b_public"));
        assert_eq!(a.agree(&b.public_key()).unwrap().expose(), &array(case, "shared"));
        assert_eq!(b.agree(&a.public_key()).unwrap().expose(), &array(case, "shared"));
    });
}

#[test]
fn vectors_of_rfc_5869() {
    each(include_str!("data/rfc5869.json"), "cases", |case| {
        let (ikm, salt, info) = (bytes(case, "ikm"), bytes(case, "salt"), bytes(case, "info"));
        assert_eq!(hmac_sha256(&salt, &[&ikm]).as_slice(), bytes(case, "prk"));
        let expected = bytes(case, "okm");
        assert_eq!(hkdf_sha256::<82>(&salt, &ikm, &info).expose()[..expected.len()], expected);
    });
}

#[test]
fn vectors_of_rfc_8439() {
    each(include_str!("data/rfc8439.json"), "cases", |case| {
        let (key, nonce) = (Secret::new(array(case, "key")), array(case, "nonce"));
        let (associated, plaintext) = (bytes(case, "associated"), bytes(case, "plaintext"));
        let sealed = aead::seal(&key, &nonce, &associated, &plaintext).unwrap();
        assert_eq!(hex::encode(&sealed), hex::encode(bytes(case, "sealed")));
        assert_eq!(aead::open(&key, &nonce, &associated, &sealed), Ok(plaintext));
        assert_eq!(aead::open(&key, &nonce, b"other", &sealed), Err(AeadError::NotAuthentic));
    });
}
