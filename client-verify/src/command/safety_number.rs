//! `keyglass safety-number`: sixty digits, or a code to scan, for two people to compare outside of any server.

use keyglass_account::safety_number::SafetyNumber;
use qrcode::{QrCode, render::unicode::Dense1x2};

use super::{
    context::Context,
    outcome::{Failure, Outcome},
    resolve::{another_identity, broken_identity},
    send::own_account,
};
use crate::{proven::Identity, verdict::Verdict};

/// How many groups of five digits stand in a line.
const GROUPS_IN_A_LINE: usize = 4;

/// Runs the command: the number of one's own account and `label` as the log proves it now, and whether it is `theirs`.
///
/// An identity that is not the one met before gets its number too, because comparing is how a person finds out, but with the
/// verdict of a look-up.
///
/// # Errors
/// The verdicts of a look-up; [`Verdict::Disputed`] if the numbers differ; [`Verdict::Usage`] if `theirs` is no number.
pub async fn run(
    context: &mut Context,
    label: &str,
    from: Option<&str>,
    theirs: Option<&str>,
) -> Result<Outcome, Failure> {
    let own = own_account(context, from)?;
    let resolved = context.resolve(label).await?;
    let identity = resolved.account.valid().record().identity_key;
    let own_key = own.identity_key();
    let number = SafetyNumber::new((own.label.as_bytes(), &own_key), (label.as_bytes(), &identity))
        .map_err(|error| Failure::new(Verdict::Usage, "label", error))?;
    let changed = if resolved.is_another_identity() {
        Some(another_identity(&resolved))
    } else {
        (resolved.account.identity() == Identity::Broken).then(|| broken_identity(&resolved))
    };
    if let Some(theirs) = theirs {
        let same = number.is(theirs).map_err(|error| Failure::new(Verdict::Usage, "safety_number", error))?;
        if !same {
            return Err(differs(label, &number));
        }
    }
    if changed.is_none() {
        context.remember(label, &resolved.account)?;
    }
    // What the account's own keys authorised is the identity known from now on, and is said this once.
    let succeeded = resolved.account.identity() == Identity::Succeeded;
    let verdict = if changed.is_some() || succeeded { Verdict::Changed } else { Verdict::Verified };
    let mut outcome = Outcome::new(verdict);
    match theirs {
        Some(_) => outcome.line(format!("{} and {label} see the same two identities", own.label)),
        None => describe(&mut outcome, &own.label, label, &number),
    }
    if succeeded {
        outcome.note(format!("  {label}'s identity key has changed since you met: this number is a new one"));
    }
    if let Some(changed) = changed {
        outcome.note(format!("  {}", changed.message));
    }
    outcome.field("label", label);
    outcome.field("from", own.label);
    outcome.field("safety_number", number.to_string());
    outcome.field("code", number.code());
    if theirs.is_some() {
        outcome.field("matches", true);
    }
    Ok(outcome)
}

fn describe(outcome: &mut Outcome, own: &str, label: &str, number: &SafetyNumber) {
    outcome.line(format!("{own} and {label}: read these digits to each other, or scan"));
    outcome.line("");
    let groups: Vec<String> = number.groups().collect();
    for line in groups.chunks(GROUPS_IN_A_LINE) {
        outcome.line(format!("    {}", line.join(" ")));
    }
    outcome.line("");
    // A code too long for its format cannot arise; were it to, the digits are there.
    if let Ok(code) = QrCode::new(number.code()) {
        outcome.line(code.render::<Dense1x2>().build());
    }
}

fn differs(label: &str, number: &SafetyNumber) -> Failure {
    let message = format!(
        "the numbers differ: one of you is shown another identity than the other one has, or {label} compared \
         other accounts; send nothing secret before you know why"
    );
    Failure::new(Verdict::Disputed, "safety_number_differs", message)
        .with("safety_number", number.to_string())
        .with("matches", false)
}
