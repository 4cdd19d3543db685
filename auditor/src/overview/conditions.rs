//! What a round found, as conditions that may become incidents. Pure.

use keyglass_tlog::time::UnixMillis;

use super::Growth;
use crate::{
    incident::{Condition, Level},
    quorum::QuorumMargin,
    report::{Report, WitnessReport, WitnessState},
    trust::Trust,
    verdict::Verdict,
};

/// The part of `max_behind` below which a head that was stale is fresh again.
const FRESH_AGAIN: f64 = 0.8;
/// How much faster than before a log grows that is worth a look, and how much faster is back to normal.
const SURGE: (f64, f64) = (10.0, 5.0);
/// Entries in a minute below which no growth is worth a look.
const SURGE_AT_LEAST: f64 = 60.0;
/// How long a replay that is not done may stand still, in milliseconds: a log that hands out what it must, but never in time,
/// must not look like one that is merely long.
const STANDSTILL_MS: u64 = 10 * 60 * 1000;
/// The stretches whose rates are compared, in milliseconds.
const LATELY_MS: u64 = 10 * 60 * 1000;

/// The conditions of a log after a round. The replay came further at the time `advanced` last.
pub(super) fn of_report(
    report: &Report,
    quorum: Option<&QuorumMargin>,
    trust: &Trust,
    growth: &Growth,
    advanced: UnixMillis,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = Vec::new();
    for finding in &report.findings {
        // Catching up is no trouble, only not done yet, as long as it comes further. Silent witnesses are spoken of one by one, too.
        if finding.verdict == Verdict::CatchingUp {
            continue;
        }
        let level = if finding.verdict >= Verdict::BadUpdate { Level::Certain } else { Level::Raised };
        let (kind, verdict, detail) = (finding.kind, finding.verdict, finding.detail.clone());
        let known = conditions.iter_mut().find(|condition| condition.kind == kind);
        match known {
            // Several of a kind are one incident, told by the first.
            Some(_) => {}
            None => conditions.push(Condition { kind, subject: String::new(), verdict, detail, level }),
        }
    }
    conditions.extend(standstill(report, advanced));
    conditions.extend(aging(report, trust));
    conditions.extend(quorum.and_then(narrow));
    conditions.extend(report.witnesses.iter().filter_map(witness));
    conditions.extend(surge(growth, UnixMillis(report.checked_at_ms)));
    conditions
}

/// Something remains to be replayed, and has remained so for long.
fn standstill(report: &Report, advanced: UnixMillis) -> Option<Condition> {
    let remains = report.findings.iter().any(|finding| finding.verdict == Verdict::CatchingUp);
    let stood = report.checked_at_ms.saturating_sub(advanced.0);
    (remains && stood >= STANDSTILL_MS).then(|| Condition {
        kind: "standstill",
        subject: String::new(),
        verdict: Verdict::CatchingUp,
        detail: format!("the replay has not come further for {} minutes", stood / 60_000),
        level: Level::Raised,
    })
}

/// A head that was stale stays so until it is well below the bound.
fn aging(report: &Report, trust: &Trust) -> Option<Condition> {
    let stale = report.findings.iter().any(|finding| finding.kind == "stale");
    let bound = trust.max_behind().mul_f64(FRESH_AGAIN).as_millis();
    let (age, verdict) = (report.head_age_ms?, Verdict::Stale);
    (!stale && u128::from(age) > bound).then(|| Condition {
        kind: "stale",
        subject: String::new(),
        verdict,
        detail: format!("the newest entry is {age} ms old, near the bound of the configuration"),
        level: Level::Held,
    })
}

/// The quorum is met, and the next witness to fail ends that, although it need not be so.
fn narrow(quorum: &QuorumMargin) -> Option<Condition> {
    (quorum.margin == Some(0) && quorum.best_margin > 0).then(|| Condition {
        kind: "quorum_margin",
        subject: String::new(),
        verdict: Verdict::Ok,
        detail: format!("one more witness must not fail; missing: {}", quorum.missing.join(", ")),
        level: Level::Raised,
    })
}

fn witness(witness: &WitnessReport) -> Option<Condition> {
    let (kind, verdict, level) = match witness.state {
        WitnessState::Agrees | WitnessState::Ahead | WitnessState::NoUrl => return None,
        WitnessState::Unreachable => ("witness_unreachable", Verdict::Ok, Level::Raised),
        WitnessState::Never => ("witness_never", Verdict::Ok, Level::Raised),
        WitnessState::Invalid => ("witness_invalid", Verdict::Ok, Level::Raised),
        WitnessState::Disputed => ("witness_disputed", Verdict::Unreconciled, Level::Certain),
        WitnessState::Contradicts => ("witness_contradicts", Verdict::Misbehaving, Level::Certain),
    };
    let detail = match (&witness.detail, witness.state) {
        (Some(detail), _) => detail.as_str(),
        (None, WitnessState::Never) => "has never cosigned a checkpoint of this log",
        (None, _) => "shows another head than the log",
    };
    // Where it is told, nothing else says whom it is about.
    let detail = format!("witness {}: {detail}", witness.name);
    Some(Condition { kind, subject: witness.name.clone(), verdict, detail, level })
}

/// The log grows much faster than it used to.
fn surge(growth: &Growth, now: UnixMillis) -> Option<Condition> {
    let since = UnixMillis(now.0.saturating_sub(LATELY_MS));
    let first = growth.points().first()?;
    // The time before must be long enough to compare with.
    if since.0.saturating_sub(first.at_ms) < LATELY_MS {
        return None;
    }
    let (lately, before) = (growth.per_minute(since, now)?, growth.per_minute(UnixMillis(0), since)?);
    let level = if lately >= SURGE_AT_LEAST && lately > before * SURGE.0 {
        Level::Raised
    } else if lately > before * SURGE.1 {
        Level::Held
    } else {
        return None;
    };
    Some(Condition {
        kind: "entry_rate",
        subject: String::new(),
        verdict: Verdict::Ok,
        detail: format!("{lately:.0} entries a minute lately, {before:.1} before"),
        level,
    })
}
