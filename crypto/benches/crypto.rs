//! How long the primitives take that a look-up or an update is made of.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keyglass_crypto::{
    commitment,
    dh::DhSecretKey,
    hash,
    kem::{KemPublicKey, KemSecretKey},
    secret::Secret,
    sign::SigningKey,
    vrf::{VrfPublicKey, VrfSecretKey},
};

/// As long as the VRF input of a usual label: length, label, version.
const ALPHA_LEN: usize = 24;

/// Hashing to the curve takes as many attempts as the input needs, so each measurement goes through many inputs.
fn inputs() -> Vec<[u8; ALPHA_LEN]> {
    (0..1024u32)
        .map(|number| {
            let mut alpha = [0; ALPHA_LEN];
            alpha[..4].copy_from_slice(&number.to_be_bytes());
            alpha
        })
        .collect()
}

fn vrf(criterion: &mut Criterion) {
    let secret = VrfSecretKey::from_seed(&[1; 32]);
    let public = secret.public_key();
    let inputs = inputs();
    let proofs: Vec<_> = inputs.iter().map(|alpha| secret.prove(alpha).0).collect();

    let mut group = criterion.benchmark_group("vrf");
    let mut next = (0..inputs.len()).cycle();
    group.bench_function("prove", |bencher| {
        bencher.iter(|| secret.prove(black_box(&inputs[next.next().unwrap()])))
    });
    group.bench_function("output", |bencher| {
        bencher.iter(|| secret.output(black_box(&inputs[next.next().unwrap()])))
    });
    let alphas: Vec<_> = inputs.iter().take(64).collect();
    group.bench_function("outputs of 64", |bencher| bencher.iter(|| secret.outputs(black_box(&alphas))));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let number = next.next().unwrap();
            public.verify(black_box(&inputs[number]), black_box(&proofs[number])).unwrap()
        })
    });
    group.bench_function("public key", |bencher| {
        bencher.iter(|| VrfPublicKey::from_bytes(black_box(&public.to_bytes())).unwrap())
    });
    group.finish();
}

fn ed25519(criterion: &mut Criterion) {
    let key = SigningKey::from_seed(&[2; 32]);
    let message = [3; 128];
    let signature = key.sign(&message);
    let verifying = key.verifying_key();
    let mut group = criterion.benchmark_group("ed25519");
    group.bench_function("sign", |bencher| bencher.iter(|| key.sign(black_box(&message))));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| verifying.verify(black_box(&message), black_box(&signature)).unwrap())
    });
    group.finish();
}

fn x25519(criterion: &mut Criterion) {
    let key = DhSecretKey::from_bytes(&[4; 32]);
    let peer = DhSecretKey::from_bytes(&[5; 32]).public_key();
    criterion.bench_function("x25519", |bencher| bencher.iter(|| key.agree(black_box(&peer)).unwrap()));
}

/// ML-KEM-768 as used, and the `ml-kem` crate beside it. A key comes from its seed each time, as it is kept.
fn kem(criterion: &mut Criterion) {
    let (seed, randomness) = ([9; 64], Secret::new([10; 32]));
    let secret = KemSecretKey::from_seed(&seed);
    let (ciphertext, _) = secret.public_key().encapsulate(&randomness);
    let mut group = criterion.benchmark_group("kem");
    group.bench_function("key from seed", |bencher| {
        bencher.iter(|| KemSecretKey::from_seed(black_box(&seed)))
    });
    group.bench_function("public key", |bencher| {
        bencher.iter(|| KemPublicKey::from_bytes(black_box(secret.public_key().as_bytes())).unwrap())
    });
    group.bench_function("encapsulate", |bencher| {
        bencher.iter(|| secret.public_key().encapsulate(black_box(&randomness)))
    });
    group
        .bench_function("decapsulate", |bencher| bencher.iter(|| secret.decapsulate(black_box(&ciphertext))));

    let theirs = ml_kem::DecapsulationKey768::from_seed(seed.into());
    let (encoded, their_ciphertext) =
        ((*secret.public_key().as_bytes()).into(), (*ciphertext.as_bytes()).into());
    group.bench_function("ml-kem: key from seed", |bencher| {
        bencher.iter(|| ml_kem::DecapsulationKey768::from_seed(black_box(seed).into()))
    });
    group.bench_function("ml-kem: public key", |bencher| {
        bencher.iter(|| ml_kem::EncapsulationKey768::new(black_box(&encoded)).unwrap())
    });
    group.bench_function("ml-kem: encapsulate", |bencher| {
        bencher.iter(|| {
            theirs.encapsulation_key().encapsulate_deterministic(&(*black_box(&randomness).expose()).into())
        })
    });
    group.bench_function("ml-kem: decapsulate", |bencher| {
        bencher.iter(|| ml_kem::Decapsulate::decapsulate(&theirs, black_box(&their_ciphertext)))
    });
    group.finish();
}

fn hashes(criterion: &mut Criterion) {
    let (left, right) = ([6; 32], [7; 32]);
    let mut group = criterion.benchmark_group("sha256");
    group.bench_function("node of 64 bytes", |bencher| {
        bencher.iter(|| hash::sha256(&[black_box(&left), black_box(&right)]))
    });
    group.bench_function("RFC 6962 node of 65 bytes", |bencher| {
        bencher.iter(|| hash::sha256(&[&[1], black_box(&left), black_box(&right)]))
    });
    group.bench_function("commitment to 256 bytes", |bencher| {
        bencher.iter(|| commitment::commit(&[black_box(&[8; 256])]))
    });
    group.finish();
}

criterion_group!(benches, vrf, ed25519, x25519, kem, hashes);
criterion_main!(benches);
