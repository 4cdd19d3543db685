//! VRF public keys: validation, and verification of proofs.

use core::fmt;

use curve25519_dalek::{EdwardsPoint, Scalar, traits::VartimeMultiscalarMul as _};
use sha2::digest::{
    array::Array,
    consts::{U16, U32, U80},
};

use super::{
    VrfError, VrfOutput, VrfProof,
    suite::{beta, challenge, challenge_scalar, encode, encode_to_curve, truncate},
};
use crate::point;

/// A VRF public key: canonical and not of small order.
#[derive(Clone, Copy)]
pub struct VrfPublicKey {
    pub(super) bytes: [u8; 32],
    pub(super) point: EdwardsPoint,
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
        self.verify_beta(alpha, proof).map(|beta| truncate(&beta))
    }

    /// [`verify`](Self::verify), with the whole output.
    pub(super) fn verify_beta(&self, alpha: &[u8], proof: &VrfProof) -> Result<[u8; 64], VrfError> {
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
