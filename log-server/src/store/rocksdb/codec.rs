//! Keys and records as RocksDB holds them. Integers are big-endian, so that keys sort as numbers do.

use keyglass_crypto::{commitment::OPENING_LEN, hash::Digest};
use keyglass_keytrans::{
    log_tree::NodeId,
    prefix_tree::{PageKey, TreeRoot},
};

use crate::store::{
    EntryRecord, Insertion, LabelRecord, OpenedValue, PublishedHead, Replaced, StoreError, VersionRecord,
};

/// A label followed by a version. The label's length comes first, so that no two pairs share a key.
pub(super) fn label_version(label: &[u8], version: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(label.len().saturating_add(5));
    // Labels are at most 255 bytes long; a longer one would only share its first byte with others.
    key.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(label);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// A node's level, then its index.
pub(super) fn node(id: NodeId) -> [u8; 9] {
    let mut key = [id.level(); 9];
    if let Some(index) = key.last_chunk_mut() {
        *index = id.index().to_be_bytes();
    }
    key
}

pub(super) fn encode_entry(entry: &EntryRecord) -> Vec<u8> {
    let mut out = entry.timestamp.to_be_bytes().to_vec();
    out.extend_from_slice(&entry.tree.to_bytes());
    out
}

pub(super) fn decode_entry(bytes: &[u8]) -> Result<EntryRecord, StoreError> {
    let corrupt = || StoreError::Corrupt("a log entry");
    let (timestamp, tree) = bytes.split_first_chunk().ok_or_else(corrupt)?;
    let tree = TreeRoot::from_bytes(tree).map_err(|_| corrupt())?;
    Ok(EntryRecord { timestamp: u64::from_be_bytes(*timestamp), tree })
}

pub(super) fn encode_label(record: &LabelRecord) -> Vec<u8> {
    let mut out = record.greatest().to_be_bytes().to_vec();
    for insertion in record.insertions() {
        out.extend_from_slice(&insertion.first.to_be_bytes());
        out.extend_from_slice(&insertion.position.to_be_bytes());
    }
    out
}

pub(super) fn decode_label(bytes: &[u8]) -> Result<LabelRecord, StoreError> {
    let corrupt = StoreError::Corrupt("a label's record");
    let (greatest, rest) = bytes.split_first_chunk().ok_or(corrupt.clone())?;
    let (chunks, left) = rest.as_chunks::<12>();
    if !left.is_empty() {
        return Err(corrupt);
    }
    let insertions = chunks.iter().map(|chunk| {
        let [a, b, c, d, position @ ..] = *chunk;
        Insertion { first: u32::from_be_bytes([a, b, c, d]), position: u64::from_be_bytes(position) }
    });
    LabelRecord::from_parts(u32::from_be_bytes(*greatest), insertions.collect())
}

/// The commitment, then opening and value unless they were erased.
pub(super) fn encode_version(version: &VersionRecord) -> Vec<u8> {
    let mut out = version.commitment.to_vec();
    if let Some(opened) = &version.opened {
        out.extend_from_slice(&opened.opening);
        out.extend_from_slice(&opened.value);
    }
    out
}

pub(super) fn decode_version(bytes: &[u8]) -> Result<VersionRecord, StoreError> {
    let corrupt = || StoreError::Corrupt("a version of a label");
    let (commitment, rest) = bytes.split_first_chunk().ok_or_else(corrupt)?;
    if rest.is_empty() {
        return Ok(VersionRecord { commitment: *commitment, opened: None });
    }
    let (opening, value) = rest.split_first_chunk::<OPENING_LEN>().ok_or_else(corrupt)?;
    let opened = OpenedValue { opening: *opening, value: value.to_vec() };
    Ok(VersionRecord { commitment: *commitment, opened: Some(opened) })
}

pub(super) fn encode_head(head: &PublishedHead) -> Vec<u8> {
    let mut out = head.size.to_be_bytes().to_vec();
    out.extend_from_slice(&head.root);
    out.extend_from_slice(&head.signature);
    out
}

pub(super) fn decode_head(bytes: &[u8]) -> Result<PublishedHead, StoreError> {
    let corrupt = StoreError::Corrupt("the published head");
    let (size, rest) = bytes.split_first_chunk().ok_or(corrupt.clone())?;
    let (root, signature) = rest.split_first_chunk().ok_or(corrupt)?;
    Ok(PublishedHead { size: u64::from_be_bytes(*size), root: *root, signature: signature.to_vec() })
}

/// Page keys, each after its length.
pub(super) fn encode_pages(pages: &[PageKey]) -> Vec<u8> {
    let mut out = Vec::new();
    for page in pages {
        let key = page.to_bytes();
        out.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(&key);
    }
    out
}

pub(super) fn decode_pages(mut bytes: &[u8]) -> Result<Vec<PageKey>, StoreError> {
    let corrupt = || StoreError::Corrupt("a list of superseded pages");
    let mut pages = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (key, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(corrupt)?;
        pages.push(PageKey::from_bytes(key).map_err(|_| corrupt())?);
        bytes = rest;
    }
    Ok(pages)
}

/// Labels with ranges of versions: the label's length, the label, the first version and the one after the last.
pub(super) fn encode_replaced(replaced: &[Replaced]) -> Vec<u8> {
    let mut out = Vec::new();
    for (label, versions) in replaced {
        // The key of the first version, then the end.
        out.extend_from_slice(&label_version(label, versions.start));
        out.extend_from_slice(&versions.end.to_be_bytes());
    }
    out
}

pub(super) fn decode_replaced(mut bytes: &[u8]) -> Result<Vec<Replaced>, StoreError> {
    let corrupt = || StoreError::Corrupt("a list of replaced versions");
    let mut replaced = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (label, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(corrupt)?;
        let (start, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let (end, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        replaced.push((label.to_vec(), u32::from_be_bytes(*start)..u32::from_be_bytes(*end)));
        bytes = rest;
    }
    Ok(replaced)
}

pub(super) fn decode_u64(bytes: &[u8], what: &'static str) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Corrupt(what))
}

pub(super) fn decode_digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt("a node of the log tree"))
}
