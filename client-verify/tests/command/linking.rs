//! A second device: offered, added, finished; and codes that were replaced on their way.

use keyglass_account::{device::Device, link::LinkOffer, record::AccountRecord, time::UnixMillis};
use keyglass_client_verify::{
    state::{Home, OwnIdentity},
    verdict::Verdict,
};
use keyglass_crypto::dh::DhSecretKey;
use serde_json::{Value, json};

use crate::{
    Person,
    log::TestLog,
    records::{BOB, contents, signing},
    server::Server,
};

fn offered(phone: &Person) -> Value {
    phone.done(&["link", "offer", "bob"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_second_device_is_linked_and_takes_part() {
    let server = Server::start();
    let (alice, bob, phone) = (Person::new(&server), Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let offer = offered(&phone);
    assert_eq!(offer["device"], 2);
    // Shown again, it is the same.
    assert_eq!(offered(&phone)["code"], offer["code"]);
    let shown = phone.run(&["link", "offer", "bob"]);
    assert!(shown.stdout.contains("█") && shown.stdout.contains("keyglass device add KEYGLASS-LINK-"));
    // Too early.
    let (verdict, early) = phone.json(&["link", "finish"]);
    assert_eq!((verdict, &early["reason"]), (Verdict::NotFound, &json!("not_linked_yet")));

    let code = text(&offer["code"]);
    let added = bob.done(&["device", "add", code, "--digits", text(&offer["offer_digits"])]);
    assert_eq!((&added["version"], &added["device"]), (&json!(1), &json!(2)));
    assert_eq!(added["offer_digits"], offer["offer_digits"]);
    assert_eq!(added["identity_digits"], offer["identity_digits"]);
    // Said twice, done once.
    assert_eq!(bob.done(&["device", "add", code])["version"], 1);
    assert_eq!(server.world().log.greatest(BOB), Some(1));

    let finished = phone.done(&["link", "finish"]);
    assert_eq!(
        (&finished["devices"], &finished["identity_digits"]),
        (&json!([2]), &added["identity_digits"])
    );
    assert_eq!(phone.done(&["link", "finish", "bob"])["devices"], json!([2]));
    // Both receive, and the new device sends.
    alice.done(&["send", "bob", "hello"]);
    assert!(bob.run(&["receive"]).stdout.contains("hello"));
    assert!(phone.run(&["receive"]).stdout.contains("hello"));
    phone.done(&["send", "alice", "from the phone"]);
    assert!(alice.run(&["receive"]).stdout.contains("from the phone"));
    phone.done(&["monitor"]);
    bob.done(&["monitor"]);

    // The phone never holds the identity, and can do nothing that needs it.
    let held = Home::open(&phone.home(), &TestLog::origin()).unwrap().account("bob").unwrap().unwrap();
    assert!(matches!(held.identity, OwnIdentity::Elsewhere { .. }));
    let here = Home::open(&bob.home(), &TestLog::origin()).unwrap().account("bob").unwrap().unwrap();
    let OwnIdentity::Held(seed) = &here.identity else { panic!("Bob holds his identity") };
    let seed =
        serde_json::to_string(&OwnIdentity::Held(keyglass_crypto::secret::Secret::new(*seed.expose())));
    let seed = seed.unwrap().trim_matches('"').to_owned();
    for (path, bytes) in contents(&phone) {
        assert!(!String::from_utf8_lossy(&bytes).contains(&seed), "{}", path.display());
    }
    for command in [&["rotate"][..], &["lock"], &["device", "remove", "1"], &["recovery", "create"]] {
        let (verdict, told) = phone.json(command);
        assert_eq!(
            (verdict, &told["reason"]),
            (Verdict::Usage, &json!("identity_held_elsewhere")),
            "{command:?}"
        );
    }
    let listed = phone.done(&["device", "list"]);
    assert_eq!((&listed["identity_here"], &listed["devices"][1]["here"]), (&json!(false), &json!(true)));
}

#[test]
fn a_linked_device_follows_a_rotation_once_its_person_says_so() {
    let server = Server::start();
    let (bob, phone) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    let offer = offered(&phone);
    bob.done(&["device", "add", text(&offer["code"])]);
    // Before linking is finished, the identity that the offer names vouches for the next one.
    bob.done(&["rotate"]);
    let finished = phone.done(&["link", "finish"]);
    assert_ne!(finished["identity_digits"], offer["identity_digits"]);
    let rotated = bob.done(&["rotate"]);
    assert_eq!(phone.json(&["monitor"]).0, Verdict::Unexpected);
    phone.done(&["monitor", "--accept", "bob"]);
    assert_eq!(phone.done(&["lookup", "bob"])["identity_key"], rotated["identity_key"]);
    // And is out once it was removed.
    bob.done(&["device", "remove", "2"]);
    phone.done(&["monitor", "--accept", "bob"]);
    let held = Home::open(&phone.home(), &TestLog::origin()).unwrap().account("bob").unwrap().unwrap();
    assert!(held.devices.is_empty());
}

/// Who sits between the two devices puts an offer of their own in the place of the phone's.
#[test]
fn a_replaced_code_shows_by_its_digits_and_on_the_new_device() {
    let server = Server::start();
    let (bob, phone) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    let offer = offered(&phone);
    let genuine = LinkOffer::from_text(text(&offer["code"])).unwrap();
    let dh = DhSecretKey::from_bytes(&[67; 32]).public_key();
    let suites = genuine.device().suites.clone();
    let device = Device::sign(&TestLog::origin(), BOB, 2, &signing(66), dh, suites, UnixMillis(1));
    let key = genuine.identity_key();
    let replaced = LinkOffer::sign(&TestLog::origin(), BOB, key, device, &signing(66), [1; 16]).to_text();
    let (verdict, told) = bob.json(&["device", "add", &replaced, "--digits", text(&offer["offer_digits"])]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Disputed, &json!("link_digits_differ")));
    assert_eq!(server.world().log.greatest(BOB), Some(0));
    // Without the digits it is added, and the phone says what happened.
    bob.done(&["device", "add", &replaced]);
    let (verdict, told) = phone.json(&["link", "finish"]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Refused, &json!("another_device")));
    assert!(Home::open(&phone.home(), &TestLog::origin()).unwrap().account("bob").unwrap().is_none());
    // Out with it, and anew.
    bob.done(&["device", "remove", "2"]);
    let offer = offered(&phone);
    assert_eq!(offer["device"], 3);
    bob.done(&["device", "add", text(&offer["code"]), "--digits", text(&offer["offer_digits"])]);
    assert_eq!(phone.done(&["link", "finish"])["devices"], json!([3]));
}

#[test]
fn offers_that_do_not_fit_are_refused() {
    let server = Server::start();
    let (bob, eve) = (Person::new(&server), Person::new(&server));
    let phones = [Person::new(&server), Person::new(&server)];
    bob.done(&["register", "bob"]);
    eve.done(&["register", "eve"]);
    // Another account's.
    let offer = phones[0].done(&["link", "offer", "eve"]);
    assert_eq!(bob.json(&["device", "add", text(&offer["code"])]).0, Verdict::Usage);
    // One that was overtaken.
    let offers: Vec<Value> = phones.iter().map(offered).collect();
    bob.done(&["device", "add", text(&offers[0]["code"])]);
    let (verdict, told) = bob.json(&["device", "add", text(&offers[1]["code"])]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Usage, &json!("link_code_stale")));
    // For another identity: the log shows the phone another account than Bob's home.
    let genuine = LinkOffer::from_text(text(&offers[1]["code"])).unwrap();
    let other = LinkOffer::sign(
        &TestLog::origin(),
        BOB,
        signing(5).verifying_key(),
        Device::sign(
            &TestLog::origin(),
            BOB,
            3,
            &signing(66),
            genuine.device().dh_key,
            genuine.device().suites.clone(),
            UnixMillis(1),
        ),
        &signing(66),
        [1; 16],
    );
    let (verdict, told) = bob.json(&["device", "add", &other.to_text()]);
    assert_eq!((verdict, &told["reason"]), (Verdict::Disputed, &json!("link_identity_differs")));
    // Mistyped.
    let mistyped = text(&offers[1]["code"]).replace("KEYGLASS-LINK-A", "KEYGLASS-LINK-B");
    for bad in [mistyped.as_str(), "KEYGLASS-LINK-", "nonsense"] {
        let (verdict, told) = bob.json(&["device", "add", bad]);
        assert_eq!((verdict, &told["reason"]), (Verdict::Usage, &json!("link_code")), "{bad}");
    }
    let log = &server.world().log;
    assert_eq!(log.greatest(BOB), Some(1));
    assert_eq!(AccountRecord::decode(log.value(BOB, 1)).unwrap().devices.len(), 2);
}
