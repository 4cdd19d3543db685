//! Keyglass witness.
