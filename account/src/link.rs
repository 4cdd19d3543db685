//! What a new device offers to the holder of an account's identity, so that it may be added to the account.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   opaque origin_hash[32];          SHA-256 of the log's origin
//!   opaque label<1..255>;
//!   opaque identity_key[32];         the account's, as the log proved it to the new device
//!   Device device;                   as it is to stand in the record, signed by itself
//!   opaque nonce[16];                so that two offers are never the same
//!   opaque signature[64];            by the device's signing key, over all of it
//! } LinkOffer;
//! ```
//!
//! It holds no secret: whoever sees it can add the device to an account of theirs under the same label, which the device would
//! notice. Whoever *replaces* it on its way could have a device of their own added, so that both people, or the person with both
//! devices, compare [`LinkOffer::digits`] before the device is added. The identity key in it lets the holder see at once whether
//! the log shows the new device another account.

use keyglass_crypto::{
    hash::sha256,
    sign::{Signature, SigningKey, VerifyingKey},
};
use thiserror::Error;

use crate::{
    codec::{CodecError, Reader, Writer},
    device::{Device, read_verifying_key},
    label,
    record::{KeyRole, RecordError},
    tag,
    text_code::{self, TextCodeError},
};

/// The format number of offers.
pub const FORMAT: u8 = 1;
/// What the text of an offer begins with.
pub const PREFIX: &str = "KEYGLASS-LINK";
/// More bytes than any offer has.
pub const MAX_OFFER_LEN: usize = 1024;

/// Why an offer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The text is no code.
    #[error(transparent)]
    Text(#[from] TextCodeError),
    /// The bytes are no offer.
    #[error("the offer is malformed: {0}")]
    Codec(#[from] CodecError),
    /// A key or the device's entry is not as it must be.
    #[error("the offered device is refused: {0}")]
    Device(#[from] RecordError),
    /// Longer than any offer.
    #[error("the offer is too long")]
    TooLong,
    /// The device has not signed the offer.
    #[error("the offer is not signed by the device that it offers")]
    BadSignature,
    /// The offer is for another log.
    #[error("the offer is for an account in another log")]
    OtherLog,
}

/// An offer, well-formed; [`Self::verify`] tells whether it is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOffer {
    origin_hash: [u8; 32],
    label: Vec<u8>,
    identity_key: VerifyingKey,
    device: Device,
    nonce: [u8; 16],
    signature: Signature,
}

impl LinkOffer {
    /// Makes the offer of `device`, whose key is `signing_key`, to the account `label` under `identity_key`. The nonce must be
    /// random.
    #[must_use]
    pub fn sign(
        origin: &str,
        label: &[u8],
        identity_key: VerifyingKey,
        device: Device,
        signing_key: &SigningKey,
        nonce: [u8; 16],
    ) -> Self {
        let origin_hash = sha256(&[origin.as_bytes()]);
        let unsigned = Signature([0; 64]);
        let mut offer =
            Self { origin_hash, label: label.to_vec(), identity_key, device, nonce, signature: unsigned };
        offer.signature = signing_key.sign(&offer.message(origin));
        offer
    }

    /// Takes an offer apart.
    ///
    /// # Errors
    /// [`LinkError`] for whatever is not the encoding of an offer.
    pub fn decode(bytes: &[u8]) -> Result<Self, LinkError> {
        if bytes.len() > MAX_OFFER_LEN {
            return Err(LinkError::TooLong);
        }
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let offer = Self {
            origin_hash: reader.array()?,
            label: reader.opaque8(1, label::MAX_LABEL_LEN)?.to_vec(),
            identity_key: read_verifying_key(&mut reader, KeyRole::Identity)?,
            device: Device::read(&mut reader)?,
            nonce: reader.array()?,
            signature: Signature(reader.array()?),
        };
        reader.end()?;
        Ok(offer)
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write_unsigned(&mut out);
        out.bytes(&self.signature.0);
        out.finish()
    }

    /// The text that the code to scan holds and that can be pasted.
    #[must_use]
    pub fn to_text(&self) -> String {
        text_code::encode(PREFIX, &self.encode())
    }

    /// Takes the text of an offer apart, however it was typed.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn from_text(text: &str) -> Result<Self, LinkError> {
        Self::decode(&text_code::decode(PREFIX, text)?)
    }

    /// Whether the device made this offer for an account in the log `origin`, and agreed to belong to it.
    ///
    /// # Errors
    /// [`LinkError::OtherLog`], [`LinkError::BadSignature`], [`LinkError::Device`].
    pub fn verify(&self, origin: &str) -> Result<(), LinkError> {
        if self.origin_hash != sha256(&[origin.as_bytes()]) {
            return Err(LinkError::OtherLog);
        }
        self.device
            .signing_key
            .verify(&self.message(origin), &self.signature)
            .map_err(|_| LinkError::BadSignature)?;
        Ok(self.device.verify(origin, &self.label)?)
    }

    /// The account's label.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// The account's identity key, as it was proven to the new device.
    #[must_use]
    pub fn identity_key(&self) -> VerifyingKey {
        self.identity_key
    }

    /// The device, as it is to stand in the record.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Twenty digits that both devices show, so that a person sees that no other offer took this one's place.
    #[must_use]
    pub fn digits(&self) -> String {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] =
            sha256(&[tag::LINK_OFFER.as_bytes(), &[0], &self.encode()]);
        let groups = [[a, b, c], [d, e, f], [g, h, i], [j, k, l]];
        let groups = groups.map(|[x, y, z]| u32::from_be_bytes([0, x, y, z]) % 100_000);
        groups.map(|group| format!("{group:05}")).join(" ")
    }

    fn message(&self, origin: &str) -> Vec<u8> {
        let mut unsigned = Writer::new();
        self.write_unsigned(&mut unsigned);
        let mut message = tag::signed(tag::LINK_OFFER, origin, &self.label);
        message.bytes(&unsigned.finish());
        message.finish()
    }

    fn write_unsigned(&self, out: &mut Writer) {
        out.u8(FORMAT).bytes(&self.origin_hash).opaque8(&self.label).bytes(&self.identity_key.to_bytes());
        self.device.write(out);
        out.bytes(&self.nonce);
    }
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::dh::DhSecretKey;

    use super::*;
    use crate::{device::Suite, time::UnixMillis};

    const ORIGIN: &str = "log.example/origin";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn device(origin: &str, label: &[u8]) -> Device {
        let dh = DhSecretKey::from_bytes(&[3; 32]).public_key();
        Device::sign(origin, label, 2, &key(2), dh, vec![Suite::X3DH, Suite::PQXDH], UnixMillis(7))
    }

    fn offer() -> LinkOffer {
        LinkOffer::sign(ORIGIN, b"bob", key(1).verifying_key(), device(ORIGIN, b"bob"), &key(2), [9; 16])
    }

    #[test]
    fn an_offer_leads_back_from_its_text() {
        let offer = offer();
        assert_eq!(offer.verify(ORIGIN), Ok(()));
        let text = offer.to_text();
        assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'), "{text}");
        assert_eq!(LinkOffer::from_text(&text.to_lowercase()).unwrap(), offer);
        assert_eq!(offer.digits().len(), 23);
        // The longest label still makes a code that a camera reads.
        let label = [b'x'; 255];
        let long =
            LinkOffer::sign(ORIGIN, &label, key(1).verifying_key(), device(ORIGIN, &label), &key(2), [9; 16]);
        assert!(long.encode().len() <= MAX_OFFER_LEN && long.to_text().len() < 1300);
        assert_eq!(long.verify(ORIGIN), Ok(()));
    }

    #[test]
    fn every_bit_and_every_cut_is_noticed() {
        let bytes = offer().encode();
        for length in 0..bytes.len() {
            assert!(LinkOffer::decode(&bytes[..length]).is_err(), "cut off at {length}");
        }
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let genuine = LinkOffer::decode(&flipped).and_then(|offer| offer.verify(ORIGIN));
            assert!(genuine.is_err(), "bit {bit}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(LinkOffer::decode(&longer), Err(LinkError::Codec(_))));
        assert_eq!(LinkOffer::decode(&[0; MAX_OFFER_LEN + 1]), Err(LinkError::TooLong));
    }

    #[test]
    fn an_offer_serves_no_other_log_label_or_device() {
        assert_eq!(offer().verify("log.example/other"), Err(LinkError::OtherLog));
        // Another device's agreement cannot be offered in one's own name.
        let stolen =
            LinkOffer::sign(ORIGIN, b"bob", key(1).verifying_key(), device(ORIGIN, b"bob"), &key(5), [9; 16]);
        assert_eq!(stolen.verify(ORIGIN), Err(LinkError::BadSignature));
        // Nor one that was given for another account.
        let other =
            LinkOffer::sign(ORIGIN, b"eve", key(1).verifying_key(), device(ORIGIN, b"bob"), &key(2), [9; 16]);
        assert_eq!(other.verify(ORIGIN), Err(LinkError::Device(RecordError::DeviceNotSigned(2))));
    }

    #[test]
    fn a_replaced_offer_shows_other_digits() {
        let replaced =
            LinkOffer::sign(ORIGIN, b"bob", key(1).verifying_key(), device(ORIGIN, b"bob"), &key(2), [8; 16]);
        assert_ne!(replaced.digits(), offer().digits());
    }
}
