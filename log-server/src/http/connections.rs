//! Connections: bounded in number, in idle time, and in how long they may outlive the signal to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

/// The most connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// How long a connection may stay without sending a whole request head.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// The most bytes of a request head.
const MAX_HEAD: usize = 32 * 1024;
/// How long requests under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted, for want of file descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes an address. One that a killed process has used a moment ago can be taken at once.
///
/// # Errors
/// The address cannot be taken.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// A server that answers. Dropped without [`stop`](Self::stop), it goes on.
pub struct Server {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Answers on a listener.
    #[must_use]
    pub fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, accepting: tokio::spawn(accept(listener, router, stopped)) }
    }

    /// Accepts nothing more, gives requests under way two seconds, and closes every connection.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the server ended badly");
        }
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop(&mut stopped) => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                let router = router.clone().layer(Extension(ConnectInfo(address)));
                let stopped = stopped.clone();
                connections.spawn(async move {
                    answer(stream, router, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!(cut_off = connections.len(), "requests were still under way");
    }
}

/// Returns once the server is to stop.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped: then it goes on.
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        core::future::pending::<()>().await;
    }
}

async fn answer(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = core::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}
