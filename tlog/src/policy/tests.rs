use keyglass_crypto::sign::SigningKey;

use super::*;
use crate::note::{KeyName, PublicKey};

fn witness(seed: u8) -> Vkey {
    let key = SigningKey::from_seed(&[seed; 32]).verifying_key();
    Vkey::new(KeyName::new(&format!("w{seed}.example")).unwrap(), PublicKey::Ed25519Cosigner(key))
}

fn witnesses(count: u8) -> String {
    (0..count).map(|i| format!("witness w{i} {}\n", witness(i.wrapping_add(1)))).collect()
}

fn parse(rest: &str) -> Result<Policy, PolicyError> {
    Policy::parse(format!("{}{rest}", witnesses(6)).as_bytes())
}

fn missing(policy: &Policy, names: &[&str]) -> usize {
    let names: Vec<Name> = names.iter().map(|name| Name::from(*name)).collect();
    policy.missing(&names.iter().collect())
}

#[test]
fn counts_the_fewest_further_witnesses() {
    let policy = parse("group a 2 w0 w1 w2\ngroup b any w3 w4\ngroup q all a b\nquorum q\n").unwrap();
    assert_eq!(policy.smallest_quorum(), 3);
    assert_eq!(missing(&policy, &["w0"]), 2);
    assert_eq!(missing(&policy, &["w0", "w1", "w2"]), 1);
    assert_eq!(missing(&policy, &["w3", "w4"]), 2);
    assert_eq!(missing(&policy, &["w0", "w2", "w4"]), 0);
    assert_eq!(missing(&policy, &["w0", "w2", "w5"]), 1);
    // Names of groups are no witnesses, even where a caller passes them in.
    assert_eq!(missing(&policy, &["a", "b", "q"]), 3);
}

#[test]
fn none_needs_nobody() {
    let policy = parse("quorum none\n").unwrap();
    assert_eq!((policy.quorum(), policy.smallest_quorum()), (Quorum::None, 0));
    assert!(policy.is_quorum(&BTreeSet::new()));
}

#[test]
fn errors_name_the_line() {
    let error = |rest| {
        let PolicyError { line, kind } = parse(rest).unwrap_err();
        (line, kind)
    };
    assert_eq!(error(""), (7, PolicyErrorKind::NoQuorum));
    assert_eq!(Policy::parse(b""), Err(PolicyError { line: 1, kind: PolicyErrorKind::NoQuorum }));
    assert_eq!(error("group g 0 w0\nquorum g\n"), (7, PolicyErrorKind::BadThreshold));
    assert_eq!(error("# fine\ngroup g 3 w0 w1\nquorum g\n"), (8, PolicyErrorKind::BadThreshold));
    assert_eq!(error("group g any\nquorum g\n"), (7, PolicyErrorKind::WrongItems));
    assert_eq!(error("group g any none\nquorum g\n"), (7, PolicyErrorKind::ReservedName));
    assert_eq!(error("quorum w9\n"), (7, PolicyErrorKind::Undefined("w9".into())));
    assert_eq!(error("quorum w0\nquorum w0\n"), (8, PolicyErrorKind::SecondQuorum));
    assert_eq!(error("group g any w0 w0\n"), (7, PolicyErrorKind::DuplicateMember("w0".into())));
    assert_eq!(error("group w0 any w1\n"), (7, PolicyErrorKind::DuplicateName("w0".into())));
    assert_eq!(error("quorum\u{a0}w0\n"), (7, PolicyErrorKind::UnknownKeyword));
    assert_eq!(error("quorum w0\r\n"), (7, PolicyErrorKind::BadOctet(b'\r')));
    assert_eq!(error(&format!("witness x {}\n", witness(1))), (7, PolicyErrorKind::DuplicateKey));
}
