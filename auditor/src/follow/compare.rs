//! Comparing heads for which what was replayed is not enough: by tiles that the log serves under the larger one.

use keyglass_tlog::rfc6962::ProveError;

use super::{
    AuditError, Follower,
    catch_up::{anchor, lookup},
};
use crate::{
    fetch::NodesError,
    head::SignedHead,
    records::{Records, Standing},
    relate::{Relation, nodes_to_relate, relate},
    report::{self, WitnessReport, WitnessState},
};

/// The most heads of each kind that a round compares in this way.
const MAX_COMPARED: usize = 8;

impl Follower {
    /// Relates two heads by the tiles of the larger one.
    pub(super) async fn relate_by_tiles(
        &self,
        x: &SignedHead,
        y: &SignedHead,
    ) -> Result<Relation, NodesError> {
        let nodes = self.log.nodes(x.size().max(y.size()), &nodes_to_relate(x, y)).await?;
        relate(x, y, |id| lookup(&nodes, id)).map_err(|error| match error {
            ProveError::Node(error) => error,
            ProveError::OutOfRange => NodesError::NoSuchNode,
        })
    }

    /// Looks for evidence about heads that are disputed, or larger than what was replayed. The log need not help: that a
    /// head stays disputed or unreached is a finding of its own.
    pub(super) async fn compare_by_tiles(&self, shown: Option<&SignedHead>) -> Result<(), AuditError> {
        let gather = |records: &mut Records| {
            let kept = |standing| records.standing(standing).take(MAX_COMPARED).cloned().collect::<Vec<_>>();
            Ok((anchor(records), kept(Standing::Disputed), kept(Standing::Open)))
        };
        let (anchor, disputed, open) = self.records.with(gather).await?;
        // A disputed head is within what was replayed; the tree of a larger head speaks against it. A larger one may be of
        // another tree than the log shows now, also while what was replayed does not reach it.
        let largest = open.last().map(|known| known.head.clone());
        let others = |others: [Option<&SignedHead>; 2]| others.map(|other| other.cloned());
        let disputed = disputed.into_iter().map(|known| (known.head, others([shown, largest.as_ref()])));
        let open = open.into_iter().map(|known| (known.head, others([shown, anchor.as_ref()])));
        for (head, others) in disputed.chain(open) {
            for other in others.into_iter().flatten().filter(|other| other.size() != head.size()) {
                if let Ok(Relation::Contradicts(evidence)) = self.relate_by_tiles(&head, &other).await {
                    let head = head.clone();
                    self.records.with(move |records| records.convict(&evidence, &head)).await?;
                }
            }
        }
        Ok(())
    }

    /// States again how the heads of witnesses stand, after everything was compared.
    pub(super) async fn restate(
        &self,
        witnesses: impl Iterator<Item = &mut WitnessReport> + Send,
    ) -> Result<(), AuditError> {
        let standings = |records: &mut Records| {
            let all = [Standing::Agrees, Standing::Open, Standing::Disputed, Standing::Contradicts];
            let of = |standing| records.standing(standing).map(move |known| (known.head.clone(), standing));
            Ok(all.into_iter().flat_map(of).collect::<Vec<_>>())
        };
        let standings = self.records.with(standings).await?;
        for witness in witnesses {
            if !matches!(witness.state, WitnessState::Ahead | WitnessState::Disputed) {
                continue;
            }
            let same = |head: &SignedHead| {
                witness.tree_size == Some(head.size()) && witness.root == Some(report::root_text(head))
            };
            let now = standings.iter().find(|(head, _)| same(head)).map(|(_, standing)| *standing);
            witness.state = match now {
                Some(Standing::Agrees) => WitnessState::Agrees,
                Some(Standing::Disputed) => WitnessState::Disputed,
                Some(Standing::Contradicts) => WitnessState::Contradicts,
                Some(Standing::Open) | None => witness.state,
            };
        }
        Ok(())
    }
}
