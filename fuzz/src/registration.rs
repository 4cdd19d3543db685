//! A log-server's own files: its tokens for new accounts.

#[path = "../../log-server/src/registration/keys.rs"]
pub(crate) mod keys;
#[path = "../../log-server/src/registration/token.rs"]
pub(crate) mod token;
