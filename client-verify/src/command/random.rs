//! Random bytes from the operating system.

use keyglass_crypto::secret::Secret;
use rand::{TryRng as _, rngs::SysRng};
use zeroize::Zeroizing;

use super::outcome::Failure;
use crate::verdict::Verdict;

/// `N` random bytes that need not be secret.
///
/// # Errors
/// If the system has none to give; nothing may be done without them.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| Failure::new(Verdict::Failed, "no_randomness", "the system gives no random bytes"))?;
    Ok(bytes)
}

/// `N` random bytes that are a secret.
///
/// # Errors
/// As [`bytes`].
pub fn secret<const N: usize>() -> Result<Secret<N>, Failure> {
    let bytes = Zeroizing::new(bytes()?);
    Ok(Secret::new(*bytes))
}
