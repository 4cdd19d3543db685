//! C2SP tlog-checkpoint.

use keyglass_tlog::{
    checkpoint::{Checkpoint, CheckpointError},
    note::SignedNote,
    policy::Policy,
    witnessed::{Horizon, Judge, Judged},
};

use crate::{ROOT, Sentence, line, signer};

fn checkpoint(text: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::parse(text)
}

pub const SENTENCES: &[Sentence] = &[
    ("the note text is a sequence of at least three non-empty lines, separated by newlines", || {
        assert_eq!(checkpoint(&format!("o\n7\n{ROOT}\n")).unwrap().tree_size(), 7);
        for few in ["", "\n", "o\n", "o\n7\n"] {
            assert!(checkpoint(few).is_err(), "{few:?}");
        }
        assert_eq!(checkpoint(&format!("o\n7\n{ROOT}")), Err(CheckpointError::NotLines));
        assert_eq!(checkpoint(&format!("o\r\n7\r\n{ROOT}\r\n")), Err(CheckpointError::NotLines));
    }),
    ("the origin MUST be non-empty", || {
        assert_eq!(checkpoint(&format!("\n7\n{ROOT}\n")), Err(CheckpointError::EmptyLine));
        assert!(Checkpoint::new("", 7, [5; 32]).is_err());
    }),
    ("clients MUST NOT assume that the origin is a URL without spaces or plus", || {
        for origin in [" ", "a + b", "\u{2003}", "http://x y", "\u{7f}"] {
            assert_eq!(checkpoint(&format!("{origin}\n7\n{ROOT}\n")).unwrap().origin(), origin);
        }
    }),
    (
        "the ASCII decimal representation of the number of leaves, with no leading zeroes (unless the tree is empty)",
        || {
            assert_eq!(checkpoint(&format!("o\n0\n{ROOT}\n")).unwrap().tree_size(), 0);
            assert_eq!(
                checkpoint(&format!("o\n18446744073709551615\n{ROOT}\n")).unwrap().tree_size(),
                u64::MAX
            );
            for bad in
                ["00", "07", "+7", "-7", " 7", "7 ", "0x7", "7_0", "\u{ff17}", "", "18446744073709551616"]
            {
                assert_eq!(
                    checkpoint(&format!("o\n{bad}\n{ROOT}\n")),
                    Err(CheckpointError::BadSize),
                    "{bad:?}"
                );
            }
        },
    ),
    ("the base64 encoding of the root of the RFC 6962 Merkle hash tree", || {
        assert_eq!(checkpoint(&format!("o\n7\n{ROOT}\n")).unwrap().root(), &[5; 32]);
        let (shorter, longer) = (format!("{}==", &ROOT[..42]), format!("{}AAAA", &ROOT[..43]));
        let url_safe = "__________________________________________8=";
        for bad in [&shorter, &longer, "", "0505", &ROOT[..43], url_safe, &ROOT.replace("BQU=", "BQV=")] {
            assert_eq!(checkpoint(&format!("o\n7\n{bad}\n")), Err(CheckpointError::BadRoot), "{bad:?}");
        }
    }),
    ("extension lines, if any, MUST be non-empty", || {
        let with = checkpoint(&format!("o\n7\n{ROOT}\nextension one\n\u{2014} two\n")).unwrap();
        assert_eq!(with.extensions(), ["extension one", "\u{2014} two"]);
        for bad in ["\n", "x\n\n", "\nx\n"] {
            assert_eq!(
                checkpoint(&format!("o\n7\n{ROOT}\n{bad}")),
                Err(CheckpointError::EmptyLine),
                "{bad:?}"
            );
        }
    }),
    ("clients MUST ignore unknown signatures", || {
        let text = Checkpoint::new("log.example/one", 7, [5; 32]).unwrap().text();
        let lines = vec![line("\u{2014} stranger AAAAAAAA").unwrap(), signer(1).sign(&text)];
        let policy = Policy::parse(format!("log {}\nquorum none\n", signer(1).vkey()).as_bytes()).unwrap();
        let judged = Judge::new(&policy, Horizon::ignored()).judge(&SignedNote::new(&text, lines).unwrap());
        assert!(matches!(judged, Ok(Judged::LogSigned(_))));
    }),
];
