//! Keyglass account.
