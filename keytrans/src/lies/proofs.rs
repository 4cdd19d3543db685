//! Lies in prefix proofs: results that are missing, too many, out of order or untrue.

use super::{
    response::Response,
    scene::{Lie, Session, Told, greatest, lie, town, unsigned},
};
use crate::{
    algorithms::Violation,
    client::ProofError,
    prefix_tree::PrefixProofError,
    prover::model::{NaiveLog, search_key},
    wire::{PrefixLeaf, PrefixProof, PrefixSearchKind},
};

const PREFIX: &str = "Tree Proofs: Prefix Tree";
const LADDER: &str = "Greatest-Version Search: Binary Ladder";
const DIRECTLY: &str = "For `PrefixProof` structures that correspond to a binary ladder, this means the entries of `results` correspond directly with the lookups done by the binary ladder.";
const ENDS: &str = "First, the series of lookups ends after the first inclusion proof for a version greater than the target version, or the first non-inclusion proof for a version less than or equal to the target version.";
const EQUAL: &str = "However, note that the binary ladder continues after receiving an inclusion proof for a version **equal** to the target version, as this is often needed to determine whether or not any versions greater than the target version exist.";
const MAY_OMIT: &str = "Second, depending on the context in which the binary ladder is provided, the Transparency Log may omit inclusion proofs for any versions where another inclusion proof for the same version was already provided in the same query response for a log entry to the left.";
const ROOT: &str = "The proof is verified by hashing together the provided values, in the left/right arrangement dictated by the bits of the search keys, and checking that the result equals the root value of the prefix tree.";
const FEWEST: &str = "The `elements` array consists of the fewest node values that can be hashed together with these leaves to produce the root.";
const NOT_MATCHING: &str = "`nonInclusionLeaf` for a leaf node not matching the requested search key.";
const ON_PATH: &str = "A non-inclusion proof is given by providing an abridged inclusion proof that follows the path for the intended search key, but ends either at a stand-in leaf or a leaf for a different search key.";
const CONVEYS: &str = "Each entry in the `results` array conveys the leaf node where a search terminated.";

/// A greatest-version search whose first prefix proof, from entry 7, was changed. Bob's one version is there, so that
/// its results are an inclusion and a non-inclusion.
fn edited(suite: crate::config::CipherSuite, edit: fn(&mut PrefixProof), verdict: ProofError) -> Told {
    let edit = |_: &NaiveLog, response: &mut Response| edit(&mut response.proof().prefix_proofs[0]);
    Told::edited(Session::new(town(suite)), greatest(b"bob"), edit, verdict)
}

fn malformed(source: PrefixProofError) -> ProofError {
    ProofError::Prefix { position: 7, source }
}

/// The prefix proof at `index` shows these versions of Bob in the entry at `position` instead.
fn looked_up(index: usize, position: usize, versions: &'static [u32]) -> impl Fn(&NaiveLog, &mut Response) {
    move |log, response| {
        let keys: Vec<_> = versions.iter().map(|&version| search_key(b"bob", version).0).collect();
        response.proof().prefix_proofs[index] = log.entries[position].tree.prove(&keys);
    }
}

pub(super) fn lies() -> Vec<Lie> {
    vec![
        lie(PREFIX, DIRECTLY, "ProofView::look_up", "a result is missing", |suite| {
            edited(
                suite,
                |proof| {
                    proof.results.pop();
                },
                ProofError::ResultMissing(7),
            )
        }),
        lie(PREFIX, DIRECTLY, "ProofView::look_up", "a result too many", |suite| {
            let more = |proof: &mut PrefixProof| proof.results.push(proof.results[1]);
            edited(suite, more, ProofError::ResultLeft(7))
        }),
        lie(PREFIX, DIRECTLY, "ProofView::look_up", "the results are in another order", |suite| {
            edited(suite, |proof| proof.results.swap(0, 1), ProofError::ResultLeft(7))
        }),
        lie(LADDER, EQUAL, "SearchLadder::answer", "the ladder ends at the target", |suite| {
            let session = Session::new(town(suite));
            Told::edited(session, greatest(b"bob"), looked_up(0, 7, &[0]), ProofError::ResultMissing(7))
        }),
        lie(LADDER, ENDS, "SearchLadder::answer", "the ladder goes on after its end", |suite| {
            let session = Session::new(town(suite));
            // Of Alice's versions up to 2, entry 7 holds 0 only, so the ladder ends with version 1.
            let longer = |log: &NaiveLog, response: &mut Response| {
                let keys = [0, 1, 3, 2].map(|version| search_key(b"alice", version).0);
                response.proof().prefix_proofs[0] = log.entries[7].tree.prove(&keys);
            };
            Told::edited(session, greatest(b"alice"), longer, ProofError::ResultLeft(7))
        }),
        lie(LADDER, MAY_OMIT, "ShownLookups::implied", "a lookup that the search omits is given", |suite| {
            // Its inclusion stands in the place of version 1's result, and nobody gave a commitment for that.
            let verdict = ProofError::CommitmentUnknown(1);
            let session = Session::new(town(suite));
            Told::edited(session, greatest(b"bob"), looked_up(1, 11, &[0, 1]), verdict)
        }),
        lie(
            LADDER,
            MAY_OMIT,
            "ShownLookups::implied",
            "a lookup that no other implies is omitted",
            |suite| {
                // Version 1's non-inclusion takes its place, in the other entries too: version 0 seems to be nowhere.
                let session = Session::new(town(suite));
                Told::edited(
                    session,
                    greatest(b"bob"),
                    looked_up(0, 7, &[1]),
                    Violation::GreatestVersionMissing,
                )
            },
        ),
        lie(PREFIX, ROOT, "prefix_tree::evaluate", "another element", |suite| {
            let session = Session::new(town(suite));
            let verdict = unsigned(&session.log);
            let change = |_: &NaiveLog, response: &mut Response| {
                response.proof().prefix_proofs[0].elements[0][0] ^= 1;
            };
            Told::edited(session, greatest(b"bob"), change, verdict)
        }),
        lie(PREFIX, ROOT, "prefix_tree::evaluate", "the elements are in another order", |suite| {
            let session = Session::new(town(suite));
            let verdict = unsigned(&session.log);
            let swap = |_: &NaiveLog, response: &mut Response| {
                response.proof().prefix_proofs[0].elements.swap(0, 1);
            };
            Told::edited(session, greatest(b"bob"), swap, verdict)
        }),
        lie(PREFIX, FEWEST, "prefix_tree::evaluate", "an element is missing", |suite| {
            let verdict = malformed(PrefixProofError::MissingElement);
            edited(
                suite,
                |proof| {
                    proof.elements.pop();
                },
                verdict,
            )
        }),
        lie(PREFIX, FEWEST, "prefix_tree::evaluate", "an element too many", |suite| {
            edited(suite, |proof| proof.elements.push([0; 32]), malformed(PrefixProofError::SpareElements))
        }),
        lie(
            PREFIX,
            NOT_MATCHING,
            "Terminal::new",
            "the leaf of the key itself shows that it is not there",
            |suite| {
                let hide = |proof: &mut PrefixProof| {
                    let leaf = PrefixLeaf { vrf_output: search_key(b"bob", 0).0, commitment: [0; 32] };
                    proof.results.truncate(1);
                    proof.results[0].kind = PrefixSearchKind::NonInclusionLeaf(leaf);
                };
                edited(suite, hide, malformed(PrefixProofError::LeafOfKey))
            },
        ),
        lie(
            "Tree Construction: Prefix Tree",
            ON_PATH,
            "Terminal::new",
            "a leaf from elsewhere shows that a key is not there",
            |suite| {
                let elsewhere = |proof: &mut PrefixProof| {
                    let mut vrf_output = search_key(b"bob", 1).0;
                    vrf_output[0] ^= 0x80;
                    let leaf = PrefixLeaf { vrf_output, commitment: [0; 32] };
                    proof.results[1].kind = PrefixSearchKind::NonInclusionLeaf(leaf);
                };
                edited(suite, elsewhere, malformed(PrefixProofError::LeafOffPath))
            },
        ),
        lie(PREFIX, CONVEYS, "Terminal::shared", "one search ends above another", |suite| {
            let higher = |proof: &mut PrefixProof| proof.results[0].depth = 0;
            edited(suite, higher, malformed(PrefixProofError::Contradiction))
        }),
        lie(
            "Tree Construction: Log Tree",
            "The proof is verified by hashing the leaf value together with the copath values, re-computing the head values of non-balanced subtrees where needed, and checking that the result equals the root value of the log.",
            "Verifier::verify_tree_head",
            "another element in the inclusion proof",
            |suite| {
                let session = Session::new(town(suite));
                let verdict = unsigned(&session.log);
                let change = |_: &NaiveLog, response: &mut Response| {
                    response.proof().inclusion.elements[0][0] ^= 1;
                };
                Told::edited(session, greatest(b"bob"), change, verdict)
            },
        ),
    ]
}
