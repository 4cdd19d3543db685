//! C2SP signed-note.

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, MAX_SIGNATURES, NoteError, NoteSigner, NoteVerifyError, SignedNote, Vkey, VkeyError},
};

use crate::{Sentence, line, name, signer};

/// A note of this text with one good line.
fn signed(text: &str) -> String {
    format!("{text}\n{}\n", signer(1).sign(text))
}

fn note(bytes: impl AsRef<[u8]>) -> Result<SignedNote, NoteError> {
    SignedNote::parse(bytes.as_ref())
}

fn verifies(bytes: impl AsRef<[u8]>) -> bool {
    note(bytes).is_ok_and(|note| note.verify(&[signer(1).vkey()]).is_ok())
}

pub const SENTENCES: &[Sentence] = &[
    ("a text ending in newline, followed by a blank line, followed by one or more signature lines", || {
        assert!(verifies(signed("x\n")));
        assert_eq!(note("x\n\n"), Err(NoteError::NoSignatures));
        assert_eq!(note(format!("x\n{}\n", signer(1).sign("x\n"))), Err(NoteError::NoBlankLine));
        assert_eq!(note(format!("\n{}\n", signer(1).sign("\n"))), Err(NoteError::NoBlankLine));
        assert_eq!(note(signed("x\n").trim_end()), Err(NoteError::NoFinalNewline));
        assert_eq!(note(format!("{}\n", signed("x\n"))), Err(NoteError::NoSignatures));
        assert_eq!(note(format!("{}x\n", signed("x\n"))), Err(NoteError::BadSignatureLine(2)));
        assert_eq!(note(""), Err(NoteError::NoSignatures));
    }),
    ("of this form: em dash, space, key name, space, base64-encoded signature, newline", || {
        assert!(line("\u{2014} a AAAAAAA=").is_some());
        for bad in [
            "- a AAAAAAA=",
            "\u{2013} a AAAAAAA=",
            "\u{2014}a AAAAAAA=",
            "\u{2014}  a AAAAAAA=",
            "\u{2014} a  AAAAAAA=",
            "\u{2014} a AAAAAAA= ",
            "\u{2014} a AAAAAAA= x",
            "\u{2014}\u{a0}a AAAAAAA=",
            " \u{2014} a AAAAAAA=",
            "\u{2014} a AAAAAAA",
            "\u{2014} a AAAAAAB=",
            "\u{2014} a AAAA_AA=",
            "\u{2014} a",
            "\u{2014} ",
            "",
        ] {
            assert!(line(bad).is_none(), "{bad:?}");
        }
    }),
    ("MUST be valid UTF-8", || {
        for bad in [&b"\xff\n\n"[..], b"\xed\xa0\x80\n\n", b"\xc0\xaf\n\n"] {
            assert_eq!(note(bad), Err(NoteError::NotUtf8));
        }
    }),
    ("MUST NOT contain any ASCII control characters (those below U+0020) other than newline", || {
        for control in (0u8..0x20).filter(|&byte| byte != b'\n') {
            let text = format!("x{}\n", char::from(control));
            let signed = format!("{text}\n{}\n", signer(1).sign(&text));
            assert_eq!(note(signed), Err(NoteError::ControlCharacter), "{control:#x}");
            assert_eq!(SignedNote::new(&text, vec![signer(1).sign(&text)]), Err(NoteError::ControlCharacter));
        }
        // U+007F and the C1 controls are not below U+0020.
        assert!(verifies(signed("\u{7f}\u{85}\n")));
    }),
    ("the note text includes the final newline but not the separating blank line", || {
        let parsed = note(signed("x\n")).unwrap();
        assert_eq!(parsed.text(), "x\n");
        assert!(!verifies(format!("x\n\n{}\n", signer(1).sign("x"))));
        assert!(!verifies(format!("x\n\n{}\n", signer(1).sign("x\n\n"))));
    }),
    (
        "the note text MAY contain empty lines; the text is separated from the signatures by the last empty line",
        || {
            for text in ["a\n\nb\n", "\n", "\n\n\n", "a\n\n\u{2014} b AAAAAAA=\n\nc\n"] {
                assert_eq!(note(signed(text)).unwrap().text(), text);
                assert!(verifies(signed(text)), "{text:?}");
            }
        },
    ),
    (
        "key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B) characters",
        || {
            let spaces = " \u{9}\u{a}\u{b}\u{c}\u{d}\u{85}\u{a0}\u{1680}\u{2000}\u{2003}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
            for bad in spaces.chars().chain(['+', '\0', '\u{1f}']) {
                assert!(KeyName::new(&format!("a{bad}b")).is_err(), "{bad:?}");
                assert!(line(&format!("\u{2014} a{bad}b AAAAAAA=")).is_none(), "{bad:?}");
            }
            assert!(KeyName::new("").is_err());
            for good in ["é.example", "a/b", "—", "\u{200b}", "\u{7f}"] {
                assert!(KeyName::new(good).is_ok(), "{good:?}");
            }
        },
    ),
    ("signatures are the base64 encoding of 4+n bytes", || {
        assert!(line("\u{2014} a AAAAAAA=").is_some(), "one byte of signature");
        // No algorithm has an empty signature.
        assert!(line("\u{2014} a AAAAAA==").is_none() && line("\u{2014} a AAAA").is_none());
    }),
    ("the first four bytes in the signature are the uint32 key ID stored in big-endian order", || {
        assert_eq!(line("\u{2014} a AQIDBAU=").unwrap().id().to_string(), "01020304");
    }),
    ("SHOULD apply a maximum limit to the number of signatures, but MUST accept at least up to 16", || {
        let large = |count| {
            let mut lines = vec![signer(1).sign("x\n")];
            let base64 = "A".repeat(6664);
            lines.resize(count, line(&format!("\u{2014} pq.example {base64}")).unwrap());
            SignedNote::new("x\n", lines)
        };
        // Of nearly 5 kB each, as post-quantum signatures can be.
        assert!(verifies(large(16).unwrap().to_string()));
        let line = signer(1).sign("x\n");
        assert!(SignedNote::new("x\n", vec![line.clone(); MAX_SIGNATURES]).is_ok());
        let many = SignedNote::new("x\n", vec![line; MAX_SIGNATURES + 1]);
        assert_eq!(many, Err(NoteError::TooManySignatures));
    }),
    (
        "verifiers MUST ignore signatures from unknown keys, even if they share a name or ID (but not both) with a known key",
        || {
            let (a, other_name) = (signer(1), Cosigner::new(name("other"), SigningKey::from_seed(&[9; 32])));
            let good = a.sign("x\n");
            let encoded = good.to_string();
            // The same id under another name, and another id under the same name, of any length.
            let same_id = line(&encoded.replace("log.example/one", "log.example/two")).unwrap();
            let same_name = line(&format!("\u{2014} log.example/one {}", "AAAAAAAA")).unwrap();
            assert_eq!(same_id.id(), good.id());
            assert_ne!(same_name.id(), good.id());
            let lines = vec![same_id.clone(), same_name.clone(), good];
            let verified = SignedNote::new("x\n", lines).unwrap();
            assert_eq!(verified.verify(&[a.vkey(), other_name.vkey()]).unwrap().len(), 1);
            let none = SignedNote::new("x\n", vec![same_id, same_name]).unwrap();
            assert_eq!(none.verify(&[a.vkey()]), Err(NoteVerifyError::NoKnownKey));
        },
    ),
    ("if the key name and ID match a known key, verifiers MUST verify the signature", || {
        let forged = line(&signer(1).sign("y\n").to_string()).unwrap();
        let note = SignedNote::new("x\n", vec![forged]).unwrap();
        assert!(matches!(note.verify(&[signer(1).vkey()]), Err(NoteVerifyError::BadSignature { .. })));
    }),
    ("if a signature from a known key fails to verify, clients SHOULD reject the whole note", || {
        let (good, bad) = (signer(1).sign("x\n"), signer(1).sign("y\n"));
        for lines in [vec![good.clone(), bad.clone()], vec![bad, good]] {
            let note = SignedNote::new("x\n", lines).unwrap();
            assert!(note.verify(&[signer(1).vkey()]).is_err());
        }
    }),
    ("if no signature from a known key verifies successfully, clients MUST reject the note", || {
        let note = note(signed("x\n")).unwrap();
        assert_eq!(note.verify(&[]), Err(NoteVerifyError::NoKnownKey));
        assert_eq!(note.verify(&[signer(2).vkey()]), Err(NoteVerifyError::NoKnownKey));
    }),
    ("key ID = SHA-256(key name || 0x0A || signature type || public key)[:4]", || {
        let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        assert_eq!(Vkey::parse(vkey).unwrap().to_string(), vkey);
        assert_eq!(Vkey::parse(&vkey.replace("530d903a", "530d903b")), Err(VkeyError::WrongId));
        assert_eq!(Vkey::parse(&vkey.replace("/foo", "/bar")), Err(VkeyError::WrongId));
    }),
    (
        "the same public key SHOULD NOT be reused for different signature types, but if it is, a different key ID MUST be used",
        || {
            let plain = NoteSigner::new(name("a"), SigningKey::from_seed(&[1; 32]));
            let cosigner = Cosigner::new(name("a"), SigningKey::from_seed(&[1; 32]));
            assert_ne!(plain.vkey().id(), cosigner.vkey().id());
        },
    ),
    ("<key name>+hex(32-bit key ID)+base64(signature type || public key)", || {
        let vkey = signer(1).vkey().to_string();
        let bad = [
            String::new(),
            "a".to_owned(),
            "a+b".to_owned(),
            "a+00000000+".to_owned(),
            "a+00000000+AQ".to_owned(),
            format!("+{vkey}"),
            format!("{vkey}\n"),
            format!(" {vkey}"),
            format!("{vkey} "),
            format!("{vkey}+"),
            vkey.to_uppercase(),
            vkey.replacen('+', "++", 1),
        ];
        for bad in bad {
            assert!(Vkey::parse(&bad).is_err(), "{bad:?}");
        }
    }),
    ("hex: fixed length lowercase Base 16 encoding of its zero-padded big endian representation", || {
        // A key whose id has leading zeros, so that its length shows.
        let vkey = (0u32..).map(|n| Vkey::new(name(&format!("k{n}")), signer(1).vkey().key().clone()));
        let vkey = vkey.into_iter().find(|vkey| vkey.id().to_string().starts_with('0')).unwrap();
        let (text, id) = (vkey.to_string(), vkey.id().to_string());
        assert_eq!(Vkey::parse(&text).unwrap(), vkey);
        for other in
            [id[1..].to_owned(), format!("0{id}"), format!("0x{}", &id[2..]), format!("+{}", &id[1..])]
        {
            assert!(Vkey::parse(&text.replace(&id, &other)).is_err(), "{other}");
        }
    }),
    ("standard Base 64 encoding: one spelling per value", || {
        let vkey = signer(1).vkey().to_string();
        assert_eq!(Vkey::parse(&format!("{vkey}=")), Err(VkeyError::BadBase64));
        assert_eq!(Vkey::parse(&vkey.replace('=', "")).is_err(), vkey.contains('='));
    }),
    ("the public key material for Ed25519 vkeys is the 32-byte Ed25519 public key encoding", || {
        // The neutral element, and a coordinate beyond the field: neither is anybody's key.
        let encode = |key: [u8; 32]| {
            let bytes: Vec<u8> = std::iter::once(1).chain(key).collect();
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            format!("a+00000000+{}", STANDARD.encode(bytes))
        };
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(Vkey::parse(&encode(neutral)), Err(VkeyError::BadKey));
        assert_eq!(Vkey::parse(&encode([0xff; 32])), Err(VkeyError::BadKey));
    }),
];
