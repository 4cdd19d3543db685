//! Tokens that another implementation signs, and everything that is wrong with others.

use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use keyglass_crypto::sign::SigningKey;
use keyglass_tlog::time::UnixMillis;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ORIGIN: &str = "log.example/origin";
const NOW: u64 = 1_800_000_000;

fn der(seed: [u8; 32]) -> Vec<u8> {
    // PKCS #8 version 1 of an Ed25519 seed (RFC 8410 section 7).
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    [&head[..], &seed].concat()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn set(keys: &[(&str, u8)]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, seed)| {
            let key = SigningKey::from_seed(&[*seed; 32]).verifying_key();
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(&key.to_bytes())})
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

fn claims() -> Value {
    json!({"sub": "bob", "aud": ORIGIN, "iat": NOW, "exp": NOW + 3600, "nbf": NOW, "jti": "1", "iss": "accounts"})
}

/// As the account service signs it.
fn token(kid: &str, seed: u8, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &EncodingKey::from_ed_der(&der([seed; 32]))).unwrap()
}

/// Signed by the key, whatever it is.
fn signed(header: &str, claims: &str) -> String {
    let body = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let signature = SigningKey::from_seed(&[1; 32]).sign(body.as_bytes());
    format!("{body}.{}", base64(&signature.0))
}

/// Stands where it is set.
#[derive(Default)]
struct StoppedClock(AtomicU64);

impl Clock for StoppedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

struct Desk {
    directory: tempfile::TempDir,
    admission: Admission,
    clock: Arc<StoppedClock>,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys.json");
        std::fs::write(&file, set(&[("a", 1), ("b", 2)])).unwrap();
        let clock = Arc::new(StoppedClock::default());
        let policy = Registration::Token(file);
        let admission =
            Admission::open(Labels::Normalised, policy, Arc::<StoppedClock>::clone(&clock)).unwrap();
        Self { directory, admission, clock }
    }

    fn at(&self, label: &str, authorization: Option<&str>, now: u64) -> Result<(), Problem> {
        self.clock.0.store(now * 1000, Ordering::Relaxed);
        self.admission.admit(ORIGIN, label.as_bytes(), authorization).map_err(|failure| failure.problem())
    }

    fn shown(&self, token: &str) -> Result<(), Problem> {
        self.at("bob", Some(&format!("Bearer {token}")), NOW)
    }
}

#[test]
fn tokens_of_the_account_service_are_taken() {
    let desk = Desk::new();
    assert_eq!(desk.shown(&token("a", 1, &claims())), Ok(()));
    assert_eq!(desk.shown(&token("b", 2, &claims())), Ok(()));
    let mut several = claims();
    several["aud"] = json!(["elsewhere", ORIGIN]);
    assert_eq!(desk.shown(&token("a", 1, &several)), Ok(()));
    let lower = format!("bearer {}", token("a", 1, &claims()));
    assert_eq!(desk.at("bob", Some(&lower), NOW), Ok(()));
}

#[test]
fn each_way_to_be_wrong_has_a_problem_of_its_own() {
    let desk = Desk::new();
    let good = token("a", 1, &claims());
    for none in [None, Some("Basic abc"), Some("Bearer"), Some("")] {
        assert_eq!(desk.at("bob", none, NOW), Err(Problem::RegistrationTokenMissing), "{none:?}");
    }
    assert_eq!(desk.shown(&token("c", 1, &claims())), Err(Problem::RegistrationTokenKey));
    // One's own key under the operator's name, and the operator's key under another of its names.
    for (kid, seed) in [("a", 3), ("a", 2)] {
        assert_eq!(desk.shown(&token(kid, seed, &claims())), Err(Problem::RegistrationTokenSignature));
    }
    let at = |label, now| desk.at(label, Some(&format!("Bearer {good}")), now);
    assert_eq!(at("eve", NOW), Err(Problem::RegistrationTokenLabel));
    for (now, problem) in [
        (NOW - 61, Some(Problem::RegistrationTokenNotYetValid)),
        (NOW - 60, None),
        (NOW + 3659, None),
        (NOW + 3660, Some(Problem::RegistrationTokenExpired)),
    ] {
        assert_eq!(at("bob", now).err(), problem, "{now}");
    }
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        desk.shown(&token("a", 1, &claims))
    };
    for audience in [json!("log.example/other"), json!([]), json!(["x"]), json!(vec![ORIGIN; 17])] {
        assert_eq!(with("aud", audience), Err(Problem::RegistrationTokenAudience));
    }
    assert_eq!(with("nbf", json!(NOW + 61)), Err(Problem::RegistrationTokenNotYetValid));
    for exp in [NOW, NOW - 1, NOW + 7 * 24 * 3600 + 1, u64::MAX] {
        assert_eq!(with("exp", json!(exp)), Err(Problem::RegistrationTokenLifetime), "{exp}");
    }
    for (name, value) in [
        ("jti", json!("")),
        ("jti", json!("j".repeat(129))),
        ("jti", json!(7)),
        ("exp", json!(1.5)),
        ("exp", json!("2000000000")),
        ("exp", json!(-1)),
        ("sub", json!(null)),
        ("aud", json!(7)),
    ] {
        assert_eq!(with(name, value.clone()), Err(Problem::RegistrationTokenMalformed), "{name} {value}");
    }
    for name in ["sub", "aud", "iat", "exp", "jti"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(desk.shown(&token("a", 1, &claims)), Err(Problem::RegistrationTokenMalformed), "{name}");
    }
    // The label is looked at first, and needs no token to be refused.
    assert_eq!(desk.at("Bob", None, NOW), Err(Problem::LabelNotNormalised));
}

#[test]
fn nothing_but_eddsa_and_nothing_said_twice() {
    let desk = Desk::new();
    let claims = claims().to_string();
    assert_eq!(desk.shown(&signed(r#"{"alg":"EdDSA","kid":"a"}"#, &claims)), Ok(()));
    for header in [
        r#"{"alg":"none","kid":"a"}"#,
        r#"{"alg":"HS256","kid":"a"}"#,
        r#"{"alg":"eddsa","kid":"a"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"kid":"a"}"#,
        r#"{"alg":"EdDSA","kid":"a","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","kid":"a","jwk":{}}"#,
        r#"{"alg":"EdDSA","kid":"a","kid":"a"}"#,
        r#"["EdDSA","a"]"#,
        "{}",
        "",
    ] {
        assert_eq!(
            desk.shown(&signed(header, &claims)),
            Err(Problem::RegistrationTokenMalformed),
            "{header}"
        );
    }
    let header = r#"{"alg":"EdDSA","kid":"a","typ":"JWT"}"#;
    let twice = claims.replacen('{', r#"{"sub":"eve","#, 1);
    let other = claims.replacen('{', r#"{"iss":"x","#, 1);
    for claims in [twice.as_str(), &other, "[]", "7", ""] {
        assert_eq!(desk.shown(&signed(header, claims)), Err(Problem::RegistrationTokenMalformed), "{claims}");
    }
    let good = signed(header, &claims);
    let (body, signature) = good.rsplit_once('.').unwrap();
    for bad in [
        body.to_owned(),
        format!("{body}."),
        format!("{body}.{signature}="),
        format!("{body}.{signature}.{signature}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{body}.{}", &signature[..84]),
        "x".repeat(token::MAX_TOKEN + 1),
        "..".to_owned(),
        String::new(),
    ] {
        assert_eq!(desk.shown(&bad), Err(Problem::RegistrationTokenMalformed), "{bad}");
    }
    assert_eq!(desk.shown(&format!("{body}.{}", "A".repeat(86))), Err(Problem::RegistrationTokenSignature));
}

#[test]
fn keys_are_read_again_and_a_broken_file_changes_nothing() {
    let desk = Desk::new();
    let file = desk.directory.path().join("keys.json");
    std::fs::write(&file, set(&[("c", 3)])).unwrap();
    assert_eq!(desk.admission.reload().unwrap(), Some(1));
    assert_eq!(desk.shown(&token("a", 1, &claims())), Err(Problem::RegistrationTokenKey));
    assert_eq!(desk.shown(&token("c", 3, &claims())), Ok(()));
    std::fs::write(&file, "nonsense").unwrap();
    assert!(desk.admission.reload().is_err());
    std::fs::remove_file(&file).unwrap();
    assert!(desk.admission.reload().is_err());
    assert_eq!(desk.shown(&token("c", 3, &claims())), Ok(()));
    assert_eq!(Admission::default().reload().unwrap(), None);
}

#[test]
fn an_open_log_asks_nobody() {
    let open = Admission::default();
    assert_eq!(open.admit(ORIGIN, b"\xff Any", None), Ok(()));
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock::default());
    let open = Admission::open(Labels::Normalised, Registration::Open, Arc::clone(&clock)).unwrap();
    assert_eq!(open.admit(ORIGIN, b"bob", None), Ok(()));
    let refused = open.admit(ORIGIN, b"Bob", None).unwrap_err();
    assert_eq!(refused.problem(), Problem::LabelNotNormalised);
    let missing = Registration::Token("/nowhere/keys.json".into());
    assert!(Admission::open(Labels::Any, missing, clock).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_changed_byte_is_taken(place: prop::sample::Index, bit in 0_u8..8) {
        let desk = Desk::new();
        let mut bytes = token("a", 1, &claims()).into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(desk.shown(&changed).is_err());
        }
    }
}
