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

mod public_key;
mod secret_key;
mod suite;
#[cfg(test)]
mod tests;

use core::fmt;

use thiserror::Error;

pub use self::{public_key::VrfPublicKey, secret_key::VrfSecretKey};

/// The first 32 bytes of the output that RFC 9381 calls `beta_string`.
pub type VrfOutput = [u8; 32];

/// Bytes in a proof.
pub const PROOF_LEN: usize = 80;

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
