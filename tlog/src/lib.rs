//! Keyglass tlog.
