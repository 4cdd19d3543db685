//! Keyglass log-server.
