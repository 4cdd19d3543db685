//! Walking the log's distinguished heads: ask, verify everything, keep.

use keyglass_keytrans::client::Agreement;

use super::{
    context::{Context, head_note, now},
    operation::walk_distinguished,
    outcome::Failure,
    reporting,
};
use crate::{state::HeadsDocument, verdict::Verdict};

/// However short the monitoring window, a walk that nobody asked for follows no sooner, in milliseconds.
const SHORTEST_PAUSE: u64 = 60_000;

/// After a failure, a walk that nobody asked for follows no sooner, in milliseconds.
const PAUSE_AFTER_FAILURE: u64 = 600_000;

impl Context {
    /// Walks the log's recent distinguished heads, and keeps them and the newest head.
    ///
    /// # Errors
    /// The verdicts of a look-up. Nothing is kept then, but for evidence.
    pub(super) async fn walk_heads(&mut self) -> Result<HeadsDocument, Failure> {
        let verified = self.perform(&walk_distinguished()).await?;
        let mut heads = self.home.heads()?;
        if heads.take_walk(&verified.result, now().0) == Agreement::Disputed {
            let shown = head_note(&self.origin, &verified.update.tree);
            self.retained_note().iter().chain(&shown).for_each(reporting::disputed);
            let message = "the log's distinguished heads are not those that this home verified before, and the head \
                           that connected them is lost";
            return Err(Failure::new(Verdict::Disputed, "heads_rewritten", message));
        }
        self.retain(verified.update)?;
        self.home.store_heads(&heads)?;
        self.walked = true;
        Ok(heads)
    }

    /// The distinguished heads that are kept, walked anew if the log may have more by now: once in a Reasonable Monitoring
    /// Window. Where no answer can be had, what is kept has to do.
    ///
    /// # Errors
    /// The verdicts of a look-up, but for those that say that there was no answer.
    pub(super) async fn recent_heads(&mut self) -> Result<HeadsDocument, Failure> {
        let mut heads = self.home.heads()?;
        let window = self.verifier.configuration().reasonable_monitoring_window.max(SHORTEST_PAUSE);
        if !is_due(&heads, window, now().0) {
            return Ok(heads);
        }
        match self.walk_heads().await {
            Err(failure) if matches!(failure.verdict, Verdict::Unreachable | Verdict::Declined) => {
                heads.failed = now().0;
                self.home.store_heads(&heads)?;
                Ok(heads)
            }
            walked => walked,
        }
    }
}

/// Whether the heads are older than the log's could be at `now`, all in milliseconds. A time that lies ahead is of a clock
/// that was wrong, and then the walk is due.
fn is_due(heads: &HeadsDocument, window: u64, now: u64) -> bool {
    let within = |since: u64, pause: u64| since != 0 && since <= now && now.saturating_sub(since) < pause;
    !within(heads.walked, window) && !within(heads.failed, window.min(PAUSE_AFTER_FAILURE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_due_once_in_a_window() {
        let mut heads = HeadsDocument::new("log".into());
        let (day, now) = (86_400_000, 1_700_000_000_000);
        assert!(is_due(&heads, day, now));
        heads.walked = now - day + 1;
        assert!(!is_due(&heads, day, now));
        heads.walked = now - day;
        assert!(is_due(&heads, day, now));
        heads.failed = now - 1;
        assert!(!is_due(&heads, day, now));
        heads.failed = now - PAUSE_AFTER_FAILURE;
        assert!(is_due(&heads, day, now));
        heads.walked = now + day;
        assert!(is_due(&heads, day, now), "the clock was set back");
    }
}
