//! A verified search whose state update is dropped.
#![deny(unused_must_use)]

use keyglass_client_verify::proven::{Unverified, search};
use keyglass_keytrans::{
    client::{StateUpdate, UserState, Verifier, VerifyError},
    wire::SearchRequest,
};
use keyglass_tlog::time::UnixMillis;

fn attempt(
    verifier: &Verifier,
    state: &UserState,
    request: &SearchRequest,
    response: &Unverified<Vec<u8>>,
) -> Result<(), VerifyError> {
    search(verifier, state, request, response, UnixMillis(0))?;
    Ok(())
}

fn update() -> StateUpdate {
    unimplemented!()
}

fn main() {
    update();
}
