//! The program that libFuzzer drives: `KEYGLASS_FUZZ_TARGET` names the target, the arguments are libFuzzer's.
#![no_main]
#![allow(unsafe_code)] // The macro exports a function under the name that libFuzzer looks for.

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() -> fn(&[u8]) {
    let name = std::env::var("KEYGLASS_FUZZ_TARGET").unwrap_or_default();
    keyglass_fuzz::target(&name).unwrap_or_else(|| panic!("KEYGLASS_FUZZ_TARGET names no target: {name:?}"))
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.get_or_init(choose)(data));
