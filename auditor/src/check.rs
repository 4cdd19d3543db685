//! `check`: one full audit from the first entry on, with nothing remembered from before, for a cron job or CI. What convicts the
//! log is left where the caller can keep it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use keyglass_tlog::note::KeyName;
use rand::{TryRng as _, rngs::SysRng};
use serde_json::json;

use crate::{
    cli::{Cli, print_line},
    clock::SystemClock,
    data_dir::{self, EVIDENCE, REFUSED},
    durable,
    follow::SharedRecords,
    plan::Plan,
    progress::Meter,
    progress_shown,
    records::Records,
    report::Report,
    run::{RunError, stop_signal},
    verdict::Verdict,
};

/// `check`. Gives the verdict to exit with.
///
/// # Errors
/// [`RunError`].
pub async fn check(cli: &Cli) -> Result<Verdict, RunError> {
    let options = cli.check()?;
    let roots = options.common.roots.load()?;
    let directory = Scratch::make().map_err(RunError::System)?;
    let data = directory.0.join("data");
    let name = KeyName::new("check").map_err(|_| RunError::NoUrl)?;
    // Nothing is signed with this key: it only says whose directory this is.
    let key = Arc::new(data_dir::create(&data, name, None)?);
    let plan = Plan::new(&options.log, &[], &options.common, &roots, &key)?.signing_nothing();
    let records = Records::open(&data, &key.vkey().to_string(), Arc::clone(&plan.trust))?;
    let meter = Arc::new(Meter::default());
    let follower = plan.follower(SharedRecords::new(records), Arc::new(SystemClock), Arc::clone(&meter));
    let stop = stop_signal()?;
    let report = tokio::select! {
        report = progress_shown::during(follower.round(), &plan.name, &meter) => report?,
        () = stop => return Err(RunError::System(io::ErrorKind::Interrupted.into())),
    };
    let report =
        keep(report, &data, &options.out).map_err(|error| RunError::File { path: options.out, error })?;
    if cli.json {
        print_line(&json!(report).to_string());
    } else {
        print_line(report.in_words().trim_end());
    }
    Ok(report.verdict)
}

/// Copies evidence and refused updates out of the directory that is about to go, and has the report name the copies.
fn keep(report: Report, data: &Path, out: &Path) -> io::Result<Report> {
    let evidence = report.convictions.iter().map(|conviction| (EVIDENCE, &conviction.file));
    let refused = report.audit.refused.iter().map(|file| (REFUSED, file));
    for (directory, file) in evidence.chain(refused) {
        durable::create_directory(out, 0o755)?;
        durable::write(&out.join(file), 0o644, &fs::read(data.join(directory).join(file))?)?;
    }
    Ok(report.with_files(out, out))
}

/// A directory that is removed with this.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> io::Result<Self> {
        let mut random = [0; 8];
        SysRng.try_fill_bytes(&mut random).map_err(|_| io::Error::other("no random bytes"))?;
        let path = std::env::temp_dir().join(format!("keyglass-check-{}", hex::encode(random)));
        // Fails if it is there, so that nobody else has prepared it.
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory is left behind");
        }
    }
}
