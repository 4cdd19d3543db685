//! Which label a person means.

use keyglass_account::label::normalise;

use super::{args::Common, context::Context, outcome::Failure};
use crate::verdict::Verdict;

/// The label in its one form; as it was typed if the home knows it so, or if the person says that it is to be taken so.
///
/// # Errors
/// [`Verdict::Usage`] for what is no label.
pub fn meant(context: &Context, common: &Common, typed: &str) -> Result<String, Failure> {
    let as_typed = common.labels_as_typed
        || context.contacts.by_label.contains_key(typed)
        || context.contacts.carried.contains_key(typed)
        || context.home.account(typed)?.is_some()
        || context.home.link(typed)?.is_some();
    if as_typed {
        return Ok(typed.to_owned());
    }
    match normalise(typed) {
        Ok(label) => Ok(label.into_string()),
        Err(error) => {
            let message = format!("{error}; --labels-as-typed takes any label, if the log has it");
            Err(Failure::new(Verdict::Usage, "label", message))
        }
    }
}

/// The same for a label that may be left out.
///
/// # Errors
/// As [`meant`].
pub fn meant_if_any(
    context: &Context,
    common: &Common,
    typed: Option<String>,
) -> Result<Option<String>, Failure> {
    typed.map(|typed| meant(context, common, &typed)).transpose()
}
