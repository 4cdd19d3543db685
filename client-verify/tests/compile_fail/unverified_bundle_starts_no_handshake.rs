//! A bundle as it was fetched.

use keyglass_account::prekey::PreKeyBundle;
use keyglass_client_verify::{
    proven::Unverified,
    x3dh::{OwnDevice, initiate},
};
use keyglass_crypto::secret::Secret;

fn attempt(own: OwnDevice<'_>, bundle: Unverified<PreKeyBundle>) {
    let _ = initiate(own, bundle, Secret::new([0; 32]), b"");
}

fn main() {}
