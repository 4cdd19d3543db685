//! What a witness stores for a log.

use keyglass_crypto::hash::sha256;

use crate::{head::OriginHash, kept::Kept};

/// The stored bytes after their checksum.
pub fn kept(input: &[u8]) {
    let stored = [&sha256(&[input])[..8], input].concat();
    let Ok(kept) = Kept::decode(OriginHash::of("log.example/one"), &stored) else { return };
    let written = kept.encode();
    assert_eq!(Kept::decode(OriginHash::of("log.example/one"), &written).as_ref(), Ok(&kept));
    // The format from before had no cosignatures, also inside of a suspended state.
    let has_old = matches!(input, [1, ..] | [3, _, _, _, _, 1, ..]) || matches!(&kept, Kept::Suspended(_));
    assert!(has_old || written == stored, "another spelling");
}
