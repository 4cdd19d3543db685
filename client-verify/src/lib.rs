//! Keyglass client-verify.
