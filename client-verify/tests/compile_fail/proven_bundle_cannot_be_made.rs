//! A proven bundle out of its parts.

use keyglass_account::device::Suite;
use keyglass_client_verify::proven::{ProvenBundle, ProvenDevice};
use keyglass_crypto::dh::DhPublicKey;

fn attempt(device: ProvenDevice, key: DhPublicKey) -> ProvenBundle {
    ProvenBundle { device, suite: Suite::X3DH, signed: (1, key), one_time: None, kem: None }
}

fn main() {}
