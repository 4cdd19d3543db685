//! The responder's chain used as the handshake derived it.

use keyglass_client_verify::x3dh::Session;
use keyglass_crypto::aead;

fn attempt(session: &Session) {
    let _ = aead::seal(&session.keys.responder_chain, &[0; 12], b"", b"reply");
}

fn main() {}
