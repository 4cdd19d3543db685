//! What witnesses and auditors pull from each other, and the file that says from whom.

use std::{collections::BTreeSet, sync::LazyLock};

use keyglass_gossip::{
    evidence::Held,
    head::Head,
    hex,
    listing::{self, MAX_LISTED, MAX_LISTING_LEN},
    peers::{self as file, MAX_PEERS},
    trust::Trust,
};
use keyglass_tlog::note::MAX_SIGNATURES;

use crate::text::POLICY;

static TRUST: LazyLock<Trust> = LazyLock::new(|| Trust::of_policy(&POLICY));

/// The origin of the log that is known.
const ORIGIN: &str = "log.example/one";

/// A list of evidence.
pub fn list(input: &[u8]) {
    let Ok(listed) = listing::parse(input) else { return };
    assert!(listed.len() <= MAX_LISTED && input.len() <= MAX_LISTING_LEN);
    assert!(listed.is_sorted_by(|x, y| x.0 < y.0));
    let lines = listed.iter().map(|(id, origin)| format!("{id} {}\n", hex::encode(origin)));
    let again = format!("keyglass-gossip/v1\n{}", lines.collect::<String>());
    assert_eq!(again.as_bytes(), input, "another spelling");
}

/// A file of evidence: what is kept of it is canonical, and as good as what was served.
pub fn evidence(input: &[u8]) {
    let Ok(held) = Held::read(input, &TRUST) else { return };
    assert_eq!(held.origin(), ORIGIN);
    assert!(held.text().len() <= input.len(), "nothing is added");
    assert_eq!(Held::read(held.text().as_bytes(), &TRUST).as_ref(), Ok(&held), "canonical is canonical");
}

/// A latest checkpoint.
pub fn head(input: &[u8]) {
    let Ok(head) = Head::read(input, &TRUST) else { return };
    assert_eq!(head.origin(), ORIGIN);
    assert!((1..=MAX_SIGNATURES).contains(&head.note().signatures().len()));
    assert_eq!(Head::verify(head.note(), &TRUST).as_ref(), Ok(&head));
}

/// A file of peers.
pub fn peers(input: &[u8]) {
    let Ok(peers) = file::parse(input) else { return };
    assert!(peers.len() <= MAX_PEERS);
    let names: BTreeSet<&str> = peers.iter().map(|peer| peer.name()).collect();
    assert!(names.len() == peers.len() && peers.iter().all(|peer| peer.url().ends_with('/')));
    let lines: String = peers.iter().map(|peer| format!("peer {} {}\n", peer.name(), peer.url())).collect();
    assert_eq!(file::parse(lines.as_bytes()), Ok(peers));
}
