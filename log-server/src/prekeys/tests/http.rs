//! The endpoints of prekeys, in this process.

use axum::Router;
use keyglass_account::{
    api::{BUNDLES, Base64, BundleResult, Bundles, FetchBundles, Id128, PREKEYS, PreKeyStatus, Target},
    prekey::PreKeyBundle,
    problem::Problem,
};
use serde_json::{Value, json};

use super::{material::*, *};
use crate::prekeys::http::router;

fn routed(stage: &Stage) -> Router {
    router(stage.service.clone(), stage.world.tokens.clone())
}

async fn put(stage: &Stage, actor: &Actor, upload: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(upload).unwrap();
    let header = stage.world.signed(actor, "PUT", PREKEYS, &body);
    send(&routed(stage), raw("PUT", PREKEYS, &header, body)).await
}

async fn post(stage: &Stage, body: &Value) -> Answer {
    let token = stage.world.token(&stage.world.alice);
    send(&routed(stage), json("POST", BUNDLES, &token, body)).await
}

fn target(actor: &Actor) -> Target {
    Target { label: Base64::new(actor.name.label.clone()).unwrap(), device: actor.name.device }
}

#[tokio::test]
async fn upload_status_and_fetch() {
    let stage = Stage::new();
    let bob = &stage.world.bob;
    let uploaded = upload(Some(&signed_prekey(bob, 1, 0)), &[&batch(bob, 1, 1, 100)]);
    let status: PreKeyStatus = put(&stage, bob, &uploaded).await.json();
    assert_eq!(status.one_time, 100);
    let answer = send(&routed(&stage), bare("GET", PREKEYS, &stage.world.token(bob))).await;
    assert_eq!(answer.json::<PreKeyStatus>(), status);

    let request = FetchBundles {
        request_id: Id128([1; 16]),
        targets: vec![target(bob), target(&Actor::new("bob", 2)), target(&stage.world.alice)],
        accounts: Vec::new(),
    };
    let answer = post(&stage, &serde_json::to_value(&request).unwrap()).await;
    let bundles = answer.json::<Bundles>().bundles;
    let targets: Vec<_> = bundles.iter().map(|bundle| bundle.target.clone()).collect();
    assert_eq!(targets, request.targets);
    let BundleResult::Bundle(encoded) = &bundles[0].result else { panic!() };
    let bundle = PreKeyBundle::decode(encoded.as_bytes()).unwrap();
    let now = stage.world.clock.now();
    let verified = bundle.verify(ORIGIN, b"bob", &bob.device(), now).unwrap();
    assert_eq!(verified.one_time().unwrap().prekey.id, 1);
    for (result, problem) in [(1, Problem::UnknownDevice), (2, Problem::NoSignedPreKey)] {
        let BundleResult::Problem(details) = &bundles[result].result else { panic!() };
        assert_eq!(details.problem(), Some(problem));
    }
    // The same again is the same, byte for byte.
    assert_eq!(post(&stage, &serde_json::to_value(&request).unwrap()).await.body, answer.body);
}

#[tokio::test]
async fn a_label_alone_stands_for_all_devices_of_its_account() {
    let stage = Stage::stocked(5);
    let (bob, second) = (&stage.world.bob, Actor::new("bob", 2));
    stage.world.accounts.publish(&second);
    let pool = upload(Some(&signed_prekey(&second, 1, 0)), &[&batch(&second, 1, 1, 5)]);
    stage.service.upload(&caller(&second), &pool).unwrap();
    let id = "07".repeat(16);
    let body = json!({ "request_id": id, "accounts": ["Ym9i", "bm9ib2R5"] });
    let answer = post(&stage, &body).await;
    let Bundles { bundles, unknown } = answer.json();
    assert_eq!(
        bundles.iter().map(|bundle| bundle.target.clone()).collect::<Vec<_>>(),
        [target(bob), target(&second)]
    );
    assert_eq!(unknown, [Base64::new(b"nobody".to_vec()).unwrap()]);
    assert!(bundles.iter().all(|bundle| matches!(bundle.result, BundleResult::Bundle(_))));
    // The same again, by label or by device, is the same, and burns nothing.
    assert_eq!(post(&stage, &body).await.body, answer.body);
    let named = json!({ "request_id": id, "targets": [target(&second), target(bob), target(bob)] });
    let again = post(&stage, &named).await.json::<Bundles>().bundles;
    assert_eq!([&again[1], &again[0], &again[2]], [&bundles[0], &bundles[1], &bundles[0]]);
    assert_eq!(stage.service.status(&bob.name).unwrap().one_time, 4);

    for device in 3..=258 {
        stage.world.accounts.publish(&Actor::new("bob", device));
    }
    let body = json!({ "request_id": id, "accounts": ["Ym9i"] });
    assert_eq!(post(&stage, &body).await.problem(), Problem::TooManyDevices);
}

#[tokio::test]
async fn every_refused_upload_has_its_type() {
    let stage = Stage::stocked(5);
    let bob = &stage.world.bob;
    let expired = signed_prekey_living(bob, 2, 0, keyglass_tlog::time::UnixMillis(START.0 - 1), START);
    let long = batch_living(bob, 2, 6, 1, keyglass_tlog::time::UnixMillis(START.0 + 200 * DAY));
    let mut low_order = signed_prekey(bob, 2, 0).encode();
    low_order[10..42].fill(0);
    let mut non_canonical = low_order.clone();
    non_canonical[10..42].fill(0xff);
    let bytes = |bytes| json!({ "signed_prekey": Base64::<126>::new(bytes).unwrap() });
    let good = serde_json::to_value(upload(Some(&signed_prekey(bob, 2, 1)), &[])).unwrap();
    assert_eq!(put(&stage, bob, &good).await.status, 200);
    let value = |uploaded| serde_json::to_value(uploaded).unwrap();
    for (uploaded, problem) in [
        (value(upload(Some(&expired), &[])), Problem::SignedPreKeyExpired),
        (value(upload(None, &[&long])), Problem::PreKeyLifetime),
        (value(upload(Some(&signed_prekey(bob, 1, 1)), &[])), Problem::PreKeyIdReused),
        (value(upload(None, &[&batch(bob, 1, 9, 1)])), Problem::PreKeyIdReused),
        (value(upload(None, &[&batch(bob, 2, 5, 1)])), Problem::PreKeyIdReused),
        (value(upload(Some(&signed_prekey(bob, 3, 0)), &[])), Problem::FloorLowered),
        (value(upload(Some(&signed_prekey(bob, 3, 9)), &[&batch(bob, 8, 6, 1)])), Problem::BelowFloor),
        (value(upload(Some(&signed_prekey(&stage.world.alice, 3, 1)), &[])), Problem::PreKeySignature),
        (value(upload(None, &[&batch(&stage.world.alice, 2, 6, 1)])), Problem::PreKeySignature),
        (value(upload(None, &[&batch(&Actor::new("bob", 2), 2, 6, 1)])), Problem::PreKeySignature),
        (bytes(vec![1; 5]), Problem::PreKeyMalformed),
        (bytes(low_order), Problem::LowOrderKey),
        (bytes(non_canonical), Problem::NonCanonicalKey),
        (bytes(vec![1; 126]), Problem::PreKeyLifetime),
        (json!({ "batches": ["AQ==", "AQ==", "AQ==", "AQ==", "AQ=="] }), Problem::MalformedJson),
        (json!({ "extra": 1 }), Problem::MalformedJson),
        (json!(""), Problem::MalformedJson),
    ] {
        let before = stage.service.status(&bob.name).unwrap();
        let answer = put(&stage, bob, &uploaded).await;
        assert_eq!(answer.problem(), problem, "{uploaded}");
        assert_eq!(stage.service.status(&bob.name).unwrap(), before);
    }
}

#[tokio::test]
async fn uploads_need_a_signature_and_the_rest_a_token() {
    let stage = Stage::stocked(5);
    let (alice, bob) = (&stage.world.alice, &stage.world.bob);
    let body = serde_json::to_vec(&upload(Some(&signed_prekey(bob, 2, 0)), &[])).unwrap();
    let router = routed(&stage);
    let with_token = raw("PUT", PREKEYS, &stage.world.token(bob), body.clone());
    assert_eq!(send(&router, with_token).await.problem(), Problem::Unauthenticated);
    // Signed for other contents.
    let header = stage.world.signed(bob, "PUT", PREKEYS, b"{}");
    assert_eq!(
        send(&router, raw("PUT", PREKEYS, &header, body.clone())).await.problem(),
        Problem::BadRequestSignature
    );
    // Signed by Alice: then it is her pool, and the prekey is not hers.
    let header = stage.world.signed(alice, "PUT", PREKEYS, &body);
    assert_eq!(send(&router, raw("PUT", PREKEYS, &header, body)).await.problem(), Problem::PreKeySignature);
    let header = stage.world.signed(bob, "GET", PREKEYS, b"");
    assert_eq!(send(&router, bare("GET", PREKEYS, &header)).await.problem(), Problem::Unauthenticated);
    let token = stage.world.token(bob);
    stage.world.clock.advance(HOUR);
    assert_eq!(send(&router, bare("GET", PREKEYS, &token)).await.problem(), Problem::TokenExpired);
    let token = stage.world.token(bob);
    stage.world.accounts.remove(bob);
    assert_eq!(send(&router, bare("GET", PREKEYS, &token)).await.problem(), Problem::BadToken);
}

#[tokio::test]
async fn every_refused_fetch_has_its_type() {
    let stage = Stage::stocked(5);
    let token = stage.world.token(&stage.world.alice);
    let router = routed(&stage);
    let id = "00".repeat(16);
    let bob = json!({ "label": "Ym9i", "device": 1 });
    for body in [
        json!({}),
        json!({ "request_id": id }),
        json!({ "request_id": id, "targets": [] }),
        json!({ "request_id": "00", "targets": [bob] }),
        json!({ "request_id": id.replace('0', "A"), "targets": [bob] }),
        json!({ "request_id": id, "targets": [{ "label": "", "device": 1 }] }),
        json!({ "request_id": id, "targets": [{ "label": "eA==".repeat(100), "device": 1 }] }),
        json!({ "request_id": id, "targets": [{ "label": "Ym9i", "device": -1 }] }),
        json!({ "request_id": id, "targets": [{ "label": "Ym9i", "device": 4_294_967_296_u64 }] }),
        json!({ "request_id": id, "targets": vec![bob.clone(); 65] }),
        json!({ "request_id": id, "targets": [bob], "extra": 1 }),
    ] {
        assert_eq!(post(&stage, &body).await.problem(), Problem::MalformedJson, "{body}");
    }
    let large = raw("POST", BUNDLES, &token, vec![b' '; 128 * 1024 + 1]);
    assert_eq!(send(&router, large).await.problem(), Problem::BodyTooLarge);
    let mut no_type = json("POST", BUNDLES, &token, &json!({ "request_id": id, "targets": [bob] }));
    no_type.headers_mut().remove("content-type");
    assert_eq!(send(&router, no_type).await.problem(), Problem::UnsupportedMediaType);
    let mut other_type = json("POST", BUNDLES, &token, &json!({ "request_id": id, "targets": [bob] }));
    other_type.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(send(&router, other_type).await.problem(), Problem::UnsupportedMediaType);
    assert_eq!(stage.service.status(&stage.world.bob.name).unwrap().one_time, 5, "none of these took a key");
}

#[tokio::test]
async fn a_quota_names_itself_within_the_result() {
    let quota = Quota { count: 1, period: Duration::from_secs(3600) };
    let settings = Settings { per_requester: quota, ..Settings::default() };
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), settings);
    stage.stock(5);
    let body =
        |id: &str| json!({ "request_id": id.repeat(16), "targets": [{ "label": "Ym9i", "device": 1 }] });
    post(&stage, &body("01")).await.json::<Bundles>();
    let bundles = post(&stage, &body("02")).await.json::<Bundles>().bundles;
    let BundleResult::Problem(details) = &bundles[0].result else { panic!() };
    assert_eq!((details.problem(), details.status), (Some(Problem::RequesterQuota), Some(429)));
}

#[tokio::test]
async fn a_store_that_fails_says_nothing_of_itself() {
    let stage = Stage::stocked(5);
    let token = stage.world.token(&stage.world.bob);
    stage.world.accounts.fail(true);
    let answer = send(&routed(&stage), bare("GET", PREKEYS, &token)).await;
    assert_eq!(answer.problem(), Problem::Internal);
    assert!(!String::from_utf8(answer.body).unwrap().contains("planned"));
}

#[tokio::test]
async fn many_tasks_get_each_key_at_most_once() {
    let stage = Stage::with(Arc::new(MemoryPreKeys::default()), unlimited());
    stage.stock(50);
    let router = routed(&stage);
    let token = stage.world.token(&stage.world.alice);
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..80_u8 {
        let body =
            json!({ "request_id": hex::encode([id; 16]), "targets": [{ "label": "Ym9i", "device": 1 }] });
        let (router, request) = (router.clone(), json("POST", BUNDLES, &token, &body));
        tasks.spawn(async move {
            let bundles = send(&router, request).await.json::<Bundles>().bundles;
            let BundleResult::Bundle(encoded) = &bundles[0].result else { panic!() };
            PreKeyBundle::decode(encoded.as_bytes()).unwrap().one_time.map(|entry| entry.prekey.id)
        });
    }
    let keys = tasks.join_all().await;
    let mut handed_out: Vec<u32> = keys.into_iter().flatten().collect();
    handed_out.sort_unstable();
    assert_eq!(handed_out, (1..=50).collect::<Vec<_>>());
}
