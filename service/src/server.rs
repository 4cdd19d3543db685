//! A server: connections bounded in number, altogether and for each address, in how long they may be silent, and in how
//! long they may outlive the signal to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    rt::{Read, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tower::Service as _;

use crate::{
    connections::Connections,
    network::{Network, Shares},
    taking::Taking,
    tls::Tls,
};

/// The pause after a connection could not be accepted, for want of file descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections that the system keeps while there is no place for them.
const BACKLOG: u32 = 1024;

/// What clients may take of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections at a time; more wait to be accepted.
    pub connections: usize,
    /// The most of them that one address may hold (of IPv6, one /64); more are closed at once. A proxy in front is one address.
    pub per_address: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may go without sending a whole request head, or without taking anything of an answer.
    pub head_time: Duration,
    /// The most bytes of a request head.
    pub head_len: usize,
    /// How long requests under way may take once the server is told to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_address: 1024,
            handshake: Duration::from_secs(10),
            head_time: Duration::from_secs(60),
            head_len: 32 * 1024,
            grace: Duration::from_secs(2),
        }
    }
}

/// Takes an address. One that a killed process has used a moment ago can be taken at once. Must be called within a tokio
/// runtime.
///
/// # Errors
/// The address cannot be taken.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Where a listener is reached: `http://` or, with TLS, `https://`, address and port.
///
/// # Errors
/// From the operating system.
pub fn url(listener: &TcpListener, tls: Option<&Tls>) -> io::Result<String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{}", listener.local_addr()?))
}

/// A server that answers. Dropped without [`stop`](Self::stop), it goes on.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Answers HTTP/1.1 on a listener, with TLS if it is given. From before this returns, SIGHUP has the certificate read
    /// again; without TLS it does nothing, rather than end the process. Handlers find the peer's address as axum's [`ConnectInfo`].
    ///
    /// # Errors
    /// SIGHUP cannot be listened for, or the listener has no address.
    pub fn start(
        listener: TcpListener,
        router: Router,
        tls: Option<Tls>,
        limits: Limits,
        connections: Connections,
    ) -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared { router, tls, limits, connections });
        let accepting = tokio::spawn(accept(listener, shared, stopped, hangup));
        Ok(Self { address, stop, accepting })
    }

    /// As [`start`](Self::start), without TLS, with the usual limits, and counting nothing: for tests and demonstrations.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn plain(listener: TcpListener, router: Router) -> io::Result<Self> {
        Self::start(listener, router, None, Limits::default(), Connections::default())
    }

    /// The address that is listened on, with its port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, gives requests under way [`Limits::grace`], and closes every connection.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the server ended badly");
        }
    }
}

struct Shared {
    router: Router,
    tls: Option<Tls>,
    limits: Limits,
    connections: Connections,
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
    mut hangup: Signal,
) {
    let room = Arc::new(Semaphore::new(shared.limits.connections));
    let shares = Shares::new(shared.limits.per_address);
    let mut tasks = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            () = hung_up(&mut hangup) => {
                reload(&shared);
                continue;
            }
            next = next => next,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let network = Network::of(peer.ip());
                let Some(share) = shares.take(network) else {
                    shared.connections.refuse();
                    tracing::debug!(%network, "an address holds as many connections as one may");
                    continue;
                };
                let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
                tasks.spawn(async move {
                    let open = shared.connections.accepted();
                    serve(stream, peer, &shared, stopped).await;
                    drop((open, share, place));
                });
            }
            Err(error) => {
                shared.connections.accept_failed();
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(shared.limits.grace, all).await.is_err() {
        tracing::warn!(cut_off = tasks.len(), "requests were still under way");
    }
}

/// Returns once the server is to stop.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped: then it goes on.
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        core::future::pending::<()>().await;
    }
}

/// Returns whenever SIGHUP comes.
async fn hung_up(hangup: &mut Signal) {
    if hangup.recv().await.is_none() {
        core::future::pending::<()>().await;
    }
}

fn reload(shared: &Shared) {
    match shared.tls.as_ref().map(Tls::reload) {
        Some(Ok(())) => tracing::info!("the certificate was read again"),
        Some(Err(error)) => {
            shared.connections.reload_failed();
            tracing::error!(%error, "the certificate before is kept");
        }
        None => {}
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared, mut stopped: watch::Receiver<bool>) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &shared.tls else {
        return answer(TokioIo::new(stream), peer, shared, stopped).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(shared.limits.handshake, tls.acceptor().accept(stream)) => shaken,
        () = told_to_stop(&mut stopped) => return,
    };
    match shaken {
        Ok(Ok(stream)) => answer(TokioIo::new(stream), peer, shared, stopped).await,
        Ok(Err(error)) => {
            shared.connections.handshake_failed();
            tracing::debug!(%error, "a TLS handshake failed");
        }
        Err(_) => {
            shared.connections.handshake_failed();
            tracing::debug!("a TLS handshake took too long");
        }
    }
}

async fn answer<S: Read + Write + Unpin>(
    stream: S,
    peer: SocketAddr,
    shared: &Shared,
    mut stopped: watch::Receiver<bool>,
) {
    let router = &shared.router;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_time)
        .max_buf_size(shared.limits.head_len);
    let stream = Taking::new(stream, shared.limits.head_time);
    let mut connection = core::pin::pin!(http.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}
