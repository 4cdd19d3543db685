//! Devices: each is a party of its own to the handshake.

use keyglass_crypto::{
    dh::DhPublicKey,
    sign::{Signature, SigningKey, VerifyingKey},
};

use crate::{
    codec::{CodecError, Reader, Writer},
    record::{KeyRole, RecordError},
    tag,
    time::UnixMillis,
};

/// Handshake suites that one device may announce.
pub const MAX_SUITES: usize = 16;

/// The number of a handshake suite. Numbers that this code does not know are carried along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite(pub u16);

impl Suite {
    /// `X3DH_25519_CHACHA20POLY1305_SHA256`.
    pub const X3DH: Self = Self(1);
    /// `PQXDH_25519_MLKEM768_CHACHA20POLY1305_SHA256`.
    pub const PQXDH: Self = Self(2);
}

/// A device of an account.
///
/// `id`, both keys, `added` and `signature` never change while the device belongs to the account; `suites` may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number in the account, from 1, never given to another device.
    pub id: u32,
    /// Signs prekeys and requests.
    pub signing_key: VerifyingKey,
    /// The identity key of the handshake.
    pub dh_key: DhPublicKey,
    /// Handshake suites that the device accepts, ascending, 1 to [`MAX_SUITES`].
    pub suites: Vec<Suite>,
    /// When the owner says that it was added.
    pub added: UnixMillis,
    /// The device's own signature over origin, label, id and both keys: nobody's key is put into an account unasked.
    pub signature: Signature,
}

impl Device {
    /// Makes the entry of a device; `signing_key` is the device's.
    #[must_use]
    pub fn sign(
        origin: &str,
        label: &[u8],
        id: u32,
        signing_key: &SigningKey,
        dh_key: DhPublicKey,
        suites: Vec<Suite>,
        added: UnixMillis,
    ) -> Self {
        let verifying_key = signing_key.verifying_key();
        let signature = signing_key.sign(&message(origin, label, id, &verifying_key, &dh_key));
        Self { id, signing_key: verifying_key, dh_key, suites, added, signature }
    }

    /// Whether the device agreed to belong to this account.
    ///
    /// # Errors
    /// [`RecordError::DeviceNotSigned`].
    pub fn verify(&self, origin: &str, label: &[u8]) -> Result<(), RecordError> {
        self.signing_key
            .verify(&message(origin, label, self.id, &self.signing_key, &self.dh_key), &self.signature)
            .map_err(|_| RecordError::DeviceNotSigned(self.id))
    }

    /// Whether the device announces `suite`.
    #[must_use]
    pub fn accepts(&self, suite: Suite) -> bool {
        self.suites.contains(&suite)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.id).bytes(&self.signing_key.to_bytes()).bytes(&self.dh_key.to_bytes());
        out.count8(self.suites.len());
        for suite in &self.suites {
            out.u16(suite.0);
        }
        out.u64(self.added.0).bytes(&self.signature.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let id = reader.u32()?;
        let signing_key = read_verifying_key(reader, KeyRole::DeviceSigning(id))?;
        let dh_key = DhPublicKey::from_bytes(&reader.array()?)
            .map_err(|error| RecordError::BadDhKey { role: KeyRole::DeviceDh(id), error })?;
        let count = reader.count8(1, MAX_SUITES)?;
        let suites = (0..count).map(|_| reader.u16().map(Suite)).collect::<Result<Vec<_>, CodecError>>()?;
        if !suites.is_sorted_by(|a, b| a < b) {
            return Err(RecordError::SuitesNotAscending(id));
        }
        Ok(Self {
            id,
            signing_key,
            dh_key,
            suites,
            added: UnixMillis(reader.u64()?),
            signature: Signature(reader.array()?),
        })
    }
}

/// Takes an Ed25519 key.
pub(crate) fn read_verifying_key(
    reader: &mut Reader<'_>,
    role: KeyRole,
) -> Result<VerifyingKey, RecordError> {
    VerifyingKey::from_bytes(&reader.array()?).map_err(|error| RecordError::BadSigningKey { role, error })
}

fn message(origin: &str, label: &[u8], id: u32, signing_key: &VerifyingKey, dh_key: &DhPublicKey) -> Vec<u8> {
    let mut message = tag::signed(tag::DEVICE, origin, label);
    message.u32(id).bytes(&signing_key.to_bytes()).bytes(&dh_key.to_bytes());
    message.finish()
}
