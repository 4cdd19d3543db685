//! Reading test vectors.

use serde_json::Value;

/// The parsed file `name` of the vector directory.
pub(crate) fn read(name: &str) -> Value {
    let directory = std::env::var("KEYGLASS_TESTVECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors").to_owned());
    let path = std::path::Path::new(&directory).join(name);
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The bytes of a hex string.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}
