//! Offline proofs: torchwood's "spicy" signatures and transparency-dev's formats.

use std::collections::BTreeMap;

use keyglass_crypto::sign::SigningKey;
use keyglass_interop::judge::{Bytes, Judge, bytes, list};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, SignedNote},
    policy::Policy,
    proof::TlogProof,
    rfc6962::leaf_hash,
    time::UnixSeconds,
    witnessed::{Horizon, Judge as PolicyJudge},
};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::json;

use crate::kit::{Tree, damage, entry, judge, random, seed};

/// A log and three witnesses of which two must sign.
struct World {
    tree: Tree,
    log: NoteSigner,
    witnesses: Vec<Cosigner>,
    policy: String,
}

impl World {
    fn new(random: &mut StdRng) -> Self {
        let name = |name: &str| KeyName::new(name).unwrap();
        let log = NoteSigner::new(name("log.example/proofs"), SigningKey::from_seed(&seed(random)));
        let witnesses: Vec<Cosigner> = (1..=3)
            .map(|i| Cosigner::new(name(&format!("w{i}.example")), SigningKey::from_seed(&seed(random))))
            .collect();
        let lines: String =
            witnesses.iter().enumerate().map(|(i, w)| format!("witness w{i} {}\n", w.vkey())).collect();
        let policy = format!("log {}\n{lines}group g 2 w0 w1 w2\nquorum g\n", log.vkey());
        Self { tree: Tree::of(600), log, witnesses, policy }
    }

    fn note(&self, size: u64, witnesses: &[usize]) -> SignedNote {
        let checkpoint =
            Checkpoint::new(self.log.vkey().name().as_str(), size, self.tree.root(size)).unwrap();
        let mut lines = vec![self.log.sign(&checkpoint.text())];
        lines.extend(
            witnesses
                .iter()
                .map(|&w| self.witnesses[w].cosign(&checkpoint, UnixSeconds(1_800_000_000)).unwrap()),
        );
        SignedNote::new(&checkpoint.text(), lines).unwrap()
    }

    fn ours(&self, proof: &[u8], leaf: &[u8; 32]) -> Result<(), String> {
        let policy = Policy::parse(self.policy.as_bytes()).unwrap();
        let proof = TlogProof::parse(proof).map_err(|error| error.to_string())?;
        let judge = PolicyJudge::new(&policy, Horizon::ignored());
        proof.verify(leaf, &judge).map(drop).map_err(|error| error.to_string())
    }

    fn theirs(&self, judge: &mut Judge, proof: &[u8], leaf: &[u8; 32]) -> BTreeMap<String, String> {
        let question = json!({
            "op": "verify_proof", "proof": bytes(proof), "policy": bytes(self.policy.as_bytes()), "leaf": bytes(leaf),
        });
        judge.ask(&question).unwrap()
    }
}

#[test]
fn proofs_are_written_and_verified_alike() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(30);
    let world = World::new(random);
    let (mut accepted, mut refused, mut laxer) = (0, 0, BTreeMap::<String, usize>::new());
    for case in 0..400 {
        let size = random.random_range(1..=600);
        let index = random.random_range(0..size);
        let note = world.note(size, [&[0, 1][..], &[2, 0], &[0, 1, 2], &[1]][case % 4]);
        let hashes = world.tree.inclusion(index, size);
        let extra: Vec<u8> =
            if case % 3 == 0 { (0..random.random_range(1..90)).collect() } else { Vec::new() };
        let here = TlogProof::new(extra.clone(), index, hashes.clone(), note.clone()).to_string();
        let mut question = json!({
            "op": "write_proof", "index": index, "hashes": list(&hashes), "note": bytes(note.to_string().as_bytes()),
        });
        if !extra.is_empty() {
            question["extra"] = bytes(&extra);
        }
        let there: BTreeMap<String, Bytes> = judge.ask(&question).unwrap();
        for (library, proof) in there {
            assert_eq!(String::from_utf8_lossy(&proof.0), here, "{library}");
        }
        let leaf = leaf_hash(&entry(index));
        let verdict = world.theirs(&mut judge, here.as_bytes(), &leaf);
        assert_eq!(verdict["formats"], "");
        assert_eq!(verdict["torchwood"].is_empty(), case % 4 != 3, "{verdict:?}");
        assert_eq!(world.ours(here.as_bytes(), &leaf).is_ok(), case % 4 != 3);
        let other = leaf_hash(&entry(index + 1));
        assert_ne!(world.theirs(&mut judge, here.as_bytes(), &other)["torchwood"], "");
        assert!(world.ours(here.as_bytes(), &other).is_err());
        for _ in 0..15 {
            let damaged = damage(random, here.as_bytes());
            let verdict = &world.theirs(&mut judge, &damaged, &leaf)["torchwood"];
            match world.ours(&damaged, &leaf) {
                Ok(()) => {
                    assert_eq!(verdict, "", "only torchwood refuses {:?}", String::from_utf8_lossy(&damaged));
                    accepted += 1;
                }
                Err(_) if !verdict.is_empty() => refused += 1,
                Err(error) => {
                    // What it takes beside the one spelling: numbers with a sign or zeros before them, base64 with
                    // line ends or bits that mean nothing, extra data that are empty.
                    let known = [
                        "the line with the entry's index",
                        "there is no line with the entry's index",
                        "the extra data are not canonical base64",
                        "the inclusion proof is malformed",
                    ];
                    assert!(
                        known.contains(&error.as_str()),
                        "only we refuse: {error}: {:?}",
                        String::from_utf8_lossy(&damaged)
                    );
                    *laxer.entry(error).or_default() += 1;
                }
            }
        }
    }
    assert!(refused > 3_000, "{refused}");
    println!("{accepted} accepted, {refused} refused alike; torchwood laxer: {laxer:?}");
}

/// Each of these has a second spelling of something that the specification spells in one way.
#[test]
fn second_spellings_are_refused_here_only() {
    let Some(mut judge) = judge() else { return };
    let random = &mut random(31);
    let world = World::new(random);
    let leaf = leaf_hash(&entry(5));
    let proof = TlogProof::new(Vec::new(), 5, world.tree.inclusion(5, 9), world.note(9, &[0, 1])).to_string();
    assert_eq!(world.ours(proof.as_bytes(), &leaf), Ok(()));
    for (name, spelled) in [
        ("a sign before the index", proof.replace("index 5\n", "index +5\n")),
        ("a zero before the index", proof.replace("index 5\n", "index 05\n")),
        ("empty extra data", proof.replace("index 5\n", "extra \nindex 5\n")),
        ("a carriage return in the extra data", proof.replace("index 5\n", "extra AA\rA=\nindex 5\n")),
        ("bits that mean nothing in the extra data", proof.replace("index 5\n", "extra AB==\nindex 5\n")),
    ] {
        assert!(world.ours(spelled.as_bytes(), &leaf).is_err(), "{name}");
        let there = world.theirs(&mut judge, spelled.as_bytes(), &leaf);
        assert_eq!(
            there["torchwood"], "",
            "{name} is refused by torchwood too now: docs/interoperability.md"
        );
    }
}
