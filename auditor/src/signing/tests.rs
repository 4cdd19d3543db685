use keyglass_crypto::{sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::{
    client::Verifier,
    config::{AuditingFields, Configuration, ModeFields},
};
use keyglass_tlog::note::{KeyName, NoteSigner};

use super::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_999);
const LAG: u64 = 5_000;

fn cosigner(seed: u8) -> Cosigner {
    Cosigner::new(KeyName::new("auditor.example").unwrap(), SigningKey::from_seed(&[seed; 32]))
}

fn configuration(suite: CipherSuite, mode: ModeFields) -> Vec<u8> {
    let key = SigningKey::from_seed(&[4; 32]);
    let mut configuration = Configuration {
        ciphersuite: suite.number(),
        signature_public_key: Vec::new(),
        vrf_public_key: VrfSecretKey::from_seed(&[7; 32]).public_key().to_bytes().to_vec(),
        mode,
        max_ahead: 1_000,
        max_behind: 60_000,
        reasonable_monitoring_window: 86_400_000,
        maximum_lifetime: None,
    };
    configuration.signature_public_key = match suite {
        CipherSuite::Draft => key.verifying_key().to_bytes().to_vec(),
        CipherSuite::Tlog => {
            let name = KeyName::new(&configuration.origin("log.example").unwrap()).unwrap();
            NoteSigner::new(name, key).vkey().to_string().into_bytes()
        }
    };
    configuration.encode().unwrap()
}

fn audited(suite: CipherSuite, auditor: &Cosigner) -> Vec<u8> {
    let auditor_public_key = match suite {
        CipherSuite::Tlog => auditor.vkey().to_string().into_bytes(),
        CipherSuite::Draft => auditor.ed25519_key().unwrap().verifying_key().to_bytes().to_vec(),
    };
    let fields = AuditingFields { max_auditor_lag: LAG, auditor_start_pos: 0, auditor_public_key };
    configuration(suite, ModeFields::ThirdPartyAuditing(fields))
}

fn trust(configuration: &[u8]) -> Trust {
    Trust::new(configuration, Some(b"quorum none\n")).unwrap()
}

#[test]
fn what_is_signed_verifies_under_both_suites() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let configuration = audited(suite, &cosigner(1));
        let trust = trust(&configuration);
        let signer = Signer::new(cosigner(1), &trust).unwrap();
        let verified = Verified { size: 12, root: [3; 32], last: UnixMillis(NOW.0 - 1_500) };
        let head = signer.sign(&trust, &verified, NOW).unwrap();
        let verifier = Verifier::new(&configuration, Some(b"quorum none\n")).unwrap();
        verifier.verify_auditor_signature(&head, [3; 32]).unwrap();
        assert!(verifier.verify_auditor_signature(&head, [4; 32]).is_err());
        let timestamp = match suite {
            CipherSuite::Tlog => 1_700_000_000_000,
            CipherSuite::Draft => NOW.0 - 1_500,
        };
        assert_eq!((head.tree_size, head.timestamp), (12, timestamp));
    }
}

#[test]
fn only_the_log_s_auditor_signs() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        assert!(Signer::new(cosigner(2), &trust(&audited(suite, &cosigner(1)))).is_none());
        assert!(
            Signer::new(cosigner(1), &trust(&configuration(suite, ModeFields::ContactMonitoring))).is_none()
        );
    }
    // Under suite 0xF001 the name belongs to the key.
    let renamed = Cosigner::new(KeyName::new("other.example").unwrap(), SigningKey::from_seed(&[1; 32]));
    assert!(Signer::new(renamed, &trust(&audited(CipherSuite::Tlog, &cosigner(1)))).is_none());
}

#[test]
fn nothing_is_signed_that_is_older_than_the_lag_or_from_the_future() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let trust = trust(&audited(suite, &cosigner(1)));
        let signer = Signer::new(cosigner(1), &trust).unwrap();
        let sign =
            |last| signer.sign(&trust, &Verified { size: 1, root: [0; 32], last: UnixMillis(last) }, NOW);
        assert!(sign(NOW.0 - LAG).is_ok());
        assert_eq!(sign(NOW.0 - LAG - 1), Err(NotSigned::TooOld { age_ms: LAG + 1, max_lag_ms: LAG }));
        assert!(sign(NOW.0 + 1_000).is_ok());
        assert_eq!(sign(NOW.0 + 1_001), Err(NotSigned::Ahead { ahead_ms: 1_001 }));
    }
    let trust = trust(&audited(CipherSuite::Tlog, &cosigner(1)));
    let verified = Verified { size: 1, root: [0; 32], last: UnixMillis(0) };
    let signer = Signer::new(cosigner(1), &trust).unwrap();
    assert_eq!(signer.sign(&trust, &verified, UnixMillis(999)), Err(NotSigned::Clock));
}

#[test]
fn a_start_needs_a_tree_to_take_over() {
    let auditor_public_key = cosigner(1).ed25519_key().unwrap().verifying_key().to_bytes().to_vec();
    let fields = AuditingFields { max_auditor_lag: LAG, auditor_start_pos: 7, auditor_public_key };
    let configuration = configuration(CipherSuite::Draft, ModeFields::ThirdPartyAuditing(fields));
    let refused = Trust::new(&configuration, None).unwrap_err();
    assert_eq!(refused, crate::trust::TrustError::Start(7));
}
