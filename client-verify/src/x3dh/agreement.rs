//! The Diffie-Hellman outputs DH1 to DH4 and what is derived from them (X3DH and PQXDH, sections 2.2 and 3.3).
//!
//! The input key material is `F ‖ DH1 ‖ DH2 ‖ DH3 [‖ DH4] [‖ SS]` with `F` 32 bytes of 0xFF and `SS` the secret that ML-KEM
//! encapsulated, in PQXDH; the salt is 32 zero bytes, and the `info` the transcript of the handshake: both parties derive
//! the same keys only if they agree on every public value in it.

use keyglass_crypto::{
    dh::{DhError, DhPublicKey, DhSecretKey},
    kdf::hkdf_sha256,
    secret::Secret,
};
use zeroize::{Zeroize, Zeroizing};

/// `F`: no X25519 public key or shared secret is encoded so, which separates this derivation from XEdDSA's hashes.
const F: [u8; 32] = [0xFF; 32];

/// HKDF's salt: as many zero bytes as the hash has output.
const SALT: [u8; 32] = [0; 32];

/// Bytes of output: root key, two chain keys, the first message's key and its nonce.
const OUTPUT: usize = 32 * 4 + 12;

/// `F ‖ DH1 ‖ DH2 ‖ DH3 [‖ DH4] [‖ SS]`. Erased when dropped.
pub(super) struct KeyMaterial(Zeroizing<Vec<u8>>);

/// What both parties derive. Erased when dropped.
pub(super) struct Schedule {
    /// The secret that a Double Ratchet starts from (SK in X3DH).
    pub root_key: Secret<32>,
    /// The chain on which the initiator sends until the responder's first ratchet step.
    pub initiator_chain: Secret<32>,
    /// What the responder mixes with fresh randomness before it sends.
    pub responder_chain: Secret<32>,
    /// The key of the initial ciphertext, and of nothing else.
    pub message_key: Secret<32>,
    /// The nonce of the initial ciphertext.
    pub message_nonce: [u8; 12],
}

/// The initiator's side: her device key and ephemeral key with the responder's public keys.
///
/// # Errors
/// [`DhError::SmallOrder`] if an output is all zeros.
pub(super) fn initiator(
    identity: &DhSecretKey,
    ephemeral: &DhSecretKey,
    peer_identity: &DhPublicKey,
    signed: &DhPublicKey,
    one_time: Option<&DhPublicKey>,
    encapsulated: Option<&Secret<32>>,
) -> Result<KeyMaterial, DhError> {
    let dh4 = one_time.map(|key| ephemeral.agree(key)).transpose()?;
    Ok(KeyMaterial::new(
        [&identity.agree(signed)?, &ephemeral.agree(peer_identity)?, &ephemeral.agree(signed)?],
        dh4.as_ref(),
        encapsulated,
    ))
}

/// The responder's side: his device key and prekeys with the initiator's public keys.
///
/// # Errors
/// [`DhError::SmallOrder`] if an output is all zeros.
pub(super) fn responder(
    identity: &DhSecretKey,
    signed: &DhSecretKey,
    one_time: Option<&DhSecretKey>,
    peer_identity: &DhPublicKey,
    peer_ephemeral: &DhPublicKey,
    encapsulated: Option<&Secret<32>>,
) -> Result<KeyMaterial, DhError> {
    let dh4 = one_time.map(|key| key.agree(peer_ephemeral)).transpose()?;
    Ok(KeyMaterial::new(
        [&signed.agree(peer_identity)?, &identity.agree(peer_ephemeral)?, &signed.agree(peer_ephemeral)?],
        dh4.as_ref(),
        encapsulated,
    ))
}

impl KeyMaterial {
    fn new(first: [&Secret<32>; 3], fourth: Option<&Secret<32>>, encapsulated: Option<&Secret<32>>) -> Self {
        // Reserved whole, so that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 * 6));
        bytes.extend_from_slice(&F);
        for output in first.into_iter().chain(fourth).chain(encapsulated) {
            bytes.extend_from_slice(output.expose());
        }
        Self(bytes)
    }

    /// Derives the keys under `info`, the encoded transcript.
    pub(super) fn derive(&self, info: &[u8]) -> Schedule {
        let output: Secret<OUTPUT> = hkdf_sha256(&SALT, &self.0, info);
        let [root_key, initiator_chain, responder_chain, message_key] = keys(&output);
        let mut message_nonce = [0; 12];
        message_nonce.iter_mut().zip(output.expose().iter().skip(32 * 4)).for_each(|(to, from)| *to = *from);
        Schedule { root_key, initiator_chain, responder_chain, message_key, message_nonce }
    }
}

/// The first four 32-byte parts of the output.
fn keys(output: &Secret<OUTPUT>) -> [Secret<32>; 4] {
    let mut parts = output.expose().as_chunks::<32>().0.iter();
    core::array::from_fn(|_| {
        let mut part = parts.next().copied().unwrap_or_default();
        let key = Secret::new(part);
        part.zeroize();
        key
    })
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::dh::DhSecretKey;

    use super::*;

    fn key(byte: u8) -> DhSecretKey {
        DhSecretKey::from_bytes(&[byte; 32])
    }

    /// Both sides, with and without a one-time prekey.
    fn both(one_time: bool) -> (Schedule, Schedule) {
        both_with(one_time, None)
    }

    /// Both sides of PQXDH, where `encapsulated` is what ML-KEM gave.
    fn both_with(one_time: bool, encapsulated: Option<&Secret<32>>) -> (Schedule, Schedule) {
        let (alice, ephemeral, bob, signed) = (key(1), key(2), key(3), key(4));
        let one_time = one_time.then(|| key(5));
        let a = initiator(
            &alice,
            &ephemeral,
            &bob.public_key(),
            &signed.public_key(),
            one_time.as_ref().map(DhSecretKey::public_key).as_ref(),
            encapsulated,
        )
        .unwrap();
        let (alice, ephemeral) = (alice.public_key(), ephemeral.public_key());
        let b = responder(&bob, &signed, one_time.as_ref(), &alice, &ephemeral, encapsulated).unwrap();
        (a.derive(b"transcript"), b.derive(b"transcript"))
    }

    #[test]
    fn both_sides_derive_the_same_keys() {
        for one_time in [false, true] {
            let (a, b) = both(one_time);
            assert_eq!(a.root_key, b.root_key);
            assert_eq!(a.initiator_chain, b.initiator_chain);
            assert_eq!(a.responder_chain, b.responder_chain);
            assert_eq!(a.message_key, b.message_key);
            assert_eq!(a.message_nonce, b.message_nonce);
        }
    }

    #[test]
    fn the_five_outputs_differ_and_depend_on_the_one_time_key() {
        let (with, without) = (both(true).0, both(false).0);
        let all = [
            &with.root_key,
            &with.initiator_chain,
            &with.responder_chain,
            &with.message_key,
            &without.root_key,
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
        assert_ne!(with.message_nonce, without.message_nonce);
    }

    /// The derivation written out once more from the specification, without this module's code.
    #[test]
    fn agrees_with_the_specification_written_out() {
        let (alice, ephemeral, bob, signed, one_time) = (key(1), key(2), key(3), key(4), key(5));
        let mut ikm = vec![0xFF; 32];
        ikm.extend(alice.agree(&signed.public_key()).unwrap().expose());
        ikm.extend(ephemeral.agree(&bob.public_key()).unwrap().expose());
        ikm.extend(ephemeral.agree(&signed.public_key()).unwrap().expose());
        ikm.extend(ephemeral.agree(&one_time.public_key()).unwrap().expose());
        let expected = hkdf_sha256::<32>(&[0; 32], &ikm, b"transcript");
        assert_eq!(both(true).0.root_key, expected);
        ikm.extend([9; 32]);
        let expected = hkdf_sha256::<32>(&[0; 32], &ikm, b"transcript");
        assert_eq!(both_with(true, Some(&Secret::new([9; 32]))).0.root_key, expected);
        assert_eq!(both_with(true, Some(&Secret::new([9; 32]))).1.root_key, expected);
    }

    /// The output is cut into its parts, and no byte is in two of them.
    #[test]
    fn the_parts_of_the_output_lie_side_by_side() {
        let shared = key(1).agree(&key(2).public_key()).unwrap();
        let material = KeyMaterial::new([&shared, &shared, &shared], None, None);
        let output: Secret<OUTPUT> = hkdf_sha256(&SALT, &material.0, b"info");
        let Schedule { root_key, initiator_chain, responder_chain, message_key, message_nonce } =
            material.derive(b"info");
        let keys = [root_key, initiator_chain, responder_chain, message_key];
        let mut parts: Vec<u8> = keys.iter().flat_map(|key| *key.expose()).collect();
        parts.extend(message_nonce);
        assert_eq!(parts, output.expose());
    }
}
