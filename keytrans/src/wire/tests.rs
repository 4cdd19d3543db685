use serde_json::Value;

use super::*;
use crate::config::{Configuration, DeploymentMode};

fn roundtrip<T: Wire>(bytes: &[u8], context: Context) -> Result<Vec<u8>, WireError> {
    T::decode(bytes, context)?.encode()
}

/// The structure's name in the draft, and what decodes and encodes it again.
type Codec = fn(&[u8], Context) -> Result<Vec<u8>, WireError>;

fn codec(name: &str) -> Codec {
    match name {
        "AuditorTreeHead" => roundtrip::<AuditorTreeHead>,
        "AuditorTreeHeadTBS" => roundtrip::<AuditorTreeHeadTbs>,
        "AuditorUpdate" => roundtrip::<AuditorUpdate>,
        "BinaryLadderStep" => roundtrip::<BinaryLadderStep>,
        "CombinedTreeProof" => roundtrip::<CombinedTreeProof>,
        "CommitmentValue" => roundtrip::<CommitmentValue>,
        "Configuration" => roundtrip::<Configuration>,
        "ContactMonitorRequest" => roundtrip::<ContactMonitorRequest>,
        "ContactMonitorResponse" => roundtrip::<ContactMonitorResponse>,
        "Credential" => roundtrip::<Credential>,
        "CredentialUpdate" => roundtrip::<CredentialUpdate>,
        "DistinguishedHead" => roundtrip::<DistinguishedHead>,
        "DistinguishedRequest" => roundtrip::<DistinguishedRequest>,
        "DistinguishedResponse" => roundtrip::<DistinguishedResponse>,
        "FullTreeHead" => roundtrip::<FullTreeHead>,
        "InclusionProof" => roundtrip::<InclusionProof>,
        "LogEntry" => roundtrip::<LogEntry>,
        "ManagerUpdateRequest" => roundtrip::<ManagerUpdateRequest>,
        "OwnerInitRequest" => roundtrip::<OwnerInitRequest>,
        "OwnerInitResponse" => roundtrip::<OwnerInitResponse>,
        "OwnerMonitorRequest" => roundtrip::<OwnerMonitorRequest>,
        "OwnerMonitorResponse" => roundtrip::<OwnerMonitorResponse>,
        "PrefixProof" => roundtrip::<PrefixProof>,
        "SearchRequest" => roundtrip::<SearchRequest>,
        "SearchResponse" => roundtrip::<SearchResponse>,
        "TreeHead" => roundtrip::<TreeHead>,
        "TreeHeadTBS" => roundtrip::<TreeHeadTbs>,
        "UpdateRequest" => roundtrip::<UpdateRequest>,
        "UpdateResponse" => roundtrip::<UpdateResponse>,
        "UpdateTBS" => roundtrip::<UpdateTbs>,
        "UpdateValue" => roundtrip::<UpdateValue>,
        "VrfInput" => roundtrip::<VrfInput>,
        other => panic!("no codec for {other}"),
    }
}

fn mode(name: &Value) -> DeploymentMode {
    match name.as_str().unwrap() {
        "contactMonitoring" => DeploymentMode::ContactMonitoring,
        "thirdPartyManagement" => DeploymentMode::ThirdPartyManagement,
        "thirdPartyAuditing" => DeploymentMode::ThirdPartyAuditing,
        other => panic!("no mode {other}"),
    }
}

/// Every structure decodes, encodes to the same bytes, and each damaged encoding is refused.
#[test]
fn wire_vectors() {
    let file = crate::vectors::read("wire.json");
    let (mut good, mut bad) = (0, 0);
    for case in file["cases"].as_array().unwrap() {
        let name = case["struct"].as_str().unwrap();
        let codec = codec(name);
        let context = Context {
            mode: mode(&case["mode"]),
            version_requested: case["version_requested"].as_bool().unwrap(),
        };
        let bytes = crate::vectors::bytes(&case["bytes"]);
        assert_eq!(codec(&bytes, context).as_deref(), Ok(&bytes[..]), "{name}");
        good += 1;
        for damaged in case["bad"].as_array().unwrap() {
            let bytes = crate::vectors::bytes(&damaged[1]);
            assert!(codec(&bytes, context).is_err(), "{name}: {}", damaged[0]);
            bad += 1;
        }
    }
    println!("wire.json: {good} structures, {bad} damaged encodings");
    assert!(good > 0 && bad > 0);
}

#[test]
fn a_length_prefix_buys_no_memory() {
    // 2^32 - 1 bytes are announced, none follow.
    let context = Context::new(DeploymentMode::ContactMonitoring);
    assert_eq!(UpdateValue::decode(&[0xff; 4], context), Err(WireError::Truncated));
    assert_eq!(PrefixProof::decode(&[0xff], context), Err(WireError::Truncated));
}

#[test]
fn a_label_of_256_bytes_has_no_encoding() {
    let request = SearchRequest { last: None, label: vec![0; 256], version: None };
    assert_eq!(request.encode(), Err(WireError::TooLong));
}

/// The draft's counts, which suite 0xF001 widens.
#[test]
fn an_auditor_update_of_the_draft_has_its_limits() {
    let result = PrefixSearchResult { kind: PrefixSearchKind::NonInclusionParent, depth: 1 };
    let update = |results, elements| BatchAuditorUpdate {
        timestamp: 1,
        added: Vec::new(),
        removed: Vec::new(),
        proof: BatchPrefixProof { results: vec![result; results], elements: vec![[0; 32]; elements] },
    };
    for (results, elements, fits) in
        [(0, 0, true), (255, 65_535, true), (256, 0, false), (0, 65_536, false), (256, 65_536, false)]
    {
        let draft = AuditorUpdate::try_from(update(results, elements));
        match draft {
            Ok(draft) if fits => assert_eq!(BatchAuditorUpdate::from(draft), update(results, elements)),
            other => assert_eq!((other, fits), (Err(WireError::TooLong), false), "{results} {elements}"),
        }
    }
}
