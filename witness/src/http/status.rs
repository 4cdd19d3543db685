//! `GET /`: what a person wants to know of a witness. A page without scripts, in which every text of others is escaped.

use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_crypto::hash::sha256;
use keyglass_tlog::time::{Date, UnixSeconds};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Endpoints, Problem, Responder};

/// Logs on one page.
pub const ROWS: usize = 100;

/// The longest verifier key that is shown at once, in bytes.
const SHORT_VKEY: usize = 160;

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The witness's name.
    pub name: String,
    /// Its verifier keys.
    pub vkeys: Vec<String>,
    /// The time that ages are counted from.
    pub now: UnixSeconds,
    /// How many logs there are on all pages.
    pub logs: usize,
    /// How many of them the policy lists.
    pub listed: usize,
    /// The number of the page, from 1.
    pub page: usize,
    /// The logs of this page, at most [`ROWS`].
    pub rows: Vec<Row>,
}

impl Status {
    /// How many pages there are, at least one.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.logs.div_ceil(ROWS).max(1)
    }
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its origin, in the words of whoever made the log.
    pub origin: String,
    /// Whether the policy lists it now.
    pub listed: bool,
    /// The last checkpoint of it that was cosigned.
    pub last: Last,
    /// The name of evidence for which nothing of it is cosigned.
    pub evidence: Option<String>,
}

/// The last cosigned checkpoint of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// There is none yet.
    Never,
    /// Of this size, at this time.
    At(u64, UnixSeconds),
    /// Nothing is signed until the operator has confirmed the state.
    Suspended,
    /// The state cannot be read.
    Unreadable,
}

/// What was answered so far, by outcome.
pub type Outcomes = Vec<(&'static str, u64)>;

/// Answers with a page.
pub(super) async fn page<R: Responder>(
    State(endpoints): State<Endpoints<R>>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(page) = page_number(query.as_deref()) else {
        return Problem::NO_SUCH_PATH.into_response();
    };
    // Reading a hundred heads takes a moment, which requests need not wait for.
    let responder = endpoints.responder;
    let status = tokio::task::spawn_blocking(move || (responder.status(page), responder.unready())).await;
    let Ok((Some(status), unready)) = status else {
        return Problem::NO_SUCH_PATH.into_response();
    };
    if status.page > status.pages() {
        return Problem::NO_SUCH_PATH.into_response();
    }
    let body = render(&status, unready, &endpoints.metrics.outcomes()).into_string();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STANDARD.encode(sha256(&[STYLE.as_bytes()]))
    );
    let mut response = (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ],
        body,
    )
        .into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// No query is page 1; `page=` takes a number in its one form.
fn page_number(query: Option<&str>) -> Option<usize> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Some(1) };
    let digits = query.strip_prefix("page=")?;
    let page: usize = digits.parse().ok()?;
    (page > 0 && digits == page.to_string()).then_some(page)
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
h1,h2{line-height:1.2;overflow-wrap:anywhere}\
code{overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem .4rem 0;border-bottom:1px solid #8886}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
td.o{overflow-wrap:anywhere;min-width:9rem}\
small{opacity:.75}\
.bad{border-left:.3rem solid #c33;padding-left:.6rem}\
@media(max-width:36rem){thead{display:none}tr{display:block;padding:.4rem 0;border-bottom:1px solid #8886}\
td,td.n{display:block;text-align:left;border:0;padding:.1rem 0}}\
";

fn render(status: &Status, unready: Option<&str>, outcomes: &Outcomes) -> Markup {
    let (of, refused): (Vec<_>, Vec<_>) = outcomes.iter().partition(|(outcome, _)| *outcome == "cosigned");
    let cosigned: u64 = of.iter().map(|(_, count)| count).sum();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Witness " (status.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Witness " (status.name) }
                @if let Some(why) = unready {
                    p.bad { strong { "Not ready: " } (why) }
                }
                p {
                    "It cosigns a checkpoint of a log only if the log's tree extends all that it cosigned before "
                    "(C2SP tlog-witness). Logs and their users need its keys in their policies:"
                }
                @for vkey in &status.vkeys {
                    @if vkey.len() <= SHORT_VKEY {
                        p { code { (vkey) } }
                    } @else {
                        // An ML-DSA-44 key fills a screen.
                        details {
                            summary { code { (vkey.chars().take(SHORT_VKEY / 2).collect::<String>()) "…" } }
                            code { (vkey) }
                        }
                    }
                }
                h2 { "Logs" }
                p {
                    (status.listed) " in the policy"
                    @if status.logs > status.listed { ", " (status.logs - status.listed) " from before" }
                    "."
                }
                @if !status.rows.is_empty() {
                    table {
                        thead { tr { th { "Origin" } th.n { "Size" } th { "Last cosigned" } } }
                        tbody {
                            @for row in &status.rows { (render_row(row, status.now)) }
                        }
                    }
                }
                (render_pages(status))
                h2 { "Since it was started" }
                table {
                    tbody {
                        tr { td { "cosigned" } td.n { (grouped(cosigned)) } }
                        @for (outcome, count) in &refused {
                            tr { td { "refused: " (outcome) } td.n { (grouped(*count)) } }
                        }
                    }
                }
                p { small { "As of " (date(status.now)) } }
            }
        }
    }
}

fn render_row(row: &Row, now: UnixSeconds) -> Markup {
    html! {
        tr {
            td.o {
                bdi { (row.origin) }
                @if !row.listed { " " small { "not in the policy now" } }
                @if let Some(id) = &row.evidence {
                    p.bad {
                        "It signed two histories (" a href={ "gossip/v1/evidence/" (id) } { "evidence" }
                        "). Nothing of it is cosigned until " code { "keyglass-witness resolve" } "."
                    }
                }
            }
            @match row.last {
                Last::Never => { td.n { "–" } td { "never" } }
                Last::Suspended => { td.n { "?" } td { "suspended: waits for " code { "keyglass-witness confirm" } } }
                Last::Unreadable => { td.n { "?" } td { "its state cannot be read" } }
                Last::At(size, time) => {
                    td.n { (grouped(size)) }
                    td { (age(now, time)) " " small { (date(time)) } }
                }
            }
        }
    }
}

fn render_pages(status: &Status) -> Markup {
    let pages = status.pages();
    html! {
        @if pages > 1 {
            p {
                @if status.page > 1 { a href={ "?page=" (status.page - 1) } { "Before" } " · " }
                "Page " (status.page) " of " (pages)
                @if status.page < pages { " · " a href={ "?page=" (status.page + 1) } { "Next" } }
            }
        }
    }
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long ago, in the largest unit that fits.
fn age(now: UnixSeconds, then: UnixSeconds) -> String {
    if then > now {
        return "ahead of the clock".to_owned();
    }
    let seconds = now.0.saturating_sub(then.0);
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Date and time in UTC; a second that no calendar reaches by its number.
fn date(time: UnixSeconds) -> String {
    let Some(millis) = time.to_millis() else { return format!("second {time}") };
    let Date { year, month, day } = Date::of(millis);
    let (hour, minute, second) = (time.0 / 3600 % 24, time.0 / 60 % 60, time.0 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(rows: Vec<Row>) -> Status {
        let logs = rows.len();
        Status {
            name: "w.example".into(),
            vkeys: vec!["w.example+00000000+BAAA".into()],
            now: UnixSeconds(1_795_436_938),
            logs,
            listed: logs,
            page: 1,
            rows,
        }
    }

    fn row(origin: &str, last: Last) -> Row {
        Row { origin: origin.to_owned(), listed: true, last, evidence: None }
    }

    #[test]
    fn hostile_origins_are_text() {
        let hostile = "</td><script>alert(1)</script>\"'&\u{202e}lper.example";
        let page = render(&status(vec![row(hostile, Last::Never)]), Some("<b>"), &Vec::new()).into_string();
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(page.contains("<bdi>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), "{page}");
    }

    #[test]
    fn a_page_says_what_there_is() {
        let now = status(Vec::new()).now;
        let mut status = status(vec![
            row("never.example", Last::Never),
            row("a.example", Last::At(1_234_567, UnixSeconds(now.0 - 90))),
            Row { listed: false, ..row("gone.example", Last::At(1, UnixSeconds(now.0 + 1))) },
            row("broken.example", Last::Unreadable),
            Row { evidence: Some("0123".into()), ..row("two-faced.example", Last::Never) },
        ]);
        (status.logs, status.listed, status.page) = (250, 249, 2);
        let outcomes = vec![("cosigned", 12_000), ("roots-differ", 3)];
        let page = render(&status, None, &outcomes).into_string();
        for expected in [
            "249 in the policy, 1 from before",
            "1,234,567",
            "90 s ago",
            "2026-11-23 12:27:28 UTC",
            "not in the policy now",
            "ahead of the clock",
            "its state cannot be read",
            "Page 2 of 3",
            "href=\"?page=1\"",
            "href=\"?page=3\"",
            "12,000",
            "refused: roots-differ",
            "href=\"gossip/v1/evidence/0123\"",
            "w.example+00000000+BAAA",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("Not ready"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_795_436_938, "2026-11-23 12:28:58 UTC"),
        ] {
            assert_eq!(date(UnixSeconds(time)), expected);
        }
        date(UnixSeconds(u64::MAX));
    }

    #[test]
    fn numbers_and_pages_have_one_form() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(page_number(None), Some(1));
        assert_eq!(page_number(Some("")), Some(1));
        assert_eq!(page_number(Some("page=12")), Some(12));
        for bad in ["page=", "page=0", "page=01", "page=+1", "page=1&x", "x=1", "page=99999999999999999999"] {
            assert_eq!(page_number(Some(bad)), None, "{bad}");
        }
    }
}
