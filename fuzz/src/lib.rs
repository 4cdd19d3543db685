//! Fuzz targets: every decoder of the pure crates that reads what others wrote, and what runs on what it decodes.
//!
//! A target takes any bytes. It panics if a decoder panics, if what it decodes does not encode to the same bytes again
//! (where a format has one spelling per value), or if a limit that a format promises does not hold.

mod account;
mod answers;
// The witness's own files: its crate builds with servers and a database, which would make this one slow to build.
#[allow(dead_code)]
#[path = "../../witness/src/head.rs"]
mod head;
#[allow(dead_code)]
#[path = "../../witness/src/kept.rs"]
mod kept;
mod scenes;
mod text;
mod wire;
mod witness;

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

pub use answers::{honest_answers, stored_states};
pub use wire::CODECS;
