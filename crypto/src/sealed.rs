//! Key files encrypted under a passphrase: argon2id (RFC 9106) makes a key of it, ChaCha20-Poly1305 seals the content.
//!
//! ```text
//! keyglass-sealed-key/v1
//! holds log.key
//! kdf argon2id v=19 m=65536 t=3 p=4 salt=<32 hexadecimal digits>
//! aead chacha20-poly1305 nonce=<24 hexadecimal digits>
//! <ciphertext and tag in hexadecimal digits>
//! ```
//!
//! Every line ends with a newline. The first four are the associated data: what a file holds cannot be changed, so that
//! one key cannot take another's place. There is one encoding; whatever differs from it in a byte does not open.

use core::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{aead, secret::Secret};

/// What every version's first line begins with.
const FAMILY: &str = "keyglass-sealed-key/";
const FIRST_LINE: &str = "keyglass-sealed-key/v1";
/// The most bytes that are sealed: room for the longest account record in base64.
pub const MAX_CONTENT_LEN: usize = 192 * 1024;
/// The most bytes that a sealed key has: digits, and a head.
pub const MAX_SEALED_LEN: usize = 2 * (MAX_CONTENT_LEN + aead::TAG_LEN) + 512;
/// The longest passphrase, in bytes.
pub const MAX_PASSPHRASE_LEN: usize = 1024;
/// The longest name of what a file holds, in bytes.
const MAX_NAME_LEN: usize = 64;

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealedError {
    /// It does not begin as sealed keys do.
    #[error("not a sealed key")]
    NotSealed,
    /// Another version of this format.
    #[error("a sealed key of a version that this program does not know")]
    UnknownVersion,
    /// Not the one encoding of anything.
    #[error("a malformed sealed key")]
    Malformed,
    /// It holds something else than was asked for.
    #[error("a sealed key for another purpose")]
    OtherPurpose,
    /// More work or memory than is spent on any file, or less than argon2 allows.
    #[error("a sealed key whose cost is out of bounds")]
    CostOutOfBounds,
    /// The passphrase is empty or longer than 1024 bytes.
    #[error("a passphrase has 1 to {MAX_PASSPHRASE_LEN} bytes")]
    PassphraseLength,
    /// The content, or the name of what it is, is longer than any.
    #[error("the content or its name is too long to be sealed")]
    TooLong,
    /// Another passphrase sealed it, or it was changed since.
    #[error("the passphrase is wrong, or the file is damaged")]
    NotAuthentic,
}

/// A passphrase: erased when dropped, never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes 1 to [`MAX_PASSPHRASE_LEN`] bytes.
    ///
    /// # Errors
    /// [`SealedError::PassphraseLength`].
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, SealedError> {
        if bytes.is_empty() || bytes.len() > MAX_PASSPHRASE_LEN {
            return Err(SealedError::PassphraseLength);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What trying one passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// The second recommended option of RFC 9106, section 4: 64 MiB, three passes, four lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// The most memory: 256 MiB.
    const MAX_MEMORY_KIB: u32 = 256 * 1024;
    const MAX_PASSES: u32 = 16;
    const MAX_LANES: u32 = 16;

    /// Memory in KiB, at least 8 for each lane.
    ///
    /// # Errors
    /// [`SealedError::CostOutOfBounds`].
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, SealedError> {
        let fine = (1..=Self::MAX_LANES).contains(&lanes)
            && (1..=Self::MAX_PASSES).contains(&passes)
            && (lanes.saturating_mul(8)..=Self::MAX_MEMORY_KIB).contains(&memory_kib);
        if fine { Ok(Self { memory_kib, passes, lanes }) } else { Err(SealedError::CostOutOfBounds) }
    }

    fn key(self, passphrase: &Passphrase, salt: &[u8; 16]) -> Result<Secret<32>, SealedError> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let params = params.map_err(|_| SealedError::CostOutOfBounds)?;
        let mut memory = vec![Block::new(); params.block_count()];
        let mut key = Zeroizing::new([0; 32]);
        let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            &passphrase.0,
            salt,
            &mut *key,
            &mut memory,
        );
        memory.iter_mut().for_each(Block::zeroize);
        done.map_err(|_| SealedError::CostOutOfBounds)?;
        Ok(Secret::new(*key))
    }
}

/// The parts of a file, but for the ciphertext.
struct Head<'h> {
    holds: &'h str,
    cost: Cost,
    salt: [u8; 16],
    nonce: [u8; 12],
}

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { memory_kib, passes, lanes } = self.cost;
        writeln!(f, "{FIRST_LINE}")?;
        writeln!(f, "holds {}", self.holds)?;
        let salt = hex::encode(self.salt);
        writeln!(f, "kdf argon2id v=19 m={memory_kib} t={passes} p={lanes} salt={salt}")?;
        writeln!(f, "aead chacha20-poly1305 nonce={}", hex::encode(self.nonce))
    }
}

/// Whether a file claims to be a sealed key, of any version.
#[must_use]
pub fn is_sealed(text: &[u8]) -> bool {
    text.starts_with(FAMILY.as_bytes())
}

/// Seals `content`. `holds` names what it is, in printable ASCII without spaces; salt and nonce must be random, and new
/// for each file.
///
/// # Errors
/// [`SealedError::TooLong`], [`SealedError::Malformed`] for the name.
pub fn seal(
    holds: &str,
    content: &[u8],
    passphrase: &Passphrase,
    cost: Cost,
    salt: &[u8; 16],
    nonce: &[u8; 12],
) -> Result<String, SealedError> {
    if content.len() > MAX_CONTENT_LEN || holds.len() > MAX_NAME_LEN {
        return Err(SealedError::TooLong);
    }
    if holds.is_empty() || !holds.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SealedError::Malformed);
    }
    let head = Head { holds, cost, salt: *salt, nonce: *nonce }.to_string();
    let key = cost.key(passphrase, salt)?;
    let sealed = aead::seal(&key, nonce, head.as_bytes(), content).map_err(|_| SealedError::TooLong)?;
    Ok(format!("{head}{}\n", hex::encode(sealed)))
}

/// Opens what [`seal`] made for `holds`.
///
/// # Errors
/// [`SealedError`]. Whether the passphrase is wrong or the file damaged cannot be told apart.
pub fn open(holds: &str, text: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    if !is_sealed(text) {
        return Err(SealedError::NotSealed);
    }
    if text.len() > MAX_SEALED_LEN {
        return Err(SealedError::TooLong);
    }
    let text = core::str::from_utf8(text).map_err(|_| SealedError::Malformed)?;
    let (first, _) = text.split_once('\n').ok_or(SealedError::Malformed)?;
    if first != FIRST_LINE {
        return Err(SealedError::UnknownVersion);
    }
    let (head, ciphertext) = parse(text).ok_or(SealedError::Malformed)?;
    // Rendered again it must be the same: every number and digit has one form.
    let rendered = head.to_string();
    if text != format!("{rendered}{}\n", hex::encode(&ciphertext)) {
        return Err(SealedError::Malformed);
    }
    if head.holds != holds {
        return Err(SealedError::OtherPurpose);
    }
    let Cost { memory_kib, passes, lanes } = head.cost;
    let key = Cost::new(memory_kib, passes, lanes)?.key(passphrase, &head.salt)?;
    aead::open(&key, &head.nonce, rendered.as_bytes(), &ciphertext)
        .map(Zeroizing::new)
        .map_err(|_| SealedError::NotAuthentic)
}

/// Takes a file apart. The cost is still to be judged.
fn parse(text: &str) -> Option<(Head<'_>, Vec<u8>)> {
    let mut lines = text.strip_suffix('\n')?.split('\n').skip(1);
    let holds = lines.next()?.strip_prefix("holds ")?;
    let kdf = lines.next()?.strip_prefix("kdf argon2id v=19 m=")?;
    let (memory_kib, kdf) = kdf.split_once(" t=")?;
    let (passes, kdf) = kdf.split_once(" p=")?;
    let (lanes, salt) = kdf.split_once(" salt=")?;
    let nonce = lines.next()?.strip_prefix("aead chacha20-poly1305 nonce=")?;
    let ciphertext = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    let cost = Cost {
        memory_kib: memory_kib.parse().ok()?,
        passes: passes.parse().ok()?,
        lanes: lanes.parse().ok()?,
    };
    let mut head = Head { holds, cost, salt: [0; 16], nonce: [0; 12] };
    hex::decode_to_slice(salt, &mut head.salt).ok()?;
    hex::decode_to_slice(nonce, &mut head.nonce).ok()?;
    Some((head, hex::decode(ciphertext).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    const NAME: &str = "log.key";

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    fn sealed(content: &[u8]) -> String {
        seal(NAME, content, &passphrase("correct horse"), CHEAP, &[1; 16], &[2; 12]).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_sealed_opens_and_nothing_else_does(
            content in prop::collection::vec(any::<u8>(), 0..300), salt: [u8; 16], nonce: [u8; 12],
            memory in 16_u32..64, passes in 1_u32..3, lanes in 1_u32..3, phrase in "[ -~]{1,40}",
        ) {
            let cost = Cost::new(memory, passes, lanes).unwrap();
            let phrase = passphrase(&phrase);
            let text = seal(NAME, &content, &phrase, cost, &salt, &nonce).unwrap();
            prop_assert!(is_sealed(text.as_bytes()) && text.len() <= MAX_SEALED_LEN);
            let opened = open(NAME, text.as_bytes(), &phrase).unwrap();
            prop_assert_eq!(opened.as_slice(), content.as_slice());
            prop_assert_eq!(open("vrf.key", text.as_bytes(), &phrase), Err(SealedError::OtherPurpose));
            let mut longer = phrase.clone();
            longer.0.push(b' ');
            prop_assert_eq!(open(NAME, text.as_bytes(), &longer), Err(SealedError::NotAuthentic));
        }
    }

    #[test]
    fn no_other_bytes_open() {
        let text = sealed(b"seed");
        let phrase = passphrase("correct horse");
        assert!(open(NAME, text.as_bytes(), &phrase).is_ok());
        for length in 0..text.len() {
            assert!(open(NAME, &text.as_bytes()[..length], &phrase).is_err(), "cut off at {length}");
        }
        for bit in 0..8 * text.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(NAME, &flipped, &phrase).is_err(), "bit {bit}");
        }
        for added in ["\n", " ", "00\n", "\r\n"] {
            assert_eq!(open(NAME, format!("{text}{added}").as_bytes(), &phrase), Err(SealedError::Malformed));
        }
        for (from, to) in
            [("m=8 ", "m=08 "), ("m=8 ", "m=+8 "), ("t=1", "t=1 "), ("\n", "\r\n"), ("v=19", "v=16")]
        {
            let error = open(NAME, text.replacen(from, to, 1).as_bytes(), &phrase).unwrap_err();
            assert!(matches!(error, SealedError::Malformed | SealedError::UnknownVersion), "{to}: {error}");
        }
    }

    /// Made with argon2-cffi 25.1 (the reference implementation in C) and Python's cryptography 50.
    #[test]
    fn vector_of_other_implementations() {
        let text = concat!(
            "keyglass-sealed-key/v1\n",
            "holds log.key\n",
            "kdf argon2id v=19 m=64 t=2 p=2 salt=000102030405060708090a0b0c0d0e0f\n",
            "aead chacha20-poly1305 nonce=404142434445464748494a4b\n",
            "449e95a865ab27b0961865a3c982d62ffe36ece20677e1de\n",
        );
        let phrase = passphrase("correct horse battery staple");
        assert_eq!(open(NAME, text.as_bytes(), &phrase).unwrap().as_slice(), b"a secret");
        let salt = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let nonce = core::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
        let cost = Cost::new(64, 2, 2).unwrap();
        assert_eq!(seal(NAME, b"a secret", &phrase, cost, &salt, &nonce).unwrap(), text);
        println!("vector_of_other_implementations: 1 case");
    }

    /// Nobody who can write a file makes its reader allocate or compute without end.
    #[test]
    fn costs_are_bounded_before_anything_is_spent() {
        let text = sealed(b"seed");
        let phrase = passphrase("correct horse");
        let edges = [
            (262_145, 1, 1),
            (u32::MAX, 1, 1),
            (8, 17, 1),
            (8, u32::MAX, 1),
            (8, 0, 1),
            (7, 1, 1),
            (0, 1, 1),
            (15, 1, 2),
            (262_144, 1, 17),
            (8, 1, 0),
            (8, 1, u32::MAX),
        ];
        for (m, t, p) in edges {
            assert_eq!(Cost::new(m, t, p), Err(SealedError::CostOutOfBounds));
            let text = text.replace("m=8 t=1 p=1", &format!("m={m} t={t} p={p}"));
            assert_eq!(
                open(NAME, text.as_bytes(), &phrase),
                Err(SealedError::CostOutOfBounds),
                "{m} {t} {p}"
            );
        }
        assert!(Cost::new(262_144, 16, 16).is_ok());
        let Cost { memory_kib, passes, lanes } = Cost::RECOMMENDED;
        assert_eq!(Cost::new(memory_kib, passes, lanes), Ok(Cost::RECOMMENDED));
    }

    #[test]
    fn what_cannot_be_sealed_is_refused() {
        let seal =
            |holds: &str, content: &[u8]| seal(holds, content, &passphrase("x"), CHEAP, &[0; 16], &[0; 12]);
        for holds in ["", "two words", "line\n", "é"] {
            assert_eq!(seal(holds, b""), Err(SealedError::Malformed), "{holds:?}");
        }
        assert_eq!(seal(&"n".repeat(65), b""), Err(SealedError::TooLong));
        assert_eq!(seal(NAME, &vec![0; MAX_CONTENT_LEN + 1]), Err(SealedError::TooLong));
        let longest = seal(&"n".repeat(64), &vec![0; MAX_CONTENT_LEN]).unwrap();
        assert!(longest.len() <= MAX_SEALED_LEN);
        for length in [0, MAX_PASSPHRASE_LEN + 1] {
            let made = Passphrase::new(Zeroizing::new(vec![b'x'; length]));
            assert_eq!(made.unwrap_err(), SealedError::PassphraseLength);
        }
        assert_eq!(format!("{:?}", passphrase("secret")), "Passphrase(..)");
    }

    #[test]
    fn other_files_are_told_apart() {
        let phrase = passphrase("x");
        assert_eq!(open(NAME, b"", &phrase), Err(SealedError::NotSealed));
        assert_eq!(open(NAME, b"PRIVATE+KEY+...", &phrase), Err(SealedError::NotSealed));
        let later = sealed(b"").replace("/v1\n", "/v2\n");
        assert_eq!(open(NAME, later.as_bytes(), &phrase), Err(SealedError::UnknownVersion));
    }
}
