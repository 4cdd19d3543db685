//! Evidence for other implementations: what convicts and what does not, in `testvectors/evidence`. Both this crate and
//! `docs/verify_evidence.py`, which shares nothing with it, must agree with every case.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    tests::{FORK, after_handover, empty_tree, inconsistent, same_size},
    *,
};
use crate::testkit::{self, HONEST};

/// A file, and what it proves: `origin size size witness,witness`, or nothing.
struct Case {
    name: String,
    file: Vec<u8>,
    convicts: Option<String>,
}

pub(super) fn policy() -> String {
    testkit::policy_text(3, "group q 2 w0 w1 w2\nquorum q\n")
}

/// What this crate makes of a file.
pub(super) fn judge(file: &[u8]) -> Option<String> {
    let policy = Policy::parse(policy().as_bytes()).unwrap();
    let keys: Vec<&Vkey> = policy.log_keys(testkit::ORIGIN).collect();
    let conviction = Evidence::parse(file).ok()?.verify(&keys, Some(&policy)).ok()?;
    let names: Vec<String> = conviction.faulty_witnesses().iter().map(ToString::to_string).collect();
    let names = if names.is_empty() { "-".to_owned() } else { names.join(",") };
    let (a, b) = conviction.sizes();
    Some(format!("{} {a} {b} {names}", conviction.origin()))
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, file: Vec<u8>| {
        cases.push(Case { name: name.to_owned(), convicts: judge(&file), file });
    };
    let contradictory = |a: u64, root: Digest, b: u64, proof: Vec<Digest>| Evidence::Inconsistent {
        a: HONEST.note(a, &[0]),
        b: FORK.note(b, &[0]),
        root,
        proof,
    };
    let of = |evidence: &Evidence| evidence.to_string().into_bytes();
    add("same-size", of(&same_size()));
    add("empty-tree", of(&empty_tree()));
    add("inconsistent", of(&inconsistent()));
    add("after-handover", of(&after_handover(8, &HONEST)));
    add("after-handover-other-root", of(&after_handover(7, &FORK)));
    for (a, b) in [(6, 7), (7, 8), (8, 9), (8, 16), (9, 16), (10, 64), (11, 13), (15, 33)] {
        let evidence = contradictory(a, FORK.root(a), b, FORK.consistency(a, b));
        add(&format!("inconsistent-{a}-{b}"), of(&evidence));
    }
    // From here on, nothing convicts.
    add("same-tree", of(&Evidence::SameSize { a: HONEST.note(9, &[0]), b: HONEST.note(9, &[1]) }));
    add("other-sizes", of(&Evidence::SameSize { a: HONEST.note(9, &[]), b: FORK.note(10, &[]) }));
    add("empty-as-it-should-be", of(&Evidence::EmptyTree { a: HONEST.note(0, &[]) }));
    add("before-the-handover", of(&after_handover(6, &FORK)));
    add("at-the-handover", of(&after_handover(7, &HONEST)));
    let proof = FORK.consistency(7, 12);
    let with = |root: Digest, proof: Vec<Digest>| of(&contradictory(7, root, 12, proof));
    add("the-first-root-itself", with(HONEST.root(7), proof.clone()));
    add("a-root-of-nothing", with([7; 32], proof.clone()));
    add("one-hash-too-few", with(FORK.root(7), proof[1..].to_vec()));
    add("one-hash-too-many", with(FORK.root(7), [&proof[..], &[[0; 32]]].concat()));
    add("no-proof", with(FORK.root(7), Vec::new()));
    let swapped = Evidence::Inconsistent {
        a: FORK.note(12, &[]),
        b: HONEST.note(7, &[]),
        root: FORK.root(7),
        proof: proof.clone(),
    };
    add("sizes-swapped", of(&swapped));
    let honest = String::from_utf8(of(&same_size())).unwrap();
    for (name, from, to) in [
        ("another-version", "evidence/v1", "evidence/v2"),
        ("another-kind", "same-size", "empty-tree"),
        ("an-unknown-kind", "same-size", "same-root"),
        ("another-size", "\n9\n", "\n8\n"),
        ("a-size-with-a-zero-in-front", "\n9\n", "\n09\n"),
        ("another-origin", testkit::ORIGIN, "log.example/two"),
        ("a-hyphen-for-the-dash", "\u{2014}", "-"),
        ("a-carriage-return", "same-size\n", "same-size\r\n"),
    ] {
        assert!(honest.contains(from), "{name} changes nothing");
        add(name, honest.replacen(from, to, 1).into_bytes());
    }
    add("a-byte-after-the-end", [honest.as_bytes(), b"\n"].concat());
    add("no-last-newline", honest.trim_end().as_bytes().to_vec());
    add("nothing", Vec::new());
    // One bit at a time, all over two files; some of the bits are a witness's, which is then not named.
    for (name, file) in [("same-size", of(&same_size())), ("inconsistent", of(&inconsistent()))] {
        for at in (0..file.len()).step_by(71) {
            let mut changed = file.clone();
            changed[at] ^= 1;
            if String::from_utf8(changed.clone()).is_ok() {
                add(&format!("{name}-bit-{at}"), changed);
            }
        }
    }
    cases
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors/evidence")
}

/// The list of cases: a name, and what the file of that name proves.
fn list(cases: &[Case]) -> String {
    cases.iter().fold(String::new(), |mut list, case| {
        let _ = writeln!(list, "{} {}", case.name, case.convicts.as_deref().unwrap_or("nothing"));
        list
    })
}

#[test]
fn the_written_vectors_are_these() {
    let (directory, cases) = (directory(), cases());
    let convicting = cases.iter().filter(|case| case.convicts.is_some()).count();
    assert!(convicting > 15 && cases.len() - convicting > 30, "{convicting} of {}", cases.len());
    if std::env::var_os("KEYGLASS_WRITE_VECTORS").is_some() {
        fs::create_dir_all(directory.join("files")).unwrap();
        fs::write(directory.join("policy"), policy()).unwrap();
        fs::write(directory.join("cases"), list(&cases)).unwrap();
        for case in &cases {
            fs::write(directory.join("files").join(&case.name), &case.file).unwrap();
        }
    }
    assert_eq!(fs::read_to_string(directory.join("policy")).unwrap(), policy());
    assert_eq!(fs::read_to_string(directory.join("cases")).unwrap(), list(&cases));
    for case in &cases {
        assert_eq!(fs::read(directory.join("files").join(&case.name)).unwrap(), case.file, "{}", case.name);
    }
    println!("{} cases, {convicting} of them convict", cases.len());
}

/// What the script makes of the files of these names, under a policy, in the form of [`list`]; `None` where there is no Python.
/// Not all of them must convict.
pub(super) fn script_list<'a>(
    policy: &Path,
    files: &Path,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verify_evidence.py");
    let mut python = Command::new("python3");
    python.arg(script).arg("--policy").arg(policy).args(names);
    let output = match python.current_dir(files).output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: python3 cannot be run ({error})");
            return None;
        }
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "not all of them convict; {stderr}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let verdicts = printed.lines().map(|line| {
        let (name, verdict) = line.split_once(": ").unwrap();
        let verdict = verdict.strip_prefix("convicts ").unwrap_or("nothing");
        format!("{name} {verdict}\n")
    });
    Some(verdicts.collect())
}

/// The script reads the same files, knows nothing of this crate, and comes to the same verdict on each.
#[test]
fn the_script_agrees_with_every_vector() {
    let directory = directory();
    let expected = fs::read_to_string(directory.join("cases")).unwrap();
    let names = expected.lines().map(|line| line.split(' ').next().unwrap());
    let Some(found) = script_list(&directory.join("policy"), &directory.join("files"), names) else { return };
    assert_eq!(found, expected);
    println!("{} cases", expected.lines().count());
}
