//! What is wrong, and what was.

use maud::{Markup, html};

use super::layout::{PERIOD, ago, at, text, tone, tone_of, verdict};
use crate::{
    alert::watch::severity,
    incident::Incident,
    overview::{EvidenceOverview, LogOverview, Overview},
    verdict::Verdict,
};

/// The most of each list that is shown.
const MOST: usize = 200;

/// The line above every page: what is wrong anywhere. Its words are read out when they change.
pub(super) fn banner(overview: &Overview) -> Markup {
    let open: usize = overview.logs.iter().map(|log| log.incidents.len()).sum();
    let gravest =
        overview.logs.iter().flat_map(|log| log.incidents.iter().map(move |incident| (log, incident)));
    let gravest =
        gravest.max_by_key(|(_, incident)| (incident.verdict, core::cmp::Reverse(incident.opened_ms)));
    let Some((log, incident)) = gravest else {
        return html! { div data-announce="No alerts are open." {} };
    };
    let words = format!(
        "{open} {} open. The gravest: {}: {}",
        if open == 1 { "alert is" } else { "alerts are" },
        text(&log.name, 64),
        words(incident)
    );
    html! {
        div class={ "note " (tone(Some(incident.verdict))) } data-announce=(words) {
            p { strong { (words) } " " a #banner-link href="/alerts" { "All alerts" } }
        }
    }
}

/// All of the page.
pub(super) fn content(overview: &Overview) -> Markup {
    html! {
        h1 { "Alerts" }
        p {
            "An alert opens when something has been wrong for a while, and at once when there is proof of a lie. It ends when it has "
            "been over for a while. Proof does not end: it stays until this auditor's operator moves it away."
        }
        div hx-get="/fragments/alerts" hx-trigger=(PERIOD) hx-swap="innerHTML" { (list(overview)) }
    }
}

/// What changes.
pub(super) fn list(overview: &Overview) -> Markup {
    let now = overview.now_ms;
    let troubled =
        || overview.logs.iter().filter(|log| !log.incidents.is_empty() || !log.evidence.is_empty());
    let mut resolved: Vec<(&LogOverview, &Incident)> = overview
        .logs
        .iter()
        .flat_map(|log| log.resolved.iter().map(move |incident| (log, incident)))
        .collect();
    resolved.sort_by_key(|(_, incident)| core::cmp::Reverse(incident.resolved_ms));
    html! {
        @if troubled().next().is_none() { p.note.good { "No alerts are open." } }
        @for log in troubled().take(MOST) {
            h2 { a #{ "troubled-" (log.id) } href={ "/logs/" (log.id) } { (text(&log.name, 64)) } }
            (of_log(log, now))
        }
        @if !resolved.is_empty() {
            h2 { "Over" }
            ul {
                @for (log, incident) in resolved.into_iter().take(MOST) {
                    li {
                        (text(&log.name, 64)) ": " (words(incident)) ", from " (at(incident.since_ms, now))
                        @if let Some(resolved) = incident.resolved_ms { " until " (at(resolved, now)) }
                    }
                }
            }
        }
    }
}

/// What is wrong with one log.
pub(super) fn of_log(log: &LogOverview, now: u64) -> Markup {
    html! {
        @for evidence in log.evidence.iter().take(MOST) { (proof(log, evidence)) }
        @for incident in log.incidents.iter().filter(|incident| !told_by_evidence(log, incident)).take(MOST) {
            div class={ "note " (tone_of(severity(incident.verdict))) } {
                p { strong { (words(incident)) } }
                p { (verdict(Some(incident.verdict))) " " small { code { (text(&incident.key, 120)) } ", since " (ago(incident.since_ms, now)) } }
            }
        }
    }
}

fn proof(log: &LogOverview, evidence: &EvidenceOverview) -> Markup {
    let (a, b) = evidence.sizes;
    html! {
        div.note.bad {
            p { strong { "There is proof that " (text(&log.name, 64)) " signed two histories" } }
            p {
                "Of the kind " code { (evidence.kind) } ", at " (a) " and " (b) " entries. "
                @if evidence.faulty_witnesses.is_empty() { "No witness is proven faulty by it." } @else {
                    "Proven faulty with it: "
                    @for (i, name) in evidence.faulty_witnesses.iter().take(32).enumerate() { @if i > 0 { ", " } strong { (text(name, 64)) } }
                    "."
                }
            }
            p {
                a #{ "explain-" (evidence.file) } href={ "/evidence/" (evidence.file) } { "What it proves, in words" } " · "
                a #{ "download-" (evidence.file) } href=(evidence.path) download=(evidence.file) { "Download the evidence" }
            }
        }
    }
}

/// An incident in words. That of a lie names a file: the evidence has its own link.
fn words(incident: &Incident) -> String {
    if incident.verdict == Verdict::Misbehaving {
        return "the log signed two histories, and there is proof".to_owned();
    }
    text(&incident.detail, 300)
}

fn told_by_evidence(log: &LogOverview, incident: &Incident) -> bool {
    incident.verdict == Verdict::Misbehaving && !log.evidence.is_empty()
}
