//! VRF private keys: proofs and outputs.

use core::fmt;

use curve25519_dalek::{EdwardsPoint, Scalar, scalar::clamp_integer};
use sha2::{
    Digest as _, Sha512,
    digest::{
        array::Array,
        consts::{U16, U32},
    },
};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::{
    VrfOutput, VrfProof, VrfPublicKey,
    suite::{beta, challenge, challenge_scalar, encode, encode_to_curve, truncate},
};
use crate::secret::Secret;

/// Points that share one inversion: enough for its cost to vanish, few enough to stay in the cache.
pub(super) const BATCH: usize = 64;

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
        (proof, truncate(&beta))
    }

    /// [`prove`](Self::prove), with the whole output.
    pub(super) fn prove_beta(&self, alpha: &[u8]) -> (VrfProof, [u8; 64]) {
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
        truncate(&beta(gamma.mul_by_cofactor().compress().as_bytes()))
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
            outputs.extend(encoded.iter().map(|gamma| truncate(&beta(gamma.as_bytes()))));
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
