//! The attacks, each with the verdict that it must get.

pub mod hidden_fork;
pub mod split_view;
pub mod stale;
pub mod swapped_bundle;
pub mod unsigned_device;
