//! The `keyglass` command.

mod args;

pub use args::{Arguments, Command, Common, EvidenceCommand};
