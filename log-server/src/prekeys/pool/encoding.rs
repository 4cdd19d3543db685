//! Pools as they are stored.
//!
//! ```text
//! struct {
//!   uint32 batch;  uint16 leaf_count;  uint16 handed_out;  uint64 expires;
//!   opaque root[32];  uint64 answered;                                          not in format 1
//! } LiveBatch;
//! struct { uint32 id;  uint64 expires;  uint32 floor;  opaque hash[32]; } LastResort;
//! struct { uint32 stocked;  LiveBatch batches<0..4096>; } Stock;
//!
//! struct {
//!   uint8 format = 1;  uint32 next_batch;  uint32 next_id;
//!   optional<opaque<0..255>> signed_prekey;  LiveBatch batches<0..4096>;
//! } Pool;
//!
//! struct {
//!   uint8 format = 2;  uint32 next_batch;  uint32 next_id;  uint64 target_back;
//!   optional<uint64> absent_since;  optional<opaque<0..2^8-1>> signed_prekey;
//!   optional<LastResort> last_resort;  Stock x25519;  Stock kem;
//! } Pool;
//! ```
//!
//! Format 1 is read, format 2 is written.

use core::time::Duration;

use keyglass_account::{
    codec::{CodecError, Reader, Writer},
    prekey::SignedPreKey,
};
use keyglass_crypto::hash::Digest;
use keyglass_tlog::time::UnixMillis;

use super::{LastResort, LiveBatch, Pool, Stock};
use crate::store::StoreError;

const MAX_BATCHES: usize = 4096;
/// How long after its end a batch of a pool in format 1 may still be referred to.
const UNKNOWN_ANSWERS: Duration = Duration::from_secs(120 * 24 * 3600);

impl Pool {
    /// The pool as it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(2).u32(self.next_batch).u32(self.next_id).u64(self.target_back);
        out.optional(self.absent_since.as_ref(), |out, since| {
            out.u64(since.0);
        });
        out.optional(self.signed_prekey.as_ref(), |out, prekey| {
            out.opaque8(&prekey.encode());
        });
        out.optional(self.last_resort.as_ref(), |out, prekey| {
            out.u32(prekey.id).u64(prekey.expires.0).u32(prekey.floor).bytes(&prekey.hash);
        });
        for stock in [&self.x25519, &self.kem] {
            out.u32(stock.stocked).count16(stock.batches.len());
            for batch in &stock.batches {
                out.u32(batch.batch).u16(batch.leaf_count).u16(batch.handed_out).u64(batch.expires.0);
                out.bytes(&batch.root).u64(batch.answered.0);
            }
        }
        out.finish()
    }

    /// Takes a stored pool back. `root` gives the root of a batch, which a pool in format 1 does not have.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], and what `root` gives.
    pub fn decode(
        bytes: &[u8],
        root: impl Fn(u32) -> Result<Digest, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let read = match reader.u8() {
            Ok(1) => read_1(&mut reader),
            Ok(2) => read_2(&mut reader),
            _ => None,
        };
        let mut pool = read
            .filter(|_| reader.end().is_ok())
            .ok_or(StoreError::Corrupt("the prekey pool of a device"))?;
        if bytes.first() == Some(&1) {
            for batch in &mut pool.x25519.batches {
                batch.root = root(batch.batch)?;
            }
        }
        Ok(pool)
    }
}

fn read_signed(reader: &mut Reader<'_>) -> Option<Option<SignedPreKey>> {
    let encoded = reader.optional::<_, CodecError>(|reader| reader.opaque8(0, 255)).ok()?;
    match encoded {
        Some(encoded) => SignedPreKey::decode(encoded).ok().map(Some),
        None => Some(None),
    }
}

fn read_1(reader: &mut Reader<'_>) -> Option<Pool> {
    let (next_batch, next_id) = (reader.u32().ok()?, reader.u32().ok()?);
    let signed_prekey = read_signed(reader)?;
    let count = reader.count16(0, MAX_BATCHES).ok()?;
    let mut batches = Vec::with_capacity(count);
    for _ in 0..count {
        let (batch, leaf_count, handed_out) = (reader.u32().ok()?, reader.u16().ok()?, reader.u16().ok()?);
        let expires = UnixMillis(reader.u64().ok()?);
        let answered = expires.saturating_add(UNKNOWN_ANSWERS);
        batches.push(LiveBatch { batch, leaf_count, handed_out, expires, root: [0; 32], answered });
    }
    let mut x25519 = Stock { stocked: 0, batches };
    x25519.stocked = x25519.left();
    Some(Pool { signed_prekey, next_batch, next_id, x25519, ..Pool::default() })
}

fn read_2(reader: &mut Reader<'_>) -> Option<Pool> {
    let (next_batch, next_id) = (reader.u32().ok()?, reader.u32().ok()?);
    let target_back = reader.u64().ok()?;
    let absent_since = reader.optional::<_, CodecError>(Reader::u64).ok()?.map(UnixMillis);
    let signed_prekey = read_signed(reader)?;
    let last_resort = reader
        .optional::<_, CodecError>(|reader| {
            let (id, expires) = (reader.u32()?, UnixMillis(reader.u64()?));
            Ok(LastResort { id, expires, floor: reader.u32()?, hash: reader.array()? })
        })
        .ok()?;
    let (x25519, kem) = (read_stock(reader)?, read_stock(reader)?);
    Some(Pool { signed_prekey, last_resort, next_batch, next_id, x25519, kem, target_back, absent_since })
}

fn read_stock(reader: &mut Reader<'_>) -> Option<Stock> {
    let stocked = reader.u32().ok()?;
    let count = reader.count16(0, MAX_BATCHES).ok()?;
    let mut batches = Vec::new();
    for _ in 0..count {
        batches.push(LiveBatch {
            batch: reader.u32().ok()?,
            leaf_count: reader.u16().ok()?,
            handed_out: reader.u16().ok()?,
            expires: UnixMillis(reader.u64().ok()?),
            root: reader.array().ok()?,
            answered: UnixMillis(reader.u64().ok()?),
        });
    }
    Some(Stock { stocked, batches })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: u32) -> LiveBatch {
        LiveBatch {
            batch: number,
            leaf_count: 100,
            handed_out: 99,
            expires: UnixMillis(5),
            root: [7; 32],
            answered: UnixMillis(6),
        }
    }

    fn pool() -> Pool {
        Pool {
            signed_prekey: None,
            last_resort: Some(LastResort { id: 3, expires: UnixMillis(9), floor: 2, hash: [5; 32] }),
            next_batch: 9,
            next_id: 8,
            x25519: Stock { stocked: 100, batches: vec![batch(1), batch(4)] },
            kem: Stock { stocked: 50, batches: vec![batch(2)] },
            target_back: u64::MAX,
            absent_since: Some(UnixMillis(1)),
        }
    }

    fn no_root(_: u32) -> Result<Digest, StoreError> {
        Err(StoreError::Corrupt("asked for a root"))
    }

    #[test]
    fn a_pool_comes_back_as_it_was_and_no_part_of_it_does() {
        for pool in [pool(), Pool::default()] {
            let encoded = pool.encode();
            assert_eq!(Pool::decode(&encoded, no_root).unwrap(), pool);
            for len in 0..encoded.len() {
                assert!(Pool::decode(&encoded[..len], no_root).is_err(), "{len}");
            }
            assert!(Pool::decode(&[&encoded[..], &[0]].concat(), no_root).is_err());
        }
        assert!(Pool::decode(&[3], no_root).is_err());
    }

    #[test]
    fn format_1_is_read_with_the_roots_from_the_batches() {
        let mut out = Writer::new();
        out.u8(1).u32(9).u32(800).u8(0).count16(1);
        out.u32(4).u16(100).u16(30).u64(1_000);
        let pool = Pool::decode(&out.finish(), |number| Ok([u8::try_from(number).unwrap(); 32])).unwrap();
        assert_eq!((pool.next_batch, pool.next_id, pool.x25519.stocked), (9, 800, 70));
        let [batch] = pool.x25519.batches[..] else { panic!() };
        assert_eq!((batch.batch, batch.leaf_count, batch.handed_out, batch.root), (4, 100, 30, [4; 32]));
        assert!(batch.answered > batch.expires, "answers that nobody counted may refer to it");
        assert!(!pool.has_kem());
    }
}
