//! The whole system on one machine: the honest run, then the attacks.
//!
//! [`system`] starts the programs, [`client`] runs the users' command, [`honest`] is the run in which nobody lies and
//! [`lies`] are the attacks, each by a server from [`lying`]. [`report`] says what happens.

use thiserror::Error;

pub mod client;
pub mod daemon;
pub mod honest;
pub mod lies;
pub mod lying;
pub mod report;
pub mod system;

/// Why the demo cannot go on.
#[derive(Debug, Error)]
pub enum Failed {
    /// The system could not be set up.
    #[error(transparent)]
    System(#[from] system::SystemError),
    /// A program failed.
    #[error(transparent)]
    Daemon(#[from] daemon::DaemonError),
    /// A lying server cannot listen.
    #[error("a lying server cannot listen: {0}")]
    Listen(std::io::Error),
    /// A lying server cannot be put together.
    #[error("a lying server cannot be put together: {0}")]
    Lying(String),
}
