//! A network of hosts on one machine: a network namespace for each, joined by a switch in one more, whose cables can be cut.

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Handle, Runtime};

/// Networks that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Hosts that reach each other and nobody else. They are gone when it is dropped.
pub struct Network {
    id: String,
    hosts: Vec<&'static str>,
}

/// Runs `ip`; what it complained about, if it did not succeed.
fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Network {
    /// Makes a network, if this process may.
    ///
    /// # Errors
    /// In words, why it may not.
    pub fn new(hosts: &[&'static str]) -> Result<Self, String> {
        let id = format!("keyglass-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // From here on, dropping it removes what was made.
        let network = Self { id, hosts: hosts.to_vec() };
        let switch = network.namespace("switch");
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add bridge type bridge"))?;
        ip(&format!("-n {switch} link set bridge up"))?;
        for host in hosts {
            let namespace = network.namespace(host);
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("-n {switch} link add {host} type veth peer name cable netns {namespace}"))?;
            ip(&format!("-n {switch} link set {host} master bridge up"))?;
            ip(&format!("-n {namespace} addr add {}/24 dev cable", network.address(host)))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} link set cable up"))?;
        }
        Ok(network)
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.id)
    }

    /// A host's address.
    pub fn address(&self, host: &str) -> String {
        let place = self.hosts.iter().position(|other| *other == host).unwrap();
        format!("10.77.0.{}", place + 1)
    }

    /// Pulls a host's cable: nothing reaches it, and nothing that it sends reaches anybody.
    pub fn cut(&self, host: &str) {
        ip(&format!("-n {} link set {host} down", self.namespace("switch"))).unwrap();
    }

    /// Plugs it in again.
    pub fn join(&self, host: &str) {
        ip(&format!("-n {} link set {host} up", self.namespace("switch"))).unwrap();
    }

    /// From here on a host hears another one, but what it answers is lost.
    pub fn silence(&self, host: &str, towards: &str) {
        let (namespace, address) = (self.namespace(host), self.address(towards));
        ip(&format!("-n {namespace} route add blackhole {address}")).unwrap();
    }

    /// Ends [`Network::silence`].
    pub fn let_speak(&self, host: &str, towards: &str) {
        let (namespace, address) = (self.namespace(host), self.address(towards));
        ip(&format!("-n {namespace} route del blackhole {address}")).unwrap();
    }

    /// Moves the calling thread to a host, for good: what it connects to and whom it starts is there.
    fn enter(&self, host: &str) {
        enter(&format!("/run/netns/{}", self.namespace(host)));
    }

    /// Runs a test on a host.
    pub fn run_on<T: Send>(&self, host: &str, test: impl AsyncFnOnce() -> T + Send) -> T {
        let on_host = || {
            self.enter(host);
            runtime(format!("/run/netns/{}", self.namespace(host))).block_on(test())
        };
        std::thread::scope(|threads| threads.spawn(on_host).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Does something on another host than the one that the test runs on.
    pub async fn on<T: Send>(&self, host: &str, action: impl AsyncFnOnce() -> T + Send) -> T {
        let runtime = Handle::current();
        // The workers go on: they drive what the action waits for.
        tokio::task::block_in_place(|| {
            let there = || {
                self.enter(host);
                runtime.block_on(action())
            };
            std::thread::scope(|threads| threads.spawn(there).join())
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn enter(namespace: &str) {
    let file = File::open(namespace).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// A runtime all of whose threads are in a namespace.
fn runtime(namespace: String) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().on_thread_start(move || enter(&namespace)).build().unwrap()
}

impl Drop for Network {
    fn drop(&mut self) {
        // With its namespace goes a host's end of a cable, and with that the other end.
        for host in self.hosts.iter().copied().chain(["switch"]) {
            let _ = ip(&format!("netns del {}", self.namespace(host)));
        }
    }
}
