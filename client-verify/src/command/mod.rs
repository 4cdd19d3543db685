//! The `keyglass` command: parse, do, report.

mod args;
mod backup;
mod changes;
mod contacts;
mod context;
mod device;
mod evidence;
mod fan_out;
mod handover;
mod heads;
mod heads_gossip;
mod heads_text;
mod heads_walk;
mod label;
mod link;
mod lock;
mod lookup;
mod monitor;
mod note;
mod operation;
mod outbox;
mod outcome;
mod own;
mod ownership;
mod passphrase;
mod policy;
mod policy_words;
mod prekeys;
mod proof;
mod proof_export;
mod random;
mod reach;
mod receive;
mod reconcile;
mod recover;
mod recovery;
mod register;
mod reporting;
mod resolve;
mod rotate;
mod safety_number;
mod search;
mod search_many;
mod send;
mod service;
mod shown;
mod upgrade;
mod watch;
mod withheld;

use std::io::{self, Write};

use serde_json::{Map, Value, json};

pub use args::{
    Arguments, Command, Common, ContactsOptions, DeviceCommand, EvidenceCommand, ExportOptions, LinkCommand,
    MonitorOptions, NoteCommand, PolicyCommand, PrekeysOptions, ProofCommand, RecoveryCommand, WatchOptions,
};
use context::Context;
use outcome::{Failure, Outcome};
pub use reporting::Auditor;

use crate::{http::one_line, verdict::Verdict};

/// Runs the command and reports on `stdout` and `stderr`. Gives the verdict, whose exit code is the process's.
pub async fn run(arguments: Arguments, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Verdict {
    let Arguments { common, command } = arguments;
    reporting::noting(async {
        let verdict = answered(&common, command, stdout, stderr).await;
        // The answer is out: nobody waits for an auditor but the end of the process.
        reporting::tell(&common, stderr).await;
        verdict
    })
    .await
}

async fn answered(
    common: &Common,
    command: Command,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Verdict {
    let result = perform(common, command, stdout, stderr).await;
    match result {
        Ok(verdict) => verdict,
        Err(failure) => {
            let verdict = failure.verdict;
            // If even this cannot be written, the exit code still tells.
            let _ = report_failure(common, failure, stdout, stderr);
            verdict
        }
    }
}

async fn perform(
    common: &Common,
    command: Command,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Verdict, Failure> {
    let outcome = match command {
        Command::Evidence(EvidenceCommand::Verify { file, log }) => {
            evidence::verify(&file, &log, common.policy.as_deref())?
        }
        Command::Evidence(EvidenceCommand::Show { file, log }) => {
            evidence::show(&file, &log, common.policy.as_deref())?
        }
        Command::Policy(PolicyCommand::Check { file, against }) => policy::check(&file, against.as_deref())?,
        Command::Note(NoteCommand::Verify { file, vkeys }) => note::verify(&file, &vkeys)?,
        Command::Proof(ProofCommand::Verify { proof, entry }) => {
            proof::verify(&proof, &entry, common.policy.as_deref())?
        }
        Command::Proof(ProofCommand::Export(mut options)) => {
            let mut context = open(common, stderr).await?;
            options.label = label::meant_if_any(&context, common, options.label)?;
            let outcome = proof_export::run(&mut context, &options).await?;
            marked(&context, outcome)
        }
        Command::Register { label, token, devices } => {
            let mut context = open(common, stderr).await?;
            let label = label::meant(&context, common, &label)?;
            let outcome = register::run(&mut context, &label, token.as_deref(), devices).await?;
            marked(&context, outcome)
        }
        Command::Device(command) => {
            let mut context = open(common, stderr).await?;
            let outcome = device::run(&mut context, &command).await?;
            marked(&context, outcome)
        }
        Command::Link(command) => {
            let mut context = open(common, stderr).await?;
            let outcome = link::run(&mut context, common, &command).await?;
            marked(&context, outcome)
        }
        Command::Rotate { from } => {
            let mut context = open(common, stderr).await?;
            let outcome = rotate::run(&mut context, from.as_deref()).await?;
            marked(&context, outcome)
        }
        Command::Lock { from } => {
            let mut context = open(common, stderr).await?;
            let outcome = lock::run(&mut context, from.as_deref(), true).await?;
            marked(&context, outcome)
        }
        Command::Unlock { from } => {
            let mut context = open(common, stderr).await?;
            let outcome = lock::run(&mut context, from.as_deref(), false).await?;
            marked(&context, outcome)
        }
        Command::Recovery(command) => {
            let mut context = open(common, stderr).await?;
            let outcome = recovery::run(&mut context, &command).await?;
            marked(&context, outcome)
        }
        Command::Recover { label, recovery_key, passphrase_file, keep_devices, accept_change } => {
            let mut context = open(common, stderr).await?;
            let label = label::meant(&context, common, &label)?;
            let (key, passphrase) = (recovery_key.as_path(), passphrase_file.as_deref());
            let options = recover::Options { label: &label, key, passphrase, keep_devices, accept_change };
            let outcome = recover::run(&mut context, &options).await?;
            marked(&context, outcome)
        }
        Command::Backup { file, passphrase_file, from } => {
            let context = open(common, stderr).await?;
            backup::backup(&context, &file, from.as_deref(), passphrase_file.as_deref())?
        }
        Command::Restore { file, passphrase_file, remove_device } => {
            let mut context = open(common, stderr).await?;
            let outcome =
                backup::restore(&mut context, &file, passphrase_file.as_deref(), &remove_device).await?;
            marked(&context, outcome)
        }
        Command::Lookup { labels, accept_change } => {
            let mut context = open(common, stderr).await?;
            let meant = |label: &String| label::meant(&context, common, label);
            let labels = labels.iter().map(meant).collect::<Result<Vec<String>, _>>()?;
            let outcome = lookup::run(&mut context, &labels, accept_change).await?;
            marked(&context, outcome)
        }
        Command::SafetyNumber { label, from, compare } => {
            let mut context = open(common, stderr).await?;
            let label = label::meant(&context, common, &label)?;
            let outcome =
                safety_number::run(&mut context, &label, from.as_deref(), compare.as_deref()).await?;
            marked(&context, outcome)
        }
        Command::Send { labels, text, from, accept_change } => {
            let mut context = open(common, stderr).await?;
            let meant = |label: &String| label::meant(&context, common, label);
            let labels = labels.iter().map(meant).collect::<Result<Vec<String>, _>>()?;
            let outcome = send::run(&mut context, &labels, &text, from.as_deref(), accept_change).await?;
            return report_changes(common, &mut context, outcome, stdout, stderr);
        }
        Command::Heads { export, compare } => {
            let mut context = open(common, stderr).await?;
            let outcome = match compare {
                Some(theirs) => heads::compare(&mut context, &theirs).await?,
                None => heads::run(&mut context, export).await?,
            };
            marked(&context, outcome)
        }
        Command::Receive => {
            let mut context = open(common, stderr).await?;
            let outcome = receive::run(&mut context).await?;
            let verdict = report_changes(common, &mut context, outcome, stdout, stderr)?;
            receive::shown(&context)?;
            return Ok(verdict);
        }
        Command::Monitor(MonitorOptions { accept }) => {
            return monitor_once(common, accept, stdout, stderr).await;
        }
        Command::Watch(WatchOptions { once: true, .. }) => {
            return monitor_once(common, None, stdout, stderr).await;
        }
        Command::Prekeys(mut options) => {
            let mut context = open(common, stderr).await?;
            options.label = label::meant_if_any(&context, common, options.label)?;
            prekeys::run(&mut context, &options).await?
        }
        Command::Contacts(ContactsOptions { ignore, watch }) => {
            let mut context = open(common, stderr).await?;
            let ignore = label::meant_if_any(&context, common, ignore)?;
            let watch = label::meant_if_any(&context, common, watch)?;
            contacts::run(&mut context, &ContactsOptions { ignore, watch })?
        }
        Command::Watch(options) => watch::run(common, &options, stdout, stderr).await?,
    };
    report(common, outcome, stdout, stderr).map_err(|error| unwritable(&error))
}

/// One round of monitoring. What it found is remembered once it was printed.
async fn monitor_once(
    common: &Common,
    accept: Option<String>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Verdict, Failure> {
    let mut context = open(common, stderr).await?;
    let accepted = match label::meant_if_any(&context, common, accept)? {
        Some(label) => Some(monitor::adopt(&mut context, &label).await?),
        None => None,
    };
    let round = monitor::round(&mut context).await?;
    let mut outcome = marked(&context, round.describe());
    if let Some(accepted) = accepted {
        outcome.field("accepted", accepted);
    }
    let verdict = report(common, outcome, stdout, stderr).map_err(|error| unwritable(&error))?;
    round.settle(&mut context)?;
    Ok(verdict)
}

/// Reports an outcome with what changed in the accounts that were met, and remembers that it was said.
fn report_changes(
    common: &Common,
    context: &mut Context,
    mut outcome: Outcome,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Verdict, Failure> {
    context.tell_changes(&mut outcome);
    let outcome = marked(context, outcome);
    let verdict = report(common, outcome, stdout, stderr).map_err(|error| unwritable(&error))?;
    context.changes_were_told()?;
    Ok(verdict)
}

/// Opens what a command that asks a server needs, and says loudly if nothing of what it shows will be witnessed.
async fn open(common: &Common, stderr: &mut dyn Write) -> Result<Context, Failure> {
    let mut context = Context::open(common).await?;
    if let Some(said) = handover::take_over(&mut context, common).await? {
        writeln!(stderr, "keyglass: {}", one_line(&said)).map_err(|error| unwritable(&error))?;
    }
    if context.trusts_the_log_alone() {
        writeln!(stderr, "keyglass: NOTHING IS WITNESSED: only the log itself vouches for what it shows")
            .map_err(|error| unwritable(&error))?;
    }
    Ok(context)
}

/// The outcome, which says for scripts too if nothing was witnessed, and which versions of own accounts were made elsewhere and
/// are built upon.
fn marked(context: &Context, mut outcome: Outcome) -> Outcome {
    for (label, text) in &context.built_upon {
        outcome.note(format!("  {text}"));
        // If this cannot be stored, it is said again.
        let _ = own::told_of_built_upon(context, label);
    }
    if !context.built_upon.is_empty() {
        let texts: Vec<&String> = context.built_upon.iter().map(|(_, text)| text).collect();
        outcome.field("built_upon", texts);
    }
    if context.trusts_the_log_alone() {
        outcome.field("unwitnessed", true);
    }
    outcome
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::new(Verdict::Failed, "output", format!("cannot write the output: {error}"))
}

/// Prints an outcome, and makes sure that it has left this process.
fn report(
    common: &Common,
    outcome: Outcome,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<Verdict> {
    let Outcome { verdict, lines, notes, fields } = outcome;
    if common.json {
        write_json(verdict, fields, stdout)?;
    } else {
        for line in lines {
            writeln!(stdout, "{line}")?;
        }
        for note in notes {
            writeln!(stderr, "{note}")?;
        }
        if verdict != Verdict::Verified {
            writeln!(stderr, "keyglass: {}: {}", verdict.name(), verdict.meaning())?;
        }
    }
    stdout.flush()?;
    Ok(verdict)
}

fn report_failure(
    common: &Common,
    failure: Failure,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<()> {
    let Failure { verdict, reason, message, mut fields } = failure;
    if common.json {
        fields.insert("reason".into(), json!(reason));
        fields.insert("message".into(), json!(message));
        write_json(verdict, fields, stdout)?;
        stdout.flush()
    } else {
        writeln!(stderr, "keyglass: {}: {message}", verdict.name())?;
        if verdict != Verdict::Usage && verdict != Verdict::Failed {
            writeln!(stderr, "{}", verdict.meaning())?;
        }
        Ok(())
    }
}

fn write_json(verdict: Verdict, fields: Map<String, Value>, stdout: &mut dyn Write) -> io::Result<()> {
    let mut object = Map::new();
    object.insert("verdict".into(), json!(verdict));
    object.extend(fields);
    writeln!(stdout, "{}", Value::Object(object))
}
