//! The identity chain: how an account's identity key follows from its root.
//!
//! ```text
//! struct { uint32 version; opaque hash[32]; } Predecessor;
//! struct { opaque key[32]; uint32 since; opaque signature[64]; } RecoveryGrant;
//! struct { uint32 version; uint8 kind; opaque identity_key[32]; opaque hash[32]; } Root;   0 genesis, 3 reset
//! struct {
//!   uint32 version;
//!   uint8 kind;                       1 identity, 2 recovery (then a RecoveryGrant)
//!   Predecessor predecessor;
//!   opaque identity_key[32];          the new one
//!   opaque body_hash[32];             of the record that brought it
//!   opaque signature[64];             of that record, by the key before or the recovery key
//!   opaque new_identity_signature[64];
//! } Link;
//! struct { Root root; Link links<0..128>; } Chain;
//! ```
//!
//! A link holds what is needed to verify a rotation or recovery without the record that made it: the signatures of a
//! record cover a [`Statement`] which contains the hash of the body, not the body. The root itself proves nothing
//! here: who has not seen it must search for it in the log ([`crate::root`]).

use keyglass_crypto::{
    hash::Digest,
    sign::{Signature, SigningKey, VerifyingKey},
};

use crate::{
    codec::{CodecError, Reader, Writer},
    device::read_verifying_key,
    record::{AccountRecord, Authorisation, KeyRole, MAX_LINKS, RecordError, record_hash},
    tag,
};

/// The last valid record before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Its version.
    pub version: u32,
    /// Its [`AccountRecord::hash`].
    pub hash: Digest,
}

impl Predecessor {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.version).bytes(&self.hash);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self { version: reader.u32()?, hash: reader.array()? })
    }
}

/// An identity key's word that `key` may replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryGrant {
    /// The recovery key.
    pub key: VerifyingKey,
    /// The version of the record with which the grant begins.
    pub since: u32,
    /// By the identity key, over origin, label, that key, the recovery key and `since`.
    pub signature: Signature,
}

impl RecoveryGrant {
    /// Grants recovery to `key` from the record `since` on.
    #[must_use]
    pub fn sign(origin: &str, label: &[u8], identity: &SigningKey, key: VerifyingKey, since: u32) -> Self {
        let message = Self::message(origin, label, &identity.verifying_key(), &key, since);
        Self { key, since, signature: identity.sign(&message) }
    }

    /// Whether `identity` granted this.
    ///
    /// # Errors
    /// [`RecordError::BadRecoveryGrant`].
    pub fn verify(&self, origin: &str, label: &[u8], identity: &VerifyingKey) -> Result<(), RecordError> {
        identity
            .verify(&Self::message(origin, label, identity, &self.key, self.since), &self.signature)
            .map_err(|_| RecordError::BadRecoveryGrant)
    }

    fn message(
        origin: &str,
        label: &[u8],
        identity: &VerifyingKey,
        key: &VerifyingKey,
        since: u32,
    ) -> Vec<u8> {
        let mut message = tag::signed(tag::RECOVERY_GRANT, origin, label);
        message.bytes(&identity.to_bytes()).bytes(&key.to_bytes()).u32(since);
        message.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.bytes(&self.key.to_bytes()).u32(self.since).bytes(&self.signature.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            key: read_verifying_key(reader, KeyRole::Recovery)?,
            since: reader.u32()?,
            signature: Signature(reader.array()?),
        })
    }
}

/// What the signatures of a record cover: the whole record by the hash of its body, and, in the open, all that a
/// link of the chain must show.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The label's version.
    pub version: u32,
    /// Who authorises it.
    pub authorisation: &'a Authorisation,
    /// The last valid record before it.
    pub predecessor: Option<&'a Predecessor>,
    /// The identity key from this version on.
    pub identity_key: &'a VerifyingKey,
    /// The hash of the body.
    pub body_hash: &'a Digest,
}

impl<'a> Statement<'a> {
    /// What the signatures of `record` cover, whose body has this hash.
    #[must_use]
    pub fn of(record: &'a AccountRecord, body_hash: &'a Digest) -> Self {
        Self {
            version: record.version,
            authorisation: &record.authorisation,
            predecessor: record.predecessor.as_ref(),
            identity_key: &record.identity_key,
            body_hash,
        }
    }

    /// The bytes to sign under `tag`: [`tag::RECORD`] or [`tag::NEW_IDENTITY`].
    #[must_use]
    pub fn message(&self, tag: &str, origin: &str, label: &[u8]) -> Vec<u8> {
        let mut message = tag::signed(tag, origin, label);
        message.u32(self.version);
        self.authorisation.write(&mut message);
        message.optional(self.predecessor, |out, predecessor| predecessor.write(out));
        message.bytes(&self.identity_key.to_bytes()).bytes(self.body_hash);
        message.finish()
    }
}

/// Where an identity chain starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The version of the root record: 0 for genesis.
    pub version: u32,
    /// Whether it is a reset rather than the genesis.
    pub is_reset: bool,
    /// Its identity key.
    pub identity_key: VerifyingKey,
    /// Its [`AccountRecord::hash`].
    pub hash: Digest,
}

/// A rotation or recovery of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The version that brought the new key.
    pub version: u32,
    /// [`Authorisation::Identity`] or [`Authorisation::Recovery`].
    pub authorisation: Authorisation,
    /// The last valid record before that version.
    pub predecessor: Predecessor,
    /// The new identity key.
    pub identity_key: VerifyingKey,
    /// The hash of that record's body.
    pub body_hash: Digest,
    /// That record's signature by the authorising key.
    pub signature: Signature,
    /// That record's signature by the new key.
    pub new_identity_signature: Signature,
}

/// The identity keys from the root to the one before the record that carries the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The start.
    pub root: Root,
    /// Every rotation and recovery since, ascending by version.
    pub links: Vec<Link>,
}

impl Chain {
    /// The identity key at the chain's end.
    #[must_use]
    pub fn identity_key(&self) -> VerifyingKey {
        self.links.last().map_or(self.root.identity_key, |link| link.identity_key)
    }

    /// The version since which [`Self::identity_key`] holds.
    #[must_use]
    pub fn identity_since(&self) -> u32 {
        self.links.last().map_or(self.root.version, |link| link.version)
    }

    /// All identity keys, the oldest first.
    pub fn identity_keys(&self) -> impl Iterator<Item = VerifyingKey> {
        core::iter::once(self.root.identity_key).chain(self.links.iter().map(|link| link.identity_key))
    }

    /// The chain that a record carries whose predecessor is `record`.
    ///
    /// # Errors
    /// [`RecordError::Full`] when no more links fit.
    pub fn after(record: &AccountRecord) -> Result<Self, RecordError> {
        let Some(chain) = &record.chain else {
            let root = Root {
                version: record.version,
                is_reset: record.authorisation == Authorisation::Reset,
                identity_key: record.identity_key,
                hash: record.hash(),
            };
            return Ok(Self { root, links: Vec::new() });
        };
        let mut chain = chain.clone();
        if let (Some(predecessor), Some(new_identity_signature)) =
            (record.predecessor, record.new_identity_signature)
        {
            if chain.links.len() >= MAX_LINKS {
                return Err(RecordError::Full);
            }
            chain.links.push(Link {
                version: record.version,
                authorisation: record.authorisation.clone(),
                predecessor,
                identity_key: record.identity_key,
                body_hash: record.body_hash(),
                signature: record.signature,
                new_identity_signature,
            });
        }
        Ok(chain)
    }

    /// Whether every link follows from the one before it. The root is taken as given.
    ///
    /// # Errors
    /// [`RecordError::BrokenChain`], [`RecordError::BadRecoveryGrant`] or [`RecordError::BadLinkSignature`].
    pub fn verify(&self, origin: &str, label: &[u8]) -> Result<(), RecordError> {
        if self.root.is_reset == (self.root.version == 0) {
            return Err(RecordError::BrokenChain(self.root.version));
        }
        let mut before = Holder::of_root(&self.root);
        for link in &self.links {
            link.verify(origin, label, &before)?;
            before = Holder::of_link(link);
        }
        Ok(())
    }

    /// The identity key that a record may carry this chain with, the version that brought it and that
    /// record's hash.
    pub(crate) fn end(&self) -> Holder {
        self.links.last().map_or_else(|| Holder::of_root(&self.root), Holder::of_link)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.root.version).u8(if self.root.is_reset { 3 } else { 0 });
        out.bytes(&self.root.identity_key.to_bytes()).bytes(&self.root.hash).count8(self.links.len());
        for link in &self.links {
            link.write(out);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let version = reader.u32()?;
        let is_reset = match reader.u8()? {
            0 => false,
            3 => true,
            kind => return Err(CodecError::UnknownVariant(kind).into()),
        };
        let identity_key = read_verifying_key(reader, KeyRole::PastIdentity)?;
        let root = Root { version, is_reset, identity_key, hash: reader.array()? };
        let count = reader.count8(0, MAX_LINKS)?;
        let links = (0..count).map(|_| Link::read(reader)).collect::<Result<_, _>>()?;
        Ok(Self { root, links })
    }
}

/// An identity key, the version that brought it, and the hash of that version's record.
pub(crate) struct Holder {
    pub identity_key: VerifyingKey,
    pub since: u32,
    pub hash: Digest,
}

impl Holder {
    fn of_root(root: &Root) -> Self {
        Self { identity_key: root.identity_key, since: root.version, hash: root.hash }
    }

    fn of_link(link: &Link) -> Self {
        Self { identity_key: link.identity_key, since: link.version, hash: link.record_hash() }
    }

    /// Whether a record of `version` under this key may name `predecessor`: one that is not older than the key.
    pub(crate) fn admits(&self, version: u32, predecessor: &Predecessor) -> bool {
        predecessor.version < version
            && predecessor.version >= self.since
            && (predecessor.version != self.since || predecessor.hash == self.hash)
    }

    /// Whether `grant` was this key's, in force with the record `predecessor`.
    pub(crate) fn granted(
        &self,
        origin: &str,
        label: &[u8],
        grant: &RecoveryGrant,
        predecessor: &Predecessor,
    ) -> Result<(), RecordError> {
        if grant.since < self.since || grant.since > predecessor.version {
            return Err(RecordError::BadRecoveryGrant);
        }
        grant.verify(origin, label, &self.identity_key)
    }
}

impl Link {
    /// The hash of the record that made the link.
    #[must_use]
    pub fn record_hash(&self) -> Digest {
        record_hash(&self.body_hash, &self.signature, Some(&self.new_identity_signature))
    }

    fn verify(&self, origin: &str, label: &[u8], before: &Holder) -> Result<(), RecordError> {
        if !before.admits(self.version, &self.predecessor) || self.identity_key == before.identity_key {
            return Err(RecordError::BrokenChain(self.version));
        }
        let signer = match &self.authorisation {
            Authorisation::Identity => before.identity_key,
            Authorisation::Recovery(grant) => {
                before.granted(origin, label, grant, &self.predecessor)?;
                grant.key
            }
            Authorisation::Genesis | Authorisation::Reset => {
                return Err(RecordError::BrokenChain(self.version));
            }
        };
        let statement = Statement {
            version: self.version,
            authorisation: &self.authorisation,
            predecessor: Some(&self.predecessor),
            identity_key: &self.identity_key,
            body_hash: &self.body_hash,
        };
        signer
            .verify(&statement.message(tag::RECORD, origin, label), &self.signature)
            .and_then(|()| {
                let message = statement.message(tag::NEW_IDENTITY, origin, label);
                self.identity_key.verify(&message, &self.new_identity_signature)
            })
            .map_err(|_| RecordError::BadLinkSignature(self.version))
    }

    fn write(&self, out: &mut Writer) {
        out.u32(self.version);
        self.authorisation.write(out);
        self.predecessor.write(out);
        out.bytes(&self.identity_key.to_bytes()).bytes(&self.body_hash);
        out.bytes(&self.signature.0).bytes(&self.new_identity_signature.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            version: reader.u32()?,
            authorisation: match reader.u8()? {
                1 => Authorisation::Identity,
                2 => Authorisation::Recovery(Box::new(RecoveryGrant::read(reader)?)),
                kind => return Err(CodecError::UnknownVariant(kind).into()),
            },
            predecessor: Predecessor::read(reader)?,
            identity_key: read_verifying_key(reader, KeyRole::PastIdentity)?,
            body_hash: reader.array()?,
            signature: Signature(reader.array()?),
            new_identity_signature: Signature(reader.array()?),
        })
    }
}
