//! A bundle whose signatures hold, for a device that no proven record has.

use keyglass_account::prekey::VerifiedBundle;
use keyglass_client_verify::x3dh::{OwnDevice, initiate};
use keyglass_crypto::secret::Secret;

fn attempt(own: OwnDevice<'_>, bundle: VerifiedBundle) {
    let _ = initiate(own, bundle, Secret::new([0; 32]), b"");
}

fn main() {}
