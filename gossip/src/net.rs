//! Asking peers over HTTP: bounded in bytes and time, spread out in time, patient with those that fail.

mod ask;
mod compare;
mod http;
mod rounds;
mod tiles;

pub use self::{
    http::{Fetch, FetchError, PEER_DEADLINE},
    rounds::{Gossip, Host, Outcome, Settings},
};
