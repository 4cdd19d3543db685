//! A report for a person. Pure.

use core::fmt::Write as _;

use crate::report::{AuditReport, Report, VantageReport, WitnessReport};

impl Report {
    /// The report in words, in lines of text.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let mut line = |name: &str, what: String| {
            let _ = writeln!(text, "{name:<9} {what}");
        };
        line("verdict", format!("{}: {}", self.verdict, self.meaning));
        line("log", self.origin.clone());
        let age = self.head_age_ms.map_or(String::new(), |ms| format!(", the newest {}", age(ms)));
        line("entries", format!("{} replayed and verified{age}", self.tree_size));
        line("audit", of_audit(&self.audit));
        match &self.shown {
            None if self.origin.starts_with("kt:") => {
                line("shown", "a log of suite 0x0002 shows no head".to_owned())
            }
            None => line("shown", "nothing that the log signed".to_owned()),
            Some(shown) if shown.cosigners.is_empty() => {
                line("shown", format!("{} entries, cosigned by nobody", shown.tree_size));
            }
            Some(shown) => {
                let cosigners = shown.cosigners.join(", ");
                line("shown", format!("{} entries, cosigned by {cosigners}", shown.tree_size));
            }
        }
        for witness in &self.witnesses {
            line("witness", of_witness(witness));
        }
        for VantageReport { is_log, witness } in &self.vantage_points {
            line(if *is_log { "also at" } else { "auditor" }, of_witness(witness));
        }
        for finding in &self.findings {
            line("finding", format!("{}: {}", finding.kind, finding.detail));
        }
        for conviction in &self.convictions {
            let (a, b) = conviction.sizes;
            let kind = conviction.kind;
            line("evidence", format!("{} ({kind}, sizes {a} and {b})", conviction.path));
            if !conviction.faulty_witnesses.is_empty() {
                let names = conviction.faulty_witnesses.join(", ");
                line("", format!("signed both sides: {names}"));
            }
        }
        text
    }
}

fn age(ms: u64) -> String {
    let (seconds, tenths) = (ms / 1000, ms % 1000 / 100);
    match seconds {
        0..60 => format!("{seconds}.{tenths} s old"),
        60..7200 => format!("{} min old", seconds / 60),
        _ => format!("{} h old", seconds / 3600),
    }
}

fn of_audit(audit: &AuditReport) -> String {
    let signed = match (audit.signs, audit.head) {
        (false, _) => String::new(),
        (true, None) => "; none signed".to_owned(),
        (true, Some(head)) => format!("; signed up to {}", head.tree_size),
    };
    let why = audit.not_signed.as_ref().map_or(String::new(), |reason| format!(", no further: {reason}"));
    format!("the changes of {} entries verified{signed}{why}", audit.tree_size)
}

fn of_witness(witness: &WitnessReport) -> String {
    // The names of states are those of the JSON form.
    let state = serde_json::to_value(witness.state).ok();
    let state = state.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().replace('_', " ");
    let size = witness.tree_size.map_or(String::new(), |size| format!(" at {size} entries"));
    let detail = witness.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
    format!("{}: {state}{size}{detail}", witness.name)
}

#[cfg(test)]
mod tests {
    use crate::{
        report::{
            AuditReport, ConvictionReport, FindingReport, Report, ShownReport, SignedReport, VantageReport,
            WitnessReport, WitnessState,
        },
        verdict::Verdict,
    };

    #[test]
    fn a_person_reads_who_and_what_and_where() {
        let witness = |name: &str, state, tree_size| WitnessReport {
            name: name.to_owned(),
            state,
            tree_size,
            root: None,
            cosigned_at: None,
            url: None,
            latency_ms: None,
            detail: None,
        };
        let report = Report {
            verdict: Verdict::Misbehaving,
            meaning: Verdict::Misbehaving.meaning(),
            origin: "log.example/x".to_owned(),
            checked_at_ms: 5,
            took_ms: 1,
            tree_size: 12,
            root: String::new(),
            head_age_ms: Some(2345),
            newest_entry_ms: Some(5),
            entries_replayed: 3,
            shown: Some(ShownReport {
                tree_size: 12,
                root: String::new(),
                witnessed: true,
                cosigners: vec!["w1".to_owned(), "w3".to_owned()],
            }),
            witnesses: vec![
                witness("w1", WitnessState::Agrees, Some(12)),
                witness("w2", WitnessState::NoUrl, None),
            ],
            vantage_points: vec![VantageReport {
                is_log: false,
                witness: witness("other", WitnessState::Ahead, Some(13)),
            }],
            audit: AuditReport {
                tree_size: 11,
                updates_replayed: 2,
                signs: true,
                head: Some(SignedReport { tree_size: 9, timestamp_ms: 5 }),
                cosigned: None,
                not_signed: Some("the verdict is misbehaving".to_owned()),
                refused: Vec::new(),
            },
            findings: vec![FindingReport {
                kind: "misbehaving",
                verdict: Verdict::Misbehaving,
                detail: "the log signed two histories: e".to_owned(),
            }],
            evidence: vec!["e".to_owned()],
            convictions: vec![ConvictionReport {
                path: "e".to_owned(),
                file: "e".to_owned(),
                kind: "inconsistent",
                sizes: (7, 12),
                faulty_witnesses: vec!["w3".to_owned()],
            }],
        };
        let lines: Vec<String> = report.in_words().lines().map(str::to_owned).collect();
        assert_eq!(
            lines[2..],
            [
                "entries   12 replayed and verified, the newest 2.3 s old",
                "audit     the changes of 11 entries verified; signed up to 9, no further: the verdict is misbehaving",
                "shown     12 entries, cosigned by w1, w3",
                "witness   w1: agrees at 12 entries",
                "witness   w2: no url",
                "auditor   other: ahead at 13 entries",
                "finding   misbehaving: the log signed two histories: e",
                "evidence  e (inconsistent, sizes 7 and 12)",
                "          signed both sides: w3",
            ]
        );
        assert!(lines[0].starts_with("verdict   misbehaving: "));
    }
}
