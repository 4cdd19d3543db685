//! Evidence taken apart: who signed what, and when. [`Explanation::words`] puts it into words.

use core::slice;

use super::{Conviction, Evidence, EvidenceError, Side};
use crate::{
    Digest,
    checkpoint::Checkpoint,
    handover::Declaration,
    note::{self, KeyName, SignatureLine, SignedNote, Vkey},
    policy::{Name, Policy},
    time::UnixSeconds,
};

/// What a file of evidence says, line by line, and whether it proves anything.
///
/// Texts in it are a stranger's: they may look like anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The kind, as on the file's second line.
    pub kind: &'static str,
    /// What the file proves, or why it proves nothing. Everything else here is a claim unless this is `Ok`.
    pub verdict: Result<Conviction, EvidenceError>,
    /// What was signed, in the order of the file: one statement or two.
    pub statements: Vec<Statement>,
    /// `inconsistent`: the root that the second statement's tree had at the first one's size.
    pub other_root: Option<Digest>,
    /// Whether a policy was given, without which no witness has a name.
    pub has_policy: bool,
}

/// One signed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Which of the two it is.
    pub side: Side,
    /// The log that makes it.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The name of the log that comes after it, if this declares the log's end.
    pub successor: Option<KeyName>,
    /// The signature lines, in their order.
    pub lines: Vec<Line>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The name of the key that the line claims.
    pub key: KeyName,
    /// That key's id.
    pub id: note::KeyId,
    /// Who really signed.
    pub signer: Signer,
    /// When, by the signer's own clock, where the signature says so: cosignatures do, a log's own signature need not.
    pub time: Option<UnixSeconds>,
}

/// Who stands behind a signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The log.
    Log,
    /// This witness of the policy.
    Witness(Name),
    /// Not the known key that the line claims: its signature does not verify.
    Forged,
    /// Nobody that is known here: the line says nothing.
    Unknown,
}

/// What a witness of the policy has to do with evidence that convicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPart {
    /// Its name in the policy.
    pub name: Name,
    /// Whether it cosigned the first statement and, if the line says so, when.
    pub first: Option<Option<UnixSeconds>>,
    /// The same for the second statement.
    pub second: Option<Option<UnixSeconds>>,
    /// Whether it is itself proven faulty.
    pub is_faulty: bool,
}

impl Evidence {
    /// Takes the evidence apart, whether or not it proves anything.
    ///
    /// The keys and the policy are those of [`Evidence::verify`].
    #[must_use]
    pub fn explain(&self, log_keys: &[&Vkey], policy: Option<&Policy>) -> Explanation {
        let first = statement(Side::A, self.a(), log_keys, policy);
        let second = self.b().and_then(|b| statement(Side::B, b, log_keys, policy));
        Explanation {
            kind: self.kind(),
            verdict: self.verify(log_keys, policy),
            statements: first.into_iter().chain(second).collect(),
            other_root: match self {
                Self::Inconsistent { root, .. } => Some(*root),
                _ => None,
            },
            has_policy: policy.is_some(),
        }
    }
}

impl Explanation {
    /// Every witness of the policy that cosigned, those first that are proven faulty; otherwise in the order of lines.
    #[must_use]
    pub fn witnesses(&self) -> Vec<WitnessPart> {
        let mut parts: Vec<WitnessPart> = Vec::new();
        for statement in &self.statements {
            for line in &statement.lines {
                let Signer::Witness(name) = &line.signer else { continue };
                let known = parts.iter().position(|part| part.name == *name);
                let index = known.unwrap_or(parts.len());
                if known.is_none() {
                    let faulty = self.verdict.as_ref().map_or(&[][..], Conviction::faulty_witnesses);
                    let (name, is_faulty) = (name.clone(), faulty.contains(name));
                    parts.push(WitnessPart { name, first: None, second: None, is_faulty });
                }
                let Some(part) = parts.get_mut(index) else { continue };
                let side = if statement.side == Side::A { &mut part.first } else { &mut part.second };
                // A second cosignature of the same statement says nothing new; the earliest time is told.
                *side = Some(side.flatten().into_iter().chain(line.time).min());
            }
        }
        parts.sort_by_key(|part| !part.is_faulty);
        parts
    }
}

/// A note as a statement. The notes of evidence that was parsed are checkpoints and declarations; of others made by hand,
/// which [`Evidence::verify`] refuses, nothing can be told.
fn statement(
    side: Side,
    note: &SignedNote,
    log_keys: &[&Vkey],
    policy: Option<&Policy>,
) -> Option<Statement> {
    let (origin, size, root, successor) = match Declaration::parse(note.text()) {
        Ok(declared) => (declared.from, declared.size, declared.root, Some(declared.to.name().clone())),
        Err(_) => {
            let checkpoint = Checkpoint::from_note(note).ok()?;
            (checkpoint.origin().to_owned(), checkpoint.tree_size(), *checkpoint.root(), None)
        }
    };
    let of_origin: Vec<&Vkey> =
        log_keys.iter().copied().filter(|key| key.name().as_str() == origin).collect();
    let lines = note.signatures().iter().map(|line| explained(line, note, &of_origin, policy)).collect();
    Some(Statement { side, origin, size, root, successor, lines })
}

fn explained(line: &SignatureLine, note: &SignedNote, log_keys: &[&Vkey], policy: Option<&Policy>) -> Line {
    let known = |vkey: &Vkey| vkey.id() == line.id() && vkey.name() == line.name();
    let verified = |vkey: &Vkey| {
        let lines = note::verify_lines(note.text(), slice::from_ref(line), &[vkey]).ok()?;
        lines.first().map(|line| line.time)
    };
    let mut claims_known = false;
    let mut signed = None;
    for vkey in log_keys.iter().copied().filter(|vkey| known(vkey)) {
        claims_known = true;
        signed = signed.or_else(|| verified(vkey).map(|time| (Signer::Log, time)));
    }
    for witness in policy.map(Policy::witnesses).unwrap_or_default() {
        if signed.is_none() && known(witness.vkey()) {
            claims_known = true;
            signed = verified(witness.vkey()).map(|time| (Signer::Witness(witness.name().clone()), time));
        }
    }
    let nobody = if claims_known { Signer::Forged } else { Signer::Unknown };
    let (signer, time) = signed.unwrap_or((nobody, None));
    Line { key: line.name().clone(), id: line.id(), signer, time }
}
