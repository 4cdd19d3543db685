//! `keyglass policy check`: what a policy demands and what it survives.

use std::path::Path;

use keyglass_tlog::{
    note::PublicKey,
    policy::{
        MAX_POLICY_LEN, Member, Policy, PolicyError, Quorum,
        analysis::{
            Counting, Overlap, Strength, common_origins, counted_groups, is_operator, is_two_thirds,
            overlap_between, parties, shared_parties, uncounted_witnesses,
        },
    },
};
use serde_json::{Value, json};

use super::{
    context::read_file,
    outcome::{Failure, Outcome},
    policy_words, shown,
};
use crate::verdict::Verdict;

/// What is said of a policy.
pub struct Facts<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What it survives if every `any` group of witnesses is one operator; `None` for `quorum none`.
    pub by_operator: Option<Strength>,
    /// What it survives if every key is of another operator.
    pub by_key: Option<Strength>,
    /// The groups that the quorum counts and that do not stand for one operator.
    pub groups: Vec<usize>,
}

/// Runs the command.
///
/// # Errors
/// [`Verdict::Rejected`] for a file that is no policy, [`Verdict::Usage`] for one that cannot be read.
pub fn check(file: &Path, against: Option<&Path>) -> Result<Outcome, Failure> {
    let policy = read(file)?;
    let other = against.map(|path| Ok::<_, Failure>((path, read(path)?))).transpose()?;
    let facts = Facts::new(&policy);
    let warnings = policy_words::warnings(&facts);
    let mut outcome = Outcome::new(Verdict::Verified);
    outcome.line(format!("{}: a valid policy", file.display()));
    policy_words::describe(&facts, &mut outcome);
    fields(&facts, &mut outcome);
    if let Some((path, other)) = &other {
        let against = Against::new(&policy, other);
        policy_words::describe_against(path, &against, &mut outcome);
        outcome.field("against", against.fields());
    }
    if !warnings.is_empty() {
        outcome.line("");
        outcome.line("Warnings");
    }
    for warning in &warnings {
        outcome.line(format!("  - {}", warning.text));
    }
    let warnings = warnings.iter().map(|warning| json!({ "code": warning.code, "text": warning.text }));
    outcome.field("warnings", warnings.collect::<Vec<_>>());
    Ok(outcome)
}

/// Reads a policy.
///
/// # Errors
/// As [`check`].
pub fn read(path: &Path) -> Result<Policy, Failure> {
    let bytes = read_file(path, u64::try_from(MAX_POLICY_LEN).unwrap_or(u64::MAX).saturating_add(1))?;
    Policy::parse(&bytes).map_err(|error| rejected(path, &error))
}

fn rejected(path: &Path, error: &PolicyError) -> Failure {
    Failure::new(Verdict::Rejected, error.kind.name(), format!("{}: {error}", path.display()))
        .with("line", error.line)
}

impl<'a> Facts<'a> {
    fn new(policy: &'a Policy) -> Self {
        let groups = counted_groups(policy).into_iter().filter(|&group| !is_operator(policy, group));
        Self {
            policy,
            by_operator: Strength::of(policy, Counting::Operators),
            by_key: Strength::of(policy, Counting::Keys),
            groups: groups.collect(),
        }
    }

    /// Whether all keys that matter, of logs and of counted witnesses, are Ed25519 keys.
    #[must_use]
    pub fn has_only_ed25519(&self) -> bool {
        let uncounted = uncounted_witnesses(self.policy);
        let witnesses = self.policy.witnesses().iter().enumerate();
        let witnesses = witnesses.filter(|(index, _)| uncounted.binary_search(index).is_err());
        let mut keys = self
            .policy
            .logs()
            .iter()
            .map(|log| log.vkey())
            .chain(witnesses.map(|(_, witness)| witness.vkey()));
        keys.all(|vkey| !matches!(vkey.key(), PublicKey::MlDsa44Cosigner(_)))
    }
}

fn fields(facts: &Facts<'_>, outcome: &mut Outcome) {
    let policy = facts.policy;
    let uncounted = uncounted_witnesses(policy);
    let url = |url: Option<&[u8]>| url.map(shown::octets);
    let logs = policy
        .logs()
        .iter()
        .map(|log| json!({ "origin": log.origin(), "key": log.vkey().to_string(), "url": url(log.url()) }));
    let witnesses = policy.witnesses().iter().enumerate().map(|(index, witness)| {
        json!({
            "name": shown::name(witness.name()),
            "key": witness.vkey().to_string(),
            "url": url(witness.url()),
            "counts": uncounted.binary_search(&index).is_err(),
        })
    });
    let counted = counted_groups(policy);
    let groups = policy.groups().iter().enumerate().map(|(index, group)| {
        let (k, n) = (group.threshold(), group.members().len());
        json!({
            "name": shown::name(group.name()),
            "threshold": k,
            "members": group.members().iter().map(|member| member_name(policy, *member)).collect::<Vec<_>>(),
            "counts": counted.binary_search(&index).is_ok(),
            "operator": is_operator(policy, index),
            "two_thirds": is_two_thirds(k, n),
        })
    });
    outcome.field("logs", logs.collect::<Vec<_>>());
    outcome.field("witnesses", witnesses.collect::<Vec<_>>());
    outcome.field("groups", groups.collect::<Vec<_>>());
    let quorum = match policy.quorum() {
        Quorum::None => "none".to_owned(),
        Quorum::Of(member) => member_name(policy, member),
    };
    outcome.field("quorum", quorum);
    outcome.field("by_operator", facts.by_operator.as_ref().map(strength));
    outcome.field("by_key", facts.by_key.as_ref().map(strength));
}

fn strength(strength: &Strength) -> Value {
    json!({
        "parties": strength.parties,
        "smallest_quorum": strength.smallest_quorum,
        "split": strength.split,
        "stall": strength.stall,
        "two_thirds": strength.resists_a_third(),
    })
}

/// The name of a witness or group.
#[must_use]
pub fn member_name(policy: &Policy, member: Member) -> String {
    let name = match member {
        Member::Witness(index) => policy.witnesses().get(index).map(|witness| witness.name()),
        Member::Group(index) => policy.groups().get(index).map(|group| group.name()),
    };
    name.map(shown::name).unwrap_or_default()
}

/// What two policies have in common.
pub struct Against {
    /// The origins that both accept.
    pub origins: Vec<String>,
    /// Whether one of them names no log, and so leaves open which logs it is used for.
    pub logs_open: bool,
    /// The operators that both count.
    pub shared: usize,
    /// How many operators must collude to show their users different views.
    pub overlap: Overlap,
    /// The operators that each counts.
    pub parties: (usize, usize),
}

impl Against {
    fn new(policy: &Policy, other: &Policy) -> Self {
        let counting = Counting::Operators;
        Self {
            origins: common_origins(policy, other).into_iter().map(str::to_owned).collect(),
            logs_open: policy.logs().is_empty() || other.logs().is_empty(),
            shared: shared_parties(policy, other, counting),
            overlap: overlap_between(policy, other, counting),
            parties: (parties(policy, counting).len(), parties(other, counting).len()),
        }
    }

    fn fields(&self) -> Value {
        json!({
            "common_logs": self.origins,
            "common_operators": self.shared,
            "split": self.overlap.figure(),
            "split_is_exact": matches!(self.overlap, Overlap::Exactly(_)),
        })
    }
}
