//! Whom an address belongs to, and how much one of them may hold.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Whoever holds an address, as limits count: an IPv4 address alone, or an IPv6 /64, of which one subscriber has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address. An IPv4 address in IPv6's notation is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)))),
            v4 => Self(v4),
        }
    }
}

impl core::fmt::Display for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// How many of something each network holds. It remembers those that hold some, and no others.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<Network, usize>>>,
}

/// One of something, held until this is dropped.
#[derive(Debug)]
pub struct Share {
    network: Network,
    held: Arc<Mutex<HashMap<Network, usize>>>,
}

impl Shares {
    /// Lets each network hold `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// Takes one more for a network, unless it has its share.
    #[must_use]
    pub fn take(&self, network: Network) -> Option<Share> {
        let mut held = lock(&self.held);
        let count = held.entry(network).or_default();
        if *count >= self.most {
            // A share of nothing would leave an entry behind for everybody who asks.
            if *count == 0 {
                held.remove(&network);
            }
            return None;
        }
        *count = count.saturating_add(1);
        Some(Share { network, held: Arc::clone(&self.held) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(count) = held.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.network);
            }
        }
    }
}

fn lock(held: &Mutex<HashMap<Network, usize>>) -> MutexGuard<'_, HashMap<Network, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn a_subscriber_is_one_network() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8::5").to_string(), "2001:db8::/64");
        assert_eq!(network("192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn a_share_of_nothing_is_never_given_and_remembers_nobody() {
        let shares = Shares::new(0);
        assert!(shares.take(network("192.0.2.1")).is_none());
        assert!(lock(&shares.held).is_empty());
    }

    proptest! {
        /// Against a plain list of who holds one.
        #[test]
        fn nobody_holds_more_than_the_share(steps in proptest::collection::vec((0u8..4, any::<bool>()), 0..200)) {
            let shares = Shares::new(3);
            let mut held: Vec<(u8, Share)> = Vec::new();
            for (who, take) in steps {
                let address = network(&format!("192.0.2.{who}"));
                let count = held.iter().filter(|(holder, _)| *holder == who).count();
                if take {
                    let share = shares.take(address);
                    prop_assert_eq!(share.is_some(), count < 3);
                    held.extend(share.map(|share| (who, share)));
                } else if let Some(place) = held.iter().position(|(holder, _)| *holder == who) {
                    held.swap_remove(place);
                }
            }
            held.clear();
            prop_assert!(lock(&shares.held).is_empty());
        }
    }
}
