//! The endpoints of the mailbox, in this process.

use axum::Router;
use keyglass_account::{
    api::{Base64, MESSAGES, MESSAGES_ACK, Messages},
    problem::Problem,
};
use serde_json::{Value, json};

use super::*;
use crate::mailbox::http::router;

fn routed(stage: &Stage) -> Router {
    router(stage.service.clone(), stage.receipts(), stage.world.tokens.clone())
}

fn message(id: &str, body: &[u8]) -> Value {
    let body = Base64::<100_000>::new(body.to_vec()).unwrap();
    json!({ "target": { "label": "Ym9i", "device": 1 }, "id": id.repeat(16), "body": body })
}

async fn post(stage: &Stage, body: &Value) -> Answer {
    let token = stage.world.token(&stage.world.alice);
    super::super::tests::send(&routed(stage), json("POST", MESSAGES, &token, body)).await
}

async fn read(stage: &Stage, actor: &Actor) -> Messages {
    send(&routed(stage), bare("GET", MESSAGES, &stage.world.token(actor))).await.json()
}

#[tokio::test]
async fn send_read_and_acknowledge() {
    let stage = Stage::new();
    for _ in 0..2 {
        let answer = post(&stage, &message("01", b"hello")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    }
    let messages = read(&stage, &stage.world.bob).await;
    assert_eq!((messages.messages.len(), messages.more), (1, false));
    assert_eq!(
        (messages.messages[0].body.as_bytes(), messages.messages[0].received),
        (&b"hello"[..], START.0)
    );
    assert_eq!(read(&stage, &stage.world.alice).await.messages, []);
    assert_eq!(read(&stage, &stage.world.bob).await, messages, "reading removes nothing");

    let ack = json!({ "ids": [messages.messages[0].id] });
    let by_alice = json("POST", MESSAGES_ACK, &stage.world.token(&stage.world.alice), &ack);
    assert_eq!(send(&routed(&stage), by_alice).await.status, 204);
    assert_eq!(read(&stage, &stage.world.bob).await, messages, "Alice has no such message");
    let by_bob = json("POST", MESSAGES_ACK, &stage.world.token(&stage.world.bob), &ack);
    assert_eq!(send(&routed(&stage), by_bob).await.status, 204);
    assert_eq!(read(&stage, &stage.world.bob).await.messages, []);
}

#[tokio::test]
async fn reading_on_after_a_message() {
    let stage = Stage::new();
    for id in ["01", "02", "03"] {
        assert_eq!(post(&stage, &message(id, b"hello")).await.status, 204);
    }
    let token = stage.world.token(&stage.world.bob);
    let after = |query: &str| bare("GET", &format!("{MESSAGES}{query}"), &token);
    let rest: Messages = send(&routed(&stage), after(&format!("?after={}", "01".repeat(16)))).await.json();
    assert_eq!(rest.messages.iter().map(|message| message.id.0[0]).collect::<Vec<_>>(), [2, 3]);
    let long = format!("?after={}&after={}", "01".repeat(16), "02".repeat(16));
    for query in ["?", "?after=", "?after=01", "?before=01", &"?after=0G".repeat(16), &long] {
        assert_eq!(send(&routed(&stage), after(query)).await.problem(), Problem::Malformed, "{query}");
    }
}

#[tokio::test]
async fn every_refusal_has_its_type() {
    let settings = Settings { max_messages: 1, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryMailbox::default()), settings);
    assert_eq!(post(&stage, &message("01", b"hello")).await.status, 204);
    let mut stranger = message("02", b"hello");
    stranger["target"]["device"] = json!(2);
    let mut extra = message("02", b"hello");
    extra["extra"] = json!(1);
    let mut empty = message("02", b"hello");
    empty["body"] = json!("");
    for (body, problem) in [
        (message("02", b"flood"), Problem::MailboxFull),
        (message("01", b"other"), Problem::MessageIdReused),
        (message("02", &[0; 65537]), Problem::MessageTooLarge),
        (stranger, Problem::UnknownDevice),
        (extra, Problem::MalformedJson),
        (empty, Problem::MalformedJson),
        (message("0G", b"hello"), Problem::MalformedJson),
        (json!({}), Problem::MalformedJson),
    ] {
        assert_eq!(post(&stage, &body).await.problem(), problem);
    }
    let full = post(&stage, &message("02", b"flood")).await;
    assert!(full.headers.contains_key("retry-after"));
    let large = raw("POST", MESSAGES, &stage.world.token(&stage.world.alice), vec![b' '; 128 * 1024 + 1]);
    assert_eq!(send(&routed(&stage), large).await.problem(), Problem::BodyTooLarge);
    assert_eq!(stage.waiting(), [1]);
}

#[tokio::test]
async fn everything_needs_a_token() {
    let stage = Stage::new();
    let router = routed(&stage);
    let signed = |method, path| stage.world.signed(&stage.world.bob, method, path, b"");
    for request in [
        bare("GET", MESSAGES, ""),
        bare("GET", MESSAGES, &signed("GET", MESSAGES)),
        json("POST", MESSAGES, "", &message("01", b"hello")),
        json("POST", MESSAGES_ACK, "Bearer AAAA", &json!({ "ids": [] })),
    ] {
        assert_eq!(send(&router, request).await.problem(), Problem::Unauthenticated);
    }
    let token = stage.world.token(&stage.world.bob);
    let mut forged = token.clone().into_bytes();
    let last = forged.len() - 5;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    assert_eq!(send(&router, bare("GET", MESSAGES, &forged)).await.problem(), Problem::BadToken);
    assert_eq!(stage.waiting(), [0; 0]);
}
