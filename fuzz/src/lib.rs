//! Fuzz targets: every decoder that reads what others wrote, and what runs on what it decodes. Of crates that are slow to build
//! because of servers or databases, the files are built in.
//!
//! A target takes any bytes. It panics if a decoder panics, if what it decodes does not encode to the same bytes again
//! (where a format has one spelling per value), or if a limit that a format promises does not hold.

mod account;
mod answers;
mod gossip;
#[allow(dead_code)]
#[path = "../../witness/src/head.rs"]
mod head;
#[allow(dead_code)]
#[path = "../../client-verify/src/command/heads_text.rs"]
mod heads_text;
#[allow(dead_code)]
#[path = "../../witness/src/kept.rs"]
mod kept;
mod primitives;
#[allow(dead_code)]
mod registration;
mod scenes;
mod text;
// It has a file of tests beside it, which a formatter would look for elsewhere.
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../auditor/src/updates.rs"]
mod updates;
mod wire;
mod witness;

// Where `heads_text` looks for it.
use keyglass_client_verify::state;

/// A target: its name, which is also the name of its corpus' directory, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("note", text::note),
    ("signature-lines", text::signature_lines),
    ("vkey", text::vkey),
    ("key-file", text::key_file),
    ("checkpoint", text::checkpoint),
    ("policy", text::policy),
    ("judge", text::judge),
    ("proof", text::proof),
    ("tile-path", text::tile_path),
    ("bundle", text::bundle),
    ("add-checkpoint", text::add_checkpoint),
    ("cosignatures", text::cosignatures),
    ("evidence", text::evidence),
    ("handover", text::handover),
    ("merkle", text::merkle),
    ("wire", wire::structure),
    ("updates", wire::updates),
    ("stored", wire::stored),
    ("audit", wire::audit),
    ("answers", answers::answer),
    ("record", account::record),
    ("prekeys", account::prekeys),
    ("headers", account::headers),
    ("json", account::json),
    ("message", account::message),
    ("kept", witness::kept),
    ("gossip-list", gossip::list),
    ("gossip-evidence", gossip::evidence),
    ("gossip-head", gossip::head),
    ("peers", gossip::peers),
    ("search-many", account::search_many),
    ("link-offer", account::link_offer),
    ("text-code", account::text_code),
    ("label", account::label),
    ("registration-token", account::registration_token),
    ("registration-keys", account::registration_keys),
    ("heads-text", text::heads),
    ("sealed", primitives::sealed),
    ("vrf", primitives::vrf),
    ("update-stream", wire::update_stream),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

/// Where the test vectors are: in `KEYGLASS_TESTVECTORS`, else beside this workspace.
#[must_use]
pub fn vectors() -> std::path::PathBuf {
    std::env::var_os("KEYGLASS_TESTVECTORS")
        .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors").into(), Into::into)
}

/// A file of test vectors.
///
/// # Panics
/// If it is not there or no JSON.
#[must_use]
pub fn vector_file(name: &str) -> serde_json::Value {
    let path = vectors().join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub use account::{REGISTRATION_TIME, service_key, service_keys};
pub use answers::{honest_answers, stored_states};
pub use wire::CODECS;
