//! The verifiable random function ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381, suite 0x03).
//!
//! A VRF is a hash that only the holder of the secret key can compute, and that anybody can check: [`prove`] turns an
//! input into an output and a proof, and [`verify`] turns input and proof into the same output, or refuses. There is
//! one output for each key and input, whatever the prover does; without a proof, it looks random. A key-transparency
//! log therefore uses the output as the place of a label in its tree: the place tells nothing about the label.
//!
//! The RFC's output is 64 bytes; the log's cipher suites cut it to the first 32 (`VrfOutput`).
//!
//! Inputs are public to whoever proves: hashing one to the curve takes a time that depends on it. The secret key, and
//! the nonce of each proof, are only used in constant time, and erased.
//!
//! [`prove`]: VrfSecretKey::prove
//! [`verify`]: VrfPublicKey::verify

use core::fmt;

use curve25519_dalek::{
    EdwardsPoint, Scalar,
    scalar::clamp_integer,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use sha2::{
    Digest as _, Sha512,
    digest::{
        array::Array,
        consts::{U16, U32, U64, U80},
    },
};
use thiserror::Error;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::{point, secret::Secret};

/// The first 32 bytes of the output that RFC 9381 calls `beta_string`.
pub type VrfOutput = [u8; 32];

/// Bytes in a proof.
pub const PROOF_LEN: usize = 80;

/// `suite_string` of ECVRF-EDWARDS25519-SHA512-TAI.
const SUITE: u8 = 0x03;

/// Domain separators of section 5; each hash ends with `BACK`.
const ENCODE_TO_CURVE: u8 = 0x01;
const CHALLENGE: u8 = 0x02;
const PROOF_TO_HASH: u8 = 0x03;
const BACK: u8 = 0x00;

/// Points that share one inversion: enough for its cost to vanish, few enough to stay in the cache.
const BATCH: usize = 64;

/// Why a key or a proof was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VrfError {
    /// The public key is not the canonical encoding of a point.
    #[error("the VRF public key is not a canonical point")]
    NonCanonicalKey,
    /// The public key has small order: outputs under it would say nothing about the input (section 5.4.5).
    #[error("the VRF public key has small order")]
    SmallOrderKey,
    /// A proof is 80 bytes long.
    #[error("a VRF proof is 80 bytes long")]
    WrongLength,
    /// The proof's point `Gamma` is not in canonical encoding.
    #[error("the VRF proof does not hold a canonical point")]
    NonCanonicalPoint,
    /// The proof's `s` is not below the group order.
    #[error("the VRF proof does not hold a reduced scalar")]
    NonCanonicalScalar,
    /// The proof is well formed, but not one of this key for this input.
    #[error("the VRF proof does not verify")]
    BadProof,
}

/// The 80 bytes of a proof (`Gamma`, 32 bytes; `c`, 16; `s`, 32), not yet known to verify.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VrfProof(pub [u8; PROOF_LEN]);

impl VrfProof {
    /// Takes the bytes of a proof.
    ///
    /// # Errors
    /// [`VrfError::WrongLength`] unless there are 80.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, VrfError> {
        bytes.try_into().map(Self).map_err(|_| VrfError::WrongLength)
    }
}

impl fmt::Debug for VrfProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfProof({:02x?})", self.0)
    }
}

/// A VRF public key: canonical and not of small order.
#[derive(Clone, Copy)]
pub struct VrfPublicKey {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

impl VrfPublicKey {
    /// Decodes and validates the 32 bytes of a key (`string_to_point`, then `ECVRF_validate_key`).
    ///
    /// # Errors
    /// [`VrfError::NonCanonicalKey`] or [`VrfError::SmallOrderKey`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, VrfError> {
        let point = point::decompress(bytes).ok_or(VrfError::NonCanonicalKey)?;
        if point.is_small_order() {
            return Err(VrfError::SmallOrderKey);
        }
        Ok(Self { bytes: *bytes, point })
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.bytes
    }

    /// Verifies that `proof` is one of this key for the input `alpha`, and returns the output (`ECVRF_verify`).
    ///
    /// # Errors
    /// [`VrfError::NonCanonicalPoint`], [`VrfError::NonCanonicalScalar`] or [`VrfError::BadProof`].
    pub fn verify(&self, alpha: &[u8], proof: &VrfProof) -> Result<VrfOutput, VrfError> {
        self.verify_beta(alpha, proof).map(|beta| cut(&beta))
    }

    fn verify_beta(&self, alpha: &[u8], proof: &VrfProof) -> Result<[u8; 64], VrfError> {
        let (gamma_bytes, rest) = Array::<u8, U80>(proof.0).split::<U32>();
        let (c_bytes, s_bytes) = rest.split::<U16>();
        let gamma = point::decompress(&gamma_bytes.into()).ok_or(VrfError::NonCanonicalPoint)?;
        let s: Option<Scalar> = Scalar::from_canonical_bytes(s_bytes.into()).into();
        let s = s.ok_or(VrfError::NonCanonicalScalar)?;
        let c = challenge_scalar(c_bytes.into());
        let h = encode_to_curve(&self.bytes, alpha).ok_or(VrfError::BadProof)?;

        // U = s*B - c*Y and V = s*H - c*Gamma. Nothing here is secret.
        let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&c, &-self.point, &s);
        let v = EdwardsPoint::vartime_multiscalar_mul([s, c], [h, -gamma]);

        let [h, u, v, cofactor_gamma] = encode([h, u, v, gamma.mul_by_cofactor()]);
        if challenge([&self.bytes, &h, &gamma_bytes.into(), &u, &v]) != <[u8; 16]>::from(c_bytes) {
            return Err(VrfError::BadProof);
        }
        Ok(beta(&cofactor_gamma))
    }
}

impl PartialEq for VrfPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for VrfPublicKey {}

impl fmt::Debug for VrfPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfPublicKey({:02x?})", self.bytes)
    }
}

/// A VRF private key (a 32-byte seed). Erased when dropped.
#[derive(ZeroizeOnDrop)]
pub struct VrfSecretKey {
    seed: [u8; 32],
    /// `x`, the clamped first half of SHA-512(seed).
    x: Scalar,
    /// The second half of SHA-512(seed), which makes the nonces.
    nonce_prefix: [u8; 32],
    #[zeroize(skip)]
    public: VrfPublicKey,
}

impl VrfSecretKey {
    /// The key of a seed, derived as an Ed25519 key is (RFC 8032 section 5.1.5); the seed must come from a
    /// cryptographic source and serve no other key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut hashed = Sha512::digest(seed);
        let (x, nonce_prefix) = hashed.split_ref::<U32>();
        let x = Zeroizing::new(clamp_integer(x.0));
        let nonce_prefix = nonce_prefix.0;
        hashed.as_mut_slice().zeroize();
        // x only ever multiplies points of the prime-order group, for which the reduced x is the same.
        let x = Scalar::from_bytes_mod_order(*x);
        let point = EdwardsPoint::mul_base(&x);
        let public = VrfPublicKey { bytes: point.compress().to_bytes(), point };
        Self { seed: *seed, x, nonce_prefix, public }
    }

    /// The seed, for storing the key.
    #[must_use]
    pub fn to_seed(&self) -> Secret<32> {
        Secret::new(self.seed)
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> VrfPublicKey {
        self.public
    }

    /// The output for the input `alpha`, and its proof (`ECVRF_prove`). The same input always gives the same proof.
    ///
    /// # Panics
    /// Only if no point is found for `alpha`, which has probability 2^-256 and cannot be brought about.
    #[must_use]
    pub fn prove(&self, alpha: &[u8]) -> (VrfProof, VrfOutput) {
        let (proof, beta) = self.prove_beta(alpha);
        (proof, cut(&beta))
    }

    fn prove_beta(&self, alpha: &[u8]) -> (VrfProof, [u8; 64]) {
        let h = self.encode_to_curve(alpha);
        let gamma = self.x * h;
        let h_bytes = h.compress().to_bytes();

        let nonce = self.nonce(&h_bytes);
        let [gamma_bytes, u, v, cofactor_gamma] =
            encode([gamma, EdwardsPoint::mul_base(&nonce), *nonce * h, gamma.mul_by_cofactor()]);

        let c = challenge([&self.public.bytes, &h_bytes, &gamma_bytes, &u, &v]);
        let s = *nonce + challenge_scalar(c) * self.x;
        let proof =
            Array::<u8, U32>(gamma_bytes).concat(Array::<u8, U16>(c)).concat(Array::<u8, U32>(s.to_bytes()));
        (VrfProof(proof.0), beta(&cofactor_gamma))
    }

    /// The output that [`prove`](Self::prove) gives for `alpha`, in half the time, since there is no proof.
    ///
    /// # Panics
    /// As [`prove`](Self::prove).
    #[must_use]
    pub fn output(&self, alpha: &[u8]) -> VrfOutput {
        let gamma = self.x * self.encode_to_curve(alpha);
        cut(&beta(gamma.mul_by_cofactor().compress().as_bytes()))
    }

    /// The outputs for many inputs, a tenth faster than one by one.
    ///
    /// # Panics
    /// As [`prove`](Self::prove).
    #[must_use]
    pub fn outputs<A: AsRef<[u8]>>(&self, alphas: &[A]) -> Vec<VrfOutput> {
        let mut outputs = Vec::with_capacity(alphas.len());
        for chunk in alphas.chunks(BATCH) {
            let gammas: Vec<EdwardsPoint> = chunk
                .iter()
                .map(|alpha| (self.x * self.encode_to_curve(alpha.as_ref())).mul_by_cofactor())
                .collect();
            let encoded = EdwardsPoint::compress_batch_alloc(&gammas);
            outputs.extend(encoded.iter().map(|gamma| cut(&beta(gamma.as_bytes()))));
        }
        outputs
    }

    fn encode_to_curve(&self, alpha: &[u8]) -> EdwardsPoint {
        match encode_to_curve(&self.public.bytes, alpha) {
            Some(h) => h,
            None => unreachable!("256 SHA-512 digests in a row are no points: probability 2^-256"),
        }
    }

    /// `ECVRF_nonce_generation_RFC8032` (section 5.4.2.2).
    fn nonce(&self, h: &[u8; 32]) -> Zeroizing<Scalar> {
        let mut digest = Sha512::new().chain_update(self.nonce_prefix).chain_update(h).finalize();
        let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(digest.as_ref()));
        digest.as_mut_slice().zeroize();
        nonce
    }
}

impl fmt::Debug for VrfSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VrfSecretKey(..)")
    }
}

/// `ECVRF_encode_to_curve_try_and_increment` (section 5.4.1.1): a point of the prime-order group, not the identity.
///
/// About half of all digests are points, so two attempts are made on average. `None` after 256, which nobody will see.
fn encode_to_curve(salt: &[u8; 32], alpha: &[u8]) -> Option<EdwardsPoint> {
    let prefix = Sha512::new().chain_update([SUITE, ENCODE_TO_CURVE]).chain_update(salt).chain_update(alpha);
    (0..=u8::MAX).find_map(|counter| {
        let digest = prefix.clone().chain_update([counter, BACK]).finalize();
        let point = point::decompress(&cut(&digest.into()))?.mul_by_cofactor();
        (!point.is_identity()).then_some(point)
    })
}

/// `ECVRF_challenge_generation` (section 5.4.3) over the encodings of Y, H, Gamma, U and V.
fn challenge(points: [&[u8; 32]; 5]) -> [u8; 16] {
    let mut hasher = Sha512::new().chain_update([SUITE, CHALLENGE]);
    for point in points {
        hasher.update(point);
    }
    let (c, _) = hasher.chain_update([BACK]).finalize().split::<U16>();
    c.into()
}

/// A challenge as a scalar: 128 bits, little-endian.
fn challenge_scalar(c: [u8; 16]) -> Scalar {
    Scalar::from(u128::from_le_bytes(c))
}

/// The full output, given the encoding of `cofactor * Gamma` (`ECVRF_proof_to_hash`, section 5.2).
fn beta(cofactor_gamma: &[u8; 32]) -> [u8; 64] {
    let hasher = Sha512::new().chain_update([SUITE, PROOF_TO_HASH]).chain_update(cofactor_gamma);
    hasher.chain_update([BACK]).finalize().into()
}

/// The first half of a digest.
fn cut(digest: &[u8; 64]) -> [u8; 32] {
    let (first, _) = Array::<u8, U64>(*digest).split::<U32>();
    first.0
}

/// The encodings of points, with one inversion for all.
fn encode<const N: usize>(points: [EdwardsPoint; N]) -> [[u8; 32]; N] {
    EdwardsPoint::compress_batch(&points).map(|point| point.to_bytes())
}

#[cfg(test)]
mod tests;
