//! tlog-witness and the parts of tlog-cosignature that bind a witness, sentence by sentence, each with the tests that
//! hold the program to it. `every_named_test_is_there` keeps the table true. `sign-subtree` is optional, and not offered.
//!
//! | Sentence | Tests |
//! |---|---|
//! | witnesses SHOULD support HTTP keep-alive HTTP connections | `connections_are_kept_alive_and_stalled_ones_stop_nobody` |
//! | The request MUST be an HTTP POST. | `other_paths_and_methods_are_told_apart` |
//! | The request body MUST be a sequence of an old size line, zero or more consistency proof lines, and an empty line, followed by a checkpoint. | `bodies_have_one_form`, `refusals_have_their_status` |
//! | Each line MUST terminate in a newline character. | `bodies_have_one_form` |
//! | The old size line MUST consist of the string `old`, a single space, and the tree size in ASCII decimal with no leading zeroes. | `bodies_have_one_form` |
//! | Each consistency proof line MUST encode a single hash in base64. | `bodies_have_one_form` |
//! | The client MUST NOT send more than 63 consistency proof lines. | `sixty_three_proof_lines_are_read_and_no_more` |
//! | The submitted checkpoint MAY include multiple signatures. | `bodies_are_bounded`, `lines_that_nobody_verified_are_not_kept` |
//! | The witness MUST verify the checkpoint signature against the public key(s) it trusts for the checkpoint origin | `the_log_must_have_signed`, `one_origin_may_have_two_keys`, `logs_may_sign_with_ml_dsa` |
//! | and it MUST ignore signatures from unknown keys. | `lines_that_nobody_verified_are_not_kept`, `bodies_are_bounded` |
//! | If the checkpoint origin is unknown, the witness MUST respond with a "404 Not Found" | `an_unknown_origin_comes_before_everything`, `refusals_have_their_status` |
//! | "403 Forbidden" if either no signature from a trusted key for the origin is present, or a signature line's key name and ID match a trusted key but the signature itself fails to verify | `the_log_must_have_signed`, `refusals_have_their_status` |
//! | The old size MUST be equal to or lower than the checkpoint size. Otherwise "400 Bad Request" | `sizes_come_before_proofs`, `refusals_have_their_status` |
//! | The witness MUST check that the old size matches the size of the latest checkpoint it cosigned (or zero if it never cosigned a checkpoint for that origin), or "409 Conflict" | `sizes_come_before_proofs`, `a_wrong_old_size_is_answered_with_the_right_one` |
//! | The response body MUST consist of the tree size in decimal, followed by a newline, with a `Content-Type` of `text/x.tlog.size`. | `a_wrong_old_size_is_answered_with_the_right_one` |
//! | it MAY initially make a request with a old size of zero to obtain it | `a_wrong_old_size_is_answered_with_the_right_one` |
//! | A checkpoint of size zero MUST have the root hash of the empty tree. Otherwise "422 Unprocessable Entity" | `first_contact_has_its_refusals`, `sizes_come_before_proofs` |
//! | If the old size is zero, the consistency proof MUST be empty | `first_contact_has_its_refusals`, `proofs_must_be_exact` |
//! | Otherwise, the lines MUST encode a Merkle Consistency Proof according to RFC 6962; if it doesn't verify, 422 | `proofs_must_be_exact`, `refusals_have_their_status`, `trees_grow` |
//! | If the old size matches the checkpoint size, the witness MUST check that the root hashes are also identical, or 422 | `one_size_has_one_root`, `refusals_have_their_status` |
//! | the witness MAY log the request ... (but MUST NOT cosign the checkpoint) | `a_killed_witness_starts_again_at_once_and_knows_what_it_signed` |
//! | If all the checks above pass, the witness MUST update its record and respond with a "200 Success" | `a_cosignature_is_answered_and_served` |
//! | The response body MUST be a sequence of one or more note signature lines, each starting with the em dash and ending with a newline. | `both_cosignatures_are_returned_and_served_in_their_order` |
//! | The signatures MUST be cosignatures from the witness key(s) on the checkpoint. Witnesses SHOULD use ML-DSA-44. | `both_cosignatures_are_returned_and_served_in_their_order`, `init_prints_both_vkeys_ed25519_first_and_once` |
//! | start MUST be zero and end MUST be the checkpoint size | `both_cosignatures_are_returned_and_served_in_their_order` |
//! | the timestamp MUST NOT be zero | `both_cosignatures_are_returned_and_served_in_their_order`, `without_a_clock_nothing_is_stored` |
//! | The witness MUST persist the new checkpoint before responding. | `nothing_that_was_answered_is_lost_with_the_power`, `nothing_that_was_answered_is_lost_by_kill_9`, `a_failed_commit_signs_nothing`, `a_full_disk_signs_nothing_and_room_lets_it_go_on` |
//! | checking the old size against the latest checkpoint and persisting the new checkpoint must be performed atomically, otherwise the following race can occur | `nothing_rolls_back`, `hundreds_of_racing_forks_leave_one_history_in_memory`, `hundreds_of_racing_forks_leave_one_history_on_disk` |
//! | A witness SHOULD serve a recent checkpoint for each log it cosigned. The origin hash is the SHA-256 hash of the log's origin, hex encoded, in lowercase. | `a_cosignature_is_answered_and_served`, `other_paths_and_methods_are_told_apart` |
//! | it MUST include the cosignature(s) that were returned from add-checkpoint and the cosignature from the log key(s) that the witness verified | `both_cosignatures_are_returned_and_served_in_their_order`, `a_directory_from_before_goes_on_and_gets_a_second_key` |
//! | If the witness has never cosigned a checkpoint for that log, it MUST respond with a "404 Not Found" | `a_cosignature_is_answered_and_served` |
//! | (cosignature) as of the specified time, the consistent tree head with the largest size the cosigner has observed | `time_never_goes_back`, `nothing_is_signed_a_year_ahead` |
//! | (cosignature) Extension lines, if present, MUST be included in the cosigned message. | `extension_lines_are_cosigned_but_compared_by_root` |
//! | (cosignature) opaque log_origin<1..2^8-1> | `origins_that_ml_dsa_cannot_sign_get_the_other_cosignature` |

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use axum::Router;
use hyper::{Method, StatusCode};
use keyglass_crypto::ml_dsa::MlDsaSigningKey;
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, SignedNote, parse_signature_lines},
    policy::Policy,
    time::UnixSeconds,
};
use keyglass_witness::{
    http::{Limits, router},
    logs::Logs,
    metrics::Metrics,
    service::Witness,
};
use tower::ServiceExt as _;

use crate::{
    client::{Answer, read, request as http_request},
    log::{Log, ORIGIN, request},
    race::cosigner,
    stores::{MemoryStore, TestClock},
};

const NOW: u64 = 1_700_000_000;

fn ml_dsa(name: &str) -> Cosigner {
    Cosigner::ml_dsa_44(KeyName::new(name).unwrap(), MlDsaSigningKey::from_seed(&[9; 32])).unwrap()
}

/// A witness of a policy in memory.
fn serve(policy: &str, cosigners: Vec<Cosigner>) -> Router {
    let logs = Logs::of_policy(&Policy::parse(policy.as_bytes()).unwrap(), NonZeroU32::MAX);
    let metrics = Arc::new(Metrics::default());
    let (store, clock) = (MemoryStore::default(), TestClock::at(NOW));
    let witness = Witness::new(cosigners, logs, store, clock, Arc::clone(&metrics));
    router(Arc::new(witness), metrics, Limits::default())
}

async fn add(router: &Router, body: impl ToString) -> Answer {
    let request = http_request(Method::POST, "/add-checkpoint", body.to_string());
    read(router.clone().oneshot(request).await.unwrap()).await
}

#[test]
fn every_named_test_is_there() {
    let sources = [
        include_str!("clock.rs"),
        include_str!("crash.rs"),
        include_str!("decide.rs"),
        include_str!("full_disk.rs"),
        include_str!("http.rs"),
        include_str!("keys.rs"),
        include_str!("process.rs"),
        include_str!("race.rs"),
        include_str!("specification.rs"),
        include_str!("../../src/store/tests/mod.rs"),
    ];
    let table = include_str!("specification.rs").lines().filter_map(|line| line.strip_prefix("//! |"));
    let mut named = BTreeSet::new();
    for row in table.skip(2) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(tests.starts_with('`'), "no test: {row}");
        named.extend(tests.split(", ").map(|name| name.trim_matches('`')));
    }
    for name in &named {
        let function = format!("fn {name}(");
        assert!(sources.iter().any(|source| source.contains(&function)), "no test is named {name}");
    }
    assert!(named.len() > 30, "{}", named.len());
}

#[tokio::test]
async fn bodies_have_one_form() {
    let log = Log::new(ORIGIN);
    let router = serve(&log.policy_text(), vec![cosigner()]);
    assert_eq!(add(&router, log.request(0, 7)).await.status, StatusCode::OK);
    let good = log.request(7, 9).to_string();
    let hash = good.lines().nth(1).unwrap();
    let malformed = [
        good.replacen("old 7", "old 07", 1),
        good.replacen("old 7", "old +7", 1),
        good.replacen("old 7", "old  7", 1),
        good.replacen("old 7", "old 7 ", 1),
        good.replacen("old 7", "Old 7", 1),
        good.replacen("old 7", "old\t7", 1),
        good.replacen("old 7", "old 18446744073709551616", 1),
        good.replacen("old 7\n", "", 1),
        good.replacen("old 7\n", "old 7\r\n", 1),
        good.replacen(hash, hash.trim_end_matches('='), 1),
        good.replacen(hash, &format!("{hash} "), 1),
        good.replacen(hash, &hash[4..], 1),
        good.replacen(hash, "", 1),
        good.replacen("\n\n", "\n", 1),
        good.trim_end().to_owned(),
        format!("\n{good}"),
        format!("{good}\n"),
    ];
    for body in malformed {
        let answer = add(&router, &body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::BAD_REQUEST, "malformed-request"),
            "{body}"
        );
    }
    assert_eq!(add(&router, good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn sixty_three_proof_lines_are_read_and_no_more() {
    let log = Log::new(ORIGIN);
    let router = serve(&log.policy_text(), vec![cosigner()]);
    assert_eq!(add(&router, log.request(0, 7)).await.status, StatusCode::OK);
    let most = request(7, vec![[0; 32]; 63], log.note(9)).to_string();
    assert_eq!(add(&router, &most).await.problem(), "bad-consistency-proof");
    let hash = most.lines().nth(1).unwrap();
    let more = most.replacen(hash, &format!("{hash}\n{hash}"), 1);
    assert_eq!(add(&router, more).await.problem(), "malformed-request");
}

#[tokio::test]
async fn logs_may_sign_with_ml_dsa() {
    let log = Log::new(ORIGIN);
    let post_quantum = ml_dsa(ORIGIN);
    let signed = |size| {
        let checkpoint = log.checkpoint(size);
        let line = post_quantum.cosign(&checkpoint, UnixSeconds(NOW)).unwrap();
        SignedNote::new(&checkpoint.text(), vec![line, log.sign(&checkpoint)]).unwrap()
    };
    // With this key alone, the Ed25519 line is a stranger's; with both, both lines are kept.
    for (policy, kept) in [
        (format!("log {}\nquorum none\n", post_quantum.vkey()), 1),
        (format!("log {}\nlog {}\nquorum none\n", post_quantum.vkey(), log.vkey()), 2),
    ] {
        let router = serve(&policy, vec![cosigner()]);
        assert_eq!(add(&router, request(0, Vec::new(), signed(5))).await.status, StatusCode::OK);
        let answer = add(&router, request(5, log.proof(5, 9), signed(9))).await;
        assert_eq!(answer.status, StatusCode::OK);
        let path = format!("/{}", keyglass_tlog::witness::checkpoint_path(ORIGIN));
        let served = http_request(Method::GET, &path, String::new());
        let served = read(router.clone().oneshot(served).await.unwrap()).await.body;
        let lines = SignedNote::parse(served.as_bytes()).unwrap().signatures().to_vec();
        assert_eq!(lines[..kept], signed(9).signatures()[..kept]);
        assert_eq!(lines.len(), kept + 1);
        // A bad line of it spoils the note, beside a good one or not.
        let other = post_quantum.cosign(&log.checkpoint(12), UnixSeconds(NOW)).unwrap();
        let lines = vec![other, log.sign(&log.checkpoint(13))];
        let forged = SignedNote::new(&log.checkpoint(13).text(), lines).unwrap();
        let refused = add(&router, request(9, log.proof(9, 13), forged)).await;
        assert_eq!(refused.problem(), "bad-log-signature");
    }
}

/// The Ed25519 message has no such limit.
#[tokio::test]
async fn origins_that_ml_dsa_cannot_sign_get_the_other_cosignature() {
    for (length, lines) in [(255, 2), (256, 1)] {
        let log = Log::new(&"o".repeat(length));
        let router = serve(&log.policy_text(), vec![cosigner(), ml_dsa("witness.example/w1")]);
        let answer = add(&router, log.request(0, 5)).await;
        assert_eq!(parse_signature_lines(answer.body.as_bytes()).unwrap().len(), lines);
        let alone = serve(&log.policy_text(), vec![ml_dsa("witness.example/w1")]);
        let answer = add(&alone, log.request(0, 5)).await;
        if lines == 2 {
            assert_eq!(answer.status, StatusCode::OK);
        } else {
            assert_eq!(answer.problem(), "origin-too-long");
            assert_eq!(add(&alone, log.request(1, 5)).await.body, "0\n", "nothing is stored");
        }
    }
}
