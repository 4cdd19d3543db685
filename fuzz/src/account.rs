//! Accounts, prekeys, requests and messages.

use std::str;

use keyglass_account::{
    api::{
        AckMessages, Bundles, FetchBundles, Messages, PreKeyStatus, SendMessage, TokenIssued, UploadPreKeys,
    },
    auth::{Credential, Token},
    prekey::{
        Batch, Entry, KemPreKeyBatch, LastResortPreKey, OneTimeEntry, PreKey, PreKeyBatch, PreKeyBundle,
        SignedPreKey,
    },
    problem::ProblemDetails,
    record::AccountRecord,
    time::UnixMillis,
    verify,
};
use keyglass_client_verify::x3dh::{FirstMessage, InitialMessage};
use keyglass_crypto::{dh::DhPublicKey, kem::KemPublicKey, secret::Secret};
use serde::{Serialize, de::DeserializeOwned};

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
    match which % 9 {
        0 => body::<UploadPreKeys>(bytes),
        1 => body::<FetchBundles>(bytes),
        2 => body::<SendMessage>(bytes),
        3 => body::<AckMessages>(bytes),
        4 => body::<TokenIssued>(bytes),
        5 => body::<PreKeyStatus>(bytes),
        6 => body::<Bundles>(bytes),
        7 => body::<Messages>(bytes),
        _ => body::<ProblemDetails>(bytes),
    }
}

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
