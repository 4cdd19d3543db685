//! A copy of a proven bundle.

use keyglass_client_verify::proven::ProvenBundle;

fn attempt(bundle: &ProvenBundle) -> ProvenBundle {
    bundle.clone()
}

fn main() {}
