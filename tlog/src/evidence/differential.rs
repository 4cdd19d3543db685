//! Evidence that was changed in many ways, and evidence that the log itself made as strange as it can: this crate and
//! `docs/verify_evidence.py` come to the same verdict on each, so that nobody can fool one of them.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_crypto::sign::SigningKey;

use super::{
    tests::{FORK, after_handover, empty_tree, inconsistent, same_size},
    vectors::{judge, policy, script_list},
    *,
};
use crate::{
    note::{KeyName, NoteSigner, PublicKey, SignatureLine},
    testkit::{self, HONEST, cosign, log, name},
    time::UnixSeconds,
};

/// The log's signature of any text.
fn signed(text: &str) -> String {
    format!("{text}\n{}\n", log().sign(text))
}

/// Two checkpoints of one size whose roots differ, with these lines after them.
fn with_extensions(lines: &str) -> String {
    let checkpoint = |branch: &testkit::Branch| format!("{}{lines}", branch.checkpoint(9).text());
    let (a, b) = (signed(&checkpoint(&HONEST)), signed(&checkpoint(&FORK)));
    format!("keyglass-evidence/v1\nsame-size\n\n{a}\n{b}")
}

/// A declaration whose successor has this verifier key, and a checkpoint beyond it.
fn declared(to: &str) -> String {
    let root = STANDARD.encode(HONEST.root(7));
    let text = format!("keyglass-handover/v1\nfrom {}\nsize 7\nroot {root}\nto {to}\n", testkit::ORIGIN);
    format!("keyglass-evidence/v1\nafter-handover\n\n{}\n{}", signed(&text), HONEST.note(8, &[]))
}

/// A verifier key with any bytes for its key.
fn vkey(key_name: &str, kind: u8, key: &[u8]) -> String {
    let id = note::KeyId::of(&name(key_name), kind, key);
    format!("{key_name}+{id}+{}", STANDARD.encode([&[kind], key].concat()))
}

/// What a log can sign that is at, or beyond, some bound.
fn made_by_the_log() -> Vec<String> {
    let mut files = Vec::new();
    let room = |of: usize| of - HONEST.checkpoint(9).text().len() - 1;
    for length in [1, 100, room(32 * 1024), room(32 * 1024) + 1, 40_000, room(256 * 1024)] {
        files.push(with_extensions(&format!("{}\n", "x".repeat(length))));
    }
    for lines in
        ["\n", " \n", "\u{a0}\n", "\u{85}\n", "\t\n", "a\rb\n", "\u{7f}\n", "old 5\n", "\u{2028}\n", "a\0\n"]
    {
        files.push(with_extensions(lines));
    }
    let next = NoteSigner::new(name("log.example/two"), SigningKey::from_seed(&[9; 32]));
    let good = next.vkey().to_string();
    let mut small_order = [0; 32];
    small_order[0] = 1;
    let mut other_encoding = [0xff; 32];
    (other_encoding[0], other_encoding[31]) = (0xed + 3, 0x7f);
    let not_a_point =
        (0u8..).map(|i| [i; 32]).find(|key| keyglass_crypto::sign::VerifyingKey::from_bytes(key).is_err());
    let keys = [small_order, other_encoding, not_a_point.unwrap(), [0x66; 32]];
    files.extend(keys.iter().map(|key| declared(&vkey("log.example/two", 1, key))));
    for to in [
        good.clone(),
        good.to_uppercase(),
        format!("{good} "),
        format!("{good}\nmore"),
        good.replacen("+", "++", 1),
        vkey("log.example/two", 4, &SigningKey::from_seed(&[9; 32]).verifying_key().to_bytes()),
        vkey("log.example/two", 6, &[7; 1312]),
        vkey("log.example/two", 6, &[7; 32]),
        vkey("log.example/two", 7, &[7; 32]),
        vkey("log.example/two", 1, &[7; 31]),
        vkey(testkit::ORIGIN, 1, &SigningKey::from_seed(&[9; 32]).verifying_key().to_bytes()),
        vkey(&"x".repeat(8192 - 55), 1, &SigningKey::from_seed(&[9; 32]).verifying_key().to_bytes()),
        vkey(&"x".repeat(8192 - 54), 1, &SigningKey::from_seed(&[9; 32]).verifying_key().to_bytes()),
        vkey(&"x".repeat(8192 - 53), 1, &SigningKey::from_seed(&[9; 32]).verifying_key().to_bytes()),
        vkey("\u{e9}", 1, &SigningKey::from_seed(&[9; 32]).verifying_key().to_bytes()),
    ] {
        files.push(declared(&to));
    }
    files
}

/// Lines that are added by whoever passes evidence on.
fn with_more_lines() -> Vec<String> {
    let stranger = |i: u8| {
        NoteSigner::new(KeyName::new("stranger").unwrap(), SigningKey::from_seed(&[i; 32])).sign("x\n")
    };
    let of = |a: Vec<SignatureLine>, b: Vec<SignatureLine>| {
        let a = [HONEST.note(9, &[]).signatures().to_vec(), a].concat();
        let b = [b, FORK.note(9, &[]).signatures().to_vec()].concat();
        let text = |branch: &testkit::Branch, lines: &[SignatureLine]| {
            format!("{}\n{}", branch.checkpoint(9).text(), note::format_signature_lines(lines))
        };
        format!("keyglass-evidence/v1\nsame-size\n\n{}\n{}", text(&HONEST, &a), text(&FORK, &b))
    };
    let (honest, fork) = (HONEST.checkpoint(9), FORK.checkpoint(9));
    let mut files = vec![
        of((0..63).map(stranger).collect(), vec![]),
        of((0..64).map(stranger).collect(), vec![]),
        of(vec![], (0..64).map(stranger).collect()),
        // Lines of the log and of a witness that are of the other side.
        of(vec![log().sign(&fork.text())], vec![log().sign(&honest.text())]),
        of(vec![cosign(&fork, 0, testkit::TIME)], vec![cosign(&fork, 0, testkit::TIME)]),
        of(vec![cosign(&honest, 0, testkit::TIME)], vec![cosign(&fork, 0, UnixSeconds(1))]),
        of(vec![cosign(&honest, 0, UnixSeconds(i64::MAX as u64))], vec![cosign(&fork, 0, testkit::TIME)]),
    ];
    // A cosignature whose time is altered, to what it may not be and to what it was not.
    let line = cosign(&honest, 1, testkit::TIME);
    for time in [0u64, 1, 1 << 63, u64::MAX] {
        let bytes = [&line.id().0[..], &time.to_be_bytes(), &line.signature()[8..]].concat();
        let altered = format!("\u{2014} {} {}", line.name(), STANDARD.encode(bytes));
        files.push(of(vec![SignatureLine::parse(&altered).unwrap()], vec![cosign(&fork, 1, testkit::TIME)]));
    }
    // The log's signature with S + L for S, and with other bits in its last byte.
    let PublicKey::Ed25519(_) = log().vkey().key() else { panic!("an Ed25519 key") };
    let line = log().sign(&honest.text());
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut moved = line.signature().to_vec();
    let mut carry = 0u16;
    for (byte, add) in moved[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    let mut high = line.signature().to_vec();
    high[63] |= 0x80;
    for signature in [moved, high, line.signature()[..63].to_vec(), [line.signature(), &[0]].concat()] {
        let text = same_size().to_string();
        let good = format!("{line}");
        let bad = STANDARD.encode([&line.id().0[..], &signature].concat());
        let bad = format!("\u{2014} {} {bad}", line.name());
        assert!(text.contains(&good));
        files.push(text.replacen(&good, &bad, 1));
    }
    files
}

/// Every line of each kind of evidence altered in each of these ways.
fn altered_by_lines() -> Vec<String> {
    let kinds =
        [same_size(), empty_tree(), inconsistent(), after_handover(8, &HONEST)].map(|e| e.to_string());
    let mut files = Vec::new();
    for file in &kinds {
        let lines: Vec<&str> = file.split('\n').collect();
        for at in 0..lines.len() {
            let with = |line: Option<String>| {
                let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                match line {
                    Some(line) => changed[at] = line,
                    None => drop(changed.remove(at)),
                }
                changed.join("\n")
            };
            let line = lines[at];
            files.push(with(None));
            files.push(with(Some(format!("{line}\n{line}"))));
            files.push(with(Some(format!("{line}\n"))));
            let ways = [
                format!("{line} "),
                format!(" {line}"),
                format!("{line}="),
                format!("{line}\u{a0}"),
                format!("{line}\t"),
                format!("0{line}"),
                format!("\u{feff}{line}"),
                line.replacen(' ', "  ", 1),
                line.replacen(' ', "\u{2003}", 1),
                line.replacen('A', "a", 1),
                line.replacen('=', "", 1),
                line.to_lowercase(),
            ];
            // A few for each line, all of them over all lines.
            for way in ways.iter().cycle().skip(at * 5).take(5) {
                files.push(with(Some(way.clone())));
            }
        }
        // The parts of other evidence.
        for other in &kinds {
            let (parts, others): (Vec<&str>, Vec<&str>) =
                (file.split("\n\n").collect(), other.split("\n\n").collect());
            for at in 0..parts.len().min(others.len()) {
                let mut changed = parts.clone();
                changed[at] = others[at];
                files.push(changed.join("\n\n"));
            }
        }
    }
    files
}

#[test]
fn the_script_agrees_about_whatever_is_made_of_evidence() {
    let mut files = [made_by_the_log(), with_more_lines(), altered_by_lines()].concat();
    files.sort();
    files.dedup();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy"), policy()).unwrap();
    let (mut expected, mut names, mut convicting) = (String::new(), Vec::new(), 0);
    for (index, file) in files.iter().enumerate() {
        let name = format!("f{index}");
        fs::write(directory.path().join(&name), file).unwrap();
        let convicts = judge(file.as_bytes());
        convicting += usize::from(convicts.is_some());
        expected.push_str(&format!("{name} {}\n", convicts.as_deref().unwrap_or("nothing")));
        names.push(name);
    }
    assert!(convicting > 30 && files.len() - convicting > 300, "{convicting} of {}", files.len());
    let names = names.iter().map(String::as_str);
    let Some(found) = script_list(&directory.path().join("policy"), directory.path(), names) else { return };
    for (file, (found, expected)) in files.iter().zip(found.lines().zip(expected.lines())) {
        assert_eq!(found, expected, "{file}");
    }
    assert_eq!(found, expected);
    println!("{} files, {convicting} of them convict", files.len());
}
