//! Accounts, prekeys, requests and messages.

use std::{str, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keyglass_account::{
    api::{
        AckMessages, Bundles, FetchBundles, Messages, PreKeyStatus, Receipts, SendMessage, SendReceipt,
        TokenIssued, UploadPreKeys,
    },
    auth::{Credential, Token},
    label::{self as labels, MAX_LABEL_LEN},
    link::{self, LinkOffer},
    prekey::{
        Batch, Entry, KemPreKeyBatch, LastResortPreKey, OneTimeEntry, PreKey, PreKeyBatch, PreKeyBundle,
        SignedPreKey,
    },
    problem::ProblemDetails,
    record::AccountRecord,
    search_many::{self as many, MAX_LABELS, SearchManyRequest},
    text_code as codes,
    time::UnixMillis,
    verify,
};
use keyglass_client_verify::x3dh::{FirstMessage, InitialMessage};
use keyglass_crypto::{dh::DhPublicKey, kem::KemPublicKey, secret::Secret, sign::SigningKey};
use serde::{Serialize, de::DeserializeOwned};

use crate::registration::{keys::TokenKeys, token};

const ORIGIN: &str = "log.example/fuzz";
const LABEL: &[u8] = b"bob";

/// An account's record, and its verification as version 0 and as a later one.
pub fn record(input: &[u8]) {
    let Ok(record) = AccountRecord::decode(input) else { return };
    assert_eq!(record.encode(), input, "another spelling");
    for version in [0, record.version] {
        // Whether it is valid is for the signatures to say; that it is said without a panic is what counts here.
        let _ = verify::verify(ORIGIN, LABEL, version, input, None);
    }
}

/// Batches, signed prekeys and bundles. The first byte says which.
pub fn prekeys(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    match which % 8 {
        0 => {
            if let Ok(batch) = PreKeyBatch::decode(bytes) {
                assert_eq!(batch.encode(), bytes, "another spelling");
                assert!(batch.entry(0).is_some());
            }
        }
        1 => {
            if let Ok(signed) = SignedPreKey::decode(bytes) {
                assert_eq!(signed.encode(), bytes, "another spelling");
            }
        }
        2 => {
            if let Ok(bundle) = PreKeyBundle::decode(bytes) {
                assert_eq!(bundle.encode(), bytes, "another spelling");
            }
        }
        3 => handed_out::<DhPublicKey>(bytes),
        4 => {
            if let Ok(batch) = KemPreKeyBatch::decode(bytes) {
                assert_eq!(batch.encode(), bytes, "another spelling");
                assert!(batch.entry(0).is_some());
            }
        }
        5 => {
            if let Ok(signed) = LastResortPreKey::decode(bytes) {
                assert_eq!(signed.encode(), bytes, "another spelling");
            }
        }
        6 => {
            if let Ok(entry) = OneTimeEntry::decode(bytes) {
                assert_eq!(entry.encode(), bytes, "another spelling");
            }
        }
        _ => handed_out::<KemPublicKey>(bytes),
    }
}

/// A pool hands out of a batch that it has not decoded as a whole.
fn handed_out<K: PreKey>(input: &[u8]) {
    let Some((index, bytes)) = input.split_first_chunk::<2>() else { return };
    let index = u16::from_be_bytes(*index);
    if let (Ok(batch), Ok(entry)) = (Batch::<K>::decode(bytes), Entry::<K>::from_batch(bytes, index)) {
        assert_eq!(entry, batch.entry(index));
    }
}

/// `Authorization` headers.
pub fn headers(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(credential) = Credential::from_header(text) {
        assert_eq!(Credential::from_header(&credential.to_header()).as_ref(), Ok(&credential));
    }
    let key = Secret::new([5; 32]);
    if let Ok(token) = Token::from_header(text, &key, ORIGIN, UnixMillis(0)) {
        // The scheme's name is read in any case, and nothing else has two spellings.
        let written = token.to_header(&key, ORIGIN);
        assert_eq!(written.split_once(' ').unwrap().1, text.split_once(' ').unwrap().1, "another spelling");
    }
}

/// The JSON bodies of requests and answers. The first byte says which.
pub fn json(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    match which % 11 {
        0 => body::<UploadPreKeys>(bytes),
        1 => body::<FetchBundles>(bytes),
        2 => body::<SendMessage>(bytes),
        3 => body::<AckMessages>(bytes),
        4 => body::<TokenIssued>(bytes),
        5 => body::<PreKeyStatus>(bytes),
        6 => body::<Bundles>(bytes),
        7 => body::<Messages>(bytes),
        8 => body::<ProblemDetails>(bytes),
        9 => body::<SendReceipt>(bytes),
        _ => body::<Receipts>(bytes),
    }
}

/// Searches for many labels at once, and their answers. The first byte says which.
pub fn search_many(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    if which % 2 == 0 {
        if let Ok(request) = SearchManyRequest::decode(bytes) {
            assert_eq!(request.encode(), bytes, "another spelling");
            assert!((1..=MAX_LABELS).contains(&request.labels.len()));
        }
    } else if let Ok(answers) = many::decode_answers(bytes) {
        assert_eq!(many::encode_answers(&answers), bytes, "another spelling");
        assert!((1..=MAX_LABELS).contains(&answers.len()));
    }
}

/// What a new device shows to the account that it is to join, as bytes and as text.
pub fn link_offer(input: &[u8]) {
    let check = |offer: &LinkOffer| {
        assert_eq!(LinkOffer::from_text(&offer.to_text()).as_ref(), Ok(offer));
        let _ = offer.verify(ORIGIN);
        assert!(!offer.digits().is_empty());
    };
    if let Ok(offer) = LinkOffer::decode(input) {
        assert_eq!(offer.encode(), input, "another spelling");
        assert!(input.len() <= link::MAX_OFFER_LEN);
        check(&offer);
    }
    if let Some(offer) = str::from_utf8(input).ok().and_then(|text| LinkOffer::from_text(text).ok()) {
        check(&offer);
    }
}

/// Codes that people type.
pub fn text_code(input: &[u8]) {
    const PREFIX: &str = "KEYGLASS-FUZZ";
    if let Some(bytes) = str::from_utf8(input).ok().and_then(|text| codes::decode(PREFIX, text).ok()) {
        let written = codes::encode(PREFIX, &bytes);
        assert_eq!(codes::decode(PREFIX, &written).as_ref(), Ok(&bytes));
        let kept = |text: &str| -> String {
            text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '-').collect::<String>().to_uppercase()
        };
        assert_eq!(kept(&written), kept(str::from_utf8(input).unwrap()), "another spelling");
    }
}

/// Labels as people type them: what comes out goes in and stays as it is.
pub fn label(input: &[u8]) {
    let required = labels::require_normalised(input);
    let Ok(text) = str::from_utf8(input) else {
        assert!(required.is_err());
        return;
    };
    match labels::normalise(text) {
        Ok(normalised) => {
            assert!((1..=MAX_LABEL_LEN).contains(&normalised.as_str().len()));
            assert_eq!(labels::normalise(normalised.as_str()).as_ref(), Ok(&normalised), "done once for all");
            assert_eq!(labels::require_normalised(normalised.as_str().as_bytes()), Ok(normalised.kind()));
            assert_eq!(required.is_ok(), normalised.as_str() == text);
        }
        Err(_) => assert!(required.is_err()),
    }
}

/// Tokens for new accounts, signed by the account service whose set of keys is the first seed of the other target.
pub fn registration_token(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let now = UnixMillis(REGISTRATION_TIME * 1000);
    let judged = token::verify(&SERVICE_KEYS, text, ORIGIN, LABEL, now);
    if judged.is_ok() {
        assert!(text.len() <= token::MAX_TOKEN);
        assert!(token::verify(&SERVICE_KEYS, text, ORIGIN, b"alice", now).is_err());
        assert!(token::verify(&SERVICE_KEYS, text, "log.example/nowhere", LABEL, now).is_err());
        let later = UnixMillis(now.0 + (token::MAX_LIFETIME + 2 * token::LEEWAY) * 1000);
        assert!(token::verify(&SERVICE_KEYS, text, ORIGIN, LABEL, later).is_err());
    }
}

/// Sets of keys of an account service.
pub fn registration_keys(input: &[u8]) {
    if let Ok(keys) = TokenKeys::parse(input) {
        assert!(keys.get("no such key \u{0}").is_none());
    }
}

/// The seconds at which the tokens of the seeds are good.
pub const REGISTRATION_TIME: u64 = 1_700_000_000;

/// The set of keys of the account service.
#[must_use]
pub fn service_keys() -> String {
    let x = URL_SAFE_NO_PAD.encode(service_key().verifying_key().to_bytes());
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{x}"}}]}}"#)
}

/// The key of the account service.
#[must_use]
pub fn service_key() -> SigningKey {
    SigningKey::from_seed(&[0x51; 32])
}

static SERVICE_KEYS: LazyLock<TokenKeys> =
    LazyLock::new(|| TokenKeys::parse(service_keys().as_bytes()).unwrap());

/// Whatever is read is written, read and written again to the same text.
fn body<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let written = serde_json::to_string(&value).unwrap();
        let again: T = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
}

/// Initial messages and what is inside. The first byte says which.
pub fn message(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    if which % 2 == 0 {
        if let Ok(message) = InitialMessage::decode(bytes) {
            assert_eq!(message.encode(), bytes, "another spelling");
        }
        return;
    }
    if let Ok(first) = FirstMessage::decode(bytes) {
        let written = first.encode().unwrap();
        // Format 1 is read and no longer written.
        assert!(written == bytes || bytes.first() == Some(&1), "another spelling");
        assert_eq!(FirstMessage::decode(&written).as_ref(), Ok(&first));
    }
}
