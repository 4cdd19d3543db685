//! A user who trusts a log's configuration and two of three witnesses, together with everybody's keys.

use keyglass_crypto::{hash::Digest, sign::SigningKey, vrf::VrfSecretKey};
use keyglass_keytrans::{
    client::Verifier,
    config::{CipherSuite, Configuration, ModeFields},
    wire::Wire as _,
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{self, KeyName, NoteSigner},
    time::UnixMillis,
};

/// The Reasonable Monitoring Window: a day, in milliseconds.
pub const WINDOW: u64 = 86_400_000;

/// The user, the log's signer and the witnesses.
pub struct User {
    /// Judges responses.
    pub verifier: Verifier,
    origin: String,
    log_key: NoteSigner,
    witnesses: Vec<Cosigner>,
}

impl User {
    /// A user of the log with this VRF key.
    pub fn new(vrf: &VrfSecretKey) -> Self {
        let mut configuration = Configuration {
            ciphersuite: CipherSuite::Tlog.number(),
            signature_public_key: Vec::new(),
            vrf_public_key: vrf.public_key().to_bytes().to_vec(),
            mode: ModeFields::ContactMonitoring,
            max_ahead: 60_000,
            max_behind: 600_000,
            reasonable_monitoring_window: WINDOW,
            maximum_lifetime: None,
        };
        let origin = configuration.origin("bench.example").unwrap();
        let log_key = NoteSigner::new(KeyName::new(&origin).unwrap(), SigningKey::from_seed(&[4; 32]));
        configuration.signature_public_key = log_key.vkey().to_string().into_bytes();
        let witness = |n: u8| {
            let name = KeyName::new(&format!("w{n}.example")).unwrap();
            Cosigner::new(name, SigningKey::from_seed(&[0x10 + n; 32]))
        };
        let witnesses: Vec<Cosigner> = (1..=3).map(witness).collect();
        let lines: String =
            (1..).zip(&witnesses).map(|(n, witness)| format!("witness w{n} {}\n", witness.vkey())).collect();
        let policy = format!("{lines}group g 2 w1 w2 w3\nquorum g\n");
        let verifier = Verifier::new(&configuration.encode().unwrap(), Some(policy.as_bytes())).unwrap();
        Self { verifier, origin, log_key, witnesses }
    }

    /// The signature lines of a head: the log's and all three witnesses'.
    pub fn sign(&self, size: u64, root: Digest, now: UnixMillis) -> Vec<u8> {
        let checkpoint = Checkpoint::new(&self.origin, size, root).unwrap();
        let mut lines = vec![self.log_key.sign(&checkpoint.text())];
        lines.extend(self.witnesses.iter().map(|w| w.cosign(&checkpoint, now.to_seconds()).unwrap()));
        note::format_signature_lines(&lines).into_bytes()
    }
}
