//! Keyglass beside programs and libraries that others wrote: Go programs, built when the tests run.
//!
//! [`programs`] builds them, [`judge`] asks libraries about formats and proofs, [`stranger`] runs servers, and
//! [`witnesses`] sets up the witnesses among them. `docs/interoperability.md` says what is checked.

pub mod judge;
pub mod programs;
pub mod stranger;
pub mod witnesses;
