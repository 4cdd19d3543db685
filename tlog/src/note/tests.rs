use keyglass_crypto::sign::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    testkit::{self, TIME},
};

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new(testkit::name("example.com/a"), SigningKey::from_seed(&[seed; 32]))
}

fn signed(text: &str, signers: &[&NoteSigner]) -> SignedNote {
    SignedNote::new(text, signers.iter().map(|signer| signer.sign(text)).collect()).unwrap()
}

#[test]
fn the_example_of_the_text_verifies() {
    let vkey = Vkey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let note = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ON\
                ncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = SignedNote::parse(note.as_bytes()).unwrap();
    assert_eq!(note.verify(&[&vkey]).unwrap()[0].key, &vkey);
}

#[test]
fn one_bad_line_of_a_known_key_spoils_the_note() {
    let (a, b) = (signer(1), signer(2));
    let (good, other) = (signed("x\n", &[&a, &b]), signed("y\n", &[&b]));
    let mixed = SignedNote::new("x\n", [good.signatures(), other.signatures()].concat()).unwrap();
    let bad = NoteVerifyError::BadSignature { name: b.vkey().name().clone(), id: b.vkey().id() };
    assert_eq!(mixed.verify(&[a.vkey(), b.vkey()]), Err(bad));
    assert_eq!(mixed.verify(&[a.vkey()]).unwrap().len(), 1);
    assert_eq!(mixed.verify(&[]), Err(NoteVerifyError::NoKnownKey));
}

#[test]
fn a_repeated_line_is_verified_as_often_as_it_stands_there() {
    let (a, b) = (signer(1), signer(2));
    let good = signed("x\n", &[&a, &b, &a, &a]);
    let keys = [b.vkey(), a.vkey()];
    let found: Vec<_> = good.verify(&keys).unwrap().iter().map(|line| (line.line, line.key_index)).collect();
    assert_eq!(found, [(0, 1), (1, 0), (2, 1), (3, 1)]);
    let bad = signed("y\n", &[&a]).signatures()[0].clone();
    for at in 0..5 {
        let mut lines = good.signatures().to_vec();
        lines.insert(at, bad.clone());
        let mixed = SignedNote::new("x\n", lines).unwrap();
        assert!(matches!(mixed.verify(&keys), Err(NoteVerifyError::BadSignature { .. })), "{at}");
    }
}

#[test]
fn one_key_of_two_types_is_two_keys() {
    let seed = [7; 32];
    let name = testkit::name("example.com/both");
    let plain = NoteSigner::new(name.clone(), SigningKey::from_seed(&seed));
    let cosigner = Cosigner::new(name, SigningKey::from_seed(&seed));
    assert_ne!(plain.vkey().id(), cosigner.vkey().id());
    let checkpoint = Checkpoint::new("example.com/log", 1, [1; 32]).unwrap();
    let lines = vec![plain.sign(&checkpoint.text()), cosigner.cosign(&checkpoint, TIME).unwrap()];
    let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
    assert_eq!(note.verify(&[plain.vkey()]).unwrap()[0].time, None);
    assert_eq!(note.verify(&[cosigner.vkey()]).unwrap()[0].time, Some(TIME));
    // The one's signature under the other's id is a forgery.
    let line = SignatureLine::new(
        cosigner.vkey().name().clone(),
        cosigner.vkey().id(),
        note.signatures[0].signature.clone(),
    );
    let forged = SignedNote::new(&checkpoint.text(), vec![line]).unwrap();
    assert!(matches!(forged.verify(&[cosigner.vkey()]), Err(NoteVerifyError::BadSignature { .. })));
}

#[test]
fn bounds_are_where_they_are_said_to_be() {
    let line = signer(1).sign("x\n");
    assert!(SignedNote::new("x\n", vec![line.clone(); MAX_SIGNATURES]).is_ok());
    let many = vec![line.clone(); MAX_SIGNATURES + 1];
    assert_eq!(SignedNote::new("x\n", many.clone()), Err(NoteError::TooManySignatures));
    let text = format!("x\n\n{}", format_signature_lines(&many));
    assert_eq!(SignedNote::parse(text.as_bytes()), Err(NoteError::TooManySignatures));
    let long = "x".repeat(MAX_NOTE_LEN) + "\n";
    assert_eq!(SignedNote::new(&long, vec![line]), Err(NoteError::TooLong));
    assert_eq!(SignedNote::parse(long.as_bytes()), Err(NoteError::TooLong));
    let large = SignatureLine::new(testkit::name("w.example"), KeyId([0; 4]), vec![1; 8 + 2420]);
    let note = SignedNote::new("x\n", vec![large; MAX_SIGNATURES]).unwrap();
    assert_eq!(SignedNote::parse(note.to_string().as_bytes()), Ok(note));
}

#[test]
fn stored_keys_come_back_and_damage_is_noticed() {
    let signer = signer(3);
    let file = signer.to_key_file();
    assert!(file.starts_with("PRIVATE+KEY+example.com/a+") && file.ends_with('\n'));
    assert_eq!(NoteSigner::from_key_file(&file).unwrap().vkey(), signer.vkey());
    assert_eq!(NoteSigner::from_key_file(file.trim_end()).unwrap().vkey(), signer.vkey());
    assert_eq!(Cosigner::from_key_file(&file).unwrap_err(), KeyFileError::OtherType { found: 0x01 });
    for end in 0..file.len() - 1 {
        assert!(NoteSigner::from_key_file(&file[..end]).is_err(), "cut at {end}");
    }
    let renamed = file.replace("example.com/a", "example.com/b");
    assert_eq!(NoteSigner::from_key_file(&renamed).unwrap_err(), KeyFileError::WrongId);
    assert_eq!(NoteSigner::from_key_file(&format!("{}x", *file)).unwrap_err(), KeyFileError::Malformed);
    let cosigner = testkit::witness(1);
    assert_eq!(Cosigner::from_key_file(&cosigner.to_key_file()).unwrap().vkey(), cosigner.vkey());
    assert!(!format!("{signer:?}{cosigner:?}").contains("[3, 3"));
}

proptest! {
    #[test]
    fn what_parses_formats_back(text in "[ -~\u{a0}é\n]{0,60}\n", lines in proptest::collection::vec(("[a-z/.]{1,9}", any::<[u8; 4]>(), proptest::collection::vec(any::<u8>(), 1..90)), 1..6)) {
        let lines = lines.into_iter().map(|(name, id, bytes)| SignatureLine::new(testkit::name(&name), KeyId(id), bytes)).collect();
        let note = SignedNote::new(&text, lines).unwrap();
        prop_assert_eq!(SignedNote::parse(note.to_string().as_bytes()), Ok(note));
    }

    #[test]
    fn garbage_never_panics_and_never_has_two_spellings(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), any::<u8>(), b'!'..b'z'], 0..200)) {
        let mut note = b"x\n\n\xe2\x80\x94 a ".to_vec();
        note.extend(bytes);
        if let Ok(parsed) = SignedNote::parse(&note) {
            prop_assert_eq!(parsed.to_string().into_bytes(), note);
        }
    }

    #[test]
    fn a_flipped_bit_verifies_only_beside_the_signature(at: usize, bit in 0u32..8) {
        let signer = signer(1);
        let honest = signed("some text\n\nmore\n", &[&signer]);
        let mut bytes = honest.to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let verified = SignedNote::parse(&bytes).is_ok_and(|note| note.verify(&[signer.vkey()]).is_ok());
        prop_assert!(!verified);
    }
}
