//! Failure receipts, and messages to a record that has changed.

use std::sync::atomic::Ordering;

use keyglass_account::{
    api::{Base64, MESSAGES, MESSAGES_ACK, Messages, RECEIPTS, RECEIPTS_ACK, SendReceipt, Target},
    problem::Problem,
    receipt::FailureReason,
};
use serde_json::{Value, json};

use super::*;
use crate::mailbox::http::router;

fn receipt(to: &Actor, handshake: u8, reason: FailureReason) -> Value {
    let label = Base64::new(to.name.label.clone()).unwrap();
    let target = Target { label, device: to.name.device };
    let handshake = Base64::new(vec![handshake; 32]).unwrap();
    serde_json::to_value(SendReceipt { target, handshake, reason }).unwrap()
}

#[tokio::test]
async fn a_receipt_reaches_the_sender_and_is_counted_once() {
    let stage = Stage::new();
    let receipts = stage.receipts();
    let router = router(stage.service.clone(), receipts.clone(), stage.world.tokens.clone());
    let (alice, bob) = (stage.world.alice.clone(), stage.world.bob.clone());
    let post = |reason| json("POST", RECEIPTS, &stage.world.token(&bob), &receipt(&alice, 7, reason));
    for _ in 0..2 {
        assert_eq!(send(&router, post(FailureReason::OneTimePreKeyReused)).await.status, 204);
    }
    // Another reason for the same handshake neither replaces the first nor is counted.
    assert_eq!(send(&router, post(FailureReason::StateLost)).await.status, 204);
    assert_eq!(receipts.failures().of(FailureReason::OneTimePreKeyReused), 1);
    assert_eq!(receipts.failures().of(FailureReason::StateLost), 0);

    let read = |actor: &Actor| bare("GET", RECEIPTS, &stage.world.token(actor));
    let waiting: keyglass_account::api::Receipts = send(&router, read(&alice)).await.json();
    assert_eq!((waiting.receipts.len(), waiting.more), (1, false));
    let one = &waiting.receipts[0];
    assert_eq!((one.from.label.as_bytes(), one.from.device), (&bob.name.label[..], bob.name.device));
    assert_eq!((one.handshake.as_bytes(), &*one.reason), (&[7; 32][..], "one_time_prekey_reused"));
    let none: keyglass_account::api::Receipts = send(&router, read(&bob)).await.json();
    assert!(none.receipts.is_empty());

    // A receipt is no message, and neither is acknowledged as the other.
    let messages: Messages = send(&router, bare("GET", MESSAGES, &stage.world.token(&alice))).await.json();
    assert!(messages.messages.is_empty());
    let ack = json!({ "ids": [one.id] });
    for (path, left) in [(MESSAGES_ACK, 1), (RECEIPTS_ACK, 0)] {
        assert_eq!(send(&router, json("POST", path, &stage.world.token(&alice), &ack)).await.status, 204);
        let waiting: keyglass_account::api::Receipts = send(&router, read(&alice)).await.json();
        assert_eq!(waiting.receipts.len(), left);
    }
}

#[tokio::test]
async fn receipts_are_bounded_and_crowd_out_no_message() {
    let stage = Stage::new();
    let receipts = stage.receipts();
    let (alice, bob) = (&stage.world.alice.name, &stage.world.bob.name);
    for n in 0..256_u32 {
        let mut handshake = [0; 32];
        handshake[..4].copy_from_slice(&n.to_be_bytes());
        // One account alone is not let fill the queue.
        let from = DeviceName { label: format!("account {}", n % 64).into_bytes(), device: 1 };
        receipts.leave(&from, alice, &handshake, FailureReason::NotAuthentic).unwrap();
    }
    let full = receipts.leave(bob, alice, &[9; 32], FailureReason::NotAuthentic);
    assert_eq!(full, Err(SendError::Full));
    assert_eq!(receipts.failures().of(FailureReason::NotAuthentic), 256);
    stage.send(1, b"hello").unwrap();
    let (first, more) = receipts.read(alice).unwrap();
    assert_eq!((first.len(), more), (100, true));
}

#[tokio::test]
async fn one_account_cannot_fill_the_queue_of_receipts() {
    let stage = Stage::new();
    let receipts = stage.receipts();
    let (alice, bob) = (&stage.world.alice.name, &stage.world.bob.name);
    let leave = |from: &DeviceName, n: u32| {
        let mut handshake = [0; 32];
        handshake[..4].copy_from_slice(&n.to_be_bytes());
        receipts.leave(from, alice, &handshake, FailureReason::NotAuthentic)
    };
    let mut number = 0;
    for _ in 0..30 {
        while leave(bob, number).is_ok() {
            number += 1;
        }
        assert_eq!(leave(bob, number), Err(SendError::TooMany));
        stage.world.clock.advance(24 * 3_600_000);
    }
    assert!(number < 256, "{number}");
    let carol = DeviceName { label: b"carol".to_vec(), device: 1 };
    assert_eq!(leave(&carol, 0), Ok(()));
}

#[tokio::test]
async fn malformed_receipts_and_receipts_to_strangers_are_refused() {
    let stage = Stage::new();
    let router = router(stage.service.clone(), stage.receipts(), stage.world.tokens.clone());
    let good = receipt(&stage.world.alice, 7, FailureReason::StateLost);
    let with = |name: &str, value: Value| {
        let mut bad = good.clone();
        bad[name] = value;
        bad
    };
    let mut stranger = good.clone();
    stranger["target"]["device"] = json!(9);
    for (body, problem) in [
        (with("reason", json!("because")), Problem::MalformedJson),
        (with("handshake", json!("AAAA")), Problem::MalformedJson),
        (with("more", json!(1)), Problem::MalformedJson),
        (stranger, Problem::UnknownDevice),
    ] {
        let request = json("POST", RECEIPTS, &stage.world.token(&stage.world.bob), &body);
        assert_eq!(send(&router, request).await.problem(), problem, "{body}");
    }
    for request in [
        json("POST", RECEIPTS, "", &good),
        bare("GET", RECEIPTS, ""),
        json("POST", RECEIPTS_ACK, "", &json!({ "ids": [] })),
    ] {
        assert_eq!(send(&router, request).await.problem(), Problem::Unauthenticated);
    }
}

/// Whoever sends to a device names the version that proved it; with a later one published there may be devices that the
/// sender does not know of.
#[tokio::test]
async fn a_message_to_an_older_record_is_refused_until_the_sender_looks_again() {
    let stage = Stage::new();
    stage.world.accounts.version.store(3, Ordering::Relaxed);
    let router = router(stage.service.clone(), stage.receipts(), stage.world.tokens.clone());
    for (version, expected) in
        [(json!(2), Some(Problem::StaleRecord)), (json!(3), None), (json!(4), None), (Value::Null, None)]
    {
        let body = json!({
            "target": { "label": "Ym9i", "device": 1 },
            "id": "01".repeat(16),
            "body": "AAAA",
            "version": version,
        });
        let answer =
            send(&router, json("POST", MESSAGES, &stage.world.token(&stage.world.alice), &body)).await;
        match expected {
            Some(problem) => assert_eq!(answer.problem(), problem),
            None => assert_eq!(answer.status, 204, "{version}"),
        }
    }
    assert_eq!(stage.waiting(), [1]);
}
