//! A proven value out of bytes and a head that was proven for something else.

use keyglass_client_verify::proven::ProvenValue;
use keyglass_keytrans::client::VerifiedHead;

fn attempt(value: Vec<u8>, head: VerifiedHead) -> ProvenValue {
    ProvenValue { origin: String::new(), label: Vec::new(), version: 0, value, head }
}

fn main() {}
