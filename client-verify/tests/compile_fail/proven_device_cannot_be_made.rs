//! A proven device out of keys that somebody sent.

use keyglass_client_verify::{proven::ProvenDevice, x3dh::Party};

fn attempt(party: Party) -> ProvenDevice {
    ProvenDevice { origin: String::new(), version: 0, party, suites: Vec::new() }
}

fn main() {}
