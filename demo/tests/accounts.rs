//! Accounts as people use them, over the real programs: registration, a second device, a lost phone, a stolen key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{fs, path::PathBuf};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use keyglass_account::{author::Draft, device::Suite, verify::ValidRecord};
use keyglass_crypto::sign::SigningKey;
use keyglass_demo::{
    client::{Answer, Client},
    system::{System, path},
};
use keyglass_tlog::time::UnixSeconds;
use serde_json::{Value, json};

use crate::support::{
    account::update,
    api::Call,
    programs::{QUIET, api},
};

async fn said(user: &Client, verdict: &str, arguments: &[&str]) -> Answer {
    let answer = user.run(arguments).await.unwrap();
    assert_eq!(answer.verdict(), verdict, "{arguments:?}: {}", answer.transcript);
    answer
}

async fn done(user: &Client, arguments: &[&str]) -> Answer {
    said(user, "verified", arguments).await
}

/// The operator's account service.
struct AccountService(SigningKey);

impl AccountService {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_seed(&[seed; 32]))
    }

    fn keys(&self, kid: &str) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.verifying_key().to_bytes());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x}]}).to_string()
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": kid, "typ": "JWT"}).to_string();
        let body =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.0.sign(body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature.0))
    }
}

fn now() -> u64 {
    let UnixSeconds(now) = support::now().to_seconds();
    now
}

fn kept(system: &System, name: &str, content: &str) -> PathBuf {
    let path = system.directory().join(name);
    fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn accounts_are_registered_by_token() {
    let mut system = System::start(QUIET).await.unwrap();
    // Whoever was there before goes on.
    let early = system.client("early").unwrap();
    done(&early, &["register", "early"]).await;
    let address = system.stop_log().await.unwrap();
    let service = AccountService::new(1);
    let keys = kept(&system, "keys.json", &service.keys("a"));
    let registration = format!("token:{}", path(&keys));
    let options = ["--registration", registration.as_str()];
    let server = system.log.serve_with(&address, &system.policy, system.timing, &options).await.unwrap();
    system.server = Some(server);

    let bob = system.client("bob").unwrap();
    let claims = |label: &str, origin: &str, exp: u64| json!({"sub": label, "aud": origin, "iat": exp - 3600, "exp": exp, "jti": "1"});
    let origin = system.log.origin.as_str();
    let good = claims("bob", origin, now() + 3600);
    let other = AccountService::new(2);
    let attempts = [
        (None, "missing"),
        (Some("nonsense".to_owned()), "malformed"),
        (Some(service.token("b", &good)), "key"),
        (Some(other.token("a", &good)), "signature"),
        (Some(service.token("a", &claims("bob", origin, now() - 100))), "expired"),
        (Some(service.token("a", &claims("bob", origin, now() + 8000))), "not-yet-valid"),
        (Some(service.token("a", &claims("bob", "log.example/other", now() + 3600))), "audience"),
        (Some(service.token("a", &claims("eve", origin, now() + 3600))), "label"),
    ];
    for (token, cause) in attempts {
        let file = token.map(|token| kept(&system, "token", &token));
        let mut line = vec!["register", "Bob"];
        if let Some(file) = &file {
            line.extend(["--token", path(file)]);
        }
        let refused = said(&bob, "declined", &line).await;
        let problem = format!("urn:keyglass:problem:registration-token-{cause}");
        assert_eq!(refused.text("problem"), problem, "{}", refused.transcript);
    }
    let token = kept(&system, "token", &service.token("a", &good));
    let registered = done(&bob, &["register", "Bob", "--token", path(&token)]).await;
    assert_eq!(registered.text("label"), "bob");
    // It is asked for once.
    done(&bob, &["rotate"]).await;
    done(&early, &["lock"]).await;
    done(&early, &["lookup", "BOB"]).await;

    // Another key, read while the server runs; and one that is broken changes nothing.
    fs::write(&keys, other.keys("c")).unwrap();
    let server = system.server.as_ref().unwrap();
    server.reload().unwrap();
    let carol = system.client("carol").unwrap();
    let token = kept(&system, "token", &other.token("c", &claims("carol", origin, now() + 3600)));
    // The signal is not answered: the token is shown until the new key counts.
    let mut taken = false;
    for _ in 0..100 {
        let answer = carol.run(&["register", "carol", "--token", path(&token)]).await.unwrap();
        taken = answer.verdict() == "verified";
        if taken {
            break;
        }
        assert_eq!(
            answer.text("problem"),
            "urn:keyglass:problem:registration-token-key",
            "{}",
            answer.transcript
        );
    }
    assert!(taken);
    let refused = said(&carol, "declined", &["register", "X Æ A-12", "--labels-as-typed"]).await;
    assert_eq!(refused.text("problem"), "urn:keyglass:problem:label-not-normalised");
    system.stop_log().await.unwrap();
}

#[tokio::test]
async fn a_second_device_a_lost_phone_and_a_stolen_key() {
    let mut system = System::start(QUIET).await.unwrap();
    let people = ["alice", "bob", "phone", "fresh", "restored"].map(|name| system.client(name).unwrap());
    let [alice, bob, phone, fresh, restored] = &people;
    done(alice, &["register", "alice@Example.org"]).await;
    done(bob, &["register", "bob"]).await;
    done(alice, &["lookup", "bob"]).await;
    done(bob, &["lookup", "ALICE@example.org"]).await;

    // A second device.
    let offer = done(phone, &["link", "offer", "bob"]).await;
    let (code, digits) = (offer.text("code"), offer.text("offer_digits"));
    assert_eq!(done(bob, &["device", "add", code, "--digits", digits]).await.number("version"), 1);
    done(phone, &["link", "finish"]).await;
    let told = said(alice, "updated", &["monitor"]).await;
    assert_eq!(told.json["events"][0]["event"], "device_linked", "{}", told.transcript);
    done(alice, &["send", "bob", "to both"]).await;
    for device in [bob, phone] {
        let received = done(device, &["receive"]).await;
        assert!(received.transcript.contains("to both"), "{}", received.transcript);
    }
    done(phone, &["send", "alice@example.org", "from the phone"]).await;
    assert!(done(alice, &["receive"]).await.transcript.contains("from the phone"));

    // What helps when things are lost, made in good time.
    let phrase = kept(&system, "phrase", "correct horse battery staple\n");
    let (backup, paper) = (system.directory().join("backup"), system.directory().join("paper"));
    let (phrase, backup, paper) = (path(&phrase), path(&backup), path(&paper));
    done(bob, &["recovery", "create", "--out", paper, "--passphrase-file", phrase]).await;
    done(bob, &["lock"]).await;
    done(bob, &["backup", backup, "--passphrase-file", phrase]).await;

    // The first device is lost. The identity comes back from the backup, and the device goes.
    let back =
        done(restored, &["restore", backup, "--passphrase-file", phrase, "--remove-device", "1"]).await;
    assert_eq!(back.json["devices"], json!([3]));
    done(restored, &["monitor"]).await;
    done(alice, &["send", "bob", "to the new one"]).await;
    assert!(done(restored, &["receive"]).await.transcript.contains("to the new one"));
    said(phone, "unexpected", &["monitor"]).await;
    done(phone, &["monitor", "--accept", "bob"]).await;

    // The finder of the lost device takes the identity for themselves.
    said(bob, "unexpected", &["monitor"]).await;
    done(bob, &["rotate"]).await;
    said(restored, "unexpected", &["rotate"]).await;
    // The recovery key takes it back, in a home that never had it.
    let recovered =
        done(fresh, &["recover", "bob", "--recovery-key", paper, "--passphrase-file", phrase]).await;
    assert_eq!(recovered.json["devices"], json!([4]));
    let told = said(alice, "changed", &["monitor"]).await;
    let event = told.json["events"].as_array().unwrap().iter().find(|event| event["label"] == "bob").unwrap();
    assert_eq!(event["event"], "identity_replaced");
    done(fresh, &["monitor"]).await;
    said(bob, "unexpected", &["rotate"]).await;
    done(alice, &["send", "bob", "are you you?"]).await;
    assert!(done(fresh, &["receive"]).await.transcript.contains("are you you?"));
    system.stop_log().await.unwrap();
}

/// The file of the only account of a home, and what is in it.
fn account_file(user: &Client) -> (PathBuf, Value) {
    let log = fs::read_dir(&user.home).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    let mut files = fs::read_dir(log.unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let file =
        files.find(|path| name(path).starts_with("account-") && name(path).ends_with(".json")).unwrap();
    let document = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    (file, document)
}

/// The suites of the sessions that a home has begun, by their numbers.
fn session_suites(user: &Client) -> Vec<u64> {
    let sessions = account_file(user).1["devices"][0]["sessions"].take();
    sessions.as_array().unwrap().iter().map(|session| session["suite"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_device_from_before_pqxdh_is_upgraded_and_then_reached_by_nothing_else() {
    let system = System::start(QUIET).await.unwrap();
    let (alice, bob) = (system.client("alice").unwrap(), system.client("bob").unwrap());
    done(&bob, &["register", "bob"]).await;
    done(&alice, &["register", "alice"]).await;
    // The home as a program from before would have left it: X3DH alone is announced, and there is no KEM prekey.
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let (_, document) = account_file(&bob);
    let identity = SigningKey::from_seed(&bytes(&document["identity_seed"]).try_into().unwrap());
    let origin = system.log.origin.as_str();
    let before = ValidRecord::restore(origin, b"bob", 0, &bytes(&document["record"])).unwrap();
    let draft = Draft::after(origin, b"bob", &before, 1).set_suites(1, &[Suite::X3DH]);
    let record = draft.sign(&identity).unwrap().encode();
    let answer = api(&system).call(Call::operation("/v1/update", update(b"bob", Some(0), &[&record]))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    done(&bob, &["monitor", "--accept", "bob"]).await;
    let (file, mut document) = account_file(&bob);
    document["devices"][0]["kem"] = json!({"last_resorts": [], "batches": []});
    fs::write(file, document.to_string()).unwrap();

    done(&alice, &["send", "bob", "by X3DH"]).await;
    assert_eq!(session_suites(&alice), [1]);
    let upgraded = done(&bob, &["device", "upgrade"]).await.json;
    assert_eq!((&upgraded["version"], &upgraded["devices"][0]["pqxdh"]), (&json!(2), &json!(true)));
    done(&alice, &["send", "bob", "by PQXDH"]).await;
    assert_eq!(session_suites(&alice), [1, 2]);
    let received = done(&bob, &["receive"]).await.json;
    let texts: Vec<&Value> = received["messages"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, [&json!("by X3DH"), &json!("by PQXDH")]);
    assert_eq!(done(&bob, &["device", "upgrade"]).await.json["version"], 2, "nothing is left to do");
    let told = done(&bob, &["prekeys"]).await.json;
    assert_eq!(told["devices"][0]["differences"], json!([]));
}
