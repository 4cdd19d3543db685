//! After every step: what was promised was kept, and nobody honest was accused.

use keyglass_client_verify::verdict::Verdict;

use crate::{
    client::{Client, Finding},
    env::Env,
    faults::Fault,
    lies::{Lie, When},
    setting::{MAX_AHEAD, MAX_BEHIND},
};

/// What a client has been through, which excuses some of what it says, and of what others say of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Past {
    /// It lost state or put old state back.
    pub lost: bool,
    /// Its own account's state was put back.
    pub put_back: bool,
}

/// What excuses a finding: what its client has been through, and whom it is about.
#[derive(Debug, Clone, Copy)]
struct Excuse {
    /// Either of them lost state or put old state back.
    lost: bool,
    /// The client's own account was put back.
    put_back: bool,
    /// Either of them has other keys than before.
    rotated: bool,
}

/// Checks a step of `client` that ended without a crash. `pasts` are what the clients have been through, by their number.
pub fn step(env: &mut Env, client: &mut Client, pasts: &[Past]) {
    let findings = client.findings.clone();
    promises(env, client, &findings);
    let says = |reason: &str| findings.iter().any(|finding| finding.reason == reason);
    if says("one_time_prekey_reused") && env.lies.contains_key(&Lie::RepeatOneTime) {
        *env.noticed.entry(Lie::RepeatOneTime).or_default() += 1;
    }
    if says("signed_prekey_unknown") && env.retention_over() && !pasts[client.id].lost {
        env.fault(Fault::RetentionOver);
    }
    for finding in &findings {
        let about = finding.label.as_deref().and_then(|label| env.number_of(label));
        let both = [Some(client.id), about];
        let excuse = Excuse {
            lost: both.iter().flatten().any(|who| pasts[*who].lost),
            put_back: pasts[client.id].put_back,
            rotated: both.iter().flatten().any(|who| env.rotated.contains(who)),
        };
        if let Err(why) = justified(env, client, excuse, finding) {
            let who = &client.label;
            env.oracle.violated(format!("{who} says {finding:?}, and nothing accounts for it: {why}"));
        }
    }
}

/// Every lie that is noticed at once was noticed.
fn promises(env: &mut Env, client: &Client, findings: &[Finding]) {
    let undisturbed = !env.disturbed && !findings.iter().any(|finding| finding.verdict == Verdict::Failed);
    for lie in env.told.clone() {
        let promise = lie.promise();
        let noticed = findings.iter().any(|finding| promise.verdicts.contains(&finding.verdict));
        if noticed {
            *env.noticed.entry(lie).or_default() += 1;
        }
        let alarmed = findings.iter().any(|finding| is_alarm(finding.verdict));
        // Where other lies or another side of the log are in play, another alarm can come first.
        let alone = env.told.len() == 1
            && env.branches.len() == 1
            && !env.lagged
            && !env.deceit.withholds_tiles
            && !env.lies.keys().any(|lie| lie.is_in_the_log());
        let kept = match lie {
            // What was accepted before is ignored, whatever else is in it.
            Lie::AlterMessage | Lie::MisdeliverMessage => !findings.is_empty() || client.ignored > 0,
            // A denied beginning of an account counts as a reset.
            Lie::DenyLabel => alarmed,
            // An old head of the other side may be from before the sides parted.
            Lie::ForkShown if env.told.contains(&Lie::OldHead) => true,
            _ => noticed || (!alone && alarmed),
        };
        if promise.when == When::AtOnce && undisturbed && !kept {
            env.oracle.violated(format!("{} did not notice {lie:?} at once: {findings:?}", client.label));
        }
    }
}

/// Whether a verdict says that something is wrong.
fn is_alarm(verdict: Verdict) -> bool {
    use Verdict::*;
    matches!(
        verdict,
        Stale
            | NotFound
            | Unwitnessed
            | Changed
            | Refused
            | Invalid
            | Unreconciled
            | Misbehaving
            | Withheld
            | Unexpected
            | Disputed
            | Undecryptable
    )
}

/// What the log holds about labels that are looked up is noticed then, and by the owner in the next round.
pub fn look_up(env: &mut Env, client: &Client, label: &str, own_round: bool) {
    if env.disturbed || env.lagged || !env.told.is_empty() {
        return;
    }
    let branch = env.side[client.id];
    let size = env.branches[branch].published_size();
    let Some(newest) = env.branches[branch].published_version(label, size) else { return };
    let versions = env.oracle.versions_of(branch, label);
    let Some(version) = versions.get(newest as usize) else { return };
    let crate::oracle::By::Lie(lie) = version.by else { return };
    let ends = |verdict| {
        matches!(
            verdict,
            Verdict::Unreachable
                | Verdict::Stale
                | Verdict::Misbehaving
                | Verdict::Invalid
                | Verdict::Unwitnessed
        )
    };
    // Whose own account has an alarm writes to nobody, and looks nobody up for it.
    let own_alarm = |finding: &Finding| {
        finding.verdict == Verdict::Unexpected
            && finding.label.as_deref() == Some(&client.label)
            && label != client.label
    };
    let about = |finding: &&Finding| finding.label.as_deref() == Some(label);
    let mut relevant = client.findings.iter().filter(about);
    let noticed = relevant.any(|finding| {
        lie.promise().verdicts.contains(&finding.verdict)
            && (!own_round || finding.verdict == Verdict::Unexpected)
    });
    if noticed {
        *env.noticed.entry(lie).or_default() += 1;
    } else if !client.findings.iter().any(|finding| ends(finding.verdict) || own_alarm(finding)) {
        let (who, findings) = (&client.label, &client.findings);
        env.oracle.violated(format!("{who} did not notice {lie:?} about {label} when looking: {findings:?}"));
    }
}

fn justified(env: &Env, client: &Client, past: Excuse, finding: &Finding) -> Result<(), &'static str> {
    let branch = env.deceit.branch_for(client.id, env.side[client.id]);
    let told = |lies: &[Lie]| env.told.iter().any(|lie| lies.contains(lie));
    let ever = |lie: Lie| env.lies.contains_key(&lie);
    let about = finding.label.as_deref().unwrap_or(&client.label);
    let lies = env.oracle.lies_about(branch, about);
    let changed = env.oracle.versions_of(branch, about).len() > 1;
    let forked = env.branches.len() > 1;
    let newest = env.branches[branch].published_time();
    let now = client.now().0;
    let good = match finding.verdict {
        Verdict::Stale => env.lagged || now.saturating_sub(newest) > MAX_BEHIND,
        Verdict::Invalid if finding.reason == "head_from_the_future" => {
            newest.saturating_sub(now) > MAX_AHEAD
        }
        Verdict::Invalid => {
            told(&[Lie::SwapRecord, Lie::Unwitnessed, Lie::ForkShown])
                || forked
                || !lies.is_empty()
                || past.put_back
        }
        Verdict::NotFound => {
            told(&[Lie::DenyLabel, Lie::AlterMessage])
                || env.lagged
                || forked
                || env.oracle.versions_of(branch, about).is_empty()
        }
        Verdict::Unwitnessed => {
            told(&[Lie::Unwitnessed]) || env.witness_time().saturating_sub(now) > MAX_AHEAD
        }
        Verdict::Changed => env.oracle.was_reset(branch, about) || told(&[Lie::DenyLabel]),
        Verdict::Refused if finding.reason.starts_with("bundle") => {
            let bundles = [
                Lie::SwapSignedPreKey,
                Lie::OldSignedPreKey,
                Lie::SwapOneTime,
                Lie::RepeatOneTime,
                Lie::ResurrectOneTime,
                Lie::SwapKem,
                Lie::StripKem,
                Lie::OtherBundle,
            ];
            told(&bundles) || client.clock.skew() > env.clock.skew()
        }
        Verdict::Refused if finding.reason == "sender_not_proven" => {
            changed || forked || env.lagged || past.lost || ever(Lie::AlterMessage)
        }
        Verdict::Refused => !lies.is_empty(),
        Verdict::Unreconciled => {
            forked
                || env.lagged
                || env.deceit.withholds_tiles
                || told(&[Lie::SwapRecord, Lie::OldHead])
                || fell_back(env)
        }
        Verdict::Misbehaving | Verdict::Disputed => forked,
        Verdict::Withheld => {
            told(&[Lie::DenyLabel]) || env.lagged || forked || !lies.is_empty() || past.put_back
        }
        Verdict::Unexpected => !env.oracle.lies_about(branch, &client.label).is_empty() || past.put_back,
        Verdict::Taken => past.lost,
        Verdict::Undecryptable => match finding.reason.as_str() {
            "malformed" | "payload" | "handshake" => ever(Lie::AlterMessage),
            // Whether it was opened by whoever it was for cannot be told once the key is gone.
            "one_time_prekey_reused" => {
                ever(Lie::RepeatOneTime)
                    || past.lost
                    // A handshake is known by the sender's keys: after a rotation its repetition is not recognised.
                    || past.rotated
                    || ever(Lie::AlterMessage)
                    || ever(Lie::MisdeliverMessage)
            }
            "not_authentic" => {
                ever(Lie::AlterMessage) || ever(Lie::MisdeliverMessage) || past.rotated || past.lost
            }
            // A message that comes later than its prekey is kept for, too.
            _ => past.lost || ever(Lie::AlterMessage) || ever(Lie::MisdeliverMessage) || env.retention_over(),
        },
        _ => true,
    };
    if good { Ok(()) } else { Err("an honest party is accused") }
}

/// Whether the retained head is from a replica that was ahead of the one that answers now.
fn fell_back(env: &Env) -> bool {
    env.faults.contains_key(&Fault::ReplicaLagged)
}
