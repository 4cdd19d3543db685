//! The draft's structures, and what is stored of them.

use keyglass_keytrans::{
    audit::AuditedLog,
    client::{UserState, decode_update_responses},
    config::{Configuration, DeploymentMode},
    log_hash::LogHash,
    prefix_tree::{Page, PageKey, TreeRoot},
    wire::{
        AuditorTreeHead, AuditorTreeHeadTbs, AuditorUpdate, BatchAuditorUpdate, BinaryLadderStep,
        CombinedTreeProof, CommitmentValue, ContactMonitorRequest, ContactMonitorResponse, Context,
        Credential, CredentialUpdate, DistinguishedHead, DistinguishedRequest, DistinguishedResponse,
        FullTreeHead, InclusionProof, LogEntry, ManagerUpdateRequest, OwnerInitRequest, OwnerInitResponse,
        OwnerMonitorRequest, OwnerMonitorResponse, PrefixProof, SearchRequest, SearchResponse, TreeHead,
        TreeHeadTbs, UpdateRequest, UpdateResponse, UpdateTbs, UpdateValue, VrfInput, Wire,
    },
};

use crate::updates::{Form, Limits, Splitter};

/// A structure's name in the draft, and what decodes it and demands that it has one spelling.
pub type Codec = (&'static str, fn(&[u8], Context));

/// The codec of each structure; an input's first byte is an index into this.
pub const CODECS: &[Codec] = &[
    ("AuditorTreeHead", canonical::<AuditorTreeHead>),
    ("AuditorTreeHeadTBS", canonical::<AuditorTreeHeadTbs>),
    ("AuditorUpdate", canonical::<AuditorUpdate>),
    ("BinaryLadderStep", canonical::<BinaryLadderStep>),
    ("CombinedTreeProof", canonical::<CombinedTreeProof>),
    ("CommitmentValue", canonical::<CommitmentValue>),
    ("Configuration", canonical::<Configuration>),
    ("ContactMonitorRequest", canonical::<ContactMonitorRequest>),
    ("ContactMonitorResponse", canonical::<ContactMonitorResponse>),
    ("Credential", canonical::<Credential>),
    ("CredentialUpdate", canonical::<CredentialUpdate>),
    ("DistinguishedHead", canonical::<DistinguishedHead>),
    ("DistinguishedRequest", canonical::<DistinguishedRequest>),
    ("DistinguishedResponse", canonical::<DistinguishedResponse>),
    ("FullTreeHead", canonical::<FullTreeHead>),
    ("InclusionProof", canonical::<InclusionProof>),
    ("LogEntry", canonical::<LogEntry>),
    ("ManagerUpdateRequest", canonical::<ManagerUpdateRequest>),
    ("OwnerInitRequest", canonical::<OwnerInitRequest>),
    ("OwnerInitResponse", canonical::<OwnerInitResponse>),
    ("OwnerMonitorRequest", canonical::<OwnerMonitorRequest>),
    ("OwnerMonitorResponse", canonical::<OwnerMonitorResponse>),
    ("PrefixProof", canonical::<PrefixProof>),
    ("SearchRequest", canonical::<SearchRequest>),
    ("SearchResponse", canonical::<SearchResponse>),
    ("TreeHead", canonical::<TreeHead>),
    ("TreeHeadTBS", canonical::<TreeHeadTbs>),
    ("UpdateRequest", canonical::<UpdateRequest>),
    ("UpdateResponse", canonical::<UpdateResponse>),
    ("UpdateTBS", canonical::<UpdateTbs>),
    ("UpdateValue", canonical::<UpdateValue>),
    ("VrfInput", canonical::<VrfInput>),
    ("BatchAuditorUpdate", canonical::<BatchAuditorUpdate>),
];

/// The modes; an input's second byte is an index into this, plus 3 where the request named a version.
pub const MODES: [DeploymentMode; 3] = [
    DeploymentMode::ContactMonitoring,
    DeploymentMode::ThirdPartyManagement,
    DeploymentMode::ThirdPartyAuditing,
];

fn canonical<T: Wire>(bytes: &[u8], context: Context) {
    if let Ok(value) = T::decode(bytes, context) {
        assert_eq!(value.encode().as_deref(), Ok(bytes), "another spelling");
    }
}

/// Which structure, which context, and the bytes.
pub fn structure(input: &[u8]) {
    let [which, context, bytes @ ..] = input else { return };
    let Some((_, codec)) = CODECS.get(usize::from(*which)) else { return };
    let Some(&mode) = MODES.get(usize::from(context % 3)) else { return };
    codec(bytes, Context { mode, version_requested: *context >= 3 });
}

/// What answers an update: any number of responses one after the other. The first byte is the mode.
pub fn updates(input: &[u8]) {
    let Some((mode, bytes)) = input.split_first() else { return };
    let Some(&mode) = MODES.get(usize::from(*mode)) else { return };
    if let Ok(responses) = decode_update_responses(bytes, Context::new(mode)) {
        let again: Vec<u8> = responses.iter().flat_map(|response| response.encode().unwrap()).collect();
        assert_eq!(again, bytes, "another spelling");
    }
}

/// Updates as an auditor reads them from a log, without frames. The first byte says in which form and how large they may be, the
/// second in which pieces they arrive.
pub fn update_stream(input: &[u8]) {
    let [which, piece, bytes @ ..] = input else { return };
    let form = if which % 2 == 0 { Form::Batch } else { Form::Draft };
    let limits = Limits { leaves: usize::from(which / 2) };
    let split = |length: usize| {
        let mut splitter = Splitter::new(form, limits);
        let refused = bytes.chunks(length.max(1)).find_map(|piece| splitter.push(piece).err());
        (refused, splitter.finish())
    };
    let (refused, (complete, rest)) = split(bytes.len());
    let in_pieces = split(usize::from(*piece));
    assert_eq!((&refused, &complete), (&in_pieces.0, &in_pieces.1.0), "pieces change nothing");
    assert!(complete.iter().all(|update| update.len() <= limits.bytes()));
    if refused.is_none() {
        assert_eq!([complete.concat(), rest].concat(), bytes, "nothing is lost");
    }
    for update in &complete {
        if let Ok(decoded) = form.decode(update) {
            assert!(decoded.added.len() + decoded.removed.len() <= limits.leaves);
        }
    }
}

/// What a client and a log store. The first byte says which.
pub fn stored(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    match which % 4 {
        0 => {
            if let Ok(state) = UserState::decode(bytes) {
                let again = UserState::decode(&state.encode().unwrap());
                assert_eq!(again.as_ref(), Ok(&state));
            }
        }
        1 => {
            if let Ok(key) = PageKey::from_bytes(bytes) {
                assert_eq!(key.to_bytes(), bytes, "another spelling");
            }
        }
        2 => {
            if let Ok(root) = TreeRoot::from_bytes(bytes) {
                assert_eq!(TreeRoot::from_bytes(&root.to_bytes()), Ok(root));
            }
        }
        _ => {
            // A page is read for its key: the length of that, the key, the page.
            let Some((&length, rest)) = bytes.split_first() else { return };
            let Some((key, page)) = rest.split_at_checked(usize::from(length)) else { return };
            let Ok(key) = PageKey::from_bytes(key) else { return };
            if let Ok(decoded) = Page::decode(&key, page) {
                assert_eq!(decoded.as_bytes(), page, "another spelling");
            }
        }
    }
}

/// An auditor reads updates from the log, one after the other: four bytes of the monitoring window in milliseconds, then
/// for each update two bytes of length and itself.
pub fn audit(input: &[u8]) {
    let context = Context::new(DeploymentMode::ThirdPartyAuditing);
    let Some((window, mut rest)) = input.split_first_chunk::<4>() else { return };
    let mut log = AuditedLog::new(LogHash::Rfc6962, u32::from_be_bytes(*window).into());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let Some((bytes, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return;
        };
        rest = after;
        let Ok(update) = BatchAuditorUpdate::decode(bytes, context) else { return };
        let before = (log.size(), log.root());
        match log.apply(&update, |_| Some(0)) {
            Ok(audited) => {
                assert_eq!((audited.position, log.size()), (before.0, before.0 + 1));
                assert_eq!(log.root(), Some(audited.root));
            }
            Err(_) => {
                assert_eq!((log.size(), log.root()), before, "a refused update leaves no trace");
                return;
            }
        }
    }
}
