//! Signed requests, their nonces, and tokens.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use keyglass_account::{
    api::{TOKENS, TokenIssued},
    auth::AuthError,
    problem::Problem,
};
use keyglass_tlog::time::UnixMillis;

use super::{memory::MemoryNonces, rocksdb::RocksNonces, *};

pub(crate) mod cast;

use cast::*;

fn sign_in(world: &World, header: &str) -> Result<Caller, AuthenticationError> {
    world.tokens.authenticate_signed(Some(header), "POST", "/v1/tokens", b"")
}

#[test]
fn a_signed_request_is_taken_once() {
    let world = World::new();
    let header = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    let caller = sign_in(&world, &header).unwrap();
    assert_eq!((caller.name, caller.device), (world.alice.name.clone(), world.alice.device()));
    assert_eq!(sign_in(&world, &header).unwrap_err(), Refused::Replayed.into());
    let another = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    assert!(sign_in(&world, &another).is_ok());
}

#[test]
fn a_replay_is_refused_as_long_as_its_time_is_in_the_window() {
    let world = World::new();
    // Signed by a clock that is 5 minutes ahead: it stays in the window for 10.
    world.clock.advance(300_000);
    let header = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    world.clock.rewind(300_000);
    sign_in(&world, &header).unwrap();
    for _ in 0..10 {
        world.clock.advance(60_000);
        // Other requests make the guard forget what is too old.
        sign_in(&world, &world.signed(&world.bob, "POST", "/v1/tokens", b"")).unwrap();
        assert_eq!(sign_in(&world, &header).unwrap_err(), Refused::Replayed.into());
    }
    world.clock.advance(1);
    assert_eq!(sign_in(&world, &header).unwrap_err(), AuthError::OutsideWindow.into());
}

#[test]
fn nonces_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new();
    let header = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    let start = || {
        let nonces = Arc::new(RocksNonces::new(open_db(directory.path())));
        tokens(&world.accounts, nonces, &world.clock, Settings::default())
    };
    let authenticate = |service: &Service| {
        service.authenticate_signed(Some(&header), "POST", "/v1/tokens", b"").map(|caller| caller.name)
    };
    assert_eq!(authenticate(&start()), Ok(world.alice.name.clone()));
    assert_eq!(authenticate(&start()), Err(Refused::Replayed.into()));
}

#[test]
fn only_published_devices_sign_in() {
    let world = World::new();
    let stranger = Actor::new("mallory", 1);
    let header = world.signed(&stranger, "POST", "/v1/tokens", b"");
    assert_eq!(sign_in(&world, &header).unwrap_err(), AuthenticationError::UnknownDevice);
    // Mallory signs in Alice's name.
    let mut imposter = stranger;
    imposter.name = world.alice.name.clone();
    let header = world.signed(&imposter, "POST", "/v1/tokens", b"");
    assert_eq!(sign_in(&world, &header).unwrap_err(), AuthError::BadSignature.into());
    assert_eq!(world.nonces.load().unwrap(), [], "refused requests are not remembered");
}

#[test]
fn nobody_fills_the_memory() {
    let settings = Settings { remembered: 5, remembered_per_device: 3, ..Settings::default() };
    let world = World::with(settings);
    let sign = |actor: &Actor| sign_in(&world, &world.signed(actor, "POST", "/v1/tokens", b""));
    for _ in 0..3 {
        sign(&world.alice).unwrap();
    }
    assert_eq!(sign(&world.alice).unwrap_err(), Refused::TooManyOfDevice.into());
    sign(&world.bob).unwrap();
    sign(&world.bob).unwrap();
    assert_eq!(sign(&world.bob).unwrap_err(), Refused::TooMany.into());
    // It goes on when the first have left the window.
    world.clock.advance(300_001);
    sign(&world.alice).unwrap();
    assert_eq!(world.nonces.load().unwrap().len(), 1);
}

#[test]
fn a_store_that_fails_admits_nobody() {
    struct Failing;
    impl NonceStore for Failing {
        fn load(&self) -> Result<Vec<Nonce>, StoreError> {
            Ok(Vec::new())
        }
        fn add(&self, _: &Nonce, _: UnixMillis) -> Result<(), StoreError> {
            Err(StoreError::Backend("planned fault".to_owned()))
        }
    }
    let world = World::new();
    let service = tokens(&world.accounts, Arc::new(Failing), &world.clock, Settings::default());
    let header = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    let error = service.authenticate_signed(Some(&header), "POST", "/v1/tokens", b"").unwrap_err();
    assert!(matches!(error, AuthenticationError::Refused(Refused::Store(_))));
    world.accounts.fail(true);
    assert!(matches!(
        world.tokens.authenticate_token(Some(&world.token(&world.alice))),
        Err(AuthenticationError::Store(_))
    ));
}

#[test]
fn concurrent_replays_are_taken_once() {
    let world = World::new();
    let header = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    let taken: usize = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..8).map(|_| scope.spawn(|| usize::from(sign_in(&world, &header).is_ok()))).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).sum()
    });
    assert_eq!(taken, 1);
}

#[test]
fn tokens_expire_and_die_with_their_device() {
    let world = World::new();
    let token = world.token(&world.alice);
    let authenticate = || world.tokens.authenticate_token(Some(&token)).map(|caller| caller.name);
    assert_eq!(authenticate(), Ok(world.alice.name.clone()));
    world.clock.advance(HOUR - 1);
    assert_eq!(authenticate(), Ok(world.alice.name.clone()));
    world.accounts.remove(&world.alice);
    assert_eq!(authenticate(), Err(AuthenticationError::DeviceGone));
    world.accounts.publish(&world.alice);
    world.clock.advance(1);
    assert_eq!(authenticate(), Err(AuthError::TokenExpired.into()));
    assert_eq!(world.tokens.authenticate_token(None).unwrap_err(), AuthenticationError::Missing);
}

/// What every store of nonces must do.
fn conformance(store: &dyn NonceStore) {
    let nonce = |time: u64, byte: u8| Nonce { time: UnixMillis(time), device: [byte; 16], nonce: [byte; 16] };
    assert_eq!(store.load().unwrap(), []);
    store.add(&nonce(300, 1), UnixMillis(0)).unwrap();
    store.add(&nonce(100, 2), UnixMillis(0)).unwrap();
    store.add(&nonce(200, 3), UnixMillis(0)).unwrap();
    store.add(&nonce(200, 3), UnixMillis(0)).unwrap();
    let all = |store: &dyn NonceStore| {
        let mut all = store.load().unwrap();
        all.sort_unstable();
        all
    };
    assert_eq!(all(store), [nonce(100, 2), nonce(200, 3), nonce(300, 1)]);
    store.add(&nonce(400, 4), UnixMillis(200)).unwrap();
    assert_eq!(all(store), [nonce(200, 3), nonce(300, 1), nonce(400, 4)]);
    store.add(&nonce(u64::MAX, 5), UnixMillis(u64::MAX)).unwrap();
    assert_eq!(all(store), [nonce(u64::MAX, 5)]);
}

#[test]
fn stores_conform() {
    conformance(&MemoryNonces::default());
    let directory = tempfile::tempdir().unwrap();
    conformance(&RocksNonces::new(open_db(directory.path())));
    // And again after the database was closed.
    let reopened = RocksNonces::new(open_db(directory.path()));
    assert_eq!(reopened.load().unwrap().len(), 1);
}

#[tokio::test]
async fn http_issues_tokens() {
    let world = World::new();
    let router = http::router(world.tokens.clone());
    let header = world.signed(&world.alice, "POST", TOKENS, b"");
    let answer = send(&router, bare("POST", TOKENS, &header)).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let issued: TokenIssued = answer.json();
    assert_eq!(issued.expires, START.0 + HOUR);
    let caller = world.tokens.authenticate_token(Some(&issued.authorization)).unwrap();
    assert_eq!(caller.name, world.alice.name);
}

#[tokio::test]
async fn http_names_every_refusal() {
    let world = World::new();
    let router = http::router(world.tokens.clone());
    let signed = |path| world.signed(&world.alice, "POST", path, b"");
    let stranger = world.signed(&Actor::new("mallory", 1), "POST", TOKENS, b"");
    let once = signed(TOKENS);
    assert_eq!(send(&router, bare("POST", TOKENS, &once)).await.status, 200);
    for (header, problem) in [
        (once.as_str(), Problem::Replayed),
        ("", Problem::Unauthenticated),
        ("Keyglass-Device AAAA", Problem::Unauthenticated),
        (&world.token(&world.alice), Problem::Unauthenticated),
        (&signed("/v1/prekeys"), Problem::BadRequestSignature),
        (&stranger, Problem::BadRequestSignature),
    ] {
        let answer = send(&router, bare("POST", TOKENS, header)).await;
        assert_eq!(answer.problem(), problem, "{header}");
        assert_eq!(answer.headers["www-authenticate"], "Keyglass-Device");
    }
    let late = signed(TOKENS);
    world.clock.advance(300_001);
    assert_eq!(send(&router, bare("POST", TOKENS, &late)).await.problem(), Problem::OutsideWindow);
    let none = Request::builder().method("POST").uri(TOKENS).body(Body::empty()).unwrap();
    assert_eq!(send(&router, none).await.problem(), Problem::Unauthenticated);
    let two = Request::builder().method("POST").uri(TOKENS);
    let two = two.header("authorization", signed(TOKENS)).header("authorization", signed(TOKENS));
    assert_eq!(send(&router, two.body(Body::empty()).unwrap()).await.problem(), Problem::Unauthenticated);
    let body = world.signed(&world.alice, "POST", TOKENS, b"{}");
    assert_eq!(
        send(&router, raw("POST", TOKENS, &body, b"{}".to_vec())).await.problem(),
        Problem::MalformedJson
    );
    let large = raw("POST", TOKENS, &signed(TOKENS), vec![b' '; 128 * 1024 + 1]);
    assert_eq!(send(&router, large).await.problem(), Problem::BodyTooLarge);
}

#[tokio::test]
async fn http_signatures_cover_the_query() {
    let world = World::new();
    let router = http::router(world.tokens.clone());
    let header = world.signed(&world.alice, "POST", TOKENS, b"");
    let answer = send(&router, bare("POST", "/v1/tokens?x=1", &header)).await;
    assert_eq!(answer.problem(), Problem::BadRequestSignature);
    let header = world.signed(&world.alice, "POST", "/v1/tokens?x=1", b"");
    assert_eq!(send(&router, bare("POST", "/v1/tokens?x=1", &header)).await.status, 200);
}

#[test]
fn keys_of_names_split_and_never_collide() {
    let names: Vec<DeviceName> = ["", "a", "ab", "a\0", "\u{1}"]
        .iter()
        .flat_map(|label| [0, 1, 256].map(|device| DeviceName { label: label.as_bytes().to_vec(), device }))
        .collect();
    for a in &names {
        let mut key = a.to_key();
        key.extend_from_slice(b"rest");
        assert_eq!(DeviceName::split_key(&key), Some((a.clone(), &b"rest"[..])));
        for b in names.iter().filter(|b| *b != a) {
            assert!(!a.to_key().starts_with(&b.to_key()));
        }
    }
    assert_eq!(DeviceName::split_key(&[3, 1, 2]), None);
}

#[test]
fn the_window_of_the_settings_is_the_one_that_holds() {
    let world = World::with(Settings { window: Duration::from_secs(1), ..Settings::default() });
    let header = world.signed(&world.alice, "POST", "/v1/tokens", b"");
    world.clock.advance(1001);
    assert_eq!(sign_in(&world, &header).unwrap_err(), AuthError::OutsideWindow.into());
}
