//! The first page: all logs.

use maud::{Markup, html};

use super::layout::{PERIOD, number, span, text, verdict};
use crate::overview::{LogOverview, Overview};

/// Logs on one page.
const ROWS: usize = 50;
/// Plots on one page.
const PLOTS: usize = 12;

/// A part of the list: its number from 1, if there is such a part.
pub(super) fn part(overview: &Overview, asked: Option<usize>) -> Option<usize> {
    let part = asked.unwrap_or(1);
    (part >= 1 && part <= parts(overview)).then_some(part)
}

fn parts(overview: &Overview) -> usize {
    overview.logs.len().div_ceil(ROWS).max(1)
}

fn rows(overview: &Overview, part: usize) -> &[LogOverview] {
    overview.logs.chunks(ROWS).nth(part.saturating_sub(1)).unwrap_or_default()
}

/// All of the page.
pub(super) fn content(overview: &Overview, part: usize) -> Markup {
    html! {
        h1 { "Logs" }
        p {
            "This auditor follows " (overview.logs.len()) @if overview.logs.len() == 1 { " log" } @else { " logs" }
            ": it replays every entry, asks others what they were shown, and keeps proof of every contradiction. "
            a href="/about" { "What that means" } "."
        }
        div hx-get={ "/fragments/logs?page=" (part) } hx-trigger=(PERIOD) hx-swap="innerHTML" { (table(overview, part)) }
        @if parts(overview) > 1 {
            nav aria-label="Parts of the list" {
                ul {
                    @for other in 1..=parts(overview) {
                        li { a href={ "/?page=" (other) } aria-current=[(other == part).then_some("page")] { (other) } }
                    }
                }
            }
        }
        h2 { "Growth" }
        @for log in rows(overview, part).iter().take(PLOTS) {
            h3 #{ "growth-" (log.id) } { (text(&log.name, 64)) }
            (plot(log))
        }
    }
}

/// A plot of a log's sizes. Its points are in a table on the log's page.
pub(super) fn plot(log: &LogOverview) -> Markup {
    html! {
        figure data-plot={ "/v1/growth?log=" (log.id) } aria-labelledby={ "caption-" (log.id) } {
            div.plot {}
            figcaption #{ "caption-" (log.id) } { (number(log.size)) " entries now. With scripts, a plot of the size over time is drawn here." }
        }
    }
}

/// What changes: the table.
pub(super) fn table(overview: &Overview, part: usize) -> Markup {
    html! {
        table {
            caption { "Each log as of its last check" }
            thead { tr { th scope="col" { "Log" } th scope="col" { "State" } th scope="col" { "Entries" } th scope="col" { "Newest" } th scope="col" { "Witnesses" } th scope="col" { "Alerts" } } }
            tbody {
                @for log in rows(overview, part) { (row(log)) }
            }
        }
    }
}

fn row(log: &LogOverview) -> Markup {
    html! {
        tr {
            td data-label="Log" {
                a #{ "log-" (log.id) } href={ "/logs/" (log.id) } { (text(&log.name, 64)) }
                br; small { (text(&log.origin, 120)) }
            }
            td data-label="State" { (verdict(log.verdict)) }
            td.number data-label="Entries" { (number(log.size)) }
            td.number data-label="Newest" {
                @match log.age_ms { Some(age) => { (span(age)) " old" }, None => "–" }
            }
            td data-label="Witnesses" { (margin(log)) }
            td.number data-label="Alerts" {
                @if log.incidents.is_empty() { "none" } @else { a #{ "alerts-" (log.id) } href="/alerts" { (log.incidents.len()) } }
            }
        }
    }
}

/// The cosignatures on the head, in a few words.
fn margin(log: &LogOverview) -> Markup {
    match &log.quorum {
        None => html! { span.soft { "none asked for" } },
        Some(quorum) => {
            let of = quorum.have.len().saturating_add(quorum.missing.len());
            let tone = match quorum.margin {
                None => "bad",
                Some(0) => "warn",
                Some(_) => "good",
            };
            html! { span class={ "badge " (tone) } { (quorum.have.len()) " of " (of) } @if let Some(margin) = quorum.margin { " " small { (margin) " to spare" } } @else { " " small { (quorum.needed) " missing" } } }
        }
    }
}
