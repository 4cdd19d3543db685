//! The load: connections that are kept alive, each sending its logs' requests one after the other.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// How often a request is sent again where the witness pushes back.
const TRIES: usize = 200;
/// How long to wait before the first repetition; one more of it before each further one.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest wait before a repetition.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What was measured.
#[derive(Debug, Default)]
pub struct Measured {
    /// From the first byte sent to the last one received, of each request, sorted; with its repetitions.
    pub latencies: Vec<Duration>,
    /// How often a request had to be sent again (429, 500 or 503).
    pub repeated: usize,
    /// From the first request to the last answer.
    pub total: Duration,
    /// The bodies of the answers, where they were asked for.
    pub answers: Vec<(usize, String)>,
}

impl Measured {
    /// Requests a second.
    pub fn throughput(&self) -> f64 {
        let count = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.total.as_secs_f64()
    }

    /// The latency that this share of the requests did not exceed, in per mille.
    pub fn quantile(&self, per_mille: usize) -> Duration {
        let at = (self.latencies.len() * per_mille / 1000).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Sends all `requests`, of which each inner list is one log's and keeps its order, over `connections` connections.
pub async fn drive(
    address: SocketAddr,
    requests: &[Arc<Vec<Vec<u8>>>],
    connections: usize,
    keep_answers: bool,
) -> io::Result<Measured> {
    let mut tasks = JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..connections.min(requests.len()) {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(Connection { stream, buffer: Vec::with_capacity(8192) });
    }
    let begun = Instant::now();
    for (number, connection) in streams.into_iter().enumerate() {
        let logs: Vec<(usize, Arc<Vec<Vec<u8>>>)> =
            requests.iter().cloned().enumerate().skip(number).step_by(connections).collect();
        tasks.spawn(send_all(connection, logs, keep_answers));
    }
    let mut measured = Measured::default();
    while let Some(part) = tasks.join_next().await {
        let part = part.map_err(io::Error::other)??;
        measured.latencies.extend(part.latencies);
        measured.answers.extend(part.answers);
        measured.repeated += part.repeated;
    }
    measured.total = begun.elapsed();
    measured.latencies.sort_unstable();
    Ok(measured)
}

/// One connection: round by round, each of its logs once.
async fn send_all(
    mut connection: Connection,
    logs: Vec<(usize, Arc<Vec<Vec<u8>>>)>,
    keep_answers: bool,
) -> io::Result<Measured> {
    let mut measured = Measured::default();
    let rounds = logs.iter().map(|(_, requests)| requests.len()).max().unwrap_or(0);
    for round in 0..rounds {
        for (index, requests) in &logs {
            let Some(request) = requests.get(round) else { continue };
            let begun = Instant::now();
            let mut tries = 0;
            let body = loop {
                let (status, body) = connection.exchange(request).await?;
                match status {
                    200 => break body,
                    429 | 500 | 503 if tries < TRIES => {
                        tries += 1;
                        let pause = PAUSE.saturating_mul(u32::try_from(tries).unwrap_or(u32::MAX));
                        tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
                    }
                    // The answer to an earlier try was lost, not the request.
                    409 if tries > 0 => break body,
                    other => return Err(io::Error::other(format!("status {other}: {body}"))),
                }
            };
            measured.latencies.push(begun.elapsed());
            measured.repeated += tries;
            if keep_answers {
                measured.answers.push((*index, body));
            }
        }
    }
    Ok(measured)
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads its answer: the status and the body.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, String)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}

/// A whole answer, if all of it is there.
fn parse(bytes: &[u8]) -> io::Result<Option<(u16, String)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = bytes.split_at(end + 4);
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::other(format!("an answer without status or length: {head}")));
    };
    if body.len() < length {
        return Ok(None);
    }
    Ok(Some((status, String::from_utf8_lossy(body).into_owned())))
}
