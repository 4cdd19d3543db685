//! What the commands that talk to a log have in common: whom to trust, where to ask, what is known already.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use keyglass_keytrans::client::{
    ConfigurationError, HeadError, LabelState, StateUpdate, TreeState, UserState, VerifiedHead, Verifier,
    VerifyError,
};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::{self, SignedNote, Vkey},
    rfc6962::CompactTree,
    time::UnixMillis,
};
use tokio::time::Instant;

use super::{args::Common, changes::Changes, lookup::duration, outcome::Failure, reporting};
use crate::{
    http::Server,
    proven,
    state::{
        Contacts, EndDocument, Home, LockError, LogDocument, PredecessorsDocument, StateError, TrustDocument,
    },
    verdict::Verdict,
};

/// The longest configuration that is read, in bytes.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// The longest policy that is read, in bytes.
const MAX_POLICY: u64 = 32 << 20;

/// A log with everything that this home knows of it.
pub struct Context {
    /// Judges responses.
    pub verifier: Verifier,
    /// Judges responses as `verifier` does, but asks for no witness: to learn what a log has signed, never to use it.
    pub quarantine: Verifier,
    /// The log's origin.
    pub origin: String,
    /// Where to ask.
    pub server: Server,
    /// Where everything is kept.
    pub home: Home,
    /// What is retained of the log.
    pub state: UserState,
    /// The accounts met before.
    pub contacts: Contacts,
    /// Whether heads that nobody witnessed may be used.
    pub trust_without_witnesses: bool,
    /// Where this log ended, if it was handed over to another.
    pub end: Option<EndDocument>,
    /// The logs that were handed over to this one.
    pub predecessors: PredecessorsDocument,
    /// Whether this run has walked the log's distinguished heads.
    pub walked: bool,
    /// Own accounts of which this run has taken versions over that were made elsewhere, each with what is to be said of them.
    pub built_upon: Vec<(String, String)>,
    /// What this run has to tell of accounts that were met before and are different now.
    pub(super) changes: Changes,
}

impl Context {
    /// Reads the files, opens the home and checks that no evidence against the log lies in it.
    ///
    /// # Errors
    /// [`Verdict::Usage`] for options and files that cannot be used, [`Verdict::Failed`] for the home,
    /// [`Verdict::Misbehaving`] if the home holds evidence against this log.
    pub async fn open(common: &Common) -> Result<Self, Failure> {
        let patience = Duration::from_secs(common.timeout);
        let server = common.server.as_deref().ok_or_else(|| missing("--server"))?;
        let server = common.reach(server)?;
        let configuration = common.configuration.as_deref().ok_or_else(|| missing("--configuration"))?;
        let configuration = read_file(configuration, MAX_CONFIGURATION)?;
        let policy = common.policy.as_deref().map(|path| read_file(path, MAX_POLICY)).transpose()?;
        let verifier = verifier(&configuration, policy.as_deref())?;
        let quarantine = verifier.without_witnesses().map_err(unusable)?;
        let origin = proven::origin(&verifier)?;
        let home = open_home(&home_directory(common)?, &origin, patience).await?;
        let state = match home.log()? {
            Some(document) => document.user_state().map_err(|error| {
                Failure::new(Verdict::Failed, "home_damaged", format!("the log's state: {error}"))
            })?,
            None => UserState::default(),
        };
        let contacts = home.contacts()?;
        let trust =
            policy.as_deref().map(|policy| TrustDocument::new(origin.clone(), &configuration, policy));
        let (end, predecessors) = (home.end()?, home.predecessors()?);
        let trust_without_witnesses = common.trust_without_witnesses;
        let context = Self {
            verifier,
            quarantine,
            origin,
            server,
            home,
            state,
            contacts,
            trust_without_witnesses,
            end,
            predecessors,
            walked: false,
            built_upon: Vec::new(),
            changes: Changes::default(),
        };
        context.refuse_convicted()?;
        if let Some(trust) = trust
            && context.home.trust()?.as_ref() != Some(&trust)
        {
            context.home.store_trust(&trust)?;
        }
        Ok(context)
    }

    /// Whether the person chose to go on although no witness has to have signed what is shown.
    #[must_use]
    pub fn trusts_the_log_alone(&self) -> bool {
        let needed = self.verifier.policy().map_or(0, |policy| policy.smallest_quorum());
        self.trust_without_witnesses && needed == 0
    }

    /// Refuses a head that the policy lets nobody vouch for but the log, unless the person chose to go on.
    ///
    /// # Errors
    /// [`Verdict::Unwitnessed`].
    pub fn require_witnesses(&self, head: &VerifiedHead) -> Result<(), Failure> {
        if matches!(head, VerifiedHead::Witnessed(_)) || self.trust_without_witnesses {
            return Ok(());
        }
        Err(no_quorum_required())
    }

    /// Applies a verified response's update and makes it durable; on an error the state is as before.
    ///
    /// # Errors
    /// [`Verdict::Failed`]; [`Verdict::Misbehaving`] if the head lies beyond the end that the log has declared.
    pub fn retain(&mut self, update: StateUpdate) -> Result<(), Failure> {
        self.check_end(&update.tree)?;
        let mut state = self.state.clone();
        state.apply(update);
        let document = LogDocument::new(self.origin.clone(), &state)
            .map_err(|error| Failure::new(Verdict::Failed, "home_file", error))?;
        self.home.store_log(&document)?;
        self.state = state;
        reporting::verified(self.retained_note().as_ref());
        Ok(())
    }

    /// Monitors nothing of a label any more that was shown before.
    ///
    /// # Errors
    /// [`Verdict::Failed`].
    pub fn forget_monitored(&mut self, label: &[u8]) -> Result<(), Failure> {
        let Some(tree) = self.state.tree.clone() else {
            return Ok(());
        };
        let owner = self.state.label(label).and_then(|known| known.owner.clone());
        let known = LabelState { owner, ..LabelState::default() };
        self.retain(StateUpdate { tree, label: Some((label.to_vec(), known)) })
    }

    /// The retained head as a signed note; `None` before the first look-up, and for logs without checkpoints.
    #[must_use]
    pub fn retained_note(&self) -> Option<SignedNote> {
        self.verifier.origin()?;
        head_note(&self.origin, self.state.tree.as_ref()?)
    }

    /// What it means that a response does not verify, in the terms of this log's policy and configuration.
    #[must_use]
    pub fn refused(&self, error: VerifyError) -> Failure {
        let age = match &error {
            VerifyError::Head(HeadError::TooFarBehind(age)) => Some(*age),
            _ => None,
        };
        let mut failure = Failure::from(error);
        match (failure.verdict, self.verifier.policy()) {
            (Verdict::Unwitnessed, Some(policy)) => {
                let (needed, known) = (policy.smallest_quorum(), policy.witnesses().len());
                failure.message = format!("{} ({needed} of {known} would do)", failure.message);
                failure.with("needed", needed).with("known", known)
            }
            (Verdict::Stale, _) => {
                let allowed = self.verifier.configuration().max_behind;
                if let Some(age) = age {
                    let (age, allowed) = (duration(age), duration(allowed));
                    failure.message =
                        format!("the head is {age} old, and the log promises one within {allowed}");
                }
                failure.with("allowed_ms", allowed)
            }
            _ => failure,
        }
    }

    /// Who holds evidence against a log does not use it any more.
    fn refuse_convicted(&self) -> Result<(), Failure> {
        refuse_convicted(&self.home, self.verifier.log_keys())
    }
}

/// Refuses a log against which this home holds evidence. Evidence that only keys signed which do not count any more convicts
/// nobody: whoever has stolen a retired key could make it.
///
/// # Errors
/// [`Verdict::Misbehaving`]; [`Verdict::Failed`] for the home.
pub fn refuse_convicted(home: &Home, log_keys: &[Vkey]) -> Result<(), Failure> {
    let keys: Vec<&Vkey> = log_keys.iter().collect();
    for path in home.evidence()? {
        let bytes = read_file(&path, MAX_CONFIGURATION)?;
        let evidence = Evidence::parse(&bytes).ok();
        let convicts = evidence.is_some_and(|evidence| evidence.verify(&keys, None).is_ok());
        if convicts {
            let message = format!("this home holds evidence against the log: {}", path.display());
            return Err(Failure::new(Verdict::Misbehaving, "convicted", message).with("evidence", path));
        }
    }
    Ok(())
}

/// A retained head of a log with checkpoints as a signed note.
#[must_use]
pub fn head_note(origin: &str, tree: &TreeState) -> Option<SignedNote> {
    let size = tree.tree_size();
    let root = CompactTree::from_frontier(size, tree.full_subtrees.clone()).ok()?.root();
    let checkpoint = Checkpoint::new(origin, size, root).ok()?;
    SignedNote::new(&checkpoint.text(), note::parse_signature_lines(&tree.tree_head.signature).ok()?).ok()
}

/// The local clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A file that the person named, bounded.
///
/// # Errors
/// [`Verdict::Usage`].
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let usage = |message: String| Failure::new(Verdict::Usage, "file", message);
    let file = std::fs::File::open(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| usage(format!("{}: {error}", path.display())))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(usage(format!("{}: longer than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// The policy requires no witness, and the person did not choose to go on without any.
#[must_use]
pub fn no_quorum_required() -> Failure {
    let message = "the policy requires no witness, so that nobody but the log vouches for this head; \
                   --trust-without-witnesses goes on all the same";
    Failure::new(Verdict::Unwitnessed, "no_quorum_required", message)
}

fn missing(option: &'static str) -> Failure {
    Failure::new(Verdict::Usage, "missing_option", format!("this command needs {option}"))
}

fn verifier(configuration: &[u8], policy: Option<&[u8]>) -> Result<Verifier, Failure> {
    Verifier::new(configuration, policy).map_err(unusable)
}

fn unusable(error: ConfigurationError) -> Failure {
    Failure::new(Verdict::Usage, "configuration_or_policy", error)
}

fn home_directory(common: &Common) -> Result<PathBuf, Failure> {
    match &common.home {
        Some(home) => Ok(home.clone()),
        None => match std::env::home_dir() {
            Some(home) if !home.as_os_str().is_empty() => Ok(home.join(".keyglass")),
            _ => Err(missing("--home")),
        },
    }
}

/// Opens the home, waiting for another command that works with it for as long as for a server.
async fn open_home(root: &Path, origin: &str, patience: Duration) -> Result<Home, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        match Home::open(root, origin) {
            Err(StateError::Lock(LockError::Busy)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => return Ok(opened?),
        }
    }
}
