//! One history: people, phones, a network and a server, from a seed to its end.

use keyglass_account::device::Suite;
use keyglass_client_verify::{
    state::{OwnAccount, OwnIdentity},
    verdict::Verdict,
};
use keyglass_crypto::{hash::Digest, secret::Secret};
use keyglass_log_server::store::Store as _;

use crate::{
    attack::{self, last_record},
    check::{self, Past},
    client::{ACCOUNT, CONTACTS, Change, Client, LOG, Mutant, Written},
    clock::{DAY, HOUR, MINUTE, PartyClock},
    env::{Counts, Env, LABELS},
    faults::{Fault, Weather},
    lies::Lie,
    oracle::{By, Text, Violation},
};

/// The handshake suites that devices announce, one or the other.
const SUITES: [&[Suite]; 2] = [&[Suite::X3DH], &[Suite::X3DH, Suite::PQXDH]];

/// Rounds after the faults have ceased: as many as the handshakes that are started for a text, and some more.
const ROUNDS: usize = 5;

/// How a history is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether its trace is kept.
    pub keep_trace: bool,
    /// How all clients are broken, if they are.
    pub mutant: Option<Mutant>,
}

/// What came of a history.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first invariant that did not hold, if one did not.
    pub violation: Option<Violation>,
    /// A hash of everything that happened.
    pub hash: Digest,
    /// What happened, if it was kept.
    pub trace: Vec<String>,
    /// How often each fault happened.
    pub faults: Counts<Fault>,
    /// How often each lie was told.
    pub lies: Counts<Lie>,
    /// How often each lie was noticed as promised.
    pub noticed: Counts<Lie>,
    /// Steps that were taken.
    pub steps: u64,
    /// Texts that arrived.
    pub arrived: u64,
}

pub mod scenario;

/// A history while it runs.
struct History {
    env: Env,
    clients: Vec<Client>,
    past: Vec<Past>,
    drafts: Vec<(usize, Written)>,
    texts: u64,
    steps: u64,
}

/// Runs the history of a seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    let mut history = History::new(seed, options);
    history.live();
    if history.env.oracle.violation.is_none() {
        history.end();
    }
    let History { env, steps, .. } = history;
    let arrived = env.oracle.texts.values().filter(|text| text.arrived).count() as u64;
    Outcome {
        seed,
        violation: env.oracle.violation,
        hash: env.trace.hash(),
        trace: env.trace.lines().to_vec(),
        faults: env.faults,
        lies: env.lies,
        noticed: env.noticed,
        steps,
        arrived,
    }
}

impl History {
    fn new(seed: u64, options: Options) -> Self {
        let mut env = Env::new(seed, LABELS.len(), options.keep_trace);
        let count = env.dice.pick(&[2, 2, 2, 3, 3, 4]);
        let mut clients = Vec::new();
        for (id, label) in LABELS.iter().take(count).enumerate() {
            let skew = match env.dice.below(100) {
                0..70 => env.dice.below(10 * MINUTE) as i64 - 5 * MINUTE as i64,
                70..95 => env.dice.below(8 * HOUR) as i64 - 4 * HOUR as i64,
                _ => env.dice.below(8 * DAY) as i64 - 4 * DAY as i64,
            };
            if skew.unsigned_abs() > 5 * MINUTE {
                let fault = if skew.unsigned_abs() > 4 * HOUR { Fault::ClockBroken } else { Fault::ClockOff };
                env.fault(fault);
            }
            let mut client = Client::new(id, (*label).to_owned(), PartyClock::new(&env.time, skew));
            client.mutant = options.mutant;
            clients.push(client);
        }
        for index in 0..env.witnesses.len() {
            let skew = env.dice.below(2 * HOUR) as i64 - HOUR as i64;
            env.witnesses[index].clock().set_skew(skew);
        }
        let past = vec![Past::default(); count];
        let mut history = Self { env, clients, past, drafts: Vec::new(), texts: 0, steps: 0 };
        history.choose_lies();
        history
    }

    /// What the server will lie about: nothing in many histories, a few things in others.
    fn choose_lies(&mut self) {
        let env = &mut self.env;
        env.weather = env.dice.pick(&[Weather::CALM, Weather::FAIR, Weather::FAIR, Weather::FOUL]);
        if env.dice.happens(350) {
            return;
        }
        let all: Vec<Lie> = crate::lies::PROMISES.iter().map(|promise| promise.lie).collect();
        for _ in 0..=env.dice.below(3) {
            let lie = env.dice.pick(&all);
            if !env.deceit.armed.contains(&lie) {
                env.deceit.armed.push(lie);
            }
        }
        env.deceit.intensity = env.dice.pick(&[100, 300, 600]);
        let forks = [Lie::Unwitnessed, Lie::ForkShown, Lie::ForkAcross];
        if env.deceit.armed.iter().any(|lie| forks.contains(lie)) {
            env.deceit.withholds_tiles = env.dice.happens(300);
        }
        let colludes = env.deceit.armed.iter().any(|lie| matches!(lie, Lie::ForkShown | Lie::ForkAcross));
        if colludes {
            // One witness signs everything; the main history never asks the third, so that it can be asked by the other.
            env.witnesses[0].colludes = true;
            env.branches[0].asks = vec![0, 1];
        }
        let armed = format!("{:?}", env.deceit.armed);
        env.note(format!("the server lies: {armed}"));
    }

    fn live(&mut self) {
        let foul = self.env.weather;
        // Most people register while nothing goes wrong, so that histories are about what comes after.
        if self.env.dice.happens(700) {
            self.env.weather = Weather::CALM;
        }
        for index in 0..self.clients.len() {
            self.register(index);
        }
        self.env.weather = foul;
        let steps = 6 + self.env.dice.below(22);
        for _ in 0..steps {
            self.pass_time();
            let who = self.env.dice.index(self.clients.len());
            self.act(who);
            if self.env.oracle.violation.is_some() {
                return;
            }
        }
    }

    fn pass_time(&mut self) {
        let most = match self.env.dice.below(100) {
            0..50 => 20 * MINUTE,
            50..80 => 8 * HOUR,
            80..95 => 4 * DAY,
            _ => 25 * DAY,
        };
        let passed = self.env.dice.below(most);
        self.env.time.pass(passed);
    }

    /// Runs one step of a client, with all that may go wrong, and checks it.
    fn step(
        &mut self,
        who: usize,
        name: &str,
        step: impl FnOnce(&mut Client, &mut Env) -> crate::client::Step<()>,
    ) -> bool {
        self.steps += 1;
        let Self { env, clients, .. } = self;
        let client = &mut clients[who];
        env.told.clear();
        (env.disturbed, env.lagged) = (false, false);
        env.note(format!("{} {name}", client.label));
        let crash = env.dice.happens(env.weather.client_crash).then(|| env.dice.below(12));
        client.disk.crash_in(crash);
        let done = client.run(env, step);
        client.disk.crash_in(None);
        env.deceit.shown = None;
        match done {
            Ok(()) => {
                for finding in client.findings.clone() {
                    env.note(format!("      {:?}: {} {:?}", finding.verdict, finding.reason, finding.label));
                }
                let unknown = |finding: &crate::client::Finding| finding.verdict == Verdict::NotFound;
                if env.told.contains(&Lie::DenyLabel) || client.findings.iter().any(unknown) {
                    // A message whose sender is said not to exist is not kept, even if only a replica lags behind.
                    env.oracle.excuse_all_of(who, "a label was denied");
                }
                check::step(env, client, &self.past);
                true
            }
            Err(_) => {
                env.fault(Fault::ClientCrashed);
                false
            }
        }
    }

    fn register(&mut self, who: usize) {
        let devices = if self.env.dice.happens(300) { 2 } else { 1 };
        let suites = self.env.dice.pick(&SUITES);
        for _ in 0..6 {
            if self.clients[who].is_registered() {
                break;
            }
            self.step(who, "registers", |client, env| client.register(env, devices, suites));
            self.env.time.pass(MINUTE);
        }
        let label = self.clients[who].label.clone();
        if self.clients[who].is_registered()
            && self.env.oracle.versions_of(self.env.side[who], &label).is_empty()
        {
            self.env.oracle.violated("a registration was not seen");
        }
        self.step(who, "supplies prekeys", |client, env| client.supply_prekeys(env));
        self.clients[who].disk.back_up();
    }

    fn act(&mut self, who: usize) {
        self.prepare_lies(who);
        let registered = self.clients[who].is_registered();
        match self.env.dice.below(100) {
            _ if !registered => self.register(who),
            0..28 => self.write(who),
            28..58 => self.receive(who),
            66..78 => self.monitor(who),
            78..86 => {
                self.step(who, "supplies prekeys", |client, env| client.supply_prekeys(env));
            }
            86..91 => self.change(who),
            91..95 => self.lose(who),
            // Only what a device has lost can be resurrected.
            58..66 if self.env.deceit.armed.contains(&Lie::ResurrectOneTime) => self.lose(who),
            95..97 => {
                self.clients[who].disk.back_up();
            }
            58..66 => self.look_up(who),
            _ => self.lie(),
        }
    }

    /// Forks, where the server means to, and shows a client the other side, where that is noticed at once.
    fn prepare_lies(&mut self, who: usize) {
        let env = &mut self.env;
        env.deceit.shown = None;
        let armed = |env: &Env, lie| env.deceit.armed.contains(&lie);
        if env.branches.len() == 1 && env.dice.happens(100) {
            if armed(env, Lie::Unwitnessed) && !env.witnesses[0].colludes {
                attack::fork(env, Vec::new(), true);
            } else if env.witnesses[0].colludes
                && attack::fork(env, vec![0, 2], false)
                && armed(env, Lie::ForkAcross)
            {
                // Whoever has not seen anything beyond the fork can be kept on the other side unnoticed.
                for index in 0..self.clients.len() {
                    if self.env.dice.happens(500) {
                        self.env.side[index] = 1;
                    }
                }
            }
            return;
        }
        let beyond = self.clients[who].last().is_some_and(|last| last > env.deceit.fork_size);
        let other = 1 - env.side[who].min(1);
        let shows = armed(env, Lie::Unwitnessed) && env.deceit.unwitnessed.is_some()
            || armed(env, Lie::ForkShown) && beyond && env.deceit.unwitnessed.is_none();
        if env.branches.len() > 1 && shows && env.dice.happens(200) {
            env.deceit.shown = Some((who, other));
        }
    }

    fn other(&mut self, who: usize) -> usize {
        let other = self.env.dice.index(self.clients.len() - 1);
        if other >= who { other + 1 } else { other }
    }

    fn write(&mut self, who: usize) {
        let to = self.other(who);
        self.texts += 1;
        let label = self.clients[to].label.clone();
        let text = format!("text {} from {}", self.texts, self.clients[who].label);
        let written = Written { id: self.env.dice.bytes(), to: label, text: text.clone() };
        let from_label = self.clients[who].label.clone();
        let text = Text { from: who, from_label, to, text, arrived: false, excuse: None };
        self.env.oracle.texts.insert(written.id, text);
        self.send(who, written);
    }

    fn send(&mut self, who: usize, written: Written) {
        let done = self.step(who, &format!("writes to {}: {}", written.to, written.text), |client, env| {
            client.write(env, &written)
        });
        if done {
            let label = written.to.clone();
            check::look_up(&mut self.env, &self.clients[who], &label, false);
        }
        self.drafts.push((who, written));
    }

    fn receive(&mut self, who: usize) {
        self.step(who, "receives", |client, env| client.receive(env));
    }

    fn look_up(&mut self, who: usize) {
        let other = self.other(who);
        let label = self.clients[other].label.clone();
        let done = self.step(who, &format!("looks up {label}"), |client, env| client.look_up(env, &label));
        if done {
            check::look_up(&mut self.env, &self.clients[who], &label, false);
        }
    }

    fn monitor(&mut self, who: usize) {
        let registered = self.clients[who].is_registered();
        let done = self.step(who, "monitors", |client, env| client.monitor(env));
        if done && registered {
            let label = self.clients[who].label.clone();
            check::look_up(&mut self.env, &self.clients[who], &label, true);
        }
    }

    fn change(&mut self, who: usize) {
        let change = self.env.dice.pick(&[
            Change::AddDevice,
            Change::AddDevice,
            Change::ReplaceDevice,
            Change::Rotate,
            Change::LockDown,
        ]);
        if change == Change::AddDevice && self.clients[who].devices().len() > 2 {
            return;
        }
        if matches!(change, Change::ReplaceDevice | Change::Rotate) {
            self.env.rotated.insert(who);
            self.env.oracle.excuse_all_of(who, "the sender or the recipient has other keys since");
        }
        self.step(who, &format!("changes the account: {change:?}"), |client, env| client.change(env, change));
        self.step(who, "supplies prekeys", |client, env| client.supply_prekeys(env));
    }

    /// Something of a client's state is lost.
    fn lose(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let fault = self.env.dice.pick(&[
            Fault::LogStateLost,
            Fault::ContactsLost,
            Fault::DeviceLost,
            Fault::StatePutBack,
            Fault::EverythingLost,
        ]);
        let fault = if self.env.deceit.armed.contains(&Lie::ResurrectOneTime) && self.env.dice.happens(700) {
            Fault::StatePutBack
        } else {
            fault
        };
        match fault {
            Fault::LogStateLost => {
                client.disk.lose(LOG);
                client.crash();
            }
            Fault::ContactsLost => {
                client.disk.lose(CONTACTS);
                client.crash();
            }
            Fault::StatePutBack => {
                if !client.disk.put_back(ACCOUNT) {
                    return;
                }
                client.disk.lose("pending.json");
                client.crash();
                self.past[who].put_back = true;
            }
            Fault::DeviceLost => {
                self.env.fault(fault);
                self.excuse(who, "a device was lost");
                self.env.rotated.insert(who);
                self.step(who, "replaces a lost device", |client, env| {
                    client.change(env, Change::ReplaceDevice)
                });
                self.step(who, "supplies prekeys", |client, env| client.supply_prekeys(env));
                return;
            }
            _ => {
                if !self.reset(who) {
                    return;
                }
            }
        }
        let label = self.clients[who].label.clone();
        self.env.note(format!("{label} loses state"));
        self.env.fault(fault);
        if matches!(fault, Fault::StatePutBack | Fault::EverythingLost) {
            self.excuse(who, "state was lost");
        }
    }

    fn excuse(&mut self, who: usize, why: &'static str) {
        self.past[who].lost = true;
        self.env.lost.insert(who);
        self.env.oracle.excuse_all_of(who, why);
    }

    /// Everything is lost, and the operator resets the account at its owner's request.
    fn reset(&mut self, who: usize) -> bool {
        let label = self.clients[who].label.clone();
        let side = self.env.side[who];
        let clean = self.env.branches.len() == 1 && self.env.oracle.lies_about(side, &label).is_empty();
        let size = self.env.branches[0].published_size();
        if !clean || size < self.env.branches[0].size() {
            return false;
        }
        let Some((before, version)) = last_record(&self.env, 0, &label) else { return false };
        let (env, client) = (&mut self.env, &mut self.clients[who]);
        let Some((record, seed, device)) = client.reset_record(env, &before, version) else { return false };
        let value = record.encode();
        let checked = {
            let store = std::sync::Arc::clone(env.branches[0].store());
            let snapshot = store.snapshot().unwrap();
            let (origin, values) = (&crate::setting::setting().origin, std::slice::from_ref(&value));
            let author = keyglass_log_server::values::Author::Operator;
            keyglass_log_server::values::check(&*snapshot, origin, label.as_bytes(), version, values, author)
        };
        if checked.is_err() {
            return false;
        }
        let _ = env.add_versions(0, vec![(label.clone(), value.clone(), By::Request)]);
        client.disk.lose_everything();
        client.crash();
        let origin = crate::setting::setting().origin.clone();
        let mut account =
            OwnAccount::new(origin, label, OwnIdentity::Held(Secret::new(seed)), value, vec![device]);
        account.published = Some(version);
        self.env.rotated.insert(who);
        self.step(who, "takes the account over again", |client, _| client.take_over(account));
        self.past[who].put_back = true;
        self.step(who, "supplies prekeys", |client, env| client.supply_prekeys(env));
        self.clients[who].disk.back_up();
        true
    }

    /// The log itself lies about somebody.
    fn lie(&mut self) {
        let armed: Vec<Lie> =
            self.env.deceit.armed.iter().copied().filter(|lie| lie.is_in_the_log()).collect();
        if armed.is_empty() {
            return;
        }
        let lie = self.env.dice.pick(&armed);
        let victim = self.env.dice.index(self.clients.len());
        let label = self.clients[victim].label.clone();
        let side = self.env.side[victim];
        let is_first = self.env.oracle.lies_about(side, &label).is_empty();
        if is_first && attack::lie_in_the_log(&mut self.env, lie, side, &label) {
            self.env.note(format!("the log lies about {label}: {lie:?}"));
            self.env.oracle.excuse_all_of(victim, "the log lied about the account");
        }
        self.env.told.clear();
    }

    /// Faults cease and the server is honest: what was written and not lost arrives.
    fn end(&mut self) {
        self.env.note("faults cease");
        self.env.weather = Weather::CALM;
        self.env.deceit.armed.clear();
        self.env.deceit.withholds_tiles = false;
        for index in 0..self.clients.len() {
            let skew = self.clients[index].clock.skew();
            if skew.unsigned_abs() > 4 * HOUR {
                self.clients[index].clock.set_skew(0);
            }
        }
        for round in 0..ROUNDS {
            self.env.time.pass(HOUR);
            for who in 0..self.clients.len() {
                if !self.clients[who].is_registered() {
                    self.register(who);
                }
                self.step(who, "supplies prekeys", |client, env| client.supply_prekeys(env));
            }
            for who in 0..self.clients.len() {
                self.rest(who, round == 0, round + 1 == ROUNDS);
                if self.env.oracle.violation.is_some() {
                    return;
                }
            }
            let waits = |text: &Text| !text.arrived && text.excuse.is_none();
            if round > 0 && !self.env.oracle.texts.values().any(waits) {
                break;
            }
        }
        self.check_arrival();
        self.check_settled();
    }

    /// What a person does when all is well again.
    fn rest(&mut self, who: usize, first: bool, last: bool) {
        if !last {
            let mine = |draft: &(usize, Written)| draft.0 == who;
            let drafts: Vec<Written> =
                self.drafts.iter().filter(|draft| mine(draft)).map(|draft| draft.1.clone()).collect();
            for written in drafts {
                let wants = self.env.oracle.texts.get(&written.id);
                if wants.is_some_and(|text| !text.arrived && text.excuse.is_none()) {
                    self.step(who, "writes again what was not sent", |client, env| {
                        client.write(env, &written)
                    });
                }
            }
        }
        self.env.deliver_all();
        self.receive(who);
        if first {
            self.monitor(who);
        }
    }

    fn check_arrival(&mut self) {
        let clean: Vec<bool> = (0..self.clients.len())
            .map(|who| {
                let label = self.clients[who].label.clone();
                let clean = self.env.oracle.lies_about(0, &label).is_empty();
                // Whose state is from before its newest version has no device that others know.
                let versions = self.env.oracle.versions_of(0, &label).len();
                let newest =
                    self.clients[who].published().is_some_and(|version| version as usize + 1 == versions);
                clean && newest && !self.clients[who].is_convinced() && self.clients[who].is_registered()
            })
            .collect();
        if self.env.branches.len() > 1 {
            return;
        }
        let late: Vec<String> = self
            .env
            .oracle
            .texts
            .iter()
            .filter(|(_, text)| !text.arrived && text.excuse.is_none() && clean[text.from] && clean[text.to])
            .filter(|(id, _)| !self.env.receipt_is_gone(id))
            .map(|(_, text)| text.text.clone())
            .collect();
        if let Some(text) = late.first() {
            self.env.oracle.violated(format!("nothing goes wrong any more, and this did not arrive: {text}"));
        }
    }

    /// Where the log never forked, every head that anybody told of is explained in the end, and nobody is convicted.
    fn check_settled(&mut self) {
        if self.env.branches.len() > 1 {
            return;
        }
        for client in &mut self.clients {
            if client.is_convinced() {
                self.env.oracle.violated("there is evidence against a log that never forked");
            }
            if client.unsettled() > 0 {
                self.env.oracle.violated("a head of an honest log was never explained");
            }
        }
    }
}
