//! A look inside what nobody verified.

use keyglass_account::prekey::PreKeyBundle;
use keyglass_client_verify::proven::Unverified;

fn attempt(bundle: Unverified<PreKeyBundle>) -> u32 {
    bundle.0.signed_prekey.id
}

fn main() {}
