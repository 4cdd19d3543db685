//! Devices from before PQXDH: their KEM prekeys first, then the record that announces them, whatever comes in between.

use keyglass_account::{
    api::{Base64, BundleResult, Bundles},
    author::Draft,
    device::Suite,
    prekey::PreKeyBundle,
    problem::Problem,
};
use keyglass_client_verify::{
    state::{Home, KemPreKeys, OwnAccount},
    verdict::Verdict,
    x3dh::InitialMessage,
};
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{BOB, published},
    server::{Response, Server},
};

/// Makes all devices of Bob's account what they would be in a home from before PQXDH.
fn set_back(server: &Server, homes: &[&Person], holder: &Person) {
    let home = |person: &Person| Home::open(&person.home(), &TestLog::origin()).unwrap();
    let version = server.world().log.greatest(BOB).unwrap();
    let before = published(&server.world(), version);
    let identity = home(holder).account("bob").unwrap().unwrap().identity.signing_key().unwrap();
    let origin = TestLog::origin();
    let ids: Vec<u32> = before.record().devices.iter().map(|device| device.id).collect();
    let draft = Draft::after(&origin, BOB, &before, version + 1);
    let draft = ids.iter().fold(draft, |draft, id| draft.set_suites(*id, &[Suite::X3DH]));
    let record = draft.sign(&identity).unwrap().encode();
    server.world().log.append(&[(BOB, record)]);
    server.world().forget_kem_prekeys();
    for person in homes {
        person.done(&["monitor", "--accept", "bob"]);
        let home = home(person);
        let mut account: OwnAccount = home.account("bob").unwrap().unwrap();
        account.devices.iter_mut().for_each(|device| device.kem = KemPreKeys::default());
        home.store_account(&account).unwrap();
    }
}

/// Alice's text to Bob, and the suites by which it went.
fn sent(server: &Server, alice: &Person) -> Vec<Suite> {
    server.world().mailboxes.clear();
    alice.done(&["send", "bob", "hello"]);
    let world = server.world();
    let suite = |message: &keyglass_account::api::Message| {
        InitialMessage::decode(message.body.as_bytes()).unwrap().suite()
    };
    world.mailboxes.values().flatten().map(suite).collect()
}

fn announced(value: &Value) -> Vec<bool> {
    value["devices"].as_array().unwrap().iter().map(|device| device["pqxdh"].as_bool().unwrap()).collect()
}

#[test]
fn devices_from_before_pqxdh_leave_kem_prekeys_first_and_are_then_reached_by_nothing_else() {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob", "--devices", "2"]);
    alice.done(&["register", "alice"]);
    set_back(&server, &[&bob], &bob);
    alice.done(&["lookup", "bob"]);
    assert_eq!(sent(&server, &alice), [Suite::X3DH, Suite::X3DH]);
    assert_eq!(announced(&bob.done(&["device", "list"])), [false, false]);
    assert!(bob.run(&["device", "list"]).stdout.contains("reached by X3DH alone"));

    // Without the prekeys the record is not touched.
    server.lie(|_, request| {
        (request.method == "PUT" && request.path == "/v1/prekeys")
            .then(|| Response::problem(Problem::UploadQuota))
    });
    assert_eq!(bob.json(&["device", "upgrade"]).0, Verdict::Declined);
    assert_eq!(server.world().log.greatest(BOB), Some(1));
    // Cut off between the two, the devices have KEM prekeys and are reached as before.
    server.lie(|_, request| (request.path == "/v1/update").then(|| Response::problem(Problem::Unavailable)));
    assert_eq!(bob.json(&["device", "upgrade"]).0, Verdict::Unreachable);
    server.honest();
    assert_eq!(server.world().log.greatest(BOB), Some(1));
    assert_eq!(sent(&server, &alice), [Suite::X3DH, Suite::X3DH]);
    assert!(bob.run(&["receive"]).stdout.contains("hello"));

    server.world().seen.clear();
    let done = bob.done(&["device", "upgrade"]);
    assert_eq!((&done["version"], announced(&done)), (&json!(2), vec![true, true]));
    assert_eq!(announced(&bob.done(&["device", "list"])), [true, true]);
    assert_eq!(sent(&server, &alice), [Suite::PQXDH, Suite::PQXDH]);
    assert!(bob.run(&["receive"]).stdout.contains("hello"));
    // Nothing is left to do, and nobody is brought back down.
    assert_eq!(bob.done(&["device", "upgrade"])["version"], 2);
    assert_eq!(server.world().log.greatest(BOB), Some(2));
    server.lie(|world, request| {
        if request.path != "/v1/bundles" {
            return None;
        }
        let mut bundles: Bundles = serde_json::from_slice(&world.honest(request).body).unwrap();
        for bundle in &mut bundles.bundles {
            let BundleResult::Bundle(bytes) = &bundle.result else { panic!("no bundle") };
            let cut = PreKeyBundle { kem: None, ..PreKeyBundle::decode(bytes.as_bytes()).unwrap() };
            bundle.result = BundleResult::Bundle(Base64::new(cut.encode()).unwrap());
        }
        Some(Response::ok(serde_json::to_vec(&bundles).unwrap()))
    });
    let (verdict, value) = alice.json(&["send", "bob", "secret"]);
    assert_eq!((verdict, &value["devices"][0]["reason"]), (Verdict::Refused, &json!("no_kem_prekey")));
}

#[test]
fn a_device_in_another_home_is_announced_once_it_has_left_its_own() {
    let server = Server::start();
    let (alice, bob, phone) = (Person::new(&server), Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let offer = phone.done(&["link", "offer", "bob"]);
    bob.done(&["device", "add", offer["code"].as_str().unwrap()]);
    phone.done(&["link", "finish"]);
    set_back(&server, &[&bob, &phone], &bob);
    assert_eq!(announced(&bob.done(&["device", "upgrade"])), [true, false]);
    assert_eq!(sent(&server, &alice), [Suite::PQXDH, Suite::X3DH]);
    phone.done(&["monitor", "--accept", "bob"]);
    let left = phone.run(&["device", "upgrade"]);
    assert_eq!(left.verdict, Verdict::Verified, "{}", left.stderr);
    assert!(left.stdout.contains("where the identity key is"), "{}", left.stdout);
    assert_eq!(sent(&server, &alice), [Suite::PQXDH, Suite::X3DH]);
    assert_eq!(announced(&bob.done(&["device", "upgrade"])), [true, true]);
    assert_eq!(sent(&server, &alice), [Suite::PQXDH, Suite::PQXDH]);
    assert!(phone.run(&["receive"]).stdout.contains("hello"));
}
