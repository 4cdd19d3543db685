use keyglass_tlog::relate::relate;
use proptest::prelude::*;

use super::*;
use crate::testkit::{Branch, HONEST, ORIGIN, trust};

const P: PeerId = PeerId(0);
const Q: PeerId = PeerId(1);
const FORK: Branch = Branch { fork_at: 3, branch: 1 };

fn head(branch: Branch, size: u64) -> Arc<Head> {
    Arc::new(branch.head(size))
}

/// Runs a step to its end with the tiles of one branch; what convicts is verified.
fn run(node: &mut Node, step: Step, tiles: Branch) -> Option<Held> {
    let step = match step {
        Step::Compare(comparison) => {
            let related =
                relate(comparison.anchor.note(), comparison.head.note(), |id| Ok::<_, ()>(tiles.node(id)));
            node.related(&comparison, related.ok())
        }
        step => step,
    };
    match step {
        Step::Done => None,
        Step::Compare(_) => panic!("a comparison after a comparison"),
        Step::Evidence(evidence) => {
            let held = Held::verify(*evidence, &trust(0)).expect("what a node finds convicts");
            node.kept(&held);
            Some(held)
        }
    }
}

fn node_with_own(size: u64) -> Node {
    let mut node = Node::default();
    assert_eq!(node.learn_own(&head(HONEST, size)), Step::Done);
    node
}

#[test]
fn heads_of_one_history_agree() {
    let mut node = node_with_own(5);
    for size in [5, 3, 0, 9, 7, 9, 12] {
        let step = node.learn(P, &head(HONEST, size));
        assert_eq!(run(&mut node, step, HONEST), None, "{size}");
    }
    assert_eq!((node.open(), node.view(P, ORIGIN).unwrap().size), (0, 12));
    // What was compared once is not compared again.
    assert_eq!(node.learn(Q, &head(HONEST, 7)), Step::Done);
    assert_eq!(node.learn_own(&head(HONEST, 9)), Step::Done);
}

#[test]
fn a_fork_of_any_size_is_found() {
    for (own, theirs, tiles) in [(8, 8, HONEST), (8, 6, HONEST), (6, 8, FORK), (8, 10, FORK)] {
        let mut node = node_with_own(own);
        let step = node.learn(P, &head(FORK, theirs));
        let held = run(&mut node, step, tiles).unwrap();
        assert_eq!(held.trees().len(), 2);
        // Shown again, it costs nothing.
        assert_eq!(node.learn(Q, &head(FORK, theirs)), Step::Done);
    }
}

#[test]
fn a_fork_between_peers_beyond_ones_own_head_is_found() {
    let mut node = node_with_own(2);
    let step = node.learn(P, &head(HONEST, 8));
    assert_eq!(run(&mut node, step, HONEST), None);
    let step = node.learn(Q, &head(FORK, 8));
    assert!(run(&mut node, step, HONEST).is_some());
}

#[test]
fn without_a_head_of_ones_own_peers_are_compared_with_each_other() {
    let mut node = Node::default();
    assert_eq!(node.learn(P, &head(HONEST, 8)), Step::Done);
    let step = node.learn(Q, &head(FORK, 8));
    assert!(run(&mut node, step, HONEST).is_some());
}

#[test]
fn what_the_log_does_not_explain_stays_open_until_the_heads_meet() {
    let mut node = node_with_own(8);
    // The log serves the tiles of one side only.
    let step = node.learn(P, &head(FORK, 10));
    assert_eq!(run(&mut node, step, HONEST), None);
    assert_eq!(node.open(), 1);
    let step = node.retry(ORIGIN);
    assert_eq!(run(&mut node, step, HONEST), None);
    // One's own history goes beyond it.
    assert_eq!(node.learn_own(&head(HONEST, 12)), Step::Done);
    let step = node.retry(ORIGIN);
    assert!(run(&mut node, step, HONEST).is_some());
    assert_eq!((node.open(), node.retry(ORIGIN)), (0, Step::Done));
}

#[test]
fn what_the_log_never_explains_is_asked_for_ever_more_rarely() {
    let mut node = node_with_own(8);
    let step = node.learn(P, &head(FORK, 10));
    assert_eq!(run(&mut node, step, HONEST), None);
    let mut asked = 0;
    for _ in 0..100 {
        // Shown again and again, too.
        assert_eq!(node.learn(P, &head(FORK, 10)), Step::Done);
        let step = node.retry(ORIGIN);
        asked += u32::from(step != Step::Done);
        assert_eq!(run(&mut node, step, HONEST), None);
    }
    assert!((5..10).contains(&asked), "{asked}");
    // A larger head of one's own is a reason to look at once.
    assert_eq!(node.learn_own(&head(HONEST, 9)), Step::Done);
    assert!(matches!(node.retry(ORIGIN), Step::Compare(_)));
}

#[test]
fn what_is_open_convicts_without_tiles_at_the_same_size() {
    let mut node = node_with_own(8);
    let step = node.learn(P, &head(FORK, 10));
    assert_eq!(run(&mut node, step, HONEST), None);
    assert_eq!(node.learn_own(&head(HONEST, 10)), Step::Done);
    assert!(matches!(node.retry(ORIGIN), Step::Evidence(_)));
}

#[test]
fn nobody_displaces_ones_own_head() {
    let mut node = Node::default();
    assert_eq!(node.learn(P, &head(FORK, 1000)), Step::Done);
    let step = node.learn_own(&head(HONEST, 8));
    assert!(matches!(step, Step::Compare(_)));
    assert_eq!(run(&mut node, step, HONEST), None);
    // From here on, others are compared with one's own.
    assert_eq!((node.learn(Q, &head(HONEST, 8)), node.open()), (Step::Done, 1));
    let step = node.learn(Q, &head(FORK, 8));
    assert!(run(&mut node, step, HONEST).is_some());
}

#[test]
fn the_empty_tree_has_one_root() {
    let empty = Arc::new(HONEST.head(0));
    let mut node = Node::default();
    assert_eq!((node.learn(P, &empty), node.learn_own(&head(HONEST, 3))), (Step::Done, Step::Done));
    assert_eq!(node.learn(Q, &empty), Step::Done);
    let impossible = keyglass_tlog::checkpoint::Checkpoint::new(ORIGIN, 0, [1; 32]).unwrap();
    let note = crate::testkit::note(&impossible, &[]);
    let impossible = Arc::new(Head::verify(&note, &trust(0)).unwrap());
    for mut node in [Node::default(), node] {
        let step = node.learn(Q, &impossible);
        assert_eq!(run(&mut node, step, HONEST).unwrap().kind(), "empty-tree");
    }
}

#[test]
fn what_peers_make_one_keep_is_bounded() {
    let mut node = node_with_own(8);
    for i in 0..100u8 {
        let step = node
            .learn(PeerId(u32::from(i % 20)), &head(Branch { fork_at: 3, branch: i + 2 }, 9 + u64::from(i)));
        assert_eq!(run(&mut node, step, HONEST), None);
    }
    assert_eq!(node.open(), MAX_OPEN);
    node.forget(P);
    assert!(node.open() < MAX_OPEN && node.view(P, ORIGIN).is_none());
    node.retain_logs(&Trust::default());
    assert_eq!(node.open(), 0);
}

#[test]
fn nobodys_second_head_keeps_anothers_first_out() {
    let mut node = node_with_own(8);
    let show = |node: &mut Node, peer: u32, branch: u8| {
        let step = node.learn(PeerId(peer), &head(Branch { fork_at: 3, branch }, 9 + u64::from(branch)));
        assert_eq!(run(node, step, HONEST), None);
    };
    for i in 0..16u8 {
        show(&mut node, u32::from(i / 2), i + 2);
    }
    assert_eq!(node.open(), MAX_OPEN);
    show(&mut node, 100, 50);
    let shown = Branch { fork_at: 3, branch: 50 }.head(59);
    assert!(node.open() == MAX_OPEN && node.is_open(ORIGIN, shown.tree()));
}

#[test]
fn who_lists_what_is_no_evidence_is_asked_for_less() {
    let (mut node, trust, holdings) = (Node::default(), trust(0), Holdings::default());
    let hash = keyglass_crypto::hash::sha256(&[ORIGIN.as_bytes()]);
    let listed: Vec<Listed> = (0..100u8).map(|i| (EvidenceId([i; 32]), hash)).collect();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let ids = node.to_fetch(P, &listed, false, &trust, &holdings);
        counts.push(ids.len());
        node.fetched(P, ids[0], Taken::Refused);
    }
    assert_eq!(counts, [8, 4, 2, 1]);
    assert_eq!(node.to_fetch(P, &listed, true, &trust, &holdings).len(), 1);
    assert_eq!(node.list_after(P), Some(EvidenceId([99; 32])));
    // Others are not punished for it, and logs that nobody knows are not fetched for.
    assert_eq!(node.to_fetch(Q, &listed, false, &trust, &holdings).len(), MAX_FETCHED);
    let unknown: Vec<Listed> = listed.iter().map(|(id, _)| (*id, [0; 32])).collect();
    assert!(node.to_fetch(Q, &unknown, false, &trust, &holdings).is_empty());
}

#[test]
fn all_logs_have_their_turn() {
    let mut node = Node::default();
    let trust = trust(0);
    assert_eq!(node.logs_to_ask(P, &trust, 1), [ORIGIN]);
    assert_eq!(node.logs_to_ask(P, &trust, 5), [ORIGIN]);
    assert!(node.logs_to_ask(P, &Trust::default(), 5).is_empty());
}

proptest! {
    /// The model: whatever is shown in whatever order, evidence comes up only if two heads that were shown contradict each
    /// other; and if two of one size do, it does.
    #[test]
    fn evidence_comes_up_where_histories_differ(
        shown in proptest::collection::vec((0u32..3, any::<bool>(), 1u64..14), 1..12),
        own in 1u64..8,
        fork_at in 0u64..10,
    ) {
        let fork = Branch { fork_at, branch: 1 };
        let mut node = node_with_own(own);
        let (mut found, mut heads) = (false, vec![(false, own)]);
        for (peer, forked, size) in shown {
            let branch = if forked { fork } else { HONEST };
            heads.push((forked, size));
            let step = node.learn(PeerId(peer), &head(branch, size));
            // Tiles of the larger head, as of a log that hides nothing.
            let tiles = match &step {
                Step::Compare(comparison) if comparison.sizes().1 != size => HONEST,
                _ => branch,
            };
            found |= run(&mut node, step, tiles).is_some();
        }
        let differ = |x: &(bool, u64), y: &(bool, u64)| x.0 != y.0 && x.1.min(y.1) > fork_at;
        let contradict = heads.iter().any(|x| heads.iter().any(|y| differ(x, y)));
        prop_assert!(contradict || !found);
        let own_contradicted = heads.iter().any(|y| y.1 == own && differ(&(false, own), y));
        let anchor_moved = heads.iter().any(|head| head.1 > own);
        prop_assert!(found || !own_contradicted || anchor_moved);
    }
}
