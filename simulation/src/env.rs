//! Everything but the clients: time, the network, the server with its branches and lies, the witnesses, and what is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use keyglass_account::problem::Problem;
use keyglass_keytrans::wire::UpdateRequest;
use keyglass_log_server::{
    http::failure::Failure,
    store::Store as _,
    tokens::Caller,
    values::{self, Author},
};

use crate::{
    branch::{Branch, Question, Updates, at, greatest},
    client::{RETENTION, SIGNED_LIFETIME},
    clock::{DAY, HOUR, PartyClock, Time},
    deceit::Deceit,
    dice::Dice,
    faults::{Fault, Weather},
    lies::Lie,
    oracle::{By, Oracle},
    services::{Parcel, Services, device},
    setting::{HEARTBEAT, WITNESSES, setting},
    trace::Trace,
    witness::Witness,
};

mod devices;

pub use devices::Signer;

/// Why a client has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// None came.
    Unreachable,
    /// The server declined.
    Declined(Problem),
}

/// Why the server has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It crashed.
    Crashed,
    /// It declines.
    Problem(Problem),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn refused(error: impl Into<Failure>) -> Trouble {
    Trouble::Problem(error.into().problem())
}

/// The labels of the clients, in the order of their numbers.
pub const LABELS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// How often each thing happened.
pub type Counts<T> = BTreeMap<T, u64>;

/// The world without its clients.
pub struct Env {
    /// The true time.
    pub time: Time,
    /// What is random.
    pub dice: Dice,
    /// What happened.
    pub trace: Trace,
    /// How often things go wrong.
    pub weather: Weather,
    /// What is true.
    pub oracle: Oracle,
    /// The log's histories; one, if it does not fork.
    pub branches: Vec<Branch>,
    /// Which of them each client is shown.
    pub side: Vec<usize>,
    /// The witnesses.
    pub witnesses: Vec<Witness>,
    /// Prekeys and messages.
    pub services: Services,
    /// The server's clock.
    pub clock: PartyClock,
    /// What the server lies about.
    pub deceit: Deceit,
    /// The lies that were told during this step, to whom it happens.
    pub told: Vec<Lie>,
    /// Whether something during this step went wrong without a lie.
    pub disturbed: bool,
    /// Whether a head older than the newest was served during this step.
    pub lagged: bool,
    /// The faults that happened.
    pub faults: Counts<Fault>,
    /// The lies that were told.
    pub lies: Counts<Lie>,
    /// The lies that were noticed as promised.
    pub noticed: Counts<Lie>,
    /// The clients that lost state.
    pub lost: BTreeSet<usize>,
    /// The clients whose keys were replaced, so that messages on their way may not be opened.
    pub rotated: BTreeSet<usize>,
    parcels: Vec<Parcel>,
    /// When a receipt about each text was left that nobody has taken in yet.
    receipts_left: BTreeMap<[u8; 16], u64>,
    crash_in: Option<u64>,
}

impl Env {
    /// A world of so many clients, with an empty log.
    #[must_use]
    pub fn new(seed: u64, clients: usize, keep_trace: bool) -> Self {
        let time = Time::default();
        let mut dice = Dice::new(seed);
        let clock = PartyClock::new(&time, dice.below(HOUR) as i64 - HOUR as i64 / 2);
        let witness = |index| Witness::new(index, PartyClock::new(&time, 0));
        let branch = Branch::default();
        let services = Services::new(&branch, Arc::new(clock.clone()));
        Self {
            witnesses: (0..WITNESSES).map(witness).collect(),
            trace: Trace::new(keep_trace),
            weather: Weather::CALM,
            oracle: Oracle::default(),
            branches: vec![branch],
            side: vec![0; clients],
            services,
            clock,
            deceit: Deceit::default(),
            told: Vec::new(),
            disturbed: false,
            lagged: false,
            faults: Counts::new(),
            lies: Counts::new(),
            noticed: Counts::new(),
            lost: BTreeSet::new(),
            rotated: BTreeSet::new(),
            parcels: Vec::new(),
            receipts_left: BTreeMap::new(),
            crash_in: None,
            time,
            dice,
        }
    }

    /// The number of the client whose label this is.
    #[must_use]
    pub fn number_of(&self, label: &str) -> Option<usize> {
        LABELS.iter().take(self.side.len()).position(|known| *known == label)
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, line: impl AsRef<str>) {
        let line = format!("{:>9.3} h  {}", self.time.elapsed() as f64 / HOUR as f64, line.as_ref());
        self.trace.line(&line);
    }

    /// Counts a fault.
    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
        self.note(format!("      fault: {fault:?}"));
    }

    /// Counts a lie that was told in this step.
    pub fn tell(&mut self, lie: Lie) {
        *self.lies.entry(lie).or_default() += 1;
        self.told.push(lie);
        self.note(format!("      lie: {lie:?}"));
    }

    fn step(&mut self) -> Result<(), Trouble> {
        match self.crash_in {
            Some(0) => {
                self.crash_in = None;
                self.fault(Fault::ServerCrashed);
                self.branches.iter_mut().for_each(Branch::restart);
                self.services.restart(&self.branches[0]);
                Err(Trouble::Crashed)
            }
            Some(left) => {
                self.crash_in = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Carries a request to the server and its answer back, as the network and the server's health allow.
    fn call<T: PartialEq>(&mut self, serve: impl Fn(&mut Self) -> Result<T, Trouble>) -> Result<T, NoAnswer> {
        let delay = 50 + self.dice.below(1500);
        self.time.pass(delay);
        if self.dice.happens(self.weather.request_lost) {
            self.disturbed = true;
            self.fault(Fault::RequestLost);
            return Err(NoAnswer::Unreachable);
        }
        if self.dice.happens(self.weather.server_crash) {
            self.crash_in = Some(self.dice.below(5));
        }
        let answer = self.tick().and_then(|()| {
            let told = self.told.len();
            let answer = serve(self);
            if answer.is_ok() && self.dice.happens(self.weather.request_repeated) {
                self.fault(Fault::RequestRepeated);
                let first = self.told.split_off(told);
                let again = serve(self);
                // The second answer is the one that arrives, unless the server says no more than that it has had the request.
                if again == Err(Trouble::Problem(Problem::Replayed)) {
                    self.told.truncate(told);
                    self.told.extend(first);
                    return answer;
                }
                return again;
            }
            answer
        });
        self.crash_in = None;
        if self.dice.happens(self.weather.answer_lost) {
            self.disturbed = true;
            self.fault(Fault::AnswerLost);
            return Err(NoAnswer::Unreachable);
        }
        answer.map_err(|trouble| {
            self.disturbed |= trouble == Trouble::Crashed;
            match trouble {
                Trouble::Crashed => NoAnswer::Unreachable,
                Trouble::Problem(problem) => NoAnswer::Declined(problem),
            }
        })
    }

    /// What the log does by itself: it keeps its head fresh and publishes what is durable.
    fn tick(&mut self) -> Result<(), Trouble> {
        for branch in 0..self.branches.len() {
            let now = at(&self.clock);
            let rested = now.0.saturating_sub(self.branches[branch].timestamp()) >= HEARTBEAT;
            if self.branches[branch].size() == 0 || rested {
                self.branches[branch].sequence(Updates::new(), now, &mut self.dice);
                self.step()?;
            }
            if self.branches[branch].published_size() < self.branches[branch].size() {
                self.publish(branch)?;
            }
        }
        Ok(())
    }

    /// Signs, has cosigned and publishes what is durable; says whether it was published.
    pub fn publish(&mut self, branch: usize) -> Result<bool, Trouble> {
        let head = self.branches[branch].sign();
        self.step()?;
        let mut down = [false; WITNESSES];
        for (index, down) in down.iter_mut().enumerate() {
            *down = self.dice.happens(self.weather.witness_down);
            if *down && self.branches[branch].asks.contains(&index) {
                self.fault(Fault::WitnessDown);
            }
        }
        let cosignatures = self.branches[branch].cosign(&head, &mut self.witnesses, &down);
        self.step()?;
        if self.deceit.is_unwitnessed(branch) {
            self.branches[branch].serve_unwitnessed(&head);
            return Ok(true);
        }
        let done = self.branches[branch].publish(&head, &cosignatures);
        if !done {
            self.lagged = true;
            self.fault(Fault::NotPublished);
        }
        self.step()?;
        Ok(done)
    }

    /// Adds versions to a branch and publishes them, whoever made them.
    ///
    /// # Errors
    /// [`Trouble::Crashed`].
    pub fn add_versions(
        &mut self,
        branch: usize,
        versions: Vec<(String, Vec<u8>, By)>,
    ) -> Result<(), Trouble> {
        for (label, value, by) in &versions {
            self.oracle.published(branch, label, value, *by);
        }
        let updates = versions.into_iter().map(|(label, value, _)| (label.into_bytes(), value)).collect();
        let now = at(&self.clock);
        self.branches[branch].sequence(updates, now, &mut self.dice);
        self.step()?;
        self.publish(branch).map(|_| ())
    }

    /// Asks the log.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn ask(&mut self, who: usize, question: &Question) -> Result<Vec<u8>, NoAnswer> {
        self.call(|env| {
            let branch = env.deceit.branch_for(who, env.side[who]);
            let newest = env.branches[branch].heads().len();
            let Some(mut head) = newest.checked_sub(1) else { return Err(Problem::NotPublished.into()) };
            if env.dice.happens(env.weather.replica_lag) {
                let lag = 1 + env.dice.below(3) as usize;
                if lag <= head {
                    head -= lag;
                    env.lagged = true;
                    env.fault(Fault::ReplicaLagged);
                }
            }
            Deceit::answer(env, who, branch, head, question)
        })
    }

    /// A node of the log tree that the client is shown, as a tile of a tree of `size` leaves has it.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn node(&mut self, who: usize, level: u8, index: u64) -> Result<[u8; 32], NoAnswer> {
        let branch = self.deceit.branch_for(who, self.side[who]);
        if self.deceit.withholds_tiles {
            return Err(NoAnswer::Declined(Problem::NotFound));
        }
        let end = (index + 1) << level;
        if end > self.branches[branch].published_size() {
            return Err(NoAnswer::Declined(Problem::NotFound));
        }
        self.branches[branch].node(level, index).ok_or(NoAnswer::Declined(Problem::NotFound))
    }

    /// An owner's update.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn update(&mut self, who: usize, request: &UpdateRequest) -> Result<Vec<u8>, NoAnswer> {
        self.call(|env| {
            let branch = env.side[who];
            let published = env.branches[branch].published_size();
            let label = String::from_utf8(request.label.clone()).unwrap();
            let store = Arc::clone(env.branches[branch].store());
            let (record, first) = {
                let snapshot = store.snapshot().unwrap();
                let record = snapshot.label(&request.label).unwrap();
                let first = greatest(&*snapshot, &request.label).map_or(0, |greatest| greatest + 1);
                (record, first)
            };
            if record.as_ref().is_some_and(|record| record.newest_position() >= published) {
                return Err(Problem::UpdatePending.into());
            }
            if request.last.is_some_and(|last| last == 0 || last > published) {
                return Err(Problem::LastBeyondTree.into());
            }
            let current = record.map(|record| record.greatest());
            if request.greatest_version < current {
                return Ok(env.branches[branch].tell(request, None)?);
            }
            if request.greatest_version > current {
                return Err(Problem::GreatestVersionBeyond.into());
            }
            if request.values.is_empty() {
                let known = current.is_some();
                return Err(if known { Problem::NoValues } else { Problem::UnknownLabel }.into());
            }
            let values: Vec<Vec<u8>> = request.values.iter().map(|value| value.value.clone()).collect();
            let checked = {
                let snapshot = store.snapshot().unwrap();
                values::check(&*snapshot, &setting().origin, &request.label, first, &values, Author::Owner)
            };
            checked.map_err(refused)?;
            env.step()?;
            let versions = values.into_iter().map(|value| (label.clone(), value, By::Owner)).collect();
            env.add_versions(branch, versions)?;
            if env.branches[branch].published_size() < env.branches[branch].size() {
                return Err(Problem::UpdatePending.into());
            }
            Ok(env.branches[branch].tell(request, Some(first))?)
        })
    }

    /// A device as the published log names it.
    ///
    /// # Errors
    /// [`Problem::UnknownDevice`].
    pub fn caller(&self, label: &str, id: u32) -> Result<Caller, Trouble> {
        let name = device(label, id);
        let device = self.services.accounts.device(&name.label, id).unwrap();
        Ok(Caller { device: device.ok_or(Problem::UnknownDevice)?, name })
    }

    /// The greatest time by any witness's clock.
    #[must_use]
    pub fn witness_time(&self) -> u64 {
        self.witnesses.iter().map(|witness| at(witness.clock()).0).max().unwrap_or(0)
    }

    /// Whether the history is so long that secrets of signed prekeys can have been erased.
    #[must_use]
    pub fn retention_over(&self) -> bool {
        self.time.elapsed() > SIGNED_LIFETIME + RETENTION - 8 * DAY
    }

    /// What is on its way arrives now.
    pub fn deliver_all(&mut self) {
        let now = self.time.now();
        self.parcels.iter_mut().for_each(|parcel| parcel.at = parcel.at.min(now));
        self.deliver();
    }

    /// A sender starts no further handshake for a text, and says so. That is right where enough went wrong.
    pub fn given_up(&mut self, handshake: &[u8; 32]) {
        let Some(text) = self.oracle.handshakes.get(handshake).map(|handshake| handshake.text) else {
            return;
        };
        let spoils = [Lie::AlterMessage, Lie::MisdeliverMessage, Lie::RepeatOneTime];
        let lost = self.oracle.texts.get(&text).is_some_and(|text| {
            [text.from, text.to].iter().any(|who| self.lost.contains(who) || self.rotated.contains(who))
        });
        if lost || spoils.iter().any(|lie| self.lies.contains_key(lie)) {
            self.oracle.excuse(&text, "given up, and said so");
        }
    }
}
