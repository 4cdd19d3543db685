//! Short histories in a calm world, one for each way in which a client can be broken that random histories show too seldom: what
//! it does wrong breaks an invariant, and the real client does everything right.

use super::*;

/// Steps of a client's disk before which, one after the other, it crashes.
const CRASHES: u64 = 40;

/// Runs the scenario that is made for `mutant`, with clients that are broken so or, without, with real ones. Gives the first
/// invariant that did not hold.
///
/// # Panics
/// If there is no scenario for it.
#[must_use]
pub fn violation(mutant: Mutant, is_broken: bool) -> Option<Violation> {
    let clients = is_broken.then_some(mutant);
    match mutant {
        Mutant::ErasesLate | Mutant::AcknowledgesEarly => {
            (0..CRASHES).find_map(|step| crash_while_receiving(clients, step))
        }
        Mutant::IgnoresAge => old_head(clients),
        Mutant::IgnoresViews => two_sides(clients),
        Mutant::ForgetsVersions => hidden_version(clients),
        Mutant::IgnoresOwnLabel => reset_of_a_stranger(clients),
        other => panic!("{other:?} is caught in random histories"),
    }
}

impl History {
    /// Alice and Bob in a calm world; nobody is registered yet.
    fn calm(mutant: Option<Mutant>) -> Self {
        let env = Env::new(1, 2, true);
        let clients = (0..2).map(|id| {
            let mut client = Client::new(id, LABELS[id].to_owned(), PartyClock::new(&env.time, 0));
            client.mutant = mutant;
            client
        });
        let (clients, past) = (clients.collect(), vec![Past::default(); 2]);
        Self { env, clients, past, drafts: Vec::new(), texts: 0, steps: 0 }
    }

    fn registered(mutant: Option<Mutant>) -> Self {
        let mut history = Self::calm(mutant);
        history.register(ALICE);
        history.register(BOB);
        history
    }

    fn violation(self) -> Option<Violation> {
        self.env.oracle.violation
    }
}

const ALICE: usize = 0;
const BOB: usize = 1;

/// Bob crashes while he receives, and receives again. Every text is shown, and none twice.
fn crash_while_receiving(mutant: Option<Mutant>, step: u64) -> Option<Violation> {
    let mut history = History::registered(mutant);
    history.write(ALICE);
    let History { env, clients, .. } = &mut history;
    clients[BOB].disk.crash_in(Some(step));
    let _ = clients[BOB].run(env, |client, env| client.receive(env));
    clients[BOB].disk.crash_in(None);
    history.receive(BOB);
    history.end();
    history.violation()
}

/// A server shows Alice a head that she has not seen and that is too old.
fn old_head(mutant: Option<Mutant>) -> Option<Violation> {
    let mut history = History::registered(mutant);
    history.clients[BOB].mutant = None;
    history.look_up(ALICE);
    for _ in 0..3 {
        history.env.time.pass(HOUR);
        history.step(BOB, "adds a device", |client, env| client.change(env, Change::AddDevice));
    }
    history.env.time.pass(3 * DAY);
    history.env.weather.replica_lag = 1000;
    history.look_up(ALICE);
    history.violation()
}

/// Alice and Bob are kept on two sides of a fork that a quorum has cosigned, and Alice writes to Bob.
fn two_sides(mutant: Option<Mutant>) -> Option<Violation> {
    let mut history = History::calm(mutant);
    history.env.witnesses[0].colludes = true;
    history.env.branches[0].asks = vec![0, 1];
    history.register(ALICE);
    history.register(BOB);
    assert!(attack::fork(&mut history.env, vec![0, 2], false));
    history.env.side[BOB] = 1;
    for who in [ALICE, BOB] {
        history.env.time.pass(7 * HOUR);
        history.look_up(who);
    }
    history.write(ALICE);
    history.env.time.pass(7 * HOUR);
    history.receive(BOB);
    history.violation()
}

/// Alice has met Bob's second version, lost what she knew of the log, and is shown a head from before that version.
fn hidden_version(mutant: Option<Mutant>) -> Option<Violation> {
    let mut history = History::registered(mutant);
    history.look_up(ALICE);
    for _ in 0..3 {
        history.env.time.pass(7 * HOUR);
        history.look_up(BOB);
    }
    history.step(BOB, "changes the account", |client, env| client.change(env, Change::LockDown));
    history.look_up(ALICE);
    history.clients[ALICE].disk.lose(LOG);
    history.clients[ALICE].crash();
    history.past[ALICE].lost = true;
    history.env.weather.replica_lag = 1000;
    history.look_up(ALICE);
    history.violation()
}

/// The log resets Alice's account, and Alice looks after it.
fn reset_of_a_stranger(mutant: Option<Mutant>) -> Option<Violation> {
    let mut history = History::registered(mutant);
    assert!(attack::lie_in_the_log(&mut history.env, Lie::Reset, 0, LABELS[ALICE]));
    history.monitor(ALICE);
    history.violation()
}
