//! The sentences of signed-note, tlog-checkpoint, tlog-policy and tlog-proof that a reader of these formats must obey, each
//! with what it decides. The vectors of `testvectors/c2sp` decide most of them again; this is the list to go through when
//! a specification changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod checkpoint;
mod policy;
mod proof;
mod signed_note;

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignatureLine},
    policy::{Policy, PolicyErrorKind},
};

type Sentence = (&'static str, fn());

#[test]
fn every_sentence_holds() {
    let mut ran = 0;
    for (spec, sentences) in [
        ("signed-note", signed_note::SENTENCES),
        ("tlog-checkpoint", checkpoint::SENTENCES),
        ("tlog-policy", policy::SENTENCES),
        ("tlog-proof", proof::SENTENCES),
    ] {
        for (sentence, holds) in sentences {
            println!("{spec}: {sentence}");
            holds();
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

fn name(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new(name("log.example/one"), SigningKey::from_seed(&[seed; 32]))
}

fn witness(n: u8) -> Cosigner {
    Cosigner::new(name(&format!("w{n}.example")), SigningKey::from_seed(&[n; 32]))
}

fn line(text: &str) -> Option<SignatureLine> {
    SignatureLine::parse(text)
}

fn policy(text: impl AsRef<[u8]>) -> Result<Policy, PolicyErrorKind> {
    Policy::parse(text.as_ref()).map_err(|error| error.kind)
}

fn witnesses(count: u8) -> String {
    (1..=count).map(|n| format!("witness w{n} {}\n", witness(n).vkey())).collect()
}

const ROOT: &str = "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=";
