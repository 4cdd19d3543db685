//! What a contact's message says of the log, against what this home verified.
//!
//! The message came over a channel that the log cannot read, so that a log which shows the two parties different histories
//! is found out here:
//!
//! | the message's | is | and then |
//! |---|---|---|
//! | checkpoint | not signed by the log, or by too few witnesses | a remark: anybody can write that |
//! | | signed, and of the history known here | silence |
//! | | signed, and of another history | evidence: `misbehaving` |
//! | | signed by a log that was handed over to this one, and beyond its declared end | evidence: `misbehaving` |
//! | | signed, and the log does not explain it | `unreconciled`; kept, and asked about again. Silence if it did not answer |
//! | roots | overlapping and the same, or not overlapping | silence |
//! | | overlapping and different | `disputed`: nobody signed them |
//!
//! A checkpoint that the log signed and that contradicts another one is evidence however few witnesses signed it. Auditors
//! (`--auditor`) are told of evidence, and of every signed checkpoint that was not shown to belong to the history known here,
//! with this home's head.

use core::time::Duration;

use keyglass_crypto::hash::Digest;
use keyglass_keytrans::client::Agreement;
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{self, SignedNote, Vkey},
    witnessed::{Horizon, Judge, JudgeError},
};

use super::{
    context::{Context, now},
    outcome::Failure,
    reconcile::{Comparison, Unexplained, compare_notes},
    reporting,
    resolve::hex,
};
use crate::{
    messaging::View,
    state::{HeadsDocument, UnsettledHead},
    verdict::Verdict,
};

/// What comparing found that is worth saying.
pub(super) enum Finding {
    /// Something is wrong, and the failure says what and with which evidence.
    Alarm(Failure),
    /// The message says something of the log that counts for nothing.
    Remark(&'static str),
}

/// What a checkpoint is that somebody sent.
enum Weight {
    /// It would be believed here.
    Witnessed,
    /// The log signed it, and it would not be believed here.
    Signed(&'static str),
    /// It says nothing about the log.
    Nothing(&'static str),
}

impl Context {
    /// What this home says of the log in a first message.
    ///
    /// # Errors
    /// The verdicts of a look-up, but for those that say that there was no answer.
    pub(super) async fn view(&mut self) -> Result<View, Failure> {
        let heads = self.recent_heads().await?.recent().iter().map(|head| head.root).collect();
        let checkpoint = self.retained_note().map(|note| note.to_string()).unwrap_or_default();
        Ok(View { checkpoint, heads })
    }

    /// Compares what `from` says of the log with what this home knows.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the home cannot be written.
    pub(super) async fn examine(&mut self, from: &str, view: &View) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        if !view.checkpoint.is_empty() {
            findings.extend(self.examine_checkpoint(from, &view.checkpoint).await?);
        }
        if !view.heads.is_empty() {
            findings.extend(self.examine_heads(from, &view.heads).await?);
        }
        Ok(findings)
    }

    /// Asks again about heads that the log did not explain before. Gives those that it still does not, and says so where
    /// it turns out that the log misbehaved.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the home cannot be written.
    pub(super) async fn settle(&mut self) -> Result<Vec<(String, Failure)>, Failure> {
        let mut findings = Vec::new();
        for UnsettledHead { from, note } in self.home.heads()?.unsettled().to_vec() {
            match self.examine_checkpoint(&from, &note).await? {
                Some(Finding::Alarm(failure)) => findings.push((from, failure)),
                // A changed policy may have made it one that counts for nothing.
                Some(Finding::Remark(_)) => self.forget_unsettled(&note)?,
                None => {}
            }
        }
        Ok(findings)
    }

    async fn examine_checkpoint(&mut self, from: &str, text: &str) -> Result<Option<Finding>, Failure> {
        if self.verifier.log_keys().is_empty() {
            return Ok(None);
        }
        let parsed = SignedNote::parse(text.as_bytes()).ok();
        let parsed = parsed.and_then(|note| Some((Checkpoint::from_note(&note).ok()?, note)));
        let Some((checkpoint, theirs)) = parsed else {
            return Ok(Some(Finding::Remark("the checkpoint in it is none")));
        };
        if let Some(failure) = self.head_after_end(&theirs, &checkpoint)? {
            return Ok(Some(Finding::Alarm(failure)));
        }
        let weight = self.weigh(&theirs, &checkpoint);
        let remark = match weight {
            Weight::Nothing(remark) => return Ok(Some(Finding::Remark(remark))),
            Weight::Signed(remark) => Some(Finding::Remark(remark)),
            Weight::Witnessed => None,
        };
        let counts = remark.is_none();
        if counts {
            // Before anything is asked: whoever stalls an answer must not make this home forget the question.
            self.keep_unsettled(from, text)?;
        }
        let comparison = match self.compare_with_own(&theirs, &checkpoint, counts).await {
            Ok(comparison) => comparison,
            Err(failure) => {
                self.tell_auditors(&theirs);
                return Ok(Some(Finding::Alarm(failure)));
            }
        };
        if matches!(comparison, Some(Comparison::Unknown(_)) | None) {
            // Also where the log did not answer: an auditor may see what it keeps from this home.
            self.tell_auditors(&theirs);
        }
        match comparison {
            Some(Comparison::Consistent) => {
                self.forget_unsettled(text)?;
                Ok(remark)
            }
            Some(Comparison::Contradiction(evidence)) => {
                let failure = self.convict(&evidence);
                self.forget_unsettled(text)?;
                Ok(Some(Finding::Alarm(failure)))
            }
            Some(Comparison::Unknown(why)) if counts && !why.is_unanswered() => {
                Ok(Some(Finding::Alarm(self.not_explained(from, &theirs, &checkpoint, &why))))
            }
            Some(Comparison::Unknown(_)) | None => Ok(remark),
        }
    }

    /// Has the auditors told of a head that the log has signed and not explained, and of this home's.
    fn tell_auditors(&self, theirs: &SignedNote) {
        self.retained_note().iter().chain([theirs]).for_each(reporting::disputed);
    }

    /// The log answers, and its answers do not lead to a head that it signed.
    fn not_explained(
        &self,
        from: &str,
        theirs: &SignedNote,
        checkpoint: &Checkpoint,
        why: &Unexplained,
    ) -> Failure {
        let message = format!(
            "{from} was shown a head of {} entries, and the log does not explain it to this home: {why}",
            checkpoint.tree_size()
        );
        Failure::new(Verdict::Unreconciled, "head_not_explained", message)
            .with("ours", self.retained_note().map(|note| note.to_string()))
            .with("theirs", theirs.to_string())
    }

    /// Compares a signed head with the one of this home, which is brought up to date first if the other is newer. `None` if
    /// this home has no head to compare with.
    ///
    /// # Errors
    /// What it means that the log's answer does not extend the head of this home.
    async fn compare_with_own(
        &mut self,
        theirs: &SignedNote,
        checkpoint: &Checkpoint,
        witnessed: bool,
    ) -> Result<Option<Comparison>, Failure> {
        let size = self.state.last().unwrap_or(0);
        if witnessed && checkpoint.tree_size() > size {
            match self.walk_heads().await {
                Err(failure) if is_alarm(failure.verdict) => return Err(failure),
                // What is known must do.
                Ok(_) | Err(_) => {}
            }
        }
        match self.retained_note() {
            Some(ours) => Ok(Some(compare_notes(&self.server, &ours, theirs).await)),
            None => Ok(None),
        }
    }

    fn weigh(&self, theirs: &SignedNote, checkpoint: &Checkpoint) -> Weight {
        if checkpoint.origin() != self.origin {
            return Weight::Nothing("the checkpoint in it is of another log");
        }
        // Lines of others that do not verify are not held against the log's own.
        let keys: Vec<&Vkey> = self.verifier.log_keys().iter().collect();
        let signed = theirs.signatures().iter().any(|line| {
            note::verify_lines(theirs.text(), std::slice::from_ref(line), &keys)
                .is_ok_and(|lines| !lines.is_empty())
        });
        let Some(policy) = self.verifier.policy().filter(|_| signed) else {
            return Weight::Nothing("the log has not signed the checkpoint in it");
        };
        let ahead = Duration::from_millis(self.verifier.configuration().max_ahead);
        match Judge::of_log(policy, keys, Horizon::at(now(), ahead)).judge(theirs) {
            Ok(_) => Weight::Witnessed,
            Err(JudgeError::QuorumNotMet { .. }) => {
                Weight::Signed("too few witnesses have signed the checkpoint in it")
            }
            Err(_) => Weight::Signed("a signature under the checkpoint in it does not verify"),
        }
    }

    async fn examine_heads(&mut self, from: &str, theirs: &[Digest]) -> Result<Option<Finding>, Failure> {
        let own = match self.heads_to_compare(theirs).await {
            Ok(own) => own,
            Err(failure) if is_alarm(failure.verdict) || failure.verdict == Verdict::Failed => {
                return Ok(Some(Finding::Alarm(failure)));
            }
            Err(_) => self.home.heads()?,
        };
        let ours: Vec<Digest> = own.entries().iter().map(|entry| entry.root).collect();
        match Agreement::of_roots(&ours, theirs) {
            Agreement::Agree | Agreement::NoOverlap => Ok(None),
            Agreement::Disputed => {
                let message = format!(
                    "{from} saw other distinguished heads of the log than this home. Nobody signed them, so that it \
                     says nothing about who is wrong; compare with `keyglass heads`"
                );
                let encoded =
                    |roots: &[Digest]| -> Vec<String> { roots.iter().map(|root| hex(root)).collect() };
                let failure = Failure::new(Verdict::Disputed, "heads_disputed", message)
                    .with("ours", encoded(&ours))
                    .with("theirs", encoded(theirs));
                Ok(Some(Finding::Alarm(failure)))
            }
        }
    }

    /// The heads of this home, walked anew if others know of some that it does not: once in a run, however many messages say
    /// so.
    async fn heads_to_compare(&mut self, theirs: &[Digest]) -> Result<HeadsDocument, Failure> {
        let own = self.recent_heads().await?;
        let known = |root: &Digest| own.entries().iter().any(|entry| entry.root == *root);
        if self.walked || theirs.iter().all(known) { Ok(own) } else { self.walk_heads().await }
    }

    fn keep_unsettled(&self, from: &str, note: &str) -> Result<(), Failure> {
        let mut heads = self.home.heads()?;
        heads.keep_unsettled(UnsettledHead { from: from.to_owned(), note: note.to_owned() });
        Ok(self.home.store_heads(&heads)?)
    }

    fn forget_unsettled(&self, note: &str) -> Result<(), Failure> {
        let mut heads = self.home.heads()?;
        if heads.unsettled().iter().any(|kept| kept.note == note) {
            heads.settle(note);
            self.home.store_heads(&heads)?;
        }
        Ok(())
    }
}

/// Whether a failure says something about the log, and not only that there was no usable answer.
fn is_alarm(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Misbehaving | Verdict::Unreconciled | Verdict::Disputed)
}
