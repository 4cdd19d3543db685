//! `keyglass recovery`: a key, kept away from every device, that can replace a lost or stolen identity.

use std::path::Path;

use keyglass_account::text_code;
use keyglass_crypto::{secret::Secret, sign::SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    args::RecoveryCommand,
    context::Context,
    outcome::{Failure, Outcome},
    own::{self, Authority, Change},
    passphrase, random,
};
use crate::{
    state::{Format, Seed},
    verdict::Verdict,
};

/// What the text of a recovery key begins with.
const PREFIX: &str = "KEYGLASS-RECOVERY";
/// What a sealed file says that it holds.
const HOLDS: &str = "keyglass-recovery-key";
/// The first byte of the text.
const FORMAT: u8 = 1;
/// More bytes than a recovery key's file has.
const MAX_FILE: usize = 64 * 1024;

/// A recovery key as it is kept.
pub struct RecoveryKey {
    seed: Secret<32>,
    /// The log and the label that it is for, if its file says so; the text that is written down does not.
    pub account: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: Format<1>,
    origin: String,
    label: String,
    seed: Seed,
}

impl RecoveryKey {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn generate() -> Result<Self, Failure> {
        Ok(Self { seed: random::secret()?, account: None })
    }

    /// The key.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(self.seed.expose())
    }

    /// The text to write down.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(vec![FORMAT]);
        bytes.extend_from_slice(self.seed.expose());
        Zeroizing::new(text_code::encode(PREFIX, &bytes))
    }

    /// Writes it to a new file, sealed under a passphrase.
    ///
    /// # Errors
    /// [`Verdict::Usage`] for the passphrase or a file that exists; [`Verdict::Failed`].
    pub fn write(
        &self,
        path: &Path,
        passphrase_file: Option<&Path>,
        (origin, label): (&str, &str),
    ) -> Result<(), Failure> {
        let passphrase = passphrase::read(passphrase_file)?;
        let seed = Seed(Secret::new(*self.seed.expose()));
        let sealed = Sealed { format: Format, origin: origin.to_owned(), label: label.to_owned(), seed };
        let content = serde_json::to_vec(&sealed).map(Zeroizing::new);
        let content = content.map_err(|error| Failure::new(Verdict::Failed, "encoding", error))?;
        passphrase::write_sealed(path, HOLDS, &content, &passphrase)
    }

    /// Reads it from a file: sealed, or the text that was written down. `-` is standard input.
    ///
    /// # Errors
    /// [`Verdict::Usage`]; [`Verdict::Rejected`] for a wrong passphrase or a damaged file.
    pub fn read(path: &Path, passphrase_file: Option<&Path>) -> Result<Self, Failure> {
        let content = passphrase::read_secret(path, MAX_FILE)?;
        if keyglass_crypto::sealed::is_sealed(&content) {
            let passphrase = passphrase::read(passphrase_file)?;
            let opened = passphrase::open_sealed(&content, HOLDS, &passphrase)?;
            let Sealed { origin, label, seed: Seed(seed), .. } =
                serde_json::from_slice(&opened).map_err(|_| rejected("of an unknown format"))?;
            return Ok(Self { seed, account: Some((origin, label)) });
        }
        let text = std::str::from_utf8(&content).map_err(|_| rejected("no text"))?;
        let bytes = text_code::decode(PREFIX, text).map(Zeroizing::new).map_err(rejected)?;
        match bytes.split_first() {
            Some((&FORMAT, seed)) => {
                let seed: [u8; 32] = seed.try_into().map_err(|_| rejected("of another length"))?;
                Ok(Self { seed: Secret::new(seed), account: None })
            }
            _ => Err(rejected("of an unknown format")),
        }
    }
}

fn rejected(why: impl ToString) -> Failure {
    Failure::new(Verdict::Rejected, "recovery_key", format!("not a recovery key: {}", why.to_string()))
}

/// Runs the command.
///
/// # Errors
/// The verdicts of a look-up and of a request.
pub async fn run(context: &mut Context, command: &RecoveryCommand) -> Result<Outcome, Failure> {
    match command {
        RecoveryCommand::Create { from, out, passphrase_file } => {
            create(context, from.as_deref(), out.as_deref(), passphrase_file.as_deref()).await
        }
        RecoveryCommand::Drop { from } => withdraw(context, from.as_deref()).await,
    }
}

async fn create(
    context: &mut Context,
    from: Option<&str>,
    out: Option<&Path>,
    passphrase_file: Option<&Path>,
) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    own::identity(&account)?;
    let key = RecoveryKey::generate()?;
    // Kept before it counts: a key that was announced and lost would be of no use to anybody.
    if let Some(out) = out {
        key.write(out, passphrase_file, (&context.origin, &account.label))?;
    }
    let public = key.signing_key().verifying_key();
    let published = own::change(context, &mut account, &Authority::Identity, |draft, _, account| {
        Change::of(draft.set_recovery(Some(public)).sign(&own::identity(account)?))
    })
    .await?;
    let mut outcome = own::outcome(&account.label, published);
    outcome.line(format!("{}: a recovery key, version {}", account.label, published.version));
    tell(&mut outcome, &key, out);
    Ok(outcome)
}

/// Says where the key is, or what it is.
pub fn tell(outcome: &mut Outcome, key: &RecoveryKey, out: Option<&Path>) {
    if let Some(out) = out {
        outcome.line(format!(
            "  sealed in {}: keep it, and its passphrase, away from your devices",
            out.display()
        ));
        outcome.field("recovery_file", out);
    } else {
        let text = key.to_text();
        outcome.line(
            "  write this down and keep it away from your devices; it is shown once and stored nowhere:",
        );
        outcome.line("");
        for line in text.split('-').collect::<Vec<_>>().chunks(6) {
            outcome.line(format!("    {}", line.join("-")));
        }
        outcome.line("");
        outcome.field("recovery_key", text.as_str());
    }
    outcome.line(
        "  with it `keyglass recover` replaces a lost or stolen identity; whoever else has it can do so too",
    );
}

async fn withdraw(context: &mut Context, from: Option<&str>) -> Result<Outcome, Failure> {
    let mut account = own::account(context, from)?;
    own::identity(&account)?;
    let published = own::change(context, &mut account, &Authority::Identity, |draft, before, account| {
        if before.recovery.is_none() {
            return Err(Failure::new(Verdict::Usage, "no_recovery_key", "the account has no recovery key"));
        }
        Change::of(draft.set_recovery(None).sign(&own::identity(account)?))
    })
    .await?;
    let mut outcome = own::outcome(&account.label, published);
    outcome.line(format!("{}: no recovery key any more, version {}", account.label, published.version));
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_leads_back() {
        let directory = tempfile::tempdir().unwrap();
        let (path, phrase) = (directory.path().join("key"), directory.path().join("phrase"));
        let key = RecoveryKey { seed: Secret::new([7; 32]), account: None };
        std::fs::write(&path, key.to_text().to_lowercase().replace('-', "\n")).unwrap();
        let read = RecoveryKey::read(&path, None).unwrap();
        assert_eq!(read.seed.expose(), &[7; 32]);
        assert!(read.account.is_none());
        let mut mistyped = key.to_text().to_string().into_bytes();
        let last = mistyped.last_mut().unwrap();
        *last = if *last == b'A' { b'B' } else { b'A' };
        for bad in [&mistyped[..], b"", b"KEYGLASS-RECOVERY", b"\xff", &key.to_text().as_bytes()[..40]] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(RecoveryKey::read(&path, None).err().unwrap().verdict, Verdict::Rejected);
        }
        std::fs::write(&phrase, "correct horse\n").unwrap();
        let sealed = directory.path().join("sealed");
        key.write(&sealed, Some(&phrase), ("log.example/o", "bob")).unwrap();
        let read = RecoveryKey::read(&sealed, Some(&phrase)).unwrap();
        assert_eq!(read.seed.expose(), &[7; 32]);
        assert_eq!(read.account, Some(("log.example/o".into(), "bob".into())));
        std::fs::write(&phrase, "wrong horse\n").unwrap();
        let refused = RecoveryKey::read(&sealed, Some(&phrase)).err().unwrap();
        assert_eq!((refused.verdict, refused.reason), (Verdict::Rejected, "wrong_passphrase_or_damaged"));
    }
}
