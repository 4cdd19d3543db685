//! `keyglass note verify`: who signed a note, offline.

use std::path::Path;

use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{self, MAX_NOTE_LEN, MAX_VKEY_LEN, SignatureLine, SignedNote, Vkey, VkeyError},
    time::UnixSeconds,
};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    context::read_file,
    outcome::{Failure, Outcome},
    shown,
};
use crate::verdict::Verdict;

/// The most keys that a file of verifier keys may have.
pub const MAX_KEYS: usize = 1024;

/// The longest file of verifier keys that is read, in bytes.
const MAX_KEYS_LEN: u64 = 4 << 20;

/// Why a file is no list of verifier keys, and where; lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct KeysError {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub kind: KeysErrorKind,
}

/// What is wrong with a line of a list of verifier keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeysErrorKind {
    /// Not UTF-8, or longer than a key may be.
    #[error("not a line of text of at most {MAX_VKEY_LEN} bytes")]
    NotText,
    /// Not a verifier key.
    #[error(transparent)]
    BadVkey(#[from] VkeyError),
    /// More than [`MAX_KEYS`].
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    /// No line has a key.
    #[error("there is no verifier key")]
    NoKey,
}

/// Reads a list of verifier keys: one a line. Spaces and tabs around it are ignored, and so are lines of nothing else and
/// lines whose first other character is `#`. The last newline may be missing. A key that occurs twice is one key.
///
/// # Errors
/// [`KeysError`].
pub fn parse_keys(file: &[u8]) -> Result<Vec<Vkey>, KeysError> {
    let mut keys: Vec<Vkey> = Vec::new();
    let mut number = 0usize;
    for line in file.strip_suffix(b"\n").unwrap_or(file).split(|&byte| byte == b'\n') {
        number = number.saturating_add(1);
        let failed = |kind| KeysError { line: number, kind };
        let text = core::str::from_utf8(line).map_err(|_| failed(KeysErrorKind::NotText))?;
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if text.len() > MAX_VKEY_LEN {
            return Err(failed(KeysErrorKind::NotText));
        }
        let key = Vkey::parse(text).map_err(|error| failed(error.into()))?;
        if keys.len() >= MAX_KEYS {
            return Err(failed(KeysErrorKind::TooMany));
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() { Err(KeysError { line: number, kind: KeysErrorKind::NoKey }) } else { Ok(keys) }
}

/// What a signature line is.
enum Signer<'k> {
    /// A known key signed, at this time if it is a cosignature.
    Known(&'k Vkey, Option<UnixSeconds>),
    /// The line claims a known key that did not sign.
    Forged(&'k Vkey),
    /// Nobody that is known.
    Unknown,
}

/// Runs the command.
///
/// # Errors
/// [`Verdict::Rejected`] unless at least one known key signed and no known key's line is bad, [`Verdict::Usage`] for files
/// that cannot be read.
pub fn verify(file: &Path, vkeys: &Path) -> Result<Outcome, Failure> {
    let keys = parse_keys(&read_file(vkeys, MAX_KEYS_LEN)?).map_err(|error| {
        Failure::new(Verdict::Rejected, "vkeys", format!("{}: {error}", vkeys.display()))
            .with("line", error.line)
    })?;
    let keys: Vec<&Vkey> = keys.iter().collect();
    let bytes = read_file(file, u64::try_from(MAX_NOTE_LEN).unwrap_or(u64::MAX).saturating_add(1))?;
    let note = SignedNote::parse(&bytes).map_err(|error| {
        Failure::new(Verdict::Rejected, "malformed", format!("{}: {error}", file.display()))
    })?;
    let lines: Vec<(&SignatureLine, Signer<'_>)> =
        note.signatures().iter().map(|line| (line, signer(&note, line, &keys))).collect();
    let (mut said, mut fields) = (Vec::new(), Vec::new());
    for (line, signer) in &lines {
        let (words, field) = describe(line, signer);
        said.push(format!("  {words}"));
        fields.push(field);
    }
    // The whole note is what decides.
    if let Err(error) = note.verify(&keys) {
        let message = format!("{}: {error}", file.display());
        let mut failure = Failure::new(Verdict::Rejected, "signatures", message).with("signatures", fields);
        said.iter().for_each(|line| failure.message.push_str(&format!("\n{line}")));
        return Err(failure);
    }
    let known = lines.iter().filter(|(_, signer)| matches!(signer, Signer::Known(..))).count();
    let mut outcome = Outcome::new(Verdict::Verified);
    outcome.line(format!(
        "{}: verified, {} of a known key",
        file.display(),
        shown::counted(known, "signature", "signatures")
    ));
    said.into_iter().for_each(|line| outcome.line(line));
    if let Ok(checkpoint) = Checkpoint::from_note(&note) {
        outcome.line(format!(
            "  its text is a checkpoint: {}, {} entries",
            shown::octets(checkpoint.origin().as_bytes()),
            checkpoint.tree_size()
        ));
    }
    outcome.field("text", note.text());
    outcome.field("signatures", fields);
    Ok(outcome)
}

fn signer<'k>(note: &SignedNote, line: &SignatureLine, keys: &[&'k Vkey]) -> Signer<'k> {
    match note::verify_lines(note.text(), std::slice::from_ref(line), keys).as_deref() {
        Ok([verified, ..]) => Signer::Known(verified.key, verified.time),
        Ok([]) => Signer::Unknown,
        Err(_) => {
            let claimed = keys.iter().find(|key| key.name() == line.name() && key.id() == line.id());
            claimed.map_or(Signer::Unknown, |key| Signer::Forged(key))
        }
    }
}

fn describe(line: &SignatureLine, signer: &Signer<'_>) -> (String, Value) {
    let claimed = format!("{}+{}", shown::octets(line.name().as_str().as_bytes()), line.id());
    let (words, status, key, time) = match signer {
        Signer::Known(key, None) => {
            (format!("signed      {claimed}  {}", shown::key_type(key.key())), "verified", Some(key), None)
        }
        Signer::Known(key, Some(time)) => {
            let (kind, at) = (shown::key_type(key.key()), shown::seconds(*time));
            (format!("cosigned    {claimed}  {kind}, {at}"), "verified", Some(key), Some(time.0))
        }
        Signer::Forged(key) => {
            let kind = shown::key_type(key.key());
            (
                format!("BAD         {claimed}  {kind}: this key did not sign this text"),
                "bad",
                Some(key),
                None,
            )
        }
        Signer::Unknown => {
            (format!("unknown key {claimed}  says nothing and is ignored"), "unknown", None, None)
        }
    };
    let signature_type = key.map(|key| key.key().signature_type());
    let (name, id) = (line.name().as_str(), line.id().to_string());
    (words, json!({ "name": name, "id": id, "type": signature_type, "status": status, "time": time }))
}

#[cfg(test)]
mod tests {
    use keyglass_crypto::sign::SigningKey;
    use keyglass_tlog::note::{KeyName, NoteSigner};

    use super::*;

    fn vkey(seed: u16) -> Vkey {
        let mut bytes = [7; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        let name = KeyName::new("a.example").unwrap();
        NoteSigner::new(name, SigningKey::from_seed(&bytes)).vkey().clone()
    }

    #[test]
    fn keys_are_one_a_line() {
        let (a, b) = (vkey(1), vkey(2));
        let file = format!("# ours\n\n \t{a}\t\n  # theirs\n{b}\n{a}");
        assert_eq!(parse_keys(file.as_bytes()).unwrap(), [a.clone(), b.clone()]);
        let error = |file: &str| parse_keys(file.as_bytes()).map_err(|error| (error.line, error.kind));
        assert_eq!(error(""), Err((1, KeysErrorKind::NoKey)));
        assert_eq!(error("# a\n\n"), Err((2, KeysErrorKind::NoKey)));
        assert!(matches!(error(&format!("{a}\n{b} {a}\n")), Err((2, KeysErrorKind::BadVkey(_)))));
        assert!(matches!(error(&format!("{a}\r\n")), Err((1, KeysErrorKind::BadVkey(_)))));
        assert!(matches!(error(&format!("{a}\u{a0}\n")), Err((1, KeysErrorKind::BadVkey(_)))));
        assert_eq!(error(&"x".repeat(MAX_VKEY_LEN + 1)), Err((1, KeysErrorKind::NotText)));
        assert!(matches!(parse_keys(b"\n\xff\n"), Err(KeysError { line: 2, kind: KeysErrorKind::NotText })));
        let many: String = (0..=1024).map(|seed| format!("{}\n", vkey(seed))).collect();
        assert_eq!(error(&many), Err((1025, KeysErrorKind::TooMany)));
        let most = many.lines().take(MAX_KEYS).collect::<Vec<_>>().join("\n");
        assert_eq!(parse_keys(most.as_bytes()).unwrap().len(), MAX_KEYS);
    }
}
