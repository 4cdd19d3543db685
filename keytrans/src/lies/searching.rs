//! Lies in answers to searches.

use super::{
    response::{Response, shorten},
    scene::{Lie, Scene, Session, Told, add, greatest, grow, lie, town, town_in, unsigned, version},
    shameless::Claim,
};
use crate::{
    algorithms::Violation,
    client::{ProofError, VerifyError},
    config::{CipherSuite, DeploymentMode},
    prover::model::{NaiveLog, search_key},
    wire::{CommitmentValue, UpdateValue, WireError},
};
use keyglass_crypto::vrf::VrfSecretKey;

const SEARCH: &str = "Search";
const COUNT: &str = "Verify that the expected number of entries is present in `binary_ladder` and that no commitment value is provided for the target version.";
const OUTPUT: &str = "Compute the VRF output for each version of the label from the proofs in `binary_ladder`. Compute the commitment to the value of the target version with `opening` and `value`.";
const NOT_GREATER: &str = "That is, verify that every lookup for a version greater than the target version results in a non-inclusion proof.";
const NOT_LESS: &str = "If this is the rightmost log entry, additionally verify that every lookup for a version less than or equal to the target version results in an inclusion proof.";
const OPERATOR: &str = "Users MUST successfully verify this signature before consuming `UpdateValue.value`.";
const OMITTED: &str = "The `commitment` field is omitted only for versions of the label that don't exist and for the target version of the label, as the commitment to the target version is computed from `opening` and `value`.";
const GREATEST: &str = "Greatest-Version Search: Algorithm";
const FIXED: &str = "Fixed-Version Search: Algorithm";
const NO_SUCH: &str = "If there is no such log entry, terminate the search with an error indicating that the target version of the label does not exist.";
const NOT_THERE: &str = "If the result is a non-inclusion proof, terminate the search with an error indicating that the requested version of the label does not exist.";
const EXPIRED_HERE: &str =
    "If no, terminate the search with an error indicating that the target version of the label is expired.";
const EXPIRED_LEFT: &str = "If no such log entries exist, terminate the search with an error indicating that the target version of the label is expired.";
const MUST_NOT: &str = "Clients MUST NOT accept a proof where the identified log entry is itself the leftmost unexpired and distinguished log entry.";
const CONSISTENT: &str = "This ensures that all operations performed by the user return consistent results.";
const PRESENCE: &str =
    "When decoding, a presence octet with a value other than 0 or 1 MUST be rejected as malformed.";

fn managed(suite: CipherSuite) -> Session {
    Session::new(town_in(suite, DeploymentMode::ThirdPartyManagement, 14))
}

/// A log of 30 entries whose entries live 11 of them: entry 15, the root, is expired, entries 19 and up are not. With
/// a window of 801 ms entry 23 is the only unexpired distinguished one; with 800 ms, entry 19 is one too.
fn ageing(suite: CipherSuite, window: u64, versions: &[(u64, &[&[u8]])]) -> Session {
    let mut log = NaiveLog::new(suite, window, Some(1100));
    for (position, values) in versions {
        add(&mut log, *position, b"frank", values);
    }
    grow(&mut log, 30);
    Session::new(log)
}

/// The same log with entry 19 distinguished, and not.
fn expired(suite: CipherSuite, versions: &[(u64, &[&[u8]])]) -> Told {
    let honest = Scene::honest(ageing(suite, 800, versions), version(b"frank", 0));
    let session = ageing(suite, 801, versions);
    let log = session.log.clone();
    let lie = Scene::shown(session, version(b"frank", 0), &log, &Claim::default());
    Told { honest, lie, verdict: Violation::Expired.into() }
}

pub(super) fn lies() -> Vec<Lie> {
    let mut lies = ladder_and_value();
    lies.extend(outcomes());
    lies
}

fn ladder_and_value() -> Vec<Lie> {
    vec![
        lie("Optional Values", PRESENCE, "Reader::optional", "a presence octet of 2", |suite| {
            let session = Session::new(town(suite));
            let honest = Scene::honest(session, greatest(b"alice"));
            // The first difference that a commitment makes is its presence octet.
            let other = honest.edited(|_, response| response.ladder().unwrap()[0].commitment = None);
            let differs = |(a, b): (&u8, &u8)| a != b;
            let octet = honest.response.iter().zip(&other.response).position(differs).unwrap();
            let mut lie = honest.clone();
            lie.response[octet] = 2;
            Told { honest, lie, verdict: VerifyError::Wire(WireError::Presence) }
        }),
        lie(SEARCH, COUNT, "Verifier::ladder_versions", "a step of the ladder is missing", |suite| {
            Told::edited(
                Session::new(town(suite)),
                greatest(b"alice"),
                |_, response| shorten(response),
                VerifyError::LadderLength,
            )
        }),
        lie(SEARCH, COUNT, "Verifier::ladder_versions", "a step of the ladder too many", |suite| {
            let more = |_: &NaiveLog, response: &mut Response| {
                let ladder = response.ladder().unwrap();
                ladder.push(ladder[0].clone());
            };
            Told::edited(Session::new(town(suite)), greatest(b"alice"), more, VerifyError::LadderLength)
        }),
        lie(SEARCH, COUNT, "Verifier::ladder_versions", "a commitment for the target version", |suite| {
            let give = |log: &NaiveLog, response: &mut Response| {
                use crate::prover::ProverData as _;
                response.ladder().unwrap()[3].commitment = Some(log.commitment(b"alice", 2).unwrap());
            };
            let verdict = VerifyError::CommitmentGiven(2);
            Told::edited(Session::new(town(suite)), greatest(b"alice"), give, verdict)
        }),
        lie(
            SEARCH,
            OMITTED,
            "ProofView::look_up",
            "the commitment of a lesser version is missing",
            |suite| {
                Told::edited(
                    Session::new(town(suite)),
                    greatest(b"alice"),
                    |_, response| response.ladder().unwrap()[0].commitment = None,
                    ProofError::CommitmentUnknown(0),
                )
            },
        ),
        lie(SEARCH, OUTPUT, "Verifier::search_key", "the ladder is in another order", |suite| {
            Told::edited(
                Session::new(town(suite)),
                greatest(b"alice"),
                |_, response| response.ladder().unwrap().swap(0, 1),
                VerifyError::Vrf(0),
            )
        }),
        lie(SEARCH, OUTPUT, "Verifier::search_key", "a VRF proof of another label", |suite| {
            Told::edited(
                Session::new(town(suite)),
                greatest(b"alice"),
                |_, response| response.ladder().unwrap()[2].proof = search_key(b"bob", 3).1,
                VerifyError::Vrf(3),
            )
        }),
        lie(SEARCH, OUTPUT, "Verifier::search_key", "a VRF proof by another key", |suite| {
            let forge = |_: &NaiveLog, response: &mut Response| {
                let input = crate::wire::VrfInput { label: b"alice".to_vec(), version: 1 };
                let input = crate::wire::Wire::encode(&input).unwrap();
                response.ladder().unwrap()[1].proof = VrfSecretKey::from_seed(&[9; 32]).prove(&input).0;
            };
            Told::edited(Session::new(town(suite)), greatest(b"alice"), forge, VerifyError::Vrf(1))
        }),
        lie(SEARCH, OUTPUT, "CommitmentValue::commitment", "another value", |suite| {
            let session = Session::new(town(suite));
            let verdict = unsigned(&session.log);
            let change = |_: &NaiveLog, response: &mut Response| {
                response.search().value.value = b"mallory".to_vec();
            };
            Told::edited(session, greatest(b"bob"), change, verdict)
        }),
        lie(SEARCH, OUTPUT, "CommitmentValue::commitment", "another opening", |suite| {
            let session = Session::new(town(suite));
            let verdict = unsigned(&session.log);
            let change = |_: &NaiveLog, response: &mut Response| response.search().opening[0] ^= 1;
            Told::edited(session, greatest(b"bob"), change, verdict)
        }),
        lie(
            "Commitment",
            "commitment = HMAC(Kc, CommitmentValue)",
            "CommitmentValue::commitment",
            "a value that was committed to for another version",
            |suite| {
                let (session, op) = (Session::new(town(suite)), version(b"alice", 1));
                let verdict = unsigned(&session.log);
                let swap = |log: &NaiveLog, response: &mut Response| {
                    let other = &log.labels[&b"alice"[..]][&0];
                    response.search().opening = other.opening;
                    response.search().value = other.update.clone().unwrap();
                };
                Told::edited(session, op, swap, verdict)
            },
        ),
        lie(
            "Update Format",
            OPERATOR,
            "Verifier::verify_operator",
            "a value without its operator's signature",
            |suite| {
                let strip = |_: &NaiveLog, response: &mut Response| {
                    response.search().value.suffix.signature = Some(Vec::new());
                };
                Told::edited(managed(suite), greatest(b"alice"), strip, VerifyError::OperatorSignature(2))
            },
        ),
        lie(
            "Update Format",
            OPERATOR,
            "Verifier::verify_operator",
            "a signature over another version's value",
            |suite| {
                // The leaf commits to the value with that signature, so nothing else is wrong with it.
                let session = managed(suite);
                let mut log = session.log.clone();
                let UpdateValue { suffix, .. } = log.update_value(b"alice", 1, b"alice 2");
                let update = UpdateValue { value: b"alice 2".to_vec(), suffix };
                let (opening, label) = ([2; 16], b"alice".to_vec());
                let committed = CommitmentValue { opening, label, version: 2, update: update.clone() };
                let commitment = committed.commitment().unwrap();
                log.plant_from(12, b"alice", 2, commitment);
                log.labels.get_mut(&b"alice"[..]).unwrap().get_mut(&2).unwrap().update = Some(update);
                let claim = Claim { greatest: Some(2), ..Claim::default() };
                let lie = Scene::shown(session.clone(), greatest(b"alice"), &log, &claim);
                let honest = Scene::honest(session, greatest(b"alice"));
                Told { honest, lie, verdict: VerifyError::OperatorSignature(2) }
            },
        ),
    ]
}

fn outcomes() -> Vec<Lie> {
    vec![
        lie(
            GREATEST,
            NOT_GREATER,
            "greatest_version_search",
            "an older version is said to be the greatest",
            |suite| {
                let claim = Claim { greatest: Some(1), ..Claim::default() };
                let verdict = Violation::GreaterVersionExists(13);
                Told::shown(Session::new(town(suite)), greatest(b"alice"), &claim, |_| (), verdict)
            },
        ),
        lie(
            GREATEST,
            NOT_LESS,
            "greatest_version_search",
            "the greatest version was taken out again",
            |suite| {
                let claim = Claim { greatest: Some(2), ..Claim::default() };
                let hide = |log: &mut NaiveLog| {
                    log.hide(13, b"alice", 2);
                };
                let verdict = Violation::GreatestVersionMissing;
                Told::shown(Session::new(town(suite)), greatest(b"alice"), &claim, hide, verdict)
            },
        ),
        lie(GREATEST, NOT_LESS, "greatest_version_search", "a lesser version was taken out", |suite| {
            let claim = Claim { greatest: Some(2), ..Claim::default() };
            let hide = |log: &mut NaiveLog| {
                log.hide(7, b"alice", 0);
                log.hide(11, b"alice", 1);
                log.hide(13, b"alice", 1);
            };
            let verdict = Violation::GreatestVersionMissing;
            Told::shown(Session::new(town(suite)), greatest(b"alice"), &claim, hide, verdict)
        }),
        lie(FIXED, NO_SUCH, "fixed_version_search", "a version that no entry holds", |suite| {
            let mut session = Session::new(town(suite));
            add(&mut session.log, 14, b"alice", &[b"alice 3"]);
            let hide = |log: &mut NaiveLog| {
                log.hide(14, b"alice", 3);
            };
            Told::shown(session, version(b"alice", 3), &Claim::default(), hide, Violation::NotFound)
        }),
        lie(FIXED, NOT_THERE, "fixed_version_search", "a version that was left out among others", |suite| {
            let mut log = NaiveLog::new(suite, 1000, None);
            add(&mut log, 4, b"erin", &[b"erin 0", b"erin 1", b"erin 2", b"erin 3"]);
            grow(&mut log, 14);
            let hide = |log: &mut NaiveLog| {
                log.hide_from(4, b"erin", 2);
            };
            let verdict = Violation::NotFound;
            Told::shown(Session::new(log), version(b"erin", 2), &Claim::default(), hide, verdict)
        }),
        lie(
            FIXED,
            EXPIRED_HERE,
            "fixed_version_search",
            "a version that no owner can have checked",
            |suite| expired(suite, &[(17, &[b"frank 0"]), (21, &[b"frank 1"])]),
        ),
        lie(
            FIXED,
            EXPIRED_LEFT,
            "fixed_version_search",
            "a skipped version that no owner can have checked",
            |suite| expired(suite, &[(21, &[b"frank 0", b"frank 1"])]),
        ),
        lie(
            FIXED,
            MUST_NOT,
            "fixed_version_search",
            "the entry itself is the leftmost distinguished one",
            |suite| expired(suite, &[(23, &[b"frank 0", b"frank 1"])]),
        ),
        lie(
            "User Operations",
            CONSISTENT,
            "merge_versions",
            "a version shown before has another value now",
            |suite| {
                let mut log = NaiveLog::new(suite, 1000, None);
                add(&mut log, 9, b"alice", &[b"alice 0"]);
                grow(&mut log, 12);
                let mut session = Session::new(log);
                session.perform(&greatest(b"alice"));
                grow(&mut session.log, 20);
                let mut log = session.log.clone();
                let versions = log.labels.get_mut(&b"alice"[..]).unwrap();
                versions.get_mut(&0).unwrap().update.as_mut().unwrap().value = b"mallory".to_vec();
                let commitment = crate::prover::ProverData::commitment(&log, b"alice", 0).unwrap();
                log.plant_from(12, b"alice", 0, commitment);
                let claim = Claim { greatest: Some(0), ..Claim::default() };
                let lie = Scene::shown(session.clone(), greatest(b"alice"), &log, &claim);
                let honest = Scene::honest(session, greatest(b"alice"));
                Told { honest, lie, verdict: VerifyError::Rewritten(0) }
            },
        ),
    ]
}
