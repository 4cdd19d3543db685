//! What both parties must agree on: the public values of a handshake and their one encoding.
//!
//! HKDF's `info` is the whole [`Transcript`], the associated data names both parties, and the handshake's id is made of
//! what a redelivered message still tells when the one-time prekey is long erased.

use keyglass_account::{codec::Writer, device::Suite};
use keyglass_crypto::{
    dh::DhPublicKey,
    hash::sha256,
    kem::{KemCiphertext, KemPublicKey},
    sign::VerifyingKey,
};

/// Starts HKDF's `info` of X3DH.
const INFO: &str = "keyglass x3dh v1";
/// Starts HKDF's `info` of PQXDH, in the form that its specification gives (section 2.2): application, curve, hash, KEM.
const PQXDH_INFO: &str = "keyglass pqxdh v1_CURVE25519_SHA-256_ML-KEM-768";
/// Starts the associated data.
const ASSOCIATED: &str = "keyglass x3dh associated data v1";
/// Starts what a handshake's id hashes.
const HANDSHAKE: &str = "keyglass x3dh handshake v1";

/// Stands before the id of a one-time ML-KEM prekey.
pub(super) const KEM_ONE_TIME: u8 = 1;
/// Stands before the id of a last-resort ML-KEM prekey.
pub(super) const KEM_LAST_RESORT: u8 = 2;

/// One side of a handshake: a device, and the account that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The account's label, 1 to 255 bytes.
    pub label: Vec<u8>,
    /// The account's identity key.
    pub identity_key: VerifyingKey,
    /// The device's number in the account.
    pub device_id: u32,
    /// The device's key that signs prekeys.
    pub signing_key: VerifyingKey,
    /// The device's identity key of the handshake (IK in X3DH).
    pub dh_key: DhPublicKey,
}

impl Party {
    fn write(&self, out: &mut Writer) {
        out.opaque8(&self.label).bytes(&self.identity_key.to_bytes()).u32(self.device_id);
        out.bytes(&self.signing_key.to_bytes()).bytes(&self.dh_key.to_bytes());
    }
}

/// Where a one-time prekey is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OneTimeId {
    /// The batch that it was published in.
    pub batch: u32,
    /// Its number.
    pub id: u32,
}

/// Where an ML-KEM prekey is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KemId {
    /// A one-time prekey, which serves one handshake.
    OneTime(OneTimeId),
    /// The last-resort prekey with this number, which serves any number of them.
    LastResort(u32),
}

impl KemId {
    /// The one-time prekey, if it is one.
    #[must_use]
    pub fn one_time(&self) -> Option<OneTimeId> {
        match self {
            Self::OneTime(id) => Some(*id),
            Self::LastResort(_) => None,
        }
    }
}

impl core::fmt::Display for KemId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OneTime(id) => write!(f, "one-time KEM prekey {} of batch {}", id.id, id.batch),
            Self::LastResort(id) => write!(f, "last-resort KEM prekey {id}"),
        }
    }
}

/// The prekeys of the responder that a handshake uses, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreKeyIds {
    /// The signed prekey.
    pub signed: u32,
    /// The one-time X25519 prekey, unless the pool was empty.
    pub one_time: Option<OneTimeId>,
    /// The ML-KEM prekey: one in PQXDH, none in X3DH.
    pub kem: Option<KemId>,
}

impl PreKeyIds {
    /// As in the message's header. The ML-KEM prekey stands at the end and only if there is one.
    pub(super) fn write(&self, out: &mut Writer) {
        out.u32(self.signed);
        out.optional(self.one_time.as_ref(), |out, id| {
            out.u32(id.batch).u32(id.id);
        });
        match self.kem {
            None => out,
            Some(KemId::OneTime(id)) => out.u8(KEM_ONE_TIME).u32(id.batch).u32(id.id),
            Some(KemId::LastResort(id)) => out.u8(KEM_LAST_RESORT).u32(id),
        };
    }
}

/// Identifies a handshake: the parties' keys but for the responder's account identity, the ephemeral key and the ids of the
/// prekeys.
///
/// A message that is delivered again has the same id, whatever else in it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandshakeId(pub [u8; 32]);

/// The public values of one handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transcript<'a> {
    pub origin: &'a str,
    pub suite: Suite,
    pub initiator: &'a Party,
    pub responder: &'a Party,
    pub ephemeral: DhPublicKey,
    pub prekeys: PreKeyIds,
    pub signed_key: DhPublicKey,
    pub one_time_key: Option<DhPublicKey>,
    /// The ML-KEM prekey and what was encapsulated to it, in PQXDH.
    pub kem: Option<(&'a KemPublicKey, &'a KemCiphertext)>,
}

impl Transcript<'_> {
    /// HKDF's `info`.
    pub(super) fn info(&self) -> Vec<u8> {
        let mut out = self.start(if self.kem.is_some() { PQXDH_INFO } else { INFO });
        out.bytes(&self.ephemeral.to_bytes());
        self.prekeys.write(&mut out);
        out.bytes(&self.signed_key.to_bytes());
        out.optional(self.one_time_key.as_ref(), |out, key| {
            out.bytes(&key.to_bytes());
        });
        if let Some((key, ciphertext)) = self.kem {
            out.bytes(key.as_bytes()).bytes(ciphertext.as_bytes());
        }
        out.finish()
    }

    /// AD: both parties' identities, for this message and for those of the ratchet that follows; in PQXDH also the ML-KEM
    /// prekey, as its specification has it.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        let mut out = self.start(ASSOCIATED);
        if let Some((key, _)) = self.kem {
            out.bytes(key.as_bytes());
        }
        out.finish()
    }

    fn start(&self, tag: &str) -> Writer {
        let mut out = Writer::new();
        out.opaque8(tag.as_bytes()).opaque16(self.origin.as_bytes()).u16(self.suite.0);
        self.initiator.write(&mut out);
        self.responder.write(&mut out);
        out
    }
}

/// The id of the handshake in which `initiator` used `ephemeral` with `prekeys` of `responder`.
pub(super) fn handshake_id(
    initiator: &Party,
    responder: &Party,
    ephemeral: &DhPublicKey,
    prekeys: &PreKeyIds,
) -> HandshakeId {
    let mut out = Writer::new();
    out.opaque8(HANDSHAKE.as_bytes());
    initiator.write(&mut out);
    // Not the responder's account identity, which may be rotated while the message is on its way: both sides must still
    // mean the same handshake when it is repeated, and when a receipt says that it failed.
    out.opaque8(&responder.label).u32(responder.device_id);
    out.bytes(&responder.signing_key.to_bytes()).bytes(&responder.dh_key.to_bytes());
    out.bytes(&ephemeral.to_bytes());
    prekeys.write(&mut out);
    HandshakeId(sha256(&[&out.finish()]))
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::{dh::DhSecretKey, kem::KemSecretKey, secret::Secret, sign::SigningKey};

    use super::*;

    fn dh(seed: u8) -> DhPublicKey {
        DhSecretKey::from_bytes(&[seed; 32]).public_key()
    }

    fn party(seed: u8) -> Party {
        let signing = |seed| SigningKey::from_seed(&[seed; 32]).verifying_key();
        let (identity_key, signing_key) = (signing(seed), signing(seed + 1));
        Party { label: vec![seed], identity_key, device_id: seed.into(), signing_key, dh_key: dh(seed) }
    }

    /// A party, and the same with one thing different at a time.
    fn with_variants(seed: u8) -> Vec<Party> {
        let (own, other) = (party(seed), party(100));
        vec![
            own.clone(),
            Party { label: other.label, ..own.clone() },
            Party { identity_key: other.identity_key, ..own.clone() },
            Party { device_id: other.device_id, ..own.clone() },
            Party { signing_key: other.signing_key, ..own.clone() },
            Party { dh_key: other.dh_key, ..own },
        ]
    }

    fn assert_distinct<T: PartialEq>(all: &[T]) {
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index} says the same as one before");
        }
    }

    /// Nothing public about a handshake can be changed without changing its keys, and nothing about who takes part
    /// without changing what every message is bound to.
    #[test]
    fn every_public_value_is_bound() {
        let (initiators, responders) = (with_variants(1), with_variants(10));
        let one_time = Some(OneTimeId { batch: 2, id: 9 });
        let base = Transcript {
            origin: "log.example/origin",
            suite: Suite::X3DH,
            initiator: &initiators[0],
            responder: &responders[0],
            ephemeral: dh(20),
            prekeys: PreKeyIds { signed: 7, one_time, kem: None },
            signed_key: dh(21),
            one_time_key: Some(dh(22)),
            kem: None,
        };
        let ids = |signed, one_time| PreKeyIds { signed, one_time, kem: None };
        let mut parties = vec![
            base.clone(),
            Transcript { origin: "log.example/other", ..base.clone() },
            Transcript { suite: Suite::PQXDH, ..base.clone() },
            Transcript { initiator: &responders[0], responder: &initiators[0], ..base.clone() },
        ];
        parties.extend(initiators[1..].iter().map(|initiator| Transcript { initiator, ..base.clone() }));
        parties.extend(responders[1..].iter().map(|responder| Transcript { responder, ..base.clone() }));
        let data: Vec<Vec<u8>> = parties.iter().map(Transcript::associated_data).collect();
        assert_distinct(&data);
        let mut all = parties;
        all.extend([
            Transcript { ephemeral: dh(23), ..base.clone() },
            Transcript { prekeys: ids(8, one_time), ..base.clone() },
            Transcript { prekeys: ids(7, Some(OneTimeId { batch: 3, id: 9 })), ..base.clone() },
            Transcript { prekeys: ids(7, Some(OneTimeId { batch: 2, id: 8 })), ..base.clone() },
            Transcript { prekeys: ids(7, None), ..base.clone() },
            Transcript { signed_key: dh(23), ..base.clone() },
            Transcript { one_time_key: Some(dh(23)), ..base.clone() },
            Transcript { one_time_key: None, ..base.clone() },
        ]);
        // PQXDH: the key and ciphertext of ML-KEM, and which prekey it was.
        let secrets = [1, 2].map(|seed| KemSecretKey::from_seed(&[seed; 64]));
        let keys = secrets.each_ref().map(KemSecretKey::public_key);
        let ciphertexts = keys.map(|key| key.encapsulate(&Secret::new([3; 32])).0);
        let with = |kem, key, ciphertext| Transcript {
            suite: Suite::PQXDH,
            prekeys: PreKeyIds { kem: Some(kem), ..base.prekeys },
            kem: Some((key, ciphertext)),
            ..base.clone()
        };
        let last_resort = KemId::LastResort(7);
        let (first, second) = (OneTimeId { batch: 2, id: 9 }, OneTimeId { batch: 2, id: 10 });
        all.extend([
            with(last_resort, keys[0], &ciphertexts[0]),
            with(last_resort, keys[1], &ciphertexts[0]),
            with(last_resort, keys[0], &ciphertexts[1]),
            with(KemId::LastResort(8), keys[0], &ciphertexts[0]),
            with(KemId::OneTime(first), keys[0], &ciphertexts[0]),
            with(KemId::OneTime(second), keys[0], &ciphertexts[0]),
        ]);
        let bound = |key| with(last_resort, key, &ciphertexts[0]).associated_data();
        assert_ne!(bound(keys[0]), bound(keys[1]));
        let infos: Vec<Vec<u8>> = all.iter().map(Transcript::info).collect();
        assert_distinct(&infos);
        assert!(infos.iter().all(|info| !data.contains(info)));
    }

    /// A redelivered message has the id of the first: of the parties, the ephemeral key and the prekeys' ids.
    #[test]
    fn a_handshake_is_identified_by_whose_it_is() {
        let (initiators, responders) = (with_variants(1), with_variants(10));
        let prekeys = PreKeyIds { signed: 7, one_time: Some(OneTimeId { batch: 2, id: 9 }), kem: None };
        let id = |initiator, responder, ephemeral, prekeys: &PreKeyIds| {
            handshake_id(initiator, responder, &dh(ephemeral), prekeys)
        };
        let (initiator, responder) = (&initiators[0], &responders[0]);
        let mut ids: Vec<HandshakeId> =
            initiators.iter().map(|initiator| id(initiator, responder, 20, &prekeys)).collect();
        let rotated = |other: &&Party| other.identity_key != responder.identity_key;
        assert_eq!(responders.iter().filter(rotated).count(), 1);
        for other in responders[1..].iter().filter(|other| !rotated(other)) {
            ids.push(id(initiator, other, 20, &prekeys));
        }
        ids.push(id(initiator, responder, 23, &prekeys));
        ids.push(id(initiator, responder, 20, &PreKeyIds { signed: 8, ..prekeys }));
        ids.push(id(initiator, responder, 20, &PreKeyIds { one_time: None, ..prekeys }));
        let one_time = OneTimeId { batch: 2, id: 9 };
        for kem in [KemId::LastResort(7), KemId::LastResort(8), KemId::OneTime(one_time)] {
            ids.push(id(initiator, responder, 20, &PreKeyIds { kem: Some(kem), ..prekeys }));
        }
        assert_distinct(&ids);
        assert_eq!(id(initiator, responder, 20, &prekeys), ids[0]);
        // Whoever rotates the identity while a message is on its way still knows which handshake it is of.
        for other in responders.iter().filter(rotated) {
            assert_eq!(id(initiator, other, 20, &prekeys), ids[0]);
        }
    }
}
