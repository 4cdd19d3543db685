//! A policy in words.

use std::{collections::BTreeMap, path::Path};

use keyglass_tlog::policy::{
    Member, Policy, Quorum,
    analysis::{
        Counting, Overlap, Party, Strength, is_operator, is_two_thirds, parties, uncounted_witnesses,
    },
};

use super::{
    outcome::Outcome,
    policy::{Against, Facts, member_name},
    shown::{self, counted},
};

/// Beyond this depth the lines of a quorum are no further indented.
const DEEPEST_INDENT: usize = 20;

/// How many names a sentence lists at most.
const LONGEST_LIST: usize = 8;

/// Something to think about before a policy is used.
pub struct Warning {
    /// A stable name.
    pub code: &'static str,
    /// A sentence.
    pub text: String,
}

/// Says what the policy demands and what it survives.
pub fn describe(facts: &Facts<'_>, outcome: &mut Outcome) {
    describe_logs(facts.policy, outcome);
    describe_witnesses(facts.policy, outcome);
    outcome.line("");
    outcome.line("Quorum");
    match facts.policy.quorum() {
        Quorum::None => {
            outcome.line("  none: the log's signature is enough, and no witness has to have seen a head");
        }
        Quorum::Of(member) => describe_quorum(facts.policy, member, outcome),
    }
    if let Some(strength) = &facts.by_operator {
        describe_strength(facts, strength, outcome);
    }
}

fn describe_logs(policy: &Policy, outcome: &mut Outcome) {
    outcome.line("");
    outcome.line("Logs");
    if policy.logs().is_empty() {
        outcome.line("  none named: whoever uses the policy must know the log's key from elsewhere");
    }
    let mut by_origin: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for log in policy.logs() {
        by_origin.entry(log.origin()).or_default().push(log);
    }
    for (origin, logs) in by_origin {
        outcome.line(format!(
            "  {}: {}",
            shown::octets(origin.as_bytes()),
            counted(logs.len(), "key", "keys, each of which is enough")
        ));
        for log in logs {
            let url = log.url().map(|url| format!(", at {}", shown::octets(url))).unwrap_or_default();
            outcome.line(format!("    {} {}{url}", log.vkey().id(), shown::key_type(log.vkey().key())));
        }
    }
}

fn describe_witnesses(policy: &Policy, outcome: &mut Outcome) {
    outcome.line("");
    outcome.line("Witnesses");
    if policy.witnesses().is_empty() {
        outcome.line("  none");
    }
    for witness in policy.witnesses() {
        let url = witness.url().map(|url| format!(", at {}", shown::octets(url))).unwrap_or_default();
        outcome.line(format!(
            "  {}: {} {}{url}",
            shown::name(witness.name()),
            shown::key(witness.vkey()),
            shown::key_type(witness.vkey().key())
        ));
    }
}

/// The tree of the quorum, a line for each witness and group. It may be deeper than a call stack.
fn describe_quorum(policy: &Policy, quorum: Member, outcome: &mut Outcome) {
    let mut to_say = vec![(quorum, 1usize)];
    while let Some((member, depth)) = to_say.pop() {
        let indent = "  ".repeat(depth.min(DEEPEST_INDENT));
        let name = member_name(policy, member);
        let Member::Group(index) = member else {
            outcome.line(format!("{indent}{name}"));
            continue;
        };
        let Some(group) = policy.groups().get(index) else {
            continue;
        };
        let (k, n) = (group.threshold(), group.members().len());
        let sentence = match (is_operator(policy, index), k) {
            (true, _) if n == 1 => format!("{name}: this key"),
            (true, _) => format!("{name}, read as one operator: any of these {n} keys"),
            (false, _) if n == 1 => format!("{name}: this one"),
            (false, k) if k == n => format!("{name}: all {n} of these"),
            (false, 1) => format!("{name}: any of these {n}"),
            (false, k) => format!("{name}: at least {k} of these {n}"),
        };
        outcome.line(format!("{indent}{sentence}"));
        to_say.extend(group.members().iter().rev().map(|member| (*member, depth.saturating_add(1))));
    }
}

fn describe_strength(facts: &Facts<'_>, strength: &Strength, outcome: &mut Outcome) {
    let &Strength { parties, smallest_quorum, split, stall } = strength;
    outcome.line("");
    outcome.line(format!("What it survives, of {}", counted(parties, "operator", "operators")));
    outcome
        .line(format!("  quorum   the smallest has {}", counted(smallest_quorum, "operator", "operators")));
    let split_line = match split {
        0 => "no operator need collude: a log can have two views witnessed by different honest witnesses"
            .to_owned(),
        1 => "1 operator must collude with a log that shows people different views".to_owned(),
        many => format!("{many} operators must collude with a log that shows people different views"),
    };
    outcome.line(format!("  split    {split_line}"));
    let stall_line = match stall {
        1 => "1 operator stops everything by failing or refusing".to_owned(),
        many => format!("{many} operators must fail or refuse before nothing is accepted any more"),
    };
    outcome.line(format!("  stall    {stall_line}"));
    let holds = strength.resists_a_third();
    outcome.line(format!(
        "  thirds   {}: {} a third of the operators must collude for a split view{}",
        if holds { "yes" } else { "no" },
        if holds { "more than" } else { "not more than" },
        if facts.groups.len() == 1 { "" } else { ", over the whole quorum" }
    ));
    for &index in &facts.groups {
        let Some(group) = facts.policy.groups().get(index) else {
            continue;
        };
        let (k, n) = (group.threshold(), group.members().len());
        let least = n.saturating_mul(2).div_euclid(3).saturating_add(1);
        let (name, holds) = (shown::name(group.name()), is_two_thirds(k, n));
        let does = if holds { "holds" } else { "does not hold" };
        outcome.line(format!(
            "           k >= 1 + floor(2n/3) {does} in {name}: {k} of {n}, the least is {least}"
        ));
    }
}

/// Says how two policies go together.
pub fn describe_against(path: &Path, against: &Against, outcome: &mut Outcome) {
    outcome.line("");
    outcome.line(format!("Against {}", path.display()));
    let logs = match (against.logs_open, against.origins.as_slice()) {
        (true, _) => "one of them names no log, so that any may be meant".to_owned(),
        (false, []) => "they accept no common log, so that what follows cannot happen".to_owned(),
        (false, origins) => format!(
            "both accept {}",
            list(origins.iter().map(|origin| shown::octets(origin.as_bytes())).collect())
        ),
    };
    outcome.line(format!("  logs      {logs}"));
    outcome.line(format!(
        "  shared    {}, told by their keys; {} count here and {} there",
        counted(against.shared, "operator", "operators"),
        against.parties.0,
        against.parties.1
    ));
    let users = "shows the users of the one and of the other different views";
    let split = match against.overlap {
        Overlap::Exactly(0) => format!("no operator need collude with a log that {users}"),
        Overlap::Exactly(1) => format!("1 operator must collude with a log that {users}"),
        Overlap::Exactly(many) => format!("{many} operators must collude with a log that {users}"),
        Overlap::AtMost(most) => format!(
            "with the collusion of {} a log {users}; fewer may do, as the policies are too different to try all pairs of \
             quorums",
            counted(most, "operator", "operators")
        ),
    };
    outcome.line(format!("  split     {split}"));
}

/// What a person should think about.
#[must_use]
pub fn warnings(facts: &Facts<'_>) -> Vec<Warning> {
    let mut warnings = Warnings(Vec::new());
    match &facts.by_operator {
        None => warnings.add(
            "quorum_none",
            "no witness is asked for: whoever holds the log's key can show everybody something else, unseen",
        ),
        Some(strength) => warn_of_strength(facts, strength, &mut warnings),
    }
    let policy = facts.policy;
    let names = |indices: &[usize]| {
        let names = indices.iter().map(|&index| member_name(policy, Member::Witness(index)));
        list(names.collect())
    };
    let uncounted = uncounted_witnesses(policy);
    if !uncounted.is_empty() && facts.by_operator.is_some() {
        let text =
            format!("not in the quorum, so that their cosignatures never count: {}", names(&uncounted));
        warnings.add("not_in_quorum", &text);
    }
    for (name, lines) in one_name_counted_twice(policy) {
        let text = format!(
            "{} have the key name {} and count as different operators; keys of one operator belong into an `any` group",
            names(&lines),
            shown::octets(name.as_bytes())
        );
        warnings.add("one_name_counted_twice", &text);
    }
    if facts.has_only_ed25519() && (!policy.logs().is_empty() || facts.by_operator.is_some()) {
        warnings.add(
            "only_ed25519",
            "all keys are Ed25519 keys, whose signatures a large quantum computer could forge; ML-DSA-44 keys of the same \
             operators, in `any` groups, prepare for that",
        );
    }
    if policy.logs().is_empty() {
        warnings.add(
            "no_logs",
            "no log is named: `keyglass proof verify` accepts nothing under this policy, and a log's witnesses cosign \
             nothing",
        );
    }
    warn_of_urls(policy, &names, &mut warnings);
    warnings.0
}

struct Warnings(Vec<Warning>);

impl Warnings {
    fn add(&mut self, code: &'static str, text: &str) {
        self.0.push(Warning { code, text: text.to_owned() });
    }
}

fn warn_of_strength(facts: &Facts<'_>, strength: &Strength, warnings: &mut Warnings) {
    match strength.split {
        0 => warnings.add(
            "split_needs_nobody",
            "two quorums exist that have no operator in common: the log alone can show people different views",
        ),
        1 => warnings.add(
            "split_needs_one",
            "a single operator that colludes with the log is enough to show people different views",
        ),
        _ => {}
    }
    if strength.stall == 1 {
        warnings.add("stall_by_one", "a single operator that fails stops everything");
    }
    if strength.split > 0 && !strength.resists_a_third() {
        warnings.add(
            "below_two_thirds",
            "a third of the operators or fewer are enough to show people different views, together with the log",
        );
    }
    if let Some(by_key) = facts.by_key.filter(|by_key| by_key.split < strength.split) {
        let operators = parties(facts.policy, Counting::Operators);
        let groups =
            operators.iter().filter(|party| party.witnesses.len() > 1).filter_map(|party| party.group);
        let groups = groups.map(|group| member_name(facts.policy, Member::Group(group))).collect();
        let text = format!(
            "each of these groups is read as one operator with several keys: {}; if their keys are run by different \
             operators, {} for a split view",
            list(groups),
            match by_key.split {
                0 => "no operator need collude".to_owned(),
                1 => "1 operator need collude".to_owned(),
                many => format!("{many} operators need collude"),
            }
        );
        warnings.add("operators_by_group", &text);
    }
}

fn warn_of_urls(policy: &Policy, names: &dyn Fn(&[usize]) -> String, warnings: &mut Warnings) {
    let lines = |is_meant: &dyn Fn(Option<&[u8]>) -> bool| -> Vec<usize> {
        let witnesses = policy.witnesses().iter().enumerate();
        witnesses.filter(|(_, witness)| is_meant(witness.url())).map(|(index, _)| index).collect()
    };
    let without = lines(&|url| url.is_none());
    if !without.is_empty() {
        let text =
            format!("without a URL, so that a log cannot ask them for cosignatures: {}", names(&without));
        warnings.add("url_missing", &text);
    }
    let plain = lines(&|url| url.is_some_and(|url| url.starts_with(b"http://")));
    if !plain.is_empty() {
        let text = format!(
            "reached over plain http, so that whoever is between can keep cosignatures back: {}",
            names(&plain)
        );
        warnings.add("url_plain_http", &text);
    }
    let other =
        lines(&|url| url.is_some_and(|url| !url.starts_with(b"http://") && !url.starts_with(b"https://")));
    if !other.is_empty() {
        warnings.add("url_other", &format!("with a URL that is not an http or https one: {}", names(&other)));
    }
}

/// Key names that several of the counted operators share: most likely one operator that counts several times.
fn one_name_counted_twice(policy: &Policy) -> Vec<(String, Vec<usize>)> {
    let mut by_name: BTreeMap<&str, Vec<&Party>> = BTreeMap::new();
    let counted = parties(policy, Counting::Operators);
    for party in &counted {
        let witnesses = party.witnesses.iter().filter_map(|&witness| policy.witnesses().get(witness));
        let mut names: Vec<&str> = witnesses.map(|witness| witness.vkey().name().as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            by_name.entry(name).or_default().push(party);
        }
    }
    let several = by_name.into_iter().filter(|(_, parties)| parties.len() > 1);
    several
        .map(|(name, parties)| {
            let lines = parties.iter().flat_map(|party| party.witnesses.iter().copied()).filter(|&line| {
                policy.witnesses().get(line).is_some_and(|witness| witness.vkey().name().as_str() == name)
            });
            (name.to_owned(), lines.collect())
        })
        .collect()
}

/// Names with commas, and how many more there are.
fn list(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(LONGEST_LIST);
    names.truncate(LONGEST_LIST);
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}
