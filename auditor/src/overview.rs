//! Everything that the auditor shows about itself and its logs, as plain data: followers update it ([`status`]), pages and
//! `GET /v1/status` read it. Its JSON form is stable: members are added, never renamed.

mod conditions;
mod growth;
mod history;
pub mod snapshot;
pub mod status;

use serde::Serialize;

pub use self::{
    growth::{Growth, Point},
    history::History,
};
use crate::{
    incident::Incident,
    progress::ReplayProgress,
    quorum::QuorumMargin,
    report::{FindingReport, WitnessState},
    verdict::Verdict,
};

/// All of it, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// Who watches.
    pub auditor: AuditorOverview,
    /// When this was put together, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// When the auditor was started.
    pub started_ms: u64,
    /// The logs, in the order of the configuration.
    pub logs: Vec<LogOverview>,
}

/// The auditor itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditorOverview {
    /// The name of its key.
    pub name: String,
    /// Its key, as a verifier key of C2SP signed-note.
    pub vkey: String,
    /// The version of the program.
    pub version: &'static str,
}

/// One log that is followed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogOverview {
    /// What its operator calls it.
    pub name: String,
    /// Its identity: the origin of its checkpoints.
    pub origin: String,
    /// The hash of its configuration, in hexadecimal, by which other paths name it (`?log=`).
    pub id: String,
    /// Its cipher suite, such as `0xF001`.
    pub suite: String,
    /// The URL prefixes below which it is asked; tiles come from the first.
    pub urls: Vec<String>,
    /// What the last round concluded; absent before the first one.
    pub verdict: Option<Verdict>,
    /// What that means, in a sentence.
    pub meaning: &'static str,
    /// Why this auditor could not finish a round, if it could not.
    pub failure: Option<String>,
    /// When the last round ended, in milliseconds since the Unix epoch.
    pub checked_at_ms: Option<u64>,
    /// How long it took, in milliseconds.
    pub took_ms: Option<u64>,
    /// The rounds since the start.
    pub rounds: u64,
    /// The entries that were replayed and verified.
    pub size: u64,
    /// The root over them, in base64.
    pub root: String,
    /// The timestamp of the newest of them, in milliseconds since the Unix epoch.
    pub newest_entry_ms: Option<u64>,
    /// How old that is now.
    pub age_ms: Option<u64>,
    /// The age beyond which the log's configuration calls it stale.
    pub max_age_ms: u64,
    /// How many entries were added in a minute, over what [`LogOverview::growth`] spans; absent while that is too short.
    pub entries_per_minute: Option<f64>,
    /// The last head that the log showed and signed.
    pub head: Option<HeadOverview>,
    /// How far the replays came.
    pub replay: ReplayProgress,
    /// The cosignatures on that head; absent under `quorum none` and suite 0x0002.
    pub quorum: Option<QuorumMargin>,
    /// The policy's witnesses, in its order.
    pub witnesses: Vec<WitnessOverview>,
    /// Everything else that shows the log's heads: the log at its several URLs, other auditors, peers, clients.
    pub vantage_points: Vec<VantageOverview>,
    /// The head that this auditor cosigned last.
    pub cosigned: Option<CosignedOverview>,
    /// What the last round found.
    pub findings: Vec<FindingReport>,
    /// What has been wrong for a while, gravest first.
    pub incidents: Vec<Incident>,
    /// What was wrong before and is so no more, newest first.
    pub resolved: Vec<Incident>,
    /// What convicts the log.
    pub evidence: Vec<EvidenceOverview>,
    /// Sizes over time, oldest first.
    pub growth: Vec<Point>,
}

/// A head that the log showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadOverview {
    /// Its number of entries.
    pub size: u64,
    /// Its root, in base64.
    pub root: String,
    /// When it was seen first, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Whether the policy's quorum cosigned it.
    pub witnessed: bool,
    /// The last size up to which everything was replayed and nothing contradicted it.
    pub verified_size: u64,
    /// When that was, in milliseconds since the Unix epoch.
    pub verified_at_ms: Option<u64>,
}

/// A witness of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WitnessOverview {
    /// Its name in the policy.
    pub name: String,
    /// Where it is asked; absent if nobody said where.
    pub url: Option<String>,
    /// How its head stands to the log.
    pub state: WitnessState,
    /// Whether its cosignature is on the head that the log shows.
    pub on_head: bool,
    /// The size of its head.
    pub size: Option<u64>,
    /// How many entries behind the log's head that is.
    pub behind: Option<u64>,
    /// When it cosigned that head, by its own clock, in milliseconds since the Unix epoch.
    pub cosigned_at_ms: Option<u64>,
    /// How long its last answer took, in milliseconds.
    pub latency_ms: Option<u64>,
    /// When it answered last, in milliseconds since the Unix epoch.
    pub answered_at_ms: Option<u64>,
    /// Why there is no head.
    pub detail: Option<String>,
    /// Whether evidence names it: it cosigned both sides of a contradiction.
    pub faulty: bool,
}

/// What kind of place a head came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VantageKind {
    /// The log itself, at one of its URLs.
    Log,
    /// Another auditor.
    Auditor,
    /// A peer that gossips.
    Peer,
    /// Clients that report what they were shown.
    Client,
}

/// A place from which the log's heads are seen, beside its witnesses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VantageOverview {
    /// What it is.
    pub kind: VantageKind,
    /// Its URL or name; empty for clients, who have none.
    pub name: String,
    /// How the head that it showed last stands to the log.
    pub state: WitnessState,
    /// The size of that head.
    pub size: Option<u64>,
    /// When it showed it, in milliseconds since the Unix epoch.
    pub seen_at_ms: Option<u64>,
    /// How long its last answer took, in milliseconds; absent where it is not asked.
    pub latency_ms: Option<u64>,
    /// How many heads came from there since the start.
    pub heads: u64,
    /// Why there is no head.
    pub detail: Option<String>,
}

/// A head that this auditor cosigned: every entry and every change up to it was replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CosignedOverview {
    /// Its number of entries.
    pub size: u64,
    /// The time of the cosignature, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The path below the auditor's URL under which it is served.
    pub path: String,
}

/// A file of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceOverview {
    /// The file's name.
    pub file: String,
    /// The path below the auditor's URL under which it is served.
    pub path: String,
    /// The kind of contradiction.
    pub kind: &'static str,
    /// The sizes of both checkpoints.
    pub sizes: (u64, u64),
    /// The witnesses that cosigned both and are faulty themselves.
    pub faulty_witnesses: Vec<String>,
}
