//! Servers with and without TLS, over real sockets.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, routing::get};
use keyglass_service::{
    connections::Connections,
    private_file::PrivateFileError,
    server::{Limits, Server, bind, url},
    tls::{Tls, TlsError, TlsOptions, read_certificates},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Notify,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A directory with the certificate number `n`, as an operator has it.
struct Files(tempfile::TempDir);

impl Files {
    fn new(n: u8) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put(n);
        files
    }

    fn put(&self, n: u8) {
        fs::copy(data(&format!("server-{n}.pem")), self.cert()).unwrap();
        fs::copy(data(&format!("server-{n}.key")), self.key()).unwrap();
        fs::set_permissions(self.key(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.cert(), self.key())
    }
}

struct Running {
    server: Server,
    address: SocketAddr,
    url: String,
    connections: Connections,
}

fn run(router: Router, tls: Option<Tls>, limits: Limits) -> Running {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, url) = (listener.local_addr().unwrap(), url(&listener, tls.as_ref()).unwrap());
    let connections = Connections::default();
    let server = Server::start(listener, router, tls, limits, connections.clone()).unwrap();
    Running { server, address, url, connections }
}

/// Says who asks.
fn peers() -> Router {
    Router::new().route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
}

async fn connect(address: SocketAddr) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read_certificates(&data("ca.pem")).unwrap());
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Which certificate was shown.
fn shown(stream: &TlsStream<TcpStream>) -> u8 {
    let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
    let of = |n: &u8| read_certificates(&data(&format!("server-{n}.pem"))).unwrap()[0] == *shown;
    [1, 2].into_iter().find(of).unwrap()
}

/// Asks once on a connection that stays open.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    loop {
        let byte = stream.read_u8().await.unwrap();
        answer.push(byte);
        if answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    String::from_utf8(body).unwrap()
}

/// Waits for what another task is about to do.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn http_and_https_answer_and_know_the_peer() {
    let plain = run(peers(), None, Limits::default());
    assert_eq!(plain.url, format!("http://{}", plain.address));
    let mut stream = TcpStream::connect(plain.address).await.unwrap();
    assert_eq!(ask(&mut stream).await, stream.local_addr().unwrap().to_string());
    plain.server.stop().await;

    let secure = run(peers(), Some(Files::new(1).load().unwrap()), Limits::default());
    assert_eq!(secure.url, format!("https://{}", secure.address));
    let mut stream = connect(secure.address).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let own = stream.get_ref().0.local_addr().unwrap().to_string();
    assert_eq!(ask(&mut stream).await, own);
    assert_eq!(ask(&mut stream).await, own, "the connection stays");
    assert_eq!(secure.connections.open(), 1);
    drop(stream);
    until(|| secure.connections.open() == 0).await;
    secure.server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_sighup_and_open_connections_stay() {
    let files = Files::new(1);
    let running = run(peers(), Some(files.load().unwrap()), Limits::default());
    let mut before = connect(running.address).await;
    assert_eq!(shown(&before), 1);
    let hang_up = || {
        let killed =
            std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status();
        assert!(killed.unwrap().success());
    };

    // What cannot be used is not used.
    fs::write(files.cert(), "-----BEGIN CERTIFICATE-----\n").unwrap();
    hang_up();
    let mut metrics = prometheus_client::registry::Registry::default();
    running.connections.register(&mut metrics);
    let failed_reloads = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
        text.contains("tls_failed_reloads_total 1\n")
    };
    until(failed_reloads).await;
    assert_eq!(shown(&connect(running.address).await), 1);

    files.put(2);
    hang_up();
    while shown(&connect(running.address).await) == 1 {}
    ask(&mut before).await;
    assert_eq!(shown(&before), 1);
    running.server.stop().await;
}

#[tokio::test]
async fn handshakes_are_bounded_in_time_and_hold_a_place_no_longer() {
    let limits = Limits { connections: 1, handshake: Duration::from_millis(50), ..Limits::default() };
    let running = run(peers(), Some(Files::new(1).load().unwrap()), limits);
    // One says nothing, one does not speak TLS.
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    let mut plain = TcpStream::connect(running.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    plain.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"));
    until(|| running.connections.failed_handshakes() == 2).await;
    ask(&mut connect(running.address).await).await;
    running.server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let running = run(peers(), None, Limits { connections: 2, ..Limits::default() });
    let mut first = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    ask(&mut first).await;
    ask(&mut second).await;
    let mut third = TcpStream::connect(running.address).await.unwrap();
    let waiting = tokio::spawn(async move { ask(&mut third).await });
    for _ in 0..10 {
        ask(&mut first).await;
        ask(&mut second).await;
    }
    assert!(!waiting.is_finished());
    assert_eq!(running.connections.open(), 2);
    drop(first);
    waiting.await.unwrap();
    running.server.stop().await;
}

#[tokio::test]
async fn one_address_cannot_hold_all_connections() {
    let running = run(peers(), None, Limits { connections: 6, per_address: 2, ..Limits::default() });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = TcpStream::connect(running.address).await.unwrap();
        ask(&mut connection).await;
        held.push(connection);
    }
    for refused in 1..=20 {
        let mut more = TcpStream::connect(running.address).await.unwrap();
        let mut answer = Vec::new();
        let _ = more.read_to_end(&mut answer).await;
        assert_eq!((answer.len(), running.connections.refused()), (0, refused));
    }
    // Another address of this machine's loopback network.
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    ask(&mut elsewhere.connect(running.address).await.unwrap()).await;
    // Who lets one go may have another.
    let before = running.connections.open();
    drop(held.pop());
    until(|| running.connections.open() < before).await;
    ask(&mut TcpStream::connect(running.address).await.unwrap()).await;
    running.server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_no_whole_head_is_cut_off() {
    let limits = Limits { head_time: Duration::from_millis(50), head_len: 8192, ..Limits::default() };
    let running = run(peers(), None, limits);
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));

    let mut long = TcpStream::connect(running.address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(16384));
    long.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    running.server.stop().await;
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_cuts_off_those_that_do_not() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = Router::new().route("/", {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        get(async move || {
            begun.notify_one();
            go_on.notified().await;
            "done"
        })
    });
    let limits = Limits { grace: Duration::from_secs(30), ..Limits::default() };
    let running = run(router.clone(), Some(Files::new(1).load().unwrap()), limits);
    let mut stream = connect(running.address).await;
    let asking = tokio::spawn(async move { ask(&mut stream).await });
    begun.notified().await;
    let stopping = tokio::spawn(running.server.stop());
    while TcpStream::connect(running.address).await.is_ok() {}
    go_on.notify_one();
    assert_eq!(asking.await.unwrap(), "done");
    stopping.await.unwrap();

    let limits = Limits { grace: Duration::from_millis(50), ..Limits::default() };
    let running = run(router, None, limits);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    running.server.stop().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

/// A body without an end, which tells when it is dropped.
struct Endless(Arc<Notify>);

impl hyper::body::Body for Endless {
    type Data = hyper::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: core::pin::Pin<&mut Self>,
        _: &mut core::task::Context<'_>,
    ) -> core::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        let bytes = hyper::body::Bytes::from_static(&[0; 64 * 1024]);
        core::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    let limits = Limits { head_time: Duration::from_millis(300), ..Limits::default() };
    for tls in [false, true] {
        let files = Files::new(1);
        let dropped = Arc::new(Notify::new());
        let body = Arc::clone(&dropped);
        let endless = get(async move || axum::body::Body::new(Endless(Arc::clone(&body))));
        let running = run(Router::new().route("/", endless), tls.then(|| files.load().unwrap()), limits);
        let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // Who goes on taking gets more than all buffers hold.
        let mut taken = vec![0; 16 << 20];
        if tls {
            let mut stream = connect(running.address).await;
            stream.write_all(asked).await.unwrap();
            stream.read_exact(&mut taken).await.unwrap();
            dropped.notified().await;
        } else {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            stream.write_all(asked).await.unwrap();
            stream.read_exact(&mut taken).await.unwrap();
            dropped.notified().await;
        }
        running.server.stop().await;
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let refused = |change: &dyn Fn(&Files)| {
        let files = Files::new(1);
        change(&files);
        files.load().unwrap_err()
    };
    let error = refused(&|files| fs::remove_file(files.cert()).unwrap());
    assert!(matches!(error, TlsError::Io { .. }));
    for text in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    ] {
        let error = refused(&|files| fs::write(files.cert(), text).unwrap());
        assert!(matches!(error, TlsError::NoCertificate(_)), "{text:?}: {error}");
    }
    let error = refused(&|files| fs::write(files.cert(), vec![b'\n'; (1 << 20) + 1]).unwrap());
    assert!(matches!(error, TlsError::TooLong(_)));
    let error = refused(&|files| fs::write(files.key(), "no key").unwrap());
    assert!(matches!(error, TlsError::NoKey(_)));
    let error = refused(&|files| fs::write(files.key(), fs::read(data("server-2.key")).unwrap()).unwrap());
    assert!(matches!(
        error,
        TlsError::KeyFile(PrivateFileError::Permissions { .. }) | TlsError::Unusable { .. }
    ));
    let error = refused(&|files| fs::write(files.cert(), fs::read(data("server-2.pem")).unwrap()).unwrap());
    assert!(matches!(error, TlsError::Unusable { .. }), "the key of another certificate: {error}");
    let error = refused(&|files| {
        fs::set_permissions(files.key(), fs::Permissions::from_mode(0o644)).unwrap();
    });
    assert!(matches!(error, TlsError::KeyFile(PrivateFileError::Permissions { mode: 0o644, .. })));
    let half = TlsOptions { tls_cert: Some(data("ca.pem")), tls_key: None };
    assert!(matches!(half.load(), Err(TlsError::Incomplete)));
    assert!(TlsOptions::default().load().unwrap().is_none());
}
