//! What must not compile: every way around the key gate.
//!
//! Runs without the feature `cli`, so that no network code is built for it:
//! `cargo test -p keyglass-client-verify --no-default-features --test compile_fail`.
#![cfg(not(feature = "cli"))]

#[test]
fn ways_around_the_key_gate_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
