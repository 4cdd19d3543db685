//! Batches of one-time prekeys under one signature.

use keyglass_crypto::{
    dh::DhPublicKey,
    hash::Digest,
    kem::{self, KemPublicKey},
    sign::{Signature, SigningKey},
};

use super::{
    FORMAT, PreKeyError,
    key::{KeyType, PreKey, read_type, sealed::Codec as _},
};
use crate::{
    codec::{Reader, Writer},
    device::Device,
    merkle::{self, Tree},
    tag,
    time::UnixMillis,
};

/// X25519 keys in one batch at most.
pub const MAX_LEAVES: u16 = 1024;
/// ML-KEM-768 keys in one batch at most: they are large.
pub const MAX_KEM_LEAVES: u16 = 128;
/// Hashes in the path of the greatest batch.
const MAX_PATH: usize = 10;
/// Bytes of an encoded header.
const HEADER_LEN: usize = 116;
/// Bytes of everything in an encoded one-time prekey but the key.
const LEAF_FIELDS_LEN: usize = 5;
/// The most bytes of a [`PreKeyBatch`].
pub const MAX_BATCH_LEN: usize = HEADER_LEN + (LEAF_FIELDS_LEN + 32) * 1024;
/// The most bytes of a [`KemPreKeyBatch`].
pub const MAX_KEM_BATCH_LEN: usize = HEADER_LEN + (LEAF_FIELDS_LEN + kem::PUBLIC_KEY_LEN) * 128;

/// An X25519 key for one session.
pub type OneTimePreKey = OneTimeKey<DhPublicKey>;
/// An ML-KEM-768 key for one session.
pub type OneTimeKemPreKey = OneTimeKey<KemPublicKey>;
/// A batch of X25519 keys.
pub type PreKeyBatch = Batch<DhPublicKey>;
/// A batch of ML-KEM-768 keys.
pub type KemPreKeyBatch = Batch<KemPublicKey>;
/// A one-time X25519 key with its path.
pub type OneTimeEntry = Entry<DhPublicKey>;
/// A one-time ML-KEM-768 key with its path.
pub type KemEntry = Entry<KemPublicKey>;

/// What a device signs of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The type of its keys.
    pub key_type: KeyType,
    /// The device in the account.
    pub device: u32,
    /// The batch's number among the device's batches of both types; a later one has a greater number.
    pub batch: u32,
    /// One-time prekeys in it, 1 to [`MAX_LEAVES`] or [`MAX_KEM_LEAVES`].
    pub leaf_count: u16,
    /// From when on nobody may use them.
    pub expires: UnixMillis,
    /// The root of the Merkle tree whose leaves are the encoded one-time prekeys.
    pub root: Digest,
    /// By the device's signing key.
    pub signature: Signature,
}

impl BatchHeader {
    /// Checks that `device` signed this header for `label` in the log `origin` and that it has not expired at `now`.
    ///
    /// # Errors
    /// [`PreKeyError::WrongDevice`], [`PreKeyError::BadBatchSignature`] or [`PreKeyError::BatchExpired`].
    pub fn verify(
        &self,
        origin: &str,
        label: &[u8],
        device: &Device,
        now: UnixMillis,
    ) -> Result<(), PreKeyError> {
        if self.device != device.id {
            return Err(PreKeyError::WrongDevice { found: self.device, expected: device.id });
        }
        device
            .signing_key
            .verify(&self.message(origin, label), &self.signature)
            .map_err(|_| PreKeyError::BadBatchSignature)?;
        if now >= self.expires {
            return Err(PreKeyError::BatchExpired);
        }
        Ok(())
    }

    fn message(&self, origin: &str, label: &[u8]) -> Vec<u8> {
        let tag = match self.key_type {
            KeyType::X25519 => DhPublicKey::BATCH_TAG,
            KeyType::MlKem768 => KemPublicKey::BATCH_TAG,
        };
        let mut message = tag::signed(tag, origin, label);
        self.write_fields(&mut message);
        message.finish()
    }

    fn write_fields(&self, out: &mut Writer) {
        out.u8(FORMAT).u8(self.key_type.to_byte()).u32(self.device).u32(self.batch).u16(self.leaf_count);
        out.u64(self.expires.0).bytes(&self.root);
    }

    fn write(&self, out: &mut Writer) {
        self.write_fields(out);
        out.bytes(&self.signature.0);
    }

    fn read<K: PreKey>(reader: &mut Reader<'_>) -> Result<Self, PreKeyError> {
        reader.format(FORMAT)?;
        read_type::<K>(reader)?;
        let device = reader.u32()?;
        let batch = reader.u32()?;
        let leaf_count = reader.u16()?;
        if leaf_count == 0 || leaf_count > K::MAX_LEAVES {
            return Err(PreKeyError::BatchSize(usize::from(leaf_count)));
        }
        Ok(Self {
            key_type: K::TYPE,
            device,
            batch,
            leaf_count,
            expires: UnixMillis(reader.u64()?),
            root: reader.array()?,
            signature: Signature(reader.array()?),
        })
    }
}

/// One key of a batch, for one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneTimeKey<K> {
    /// Its number among the device's one-time prekeys of both types, never used twice.
    pub id: u32,
    /// The key.
    pub key: K,
}

impl<K: PreKey> OneTimeKey<K> {
    /// The leaf of the tree.
    fn leaf(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    fn write(&self, out: &mut Writer) {
        out.u8(K::TYPE.to_byte()).u32(self.id);
        self.key.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PreKeyError> {
        read_type::<K>(reader)?;
        let id = reader.u32()?;
        Ok(Self { id, key: K::read(reader, id)? })
    }
}

/// A batch as it is uploaded and stored: the signed header and all its keys, which have the signed root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<K> {
    header: BatchHeader,
    prekeys: Vec<OneTimeKey<K>>,
}

impl<K: PreKey> Batch<K> {
    /// Signs a batch of keys, whose ids must ascend.
    ///
    /// # Errors
    /// [`PreKeyError::BatchSize`] or [`PreKeyError::IdsNotAscending`].
    pub fn sign(
        origin: &str,
        label: &[u8],
        signing_key: &SigningKey,
        device: u32,
        batch: u32,
        expires: UnixMillis,
        prekeys: Vec<OneTimeKey<K>>,
    ) -> Result<Self, PreKeyError> {
        check_ascending(&prekeys)?;
        let leaf_count = u16::try_from(prekeys.len())
            .ok()
            .filter(|count| *count <= K::MAX_LEAVES)
            .ok_or(PreKeyError::BatchSize(prekeys.len()))?;
        let root = tree(&prekeys).root().ok_or(PreKeyError::BatchSize(0))?;
        let signature = Signature([0; 64]);
        let mut header =
            BatchHeader { key_type: K::TYPE, device, batch, leaf_count, expires, root, signature };
        header.signature = signing_key.sign(&header.message(origin, label));
        Ok(Self { header, prekeys })
    }

    /// Decodes a batch and checks its keys against the root. The signature is checked by [`BatchHeader::verify`].
    ///
    /// # Errors
    /// [`PreKeyError::Codec`], [`PreKeyError::BadKey`], [`PreKeyError::BadKemKey`], [`PreKeyError::BatchSize`],
    /// [`PreKeyError::IdsNotAscending`] or [`PreKeyError::WrongRoot`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PreKeyError> {
        let mut reader = Reader::new(bytes);
        let header = BatchHeader::read::<K>(&mut reader)?;
        let prekeys =
            (0..header.leaf_count).map(|_| OneTimeKey::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        reader.end()?;
        check_ascending(&prekeys)?;
        if tree(&prekeys).root() != Some(header.root) {
            return Err(PreKeyError::WrongRoot);
        }
        Ok(Self { header, prekeys })
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.header.write(&mut out);
        for prekey in &self.prekeys {
            prekey.write(&mut out);
        }
        out.finish()
    }

    /// The signed header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The keys, ascending by id, at least one.
    #[must_use]
    pub fn prekeys(&self) -> &[OneTimeKey<K>] {
        &self.prekeys
    }

    /// Number `index` of the batch with its path; absent past the end.
    #[must_use]
    pub fn entry(&self, index: u16) -> Option<Entry<K>> {
        let prekey = self.prekeys.get(usize::from(index))?.clone();
        Some(Entry { header: self.header, index, prekey, path: tree(&self.prekeys).path(index) })
    }

    /// All keys with their paths, ascending. The tree is made once, so this is for whoever keeps entries ready to hand out.
    pub fn entries(&self) -> impl Iterator<Item = Entry<K>> {
        let tree = tree(&self.prekeys);
        (0..self.header.leaf_count).zip(&self.prekeys).map(move |(index, prekey)| Entry {
            header: self.header,
            index,
            prekey: prekey.clone(),
            path: tree.path(index),
        })
    }
}

impl<K: PreKey> Entry<K> {
    /// Decodes an entry by itself.
    ///
    /// # Errors
    /// [`PreKeyError::Codec`], [`PreKeyError::BadKey`], [`PreKeyError::BadKemKey`] or [`PreKeyError::BatchSize`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PreKeyError> {
        let mut reader = Reader::new(bytes);
        let entry = Self::read(&mut reader)?;
        reader.end()?;
        Ok(entry)
    }

    /// The encoding, as it stands in a bundle.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish()
    }

    /// Number `index` of an encoded batch that was decoded before, with its path; absent past the end.
    ///
    /// The other keys are hashed, not decoded again: this is for whoever keeps batches and hands keys out one by one.
    ///
    /// # Errors
    /// [`PreKeyError::Codec`], [`PreKeyError::BadKey`] or [`PreKeyError::BadKemKey`] if it cannot be such a batch.
    pub fn from_batch(encoded: &[u8], index: u16) -> Result<Option<Self>, PreKeyError> {
        let mut reader = Reader::new(encoded);
        let header = BatchHeader::read::<K>(&mut reader)?;
        let leaf_len = LEAF_FIELDS_LEN.saturating_add(K::LEN);
        let leaves = reader.bytes(leaf_len.saturating_mul(usize::from(header.leaf_count)))?;
        reader.end()?;
        let mut leaves = leaves.chunks_exact(leaf_len);
        let path_tree = Tree::new(leaves.clone());
        let Some(leaf) = leaves.nth(usize::from(index)) else {
            return Ok(None);
        };
        let prekey = OneTimeKey::read(&mut Reader::new(leaf))?;
        Ok(Some(Self { header, index, prekey, path: path_tree.path(index) }))
    }
}

fn tree<K: PreKey>(prekeys: &[OneTimeKey<K>]) -> Tree {
    Tree::new(prekeys.iter().map(OneTimeKey::leaf))
}

fn check_ascending<K>(prekeys: &[OneTimeKey<K>]) -> Result<(), PreKeyError> {
    for pair in prekeys.windows(2) {
        if let [a, b] = pair
            && a.id >= b.id
        {
            return Err(PreKeyError::IdsNotAscending(b.id));
        }
    }
    Ok(())
}

/// A one-time prekey as it is handed out: with its path to the signed root. Not yet known to be the device's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<K> {
    /// What the device signed.
    pub header: BatchHeader,
    /// The key's place in the batch.
    pub index: u16,
    /// The key.
    pub prekey: OneTimeKey<K>,
    /// The hashes beside the path from the key to the root, from below.
    pub path: Vec<Digest>,
}

impl<K: PreKey> Entry<K> {
    /// Checks the header like [`BatchHeader::verify`], and that the key is in the batch.
    ///
    /// # Errors
    /// Those of [`BatchHeader::verify`], or [`PreKeyError::Path`].
    pub fn verify(
        &self,
        origin: &str,
        label: &[u8],
        device: &Device,
        now: UnixMillis,
    ) -> Result<(), PreKeyError> {
        self.header.verify(origin, label, device, now)?;
        let BatchHeader { root, leaf_count, .. } = &self.header;
        Ok(merkle::verify_path(root, &self.prekey.leaf(), self.index, *leaf_count, &self.path)?)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.header.write(out);
        out.u16(self.index);
        self.prekey.write(out);
        out.count8(self.path.len());
        for hash in &self.path {
            out.bytes(hash);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, PreKeyError> {
        let header = BatchHeader::read::<K>(reader)?;
        let index = reader.u16()?;
        let prekey = OneTimeKey::read(reader)?;
        let count = reader.count8(0, MAX_PATH)?;
        let path = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { header, index, prekey, path })
    }
}
