//! The vectors of `vrf.json`, among them those of RFC 9381 appendix B.3, and properties of the VRF.

use curve25519_dalek::{constants::EIGHT_TORSION, traits::IsIdentity as _};
use proptest::prelude::*;
use serde_json::Value;

use super::{secret_key::BATCH, suite::encode_to_curve, *};
use crate::{
    point,
    vectors::{self, field},
};

fn key(case: &Value) -> Result<VrfPublicKey, VrfError> {
    let bytes = field(case, "public_key");
    VrfPublicKey::from_bytes(bytes.as_slice().try_into().unwrap())
}

fn secret_key(case: &Value) -> VrfSecretKey {
    VrfSecretKey::from_seed(field(case, "secret_key").as_slice().try_into().unwrap())
}

#[test]
fn vectors_of_rfc_9381() {
    vectors::each("vrf.json", "rfc9381", |case| {
        let (secret, alpha) = (secret_key(case), field(case, "alpha"));
        let (proof, beta) = secret.prove_beta(&alpha);
        assert_eq!(secret.public_key(), key(case).unwrap());
        assert_eq!(proof.0.as_slice(), field(case, "proof"));
        assert_eq!(beta.as_slice(), field(case, "beta"));
        assert_eq!(secret.public_key().verify_beta(&alpha, &proof), Ok(beta));
        assert_eq!(secret.output(&alpha), beta[..32]);
    });
}

#[test]
fn vectors_of_good_proofs() {
    vectors::each("vrf.json", "good", |case| {
        let (secret, alpha) = (secret_key(case), field(case, "alpha"));
        let (proof, output) = secret.prove(&alpha);
        assert_eq!(proof.0.as_slice(), field(case, "proof"));
        assert_eq!(output.as_slice(), field(case, "output"));
        assert_eq!(secret.output(&alpha), output);
        assert_eq!(key(case).unwrap().verify(&alpha, &proof), Ok(output));
    });
}

#[test]
fn vectors_of_bad_proofs() {
    vectors::each("vrf.json", "bad", |case| {
        let name = case["name"].as_str().unwrap();
        let refusal = VrfProof::from_slice(&field(case, "proof"))
            .and_then(|proof| key(case).unwrap().verify(&field(case, "alpha"), &proof))
            .expect_err(name);
        let expected = match name {
            "too short" | "too long" => VrfError::WrongLength,
            "s not reduced" => VrfError::NonCanonicalScalar,
            "gamma: minus zero" | "gamma: y not reduced" => VrfError::NonCanonicalPoint,
            _ => VrfError::BadProof,
        };
        // A flipped bit can make any part of a proof bad.
        assert!(refusal == expected || name == "bit flipped", "{name}: {refusal}");
    });
}

#[test]
fn vectors_of_bad_public_keys() {
    vectors::each("vrf.json", "bad_public_keys", |case| {
        let name = case[0].as_str().unwrap();
        let bytes = hex::decode(case[1].as_str().unwrap()).unwrap();
        // The type of the argument refuses a wrong length.
        let Ok(bytes) = <&[u8; 32]>::try_from(bytes.as_slice()) else {
            assert_eq!(name, "wrong length");
            return;
        };
        let expected =
            if name == "small order" { VrfError::SmallOrderKey } else { VrfError::NonCanonicalKey };
        assert_eq!(VrfPublicKey::from_bytes(bytes), Err(expected), "{name}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proofs_verify_under_their_key_and_input_only(
        seed: [u8; 32], other_seed: [u8; 32], alpha: Vec<u8>, other_alpha: Vec<u8>
    ) {
        prop_assume!(seed != other_seed && alpha != other_alpha);
        let secret = VrfSecretKey::from_seed(&seed);
        let (proof, output) = secret.prove(&alpha);
        let public = VrfPublicKey::from_bytes(&secret.public_key().to_bytes()).unwrap();
        prop_assert_eq!(public.verify(&alpha, &proof), Ok(output));
        prop_assert_eq!(secret.output(&alpha), output);
        prop_assert_eq!(public.verify(&other_alpha, &proof), Err(VrfError::BadProof));
        let other = VrfSecretKey::from_seed(&other_seed).public_key();
        prop_assert_eq!(other.verify(&alpha, &proof), Err(VrfError::BadProof));
        prop_assert_eq!(VrfSecretKey::from_seed(secret.to_seed().expose()).prove(&alpha), (proof, output));
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_refused() {
    let secret = VrfSecretKey::from_seed(&[7; 32]);
    let (proof, _) = secret.prove(b"alpha");
    for bit in 0..8 * PROOF_LEN {
        let mut flipped = proof;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        assert!(secret.public_key().verify(b"alpha", &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn proofs_of_every_other_length_are_refused() {
    for length in (0..PROOF_LEN).chain(PROOF_LEN + 1..3 * PROOF_LEN) {
        assert_eq!(VrfProof::from_slice(&vec![0; length]), Err(VrfError::WrongLength));
    }
}

#[test]
fn points_of_the_curve_hash_have_prime_order() {
    for input in 0..64u8 {
        let point = encode_to_curve(&[9; 32], &[input]).unwrap();
        assert!(point.is_torsion_free() && !point.is_identity());
    }
}

#[test]
fn a_proof_whose_gamma_has_another_torsion_part_is_refused() {
    let secret = VrfSecretKey::from_seed(&[7; 32]);
    let (proof, _) = secret.prove(b"alpha");
    let gamma = point::decompress(&proof.0[..32].try_into().unwrap()).unwrap();
    for torsion in &EIGHT_TORSION[1..] {
        let mut moved = proof;
        moved.0[..32].copy_from_slice((gamma + torsion).compress().as_bytes());
        assert_eq!(secret.public_key().verify(b"alpha", &moved), Err(VrfError::BadProof));
    }
}

#[test]
fn outputs_of_many_inputs_are_those_of_each() {
    let secret = VrfSecretKey::from_seed(&[7; 32]);
    for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH] {
        let inputs: Vec<[u8; 2]> = (0..count).map(|n| u16::try_from(n).unwrap().to_be_bytes()).collect();
        let each: Vec<VrfOutput> = inputs.iter().map(|alpha| secret.output(alpha)).collect();
        assert_eq!(secret.outputs(&inputs), each);
    }
}
