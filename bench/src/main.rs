//! What a user receives and verifies, at several sizes of the log, beside a look-up of akd in the same run.
//!
//! `keyglass-bench [--quick | LABELS ENTRIES]` prints a table as Markdown: for all sizes, the smallest, or the one given. All
//! logs are in RocksDB in a temporary directory. `keyglass-bench --audit [LABELS BATCH]` prints what an auditor verifies.

mod audit;
mod measure;
mod ours;
mod peer;
mod user;

use measure::Measured;

/// The sizes: labels, log entries.
const SIZES: [(u64, u64); 4] = [(10_000, 1_000), (10_000, 100_000), (1_000_000, 1_000), (1_000_000, 100_000)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<u64>().expect("a number of labels and one of log entries");
    let sizes = match arguments.as_slice() {
        [audit] if audit == "--audit" => return audit::run(1_400_000, 10_000),
        [audit, labels, batch] if audit == "--audit" => return audit::run(number(labels), number(batch)),
        [] => SIZES.to_vec(),
        [quick] if quick == "--quick" => SIZES[..1].to_vec(),
        [labels, entries] => vec![(number(labels), number(entries))],
        _ => panic!("usage: keyglass-bench [--quick | --audit [LABELS BATCH] | LABELS ENTRIES]"),
    };
    println!("| Labels | Log entries | What | Bytes | Verified in |");
    println!("|---|---|---|---|---|");
    for &(labels, entries) in &sizes {
        for (what, measured) in ours::run(labels, entries) {
            row(&grouped(labels), &grouped(entries), what, &measured);
        }
    }
    let mut peers: Vec<u64> = sizes.iter().map(|&(labels, _)| labels).collect();
    peers.dedup();
    for labels in peers {
        row(&grouped(labels), "", "akd 0.13, lookup proof; no head, no witnesses", &peer::run(labels));
    }
}

fn row(labels: &str, entries: &str, what: &str, measured: &Measured) {
    println!("| {labels} | {entries} | {what} | {} | {:.0} µs |", grouped(measured.bytes), measured.micros());
}

/// A number with a comma every three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let mut groups: Vec<&str> = if head.is_empty() { Vec::new() } else { vec![head] };
    groups.extend((0..tail.len() / 3).map(|group| &tail[group * 3..group * 3 + 3]));
    groups.join(",")
}
