//! C2SP tlog-policy.

use std::collections::BTreeSet;

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{NoteSigner, SignedNote},
    policy::{Name, Policy, PolicyErrorKind},
    time::UnixSeconds,
    witnessed::{Horizon, Judge, JudgeError},
};

use crate::{Sentence, name, policy, signer, witness, witnesses};

/// Five witnesses, and `rest`.
fn with_witnesses(rest: &str) -> Result<Policy, PolicyErrorKind> {
    policy(format!("{}{rest}", witnesses(5)))
}

fn is_quorum(policy: &Policy, names: &[&str]) -> bool {
    let names: Vec<Name> = names.iter().map(|name| Name::from(*name)).collect();
    policy.is_quorum(&names.iter().collect::<BTreeSet<_>>())
}

pub const SENTENCES: &[Sentence] = &[
    ("only the quorum is mandatory", || {
        assert!(policy("quorum none\n").is_ok());
        assert_eq!(policy(""), Err(PolicyErrorKind::NoQuorum));
        assert_eq!(policy(witnesses(2)), Err(PolicyErrorKind::NoQuorum));
    }),
    (
        "a checkpoint is considered valid if it is signed by any one of the listed logs, and it is cosigned according to the quorum",
        || {
            let text = format!("log {}\n{}quorum w1\n", signer(1).vkey(), witnesses(2));
            let policy = policy(text).unwrap();
            let checkpoint = Checkpoint::new("log.example/one", 7, [5; 32]).unwrap();
            let judge = |lines| {
                let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
                Judge::new(&policy, Horizon::ignored()).judge(&note)
            };
            let log = signer(1).sign(&checkpoint.text());
            let w1 = witness(1).cosign(&checkpoint, UnixSeconds(1)).unwrap();
            let w2 = witness(2).cosign(&checkpoint, UnixSeconds(1)).unwrap();
            assert!(judge(vec![log.clone(), w1.clone()]).is_ok());
            assert!(matches!(judge(vec![log, w2]), Err(JudgeError::QuorumNotMet { .. })));
            assert!(matches!(judge(vec![w1]), Err(JudgeError::LogSignatureMissing)));
        },
    ),
    ("witnesses and groups share a single namespace", || {
        let taken = Err(PolicyErrorKind::DuplicateName("w1".into()));
        assert_eq!(with_witnesses("group w1 any w2\nquorum w1\n"), taken);
        let key = witness(9).vkey().to_string();
        assert_eq!(with_witnesses(&format!("witness w1 {key}\nquorum w1\n")), taken);
    }),
    ("the special name none is predefined; it is invalid as a group member", || {
        assert_eq!(with_witnesses("group g any none\nquorum g\n"), Err(PolicyErrorKind::ReservedName));
        assert_eq!(with_witnesses("group none any w1\nquorum none\n"), Err(PolicyErrorKind::ReservedName));
        let key = witness(9).vkey().to_string();
        assert_eq!(policy(format!("witness none {key}\nquorum none\n")), Err(PolicyErrorKind::ReservedName));
    }),
    ("the example: two levels of groups", || {
        let example = "group X 2 w1 w2 w3\ngroup Y any w4 w5\ngroup X-and-Y all X Y\nquorum X-and-Y\n";
        let policy = with_witnesses(example).unwrap();
        assert!(is_quorum(&policy, &["w1", "w3", "w5"]));
        assert!(!is_quorum(&policy, &["w1", "w2", "w3"]) && !is_quorum(&policy, &["w1", "w4", "w5"]));
    }),
    ("each line is terminated by ASCII newline, and items are separated by ASCII space and tab only", || {
        assert!(with_witnesses("\tgroup \t g\tany  w1 \t\n quorum g ").is_ok());
        assert_eq!(with_witnesses("quorum\u{a0}w1\n"), Err(PolicyErrorKind::UnknownKeyword));
        assert_eq!(with_witnesses("quorum w1\u{85}\n"), Err(PolicyErrorKind::Undefined("w1\u{85}".into())));
    }),
    (
        "empty lines (whitespace only) and comment lines (lines starting with #, possibly preceded by whitespace) are ignored",
        || {
            assert!(with_witnesses("\n \t \n#quorum w2\n\t # quorum w3\nquorum w1\n").is_ok());
            assert_eq!(with_witnesses("quorum w1 # no comment\n"), Err(PolicyErrorKind::WrongItems));
        },
    ),
    ("lines defining witnesses and logs can appear in any order", || {
        assert!(policy(format!("quorum none\n{}log {}\n", witnesses(1), signer(1).vkey())).is_ok());
    }),
    ("a group can only reference names defined on preceding lines; similarly the quorum line", || {
        let undefined = |name: &str| Err(PolicyErrorKind::Undefined(name.into()));
        assert_eq!(with_witnesses("group g any h\ngroup h any w1\nquorum g\n"), undefined("h"));
        assert_eq!(with_witnesses("group g any w1 g\nquorum g\n"), undefined("g"));
        assert_eq!(with_witnesses("quorum g\ngroup g any w1\n"), undefined("g"));
        assert_eq!(with_witnesses("quorum nobody\n"), undefined("nobody"));
    }),
    ("log and witness keys must use a signature type appropriate to the respective function", || {
        let wrong = Err(PolicyErrorKind::WrongKeyType(0x01));
        assert_eq!(policy(format!("witness w {}\nquorum w\n", signer(1).vkey())), wrong);
        let wrong = Err(PolicyErrorKind::WrongKeyType(0x04));
        assert_eq!(policy(format!("log {}\nquorum none\n", witness(1).vkey())), wrong);
    }),
    ("log <vkey> [<url>]; witness <name> <vkey> [<url>]", || {
        let (log, witness) = (signer(1).vkey().to_string(), witness(1).vkey().to_string());
        let full =
            policy(format!("log {log} https://l\nwitness w {witness} any:octets\nquorum w\n")).unwrap();
        assert_eq!(full.logs()[0].url(), Some(&b"https://l"[..]));
        assert_eq!(full.witnesses()[0].url(), Some(&b"any:octets"[..]));
        for bad in [
            "log".to_owned(),
            format!("log {log} u x"),
            "witness w".to_owned(),
            format!("witness w {witness} u x"),
            "quorum".to_owned(),
            "quorum none none".to_owned(),
            "group".to_owned(),
            "group g".to_owned(),
        ] {
            assert_eq!(policy(format!("{bad}\nquorum none\n")), Err(PolicyErrorKind::WrongItems), "{bad}");
        }
        for keyword in ["Log", "witnesses", "groups x", "\u{feff}quorum none", "none"] {
            assert_eq!(policy(format!("{keyword}\n")), Err(PolicyErrorKind::UnknownKeyword), "{keyword}");
        }
    }),
    (
        "duplicate logs, i.e., multiple log lines with the same public key, are not allowed, even if they differ by key name",
        || {
            let again = NoteSigner::new(name("log.example/two"), SigningKey::from_seed(&[1; 32]));
            let text = format!("log {}\nlog {}\nquorum none\n", signer(1).vkey(), again.vkey());
            assert_eq!(policy(text), Err(PolicyErrorKind::DuplicateKey));
            // Another key of the same log is no duplicate.
            assert!(
                policy(format!("log {}\nlog {}\nquorum none\n", signer(1).vkey(), signer(2).vkey())).is_ok()
            );
        },
    ),
    ("duplicate witnesses, i.e., multiple witness lines with the same public key, are not allowed", || {
        let again = Cosigner::new(name("other"), SigningKey::from_seed(&[1; 32]));
        let text = format!("witness again {}\nquorum w1\n", again.vkey());
        assert_eq!(with_witnesses(&text), Err(PolicyErrorKind::DuplicateKey));
    }),
    ("a policy file must include exactly one quorum line", || {
        assert_eq!(with_witnesses("quorum w1\nquorum w1\n"), Err(PolicyErrorKind::SecondQuorum));
        assert_eq!(with_witnesses("quorum none\nquorum none\n"), Err(PolicyErrorKind::SecondQuorum));
    }),
    ("the name refers to a witness: a cosignature from that witness is required", || {
        let policy = with_witnesses("quorum w2\n").unwrap();
        assert!(is_quorum(&policy, &["w2"]) && !is_quorum(&policy, &["w1", "w3", "w4", "w5"]));
    }),
    ("at least one member must be listed", || {
        for k in ["all", "any", "0", "1"] {
            let text = format!("group g {k}\nquorum g\n");
            assert_eq!(with_witnesses(&text), Err(PolicyErrorKind::WrongItems), "{k}");
        }
    }),
    ("any is a shorthand for k = 1, and all for k = n", || {
        let any = with_witnesses("group g any w1 w2 w3\nquorum g\n").unwrap();
        let all = with_witnesses("group g all w1 w2 w3\nquorum g\n").unwrap();
        assert_eq!((any.groups()[0].threshold(), all.groups()[0].threshold()), (1, 3));
    }),
    ("if k is given numerically, it must be written in decimal, and it is required that 1 <= k <= n", || {
        assert!(with_witnesses("group g 2 w1 w2\nquorum g\n").is_ok());
        for k in [
            "0",
            "3",
            "-1",
            "+1",
            "0x1",
            "1.0",
            "one",
            "ALL",
            "Any",
            "18446744073709551617",
            "257",
            "\u{661}",
        ] {
            let text = format!("group g {k} w1 w2\nquorum g\n");
            assert_eq!(with_witnesses(&text), Err(PolicyErrorKind::BadThreshold), "{k}");
        }
    }),
    ("each defined name can be listed as a group member at most once", || {
        let twice = |name: &str| Err(PolicyErrorKind::DuplicateMember(name.into()));
        assert_eq!(with_witnesses("group g any w1 w1\nquorum g\n"), twice("w1"));
        assert_eq!(with_witnesses("group g any w1\ngroup h any w2 w1\nquorum h\n"), twice("w1"));
        assert_eq!(with_witnesses("group g any w1\ngroup h any g\ngroup i any g\nquorum i\n"), twice("g"));
    }),
    ("the allowed octet values are 0x09 (tab), 0x0A (newline), 0x20-0x7E, and 0x80-0xFF", || {
        for octet in 0..=255u8 {
            let text = [b"# ", &[octet][..], b"\nquorum none\n"].concat();
            // A newline here ends the comment and leaves an empty line.
            let allowed = matches!(octet, 0x09 | 0x0a | 0x20..=0x7e | 0x80..=0xff);
            let expected = if allowed { Ok(()) } else { Err(PolicyErrorKind::BadOctet(octet)) };
            assert_eq!(policy(text).map(|_| ()), expected, "{octet:#x}");
        }
    }),
    ("names must be handled as opaque octet strings: ASCII K is different from the Kelvin sign", || {
        let key = |n: u8| witness(n).vkey().to_string();
        let names =
            [&b"K"[..], b"\xe2\x84\xaa", b"\xff\xfe", b"k", b"e\xcc\x81", b"\xc3\xa9", b"#x", b"quorum"];
        let mut text = Vec::new();
        for (index, name) in names.iter().enumerate() {
            text.extend([b"witness ", *name, b" ", key(index as u8 + 1).as_bytes(), b"\n"].concat());
        }
        text.extend(b"quorum \xff\xfe\n");
        let policy = policy(text).unwrap();
        let found: Vec<&[u8]> = policy.witnesses().iter().map(|witness| witness.name().as_bytes()).collect();
        assert_eq!(found, names);
    }),
    (
        "it is strongly recommended that an implementation supports at least up to 32 logs, 32 witnesses, and 32 groups",
        || {
            let mut text = String::new();
            for n in 0..200u8 {
                text += &format!("log {}\n", signer(n).vkey());
            }
            text += &witnesses(200);
            text += "group g1 any w1\n";
            for n in 2..=200 {
                text += &format!("group g{n} all g{} w{n}\n", n - 1);
            }
            text += "quorum g200\n";
            let policy = policy(text).unwrap();
            assert_eq!(
                (policy.logs().len(), policy.witnesses().len(), policy.groups().len()),
                (200, 200, 200)
            );
            assert_eq!(policy.smallest_quorum(), 200);
        },
    ),
];
