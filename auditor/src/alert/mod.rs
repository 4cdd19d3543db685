//! Alerts: what is wrong for a while is told to programs that wake people, once when it opens and once when it resolves.
//!
//! [`book`] decides what is told, [`outbox`] what is still to be told to whom; both are pure. [`store`] keeps them over
//! restarts, [`webhook`] and [`command`] tell, [`desk`] puts them together, and [`watch`] feeds it.

pub mod book;
pub mod command;
pub mod config;
pub mod desk;
pub mod notice;
pub mod outbox;
pub mod store;
pub mod watch;
pub mod webhook;
