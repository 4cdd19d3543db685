//! C2SP tlog-proof.

use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{NoteSigner, SignedNote},
    proof::{ProofFormatError, ProofVerifyError, TlogProof},
    rfc6962::{CompactTree, leaf_hash},
    time::UnixSeconds,
    witnessed::{Horizon, Judge, JudgeError, Judged},
};

use crate::{ROOT, Sentence, name, policy, signer, witness, witnesses};

const ENTRY: &[u8] = b"entry 1";

/// A proof that [`ENTRY`] is the second of three leaves, signed by the log and by these witnesses.
fn proof_text(witnesses: &[u8]) -> String {
    let mut tree = CompactTree::new();
    let leaves = [leaf_hash(b"entry 0"), leaf_hash(ENTRY), leaf_hash(b"entry 2")];
    leaves.iter().for_each(|leaf| tree.append(*leaf).unwrap());
    let checkpoint = Checkpoint::new("log.example/one", 3, tree.root()).unwrap();
    let mut lines = vec![signer(1).sign(&checkpoint.text())];
    lines.extend(witnesses.iter().map(|&n| witness(n).cosign(&checkpoint, UnixSeconds(1)).unwrap()));
    let note = SignedNote::new(&checkpoint.text(), lines).unwrap();
    TlogProof::new(Vec::new(), 1, vec![leaves[0], leaves[2]], note).to_string()
}

fn parse_proof(text: impl AsRef<[u8]>) -> Result<TlogProof, ProofFormatError> {
    TlogProof::parse(text.as_ref())
}

fn verify_proof(text: &str, policy_text: &str, entry: &[u8]) -> Result<Judged, ProofVerifyError> {
    let policy = policy(policy_text).unwrap();
    parse_proof(text).unwrap().verify(&leaf_hash(entry), &Judge::new(&policy, Horizon::ignored()))
}

fn proof_policy() -> String {
    format!("log {}\n{}group g 2 w1 w2 w3\nquorum g\n", signer(1).vkey(), witnesses(3))
}

pub const SENTENCES: &[Sentence] = &[
    ("the first line MUST be the string c2sp.org/tlog-proof@v1", || {
        let good = proof_text(&[1]);
        assert_eq!(parse_proof(&good).unwrap().to_string(), good);
        for other in [
            "c2sp.org/tlog-proof@v2",
            "c2sp.org/tlog-proof@v1 ",
            "C2SP.org/tlog-proof@v1",
            "",
            "\u{feff}c2sp.org/tlog-proof@v1",
        ] {
            let text = good.replacen("c2sp.org/tlog-proof@v1", other, 1);
            assert!(parse_proof(text).is_err(), "{other:?}");
        }
        assert_eq!(parse_proof(good.replacen('\n', "\r\n", 1)), Err(ProofFormatError::BadHeader));
    }),
    (
        "the second line MAY start with extra followed by a space and base64; if no extra data is present, it is omitted",
        || {
            let extra =
                |line: &str| parse_proof(proof_text(&[1]).replacen("index", &format!("{line}\nindex"), 1));
            assert_eq!(extra("extra AQID").unwrap().unauthenticated_extra(), [1, 2, 3]);
            for bad in ["extra ", "extra AQI", "extra AQJ=", "extra  AQID", "extra AQID ", "extra AQ_D"] {
                assert_eq!(extra(bad), Err(ProofFormatError::BadExtra), "{bad:?}");
            }
            for bad in ["extra", "Extra AQID", "extra AQID\nextra AQID", "extras AQID"] {
                assert!(extra(bad).is_err(), "{bad:?}");
            }
            let after = proof_text(&[1]).replacen("index 1\n", "index 1\nextra AQID\n", 1);
            assert_eq!(parse_proof(after), Err(ProofFormatError::BadHashes));
        },
    ),
    (
        "index followed by a space and the zero-based index, as an ASCII decimal with no leading zeroes (unless the index is 0)",
        || {
            let index = |text: &str| parse_proof(proof_text(&[1]).replacen("index 1", text, 1));
            assert_eq!(index("index 0").unwrap().index(), 0);
            for bad in [
                "index 01",
                "index +1",
                "index  1",
                "index 1 ",
                "index",
                "index ",
                "1",
                "index 18446744073709551616",
            ] {
                assert_eq!(index(bad), Err(ProofFormatError::BadIndex), "{bad:?}");
            }
        },
    ),
    ("the next zero or more non-empty lines are the inclusion proof, one SHA-256 hash per line", || {
        let with = |line: &str| {
            parse_proof(proof_text(&[1]).replacen("index 1\n", &format!("index 1\n{line}\n"), 1))
        };
        assert!(with(ROOT).is_ok(), "its length is for the verification");
        for bad in ["AAAA", &format!("{ROOT} "), &format!(" {ROOT}"), &ROOT.replace("BQU=", "BQV=")] {
            assert_eq!(with(bad), Err(ProofFormatError::BadHashes), "{bad:?}");
        }
        assert_eq!(with(&vec![ROOT; 64].join("\n")), Err(ProofFormatError::BadHashes));
    }),
    (
        "after the inclusion proof lines and an empty line, the checkpoint issued by the log is included verbatim",
        || {
            let good = proof_text(&[1]);
            let (head, note) = good.split_once("\n\n").unwrap();
            assert!(parse_proof(format!("{head}\n{note}")).is_err());
            assert!(verify_proof(&format!("{head}\n\n\n{note}"), &proof_policy(), ENTRY).is_err());
            assert!(parse_proof(format!("{head}\n\n")).is_err());
            assert!(parse_proof(head).is_err());
            assert!(parse_proof(good.trim_end()).is_err());
        },
    ),
    (
        "2. check that the origin is acceptable, and the checkpoint signed by a log public key configured for that origin line",
        || {
            let unknown = "quorum none\n".to_owned();
            let other_key = format!("log {}\nquorum none\n", signer(2).vkey());
            let elsewhere = NoteSigner::new(name("log.example/two"), SigningKey::from_seed(&[1; 32]));
            let other_origin = format!("log {}\nquorum none\n", elsewhere.vkey());
            let text = proof_text(&[1, 2]);
            assert!(verify_proof(&text, &format!("log {}\nquorum none\n", signer(1).vkey()), ENTRY).is_ok());
            for policy in [unknown, other_key, other_origin] {
                assert!(
                    matches!(verify_proof(&text, &policy, ENTRY), Err(ProofVerifyError::Checkpoint(_))),
                    "{policy}"
                );
            }
        },
    ),
    ("3. verify all cosignatures for witnesses known to the verifier", || {
        assert!(verify_proof(&proof_text(&[1, 3]), &proof_policy(), ENTRY).is_ok());
        // Strangers do not count, and one witness twice is one.
        for witnesses in [&[1][..], &[1, 1], &[1, 9], &[]] {
            let refused = verify_proof(&proof_text(witnesses), &proof_policy(), ENTRY);
            assert!(
                matches!(refused, Err(ProofVerifyError::Checkpoint(JudgeError::QuorumNotMet { .. }))),
                "{witnesses:?}"
            );
        }
    }),
    (
        "4. check that the inclusion proof is valid, to bind the leaf hash to the root hash of the signed checkpoint",
        || {
            let (good, policy) = (proof_text(&[1, 2]), proof_policy());
            assert!(matches!(verify_proof(&good, &policy, b"entry 0"), Err(ProofVerifyError::Inclusion(_))));
            for index in ["0", "2", "3", "18446744073709551615"] {
                let moved = good.replacen("index 1", &format!("index {index}"), 1);
                assert!(
                    matches!(verify_proof(&moved, &policy, ENTRY), Err(ProofVerifyError::Inclusion(_))),
                    "{index}"
                );
            }
            let lines: Vec<&str> = good.lines().collect();
            let (mut shorter, mut longer, mut swapped) = (lines.clone(), lines.clone(), lines);
            shorter.remove(3);
            longer.insert(2, ROOT);
            swapped.swap(2, 3);
            for wrong in [shorter, longer, swapped] {
                let wrong = wrong.join("\n") + "\n";
                assert!(
                    matches!(verify_proof(&wrong, &policy, ENTRY), Err(ProofVerifyError::Inclusion(_))),
                    "{wrong}"
                );
            }
        },
    ),
    ("after a cosignature has been verified, the timestamp value is ignored", || {
        // The cosignatures above are from 1970.
        assert!(verify_proof(&proof_text(&[1, 2]), &proof_policy(), ENTRY).is_ok());
    }),
    ("extra data is not authenticated", || {
        let with = proof_text(&[1, 2]).replacen("index", "extra AQID\nindex", 1);
        assert!(verify_proof(&with, &proof_policy(), ENTRY).is_ok());
    }),
];
