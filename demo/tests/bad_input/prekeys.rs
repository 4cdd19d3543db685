//! Uploads of prekeys, and fetches.

use std::time::Duration;

use keyglass_account::{
    api::{
        BUNDLES, Base64, BundleResult, Bundles, FetchBundles, Id128, PREKEYS, PreKeyStatus, Target,
        UploadPreKeys,
    },
    prekey::{MAX_LEAVES, PreKeyBatch, SignedPreKey},
    problem::Problem,
    time::UnixMillis,
};
use reqwest::Method;

use crate::{
    bench::{BATCH, Bench},
    support::{
        account::{Account, Device, upload},
        api::{Call, to_json},
        now,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn refused(bench: &Bench, what: &str, upload: &UploadPreKeys, problem: Problem) {
    let device = &bench.account.devices[0];
    bench.refuses(what, Call::signed(Method::PUT, PREKEYS, device, to_json(upload)), problem).await;
}

async fn signed_refused(bench: &Bench, what: &str, prekey: &SignedPreKey, problem: Problem) {
    refused(bench, what, &upload(Some(prekey), &[]), problem).await;
    // With it, a good batch is not taken either.
    let batch = bench.account.devices[0].batch(4, 500, 1);
    refused(bench, &format!("{what}, with a good batch"), &upload(Some(prekey), &[&batch]), problem).await;
}

async fn batch_refused(bench: &Bench, what: &str, batch: &PreKeyBatch, problem: Problem) {
    encoded_batch_refused(bench, what, batch.encode(), problem).await;
}

async fn encoded_batch_refused(bench: &Bench, what: &str, batch: Vec<u8>, problem: Problem) {
    let good = bench.account.devices[0].signed_prekey(9, 3);
    let mut upload = upload(None, &[]);
    upload.batches.push(Base64::new(batch).unwrap());
    refused(bench, what, &upload, problem).await;
    // With it, a good signed prekey is not taken either.
    upload.signed_prekey = Some(Base64::new(good.encode()).unwrap());
    refused(bench, &format!("{what}, with a good signed prekey"), &upload, problem).await;
}

fn before(span: Duration) -> UnixMillis {
    UnixMillis(now().0 - u64::try_from(span.as_millis()).unwrap())
}

fn after(span: Duration) -> UnixMillis {
    now().saturating_add(span)
}

#[tokio::test]
async fn bad_signed_prekeys_are_refused() {
    let bench = Bench::start().await;
    let device = &bench.account.devices[0];
    let expired = device.signed_prekey_until(6, 3, before(2 * DAY), before(SECOND));
    signed_refused(&bench, "an expired signed prekey", &expired, Problem::SignedPreKeyExpired).await;
    let long = device.signed_prekey_until(6, 3, now(), after(121 * DAY));
    signed_refused(&bench, "a signed prekey for 121 days", &long, Problem::PreKeyLifetime).await;
    let future = device.signed_prekey_until(6, 3, after(2 * DAY), after(3 * DAY));
    signed_refused(&bench, "a signed prekey from the future", &future, Problem::PreKeyLifetime).await;
    let mut backwards = device.signed_prekey(6, 3);
    core::mem::swap(&mut backwards.created, &mut backwards.expires);
    signed_refused(&bench, "a signed prekey that expires first", &backwards, Problem::PreKeyLifetime).await;

    for id in [0, 4, 5] {
        let reused = device.signed_prekey(id, 3);
        signed_refused(&bench, &format!("signed prekey id {id}"), &reused, Problem::PreKeyIdReused).await;
    }
    signed_refused(&bench, "a lowered floor", &device.signed_prekey(6, 2), Problem::FloorLowered).await;

    let mut flipped = device.signed_prekey(6, 3);
    flipped.signature.0[0] ^= 1;
    signed_refused(&bench, "a flipped signature", &flipped, Problem::PreKeySignature).await;
    let sibling = bench.account.devices[1].signed_prekey(6, 3);
    signed_refused(&bench, "another device's signed prekey", &sibling, Problem::PreKeySignature).await;
    let other = Account::new("another.example/log", "bad.input@example.org", 1);
    let foreign =
        Device { signing_key: copy(&device.signing_key), id: 1, ..other.devices.into_iter().next().unwrap() };
    let foreign = foreign.signed_prekey(6, 3);
    signed_refused(&bench, "a signed prekey of another log", &foreign, Problem::PreKeySignature).await;

    let good = device.signed_prekey(6, 3).encode();
    for (what, key, problem) in bad_keys() {
        let bad = [&good[..10], &key, &good[42..]].concat();
        let bad =
            UploadPreKeys { signed_prekey: Some(Base64::new(bad).unwrap()), ..UploadPreKeys::default() };
        refused(&bench, &format!("a signed prekey with {what}"), &bad, problem).await;
    }
    let cut = Base64::new(good[..good.len() - 1].to_vec()).unwrap();
    let cut = UploadPreKeys { signed_prekey: Some(cut), ..UploadPreKeys::default() };
    refused(&bench, "a signed prekey that is cut", &cut, Problem::PreKeyMalformed).await;
    bench.finish("signed prekeys", 25);
}

fn copy(key: &keyglass_crypto::sign::SigningKey) -> keyglass_crypto::sign::SigningKey {
    keyglass_crypto::sign::SigningKey::from_seed(key.to_seed().expose())
}

/// X25519 keys that are refused.
fn bad_keys() -> [(&'static str, [u8; 32], Problem); 3] {
    let mut top_bit = [9; 32];
    top_bit[31] |= 0x80;
    [
        ("a key of order 2", [0; 32], Problem::LowOrderKey),
        (
            "the key p",
            {
                let mut p = [0xff; 32];
                (p[0], p[31]) = (0xed, 0x7f);
                p
            },
            Problem::NonCanonicalKey,
        ),
        ("the top bit", top_bit, Problem::NonCanonicalKey),
    ]
}

#[tokio::test]
async fn bad_batches_are_refused() {
    let bench = Bench::start().await;
    let device = &bench.account.devices[0];
    let reused = Problem::PreKeyIdReused;
    batch_refused(&bench, "the batch's number again", &device.batch(3, 500, 5), reused).await;
    batch_refused(&bench, "a lower number", &device.batch(2, 500, 5), reused).await;
    batch_refused(&bench, "the last id again", &device.batch(4, 100 + BATCH - 1, 5), reused).await;
    batch_refused(&bench, "the first id again", &device.batch(4, 100, 5), reused).await;
    batch_refused(&bench, "lower ids", &device.batch(4, 0, 5), reused).await;
    batch_refused(&bench, "the last number there is", &device.batch(u32::MAX, 500, 1), reused).await;
    let last = device.batch_of(4, &[u32::MAX], after(DAY));
    batch_refused(&bench, "the last id there is", &last, reused).await;
    let expired = device.batch_until(4, 500, 5, before(SECOND));
    batch_refused(&bench, "an expired batch", &expired, Problem::BatchExpired).await;
    let long = device.batch_until(4, 500, 5, after(121 * DAY));
    batch_refused(&bench, "a batch for 121 days", &long, Problem::PreKeyLifetime).await;
    let sibling = bench.account.devices[1].batch(4, 500, 5);
    batch_refused(&bench, "another device's batch", &sibling, Problem::PreKeySignature).await;

    let (good, header) = (device.batch(4, 500, 5).encode(), 116);
    let leaf = |index: usize| header + 37 * index..header + 37 * (index + 1);
    let mut flipped = good.clone();
    flipped[header - 1] ^= 1;
    encoded_batch_refused(&bench, "a flipped signature", flipped, Problem::PreKeySignature).await;
    let doubled = [&good[..leaf(1).start], &good[leaf(0)], &good[leaf(1).end..]].concat();
    encoded_batch_refused(&bench, "an id twice in a batch", doubled, reused).await;
    let swapped = [&good[..header], &good[leaf(1)], &good[leaf(0)], &good[leaf(1).end..]].concat();
    encoded_batch_refused(&bench, "ids that descend", swapped, reused).await;
    for (what, key, problem) in bad_keys() {
        let bad = [&good[..leaf(2).start + 5], &key, &good[leaf(2).end..]].concat();
        encoded_batch_refused(&bench, &format!("a batch with {what}"), bad, problem).await;
    }
    let malformed = Problem::PreKeyMalformed;
    let mut other_key = good.clone();
    other_key[leaf(2).start + 7] ^= 1;
    encoded_batch_refused(&bench, "another key than was signed", other_key, malformed).await;
    encoded_batch_refused(&bench, "a batch that is cut", good[..good.len() - 1].to_vec(), malformed).await;
    encoded_batch_refused(&bench, "a batch and a byte", [&good[..], b"\0"].concat(), malformed).await;
    for count in [0, MAX_LEAVES + 1] {
        let mut counted = good.clone();
        counted[10..12].copy_from_slice(&count.to_be_bytes());
        encoded_batch_refused(&bench, &format!("a batch of {count}"), counted, malformed).await;
    }
    bench.finish("batches", 40);
}

#[tokio::test]
async fn floods_of_prekeys_are_refused() {
    let bench = Bench::start().await;
    let device = &bench.account.devices[0];
    // Batches below a floor that comes with them, and a pool that is full, are refused as a whole.
    let raised = device.signed_prekey(6, 10);
    let below = upload(Some(&raised), &[&device.batch(9, 500, 1)]);
    refused(&bench, "a batch below the floor", &below, Problem::BelowFloor).await;
    let most = u32::from(MAX_LEAVES);
    let (one, two) = (device.batch(4, 1000, most), device.batch(5, 3000, most));
    let full = upload(None, &[&one, &two]);
    refused(&bench, "more than the pool holds", &full, Problem::PoolFull).await;
    let five: Vec<PreKeyBatch> = (4..9).map(|n| device.batch(n, n * 100, 1)).collect();
    let five = upload(None, &five.iter().collect::<Vec<_>>());
    refused(&bench, "five batches", &five, Problem::MalformedJson).await;

    let mut newcomer = Account::new(&bench.api.origin, "newcomer", 1);
    crate::bench::publish(&bench.api, &newcomer).await;
    let newcomer = newcomer.devices.remove(0);
    let without = to_json(&upload(None, &[&newcomer.batch(0, 0, 1)]));
    let call = Call::signed(Method::PUT, PREKEYS, &newcomer, without);
    bench.refuses("a first upload without a signed prekey", call, Problem::NoSignedPreKey).await;

    // 200 a day.
    let mut last = None;
    for id in 0..250 {
        let body = to_json(&upload(Some(&newcomer.signed_prekey(id, 0)), &[]));
        let answer = bench.api.call(Call::signed(Method::PUT, PREKEYS, &newcomer, body)).await;
        last = Some(answer.clone());
        if answer.status != 200 {
            bench.check("the quota of uploads is told", answer.problem() == Some(Problem::UploadQuota));
            bench.check("when to come back is told", answer.retry_after.is_some());
            break;
        }
    }
    bench.check("uploads have a quota", last.is_some_and(|answer| answer.status == 429));
    bench.finish("floods of prekeys", 6);
}

#[tokio::test]
async fn fetches_of_what_is_not_there_are_told_apart() {
    let bench = Bench::start().await;
    let mut bare = Account::new(&bench.api.origin, "bare", 1);
    crate::bench::publish(&bench.api, &bare).await;
    bare.label.push(b'!');
    let name = |label: &[u8], device| Target { label: Base64::new(label.to_vec()).unwrap(), device };
    let targets = vec![
        name(b"nobody", 1),
        name(&bench.account.label, 3),
        name(&bench.account.label, 0),
        name(b"bare", 1),
        name(&bare.label, 1),
    ];
    let before = bench.state().await;
    let fetch =
        FetchBundles { request_id: Id128(rand::random()), targets: targets.clone(), accounts: Vec::new() };
    let answer =
        bench.api.call(Call::with_token(Method::POST, BUNDLES, &bench.tokens[0], to_json(&fetch))).await;
    let results: Vec<Option<Problem>> = answer
        .json::<Bundles>()
        .bundles
        .into_iter()
        .zip(targets)
        .map(|(bundle, target)| match bundle.result {
            BundleResult::Problem(details) if bundle.target == target => details.problem(),
            _ => None,
        })
        .collect();
    let (unknown, none) = (Some(Problem::UnknownDevice), Some(Problem::NoSignedPreKey));
    bench.check(
        &format!("targets that are not there: {results:?}"),
        results == [unknown, unknown, unknown, none, unknown],
    );
    bench.unchanged("a fetch of what is not there", &before).await;

    // One account gets at most 32 one-time prekeys of a device in an hour, and bundles without one after that.
    let device = &bench.account.devices[0];
    let more = upload(None, &[&device.batch(4, 1000, 100)]);
    let answer = bench.api.call(Call::signed(Method::PUT, PREKEYS, device, to_json(&more))).await;
    let left = answer.json::<PreKeyStatus>().one_time;
    for _ in 0..40 {
        let fetch = FetchBundles {
            request_id: Id128(rand::random()),
            targets: vec![name(&device.label, 1)],
            accounts: Vec::new(),
        };
        let call = Call::with_token(Method::POST, BUNDLES, &bench.tokens[1], to_json(&fetch));
        let answer = bench.api.call(call).await.json::<Bundles>();
        bench.check("a bundle for everybody", matches!(answer.bundles[0].result, BundleResult::Bundle(_)));
    }
    let status = bench.api.call(Call::with_token(Method::GET, PREKEYS, &bench.tokens[0], Vec::new())).await;
    let gone = left - status.json::<PreKeyStatus>().one_time;
    bench.check(&format!("one account drained {gone} one-time prekeys"), gone == 32);
    bench.finish("fetches", 40);
}
