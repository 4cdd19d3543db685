//! What the log and its auditors give each other ("Auditing"): the log the update of every entry, and the auditor that its
//! configuration names the heads whose every entry it has verified.

pub mod heads;
pub mod poll;
pub mod updates;
