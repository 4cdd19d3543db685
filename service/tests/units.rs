//! The systemd units: that systemd understands them, and that they stay as tight as they are.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const PROGRAMS: [&str; 3] = ["keyglass-witness", "keyglass-log-server", "keyglass-auditor"];
/// The highest exposure that `systemd-analyze security` may find, in tenths.
const MOST_EXPOSURE: &str = "12";

fn unit(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(format!("{program}.service"))
}

/// Runs `systemd-analyze`, which needs no running systemd; `None` where it is not installed.
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    Command::new("systemd-analyze").args(arguments).arg(unit).output().ok()
}

#[test]
fn units_are_valid_and_tight() {
    let directory = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        // The program need not be installed for its unit to be judged.
        let text = fs::read_to_string(unit(program)).unwrap();
        let text = text.replace(&format!("/usr/local/bin/{program}"), "/bin/true");
        assert!(text.contains("ExecStart=/bin/true "), "{program}");
        let copy = directory.path().join(format!("{program}.service"));
        fs::write(&copy, text).unwrap();
        let Some(verified) = analyze(&["verify", "--man=no"], &copy) else {
            println!("skipped: systemd-analyze is not installed (Debian package systemd)");
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let own: Vec<&str> = said.lines().filter(|line| line.contains(program)).collect();
        assert!(verified.status.success() && own.is_empty(), "{program}: {said}");

        let threshold = format!("--threshold={MOST_EXPOSURE}");
        let judged = analyze(&["security", "--offline=true", "--no-pager", &threshold], &copy).unwrap();
        let said = String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success(), "{program}: {said}{}", String::from_utf8_lossy(&judged.stderr));
    }
}

#[test]
fn every_unit_has_the_same_sandbox() {
    let sandbox = |program: &str| {
        let text = fs::read_to_string(unit(program)).unwrap();
        let (_, sandbox) = text.split_once("\n# What it may do.").unwrap();
        let own = ["RestrictAddressFamilies=", "LimitNOFILE="];
        let shared = sandbox.lines().filter(|line| !own.iter().any(|own| line.starts_with(own)));
        shared.map(str::to_owned).collect::<Vec<_>>()
    };
    let [first, rest @ ..] = PROGRAMS;
    assert!(sandbox(first).len() > 25);
    for program in rest {
        assert_eq!(sandbox(program), sandbox(first), "{program}");
    }
}
