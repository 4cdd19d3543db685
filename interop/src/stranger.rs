//! Servers that others wrote, as processes.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program. It is killed when dropped; until then its standard input stays open.
#[derive(Debug)]
pub struct Stranger {
    child: Child,
    first_line: String,
}

impl Stranger {
    /// Starts a program that says on its first line of standard output that it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ended without that line.
    pub fn announced<S: AsRef<OsStr>>(program: &Path, arguments: &[S], log: &Path) -> io::Result<Self> {
        let mut child = spawn(program, arguments, log, Stdio::piped())?;
        let mut first_line = String::new();
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(stdout).read_line(&mut first_line)?;
        let stranger = Self { child, first_line: first_line.trim().to_owned() };
        if first_line.is_empty() { Err(silent(log)) } else { Ok(stranger) }
    }

    /// Starts a server that says nothing, and waits until something listens at its address.
    ///
    /// # Errors
    /// It cannot be started, ended, or does not listen in time.
    pub fn listening<S: AsRef<OsStr>>(
        program: &Path,
        arguments: &[S],
        address: SocketAddr,
        log: &Path,
    ) -> io::Result<Self> {
        let child = spawn(program, arguments, log, Stdio::null())?;
        let mut stranger = Self { child, first_line: String::new() };
        let begun = Instant::now();
        // A process that has not yet bound its address cannot be waited for but by asking.
        while begun.elapsed() < PATIENCE {
            if TcpStream::connect(address).is_ok() {
                return Ok(stranger);
            }
            if stranger.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(silent(log))
    }

    /// What it said when it was ready.
    #[must_use]
    pub fn first_line(&self) -> &str {
        &self.first_line
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, at whatever it is doing.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn silent(log: &Path) -> io::Error {
    io::Error::other(format!("it did not start; its last words are in {}", log.display()))
}

fn spawn<S: AsRef<OsStr>>(program: &Path, arguments: &[S], log: &Path, stdout: Stdio) -> io::Result<Child> {
    let stderr = File::options().create(true).append(true).open(log)?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))
}

/// Runs a program to its end with this input; gives its standard output if it succeeds.
///
/// # Errors
/// It cannot be started, or fails; the error has what it said.
pub fn run<S: AsRef<OsStr>>(program: &Path, arguments: &[S], input: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}: {}", program.display(), stderr.trim())))
}

/// An address that was free a moment ago, for programs that cannot say which one they took.
///
/// # Errors
/// There is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
