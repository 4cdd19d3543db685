//! What all pages share: the frame, and how times, sizes and strangers' texts are shown.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use keyglass_tlog::{
    shown::{octets, seconds},
    time::UnixMillis,
};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use crate::{
    alert::notice::Severity,
    overview::{AuditorOverview, Overview},
    report::WitnessState,
    verdict::Verdict,
};

/// The time between two updates of a page.
pub(super) const PERIOD: &str = "every 2s";

/// Without styles of its own, code out of strings, and requests to elsewhere: the policy forbids them anyway, with an error
/// in the console each time.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyEnabled":false}"#;

/// The pages of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Logs,
    Alerts,
    About,
    Elsewhere,
}

const MENU: [(Place, &str, &str); 3] = [
    (Place::Logs, "/", "Logs"),
    (Place::Alerts, "/alerts", "Alerts"),
    (Place::About, "/about", "What is watched, and why"),
];

/// A page.
pub(super) fn page(
    overview: &Overview,
    place: Place,
    title: &str,
    banner: &Markup,
    content: &Markup,
) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · " (text(&overview.auditor.name, 60)) }
                link rel="icon" href="data:,";
                @for path in assets::styles() { link rel="stylesheet" href=(path); }
                @for path in assets::scripts() { script src=(path) defer {} }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    div.brand { "Keyglass auditor " (text(&overview.auditor.name, 80)) }
                    nav aria-label="Pages" {
                        ul {
                            @for (of, path, name) in MENU {
                                li { a href=(path) aria-current=[(of == place).then_some("page")] { (name) } }
                            }
                        }
                    }
                    button #pause type="button" aria-pressed="false" hidden { "Pause updates" }
                }
                main #main tabindex="-1" {
                    p.note.bad #offline role="alert" hidden { "The auditor does not answer. What is shown here is old." }
                    noscript { p.note { "Without scripts this page does not update itself: reload it." } }
                    div #banner hx-get="/fragments/banner" hx-trigger=(PERIOD) hx-swap="innerHTML" { (banner) }
                    div.hidden #announce role="status" aria-live="polite" {}
                    (content)
                }
                (footer(&overview.auditor))
            }
        }
    };
    html_of(StatusCode::OK, markup)
}

fn footer(auditor: &AuditorOverview) -> Markup {
    html! {
        footer {
            p { "keyglass-auditor " (auditor.version) " · data for programs: " a href="/v1/status" { "/v1/status" } ", " a href="/metrics" { "/metrics" } }
            p { "This auditor's key: " code { (text(&auditor.vkey, 4000)) } }
        }
    }
}

/// A part of a page, as an update of it.
pub(super) fn fragment(markup: Markup) -> Response {
    html_of(StatusCode::OK, markup)
}

/// A page that says why there is none.
pub(super) fn refusal(status: StatusCode, overview: &Overview, why: &str) -> Response {
    let content = html! {
        h1 { "This cannot be shown" }
        p.note.warn { (text(why, 600)) }
        p { a href="/" { "To the logs" } }
    };
    let mut response = page(overview, Place::Elsewhere, "Not shown", &html! {}, &content);
    *response.status_mut() = status;
    response
}

fn html_of(status: StatusCode, markup: Markup) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, markup.into_string()).into_response()
}

/// A stranger's text: characters that would not be seen for what they are become escapes, and it ends somewhere.
pub(super) fn text(of: &str, most: usize) -> String {
    let mut shown = octets(of.chars().take(most).collect::<String>().as_bytes());
    if of.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// A number with its digits in groups.
pub(super) fn number(of: u64) -> String {
    let digits = of.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

/// A stretch of time, roughly.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// How long ago something was, and when.
pub(super) fn ago(at_ms: u64, now_ms: u64) -> Markup {
    let when = seconds(UnixMillis(at_ms).to_seconds());
    let words = match now_ms.checked_sub(at_ms) {
        Some(ms) if ms < 1000 => "just now".to_owned(),
        Some(ms) => format!("{} ago", span(ms / 1000 * 1000)),
        None => format!("{} from now", span(at_ms.saturating_sub(now_ms))),
    };
    html! { span title=(when) { (words) } }
}

/// A time and how long ago that was.
pub(super) fn at(at_ms: u64, now_ms: u64) -> Markup {
    html! { (seconds(UnixMillis(at_ms).to_seconds())) " (" (ago(at_ms, now_ms)) ")" }
}

/// How a verdict looks.
pub(super) fn tone(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Ok) => "good",
        Some(Verdict::Misbehaving | Verdict::BadUpdate | Verdict::Invalid | Verdict::Unreconciled) => "bad",
        Some(_) | None => "warn",
    }
}

/// How a severity looks.
pub(super) fn tone_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warn",
        Severity::Serious | Severity::Critical => "bad",
    }
}

/// A verdict in one or two words.
pub(super) fn verdict(verdict: Option<Verdict>) -> Markup {
    let words = match verdict {
        None => "not checked yet",
        Some(Verdict::Ok) => "in order",
        Some(Verdict::Unreachable) => "unreachable",
        Some(Verdict::CatchingUp) => "catching up",
        Some(Verdict::Stale) => "stale",
        Some(Verdict::Unwitnessed) => "unwitnessed",
        Some(Verdict::Unaudited) => "not auditable",
        Some(Verdict::Invalid) => "breaks its rules",
        Some(Verdict::BadUpdate) => "bad change",
        Some(Verdict::Unreconciled) => "contradicts itself",
        Some(Verdict::Misbehaving) => "proven to lie",
        Some(Verdict::Usage | Verdict::Failed) => "auditor failed",
    };
    html! { span class={ "badge " (tone(verdict)) } { (words) } }
}

/// How somebody's head stands to the log.
pub(super) fn state(state: WitnessState) -> Markup {
    let (words, tone) = match state {
        WitnessState::Agrees => ("agrees", "good"),
        WitnessState::Ahead => ("newer than what was verified here", "warn"),
        WitnessState::Disputed => ("disagrees", "bad"),
        WitnessState::Contradicts => ("contradicts, with evidence", "bad"),
        WitnessState::Never => ("has shown nothing", "warn"),
        WitnessState::Unreachable => ("does not answer", "warn"),
        WitnessState::Invalid => ("answers nonsense", "bad"),
        WitnessState::NoUrl => ("not asked", "warn"),
    };
    html! { span class={ "badge " (tone) } { (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        let spans = [
            (999, "999 ms"),
            (1_500, "1.5 s"),
            (59_000, "59 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (u64::MAX, "213503982334 days"),
        ];
        for (ms, words) in spans {
            assert_eq!(span(ms), words);
        }
        assert!(ago(1_000, 61_000).into_string().contains("60 s ago"));
        assert!(ago(61_000, 1_000).into_string().contains("60 s from now"));
    }

    #[test]
    fn strangers_texts_end_and_hide_nothing() {
        assert_eq!(text("a\u{202e}b", 10), "a\\u{202e}b");
        assert_eq!(text("abcdef", 3), "abc…");
        assert_eq!(text("abc", 3), "abc");
    }
}
