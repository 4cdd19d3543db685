//! The log that every history runs: its keys, its configuration and its policy. They are the same in all histories, so
//! that what is expensive to derive from them is derived once.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use keyglass_crypto::{
    dh::DhSecretKey,
    sign::SigningKey,
    vrf::{VrfOutput, VrfProof, VrfSecretKey},
};
use keyglass_keytrans::{
    client::Verifier,
    config::{CipherSuite, Configuration, ModeFields},
    wire::{VrfInput, Wire as _},
};
use keyglass_log_server::publisher::HeadSigner;
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, NoteSigner, Vkey},
    policy::Policy,
};

use crate::clock::{DAY, HOUR};

/// How many witnesses there are; two must sign.
pub const WITNESSES: usize = 3;

/// How far a head may lie ahead of a client's clock, in milliseconds.
pub const MAX_AHEAD: u64 = 6 * HOUR;

/// How far it may lie behind.
pub const MAX_BEHIND: u64 = 2 * DAY;

/// After this long without an entry, the log adds an empty one.
pub const HEARTBEAT: u64 = 6 * HOUR;

/// The Reasonable Monitoring Window.
const WINDOW: u64 = 7 * DAY;

/// The keys of whoever turned the server against its users.
pub struct Attacker {
    /// An identity key.
    pub identity: SigningKey,
    /// A device's signing key.
    pub device: SigningKey,
    /// A device's, or a prekey's, secret.
    pub dh: DhSecretKey,
}

/// What a VRF proof is about.
type LabelVersion = (Vec<u8>, u32);

/// What all histories share.
pub struct Setting {
    /// The log's configuration.
    pub configuration: Configuration,
    /// Its origin.
    pub origin: String,
    /// Signs its heads.
    pub signer: HeadSigner,
    /// Its key.
    pub vkey: Vkey,
    /// The policy of all clients: two of three witnesses.
    pub policy: Policy,
    /// What every client trusts.
    pub verifier: Verifier,
    /// The same without witnesses, to learn what the log has signed.
    pub quarantine: Verifier,
    /// The log's VRF key.
    pub vrf: Arc<VrfSecretKey>,
    /// Keys of the attacker.
    pub attacker: Attacker,
    proofs: Mutex<HashMap<LabelVersion, (VrfOutput, VrfProof)>>,
}

static SETTING: LazyLock<Setting> = LazyLock::new(Setting::new);

/// What all histories share.
#[must_use]
pub fn setting() -> &'static Setting {
    &SETTING
}

impl Setting {
    fn new() -> Self {
        let vrf = VrfSecretKey::from_seed(&[2; 32]);
        let mut configuration = Configuration {
            ciphersuite: CipherSuite::Tlog.number(),
            signature_public_key: Vec::new(),
            vrf_public_key: vrf.public_key().to_bytes().to_vec(),
            mode: ModeFields::ContactMonitoring,
            max_ahead: MAX_AHEAD,
            max_behind: MAX_BEHIND,
            reasonable_monitoring_window: WINDOW,
            maximum_lifetime: None,
        };
        let origin = configuration.origin("log.example").unwrap();
        let key = || SigningKey::from_seed(&[1; 32]);
        let vkey = NoteSigner::new(KeyName::new(&origin).unwrap(), key()).vkey().clone();
        configuration.signature_public_key = vkey.to_string().into_bytes();
        let lines: Vec<String> =
            (0..WITNESSES).map(|index| format!("witness w{index} {}", cosigner(index).vkey())).collect();
        let policy = format!("log {vkey}\n{}\ngroup all 2 w0 w1 w2\nquorum all\n", lines.join("\n"));
        let verifier = Verifier::new(&configuration.encode().unwrap(), Some(policy.as_bytes())).unwrap();
        Self {
            signer: HeadSigner::new(key(), &origin, configuration.clone()).unwrap(),
            quarantine: verifier.without_witnesses().unwrap(),
            policy: Policy::parse(policy.as_bytes()).unwrap(),
            verifier,
            configuration,
            origin,
            vkey,
            vrf: Arc::new(vrf),
            attacker: Attacker {
                identity: SigningKey::from_seed(&[66; 32]),
                device: SigningKey::from_seed(&[67; 32]),
                dh: DhSecretKey::from_bytes(&[68; 32]),
            },
            proofs: Mutex::default(),
        }
    }

    /// A version's place in the prefix tree, with its proof, which is always the same.
    #[must_use]
    pub fn search_key(&self, label: &[u8], version: u32) -> (VrfOutput, VrfProof) {
        let key = (label.to_vec(), version);
        if let Some(known) = self.proofs.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return *known;
        }
        let input = VrfInput { label: label.to_vec(), version }.encode().unwrap();
        let (proof, output) = self.vrf.prove(&input);
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (output, proof));
        (output, proof)
    }
}

/// The key of a witness.
#[must_use]
pub fn cosigner(index: usize) -> Cosigner {
    let name = KeyName::new(&format!("w{index}.example")).unwrap();
    Cosigner::new(name, SigningKey::from_seed(&[100 + index as u8; 32]))
}
