//! A device that is set back: it finds that the server's pool is not what it thinks, repairs it, and can be reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[allow(dead_code, reason = "each test program uses another part")]
mod support;

use std::{fs, path::Path};

use keyglass_account::api::{
    BUNDLES, Base64, BundleResult, Bundles, FetchBundles, Id128, TOKENS, TokenIssued,
};
use keyglass_account::prekey::{KemPreKey, PreKeyBundle};
use keyglass_demo::{
    client::{Answer, Client},
    system::System,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    account::Account,
    api::{Api, Call, to_json},
    programs::{QUIET, api},
};

async fn done(user: &Client, arguments: &[&str]) -> Answer {
    let answer = user.run(arguments).await.unwrap();
    assert_eq!(answer.verdict(), "verified", "{arguments:?}: {}", answer.transcript);
    answer
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// One bundle for each device of Bob's account, by his label alone.
async fn fetch(api: &Api, token: &str) -> PreKeyBundle {
    let accounts = vec![Base64::new(b"bob".to_vec()).unwrap()];
    let fetch = FetchBundles { request_id: Id128(rand::random()), targets: Vec::new(), accounts };
    let answer = api.call(Call::with_token(Method::POST, BUNDLES, token, to_json(&fetch))).await;
    let [bundle] = answer.json::<Bundles>().bundles.try_into().unwrap();
    let BundleResult::Bundle(bundle) = bundle.result else { panic!("{:?}", bundle.result) };
    PreKeyBundle::decode(bundle.as_bytes()).unwrap()
}

fn names(differences: &Value) -> Vec<&str> {
    differences.as_array().unwrap().iter().map(|found| found["difference"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_device_restored_from_a_copy_repairs_its_pool() {
    let system = System::start(QUIET).await.unwrap();
    let (alice, bob) = (system.client("alice").unwrap(), system.client("bob").unwrap());
    done(&bob, &["register", "bob"]).await;
    done(&alice, &["register", "alice"]).await;
    let told = done(&bob, &["prekeys"]).await.json;
    let device = &told["devices"][0];
    assert_eq!((&device["differences"], &device["uploaded"]), (&json!([]), &json!(false)));
    assert_eq!(
        (&device["status"]["one_time"], &device["status"]["one_time_kem"]),
        (&json!(100), &json!(100))
    );
    let old = system.directory().join("old");
    copy(&bob.home, &old);

    // A stranger takes some, each bundle with a key of both types; Bob refills.
    let api = api(&system);
    let stranger = Account::new(&api.origin, "stranger", 1);
    let answer = api.call(Call::operation("/v1/update", stranger.update())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let device = &stranger.devices[0];
    let answer = api.call(Call::signed(Method::POST, TOKENS, device, Vec::new())).await;
    let token = answer.json::<TokenIssued>().authorization;
    for _ in 0..30 {
        let bundle = fetch(&api, &token).await;
        assert!(bundle.one_time.is_some() && matches!(bundle.kem, Some(KemPreKey::OneTime(_))));
    }
    let told = done(&bob, &["prekeys", "--refill"]).await.json;
    let device = &told["devices"][0];
    assert_eq!((&device["differences"], &device["uploaded"]), (&json!([]), &json!(true)));
    assert_eq!(device["status"]["one_time"], json!(170));

    // The copy knows nothing of the refill.
    fs::remove_dir_all(&bob.home).unwrap();
    copy(&old, &bob.home);
    let told = done(&bob, &["prekeys"]).await.json;
    let found = names(&told["devices"][0]["differences"]);
    assert_eq!(found, ["batch_unknown", "batch_unknown", "numbers_ahead"]);
    let told = done(&bob, &["prekeys", "--refill"]).await.json;
    let device = &told["devices"][0];
    assert_eq!(names(&device["differences"]).len(), 3);
    // Everything from before is void: also what the copy still has.
    assert_eq!(
        (&device["status"]["one_time"], &device["status"]["one_time_kem"]),
        (&json!(100), &json!(100))
    );
    let floor = device["status"]["signed_prekey"]["floor"].as_u64().unwrap();
    assert_eq!(device["status"]["batches"][0]["batch"].as_u64().unwrap(), floor);
    assert_eq!(done(&bob, &["prekeys"]).await.json["devices"][0]["differences"], json!([]));

    done(&alice, &["send", "bob", "Welcome back"]).await;
    let received = done(&bob, &["receive"]).await;
    assert!(received.transcript.contains("Welcome back"), "{}", received.transcript);
    drop(system);
}
