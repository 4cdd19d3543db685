//! What all JSON endpoints refuse: bodies that are too long or not theirs, and requests of nobody.

use std::time::Duration;

use keyglass_account::{
    api::{BUNDLES, MESSAGES, MESSAGES_ACK, PREKEYS, TOKENS},
    auth::{Credential, Request, Token},
    problem::Problem,
};
use keyglass_crypto::{secret::Secret, sign::SigningKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    support::{
        account::{Device, upload},
        api::{Asker, Call, JSON, OCTETS, to_json},
        now,
    },
};

/// The endpoints that take a JSON body, with a good one and the greatest length of one.
fn endpoints(bench: &Bench) -> Vec<(Method, &'static str, Value, usize)> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let target = json!({ "label": STANDARD.encode(&bench.account.label), "device": 1 });
    let id = "00112233445566778899aabbccddeeff";
    let send = json!({ "target": target, "id": id, "body": "AAAA" });
    vec![
        (Method::PUT, PREKEYS, json!({}), 768 << 10),
        (Method::POST, BUNDLES, json!({ "request_id": id, "targets": [target] }), 128 << 10),
        (Method::POST, MESSAGES, send, 128 << 10),
        (Method::POST, MESSAGES_ACK, json!({ "ids": [id] }), 128 << 10),
    ]
}

fn call<'a>(bench: &'a Bench, method: &Method, path: &'a str, body: Vec<u8>) -> Call<'a> {
    // Uploads are signed, the others carry a token.
    if path == PREKEYS {
        Call::signed(method.clone(), path, &bench.account.devices[0], body)
    } else {
        Call::with_token(method.clone(), path, &bench.tokens[0], body)
    }
}

#[tokio::test]
async fn bodies_that_are_not_the_endpoints_are_refused() {
    let bench = Bench::start().await;
    let before = bench.state().await;
    for (method, path, good, limit) in endpoints(&bench) {
        let ask = |body| call(&bench, &method, path, body);
        for length in [limit + 1, 3 << 20] {
            let mut long = to_json(&good);
            long.resize(length, b' ');
            bench.answers(&format!("{length} bytes"), ask(long), Problem::BodyTooLarge).await;
        }
        let text = to_json(&good);
        let malformed = Problem::MalformedJson;
        bench.answers("a body that is cut", ask(text[..text.len() - 1].to_vec()), malformed).await;
        bench.answers("a body and more", ask([&text[..], b"{}"].concat()), malformed).await;
        bench.answers("a number", ask(b"1".to_vec()), malformed).await;
        bench.answers("not UTF-8", ask(vec![0xff, 0xfe]), malformed).await;
        bench.answers("deep nesting", ask(b"[".repeat(100_000)), malformed).await;
        let mut more = good.clone();
        more["more"] = json!(1);
        bench.answers("an unknown member", ask(to_json(&more)), malformed).await;
        let typed = Call { media_type: OCTETS, ..ask(text.clone()) };
        bench.answers("another media type", typed, Problem::UnsupportedMediaType).await;
        let deleting = Call { method: Method::DELETE, ..ask(text) };
        bench.answers("another method", deleting, Problem::MethodNotAllowed).await;
    }
    let with_body = Call { media_type: JSON, ..call(&bench, &Method::GET, MESSAGES, b"{}".to_vec()) };
    bench.answers("a body where none belongs", with_body, Problem::MalformedJson).await;
    bench.unchanged("a body that is not the endpoint's", &before).await;
    bench.finish("bodies", 40);
}

#[tokio::test]
async fn members_out_of_their_bounds_are_refused() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let bench = Bench::start().await;
    let before = bench.state().await;
    let endpoints = endpoints(&bench);
    let bundles = |change: &dyn Fn(&mut Value)| {
        let mut body = endpoints[1].2.clone();
        change(&mut body);
        call(&bench, &Method::POST, BUNDLES, to_json(&body))
    };
    let malformed = Problem::MalformedJson;
    for (label, what) in [(Vec::new(), "an empty label"), (vec![b'x'; 256], "a label of 256 bytes")] {
        let change = |body: &mut Value| body["targets"][0]["label"] = json!(STANDARD.encode(&label));
        bench.answers(what, bundles(&change), malformed).await;
    }
    let one = endpoints[1].2["targets"][0].clone();
    for count in [0, 65, 1000] {
        let change = |body: &mut Value| body["targets"] = json!(vec![one.clone(); count]);
        bench.answers(&format!("{count} targets"), bundles(&change), malformed).await;
    }
    for id in [
        "",
        "00",
        "00112233445566778899AABBCCDDEEFF",
        "00112233445566778899aabbccddeeff00",
        "zz112233445566778899aabbccddeeff",
    ] {
        let change = |body: &mut Value| body["request_id"] = json!(id);
        bench.answers(&format!("the request id {id:?}"), bundles(&change), malformed).await;
    }
    for device in [json!(-1), json!(4_294_967_296_u64), json!("1"), json!(1.5)] {
        let change = |body: &mut Value| body["targets"][0]["device"] = device.clone();
        bench.answers(&format!("the device {device}"), bundles(&change), malformed).await;
    }
    for label in ["YmFk!", "YmFkIQ", "YmFkIR==", "YmFk\n"] {
        let change = |body: &mut Value| body["targets"][0]["label"] = json!(label);
        bench.answers(&format!("the base64 {label:?}"), bundles(&change), malformed).await;
    }
    let mut send = endpoints[2].2.clone();
    send["body"] = json!("");
    bench.answers("an empty message", call(&bench, &Method::POST, MESSAGES, to_json(&send)), malformed).await;
    let ids = json!({ "ids": vec!["00112233445566778899aabbccddeeff"; 1001] });
    bench.answers("1,001 ids", call(&bench, &Method::POST, MESSAGES_ACK, to_json(&ids)), malformed).await;
    bench.unchanged("a member out of its bounds", &before).await;
    bench.finish("members", 20);
}

/// A request of whomever.
fn ask<'a>(method: &Method, path: &'a str, body: &[u8], asker: Asker<'a>) -> Call<'a> {
    Call { method: method.clone(), path, asker, media_type: JSON, body: body.to_vec() }
}

#[tokio::test]
async fn requests_of_nobody_are_refused() {
    let bench = Bench::start().await;
    let before = bench.state().await;
    let device = &bench.account.devices[0];
    let calls = endpoints(&bench).into_iter().map(|(method, path, body, _)| (method, path, to_json(&body)));
    let bare = [
        (Method::POST, TOKENS, Vec::new()),
        (Method::GET, PREKEYS, Vec::new()),
        (Method::GET, MESSAGES, Vec::new()),
    ];
    for (method, path, body) in calls.chain(bare) {
        let signed = path == TOKENS || method == Method::PUT;
        let nobody = Problem::Unauthenticated;
        bench.answers("no header", ask(&method, path, &body, Asker::Nobody), nobody).await;
        for header in
            ["", "Bearer", "Bearer !", "Basic YTpi", "Keyglass-Device", "Keyglass-Device AAAA", "Bearer AAAA"]
        {
            bench
                .answers(
                    &format!("the header {header:?}"),
                    ask(&method, path, &body, Asker::Header(header)),
                    nobody,
                )
                .await;
        }
        if signed {
            for (what, header, problem) in bad_credentials(&bench, device, &method, path, &body) {
                bench.answers(what, ask(&method, path, &body, Asker::Header(&header)), problem).await;
            }
        } else {
            let (label, key) = (device.label.clone(), Secret::new([7; 32]));
            let forged = Token { label, device: 1, expires: now().saturating_add(Duration::from_secs(60)) };
            let forged = forged.to_header(&key, &bench.api.origin);
            bench
                .answers(
                    "a forged token",
                    ask(&method, path, &body, Asker::Header(&forged)),
                    Problem::BadToken,
                )
                .await;
            let header = bench.api.credential(&method, path, device, &body).to_header();
            bench
                .answers("a signature for a token", ask(&method, path, &body, Asker::Header(&header)), nobody)
                .await;
        }
    }
    bench.unchanged("a request of nobody", &before).await;
    // A signed request is taken once.
    let body = to_json(&upload(None, &[&device.batch(4, 500, 1)]));
    let header = bench.api.credential(&Method::PUT, PREKEYS, device, &body).to_header();
    let again = || Call::with_token(Method::PUT, PREKEYS, &header, body.clone());
    assert_eq!(bench.api.call(again()).await.status, 200);
    bench.refuses("a request that was received before", again(), Problem::Replayed).await;
    bench.finish("requests of nobody", 60);
}

/// Signatures over this request that do not count.
fn bad_credentials(
    bench: &Bench,
    device: &Device,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Vec<(&'static str, String, Problem)> {
    let origin = bench.api.origin.as_str();
    let request = Request { origin, method: method.as_str(), path, body };
    let (label, key, minutes) = (device.label.as_slice(), &device.signing_key, Duration::from_secs(360));
    let sign = |request: &Request<'_>, label, device, key, time| {
        Credential::sign(request, label, device, key, time, rand::random()).to_header()
    };
    let other = SigningKey::from_seed(&rand::random());
    let old = keyglass_account::time::UnixMillis(now().0 - 360_000);
    let bad = Problem::BadRequestSignature;
    vec![
        ("another key", sign(&request, label, 1, &other, now()), bad),
        ("another device", sign(&request, label, 2, key, now()), bad),
        ("no such device", sign(&request, label, 3, key, now()), bad),
        ("no such account", sign(&request, b"nobody", 1, key, now()), bad),
        ("another origin", sign(&Request { origin: "x", ..request }, label, 1, key, now()), bad),
        ("another method", sign(&Request { method: "GET", ..request }, label, 1, key, now()), bad),
        ("another path", sign(&Request { path: "/v1/other", ..request }, label, 1, key, now()), bad),
        ("another body", sign(&Request { body: b"other", ..request }, label, 1, key, now()), bad),
        ("too long ago", sign(&request, label, 1, key, old), Problem::OutsideWindow),
        ("the future", sign(&request, label, 1, key, now().saturating_add(minutes)), Problem::OutsideWindow),
        ("an empty label", sign(&request, b"", 1, key, now()), Problem::Unauthenticated),
    ]
}
