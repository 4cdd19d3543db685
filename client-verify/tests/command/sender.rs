//! Bob as a sender who writes what he likes into his messages: his device is in the log, his program is the test's.

use keyglass_account::{
    api::{Base64, Id128, Message},
    time::UnixMillis,
};
use keyglass_client_verify::{
    proven::{self, Proving, Unverified, Witnessing},
    x3dh::{self, HandshakeRandomness, OwnDevice, Party},
};
use keyglass_crypto::{dh::DhSecretKey, secret::Secret};
use keyglass_keytrans::{
    client::{UserState, Verifier},
    prover,
    wire::Wire as _,
};

use crate::{
    log::now,
    records::{BOB, signing},
    server::Server,
};

/// Encrypts `payload` to the first device of `to` as Bob's first device, and leaves it in the mailbox. Bob's account must be
/// in the log.
pub fn send_as_bob(server: &Server, to: &str, payload: &[u8]) {
    let mut world = server.world();
    let configuration = world.log.config().encode().unwrap();
    let verifier = Verifier::new(&configuration, Some(world.log.own_policy().as_bytes())).unwrap();
    let (nothing, at) = (UserState::default(), UnixMillis(now()));
    let request = verifier.search_request(&nothing, to.as_bytes(), None);
    let response = prover::search(&world.log, &world.log.head(), &request).unwrap().encode().unwrap();
    let response = Unverified::from_wire(response);
    let clock = keyglass_tlog::time::UnixMillis(at.0);
    let search = proven::search(&verifier, &nothing, &request, &response, clock).unwrap();
    let Witnessing::Witnessed(value) = search.value else { panic!("not witnessed") };
    let Proving::Done(account) = proven::prove(value, None).unwrap() else { panic!("no genesis") };
    let bundle = Unverified::from_wire(world.bundle(to.as_bytes(), 1).unwrap());
    let bundle = account.prove_bundle(1, bundle, at).unwrap();

    let dh_secret = DhSecretKey::from_bytes(&[21; 32]);
    let party = Party {
        label: BOB.to_vec(),
        identity_key: signing(1).verifying_key(),
        device_id: 1,
        signing_key: signing(11).verifying_key(),
        dh_key: dh_secret.public_key(),
    };
    let bob = OwnDevice { party: &party, dh_secret: &dh_secret, version: 0 };
    let queue_length = world.mailboxes.values().map(Vec::len).sum::<usize>();
    let (seed, id) = (queue_length as u8 + 50, Id128([queue_length as u8; 16]));
    let randomness = HandshakeRandomness {
        ephemeral: Secret::new([seed; 32]),
        encapsulation: Secret::new([seed + 100; 32]),
    };
    let initiated = x3dh::initiate(bob, bundle, randomness, payload).unwrap();
    let body = Base64::new(initiated.message.encode()).unwrap();
    let queue = world.mailboxes.entry((to.as_bytes().to_vec(), 1)).or_default();
    queue.push(Message { id, received: now(), body });
}
