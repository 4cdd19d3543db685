//! A bundle whose signatures hold, for a device that no proven record has.

use keyglass_account::prekey::VerifiedBundle;
use keyglass_client_verify::x3dh::{HandshakeRandomness, OwnDevice, initiate};

fn attempt(own: OwnDevice<'_>, bundle: VerifiedBundle, randomness: HandshakeRandomness) {
    let _ = initiate(own, bundle, randomness, b"");
}

fn main() {}
