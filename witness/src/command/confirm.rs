//! `confirm`: what others have of the witness's cosignatures, after its state was put back.

use std::{collections::BTreeSet, fs::File, io::Read as _, path::Path};

use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{MAX_NOTE_LEN, SignedNote, Vkey},
    policy::Policy,
};
use keyglass_witness::{
    head::Head,
    rollback::{self, NotShown},
    store::{self, Confirmation, Report, Verdict},
};

use super::{CommandError, options::ConfirmOptions, policy_file, print_line, vkeys};

pub(super) fn run(
    data: &Path,
    policy_path: &Path,
    cosigners: &[Cosigner],
    options: &ConfirmOptions,
    json: bool,
) -> Result<(), CommandError> {
    let policy = policy_file::read(policy_path)?;
    let own = vkeys(cosigners);
    let shown = options.note.iter().map(|path| read_note(path, &policy, &own)).collect::<Result<_, _>>()?;
    let confirmation = Confirmation {
        origins: policy.logs().iter().map(|log| log.origin().to_owned()).collect(),
        shown,
        as_it_is: options.as_it_is.iter().cloned().collect::<BTreeSet<_>>(),
        all_as_it_is: options.all_as_it_is,
        restored: options.restored,
    };
    let reports = store::confirm(data, &own, &confirmation)?;
    reports.iter().try_for_each(|report| print_line(&line(report, json)))?;
    match reports.iter().filter(|report| report.verdict == Verdict::Suspended).count() {
        0 => Ok(()),
        suspended => Err(CommandError::StillSuspended(suspended)),
    }
}

fn read_note(path: &Path, policy: &Policy, own: &[&Vkey]) -> Result<Head, CommandError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_NOTE_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| CommandError::NoteFile { path: path.to_owned(), source })?;
    let note =
        SignedNote::parse(&bytes).map_err(|source| CommandError::Note { path: path.to_owned(), source })?;
    let shown = || {
        let origin = Checkpoint::from_note(&note)?.origin().to_owned();
        let keys: Vec<Vkey> = policy.log_keys(&origin).cloned().collect();
        rollback::shown_by(note, &keys, own)
    };
    shown().map_err(|source: NotShown| CommandError::NotShown { path: path.to_owned(), source })
}

fn line(report: &Report, json: bool) -> String {
    let verdict = match report.verdict {
        Verdict::Unchanged => "unchanged",
        Verdict::Raised => "raised",
        Verdict::Confirmed => "confirmed",
        Verdict::Suspended => "suspended",
    };
    let hash: String = report.origin_hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
    if json {
        let (origin, size) = (&report.origin, report.tree_size);
        return serde_json::json!({
            "origin": origin, "origin_hash": hash, "tree_size": size, "verdict": verdict,
        })
        .to_string();
    }
    let size = report.tree_size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    format!("{} {size} {verdict}", report.origin.as_deref().unwrap_or(&hash))
}
