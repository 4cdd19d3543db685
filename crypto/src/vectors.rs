//! Reads the shared test vectors: JSON files whose byte strings are hex.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// Runs `check` on every case of the list `list` in `file`, prints how many there were, and fails on none.
///
/// The files lie in `testvectors/` of the workspace, or where `KEYGLASS_TESTVECTORS` says.
pub(crate) fn each(file: &str, list: &str, mut check: impl FnMut(&Value)) {
    let folder = env::var_os("KEYGLASS_TESTVECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors")), PathBuf::from);
    let text = fs::read(folder.join(file)).expect(file);
    let json: Value = serde_json::from_slice(&text).expect(file);
    let cases = json[list].as_array().expect(list);
    assert!(!cases.is_empty(), "{file} has no {list}");
    cases.iter().for_each(&mut check);
    println!("{file}: {} cases of {list}", cases.len());
}

/// The bytes of a hex field.
pub(crate) fn field(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(case[name].as_str().expect(name)).expect(name)
}
