//! The JSON of the API: strict towards requests, bounded before anything is kept.

use keyglass_account::api::{
    AckMessages, Base64, BundleResult, Bundles, FetchBundles, Id128, Label, MAX_ACKS, MAX_BODY, MAX_BUNDLES,
    MAX_BUNDLES_BODY, MAX_MESSAGE_LEN, MAX_TARGETS, MAX_UPLOAD_BATCHES, MAX_UPLOAD_BODY,
    MAX_UPLOAD_KEM_BATCHES, Message, Messages, SendMessage, Target, TargetBundle, UploadPreKeys,
};
use keyglass_account::{
    prekey::{LAST_RESORT_LEN, MAX_BATCH_LEN, MAX_BUNDLE_LEN, MAX_KEM_BATCH_LEN},
    problem::Problem,
};

fn target() -> Target {
    Target { label: Label::new(b"bob".to_vec()).unwrap(), device: 1 }
}

#[test]
fn requests_look_as_documented() {
    let fetch = FetchBundles { request_id: Id128([0xab; 16]), targets: vec![target()], accounts: Vec::new() };
    let json = serde_json::to_string(&fetch).unwrap();
    assert_eq!(
        json,
        r#"{"request_id":"abababababababababababababababab","targets":[{"label":"Ym9i","device":1}]}"#
    );
    assert_eq!(serde_json::from_str::<FetchBundles>(&json).unwrap(), fetch);
    let accounts = vec![Label::new(b"bob".to_vec()).unwrap()];
    let fetch = FetchBundles { request_id: Id128([0xab; 16]), targets: Vec::new(), accounts };
    let json = r#"{"request_id":"abababababababababababababababab","accounts":["Ym9i"]}"#;
    assert_eq!(serde_json::from_str::<FetchBundles>(json).unwrap(), fetch);

    let body = Base64::new(vec![0; 3]).unwrap();
    let send = SendMessage { target: target(), id: Id128([1; 16]), body, version: None };
    let json = serde_json::to_string(&send).unwrap();
    assert_eq!(serde_json::from_str::<SendMessage>(&json).unwrap(), send);
    assert_eq!(serde_json::from_str::<UploadPreKeys>("{}").unwrap(), UploadPreKeys::default());
}

#[test]
fn answers_look_as_documented() {
    let bundles = Bundles {
        bundles: vec![
            TargetBundle { target: target(), result: BundleResult::Bundle(Base64::new(vec![1]).unwrap()) },
            TargetBundle {
                target: target(),
                result: BundleResult::Problem(Problem::UnknownDevice.details(None)),
            },
        ],
        unknown: Vec::new(),
    };
    let json = serde_json::to_value(&bundles).unwrap();
    assert_eq!(json["bundles"][0]["result"]["bundle"], "AQ==");
    assert_eq!(json["bundles"][1]["result"]["problem"]["type"], "urn:keyglass:problem:unknown-device");
    assert_eq!(serde_json::from_value::<Bundles>(json).unwrap(), bundles);
    let message = Message { id: Id128([2; 16]), received: 5, body: Base64::new(vec![1]).unwrap() };
    let messages = Messages { messages: vec![message], more: true };
    let json = serde_json::to_string(&messages).unwrap();
    assert_eq!(serde_json::from_str::<Messages>(&json).unwrap(), messages);
}

#[test]
fn unknown_members_of_requests_are_refused_and_of_answers_ignored() {
    assert!(serde_json::from_str::<UploadPreKeys>(r#"{"extra":1}"#).is_err());
    assert!(serde_json::from_str::<AckMessages>(r#"{"ids":[],"extra":1}"#).is_err());
    assert!(serde_json::from_str::<Target>(r#"{"label":"Ym9i","device":1,"extra":1}"#).is_err());
    assert!(serde_json::from_str::<Messages>(r#"{"messages":[],"more":false,"extra":1}"#).is_ok());
}

#[test]
fn ids_are_exactly_32_lower_case_hex_digits() {
    for bad in
        ["", "ab", &"AB".repeat(16), &"ab".repeat(17), &"zz".repeat(16), &format!("0x{}", "ab".repeat(15))]
    {
        assert!(Id128::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Id128::parse(&"0f".repeat(16)).unwrap().to_string(), "0f".repeat(16));
}

#[test]
fn base64_is_strict_and_bounded() {
    for bad in ["", "Ym9i\n", "Ym9", "Ym9j=", "Y===", "Ym9_", "Zh==", " Ym9i"] {
        assert!(Label::parse(bad).is_err(), "{bad:?}");
    }
    let fits = Label::new(vec![0xff; 255]).unwrap();
    let json = serde_json::to_string(&fits).unwrap();
    assert_eq!(serde_json::from_str::<Label>(&json).unwrap(), fits);
    let longer = serde_json::to_string(&Base64::<300>::new(vec![0xff; 256]).unwrap()).unwrap();
    assert!(serde_json::from_str::<Label>(&longer).is_err());
    assert!(Label::new(Vec::new()).is_err());
}

#[test]
fn sequences_are_bounded() {
    let ids =
        |count| format!(r#"{{"ids":[{}]}}"#, vec![format!(r#""{}""#, "00".repeat(16)); count].join(","));
    assert!(serde_json::from_str::<AckMessages>(&ids(MAX_ACKS)).is_ok());
    assert!(serde_json::from_str::<AckMessages>(&ids(MAX_ACKS + 1)).is_err());
    let batches = |count| format!(r#"{{"batches":[{}]}}"#, vec![r#""AQ==""#; count].join(","));
    assert!(serde_json::from_str::<UploadPreKeys>(&batches(MAX_UPLOAD_BATCHES)).is_ok());
    assert!(serde_json::from_str::<UploadPreKeys>(&batches(MAX_UPLOAD_BATCHES + 1)).is_err());
}

#[test]
fn the_body_limits_fit_the_largest_requests() {
    let largest = SendMessage {
        target: Target { label: Label::new(vec![0xff; 255]).unwrap(), device: u32::MAX },
        id: Id128([0xff; 16]),
        body: Base64::new(vec![0xff; MAX_MESSAGE_LEN]).unwrap(),
        version: Some(u32::MAX),
    };
    assert!(serde_json::to_vec(&largest).unwrap().len() <= MAX_BODY);
    let accounts = vec![largest.target.label.clone(); MAX_TARGETS];
    let target = largest.target.clone();
    let fetch = FetchBundles { request_id: Id128([0; 16]), targets: vec![target; MAX_TARGETS], accounts };
    assert!(serde_json::to_vec(&fetch).unwrap().len() <= MAX_BODY);
    let bundle = BundleResult::Bundle(Base64::new(vec![0xff; MAX_BUNDLE_LEN]).unwrap());
    let bundle = TargetBundle { target: largest.target, result: bundle };
    let unknown = fetch.accounts;
    let bundles = Bundles { bundles: vec![bundle; MAX_BUNDLES], unknown };
    assert!(serde_json::to_vec(&bundles).unwrap().len() <= MAX_BUNDLES_BODY);
    let acks = AckMessages { ids: vec![Id128([0; 16]); MAX_ACKS] };
    assert!(serde_json::to_vec(&acks).unwrap().len() <= MAX_BODY);
    let batch = Base64::new(vec![0xff; MAX_BATCH_LEN]).unwrap();
    let upload = UploadPreKeys {
        signed_prekey: Some(Base64::new(vec![1; 126]).unwrap()),
        batches: vec![batch; MAX_UPLOAD_BATCHES],
        last_resort: Some(Base64::new(vec![1; LAST_RESORT_LEN]).unwrap()),
        kem_batches: vec![Base64::new(vec![1; MAX_KEM_BATCH_LEN]).unwrap(); MAX_UPLOAD_KEM_BATCHES],
    };
    assert!(serde_json::to_vec(&upload).unwrap().len() <= MAX_UPLOAD_BODY);
}
