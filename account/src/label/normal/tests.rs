//! The rule against its vectors, against itself, and over every code point.

use keyglass_crypto::hash::sha256;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    rule: u32,
    unicode: String,
    accepted: Vec<Accepted>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Accepted {
    input: String,
    kind: String,
    output: String,
}

#[derive(Deserialize)]
struct Refused {
    input: String,
    refusal: String,
}

fn name(error: LabelError) -> &'static str {
    match error {
        LabelError::Length(_) => "length",
        LabelError::TooLong => "too_long",
        LabelError::NotText => "not_text",
        LabelError::EmailLocal => "email_local",
        LabelError::EmailDomain => "email_domain",
        LabelError::Phone => "phone",
        LabelError::PhoneWithoutCountry => "phone_without_country",
        LabelError::UsernameCharacter(_) => "username_character",
        LabelError::Username => "username",
        LabelError::NotNormalised => "not_normalised",
    }
}

#[test]
fn normalisation_is_that_of_the_vector_file() {
    let folder = std::env::var_os("KEYGLASS_TESTVECTORS").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors"),
        std::path::PathBuf::from,
    );
    let text = std::fs::read_to_string(folder.join("label/normalisation.json")).unwrap();
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    assert_eq!((vectors.rule, vectors.unicode.as_str()), (1, "17.0.0"));
    for Accepted { input, kind, output } in &vectors.accepted {
        let normalised = normalise(input).unwrap_or_else(|error| panic!("{input:?}: {error}"));
        assert_eq!(
            (normalised.as_str(), normalised.kind().name()),
            (output.as_str(), kind.as_str()),
            "{input:?}"
        );
        assert_eq!(require_normalised(output.as_bytes()), Ok(normalised.kind()), "{output:?}");
        if input != output {
            assert_eq!(require_normalised(input.as_bytes()), Err(LabelError::NotNormalised), "{input:?}");
        }
    }
    for Refused { input, refusal } in &vectors.refused {
        let error = normalise(input).err().unwrap_or_else(|| panic!("{input:?} is accepted"));
        assert_eq!(name(error), refusal, "{input:?}: {error}");
        assert!(require_normalised(input.as_bytes()).is_err());
    }
    let cases = vectors.accepted.len() + vectors.refused.len();
    assert!(cases > 80);
    println!("normalisation_is_that_of_the_vector_file: {cases} cases");
}

/// What the rule says of every code point, alone and beside letters, in one digest. If this changes, labels have drifted:
/// pin the dependency (or the compiler) that did it, rather than this digest.
#[test]
fn no_code_point_drifts_from_the_pinned_vector() {
    let mut said = Vec::new();
    let mut accepted = 0_u32;
    for c in ('\0'..=char::MAX).filter(|c| !c.is_ascii_whitespace()) {
        for text in [format!("{c}"), format!("a{c}"), format!("A{c}z")] {
            if let Ok(normalised) = normalise(&text) {
                accepted += 1;
                said.extend_from_slice(text.as_bytes());
                said.push(0xff);
                said.extend_from_slice(normalised.as_str().as_bytes());
                said.push(0xff);
            }
        }
    }
    let digest: String = sha256(&[&said]).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("no_code_point_drifts_from_the_pinned_vector: {accepted} cases");
    assert_eq!((accepted, digest.as_str()), (PINNED.0, PINNED.1));
}

const PINNED: (u32, &str) = (295_546, "9f6677519a8cfd491154a10d7830af89fcd6fe0fa8c8cb289255caacdfca9969");

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert_eq!(require_normalised(b"\xff"), Err(LabelError::NotText));
    assert_eq!(require_normalised(b""), Err(LabelError::Length(LabelLength(0))));
    assert_eq!(require_normalised(&[b'x'; 256]), Err(LabelError::Length(LabelLength(256))));
    assert_eq!(require_normalised(b"bob\n"), Err(LabelError::NotNormalised));
    assert_eq!(require_normalised(b"Bob"), Err(LabelError::NotNormalised));
    assert_eq!(require_normalised(b"bob"), Ok(Kind::Username));
}

proptest! {
    #[test]
    fn what_is_normalised_stays_as_it_is_and_tells_its_kind(text in ".{0,40}") {
        if let Ok(normalised) = normalise(&text) {
            let again = normalise(normalised.as_str()).unwrap();
            prop_assert_eq!(&again, &normalised);
            prop_assert_eq!(require_normalised(normalised.as_str().as_bytes()), Ok(normalised.kind()));
            let kind = match normalised.as_str() {
                text if text.contains('@') => Kind::Email,
                text if text.starts_with('+') => Kind::Phone,
                _ => Kind::Username,
            };
            prop_assert_eq!(kind, normalised.kind());
        }
    }

    #[test]
    fn names_are_one_however_their_case_and_form(name in "[a-zäöüß][a-z0-9äöüß._-]{0,20}") {
        let same = normalise(&name).unwrap();
        prop_assert_eq!(same.as_str(), &name);
        let shout: String = name.chars().map(|c| if c == 'ß' { c } else { c.to_uppercase().next().unwrap() }).collect();
        let normalised = normalise(&shout).unwrap();
        prop_assert_eq!(normalised.as_str(), &name);
    }

    #[test]
    fn numbers_are_one_however_they_are_grouped(digits in "[1-9][0-9]{6,14}", gaps in prop::collection::vec("[ ()-]{0,2}", 15)) {
        let typed: String = digits.chars().zip(gaps).map(|(digit, gap)| format!("{digit}{gap}")).collect();
        let normalised = normalise(&format!("+{typed}")).unwrap();
        prop_assert_eq!(normalised.as_str(), format!("+{digits}"));
    }
}
