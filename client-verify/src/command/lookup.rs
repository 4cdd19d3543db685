//! `keyglass lookup`: who somebody is, and why that may be believed.

use keyglass_account::verify::{AuthorisedBy, Change};
use keyglass_keytrans::client::VerifiedHead;
use keyglass_tlog::{time::UnixSeconds, witnessed::Cosigned};
use serde_json::json;

use super::{
    context::{Context, now},
    outcome::{Failure, Outcome},
    resolve::{Resolved, another_identity, author_name, authorised_by, broken_identity, hex, known_identity},
};
use crate::{
    proven::{Identity, ProvenAccount},
    verdict::Verdict,
};

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up.
pub async fn run(context: &mut Context, labels: &[String], accept_change: bool) -> Result<Outcome, Failure> {
    if let [label] = labels {
        let resolved = context.resolve(label).await?;
        return one(context, label, resolved, accept_change);
    }
    let mut outcomes = Vec::new();
    for (label, resolved) in labels.iter().zip(context.resolve_many(labels).await?) {
        let outcome = resolved.and_then(|resolved| one(context, label, resolved, accept_change));
        outcomes.push((label.clone(), outcome));
    }
    Ok(several(outcomes, "accounts"))
}

/// The outcomes for several labels in one. What failed for one of them is said in its place.
pub(super) fn several(outcomes: Vec<(String, Result<Outcome, Failure>)>, name: &str) -> Outcome {
    let verdict = |outcome: &Result<Outcome, Failure>| match outcome {
        Ok(outcome) => outcome.verdict,
        Err(failure) => failure.verdict,
    };
    let mut verdicts = outcomes.iter().map(|(_, outcome)| verdict(outcome));
    let first = verdicts.next().unwrap_or(Verdict::Verified);
    let together = if verdicts.all(|other| other == first) { first } else { Verdict::Partial };
    let mut outcome = Outcome::new(together);
    let mut list = Vec::new();
    for (label, one) in outcomes {
        let verdict = verdict(&one);
        let mut entry = match one {
            Ok(one) => {
                one.lines.into_iter().for_each(|line| outcome.line(line));
                one.notes.into_iter().for_each(|note| outcome.note(note));
                one.fields
            }
            Err(failure) => {
                outcome.line(format!("{label}: {}: {}", verdict.name(), failure.message));
                let mut fields = failure.fields;
                fields.insert("reason".into(), json!(failure.reason));
                fields.insert("message".into(), json!(failure.message));
                fields
            }
        };
        entry.insert("label".into(), json!(label));
        entry.insert("verdict".into(), json!(verdict));
        list.push(entry);
    }
    outcome.field(name, list);
    outcome
}

/// What is said of one account that was proven.
fn one(
    context: &mut Context,
    label: &str,
    mut resolved: Resolved,
    accept_change: bool,
) -> Result<Outcome, Failure> {
    let own = context.home.account(label)?.filter(|own| own.published.is_some());
    if let Some(own) = &own
        && own.identity_key() != resolved.account.valid().record().identity_key
    {
        return Err(replaced(&resolved));
    }
    if resolved.is_another_identity() && !accept_change {
        return Err(describe_failure(context, &resolved, another_identity(&resolved)));
    }
    let broken = resolved.account.identity() == Identity::Broken;
    if broken {
        if !accept_change {
            return Err(describe_failure(context, &resolved, broken_identity(&resolved)));
        }
        resolved.account = resolved.account.accept_broken_identity();
    }
    context.remember(label, &resolved.account)?;
    let succeeded = resolved.account.identity() == Identity::Succeeded;
    // A change that the account's own keys authorised is shown once and is then the identity known.
    let verdict = if succeeded && !accept_change { Verdict::Changed } else { Verdict::Verified };
    Ok(describe(context, label, &resolved, verdict, own.is_some()))
}

/// One's own label with an identity that is not one's own.
fn replaced(resolved: &Resolved) -> Failure {
    let record = resolved.account.valid().record();
    let message = "THIS IS YOUR OWN LABEL, and the log shows an identity that is not yours: whoever looks you up now \
                   reaches somebody else. Tell your contacts, and ask the provider.";
    Failure::new(Verdict::Changed, "own_identity_replaced", message)
        .with("version", record.version)
        .with("authorised_by", authorised_by(&resolved.account))
        .with("identity_key", hex(&record.identity_key.to_bytes()))
}

/// The identity that stops the person, with everything that was verified all the same.
fn describe_failure(context: &Context, resolved: &Resolved, mut failure: Failure) -> Failure {
    let facts = Facts::new(context, resolved);
    facts.fields(resolved, |name, value| {
        failure.fields.entry(name).or_insert(value);
    });
    failure
}

/// The outcome for a person and for scripts.
fn describe(context: &Context, label: &str, resolved: &Resolved, verdict: Verdict, own: bool) -> Outcome {
    let facts = Facts::new(context, resolved);
    let account = &resolved.account;
    let record = account.valid().record();
    let change = account.change();
    let mut outcome = Outcome::new(verdict);
    outcome.line(format!("{label}: {}", headline(resolved, verdict)));
    outcome.line(format!("  log         {}", account.origin()));
    outcome.line(format!(
        "              {} entries, head {} old",
        facts.tree_size,
        duration(facts.head_age_ms)
    ));
    outcome.line(format!("  witnesses   {}", facts.witness_line()));
    outcome.line(format!("  version     {}, authorised by {}", record.version, by(change.by)));
    outcome.line(format!("  identity    {}", grouped(&record.identity_key.to_bytes())));
    let acquaintance = if own { "your own".to_owned() } else { acquaintance(resolved) };
    outcome.line(format!("              {acquaintance}"));
    for line in changes(change) {
        outcome.line(format!("              {line}"));
    }
    for device in &record.devices {
        let suites: Vec<String> = device.suites.iter().map(|suite| suite_name(suite.0)).collect();
        outcome.line(format!(
            "  device {:<4} {}  {}",
            device.id,
            grouped(&device.dh_key.to_bytes()),
            suites.join(", ")
        ));
    }
    if record.devices.is_empty() {
        outcome.line("  devices     none");
    }
    outcome.line(format!(
        "  proof       {} bytes, verified in {:.2} ms",
        resolved.proof_bytes,
        resolved.found.verified_in.as_secs_f64() * 1000.0
    ));
    if resolved.found.watch_pending {
        outcome.line(
            "  watch       pending: this version is newer than what the owner has checked; `keyglass watch` or `monitor` \
             looks again",
        );
    }
    outcome.field("label", label);
    facts.fields(resolved, |name, value| {
        outcome.fields.entry(name).or_insert(value);
    });
    outcome
}

/// What both the verdicts and the failures say about a look-up.
struct Facts {
    tree_size: u64,
    head_age_ms: u64,
    cosigned: Vec<Cosigned>,
    known: usize,
    needed: usize,
    now: UnixSeconds,
}

impl Facts {
    fn new(context: &Context, resolved: &Resolved) -> Self {
        let now = now();
        let rightmost = context.state.tree.as_ref().map_or(0, |tree| tree.rightmost_timestamp());
        let policy = context.verifier.policy();
        Self {
            tree_size: resolved.found.head.tree_size(),
            head_age_ms: now.0.saturating_sub(rightmost),
            cosigned: match &resolved.found.head {
                VerifiedHead::Witnessed(checkpoint) => checkpoint.cosigners().to_vec(),
                VerifiedHead::LogSigned(checkpoint) => checkpoint.cosigners().to_vec(),
                VerifiedHead::Draft { .. } => Vec::new(),
            },
            known: policy.map_or(0, |policy| policy.witnesses().len()),
            needed: policy.map_or(0, |policy| policy.smallest_quorum()),
            now: now.to_seconds(),
        }
    }

    fn witness_line(&self) -> String {
        if self.needed == 0 {
            return "NONE REQUIRED: nobody but the log vouches for this".to_owned();
        }
        let names: Vec<String> = self
            .cosigned
            .iter()
            .map(|cosigned| {
                let age = self.now.0.saturating_sub(cosigned.time.0);
                format!("{} ({} ago)", cosigned.witness, duration(age.saturating_mul(1000)))
            })
            .collect();
        format!(
            "{} of {} signed this head, {} had to: {}",
            self.cosigned.len(),
            self.known,
            self.needed,
            names.join(", ")
        )
    }

    fn fields(&self, resolved: &Resolved, mut add: impl FnMut(String, serde_json::Value)) {
        let account = &resolved.account;
        let record = account.valid().record();
        let change = account.change();
        let witnesses: Vec<String> =
            self.cosigned.iter().map(|cosigned| cosigned.witness.to_string()).collect();
        let devices: Vec<_> = record
            .devices
            .iter()
            .map(|device| {
                json!({
                    "id": device.id,
                    "signing_key": hex(&device.signing_key.to_bytes()),
                    "dh_key": hex(&device.dh_key.to_bytes()),
                    "suites": device.suites.iter().map(|suite| suite_name(suite.0)).collect::<Vec<_>>(),
                    "added": device.added.0,
                })
            })
            .collect();
        let identity_changes: Vec<_> = change
            .identity
            .iter()
            .map(|change| json!({ "version": change.version, "authorised_by": author_name(change.by) }))
            .collect();
        let micros = u64::try_from(resolved.found.verified_in.as_micros()).unwrap_or(u64::MAX);
        let members = [
            ("version", json!(record.version)),
            ("tree_size", json!(self.tree_size)),
            ("head_age_ms", json!(self.head_age_ms)),
            ("witnesses", json!(witnesses)),
            ("witnesses_needed", json!(self.needed)),
            ("witnesses_known", json!(self.known)),
            ("devices", json!(devices)),
            ("proof_bytes", json!(resolved.proof_bytes)),
            ("verify_us", json!(micros)),
            ("watch_pending", json!(resolved.found.watch_pending)),
            ("identity_key", json!(hex(&record.identity_key.to_bytes()))),
            ("authorised_by", json!(authorised_by(account))),
            ("version_authorised_by", json!(author_name(change.by))),
            ("identity_changes", json!(identity_changes)),
            ("first_contact", json!(resolved.before.is_none() && resolved.carried.is_none())),
            ("carried_over", json!(resolved.carried.is_some())),
            ("devices_added", json!(resolved.before.as_ref().map(|_| &change.devices_added))),
            ("devices_removed", json!(change.devices_removed)),
        ];
        for (name, value) in members {
            add(name.to_owned(), value);
        }
    }
}

fn headline(resolved: &Resolved, verdict: Verdict) -> &'static str {
    match (verdict, resolved.account.identity()) {
        (Verdict::Changed, _) => "verified, and ITS IDENTITY KEY HAS CHANGED",
        (_, Identity::Broken) => "verified, and you accept an identity that only the provider vouches for",
        _ => "verified",
    }
}

fn acquaintance(resolved: &Resolved) -> String {
    if let Some(carried) = &resolved.carried {
        let since = duration(now().0.saturating_sub(carried.first_seen));
        let known = hex(&carried.identity_key);
        return if resolved.is_another_identity() {
            format!("was {}… in the log before this one", known.get(..16).unwrap_or(""))
        } else {
            format!("the one that you met {since} ago, in the log before this one")
        };
    }
    let Some(before) = &resolved.before else {
        return "met for the first time: compare it with the person through another channel".to_owned();
    };
    let since = duration(now().0.saturating_sub(before.first_seen));
    let now_key = hex(&resolved.account.valid().record().identity_key.to_bytes());
    match known_identity(&before.record) {
        Some(known) if known != now_key => {
            format!("was {}… when last met, at version {}", known.get(..16).unwrap_or(""), before.version)
        }
        _ => format!("the one that you met {since} ago"),
    }
}

/// What is different from the version known before, in words.
fn changes(change: &Change) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(since) = change.since else {
        return lines;
    };
    for identity in &change.identity {
        lines.push(format!("changed in version {}, authorised by {}", identity.version, by(identity.by)));
    }
    let list = |ids: &[u32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !change.devices_added.is_empty() {
        lines.push(format!("devices added since version {since}: {}", list(&change.devices_added)));
    }
    if !change.devices_removed.is_empty() {
        lines.push(format!("devices removed since version {since}: {}", list(&change.devices_removed)));
    }
    if change.recovery_changed {
        lines.push(format!("recovery key changed since version {since}"));
    }
    if change.lockdown_changed {
        lines.push(format!("lockdown switched since version {since}"));
    }
    if change.skipped > 0 {
        lines.push(format!(
            "passes over {} versions before it, which its author says are invalid",
            change.skipped
        ));
    }
    lines
}

fn by(by: AuthorisedBy) -> &'static str {
    match by {
        AuthorisedBy::Genesis => "the identity key that the account began with",
        AuthorisedBy::Identity(_) => "the identity key before it",
        AuthorisedBy::Recovery(_) => "the account's recovery key",
        AuthorisedBy::Provider => "THE PROVIDER ALONE",
    }
}

/// The name of a suite, or its number where it has none here.
#[must_use]
pub fn suite_name(number: u16) -> String {
    match number {
        1 => "X3DH".to_owned(),
        2 => "PQXDH".to_owned(),
        other => format!("suite {other}"),
    }
}

/// The first sixteen bytes in hex, in groups that can be read aloud.
fn grouped(bytes: &[u8; 32]) -> String {
    let groups: Vec<String> = bytes.chunks(2).take(8).map(hex).collect();
    format!("{}…", groups.join(" "))
}

/// Milliseconds for a person.
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// Whether the account is one that handshakes may be run with, and if not, why.
///
/// # Errors
/// [`Verdict::Changed`].
pub fn usable(resolved: &mut Resolved, accept_change: bool) -> Result<&ProvenAccount, Failure> {
    if resolved.is_another_identity() && !accept_change {
        return Err(another_identity(resolved));
    }
    if resolved.account.identity() == Identity::Broken {
        if !accept_change {
            return Err(broken_identity(resolved));
        }
        resolved.account = resolved.account.clone().accept_broken_identity();
    }
    Ok(&resolved.account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let expected = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (7_200_000, "2 h"),
            (u64::MAX, "213503982334 days"),
        ];
        for (ms, text) in expected {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn keys_are_shown_in_groups() {
        assert_eq!(grouped(&[0xab; 32]), "abab abab abab abab abab abab abab abab…");
    }
}
