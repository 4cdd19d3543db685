//! Witnesses, those that others wrote and ours, set up for logs of the caller's.

use std::{
    fmt::Write as _,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use keyglass_crypto::sign::SigningKey;
use keyglass_demo::daemon::program;
use keyglass_tlog::{
    cosignature::Cosigner,
    note::{KeyName, NoteSigner},
};

use crate::{
    programs::Programs,
    stranger::{Stranger, free_address, run},
};

/// A log that a witness is to cosign: its origin and verifier key.
#[derive(Debug, Clone)]
pub struct WitnessedLog {
    /// The origin.
    pub origin: String,
    /// The verifier key.
    pub vkey: String,
}

/// The place of a foreign witness: its files and address, from which it can be started any number of times.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its verifier key.
    pub vkey: String,
}

/// A running witness, with the processes that it needs.
#[derive(Debug)]
pub struct Running {
    witness: Stranger,
    _agent: Option<Stranger>,
}

impl Running {
    /// Kills it.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(self) -> io::Result<()> {
        self.witness.kill()
    }

    /// The witness's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.witness.id()
    }

    /// Sends it a signal, such as `HUP`.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        run(Path::new("/bin/kill"), &[format!("-{name}"), self.id().to_string()], "").map(drop)
    }
}

impl Place {
    fn new(directory: &Path, name: &str) -> io::Result<(Self, SigningKey)> {
        fs::create_dir_all(directory)?;
        let seed = rand::random::<[u8; 32]>();
        let hex: String = seed.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        fs::write(directory.join("seed"), hex)?;
        let key = SigningKey::from_seed(&seed);
        let key_name = KeyName::new(name).map_err(io::Error::other)?;
        let vkey = Cosigner::new(key_name, SigningKey::from_seed(&seed)).vkey().to_string();
        let place =
            Self { directory: directory.to_owned(), name: name.to_owned(), address: free_address()?, vkey };
        Ok((place, key))
    }

    /// The submission prefix.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// torchwood's litewitness: its state in SQLite, its key in an ssh-agent.
#[derive(Debug)]
pub struct Litewitness(pub Place);

impl Litewitness {
    /// Makes a witness of this name in a new directory.
    ///
    /// # Errors
    /// Files cannot be written.
    pub fn new(directory: &Path, name: &str) -> io::Result<Self> {
        Ok(Self(Place::new(directory, name)?.0))
    }

    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, programs: &Programs) -> io::Result<Running> {
        let place = &self.0;
        let socket = place.file("agent.sock");
        let _ = fs::remove_file(&socket);
        let log = place.file("log");
        let agent = Stranger::announced(&programs.path("agent"), &[&socket, &place.file("seed")], &log)?;
        let arguments = [
            "-name".to_owned(),
            place.name.clone(),
            "-db".to_owned(),
            place.file("witness.db").display().to_string(),
            "-ssh-agent".to_owned(),
            socket.display().to_string(),
            "-key".to_owned(),
            agent.first_line().to_owned(),
            "-listen".to_owned(),
            place.address.to_string(),
        ];
        let witness = Stranger::listening(&programs.path("litewitness"), &arguments, place.address, &log)?;
        Ok(Running { witness, _agent: Some(agent) })
    }

    /// Adds logs to its database, while it runs or not. It must have been started before.
    ///
    /// # Errors
    /// The database takes them not.
    pub fn add_logs(&self, programs: &Programs, logs: &[WitnessedLog]) -> io::Result<()> {
        let lines: String = logs.iter().map(|log| format!("{}\t{}\n", log.origin, log.vkey)).collect();
        run(&programs.path("litelogs"), &[self.0.file("witness.db")], &lines).map(drop)
    }
}

/// transparency-dev's omniwitness: its state in SQLite, its key in a file; nothing that calls out is configured.
#[derive(Debug)]
pub struct Omniwitness(pub Place);

impl Omniwitness {
    /// Makes a witness of this name for these logs in a new directory.
    ///
    /// # Errors
    /// Files cannot be written.
    pub fn new(directory: &Path, name: &str, logs: &[WitnessedLog]) -> io::Result<Self> {
        let (place, key) = Place::new(directory, name)?;
        let key_name = KeyName::new(name).map_err(io::Error::other)?;
        let file = NoteSigner::new(key_name, key).to_key_file();
        fs::write(place.file("key"), file.trim_end())?;
        let mut list = "Logs:\n".to_owned();
        for log in logs {
            let WitnessedLog { origin, vkey } = log;
            let _ =
                writeln!(list, "  - Origin: {origin}\n    PublicKey: {vkey}\n    URL: http://127.0.0.1:1/");
        }
        fs::write(place.file("logs.yaml"), list)?;
        Ok(Self(place))
    }

    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, programs: &Programs) -> io::Result<Running> {
        let place = &self.0;
        let arguments = [
            format!("--listen={}", place.address),
            "--metrics_listen=".to_owned(),
            format!("--db_file={}", place.file("witness.db").display()),
            format!("--private_key_path={}", place.file("key").display()),
            format!("--additional_logs={}", place.file("logs.yaml").display()),
        ];
        let log = place.file("log");
        let witness = Stranger::listening(&programs.path("omniwitness"), &arguments, place.address, &log)?;
        Ok(Running { witness, _agent: None })
    }
}

/// keyglass-witness. Its policy file can be changed while it runs.
#[derive(Debug)]
pub struct Keyglass {
    data: PathBuf,
    policy: PathBuf,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its verifier keys, Ed25519 first.
    pub vkeys: Vec<String>,
}

impl Keyglass {
    /// Makes a witness of this name for these logs in a new directory; `options` are further ones of `init`.
    ///
    /// # Errors
    /// Files cannot be written, or `init` fails.
    pub fn new(directory: &Path, name: &str, options: &[&str], logs: &[WitnessedLog]) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut witness = Self {
            data: directory.join("data"),
            policy: directory.join("policy"),
            log: directory.join("log"),
            address: free_address()?,
            vkeys: Vec::new(),
        };
        witness.set_logs(logs)?;
        let data = witness.data.display().to_string();
        let arguments = [&["init", "--data", &data, "--name", name], options].concat();
        let printed = run(&program("keyglass-witness").map_err(io::Error::other)?, &arguments, "")?;
        witness.vkeys = printed.lines().map(str::to_owned).collect();
        Ok(witness)
    }

    /// Writes its policy file. It reads it when it starts and on the signal `HUP`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_logs(&self, logs: &[WitnessedLog]) -> io::Result<()> {
        let lines: String = logs.iter().map(|log| format!("log {}\n", log.vkey)).collect();
        let new = self.policy.with_extension("new");
        fs::write(&new, format!("{lines}quorum none\n"))?;
        fs::rename(new, &self.policy)
    }

    /// The submission prefix.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it; `options` are further ones of `serve`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, options: &[&str]) -> io::Result<Running> {
        let text = |path: &Path| path.display().to_string();
        let (data, policy, address) = (text(&self.data), text(&self.policy), self.address.to_string());
        let arguments = ["serve", "--data", &data, "--listen", &address, "--policy", &policy];
        let program = program("keyglass-witness").map_err(io::Error::other)?;
        let witness = Stranger::announced(&program, &[&arguments, options].concat(), &self.log)?;
        Ok(Running { witness, _agent: None })
    }
}
