//! Distinguished heads, and what contacts say of the log.

use core::time::Duration;

use keyglass_client_verify::{messaging::View, state::UnsettledHead, verdict::Verdict};
use keyglass_crypto::hash::Digest;
use keyglass_keytrans::{client::Agreement, prover::RECENT};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    note::{self, SignedNote},
    witnessed::{Horizon, Judge},
};

use super::{Client, Finding, HEADS, Mutant, Step, Stop, reconcile::Comparison};
use crate::{
    branch::Question,
    env::Env,
    setting::{MAX_AHEAD, setting},
};

impl Client {
    fn store_heads(&mut self) -> Step<()> {
        let bytes = serde_json::to_vec(&self.home().heads).unwrap();
        self.disk.write(HEADS, bytes)?;
        Ok(())
    }

    /// Walks the log's recent distinguished heads, and keeps them.
    pub(super) fn walk_heads(&mut self, env: &mut Env) -> Step<()> {
        let request = setting().verifier.distinguished_request(&self.home().state, None);
        let question = Question::Distinguished(request.clone());
        let verified = self.perform(env, &question, |verifier, state, response, now| {
            verifier.verify_distinguished(state, &request, RECENT, response, now)
        })?;
        let now = self.now().0;
        if self.home_mut().heads.take_walk(&verified.result, now) == Agreement::Disputed {
            return Err(Stop::Failed(Finding::new(Verdict::Disputed, "heads_rewritten")));
        }
        self.retain(env, verified.update)?;
        self.store_heads()
    }

    /// What this home says of the log.
    pub(super) fn view(&mut self, env: &mut Env) -> Step<View> {
        let window = setting().configuration.reasonable_monitoring_window;
        let (walked, now) = (self.home().heads.walked, self.now().0);
        if walked == 0 || walked > now || now - walked >= window {
            match self.walk_heads(env) {
                Err(Stop::Failed(finding))
                    if matches!(finding.verdict, Verdict::Unreachable | Verdict::Declined) => {}
                walked => walked?,
            }
        }
        let heads = self.home().heads.recent().iter().map(|head| head.root).collect();
        let checkpoint = self.retained_note().map(|note| note.to_string()).unwrap_or_default();
        Ok(View { checkpoint, heads })
    }

    /// Compares what `from` says of the log with what this home knows.
    pub(super) fn examine(&mut self, env: &mut Env, from: &str, view: &View) -> Step<()> {
        if !view.checkpoint.is_empty() && self.mutant != Some(Mutant::IgnoresViews) {
            self.examine_checkpoint(env, from, &view.checkpoint)?;
        }
        if !view.heads.is_empty() {
            self.examine_heads(&view.heads);
        }
        self.check_comparison(env, &view.checkpoint);
        Ok(())
    }

    /// Asks again about heads that the log did not explain before.
    pub(super) fn settle(&mut self, env: &mut Env) -> Step<()> {
        for UnsettledHead { from, note } in self.home().heads.unsettled().to_vec() {
            self.examine_checkpoint(env, &from, &note)?;
        }
        Ok(())
    }

    fn examine_checkpoint(&mut self, env: &mut Env, from: &str, text: &str) -> Step<()> {
        let parsed = SignedNote::parse(text.as_bytes()).ok();
        let parsed = parsed.and_then(|note| Some((Checkpoint::from_note(&note).ok()?, note)));
        let Some((checkpoint, theirs)) = parsed else { return Ok(()) };
        let Some(counts) = self.weigh(&theirs, &checkpoint) else { return Ok(()) };
        if counts {
            let head = UnsettledHead { from: from.to_owned(), note: text.to_owned() };
            self.home_mut().heads.keep_unsettled(head);
            self.store_heads()?;
        }
        if counts && checkpoint.tree_size() > self.home().state.last().unwrap_or(0) {
            match self.walk_heads(env) {
                Err(Stop::Failed(finding)) if is_alarm(finding.verdict) => {
                    self.findings.push(finding);
                    return Ok(());
                }
                Err(Stop::Crashed) => return Err(Stop::Crashed),
                Ok(()) | Err(Stop::Failed(_)) => {}
            }
        }
        let Some(ours) = self.retained_note() else { return Ok(()) };
        match self.compare(env, &ours, &theirs) {
            Comparison::Consistent => {
                self.home_mut().heads.settle(text);
                self.store_heads()?;
            }
            Comparison::Contradiction(evidence) => {
                self.home_mut().heads.settle(text);
                self.store_heads()?;
                match self.convict(env, evidence) {
                    Stop::Failed(finding) => self.findings.push(finding),
                    Stop::Crashed => return Err(Stop::Crashed),
                }
            }
            Comparison::Unknown(why) if counts => {
                let sizes = (checkpoint.tree_size(), self.home().state.last().unwrap_or(0));
                let why = format!("head_not_explained {sizes:?}: {why}");
                self.findings.push(Finding::new(Verdict::Unreconciled, why));
            }
            Comparison::Unknown(_) | Comparison::NotAnswered => {}
        }
        Ok(())
    }

    /// Whether a checkpoint would be believed here; `None` if it says nothing about the log.
    fn weigh(&self, theirs: &SignedNote, checkpoint: &Checkpoint) -> Option<bool> {
        let key = &setting().vkey;
        let signed = theirs.signatures().iter().any(|line| {
            note::verify_lines(theirs.text(), std::slice::from_ref(line), &[key])
                .is_ok_and(|lines| !lines.is_empty())
        });
        if checkpoint.origin() != setting().origin || !signed {
            return None;
        }
        let horizon = Horizon::at(self.now(), Duration::from_millis(MAX_AHEAD));
        Some(Judge::of_log(&setting().policy, [key], horizon).judge(theirs).is_ok())
    }

    fn examine_heads(&mut self, theirs: &[Digest]) {
        let ours: Vec<Digest> = self.home().heads.entries().iter().map(|entry| entry.root).collect();
        if Agreement::of_roots(&ours, theirs) == Agreement::Disputed {
            self.findings.push(Finding::new(Verdict::Disputed, "heads_disputed"));
        }
    }

    /// Two sides of a fork that meet in a message are found out then: with evidence if the receiver's side has as many
    /// entries as the sender saw, and without where it has not.
    fn check_comparison(&mut self, env: &mut Env, checkpoint: &str) {
        let Ok(note) = SignedNote::parse(checkpoint.as_bytes()) else { return };
        let Ok(theirs) = Checkpoint::from_note(&note) else { return };
        let (size, fork) = (theirs.tree_size(), env.deceit.fork_size);
        let Some(own) = self.home().state.last() else { return };
        let of_my_side = env.branches[env.side[self.id]].root_at(size) == Some(*theirs.root());
        if env.branches.len() < 2 || size <= fork || own <= fork || of_my_side || env.disturbed {
            return;
        }
        let noticed = |verdict| self.findings.iter().any(|finding| finding.verdict == verdict);
        let (misbehaving, unreconciled) = (noticed(Verdict::Misbehaving), noticed(Verdict::Unreconciled));
        let comparable = own >= size && !env.deceit.withholds_tiles && !env.lagged;
        env.tell(crate::lies::Lie::ForkAcross);
        if comparable && !misbehaving {
            env.oracle.violated("two sides of a fork met in a message, and nobody was convicted");
        } else if !misbehaving && !unreconciled {
            let counts = self.weigh(&note, &theirs) == Some(true);
            if counts && !env.lagged {
                env.oracle.violated("two sides of a fork met in a message, and nobody noticed");
            }
        }
    }
}

fn is_alarm(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Misbehaving | Verdict::Unreconciled | Verdict::Disputed)
}
