//! Signed requests and tokens.

use std::time::Duration;

use keyglass_account::{
    auth::{AuthError, Credential, DEFAULT_WINDOW, Request, Token},
    codec::CodecError,
    time::UnixMillis,
};
use keyglass_crypto::secret::Secret;
use proptest::prelude::*;

use crate::cast::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn request() -> Request<'static> {
    Request { origin: ORIGIN, method: "PUT", path: "/v1/prekeys", body: b"{}" }
}

fn credential() -> Credential {
    Credential::sign(&request(), LABEL, 1, &device_key(1), NOW, [9; 16])
}

fn verify(credential: &Credential, request: &Request<'_>) -> Result<(), AuthError> {
    credential.verify(request, &device_key(1).verifying_key(), NOW, DEFAULT_WINDOW)
}

#[test]
fn a_signed_request_is_accepted() {
    let header = credential().to_header();
    assert!(header.starts_with("Keyglass-Device "));
    let parsed = Credential::from_header(&header).unwrap();
    assert_eq!(parsed, credential());
    assert_eq!(verify(&parsed, &request()), Ok(()));
}

#[test]
fn the_signature_covers_every_part_of_the_request() {
    let request = request();
    for other in [
        Request { origin: "log.example/other", ..request },
        Request { method: "POST", ..request },
        Request { path: "/v1/tokens", ..request },
        Request { path: "/v1/prekeys?x", ..request },
        Request { body: b"{} ", ..request },
        Request { body: b"", ..request },
    ] {
        assert_eq!(verify(&credential(), &other), Err(AuthError::BadSignature), "{other:?}");
    }
    let signed = credential();
    for other in [
        Credential { label: b"bobby".to_vec(), ..signed.clone() },
        Credential { device: 2, ..signed.clone() },
        Credential { time: UnixMillis(NOW.0 + 1), ..signed.clone() },
        Credential { nonce: [8; 16], ..signed.clone() },
    ] {
        assert_eq!(verify(&other, &request), Err(AuthError::BadSignature), "{other:?}");
    }
    let error = signed.verify(&request, &device_key(2).verifying_key(), NOW, DEFAULT_WINDOW);
    assert_eq!(error, Err(AuthError::BadSignature));
}

#[test]
fn the_window_is_bounded_both_ways() {
    let verify = |now: u64| {
        let window = Duration::from_secs(300);
        credential().verify(&request(), &device_key(1).verifying_key(), UnixMillis(now), window)
    };
    for now in [NOW.0 - 300_000, NOW.0 + 300_000] {
        assert_eq!(verify(now), Ok(()));
    }
    for now in [0, NOW.0 - 300_001, NOW.0 + 300_001, u64::MAX] {
        assert_eq!(verify(now), Err(AuthError::OutsideWindow));
    }
}

#[test]
fn malformed_headers_are_refused() {
    let good = credential().to_header();
    let value = good.split_once(' ').unwrap().1;
    for bad in [
        String::new(),
        "Keyglass-Device".into(),
        format!("Bearer {value}"),
        format!("{good}="),
        format!("{good} "),
    ] {
        assert_eq!(Credential::from_header(&bad), Err(AuthError::BadHeader), "{bad}");
    }
    assert_eq!(
        Credential::from_header(&format!("Keyglass-Device {}", "A".repeat(4000))),
        Err(AuthError::BadHeader)
    );
    assert_eq!(Credential::from_header("Keyglass-Device AQ"), Err(AuthError::Codec(CodecError::Truncated)));
    assert_eq!(
        Credential::from_header("Keyglass-Device Ag"),
        Err(AuthError::Codec(CodecError::UnknownFormat(2)))
    );
    assert!(matches!(Credential::from_header("Keyglass-Device AQA"), Err(AuthError::Label(_))));
    let trailing = format!("{value}AAAA");
    assert!(Credential::from_header(&format!("Keyglass-Device {trailing}")).is_err());
}

fn token() -> Token {
    Token { label: LABEL.to_vec(), device: 1, expires: UnixMillis(NOW.0 + 1) }
}

#[test]
fn a_token_is_accepted_until_it_expires() {
    let key = Secret::new([5; 32]);
    let header = token().to_header(&key, ORIGIN);
    assert!(header.starts_with("Bearer "));
    assert_eq!(Token::from_header(&header, &key, ORIGIN, NOW), Ok(token()));
    let later = UnixMillis(NOW.0 + 1);
    assert_eq!(Token::from_header(&header, &key, ORIGIN, later), Err(AuthError::TokenExpired));
}

#[test]
fn a_token_of_another_key_or_log_is_refused() {
    let key = Secret::new([5; 32]);
    let header = token().to_header(&key, ORIGIN);
    let other_key = Token::from_header(&header, &Secret::new([6; 32]), ORIGIN, NOW);
    assert_eq!(other_key, Err(AuthError::BadToken));
    assert_eq!(Token::from_header(&header, &key, "log.example/other", NOW), Err(AuthError::BadToken));
    assert_eq!(Token::from_header(&credential().to_header(), &key, ORIGIN, NOW), Err(AuthError::BadHeader));
}

proptest! {
    #[test]
    fn a_changed_token_is_refused(at in 0usize..70, byte in any::<u8>()) {
        let key = Secret::new([5; 32]);
        let header = token().to_header(&key, ORIGIN);
        let mut bytes = header.clone().into_bytes();
        let at = 7 + at % (bytes.len() - 7);
        bytes[at] = byte;
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        prop_assume!(changed != header);
        prop_assert!(Token::from_header(&changed, &key, ORIGIN, NOW).is_err());
    }

    #[test]
    fn noise_is_never_a_credential(text in "\\PC{0,200}") {
        let header = format!("Keyglass-Device {}", text);
        prop_assert!(Credential::from_header(&header).is_err());
        prop_assert!(Token::from_header(&text, &Secret::new([5; 32]), ORIGIN, NOW).is_err());
    }
}
