//! What strangers chose, on every page.

use super::*;
use crate::{
    incident::Incident,
    overview::{
        AuditorOverview, EvidenceOverview, LogOverview, Point, VantageKind, VantageOverview, WitnessOverview,
    },
    progress::ReplayProgress,
    quorum::QuorumMargin,
    report::{FindingReport, WitnessState},
    verdict::Verdict,
};

/// Markup, an end of an attribute, a text that turns what follows around, and too much of it.
fn hostile() -> String {
    format!("<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202e}\u{7}{}", "x".repeat(4_000))
}

fn incident(verdict: Verdict, resolved_ms: Option<u64>) -> Incident {
    let (key, subject, detail) = (hostile(), hostile(), hostile());
    let evidence = None;
    let (since_ms, opened_ms, seen_ms) = (1, 2, 3);
    Incident {
        key,
        kind: "kind".to_owned(),
        subject,
        verdict,
        detail,
        since_ms,
        opened_ms,
        seen_ms,
        resolved_ms,
        evidence,
    }
}

fn overview() -> Overview {
    let witness = WitnessOverview {
        name: hostile(),
        url: Some(hostile()),
        state: WitnessState::Invalid,
        on_head: false,
        size: Some(u64::MAX),
        behind: Some(u64::MAX),
        cosigned_at_ms: Some(u64::MAX),
        latency_ms: Some(u64::MAX),
        answered_at_ms: None,
        detail: Some(hostile()),
        faulty: true,
    };
    let vantage = VantageOverview {
        kind: VantageKind::Peer,
        name: hostile(),
        state: WitnessState::Disputed,
        size: None,
        seen_at_ms: Some(0),
        latency_ms: None,
        heads: 0,
        detail: Some(hostile()),
    };
    let quorum = QuorumMargin {
        met: false,
        have: vec![hostile()],
        missing: vec![hostile(); 300],
        needed: 1,
        margin: None,
        best_margin: 1,
    };
    let evidence = EvidenceOverview {
        file: "00.evidence".to_owned(),
        path: "/v1/evidence/00.evidence".to_owned(),
        kind: "same-size",
        sizes: (7, 7),
        faulty_witnesses: vec![hostile(); 300],
    };
    let finding = FindingReport { kind: "bad", verdict: Verdict::Invalid, detail: hostile() };
    let log = LogOverview {
        name: hostile(),
        origin: hostile(),
        id: "00".to_owned(),
        suite: "0xF001".to_owned(),
        urls: vec![hostile()],
        verdict: Some(Verdict::Misbehaving),
        meaning: Verdict::Misbehaving.meaning(),
        failure: Some(hostile()),
        checked_at_ms: Some(5),
        took_ms: Some(6),
        rounds: 1,
        size: u64::MAX,
        root: String::new(),
        newest_entry_ms: Some(u64::MAX),
        age_ms: Some(u64::MAX),
        max_age_ms: 1,
        entries_per_minute: Some(f64::MAX),
        head: None,
        replay: ReplayProgress::default(),
        quorum: Some(quorum),
        witnesses: vec![witness; 300],
        vantage_points: vec![vantage; 300],
        cosigned: None,
        findings: vec![finding; 300],
        incidents: vec![incident(Verdict::Invalid, None); 300],
        resolved: vec![incident(Verdict::Stale, Some(9)); 300],
        evidence: vec![evidence; 300],
        growth: vec![Point { at_ms: u64::MAX, size: u64::MAX }; 500],
    };
    let (name, vkey) = (hostile(), hostile());
    Overview {
        auditor: AuditorOverview { name, vkey, version: "0" },
        now_ms: 10,
        started_ms: 0,
        logs: vec![log],
    }
}

#[test]
fn strangers_texts_are_escaped_and_bounded_everywhere() {
    let overview = overview();
    let log = &overview.logs[0];
    let parts = [
        ("logs", logs::content(&overview, 1)),
        ("log", log::content(log, overview.now_ms, true)),
        ("alerts", alerts::content(&overview)),
        ("banner", alerts::banner(&overview)),
        ("about", about::content(&overview)),
    ];
    for (name, markup) in parts {
        let page = markup.into_string();
        assert!(page.contains("&lt;script&gt;"), "{name} shows the name");
        for bad in ["<script", "<img", "\u{202e}", "\u{7}"] {
            assert!(!page.contains(bad), "{name} has {bad:?}");
        }
        assert!(page.len() < 2_000_000, "{name}: {} bytes", page.len());
    }
}

#[test]
fn long_lists_have_parts() {
    let mut overview = overview();
    let all = overview.logs.remove(0);
    assert_eq!(
        (logs::part(&overview, None), logs::part(&overview, Some(2))),
        (Some(1), None),
        "none at all is one part"
    );
    let log = LogOverview { id: String::new(), name: "log".to_owned(), ..only_counts(all) };
    overview.logs = (0..101).map(|i| LogOverview { id: format!("id{i}"), ..log.clone() }).collect();
    let parts = [Some(0), Some(1), Some(3), Some(4)].map(|asked| logs::part(&overview, asked));
    assert_eq!(parts, [None, Some(1), Some(3), None]);
    let last = logs::table(&overview, 3).into_string();
    assert!(last.contains("/logs/id100") && !last.contains("/logs/id99\""));
}

/// Without any list.
fn only_counts(log: LogOverview) -> LogOverview {
    LogOverview {
        quorum: None,
        witnesses: Vec::new(),
        vantage_points: Vec::new(),
        findings: Vec::new(),
        incidents: Vec::new(),
        resolved: Vec::new(),
        evidence: Vec::new(),
        growth: Vec::new(),
        ..log
    }
}
