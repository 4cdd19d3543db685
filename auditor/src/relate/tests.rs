use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    note::{KeyName, NoteSigner, SignedNote},
    rfc6962::{CompactTree, leaf_hash},
};
use proptest::prelude::*;

use super::*;

const ORIGIN: &str = "log.example";

fn signer() -> NoteSigner {
    NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[1; 32]))
}

/// A log that is branch 0 before `fork` and `branch` from there.
#[derive(Debug, Clone, Copy)]
struct Branch {
    fork: u64,
    branch: u8,
}

impl Branch {
    fn leaf(self, i: u64) -> Digest {
        leaf_hash(&[&[if i < self.fork { 0 } else { self.branch }], &i.to_be_bytes()[..]].concat())
    }

    fn tree(self, from: u64, end: u64) -> Digest {
        let mut tree = CompactTree::new();
        (from..end).for_each(|i| tree.append(self.leaf(i)).unwrap());
        tree.root()
    }

    fn node(self, id: NodeId) -> Result<Digest, ()> {
        Ok(self.tree(id.index << id.level, (id.index + 1) << id.level))
    }

    fn head(self, size: u64) -> SignedHead {
        let text = Checkpoint::new(ORIGIN, size, self.tree(0, size)).unwrap().text();
        let note = SignedNote::new(&text, vec![signer().sign(&text)]).unwrap();
        SignedHead::restore(note.to_string().as_bytes()).unwrap()
    }
}

proptest! {
    #[test]
    fn heads_relate_as_their_leaves_do(fork in 0u64..40, a in 0u64..40, b in 0u64..40, forked: bool) {
        let (honest, other) = (Branch { fork: 0, branch: 0 }, Branch { fork, branch: u8::from(forked) });
        let (x, y) = (honest.head(a), other.head(b));
        let larger = if a > b { honest } else { other };
        let relation = relate(&x, &y, |id| larger.node(id)).unwrap();
        let agree = !forked || a.min(b) <= fork;
        match relation {
            Relation::Same => prop_assert!(agree && a == b),
            Relation::Extends => prop_assert!(agree && a != b),
            Relation::Contradicts(evidence) => {
                prop_assert!(!agree);
                let proven = evidence.verify(&[signer().vkey()], None).unwrap();
                prop_assert_eq!(proven.sizes(), (a.min(b), a.max(b)));
            }
            Relation::Unproven(error) => prop_assert!(false, "{error}"),
        }
        // The order of the two does not matter.
        prop_assert_eq!(relate(&x, &y, |id| larger.node(id)), relate(&y, &x, |id| larger.node(id)));
    }

    #[test]
    fn wrong_nodes_convict_nobody(a in 1u64..40, more in 1u64..40, which: usize, bit in 0usize..256) {
        let honest = Branch { fork: 0, branch: 0 };
        let (x, y) = (honest.head(a), honest.head(a + more));
        let ids = nodes_to_relate(&x, &y);
        let wrong = ids[which % ids.len()];
        let relation = relate(&x, &y, |id| {
            let mut hash = honest.node(id)?;
            if id == wrong {
                hash[bit / 8] ^= 1 << (bit % 8);
            }
            Ok::<_, ()>(hash)
        });
        match relation.unwrap() {
            Relation::Contradicts(evidence) => {
                prop_assert!(evidence.verify(&[signer().vkey()], None).is_err(), "an honest log is convicted");
            }
            Relation::Extends => prop_assert!(false, "a proof that was changed proves"),
            Relation::Same | Relation::Unproven(_) => {}
        }
    }

    #[test]
    fn only_the_nodes_that_were_announced_are_asked_for(a in 0u64..100, b in 0u64..100) {
        let honest = Branch { fork: 0, branch: 0 };
        let (x, y) = (honest.head(a), honest.head(b));
        let ids = nodes_to_relate(&x, &y);
        let relation = relate(&x, &y, |id| if ids.contains(&id) { honest.node(id) } else { Err(()) });
        prop_assert!(relation.is_ok());
    }
}
