//! One log.

use maud::{Markup, html};

use super::{
    alerts,
    layout::{PERIOD, ago, at, number, span, state, text, tone, verdict},
    logs::plot,
};
use crate::{
    overview::{LogOverview, VantageKind, VantageOverview, WitnessOverview},
    progress::Progress,
    verdict::Verdict,
};

/// The points of the table beside the plot.
const TABLE_POINTS: usize = 20;

/// All of the page.
pub(super) fn content(log: &LogOverview, now: u64, has_entries: bool) -> Markup {
    html! {
        h1 { (text(&log.name, 64)) }
        p { code { (text(&log.origin, 400)) } }
        div #status hx-get={ "/fragments/logs/" (log.id) } hx-trigger=(PERIOD) hx-swap="innerHTML" { (status(log, now)) }
        h2 { "Growth" }
        (plot(log))
        details {
            summary { "The same as a table" }
            table {
                caption { "Sizes over time, newest first, when this page was loaded" }
                thead { tr { th scope="col" { "When" } th scope="col" { "Entries" } } }
                tbody {
                    @for point in log.growth.iter().rev().take(TABLE_POINTS) {
                        tr { td data-label="When" { (at(point.at_ms, now)) } td.number data-label="Entries" { (number(point.size)) } }
                    }
                }
            }
        }
        @if has_entries {
            h2 { "An entry and its proof" }
            p { "Any entry of the log can be looked up, with a proof that it is under the newest head that this auditor has verified." }
            form.inline action={ "/logs/" (log.id) "/entry" } method="get" {
                label for="index" { "Number of the entry, from 0" }
                input #index name="index" inputmode="numeric" pattern="[0-9]+" required;
                button type="submit" { "Show the entry" }
            }
        }
        h2 { "Where it is" }
        ul {
            @for url in &log.urls { li { code { (text(url, 300)) } } }
        }
        p { "Cipher suite " code { (log.suite) } "; id " code { (log.id) } "." }
    }
}

/// What changes.
pub(super) fn status(log: &LogOverview, now: u64) -> Markup {
    // A lie is told above, with its evidence.
    let findings = || log.findings.iter().filter(|finding| finding.verdict != Verdict::Misbehaving);
    html! {
        div class={ "note " (tone(log.verdict)) } {
            p { (verdict(log.verdict)) " " (log.meaning) "." }
            @if let Some(failure) = &log.failure { p { "This auditor could not finish: " (text(failure, 400)) } }
        }
        (facts(log, now))
        @if !log.incidents.is_empty() || !log.evidence.is_empty() {
            h2 { "What is wrong" }
            (alerts::of_log(log, now))
        }
        h2 { "Replay" }
        p { "Every entry is replayed, and every change that the entries made to the tree of keys." }
        (progress("Entries", "progress-entries", &log.replay.entries))
        (progress("Changes", "progress-changes", &log.replay.changes))
        h2 { "Witnesses" }
        @if log.witnesses.is_empty() { p { "No witnesses are named by the policy, or none has been asked yet." } } @else { (witnesses(log, now)) }
        h2 { "Other places that show this log" }
        @if log.vantage_points.is_empty() {
            p { "Nobody else has shown a head yet. Clients report theirs with " code { "--auditor" } "." }
        } @else { (vantage_points(log, now)) }
        @if findings().next().is_some() {
            h2 { "Found in the last round" }
            ul {
                @for finding in findings().take(64) { li { code { (finding.kind) } ": " (text(&finding.detail, 400)) } }
            }
        }
    }
}

fn facts(log: &LogOverview, now: u64) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.facts {
            (fact("Entries, replayed and verified", html! { (number(log.size)) }))
            (fact("Age of the newest entry", html! {
                @match log.age_ms { Some(age) => (span(age)), None => "–" }
                " " small { "of at most " (span(log.max_age_ms)) }
            }))
            @if let Some(rate) = log.entries_per_minute { (fact("Entries in a minute", html! { (format!("{rate:.1}")) })) }
            @if let Some(quorum) = &log.quorum {
                (fact("Cosignatures on its head", html! {
                    (quorum.have.len()) " of " (quorum.have.len().saturating_add(quorum.missing.len()))
                    @if !quorum.missing.is_empty() {
                        " " small { "missing: " @for (i, name) in quorum.missing.iter().take(16).enumerate() { @if i > 0 { ", " } (text(name, 64)) } }
                    }
                }))
                (fact("Witnesses that may still fail", html! {
                    @match quorum.margin { Some(margin) => (margin), None => { "the quorum is not met: " (quorum.needed) " more needed" } }
                    " " small { "of at best " (quorum.best_margin) }
                }))
            }
            @if let Some(head) = &log.head {
                (fact("Head that the log shows", html! { (number(head.size)) " entries, since " (ago(head.since_ms, now)) }))
                @if let Some(verified) = head.verified_at_ms {
                    (fact("Nothing against it up to", html! { (number(head.verified_size)) " entries, " (ago(verified, now)) }))
                }
            }
            @if let Some(cosigned) = &log.cosigned {
                (fact("Cosigned by this auditor", html! { a #{ "cosigned-" (log.id) } href=(cosigned.path) { (number(cosigned.size)) " entries" } ", " (ago(cosigned.at_ms, now)) }))
            }
            (fact("Last round", html! {
                @match log.checked_at_ms { Some(checked) => { (ago(checked, now)) }, None => "none yet" }
                @if let Some(took) = log.took_ms { " " small { "took " (span(took)) } }
            }))
            (fact("Rounds since the start", html! { (number(log.rounds)) }))
            (fact("Root over its entries", html! { code { (log.root) } }))
        }
    }
}

fn progress(name: &str, id: &str, progress: &Progress) -> Markup {
    let of = progress.of.unwrap_or(progress.done);
    html! {
        p {
            label for=(id) { (name) ": " (number(progress.done)) " of " (number(of)) }
            @if let Some(rate) = progress.per_second { ", " (format!("{rate:.0}")) " a second" }
            @if let Some(left) = progress.left_ms { ", " (span(left)) " left" }
            br;
            progress id=(id) value=(progress.done) max=(of.max(1)) {}
        }
    }
}

fn witnesses(log: &LogOverview, now: u64) -> Markup {
    let row = |witness: &WitnessOverview| {
        html! {
            tr {
                td data-label="Witness" { (text(&witness.name, 64)) @if witness.faulty { " " span.badge.bad { "proven faulty" } } }
                td data-label="Its head" {
                    (state(witness.state))
                    @if let Some(detail) = &witness.detail { br; small { (text(detail, 200)) } }
                }
                td data-label="On the log's head" { @if witness.on_head { "yes" } @else { "no" } }
                td.number data-label="Entries" {
                    @match witness.size { Some(size) => (number(size)), None => "–" }
                    @if let Some(behind) = witness.behind.filter(|behind| *behind > 0) { " " small { (number(behind)) " behind" } }
                }
                td.number data-label="Cosigned" { @match witness.cosigned_at_ms { Some(at) => (ago(at, now)), None => "–" } }
                td.number data-label="Answered in" { @match witness.latency_ms { Some(ms) => (span(ms)), None => "–" } }
            }
        }
    };
    html! {
        table {
            caption { "The policy's witnesses, as they show the log at their own addresses" }
            thead { tr { th scope="col" { "Witness" } th scope="col" { "Its head" } th scope="col" { "On the log's head" } th scope="col" { "Entries" } th scope="col" { "Cosigned" } th scope="col" { "Answered in" } } }
            tbody { @for witness in log.witnesses.iter().take(256) { (row(witness)) } }
        }
    }
}

fn vantage_points(log: &LogOverview, now: u64) -> Markup {
    let row = |point: &VantageOverview| {
        let kind = match point.kind {
            VantageKind::Log => "the log at another address",
            VantageKind::Auditor => "another auditor",
            VantageKind::Peer => "a peer",
            VantageKind::Client => "clients",
        };
        html! {
            tr {
                td data-label="Place" { (kind) @if !point.name.is_empty() { " " code { (text(&point.name, 120)) } } }
                td data-label="Its head" {
                    (state(point.state))
                    @if let Some(detail) = &point.detail { br; small { (text(detail, 200)) } }
                }
                td.number data-label="Entries" { @match point.size { Some(size) => (number(size)), None => "–" } }
                td.number data-label="Seen" { @match point.seen_at_ms { Some(at) => (ago(at, now)), None => "–" } }
                td.number data-label="Heads" { (number(point.heads)) }
            }
        }
    };
    html! {
        table {
            caption { "Who else showed heads of this log, since this auditor was started" }
            thead { tr { th scope="col" { "Place" } th scope="col" { "Its head" } th scope="col" { "Entries" } th scope="col" { "Seen" } th scope="col" { "Heads" } } }
            tbody { @for point in log.vantage_points.iter().take(256) { (row(point)) } }
        }
    }
}
