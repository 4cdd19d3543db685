//! A new device of an account in this home: its secrets, and its entry in the record.

use keyglass_account::device::Device;

use super::super::{context::now, outcome::Failure, random};
use crate::{state::OwnDeviceState, x3dh::SUITES};

/// Draws the keys of a new device and has it agree to belong to the account under `id`. It announces every suite that is run
/// here.
///
/// # Errors
/// If the system has no random bytes to give.
pub fn new(origin: &str, label: &[u8], id: u32) -> Result<(OwnDeviceState, Device), Failure> {
    let state = OwnDeviceState::new(id, random::secret()?, random::secret()?);
    let dh_key = state.dh_key().public_key();
    let device = Device::sign(origin, label, id, &state.signing_key(), dh_key, SUITES.to_vec(), now());
    Ok((state, device))
}
