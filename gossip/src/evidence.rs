//! Evidence that was verified, in the one form in which it is kept and passed on.

use core::fmt;

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{
    Digest,
    checkpoint::Checkpoint,
    evidence::{Evidence, EvidenceError, EvidenceFormatError},
    handover::Declaration,
    note::SignedNote,
    policy::Name,
};
use thiserror::Error;

use crate::{
    decide::Tree,
    hex,
    trust::{KnownLog, Trust},
};

/// Why a text convicts no known log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotEvidence {
    /// Not evidence in form.
    #[error(transparent)]
    Format(#[from] EvidenceFormatError),
    /// About a log that is not known.
    #[error("the evidence is about a log that is not known here")]
    UnknownOrigin,
    /// It proves nothing.
    #[error(transparent)]
    Unproven(#[from] EvidenceError),
}

/// What names a piece of evidence: the SHA-256 hash of its canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId(pub Digest);

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl EvidenceId {
    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }
}

/// Evidence that convicts a known log. Its text is canonical: the notes carry the verified lines of the log's keys and of
/// the policy's witnesses and no others, in the policy's order, and two checkpoints of one size stand in the order of
/// their texts. So the same contradiction, whoever adds lines to it, is one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    id: EvidenceId,
    origin: String,
    kind: &'static str,
    trees: Vec<Tree>,
    faulty: Vec<Name>,
    text: String,
}

impl Held {
    /// Reads and verifies evidence that anybody may have written.
    ///
    /// # Errors
    /// [`NotEvidence`].
    pub fn read(text: &[u8], trust: &Trust) -> Result<Self, NotEvidence> {
        Self::verify(Evidence::parse(text)?, trust)
    }

    /// Verifies evidence, and gives it its canonical form.
    ///
    /// # Errors
    /// [`NotEvidence`].
    pub fn verify(evidence: Evidence, trust: &Trust) -> Result<Self, NotEvidence> {
        let (origin, _) = what_is_signed(&evidence).ok_or(NotEvidence::UnknownOrigin)?;
        let log = trust.log(&origin).ok_or(NotEvidence::UnknownOrigin)?;
        let canonical = canonical(evidence, log);
        let (origin, trees) = what_is_signed(&canonical).ok_or(NotEvidence::UnknownOrigin)?;
        let conviction = canonical.verify(&log.keys(), Some(log.policy()))?;
        let text = canonical.to_string();
        let id = EvidenceId(sha256(&[text.as_bytes()]));
        Ok(Self {
            id,
            origin,
            kind: canonical.kind(),
            trees,
            faulty: conviction.faulty_witnesses().to_vec(),
            text,
        })
    }

    /// The same evidence under the name and in the text that it is stored in, which may have been canonical under another
    /// policy: lines of witnesses that are not in this one are worth keeping.
    #[cfg(feature = "servers")]
    pub(crate) fn stored_as(self, id: EvidenceId, text: String) -> Self {
        Self { id, text, ..self }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> EvidenceId {
        self.id
    }

    /// The log that it convicts.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its kind, as the second line of the text says.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What was signed that contradicts itself: one or two trees.
    #[must_use]
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The witnesses of the policy that cosigned both.
    #[must_use]
    pub fn faulty_witnesses(&self) -> &[Name] {
        &self.faulty
    }

    /// The canonical text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The log that evidence is about, and the trees in it.
fn what_is_signed(evidence: &Evidence) -> Option<(String, Vec<Tree>)> {
    let tree = |note: &SignedNote| {
        let checkpoint = Checkpoint::from_note(note).ok()?;
        let tree = Tree { size: checkpoint.tree_size(), root: *checkpoint.root() };
        Some((checkpoint.origin().to_owned(), tree))
    };
    let (origin, first) = match evidence {
        Evidence::AfterHandover { a, .. } => {
            let declared = Declaration::parse(a.text()).ok()?;
            (declared.from, Tree { size: declared.size, root: declared.root })
        }
        _ => tree(evidence.a())?,
    };
    let second = match evidence.b() {
        Some(b) => Some(tree(b)?.1),
        None => None,
    };
    Some((origin, core::iter::once(first).chain(second).collect()))
}

/// Its canonical form. A note that the log has not signed stays as it is, and will not verify.
fn canonical(evidence: Evidence, log: &KnownLog) -> Evidence {
    let trim = |note: SignedNote| log.trim(&note).unwrap_or(note);
    match evidence {
        Evidence::SameSize { a, b } => {
            let (a, b) = if a.text() <= b.text() { (a, b) } else { (b, a) };
            Evidence::SameSize { a: trim(a), b: trim(b) }
        }
        Evidence::EmptyTree { a } => Evidence::EmptyTree { a: trim(a) },
        Evidence::Inconsistent { a, b, root, proof } => {
            Evidence::Inconsistent { a: trim(a), b: trim(b), root, proof }
        }
        Evidence::AfterHandover { a, b } => Evidence::AfterHandover { a: trim(a), b: trim(b) },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testkit::{Branch, HONEST, noisy, trust};

    const FORK: Branch = Branch { fork_at: 2, branch: 1 };

    fn fork() -> Evidence {
        Evidence::of_notes(&HONEST.note(5, &[0, 1]), &FORK.note(5, &[1, 2])).unwrap()
    }

    #[test]
    fn one_contradiction_is_one_file() {
        let held = Held::verify(fork(), &trust(3)).unwrap();
        assert_eq!(held.faulty_witnesses(), [Name::from("w1")]);
        let Evidence::SameSize { a, b } = fork() else { panic!("another kind") };
        for (a, b) in [(a.clone(), b.clone()), (b.clone(), a.clone()), (noisy(&a), noisy(&b)), (noisy(&b), a)]
        {
            let again = Held::verify(Evidence::SameSize { a, b }, &trust(3)).unwrap();
            assert_eq!(again, held);
        }
        assert_eq!(Held::read(held.text().as_bytes(), &trust(3)).unwrap(), held);
        assert_eq!(EvidenceId::parse(&held.id().to_string()), Some(held.id()));
    }

    #[test]
    fn what_is_forged_or_of_others_is_not_held() {
        let unknown = Trust::default();
        assert_eq!(Held::verify(fork(), &unknown), Err(NotEvidence::UnknownOrigin));
        let a = HONEST.note(5, &[0]);
        let forged = SignedNote::new(FORK.note(5, &[]).text(), a.signatures().to_vec()).unwrap();
        let evidence = Evidence::SameSize { a: a.clone(), b: forged };
        assert!(matches!(Held::verify(evidence, &trust(3)), Err(NotEvidence::Unproven(_))));
        let agreeing = Evidence::SameSize { a: a.clone(), b: a };
        assert!(matches!(Held::verify(agreeing, &trust(3)), Err(NotEvidence::Unproven(_))));
        assert!(matches!(Held::read(b"keyglass-evidence/v2\n", &trust(3)), Err(NotEvidence::Format(_))));
    }

    proptest! {
        /// Whatever is done to a file, it convicts the same trees of the log or nobody.
        #[test]
        fn no_flipped_bit_convicts_of_something_else(at in 0usize..2000, bit in 0u8..8) {
            let held = Held::verify(fork(), &trust(3)).unwrap();
            let mut text = held.text().as_bytes().to_vec();
            let at = at % text.len();
            text[at] ^= 1 << bit;
            if let Ok(other) = Held::read(&text, &trust(3)) {
                prop_assert_eq!(other.trees(), held.trees());
                prop_assert!(other.faulty_witnesses().is_empty() || other.faulty_witnesses() == held.faulty_witnesses());
            }
        }
    }
}
