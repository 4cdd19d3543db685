//! The C2SP formats, evidence and handovers.

use std::{collections::BTreeSet, str, sync::LazyLock, time::Duration};

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    evidence::Evidence,
    handover::{Declaration, Handover},
    note::{
        self, KeyName, MAX_NOTE_LEN, MAX_SIGNATURES, NoteSigner, SignedNote, Vkey, parse_signature_lines,
    },
    policy::{
        Name, Policy,
        analysis::{self, Counting, Overlap, Strength},
    },
    proof::TlogProof,
    rfc6962,
    tile::{self, Content, Tile},
    time::UnixMillis,
    witness::{self, AddCheckpoint},
    witnessed::{Horizon, Judge},
};

use crate::heads_text::{self, HeadsText};

/// Keys that inputs can be signed with; the seeds are.
static KEYS: LazyLock<Vec<Vkey>> = LazyLock::new(|| {
    let name = |name: &str| KeyName::new(name).unwrap();
    let key = |seed| SigningKey::from_seed(&[seed; 32]);
    let log = NoteSigner::new(name("log.example/one"), key(1));
    let witnesses = [2, 3].map(|seed| Cosigner::new(name(&format!("w{seed}.example")), key(seed)));
    std::iter::once(log.vkey().clone()).chain(witnesses.iter().map(|w| w.vkey().clone())).collect()
});

pub(crate) static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let [log, a, b] = KEYS.as_slice() else { panic!("three keys") };
    let text = format!("log {log}\nwitness a {a}\nwitness b {b}\ngroup g any a b\nquorum g\n");
    Policy::parse(text.as_bytes()).unwrap()
});

fn keys() -> Vec<&'static Vkey> {
    KEYS.iter().collect()
}

pub fn note(input: &[u8]) {
    if let Ok(note) = SignedNote::parse(input) {
        assert_eq!(note.to_string().as_bytes(), input, "another spelling");
        assert!(input.len() <= MAX_NOTE_LEN && (1..=MAX_SIGNATURES).contains(&note.signatures().len()));
        assert!(note.text().ends_with('\n'));
        let again = SignedNote::new(note.text(), note.signatures().to_vec());
        assert_eq!(again.as_ref(), Ok(&note));
        if let Ok(verified) = note.verify(&keys()) {
            assert!(!verified.is_empty());
        }
    }
}

pub fn signature_lines(input: &[u8]) {
    if let Ok(lines) = parse_signature_lines(input) {
        assert_eq!(note::format_signature_lines(&lines).as_bytes(), input, "another spelling");
    }
}

pub fn vkey(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(vkey) = Vkey::parse(text) {
        assert_eq!(vkey.to_string(), text, "another spelling");
        assert_eq!(Vkey::new(vkey.name().clone(), vkey.key().clone()), vkey);
    }
}

pub fn key_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(signer) = NoteSigner::from_key_file(text) {
        assert_eq!(signer.to_key_file().trim_end(), text.trim_end_matches('\n'), "another spelling");
    }
    if let Ok(cosigner) = Cosigner::from_key_file(text) {
        assert_eq!(cosigner.to_key_file().trim_end(), text.trim_end_matches('\n'), "another spelling");
    }
}

pub fn checkpoint(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.text(), text, "another spelling");
        let bare = Checkpoint::parse_without_extensions(text);
        assert_eq!(bare.is_ok(), checkpoint.extensions().is_empty());
    }
}

pub fn policy(input: &[u8]) {
    let Ok(policy) = Policy::parse(input) else { return };
    let everybody: BTreeSet<&Name> = policy.witnesses().iter().map(|witness| witness.name()).collect();
    assert!(policy.is_quorum(&everybody), "all witnesses together are a quorum");
    assert!(policy.smallest_quorum() <= policy.witnesses().len());
    if policy.witnesses().len() > 10 {
        return;
    }
    for counting in [Counting::Operators, Counting::Keys] {
        let overlap = analysis::overlap_between(&policy, &policy, counting);
        let Some(Strength { parties, smallest_quorum, split, stall }) = Strength::of(&policy, counting)
        else {
            assert_eq!(overlap, Overlap::Exactly(0));
            continue;
        };
        assert!(split <= smallest_quorum && smallest_quorum <= parties && (1..=parties).contains(&stall));
        assert_eq!(overlap, Overlap::Exactly(split));
    }
}

pub fn judge(input: &[u8]) {
    let Ok(note) = SignedNote::parse(input) else { return };
    let horizon = Horizon::at(UnixMillis(1_700_000_000_000), Duration::from_secs(10));
    if let Ok(judged) = Judge::new(&POLICY, horizon).judge(&note) {
        assert!(judged.witnessed().is_some_and(|checkpoint| !checkpoint.cosigners().is_empty()));
        assert!(Judge::new(&POLICY, Horizon::ignored()).judge(&note).is_ok());
    }
}

pub fn proof(input: &[u8]) {
    if let Ok(proof) = TlogProof::parse(input) {
        assert_eq!(proof.to_string().as_bytes(), input, "another spelling");
        let entry = rfc6962::leaf_hash(b"entry 1");
        let judged = proof.verify(&entry, &Judge::new(&POLICY, Horizon::ignored()));
        assert!(judged.is_err() || proof.verify(&[0; 32], &Judge::new(&POLICY, Horizon::ignored())).is_err());
    }
}

pub fn tile_path(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(tile) = text.parse::<Tile>() {
        assert_eq!(tile.to_string(), text, "another spelling");
        assert_eq!(Tile::new(tile.content(), tile.index(), tile.width()), Ok(tile));
    }
}

/// The first byte is the width less one.
pub fn bundle(input: &[u8]) {
    let Some((&width, contents)) = input.split_first() else { return };
    let width = u16::from(width) + 1;
    let bundle = Tile::new(Content::Entries, 0, width).unwrap();
    if let Ok(entries) = tile::parse_bundle(&bundle, contents) {
        assert_eq!(entries.len(), usize::from(width));
        assert_eq!(tile::encode_bundle(entries).as_deref(), Ok(contents), "another spelling");
    }
    let hashes = Tile::new(Content::Hashes { level: 0 }, 0, width).unwrap();
    if let Ok(parsed) = tile::parse_tile(&hashes, contents) {
        assert_eq!(tile::encode_tile(parsed), contents);
    }
}

pub fn add_checkpoint(input: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(input) {
        assert_eq!(request.to_string().as_bytes(), input, "another spelling");
        assert!(request.proof().len() <= witness::MAX_PROOF_LINES && input.len() <= witness::MAX_REQUEST_LEN);
        assert_eq!(Checkpoint::from_note(request.note()).as_ref(), Ok(request.checkpoint()));
    }
    if let Some(size) = witness::parse_size(input) {
        assert_eq!(witness::format_size(size).as_bytes(), input, "another spelling");
    }
}

/// What a witness answers, for the checkpoint that the seeds are of.
pub fn cosignatures(input: &[u8]) {
    let checkpoint = Checkpoint::new("log.example/one", 7, [5; 32]).unwrap();
    let horizon = Horizon::at(UnixMillis(1_700_000_000_000), Duration::from_secs(10));
    if let Ok(lines) = witness::parse_cosignatures(input, &checkpoint, &keys()[1..], horizon) {
        assert!((1..=MAX_SIGNATURES).contains(&lines.len()));
        let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
        assert!(note.verify(&keys()).is_ok());
    }
}

pub fn evidence(input: &[u8]) {
    if let Ok(evidence) = Evidence::parse(input) {
        assert_eq!(evidence.to_string().as_bytes(), input, "another spelling");
        if let Ok(conviction) = evidence.verify(&keys(), Some(&POLICY)) {
            assert_eq!(conviction.origin(), "log.example/one");
        }
    }
}

/// Heads that people pass to each other.
pub fn heads(input: &[u8]) {
    if let Ok(heads) = HeadsText::parse(input) {
        assert_eq!(heads.to_string().as_bytes(), input, "another spelling");
        assert!(input.len() <= heads_text::MAX_LEN && heads.entries.len() <= 255);
        assert!(heads.entries.is_sorted_by(|x, y| x.position < y.position));
    }
}

pub fn handover(input: &[u8]) {
    if let Ok(handover) = Handover::parse(input) {
        assert_eq!(handover.to_string().as_bytes(), input, "another spelling");
    }
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(declaration) = Declaration::parse(text) {
        assert_eq!(declaration.to_string(), text, "another spelling");
    }
}

/// Two sizes or an index and a size, then hashes: a leaf or an old root, a root, and a proof of either kind.
pub fn merkle(input: &[u8]) {
    let (Some((small, rest)), Some(_)) = (input.split_first_chunk::<8>(), input.get(15)) else { return };
    let Some((large, rest)) = rest.split_first_chunk::<8>() else { return };
    let (small, large) = (u64::from_be_bytes(*small), u64::from_be_bytes(*large));
    let (hashes, _) = rest.as_chunks::<32>();
    let [first, root, proof @ ..] = hashes else { return };
    let included = rfc6962::verify_inclusion(first, small, large, proof, root);
    assert!(included.is_err() || (small < large && proof.len() <= 64));
    let consistent = rfc6962::verify_consistency(small, first, large, root, proof);
    assert!(consistent.is_err() || (small <= large && proof.len() <= rfc6962::MAX_PROOF_LEN));
    // What a prover makes for these sizes, out of any nodes, is as long as the verifier says.
    let node = |node: rfc6962::NodeId| -> Result<Digest, ()> {
        let mut hash = *first;
        hash[0] ^= node.level;
        Ok(hash)
    };
    if let Ok(made) = rfc6962::inclusion_proof(small, large, node) {
        let checked = rfc6962::verify_inclusion(first, small, large, &made, root);
        assert!(matches!(checked, Ok(()) | Err(rfc6962::ProofError::RootMismatch)), "{checked:?}");
    }
    if let Ok(made) = rfc6962::consistency_proof(small, large, node) {
        let checked = rfc6962::verify_consistency(small, first, large, root, &made);
        assert!(!matches!(checked, Err(rfc6962::ProofError::WrongLength { .. })), "{checked:?}");
    }
}
