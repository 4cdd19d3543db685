//! A bundle as it was fetched.

use keyglass_account::prekey::PreKeyBundle;
use keyglass_client_verify::{
    proven::Unverified,
    x3dh::{HandshakeRandomness, OwnDevice, initiate},
};

fn attempt(own: OwnDevice<'_>, bundle: Unverified<PreKeyBundle>, randomness: HandshakeRandomness) {
    let _ = initiate(own, bundle, randomness, b"");
}

fn main() {}
