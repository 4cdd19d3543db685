//! A server that hands out a bundle of its own making in place of Bob's.

use std::sync::Arc;

use keyglass_account::{
    api::{BUNDLES, Base64, BundleResult, Bundles},
    prekey::{PreKeyBundle, PreKeyError, SignedPreKey},
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};

use crate::{
    Failed,
    lying::proxy::{Answered, Asked, Proxy},
    report::Report,
    system::System,
};

/// Alice asks for Bob's prekeys and is given the server's, signed by a key that the server calls Bob's.
///
/// # Errors
/// [`Failed`] if it cannot go on.
pub async fn run(report: &mut Report, system: &System) -> Result<(), Failed> {
    report.title("4a. The server hands out a bundle under another identity key for Bob");
    report.doing("Alice asks a lying server for Bob's bundles");
    let origin = system.log.origin.clone();
    let lie = move |asked: &Asked, answered: Answered| {
        if asked.path != BUNDLES {
            return answered;
        }
        match swap(&origin, &answered.body) {
            Some(body) => Answered { body: body.into(), ..answered },
            None => answered,
        }
    };
    let proxy = Proxy::start(system.url()?, Arc::new(lie)).await.map_err(Failed::Listen)?;
    let answer = system.client_of("alice", &proxy.url()).run(&["send", "bob", "Are you there?"]).await?;
    let why =
        "no device that Bob's proven record names signed these prekeys: refused before any key agreement";
    report.answer("4a. swapped bundle", &answer, "refused", why);
    Ok(())
}

/// The answer with every bundle replaced by one that verifies under the server's own keys.
fn swap(origin: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut bundles: Bundles = serde_json::from_slice(body).ok()?;
    for target in &mut bundles.bundles {
        if let BundleResult::Bundle(bundle) = &target.result {
            let honest = PreKeyBundle::decode(bundle.as_bytes()).ok()?;
            let forged = forge(origin, target.target.label.as_bytes(), &honest.signed_prekey).ok()?;
            // What else there is may stay: it is refused for the keys that everything hangs on.
            let forged = PreKeyBundle { kem: honest.kem, ..forged };
            target.result = BundleResult::Bundle(Base64::new(forged.encode()).ok()?);
        }
    }
    serde_json::to_vec(&bundles).ok()
}

/// A bundle like the honest one, of keys that the server knows.
fn forge(origin: &str, label: &[u8], honest: &SignedPreKey) -> Result<PreKeyBundle, PreKeyError> {
    let identity = SigningKey::from_seed(&[0x66; 32]);
    let prekey = DhSecretKey::from_bytes(&[0x67; 32]).public_key();
    let signed_prekey = SignedPreKey::sign(
        origin,
        label,
        &identity,
        honest.device,
        honest.id,
        prekey,
        honest.created,
        honest.expires,
        honest.floor,
    )?;
    Ok(PreKeyBundle { signed_prekey, one_time: None, kem: None })
}
