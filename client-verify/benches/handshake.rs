//! Initiating and accepting a handshake in both suites, beside the primitives that it cannot do without, and the bytes of
//! bundles and messages.
//!
//! The two sides of a comparison take turns, so that whatever else the machine does falls on both. What is proven before,
//! the record and the signatures of the bundle, is not part of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use keyglass_account::{
    author::Draft,
    device::{Device, Suite},
    prekey::{
        KemPreKey, KemPreKeyBatch, LastResortPreKey, OneTimeKemPreKey, OneTimePreKey, PreKeyBatch,
        PreKeyBundle, SignedPreKey,
    },
    time::UnixMillis,
};
use keyglass_client_verify::{
    proven::{self, ProvenAccount, ProvenBundle, Proving, Unverified, Witnessing},
    x3dh::{
        Accepted, HandshakeId, HandshakeRandomness, InitialMessage, KemId, Memory, OneTimeId, OneTimeSecret,
        OwnDevice, Party, PreKeySecret, accept, initiate,
    },
};
use keyglass_crypto::{
    aead,
    dh::{DhPublicKey, DhSecretKey},
    kdf::hkdf_sha256,
    kem::{KemCiphertext, KemPublicKey, KemSecretKey},
    secret::Secret,
    sign::SigningKey,
};
use keyglass_keytrans::{
    client::{UserState, Verifier},
    prover,
    wire::Wire as _,
};

use crate::log::{TestLog, now};

#[allow(dead_code)]
#[path = "../tests/command/log.rs"]
mod log;

const ROUNDS: usize = 2000;
/// As long as a first message with a checkpoint, ten roots and a line of text.
const TEXT: [u8; 1200] = [7; 1200];
const SIGNED: u8 = 30;
const ONE_TIME: u8 = 31;
const KEM: u8 = 32;

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn dh(seed: u8) -> DhSecretKey {
    DhSecretKey::from_bytes(&[seed; 32])
}

/// A person with one device, in the log.
struct Person {
    account: ProvenAccount,
    party: Party,
    dh_secret: DhSecretKey,
    signing_key: SigningKey,
}

impl Person {
    fn new(label: &str, seed: u8, suites: &[Suite]) -> Self {
        let (origin, label) = (TestLog::origin(), label.as_bytes());
        let (dh_secret, signing_key) = (dh(seed), signing(seed + 1));
        let device = Device::sign(
            &origin,
            label,
            1,
            &signing_key,
            dh_secret.public_key(),
            suites.to_vec(),
            UnixMillis(1),
        );
        let record = Draft::new(&origin, label, 0).add_device(device).sign_genesis(&signing(seed)).unwrap();
        let mut log = TestLog::new();
        log.append(&[(label, record.encode())]);
        let configuration = log.config().encode().unwrap();
        let verifier = Verifier::new(&configuration, Some(log.own_policy().as_bytes())).unwrap();
        let state = UserState::default();
        let request = verifier.search_request(&state, label, None);
        let response = prover::search(&log, &log.head(), &request).unwrap().encode().unwrap();
        let clock = keyglass_tlog::time::UnixMillis(now());
        let search =
            proven::search(&verifier, &state, &request, &Unverified::from_wire(response), clock).unwrap();
        let Witnessing::Witnessed(value) = search.value else { panic!("not witnessed") };
        let Proving::Done(account) = proven::prove(value, None).unwrap() else { panic!("no genesis") };
        let party = account.device(1).unwrap().party().clone();
        Self { account: *account, party, dh_secret, signing_key }
    }

    fn own(&self) -> OwnDevice<'_> {
        OwnDevice { party: &self.party, dh_secret: &self.dh_secret, version: 0 }
    }

    /// A bundle out of batches of 100, as the server hands it out.
    fn bundle(&self, kem: Option<bool>) -> PreKeyBundle {
        let (origin, label, key) = (TestLog::origin(), self.account.label(), &self.signing_key);
        let (created, expires) = (UnixMillis(now()), UnixMillis(now() + 1_000_000_000));
        let signed = dh(SIGNED).public_key();
        let signed_prekey =
            SignedPreKey::sign(&origin, label, key, 1, 1, signed, created, expires, 1).unwrap();
        let keys = (0..100).map(|id| OneTimePreKey { id, key: dh(ONE_TIME).public_key() }).collect();
        let batch = PreKeyBatch::sign(&origin, label, key, 1, 1, expires, keys).unwrap();
        let kem_key = KemSecretKey::from_seed(&[KEM; 64]).public_key().clone();
        let kem = kem.map(|is_one_time| {
            if is_one_time {
                let keys = (100..200).map(|id| OneTimeKemPreKey { id, key: kem_key.clone() }).collect();
                let batch = KemPreKeyBatch::sign(&origin, label, key, 1, 2, expires, keys).unwrap();
                KemPreKey::OneTime(batch.entry(50).unwrap())
            } else {
                let last =
                    LastResortPreKey::sign(&origin, label, key, 1, 2, kem_key.clone(), created, expires, 1);
                KemPreKey::LastResort(last.unwrap())
            }
        });
        PreKeyBundle { signed_prekey, one_time: batch.entry(50), kem }
    }

    fn prove(&self, bundle: &PreKeyBundle) -> ProvenBundle {
        self.account.prove_bundle(1, Unverified::from_wire(bundle.clone()), UnixMillis(now())).unwrap()
    }
}

/// What a device remembers, decoded as a home does before it accepts.
struct Keys {
    signed: DhSecretKey,
    one_time: DhSecretKey,
}

impl Memory for Keys {
    fn has_seen(&self, _: &HandshakeId) -> bool {
        false
    }

    fn signed_prekey(&self, _: u32) -> Option<&DhSecretKey> {
        Some(&self.signed)
    }

    fn one_time_prekey(&self, _: &OneTimeId) -> OneTimeSecret<'_> {
        PreKeySecret::Live(&self.one_time)
    }

    fn kem_prekey(&self, _: &KemId) -> PreKeySecret<KemSecretKey> {
        PreKeySecret::Live(KemSecretKey::from_seed(&[KEM; 64]))
    }
}

/// The derivation and the cipher under it, of as many secrets, without any transcript.
fn derive(secrets: &[Secret<32>]) -> (Secret<32>, [u8; 12]) {
    let material: Vec<u8> = secrets.iter().flat_map(|secret| *secret.expose()).collect();
    let output: Secret<140> = hkdf_sha256(&[0; 32], &material, b"");
    (Secret::new(output.expose()[96..128].try_into().unwrap()), output.expose()[128..].try_into().unwrap())
}

/// The initiator's primitives: the ephemeral key, four agreements, the encapsulation, HKDF, the cipher.
fn bare_initiate(own: &DhSecretKey, peer: [&DhPublicKey; 3], kem: Option<&KemPublicKey>) -> Vec<u8> {
    let ephemeral = dh(40);
    black_box(ephemeral.public_key());
    let [identity, signed, one_time] = peer;
    let mut secrets = vec![
        own.agree(signed).unwrap(),
        ephemeral.agree(identity).unwrap(),
        ephemeral.agree(signed).unwrap(),
        ephemeral.agree(one_time).unwrap(),
    ];
    if let Some(key) = kem {
        secrets.push(black_box(key.encapsulate(&Secret::new([41; 32]))).1);
    }
    let (key, nonce) = derive(&secrets);
    aead::seal(&key, &nonce, b"", &TEXT).unwrap()
}

/// The responder's primitives: four agreements, the KEM key from its seed and the decapsulation, HKDF, the cipher.
fn bare_accept(
    own: &DhSecretKey,
    keys: &Keys,
    peer: [&DhPublicKey; 2],
    kem: Option<&KemCiphertext>,
    sealed: &[u8],
) -> Vec<u8> {
    let [identity, ephemeral] = peer;
    let mut secrets = vec![
        keys.signed.agree(identity).unwrap(),
        own.agree(ephemeral).unwrap(),
        keys.signed.agree(ephemeral).unwrap(),
        keys.one_time.agree(ephemeral).unwrap(),
    ];
    if let Some(ciphertext) = kem {
        secrets.push(KemSecretKey::from_seed(&[KEM; 64]).decapsulate(ciphertext));
    }
    let (key, nonce) = derive(&secrets);
    aead::open(&key, &nonce, b"", sealed).unwrap()
}

/// The medians of both in turns; the first of each makes what it is to be timed with.
fn compare<T>(what: &str, mut prepare: impl FnMut() -> T, mut ours: impl FnMut(T), mut bare: impl FnMut()) {
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    for _ in 0..ROUNDS {
        let prepared = prepare();
        let start = Instant::now();
        ours(prepared);
        times[0].push(start.elapsed());
        let start = Instant::now();
        bare();
        times[1].push(start.elapsed());
    }
    let [ours, bare] = times.map(|mut times: Vec<Duration>| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e6
    });
    println!("{what}: {ours:.1} us, its primitives {bare:.1} us, {:+.1} %", (ours / bare - 1.0) * 100.0);
}

fn suite(name: &str, alice: &Person, bob: &Person, kem: bool) {
    let (bundle, has_kem) = (bob.bundle(kem.then_some(true)), kem);
    let randomness =
        || HandshakeRandomness { ephemeral: Secret::new([40; 32]), encapsulation: Secret::new([41; 32]) };
    let kem_secret = KemSecretKey::from_seed(&[KEM; 64]);
    let (signed, one_time) = (dh(SIGNED).public_key(), dh(ONE_TIME).public_key());
    compare(
        &format!("{name}, initiate"),
        || (bob.prove(&bundle), randomness()),
        |(bundle, randomness)| {
            black_box(initiate(alice.own(), bundle, randomness, &TEXT).unwrap());
        },
        || {
            let kem = has_kem.then(|| kem_secret.public_key());
            black_box(bare_initiate(&alice.dh_secret, [&bob.party.dh_key, &signed, &one_time], kem));
        },
    );

    let sent = initiate(alice.own(), bob.prove(&bundle), randomness(), &TEXT).unwrap();
    let message = InitialMessage::decode(&sent.message.encode()).unwrap();
    let keys = Keys { signed: dh(SIGNED), one_time: dh(ONE_TIME) };
    let sender = alice.account.device(1).unwrap();
    let (ephemeral, ciphertext) =
        (dh(40).public_key(), kem_secret.public_key().encapsulate(&Secret::new([41; 32])).0);
    let sealed = bare_initiate(
        &alice.dh_secret,
        [&bob.party.dh_key, &signed, &one_time],
        has_kem.then(|| kem_secret.public_key()),
    );
    compare(
        &format!("{name}, accept"),
        || (),
        |()| {
            let Ok(Accepted::New(received)) = accept(bob.own(), &sender, &keys, &message) else {
                panic!("not accepted")
            };
            drop(black_box(received));
        },
        || {
            let kem = has_kem.then_some(&ciphertext);
            black_box(bare_accept(&bob.dh_secret, &keys, [&alice.party.dh_key, &ephemeral], kem, &sealed));
        },
    );
    println!("{name}: message of {} B around a text of {} B", sent.message.encode().len(), TEXT.len());
}

fn main() {
    let alice = Person::new("alice", 1, &[Suite::X3DH, Suite::PQXDH]);
    let plain = Person::new("bob", 5, &[Suite::X3DH]);
    let bob = Person::new("bob", 9, &[Suite::X3DH, Suite::PQXDH]);
    let (without, one_time, last) = (plain.bundle(None), bob.bundle(Some(true)), bob.bundle(Some(false)));
    println!(
        "bundle: {} B without KEM, {} B with a one-time KEM prekey, {} B with the last resort",
        without.encode().len(),
        one_time.encode().len(),
        last.encode().len()
    );
    suite("X3DH", &alice, &plain, false);
    suite("PQXDH", &alice, &bob, true);
}
