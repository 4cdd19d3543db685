//! The report of a round: facts in, verdict out. Pure.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_tlog::{policy::Name, time::UnixMillis};
use serde::Serialize;

use crate::{
    finding::Finding,
    head::SignedHead,
    records::{
        Known,
        evidence::{Conviction, EvidenceDir},
        store::Position,
    },
    trust::Trust,
    verdict::Verdict,
};

/// What a round found out. Its JSON form is one object; names and meanings of its members are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The gravest of the findings' verdicts.
    pub verdict: Verdict,
    /// What that means, in words.
    pub meaning: &'static str,
    /// The log.
    pub origin: String,
    /// When the round ended, in milliseconds since the Unix epoch.
    pub checked_at_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The entries that were replayed and verified, ever.
    pub tree_size: u64,
    /// The root over them, in base64.
    pub root: String,
    /// The age of the newest of them, in milliseconds; absent if there is none.
    pub head_age_ms: Option<u64>,
    /// Its timestamp, in milliseconds since the Unix epoch; absent if there is none.
    pub newest_entry_ms: Option<u64>,
    /// The entries that this round replayed.
    pub entries_replayed: u64,
    /// The head that the log showed; absent if it showed none that it signed.
    pub shown: Option<ShownReport>,
    /// Every witness of the policy, in its order.
    pub witnesses: Vec<WitnessReport>,
    /// The other places at which the log's heads were looked up: its other URLs, and other auditors.
    pub vantage_points: Vec<VantageReport>,
    /// The replay of what the entries changed in the prefix tree.
    pub audit: AuditReport,
    /// What is not as it should be, gravest first.
    pub findings: Vec<FindingReport>,
    /// Where all evidence is, also of earlier rounds: the paths under which this auditor serves it, or those of files
    /// ([`Report::with_files`]).
    pub evidence: Vec<String>,
    /// What that evidence proves, in the same order.
    pub convictions: Vec<ConvictionReport>,
}

/// The replay of what the entries changed in the prefix tree, and the head that this auditor signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The entries whose updates were verified, ever; those before the start count as verified.
    pub tree_size: u64,
    /// The updates that this round verified.
    pub updates_replayed: u64,
    /// Whether this auditor is the one that the log's configuration names, and so signs heads.
    pub signs: bool,
    /// The head that it signed last.
    pub head: Option<SignedReport>,
    /// The head that it cosigned last, as one who replayed everything up to it.
    pub cosigned: Option<SignedReport>,
    /// Why no newer head was signed.
    pub not_signed: Option<String>,
    /// The files of all updates that were refused, also in earlier rounds: their names, or paths ([`Report::with_files`]).
    pub refused: Vec<String>,
}

/// A head that this auditor signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SignedReport {
    /// Its number of entries.
    pub tree_size: u64,
    /// Its timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
}

impl AuditReport {
    /// The report of a replay that stands there, before anything was signed.
    #[must_use]
    pub fn new(position: &Position, updates_replayed: u64, refused: Vec<String>) -> Self {
        let tree_size = position.size;
        Self {
            tree_size,
            updates_replayed,
            signs: false,
            head: None,
            cosigned: None,
            not_signed: None,
            refused,
        }
    }
}

/// A head that the log showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownReport {
    /// Its number of entries.
    pub tree_size: u64,
    /// Its root, in base64.
    pub root: String,
    /// Whether the policy's quorum cosigned it; never under `quorum none`.
    pub witnessed: bool,
    /// The witnesses that cosigned it, by their names in the policy.
    pub cosigners: Vec<String>,
}

/// What a witness shows beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WitnessState {
    /// Its head is one of the log's.
    Agrees,
    /// Its head is larger than what the log shows: to be compared when the log gets there.
    Ahead,
    /// Its head is not the log's, and there is no evidence yet.
    Disputed,
    /// Its head is not the log's, and there is evidence.
    Contradicts,
    /// It has never cosigned a head of the log.
    Never,
    /// It gave no answer.
    Unreachable,
    /// Its answer is no head of the log with its cosignature.
    Invalid,
    /// The policy does not say where it is.
    NoUrl,
}

/// What a witness shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WitnessReport {
    /// Its name in the policy.
    pub name: String,
    /// How that stands to the log.
    pub state: WitnessState,
    /// The size of its head.
    pub tree_size: Option<u64>,
    /// The root of its head, in base64.
    pub root: Option<String>,
    /// When it cosigned that head, in seconds since the Unix epoch, by its own clock.
    pub cosigned_at: Option<u64>,
    /// Where it was asked; absent if nobody said where.
    pub url: Option<String>,
    /// How long its answer took, in milliseconds; absent if there was none.
    pub latency_ms: Option<u64>,
    /// Why there is no head.
    pub detail: Option<String>,
}

/// What another place shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VantageReport {
    /// Whether it is the log itself, at another URL; otherwise it is another auditor.
    pub is_log: bool,
    /// What it shows, told as a witness is; its name is the URL, or the auditor's name in the configuration.
    #[serde(flatten)]
    pub witness: WitnessReport,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// Its stable name.
    pub kind: &'static str,
    /// What it means for the verdict.
    pub verdict: Verdict,
    /// The finding in words.
    pub detail: String,
}

/// What a file of evidence proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConvictionReport {
    /// Where the file is: the path under which this auditor serves it, or its own ([`Report::with_files`]).
    pub path: String,
    /// The file's name, as under `/v1/evidence/`.
    pub file: String,
    /// The kind of evidence.
    pub kind: &'static str,
    /// The sizes of both checkpoints.
    pub sizes: (u64, u64),
    /// The witnesses of the policy that cosigned both and are faulty themselves.
    pub faulty_witnesses: Vec<String>,
}

impl ConvictionReport {
    /// What all evidence proves; first what names most witnesses.
    #[must_use]
    pub fn of(evidence: &EvidenceDir) -> Vec<Self> {
        let mut all: Vec<Self> = evidence.convictions().map(Self::new).collect();
        all.sort_by_key(|conviction| core::cmp::Reverse(conviction.faulty_witnesses.len()));
        all
    }

    /// The report of a conviction.
    #[must_use]
    pub fn new(conviction: &Conviction) -> Self {
        Self {
            path: evidence_path(&conviction.file),
            file: conviction.file.clone(),
            kind: conviction.kind,
            sizes: conviction.sizes,
            faulty_witnesses: names(&conviction.faulty_witnesses),
        }
    }
}

/// What a round gathered.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The log and its bounds.
    pub trust: &'a Trust,
    /// Now.
    pub now: UnixMillis,
    /// When the log showed what it showed: replaying that may have taken longer than a head stays fresh.
    pub seen: UnixMillis,
    /// How long the round took, in milliseconds.
    pub took_ms: u64,
    /// What was replayed.
    pub position: Position,
    /// Whether that is all that the log shows, so that its age is that of the log.
    pub current: bool,
    /// How much of it in this round.
    pub entries_replayed: u64,
    /// What the log showed.
    pub shown: Option<ShownReport>,
    /// What was found about it.
    pub findings: Vec<Finding>,
    /// What the witnesses showed.
    pub witnesses: Vec<WitnessReport>,
    /// What other places showed.
    pub vantage_points: Vec<VantageReport>,
    /// Heads that do not agree, without evidence.
    pub disputed: Vec<Known>,
    /// Heads that cannot be compared yet.
    pub open: Vec<Known>,
    /// All evidence.
    pub convictions: Vec<ConvictionReport>,
    /// The replay of updates.
    pub audit: AuditReport,
}

/// Concludes.
#[must_use]
pub fn conclude(facts: Facts<'_>) -> Report {
    let Facts { trust, now, seen, position, current, mut findings, .. } = facts;
    let age = position.last.map(|last| now.saturating_since(last));
    let freshness = if current { freshness(trust, seen, position.last) } else { None };
    let stale = freshness.as_ref().is_some_and(|finding| finding.verdict() == Verdict::Stale);
    findings.extend(freshness);
    if witnesses_are_silent(&facts.witnesses) {
        findings.push(Finding::WitnessesUnreachable);
    }
    findings.extend(
        facts
            .disputed
            .iter()
            .map(|known| Finding::Disputed { source_of: known.source.clone(), size: known.head.size() }),
    );
    // A log that does not move reaches nothing, and is stale already.
    if current && !stale {
        findings.extend(facts.open.iter().filter_map(|known| overdue(trust, seen, known)));
    }
    findings.extend(
        facts.convictions.iter().map(|conviction| Finding::Misbehaving { file: conviction.file.clone() }),
    );
    findings.sort_by_key(|finding| core::cmp::Reverse(finding.verdict()));
    let verdict = findings.first().map_or(Verdict::Ok, Finding::verdict);
    Report {
        verdict,
        meaning: verdict.meaning(),
        origin: trust.origin().to_owned(),
        checked_at_ms: now.0,
        took_ms: facts.took_ms,
        tree_size: position.size,
        root: STANDARD.encode(position.root),
        head_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        newest_entry_ms: position.last.map(|last| last.0),
        entries_replayed: facts.entries_replayed,
        shown: facts.shown,
        witnesses: facts.witnesses,
        vantage_points: facts.vantage_points,
        audit: facts.audit,
        findings: findings.iter().map(finding_report).collect(),
        evidence: facts.convictions.iter().map(|conviction| conviction.path.clone()).collect(),
        convictions: facts.convictions,
    }
}

fn finding_report(finding: &Finding) -> FindingReport {
    FindingReport { kind: finding.kind(), verdict: finding.verdict(), detail: finding.to_string() }
}

/// Whether the newest entry was as new as the configuration wants it.
fn freshness(trust: &Trust, seen: UnixMillis, last: Option<UnixMillis>) -> Option<Finding> {
    let Some(last) = last else {
        return Some(Finding::Empty);
    };
    let (behind, ahead) = (seen.saturating_since(last), last.saturating_since(seen));
    let ms = |duration: core::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if behind > trust.max_behind() {
        return Some(Finding::Stale { age_ms: ms(behind), max_behind_ms: ms(trust.max_behind()) });
    }
    (ahead > trust.max_ahead())
        .then(|| Finding::AheadOfClock { ahead_ms: ms(ahead), max_ahead_ms: ms(trust.max_ahead()) })
}

/// Whether nobody with a URL said anything, not even that there is nothing to say.
fn witnesses_are_silent(witnesses: &[WitnessReport]) -> bool {
    let mut asked = witnesses.iter().filter(|witness| witness.state != WitnessState::NoUrl).peekable();
    asked.peek().is_some()
        && asked.all(|witness| matches!(witness.state, WitnessState::Unreachable | WitnessState::Invalid))
}

/// Whether the log should have reached a head by then: had the head been its own, its newest entry would be as old.
fn overdue(trust: &Trust, seen: UnixMillis, known: &Known) -> Option<Finding> {
    let waited = seen.saturating_since(known.first_seen);
    (waited > trust.max_behind()).then(|| Finding::Overdue {
        source_of: known.source.clone(),
        size: known.head.size(),
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
    })
}

impl Report {
    /// The report with the paths of files in place of those that others may know, for whoever has the directories at hand.
    #[must_use]
    pub fn with_files(mut self, evidence: &Path, refused: &Path) -> Self {
        let located = |directory: &Path, name: &str| directory.join(name).display().to_string();
        for conviction in &mut self.convictions {
            conviction.path = located(evidence, &conviction.file);
        }
        self.evidence = self.convictions.iter().map(|conviction| conviction.path.clone()).collect();
        for file in &mut self.audit.refused {
            *file = located(refused, file);
        }
        self
    }
}

/// Where this auditor serves a file of evidence, below its URL.
#[must_use]
pub fn evidence_path(file: &str) -> String {
    format!("/v1/evidence/{file}")
}

/// Names as text.
#[must_use]
pub fn names(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}

/// A root as text.
#[must_use]
pub fn root_text(head: &SignedHead) -> String {
    STANDARD.encode(head.root())
}
