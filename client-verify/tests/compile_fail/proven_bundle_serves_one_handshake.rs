//! One proven bundle for two handshakes.

use keyglass_client_verify::{
    proven::ProvenBundle,
    x3dh::{HandshakeRandomness, OwnDevice, initiate},
};

fn attempt(own: OwnDevice<'_>, bundle: ProvenBundle, first: HandshakeRandomness, second: HandshakeRandomness) {
    let _ = initiate(own, bundle, first, b"one");
    let _ = initiate(own, bundle, second, b"two");
}

fn main() {}
