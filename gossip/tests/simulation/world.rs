//! A network in simulated time around the real core: `Node`, `Holdings`, `Held`, `Head` and the schedule are the ones that
//! servers run. Only delays, chance and the log are made up, all from a seed.
//!
//! Signatures are real. What many parties verify alike (a genuine head, genuine evidence) is verified once and remembered by
//! its hash, so that a thousand parties fit; what is forged is verified by everyone who gets it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use keyglass_crypto::{hash::sha256, sign::SigningKey};
use keyglass_gossip::{
    evidence::{EvidenceId, Held},
    head::Head,
    holdings::{Holdings, Offer},
    listing::{self, MAX_LISTED},
    node::{Comparison, Node, PeerId, Step, Taken},
    schedule::pause,
    trust::Trust,
};
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    evidence::Evidence,
    note::{KeyName, NoteSigner, SignedNote},
    policy::Policy,
    relate::relate,
    rfc6962::{CompactTree, NodeId, leaf_hash},
};

const ORIGIN: &str = "log.example/one";
/// The default of servers.
pub const PERIOD: Duration = Duration::from_secs(2);
/// How long a server waits for a peer, as servers do.
const DEADLINE: Duration = Duration::from_secs(5);
/// One way.
const DELAY_MS: (u64, u64) = (5, 150);
/// The leaf from which on the sides differ.
const FORK_AT: u64 = 4;
/// When a run is given up.
const END: Duration = Duration::from_secs(600);

/// Chance, the same for the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + Duration::from_micros(self.below((high - low).as_micros() as u64 + 1))
    }
}

/// Who is shown the other side of the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// One honest party only: the hardest to find.
    One,
    /// Every second one.
    Half,
}

/// A run.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub nodes: usize,
    /// A third of each: silent; showing everybody their own side and holding nothing; spreading forged evidence and heads.
    pub byzantine: usize,
    /// How many random peers each party has in its file.
    pub peers: usize,
    pub shown: Shown,
    /// Whether the sides have heads of different sizes, so that the log's tiles are needed.
    pub sizes_differ: bool,
    /// For how many periods the network is cut in two from the fork on.
    pub partition: f64,
    pub seed: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// Periods until the last honest party held evidence. Infinite if some never did.
    pub last: f64,
    /// Requests and answers until then.
    pub messages: u64,
    /// Evidence or heads of honest making that were refused, or evidence held that is not about the fork: none, ever.
    pub wrong: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Honest,
    Silent,
    Colluding,
    Forging,
}

struct Party {
    nature: Nature,
    own: Arc<Head>,
    peers: Vec<usize>,
    failures: Vec<u32>,
    node: Node,
    holdings: Holdings,
    texts: BTreeMap<EvidenceId, String>,
    holds: bool,
}

#[derive(Debug, Clone)]
enum Request {
    List,
    Evidence(EvidenceId),
    Head,
}

#[derive(Debug, Clone)]
enum Answer {
    List(String),
    Evidence(EvidenceId, Option<String>),
    Head(String),
    Nothing,
}

enum Event {
    /// A party begins a round with one of its peers.
    Round(usize, usize),
    /// A request arrives.
    Asked(usize, usize, Request, Vec<EvidenceId>),
    /// An answer arrives, with what is still to be fetched in this round.
    Answered(usize, usize, Answer, Vec<EvidenceId>),
    /// The log's tiles have arrived.
    Tiles(usize, usize, Comparison),
}

#[derive(Clone, Copy)]
struct Side {
    branch: u8,
    size: u64,
}

impl Side {
    fn subtree(self, from: u64, end: u64) -> Digest {
        let mut tree = CompactTree::new();
        for index in from..end {
            let branch = if index < FORK_AT { 0 } else { self.branch };
            tree.append(leaf_hash(&[&index.to_be_bytes()[..], &[branch]].concat())).unwrap();
        }
        tree.root()
    }
}

pub struct World {
    setting: Setting,
    chance: Chance,
    trust: Trust,
    parties: Vec<Party>,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    due: HashMap<u64, Event>,
    now: Duration,
    number: u64,
    messages: u64,
    wrong: u64,
    heads: HashMap<Digest, Option<Arc<Head>>>,
    evidence: HashMap<Digest, Held>,
    forged_head: String,
    sides: [Side; 2],
    heads_of_sides: [Arc<Head>; 2],
    holding: usize,
    last: Duration,
}

fn signer() -> NoteSigner {
    NoteSigner::new(KeyName::new(ORIGIN).unwrap(), SigningKey::from_seed(&[7; 32]))
}

fn signed(side: Side) -> SignedNote {
    let text = Checkpoint::new(ORIGIN, side.size, side.subtree(0, side.size)).unwrap().text();
    SignedNote::new(&text, vec![signer().sign(&text)]).unwrap()
}

impl World {
    pub fn new(setting: Setting) -> Self {
        let mut chance =
            Chance::new(setting.seed ^ (setting.nodes as u64) << 32 ^ (setting.byzantine as u64) << 48);
        let policy = format!("log {} https://log.example/\nquorum none\n", signer().vkey());
        let trust = Trust::of_policy(&Policy::parse(policy.as_bytes()).unwrap());
        let sizes = if setting.sizes_differ { (11, 12) } else { (12, 12) };
        let sides = [Side { branch: 0, size: sizes.1 }, Side { branch: 1, size: sizes.0 }];
        let heads = sides.map(|side| Arc::new(Head::verify(&signed(side), &trust).unwrap()));
        // Which parties are Byzantine, and which honest ones are shown the other side, is drawn.
        let mut order: Vec<usize> = (0..setting.nodes).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, chance.below(i as u64 + 1) as usize);
        }
        let mut natures = vec![Nature::Honest; setting.nodes];
        for (i, index) in order.iter().take(setting.byzantine).enumerate() {
            natures[*index] = [Nature::Colluding, Nature::Silent, Nature::Forging][i % 3];
        }
        let mut on_other_side = vec![false; setting.nodes];
        let honest = &order[setting.byzantine..];
        let victims = if setting.shown == Shown::One { 1 } else { honest.len() / 2 };
        honest.iter().take(victims).for_each(|index| on_other_side[*index] = true);
        let party = |index: usize, chance: &mut Chance| {
            let mut others: Vec<usize> = (0..setting.nodes).filter(|other| *other != index).collect();
            for i in 0..setting.peers.min(others.len()) {
                let j = i + chance.below((others.len() - i) as u64) as usize;
                others.swap(i, j);
            }
            others.truncate(setting.peers);
            Party {
                nature: natures[index],
                own: Arc::clone(&heads[usize::from(on_other_side[index])]),
                failures: vec![0; others.len()],
                peers: others,
                node: Node::default(),
                holdings: Holdings::default(),
                texts: BTreeMap::new(),
                holds: false,
            }
        };
        let parties = (0..setting.nodes).map(|index| party(index, &mut chance)).collect();
        // Another root under the signature of this one: what anybody can write.
        let forged = SignedNote::new(
            signed(Side { branch: 9, size: 12 }).text(),
            signed(sides[0]).signatures().to_vec(),
        );
        Self {
            setting,
            chance,
            trust,
            parties,
            events: BinaryHeap::new(),
            due: HashMap::new(),
            now: Duration::ZERO,
            number: 0,
            messages: 0,
            wrong: 0,
            heads: HashMap::new(),
            evidence: HashMap::new(),
            forged_head: forged.unwrap().to_string(),
            sides,
            heads_of_sides: heads,
            holding: 0,
            last: Duration::ZERO,
        }
    }

    /// Runs until every honest party holds evidence.
    pub fn run(mut self) -> Came {
        for party in 0..self.parties.len() {
            if self.parties[party].nature != Nature::Honest {
                continue;
            }
            let own = Arc::clone(&self.parties[party].own);
            assert_eq!(self.parties[party].node.learn_own(&own), Step::Done);
            for peer in 0..self.parties[party].peers.len() {
                let at = self.chance.between(Duration::ZERO, PERIOD);
                self.at(at, Event::Round(party, peer));
            }
        }
        let honest = self.parties.iter().filter(|party| party.nature == Nature::Honest).count();
        while let Some(Reverse((time, number))) = self.events.pop() {
            if time > END {
                break;
            }
            self.now = time;
            let event = self.due.remove(&number).unwrap();
            self.handle(event);
            if self.holding == honest {
                break;
            }
        }
        let last = if self.holding == honest {
            self.last.as_secs_f64() / PERIOD.as_secs_f64()
        } else {
            f64::INFINITY
        };
        Came { last, messages: self.messages, wrong: self.wrong }
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.number += 1;
        self.due.insert(self.number, event);
        self.events.push(Reverse((time, self.number)));
    }

    fn delay(&mut self) -> Duration {
        self.chance.between(Duration::from_millis(DELAY_MS.0), Duration::from_millis(DELAY_MS.1))
    }

    /// Whether the network carries what one sends to the other now. It is cut between even and odd parties.
    fn carries(&self, from: usize, to: usize) -> bool {
        from % 2 == to % 2 || self.now >= PERIOD.mul_f64(self.setting.partition)
    }

    fn ask(&mut self, party: usize, peer: usize, request: Request, rest: Vec<EvidenceId>) {
        let other = self.parties[party].peers[peer];
        self.messages += 1;
        if self.parties[other].nature == Nature::Silent || !self.carries(party, other) {
            self.fail(party, peer);
            return;
        }
        let at = self.now + self.delay();
        self.at(at, Event::Asked(party, peer, request, rest));
    }

    fn fail(&mut self, party: usize, peer: usize) {
        let failures = &mut self.parties[party].failures[peer];
        *failures += 1;
        let failures = *failures;
        let at = self.now + DEADLINE + pause(PERIOD, failures, self.chance.next() as u32);
        self.at(at, Event::Round(party, peer));
    }

    fn done(&mut self, party: usize, peer: usize) {
        self.parties[party].failures[peer] = 0;
        let at = self.now + pause(PERIOD, 0, self.chance.next() as u32);
        self.at(at, Event::Round(party, peer));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Round(party, peer) => self.ask(party, peer, Request::List, Vec::new()),
            Event::Asked(party, peer, request, rest) => {
                let other = self.parties[party].peers[peer];
                let answer = self.answer(other, party, request);
                self.messages += 1;
                if !self.carries(other, party) {
                    self.fail(party, peer);
                    return;
                }
                let at = self.now + self.delay();
                self.at(at, Event::Answered(party, peer, answer, rest));
            }
            Event::Answered(party, peer, answer, rest) => self.answered(party, peer, answer, rest),
            Event::Tiles(party, peer, comparison) => {
                // The log serves the tiles of its first side only.
                let side = self.sides[0];
                let node =
                    |id: NodeId| Ok::<_, ()>(side.subtree(id.index << id.level, (id.index + 1) << id.level));
                let relation = relate(comparison.anchor.note(), comparison.head.note(), node).ok();
                let step = self.parties[party].node.related(&comparison, relation);
                self.step(party, peer, step);
            }
        }
    }

    fn answer(&mut self, other: usize, asker: usize, request: Request) -> Answer {
        let nature = self.parties[other].nature;
        match (nature, request) {
            (Nature::Silent, _) => Answer::Nothing,
            (Nature::Colluding, Request::Head) => Answer::Head(self.parties[asker].own.note().to_string()),
            (Nature::Colluding, _) => Answer::List(listing::format(&Holdings::default(), None)),
            (Nature::Forging, Request::Head) => Answer::Head(self.forged_head.clone()),
            (Nature::Forging, Request::List) => {
                let origin = keyglass_gossip::hex::encode(&sha256(&[ORIGIN.as_bytes()]));
                let id = |chance: &mut Chance| EvidenceId(sha256(&[&chance.next().to_be_bytes()]));
                let mut ids: Vec<EvidenceId> = (0..32).map(|_| id(&mut self.chance)).collect();
                ids.sort_unstable();
                let lines: String = ids.iter().map(|id| format!("{id} {origin}\n")).collect();
                Answer::List(format!("keyglass-gossip/v1\n{lines}"))
            }
            (Nature::Forging, Request::Evidence(id)) => {
                // Two heads, of which the log has signed one; a fresh root each time.
                let root = sha256(&[&self.chance.next().to_be_bytes()]);
                let text = Checkpoint::new(ORIGIN, 12, root).unwrap().text();
                let genuine = self.heads_of_sides[0].note();
                let lines = genuine.signatures().to_vec();
                let (a, b) = (genuine.clone(), SignedNote::new(&text, lines).unwrap());
                Answer::Evidence(id, Some(Evidence::SameSize { a, b }.to_string()))
            }
            (Nature::Honest, Request::List) => {
                Answer::List(listing::format(&self.parties[other].holdings, None))
            }
            (Nature::Honest, Request::Evidence(id)) => {
                Answer::Evidence(id, self.parties[other].texts.get(&id).cloned())
            }
            (Nature::Honest, Request::Head) => Answer::Head(self.parties[other].own.note().to_string()),
        }
    }

    fn answered(&mut self, party: usize, peer: usize, answer: Answer, mut rest: Vec<EvidenceId>) {
        let id = PeerId(peer as u32);
        match answer {
            Answer::Nothing => return self.fail(party, peer),
            Answer::List(text) => {
                let listed = listing::parse(text.as_bytes()).unwrap_or_default();
                let Party { node, holdings, .. } = &mut self.parties[party];
                rest = node.to_fetch(id, &listed, listed.len() >= MAX_LISTED, &self.trust, holdings);
            }
            Answer::Evidence(name, text) => {
                let from_honest = self.parties[self.parties[party].peers[peer]].nature == Nature::Honest;
                let taken = text.map_or(Taken::Refused, |text| self.read_evidence(party, &text));
                self.wrong += u64::from(from_honest && taken == Taken::Refused);
                self.wrong += u64::from(!from_honest && taken == Taken::New);
                self.parties[party].node.fetched(id, name, taken);
            }
            Answer::Head(note) => {
                let head = self.read_head(&note);
                let step = head.map_or(Step::Done, |head| self.parties[party].node.learn(id, &head));
                return self.step(party, peer, step);
            }
        }
        match rest.pop() {
            Some(name) => self.ask(party, peer, Request::Evidence(name), rest),
            None => self.ask(party, peer, Request::Head, Vec::new()),
        }
    }

    fn step(&mut self, party: usize, peer: usize, step: Step) {
        match step {
            Step::Done => {}
            Step::Compare(comparison) => {
                let at = self.now + self.delay() + self.delay();
                self.messages += 2;
                return self.at(at, Event::Tiles(party, peer, comparison));
            }
            Step::Evidence(evidence) => match Held::verify(*evidence, &self.trust) {
                Ok(held) => {
                    let _ = self.take(party, held);
                }
                Err(_) => self.wrong += 1,
            },
        }
        self.done(party, peer);
    }

    fn read_head(&mut self, note: &str) -> Option<Arc<Head>> {
        let read = || Head::read(note.as_bytes(), &self.trust).ok().map(Arc::new);
        self.heads.entry(sha256(&[note.as_bytes()])).or_insert_with(read).clone()
    }

    fn read_evidence(&mut self, party: usize, text: &str) -> Taken {
        let hash = sha256(&[text.as_bytes()]);
        if !self.evidence.contains_key(&hash) {
            match Held::read(text.as_bytes(), &self.trust) {
                Ok(held) => self.evidence.insert(hash, held),
                Err(_) => return Taken::Refused,
            };
        }
        let held = self.evidence[&hash].clone();
        self.take(party, held)
    }

    fn take(&mut self, index: usize, held: Held) -> Taken {
        let known = |tree| self.heads_of_sides.iter().any(|head| head.tree() == tree);
        self.wrong += u64::from(!held.trees().iter().all(known));
        let party = &mut self.parties[index];
        party.node.kept(&held);
        match party.holdings.offer(&held) {
            Offer::New { .. } => {
                party.holdings.hold(&held);
                party.texts.insert(held.id(), held.text().to_owned());
                if !party.holds {
                    party.holds = true;
                    self.holding += 1;
                    self.last = self.now;
                }
                Taken::New
            }
            Offer::Known | Offer::NothingNew => Taken::NotNeeded,
        }
    }
}
