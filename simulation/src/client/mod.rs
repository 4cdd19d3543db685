//! A client: a thin driver around the real verification, documents and messaging. What a program keeps in files is on a
//! simulated disk, and everything else is gone after a crash.

mod heads;
mod lookup;
mod messages;
mod mutant;
mod own;
mod prekeys;
mod reconcile;
mod record;

pub use messages::Written;
pub use mutant::Mutant;
pub use prekeys::{RETENTION, SIGNED_LIFETIME};
pub use record::Change;

use keyglass_account::problem::Problem;
use keyglass_client_verify::{
    state::{Contacts, HeadsDocument, LogDocument, OwnAccount},
    verdict::Verdict,
};
use keyglass_keytrans::client::UserState;
use keyglass_log_server::clock::Clock as _;
use keyglass_tlog::{evidence::Evidence, time::UnixMillis};

use crate::{
    clock::PartyClock,
    disk::{Crashed, Disk},
    env::{Env, NoAnswer, Signer},
    services::device as device_name,
    setting::setting,
};

/// What a step of a client found that its person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The exact cause.
    pub reason: String,
    /// The label that it is about, if it is about one.
    pub label: Option<String>,
    /// The version that was looked at, if one was proven.
    pub version: Option<u32>,
}

impl Finding {
    /// A finding.
    pub fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), label: None, version: None }
    }

    /// The finding about a label.
    #[must_use]
    pub fn about(mut self, label: &str) -> Self {
        self.label.get_or_insert_with(|| label.to_owned());
        self
    }

    fn at(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }
}

/// Why a step ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The client crashed.
    Crashed,
    /// What was asked for was not done.
    Failed(Finding),
}

impl From<Crashed> for Stop {
    fn from(_: Crashed) -> Self {
        Self::Crashed
    }
}

/// The result of a step.
pub type Step<T> = Result<T, Stop>;

fn failed<T>(verdict: Verdict, reason: impl Into<String>) -> Step<T> {
    Err(Stop::Failed(Finding::new(verdict, reason)))
}

/// What a client holds in memory: copies of what is on its disk.
struct Home {
    state: UserState,
    contacts: Contacts,
    heads: HeadsDocument,
    account: Option<OwnAccount>,
    pending: Option<record::Pending>,
    evidence: Vec<Evidence>,
}

/// A client: a person's home with an account and its devices.
pub struct Client {
    /// Which it is.
    pub id: usize,
    /// Its account's label.
    pub label: String,
    /// Its clock.
    pub clock: PartyClock,
    /// Its disk.
    pub disk: Disk,
    /// How it is broken, if it is.
    pub mutant: Option<Mutant>,
    /// What the running step found.
    pub findings: Vec<Finding>,
    /// Messages that were delivered again and ignored in the running step.
    pub ignored: usize,
    home: Option<Home>,
}

/// What is retained of the log.
pub const LOG: &str = "log.json";
/// Whom the home has met.
pub const CONTACTS: &str = "contacts.json";
/// The account's document.
pub const ACCOUNT: &str = "account.json";
const HEADS: &str = "heads.json";
const PENDING: &str = "pending.json";
const EVIDENCE: &str = "evidence";

impl Client {
    /// A client with an empty home.
    #[must_use]
    pub fn new(id: usize, label: String, clock: PartyClock) -> Self {
        Self {
            id,
            label,
            clock,
            disk: Disk::default(),
            mutant: None,
            findings: Vec::new(),
            ignored: 0,
            home: None,
        }
    }

    /// The time by its own clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Forgets everything that is not on the disk.
    pub fn crash(&mut self) {
        self.home = None;
    }

    /// Runs a step from what is on the disk or in memory, and collects what it found.
    ///
    /// # Errors
    /// [`Crashed`].
    pub fn run(
        &mut self,
        env: &mut Env,
        step: impl FnOnce(&mut Self, &mut Env) -> Step<()>,
    ) -> Result<(), Crashed> {
        self.findings.clear();
        self.ignored = 0;
        self.boot();
        // Who holds evidence against a log does not use it any more.
        let convicted = !self.home().evidence.is_empty();
        let result = if convicted { failed(Verdict::Misbehaving, "convicted") } else { step(self, env) };
        match result {
            Ok(()) => {}
            Err(Stop::Failed(finding)) => self.findings.push(finding),
            Err(Stop::Crashed) => {
                self.crash();
                return Err(Crashed);
            }
        }
        // A step that ended early may have taken the account out of memory: the disk has it.
        if self.home().account.is_none() && self.disk.read(ACCOUNT).is_some() {
            self.crash();
        }
        Ok(())
    }

    /// Reads the disk, if that was not done.
    fn boot(&mut self) {
        if self.home.is_some() {
            return;
        }
        let origin = &setting().origin;
        let read = |name: &str| self.disk.read(name);
        self.home = Some(Home {
            state: read(LOG).map_or_else(UserState::default, |bytes| {
                serde_json::from_slice::<LogDocument>(bytes).unwrap().user_state().unwrap()
            }),
            contacts: read(CONTACTS).map_or_else(
                || Contacts::new(origin.clone()),
                |bytes| serde_json::from_slice(bytes).unwrap(),
            ),
            heads: read(HEADS).map_or_else(
                || HeadsDocument::new(origin.clone()),
                |bytes| serde_json::from_slice(bytes).unwrap(),
            ),
            account: read(ACCOUNT).map(|bytes| OwnAccount::decode(bytes).unwrap()),
            pending: read(PENDING).and_then(record::Pending::decode),
            evidence: read(EVIDENCE).map(|bytes| Evidence::parse(bytes).unwrap()).into_iter().collect(),
        });
    }

    fn home(&self) -> &Home {
        self.home.as_ref().unwrap()
    }

    fn home_mut(&mut self) -> &mut Home {
        self.home.as_mut().unwrap()
    }

    fn account(&self) -> Step<&OwnAccount> {
        match &self.home().account {
            Some(account) if account.published.is_some() => Ok(account),
            _ => failed(Verdict::Usage, "no_account"),
        }
    }

    fn account_mut(&mut self) -> &mut OwnAccount {
        self.home_mut().account.as_mut().unwrap()
    }

    /// One of its devices, which signs requests. One that it has no more is answered as the server would.
    fn signer(&self, id: u32) -> Result<Signer, NoAnswer> {
        let account = self.home().account.as_ref().unwrap();
        let device = account.devices.iter().find(|device| device.id == id);
        let device = device.ok_or(NoAnswer::Declined(Problem::UnknownDevice))?;
        Ok(Signer { name: device_name(&self.label, id), key: device.signing_key(), now: self.now() })
    }

    /// A token for one of its devices.
    fn token(&self, env: &mut Env, id: u32) -> Result<String, NoAnswer> {
        env.token(&self.signer(id)?)
    }

    /// Stores the account, and notes what it has taken in.
    fn store_account(&mut self, taken: &[[u8; 32]]) -> Step<()> {
        let bytes = self.home().account.as_ref().unwrap().encode().unwrap().to_vec();
        self.disk.write_with(ACCOUNT, bytes, taken.iter().copied())?;
        Ok(())
    }

    /// Whether the client has a published account.
    pub fn is_registered(&mut self) -> bool {
        self.boot();
        self.account().is_ok()
    }

    /// The version of its account that it has published.
    pub fn published(&mut self) -> Option<u32> {
        self.boot();
        self.home().account.as_ref().and_then(|account| account.published)
    }

    /// Whether it holds evidence against the log.
    pub fn is_convinced(&mut self) -> bool {
        self.boot();
        !self.home().evidence.is_empty()
    }

    /// The devices of its account.
    pub fn devices(&mut self) -> Vec<u32> {
        self.boot();
        self.home().account.iter().flat_map(|own| own.devices.iter().map(|device| device.id)).collect()
    }

    /// How many heads others told of that the log has not explained.
    pub fn unsettled(&mut self) -> usize {
        self.boot();
        self.home().heads.unsettled().len()
    }

    /// The size of the head that it retains.
    pub fn last(&mut self) -> Option<u64> {
        self.boot();
        self.home().state.last()
    }
}
