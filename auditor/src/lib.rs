//! Keyglass auditor.
