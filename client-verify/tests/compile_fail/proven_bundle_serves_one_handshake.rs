//! One proven bundle for two handshakes.

use keyglass_client_verify::{
    proven::ProvenBundle,
    x3dh::{OwnDevice, initiate},
};
use keyglass_crypto::secret::Secret;

fn attempt(own: OwnDevice<'_>, bundle: ProvenBundle) {
    let _ = initiate(own, bundle, Secret::new([0; 32]), b"one");
    let _ = initiate(own, bundle, Secret::new([1; 32]), b"two");
}

fn main() {}
