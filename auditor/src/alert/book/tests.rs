use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOLD: Duration = Duration::from_secs(60);

fn observation(key: &str) -> Observation {
    let (severity, detail, evidence) = (Severity::Warning, format!("{key} is wrong"), None);
    Observation { key: key.to_owned(), severity, detail, evidence }
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(1_700_000_000_000 + seconds * 1000)
}

/// What is told of one key, as `+` and `-` with the second.
fn told(book: &mut Book, seen: &[(u64, bool)]) -> Vec<(char, u64)> {
    let mut told = Vec::new();
    for &(second, wrong) in seen {
        let observations = if wrong { vec![observation("stale")] } else { Vec::new() };
        for notice in book.observe("log", &observations, at(second), HOLD) {
            told.push((if notice.transition == Transition::Opened { '+' } else { '-' }, second));
        }
    }
    told
}

#[test]
fn an_alert_opens_at_once_and_resolves_after_the_hold() {
    let mut book = Book::default();
    assert_eq!(told(&mut book, &[(0, true), (1, true), (2, false), (61, false)]), [('+', 0)]);
    assert_eq!(book.open().len(), 1);
    assert_eq!(told(&mut book, &[(62, false), (63, false)]), [('-', 62)]);
    assert!(book.open().is_empty());
}

#[test]
fn what_comes_and_goes_is_one_alert() {
    let mut book = Book::default();
    let flapping: Vec<(u64, bool)> = (0..600).map(|second| (second, second % 40 < 2)).collect();
    assert_eq!(told(&mut book, &flapping), [('+', 0)]);
    // It ends at last, and what comes back within the hold waits for its end.
    assert_eq!(
        told(&mut book, &[(600, false), (660, false), (661, true), (700, true), (720, true)]),
        [('-', 660), ('+', 720)]
    );
    // What is gone again before that is never told.
    let mut book = Book::default();
    assert_eq!(
        told(&mut book, &[(0, true), (1, false), (61, false), (62, true), (63, false), (300, false)]),
        [('+', 0), ('-', 61)]
    );
    assert!(book.tracked.is_empty());
}

#[test]
fn a_log_of_which_nothing_is_known_resolves_nothing() {
    let mut book = Book::default();
    let _ = book.observe("log", &[observation("stale")], at(0), HOLD);
    assert!(book.observe("other", &[], at(10_000), HOLD).is_empty());
    // The first round after a long time away is where absence begins.
    assert!(book.observe("log", &[], at(10_000), HOLD).is_empty());
    assert_eq!(book.observe("log", &[], at(10_060), HOLD).len(), 1);
}

#[test]
fn a_clock_that_was_far_ahead_delays_nothing() {
    let mut book = Book::default();
    assert_eq!(told(&mut book, &[(1 << 40, true), ((1 << 40) + 5, false)]), [('+', 1 << 40)]);
    assert_eq!(told(&mut book, &[(1000, false), (1059, false), (1060, false)]), [('-', 1060)]);
    assert_eq!(told(&mut book, &[(1100, true), (1120, true)]), [('+', 1120)]);
}

#[test]
fn a_log_that_is_not_followed_any_more_resolves() {
    let mut book = Book::default();
    let _ = book.observe("old", &[observation("stale")], at(0), HOLD);
    let _ = book.observe("log", &[observation("stale")], at(0), HOLD);
    let notices = book.retain(&["log"], at(1));
    assert_eq!(notices.len(), 1);
    assert_eq!(
        (notices[0].transition, notices[0].log.as_str(), notices[0].alert),
        (Transition::Resolved, "old", 1)
    );
    assert_eq!(book.open().len(), 1);
}

#[test]
fn the_number_of_alerts_is_bounded_and_the_grave_ones_fit() {
    let mut book = Book::default();
    let many = |severity: Severity| -> Vec<Observation> {
        let one = |i| Observation { severity, ..observation(&format!("{}:{i}", severity.name())) };
        (0..MAX_ALERTS_OF_ONE + 100).map(one).collect()
    };
    // Each of these logs has more silent witnesses than there is room for; so do the logs together.
    let logs: Vec<String> = (0..=MAX_ALERTS / MAX_ALERTS_OF_ONE).map(|i| format!("log{i}")).collect();
    let mut observe =
        |log: &str, severity, second| book.observe(log, &many(severity), at(second), HOLD).len();
    for severity in [Severity::Warning, Severity::Serious, Severity::Critical] {
        let opened: Vec<usize> = logs.iter().map(|log| observe(log, severity, 0)).collect();
        let (last, others) = opened.split_last().unwrap();
        assert!(
            others.iter().all(|opened| *opened == MAX_ALERTS_OF_ONE) && *last == 0,
            "{severity:?}: {opened:?}"
        );
    }
    let _ = book.observe("log0", &[], at(1), HOLD);
    // Those that are over leave room.
    let resolved = book.observe("log0", &[], at(61), HOLD).len();
    assert_eq!((resolved, book.open().len()), (3 * MAX_ALERTS_OF_ONE, 3 * (MAX_ALERTS - MAX_ALERTS_OF_ONE)));
}

/// An alert is not kept waiting for a time that a clock once showed by mistake.
#[test]
fn a_clock_that_was_put_back_silences_nothing() {
    let (mut book, year) = (Book::default(), 365 * 86_400);
    assert_eq!(
        told(&mut book, &[(0, true), (year, false), (year + 60, false)]),
        [('+', 0), ('-', year + 60)]
    );
    assert_eq!(told(&mut book, &[(10, true), (70, true)]), [('+', 70)]);
    assert_eq!(told(&mut book, &[(year, true), (80, false), (140, false)]), [('-', 140)]);
}

#[test]
fn the_numbers_of_a_lost_book_are_not_given_again() {
    let mut book = Book::default();
    book.number_from(at(5));
    let id = book.observe("log", &[observation("stale")], at(5), HOLD)[0].id;
    assert_eq!(id, at(5).0 + 1);
    book.number_from(at(500));
    assert_eq!(book.observe("log", &[observation("stale"), observation("other")], at(6), HOLD)[0].id, id + 1);
}

#[test]
fn strangers_texts_are_bounded_and_visible() {
    let hostile = Observation {
        key: "k\u{202e}".to_owned(),
        detail: format!("\u{1b}[31m{}", "x".repeat(100_000)),
        ..observation("")
    };
    let notices = Book::default().observe("log", &[hostile], at(0), HOLD);
    assert_eq!(notices[0].what.key, "k\\u{202e}");
    assert!(notices[0].what.detail.starts_with("\\u{1b}[31mxxx") && notices[0].what.detail.len() < 600);
}

#[derive(Debug, Clone)]
enum Event {
    /// A round of a log, `seconds` after the event before, with these of three things wrong.
    Round { log: u8, seconds: u64, wrong: u8 },
    /// The clock is put back.
    Back(u64),
    /// The process is killed and started again.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0u8..2, 0u64..50, 0u8..8).prop_map(|(log, seconds, wrong)| Event::Round { log, seconds, wrong }),
        1 => (0u64..100).prop_map(Event::Back),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    /// Whatever is observed: opened and resolved alternate, no two transitions of a key are closer than the hold, ids are
    /// never given twice, nothing opens that is not wrong, nothing resolves that was wrong within the hold, and what stays
    /// wrong is open.
    #[test]
    fn alerts_alternate_and_never_flap(events in proptest::collection::vec(event(), 0..300)) {
        let mut book = Book::default();
        let (mut clock, mut shown) = (1_000_000u64, 1_000_000u64);
        // The time that the book goes by stands still while the clock goes back.
        let mut time = 0u64;
        let mut last: BTreeMap<(u8, String), (Transition, u64, u64)> = BTreeMap::new();
        let mut seen: BTreeMap<(u8, String), u64> = BTreeMap::new();
        let mut last_id = 0;
        for event in events {
            let (log, wrong) = match event {
                Event::Back(seconds) => {
                    clock = clock.saturating_sub(seconds);
                    continue;
                }
                Event::Restart => {
                    let kept = serde_json::to_vec(&book).unwrap();
                    book = serde_json::from_slice(&kept).unwrap();
                    continue;
                }
                Event::Round { log, seconds, wrong } => {
                    clock += seconds;
                    time += clock.saturating_sub(shown);
                    shown = clock;
                    (log, wrong)
                }
            };
            let wrong: Vec<String> = (0..3).filter(|bit| wrong >> bit & 1 == 1).map(|bit| format!("k{bit}")).collect();
            for key in &wrong {
                seen.insert((log, key.clone()), time);
            }
            let observations: Vec<Observation> = wrong.iter().map(|key| observation(key)).collect();
            for notice in book.observe(&log.to_string(), &observations, at(clock), HOLD) {
                let key = (log, notice.what.key.clone());
                prop_assert_eq!(&notice.log, &log.to_string());
                prop_assert!(notice.id > last_id);
                last_id = notice.id;
                let before = last.get(&key).copied();
                if let Some((transition, when, _)) = before {
                    prop_assert!(transition != notice.transition, "{key:?} twice");
                    prop_assert!(time - when >= HOLD.as_secs(), "{key:?} after {} s", time - when);
                }
                match notice.transition {
                    Transition::Opened => {
                        prop_assert!(wrong.contains(&key.1));
                        prop_assert_eq!(notice.alert, notice.id);
                    }
                    Transition::Resolved => {
                        let (_, _, alert) = before.expect("it was opened");
                        prop_assert_eq!(notice.alert, alert);
                        prop_assert!(time - seen[&key] >= HOLD.as_secs());
                    }
                }
                last.insert(key, (notice.transition, time, notice.alert));
            }
            for key in wrong {
                let key = (log, key);
                let waits = last.get(&key).is_some_and(|(transition, when, _)| {
                    *transition == Transition::Resolved && time - when < HOLD.as_secs()
                });
                let open = book.open().iter().any(|open| open.log == log.to_string() && open.what.key == key.1);
                prop_assert!(open != waits, "{key:?} is open or waits");
            }
            prop_assert!(book.tracked.len() <= 6);
        }
    }
}
