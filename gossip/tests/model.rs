//! All interleavings of few witnesses, a log that signs two heads of one size or does not, and colluders that sign anything
//! and say anything: nobody honest is ever accused, a split view takes exactly as many colluders as `docs/threats.md` says,
//! and once two honest witnesses are on different sides, every honest one ends up with evidence. What an honest witness does
//! about a head is the real [`decide`]; signatures are what the state says they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use keyglass_gossip::decide::{Decision, Tree, decide};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// The two heads.
const HEADS: [usize; 2] = [0, 1];

fn tree(head: usize) -> Tree {
    Tree { size: 9, root: [head as u8 + 1; 32] }
}

/// How honest witnesses treat what they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// As the program does: nothing counts but what is signed.
    Signed,
    /// Broken: a head that differs accuses the log, signed or not.
    UnsignedMismatch,
    /// Broken: the lines under a head are taken for those witnesses' without being verified.
    UnverifiedLines,
    /// Broken: a witness goes on cosigning whatever extends nothing.
    ForgetsWhatItSigned,
}

#[derive(Debug, Clone, Copy)]
struct Network {
    witnesses: usize,
    quorum: usize,
    /// The first so many witnesses collude.
    colluders: usize,
    /// Colluders that sign nothing, so as to stall the log.
    silent: bool,
    /// Whether the log signs the second head as well.
    log_forks: bool,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Which heads each witness has cosigned, as bits.
    cosigned: Vec<u8>,
    /// The head that each honest witness compares with: the first that it cosigned or learned of.
    known: Vec<Option<usize>>,
    /// Who holds evidence, which witness by witness.
    holds: Vec<bool>,
    /// The witnesses that evidence names, and the log at the end.
    accused: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// The log asks a witness to cosign a head.
    Cosign(usize, usize),
    /// One asks another for its head, which shows this one.
    Head { by: usize, of: usize, head: usize },
    /// One asks another for its evidence.
    Evidence { by: usize, of: usize },
}

impl Network {
    fn is_honest(&self, witness: usize) -> bool {
        witness >= self.colluders
    }

    fn honest(&self) -> impl Iterator<Item = usize> {
        self.colluders..self.witnesses
    }

    fn is_signed(&self, head: usize) -> bool {
        head == 0 || self.log_forks
    }

    /// How many witnesses more than colluders it takes to be safe.
    fn needed_for_a_split(&self) -> usize {
        (2 * self.quorum).saturating_sub(self.witnesses)
    }

    fn count(&self, state: &State, head: usize) -> usize {
        state.cosigned.iter().filter(|signed| **signed & 1 << head != 0).count()
    }

    fn is_split(&self, state: &State) -> bool {
        HEADS.iter().all(|head| self.is_signed(*head) && self.count(state, *head) >= self.quorum)
    }

    /// An honest witness is shown a head.
    fn shown(&self, state: &mut State, by: usize, head: usize) {
        let signed = self.is_signed(head);
        if !signed && self.rule != Rule::UnsignedMismatch {
            return;
        }
        let known = state.known[by].map(tree);
        match decide(known.as_ref(), &tree(head)) {
            Decision::First => state.known[by] = Some(head),
            Decision::Conflict => {
                state.holds[by] = true;
                state.accused[self.witnesses] = true;
                for witness in 0..self.witnesses {
                    // Whoever shows a head can put every signature under it that exists, and any line that is none.
                    let on_both = state.cosigned[witness] == 0b11 || self.rule == Rule::UnverifiedLines;
                    state.accused[witness] |= on_both;
                }
            }
            Decision::Agrees | Decision::CheckOlder | Decision::CheckNewer => {}
        }
    }
}

impl Model for Network {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let n = self.witnesses;
        vec![State {
            cosigned: vec![0; n],
            known: vec![None; n],
            holds: vec![false; n],
            accused: vec![false; n + 1],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let all = 0..self.witnesses;
        let mut possible: Vec<Action> = Vec::new();
        for witness in all.clone() {
            possible.extend(HEADS.map(|head| Action::Cosign(witness, head)));
        }
        for by in self.honest() {
            for of in all.clone().filter(|of| *of != by) {
                possible.extend(HEADS.map(|head| Action::Head { by, of, head }));
                possible.push(Action::Evidence { by, of });
            }
        }
        // Only what changes something: so a state without actions is one in which everything has been said.
        actions.extend(
            possible
                .into_iter()
                .filter(|action| self.next_state(state, *action).is_some_and(|next| next != *state)),
        );
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Cosign(witness, head) if self.is_honest(witness) => {
                let forgets = self.rule == Rule::ForgetsWhatItSigned;
                let other = state.cosigned[witness] & !(1 << head) != 0;
                if !self.is_signed(head) || state.holds[witness] || (other && !forgets) {
                    return None;
                }
                next.cosigned[witness] |= 1 << head;
                // One's own head stands above what was heard; a conflict of the two is found at once.
                self.shown(&mut next, witness, head);
                next.known[witness] = Some(head);
            }
            Action::Cosign(witness, head) => {
                if self.silent {
                    return None;
                }
                next.cosigned[witness] |= 1 << head;
            }
            Action::Head { by, of, head } => {
                if self.is_honest(of) && state.known[of] != Some(head) {
                    return None;
                }
                self.shown(&mut next, by, head);
            }
            // Evidence of colluders is no better than the heads that they show.
            Action::Evidence { by, of } => next.holds[by] |= self.is_honest(of) && state.holds[of],
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody honest is accused", |network: &Network, state: &State| {
                let log_is_guilty = network.log_forks || !state.accused[network.witnesses];
                log_is_guilty && network.honest().all(|witness| !state.accused[witness])
            }),
            Property::always("a split view needs 2k-n colluders", |network: &Network, state: &State| {
                network.colluders >= network.needed_for_a_split() || !network.is_split(state)
            }),
            Property::always(
                "what two honest witnesses saw, all honest ones learn",
                |network: &Network, state: &State| {
                    let sides =
                        |head: usize| network.honest().any(|witness| state.known[witness] == Some(head));
                    let mut actions = Vec::new();
                    network.actions(state, &mut actions);
                    let is_end = actions.is_empty();
                    let must_be_known = is_end && sides(0) && sides(1);
                    !must_be_known || network.honest().all(|witness| state.holds[witness])
                },
            ),
            Property::sometimes("a split view", |network: &Network, state: &State| network.is_split(state)),
            Property::sometimes("a quorum", |network: &Network, state: &State| {
                network.count(state, 0) >= network.quorum
            }),
            Property::sometimes("evidence", |network: &Network, state: &State| {
                network.honest().any(|witness| state.holds[witness])
            }),
        ]
    }
}

const SAFE: [&str; 3] = [
    "nobody honest is accused",
    "a split view needs 2k-n colluders",
    "what two honest witnesses saw, all honest ones learn",
];

/// Whether what must always hold does, and which of the other things can happen.
fn check(network: Network) -> (Vec<&'static str>, Vec<&'static str>) {
    let checker = network.checker().finish_when(HasDiscoveries::All).spawn_bfs().join();
    let found = checker.discoveries();
    let all =
        |names: &[&'static str]| names.iter().filter(|name| found.contains_key(*name)).copied().collect();
    println!("{network:?}: {} states", checker.unique_state_count());
    (all(&SAFE), all(&["a split view", "a quorum", "evidence"]))
}

/// (n, k): majorities and more, where 2k − n is 1, 2 and 3.
const SIZES: [(usize, usize); 3] = [(3, 2), (4, 3), (5, 4)];

fn network(witnesses: usize, quorum: usize, colluders: usize) -> Network {
    Network { witnesses, quorum, colluders, silent: false, log_forks: true, rule: Rule::Signed }
}

#[test]
fn a_split_view_takes_2k_minus_n_colluders_and_nobody_honest_is_accused() {
    for (n, k) in SIZES {
        for colluders in 0..=2 * k - n {
            let (broken, possible) = check(network(n, k, colluders));
            assert_eq!(broken, [""; 0], "{n} {k} {colluders}");
            assert_eq!(possible.contains(&"a split view"), colluders == 2 * k - n, "{n} {k} {colluders}");
            assert!(possible.contains(&"evidence"), "{n} {k} {colluders}");
        }
    }
}

#[test]
fn a_stall_takes_n_minus_k_plus_1() {
    for (n, k) in SIZES {
        for silent in 0..=n - k + 1 {
            let honest_log = Network { silent: true, log_forks: false, ..network(n, k, silent) };
            let (broken, possible) = check(honest_log);
            assert_eq!(broken, [""; 0]);
            assert_eq!(possible.contains(&"a quorum"), silent <= n - k, "{n} {k} {silent}");
            assert!(!possible.contains(&"evidence"));
        }
    }
}

#[test]
fn an_honest_log_is_never_accused_whatever_colluders_say() {
    for (n, k) in SIZES {
        for colluders in 0..n {
            let (broken, possible) = check(Network { log_forks: false, ..network(n, k, colluders) });
            assert_eq!((broken, possible.contains(&"evidence")), (Vec::new(), false), "{n} {k} {colluders}");
        }
    }
}

#[test]
fn the_model_finds_what_broken_rules_do() {
    let accused = vec!["nobody honest is accused"];
    let unsigned = Network { log_forks: false, rule: Rule::UnsignedMismatch, ..network(3, 2, 1) };
    assert_eq!(check(unsigned).0, accused);
    let unverified = Network { rule: Rule::UnverifiedLines, ..network(3, 2, 1) };
    assert_eq!(check(unverified).0, accused);
    let forgets = Network { rule: Rule::ForgetsWhatItSigned, ..network(3, 2, 0) };
    assert!(check(forgets).0.contains(&"a split view needs 2k-n colluders"));
}
