//! `keyglass rotate`: another identity key, which the one before signs.

use super::{
    context::Context,
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
    random,
};
use keyglass_crypto::sign::SigningKey;

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn run(context: &mut Context, from: Option<&str>) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    let before = account.identity_key();
    let published = own::change(context, &mut account, &Authority::Identity, |draft, _, account| {
        let old = own::identity(account)?;
        let seed = random::secret()?;
        let new = SigningKey::from_seed(seed.expose());
        Ok(Change { identity_seed: Some(seed), ..Change::of(draft.sign_rotation(&old, &new))? })
    })
    .await?;
    let mut outcome = own::outcome(&account.label, published);
    outcome.line(format!("{}: a new identity key, version {}", account.label, published.version));
    outcome
        .line(format!("  the identity: {}", own::identity_digits(&account.label, &account.identity_key())));
    outcome.line(
        "  whoever knows you is told that your identity changed and that the one before signed it; safety numbers are \
         new ones, and a backup of the identity has to be made again",
    );
    outcome.field("identity_key_before", super::resolve::hex(&before.to_bytes()));
    outcome.field("identity_key", super::resolve::hex(&account.identity_key().to_bytes()));
    Ok(outcome)
}
