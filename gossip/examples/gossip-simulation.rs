//! The simulation of `docs/gossip.md`: prints its table, and writes its plot to the path that is given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

#[path = "../tests/simulation/world.rs"]
mod world;

use std::fmt::Write as _;

use world::{Came, Setting, Shown, World};

const NODES: [usize; 6] = [4, 10, 31, 100, 316, 1000];
const PEERS: usize = 16;

struct Row {
    nodes: usize,
    byzantine: usize,
    what: &'static str,
    median: f64,
    worst: f64,
    each: f64,
}

fn row(setting: Setting, what: &'static str) -> Row {
    let seeds = if setting.nodes >= 316 { 10 } else { 30 };
    let mut runs: Vec<Came> = (0..seeds).map(|seed| World::new(Setting { seed, ..setting }).run()).collect();
    assert!(runs.iter().all(|came| came.wrong == 0), "an honest party was accused or not believed");
    runs.sort_by(|x, y| x.last.total_cmp(&y.last));
    let median = runs[runs.len() / 2];
    let worst = runs.last().unwrap().last;
    let each = median.messages as f64 / (setting.nodes - setting.byzantine) as f64;
    Row { nodes: setting.nodes, byzantine: setting.byzantine, what, median: median.last, worst, each }
}

fn main() {
    let mut rows = Vec::new();
    for nodes in NODES {
        let base = Setting {
            nodes,
            byzantine: 0,
            peers: PEERS,
            shown: Shown::One,
            sizes_differ: false,
            partition: 0.0,
            seed: 0,
        };
        let third = Setting { byzantine: nodes / 3, ..base };
        rows.push(row(base, "one is shown the fork"));
        rows.push(row(third, "one is shown the fork"));
        rows.push(row(Setting { shown: Shown::Half, ..third }, "half are shown the fork"));
        rows.push(row(Setting { sizes_differ: true, ..third }, "one, at another size"));
        rows.push(row(Setting { partition: 2.0, ..third }, "one, the network cut for 2 periods"));
    }
    println!("| Parties | Byzantine | Fork | Median | Longest | Messages for each honest party |");
    println!("|---|---|---|---|---|---|");
    for Row { nodes, byzantine, what, median, worst, each } in &rows {
        println!("| {nodes} | {byzantine} | {what} | {median:.2} | {worst:.2} | {each:.0} |");
    }
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(&path, plot(&rows)).unwrap();
    }
}

/// Periods until all honest parties hold evidence, over the number of parties, which is scaled logarithmically.
fn plot(rows: &[Row]) -> String {
    let (left, top, width, height) = (60.0, 20.0, 560.0, 260.0);
    let x = |nodes: usize| left + width * ((nodes as f64).ln() - 4f64.ln()) / (1000f64.ln() - 4f64.ln());
    let most =
        rows.iter().filter(|row| !row.what.contains("cut")).map(|row| row.worst).fold(3.0, f64::max).ceil();
    let y = |periods: f64| top + height * (1.0 - periods / most);
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 880 340\" font-family=\"sans-serif\" font-size=\"13\">"
    );
    let _ = writeln!(svg, "<title>Periods until every honest party holds evidence</title>");
    let _ = writeln!(svg, "<rect width=\"880\" height=\"340\" fill=\"#fff\"/>");
    for periods in 0..=most as usize {
        let at = y(periods as f64);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>",
            left + width
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{periods}</text>",
            left - 8.0,
            at + 4.0
        );
    }
    for nodes in NODES {
        let at = x(nodes);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{nodes}</text>",
            top + height + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">parties</text>",
        left + width / 2.0,
        top + height + 40.0
    );
    let middle = top + height / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"18\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {middle})\">periods</text>"
    );
    let series = [
        ("#2a78c0", false, "one is shown the fork", "one sees it, none Byzantine"),
        ("#c0392b", true, "one is shown the fork", "one sees it, a third Byzantine"),
        ("#2e8b57", true, "half are shown the fork", "half see it, a third Byzantine"),
        ("#8e5bb5", true, "one, at another size", "one, another size, a third"),
    ];
    for (i, (colour, third, what, label)) in series.into_iter().enumerate() {
        let of_series: Vec<&Row> =
            rows.iter().filter(|row| row.what == what && (row.byzantine > 0) == third).collect();
        for (dash, value) in [("", true), (" stroke-dasharray=\"4 4\"", false)] {
            let points: Vec<String> = of_series
                .iter()
                .map(|row| {
                    format!("{:.1},{:.1}", x(row.nodes), y(if value { row.median } else { row.worst }))
                })
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
                points.join(" ")
            );
        }
        let at = top + 10.0 + 22.0 * i as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"635\" x2=\"655\" y1=\"{at}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let _ = writeln!(svg, "<text x=\"660\" y=\"{}\" font-size=\"12\">{label}</text>", at + 4.0);
    }
    let _ = writeln!(
        svg,
        "<text x=\"635\" y=\"{}\" font-size=\"12\">solid: median, dashed: longest</text>",
        top + 110.0
    );
    svg.push_str("</svg>\n");
    svg
}
