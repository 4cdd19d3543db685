//! Servers that lie, put together from the honest ones' parts. They exist in this program only.

pub mod log;
pub mod proxy;
pub mod witness;
