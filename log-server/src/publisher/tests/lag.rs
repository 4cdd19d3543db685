//! Who lags, and that nobody waits for those who are known to.

use super::*;

#[tokio::test]
async fn a_witness_that_stalls_is_not_waited_for_again() {
    let refuses = Manner::Says(503, "text/plain", Vec::new());
    let witnesses =
        [witness(1, Manner::Honest).await, witness(2, Manner::Honest).await, witness(3, refuses).await];
    let policy = policy_of(&witnesses, 2);
    let mut log = Log::new();
    // Whoever waits for the end of the grace once waits longer than the test may take.
    let grace = Duration::from_secs(600);
    let publisher = log.publisher_with(signer(), policy.clone(), Settings { grace, ..settings() }).unwrap();
    let mut status = publisher.status();
    let running = tokio::spawn(publisher.run());
    log.grow();
    let _ = log.judged(1, &policy).await;
    status.wait_for(|status| status.witnesses[2].failing.is_some()).await.unwrap();
    *witnesses[2].0.manner.lock().unwrap() = Manner::Silent;
    for _ in 0..5 {
        let size = log.grow();
        let head = tokio::time::timeout(grace / 10, log.judged(size, &policy)).await;
        assert_eq!(head.expect("the grace was waited for").cosigners().len(), 2);
    }
    running.abort();
}

#[tokio::test]
async fn the_status_says_who_lags_and_since_when() {
    let silent = Manner::FailsFirst(2);
    let witnesses = [witness(1, Manner::Honest).await, witness(2, silent).await];
    let policy = policy_of(&witnesses, 1);
    let mut log = Log::new();
    let (mut status, running) = log.start(&policy);
    log.grow();
    let lags = |status: &Status| {
        let [prompt, slow] = status.witnesses.as_slice() else { return false };
        prompt.lagging_since.is_none()
            && prompt.last == Some(NOW)
            && slow.lagging_since == Some(NOW)
            && slow.lag(status.target) == 1
            && slow.failing.is_some()
    };
    status.wait_for(lags).await.unwrap();
    let caught_up = |status: &Status| {
        let slow = &status.witnesses[1];
        slow.lagging_since.is_none() && slow.lag(status.target) == 0 && slow.failing.is_none()
    };
    status.wait_for(caught_up).await.unwrap();
    running.abort();
    let _ = running.await;
    // What the published head shows is known after a restart.
    let complete = |head: &Option<Arc<PublishedHead>>| {
        head.as_ref().is_some_and(|head| judge(head, &policy).cosigners().len() == 2)
    };
    if complete(&log.published.current()) {
        let (mut status, running) = log.start(&policy);
        let known = status.wait_for(|status| status.target == 1).await.unwrap().clone();
        assert!(known.witnesses.iter().all(|one| one.cosigned == 1 && one.lagging_since.is_none()));
        running.abort();
    }
}
