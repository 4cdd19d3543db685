//! A running server whose log entries expire.

use keyglass_tlog::tile::{Content, Tile};

use super::*;

/// Waits until everything before a log entry is pruned.
async fn pruned(client: &Client, position: u64) -> String {
    loop {
        let metrics = client.get("/metrics").await.text().await.unwrap();
        let value = |name: &str| -> u64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("keyglass_log_{name} ")));
            line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
        };
        assert_eq!(value("pruning_failing"), 0);
        if value("pruned_position") >= position {
            assert!(value("pruned_entries") > 0 && value("pruned_pages") > 0 && value("pruned_versions") > 0);
            return metrics;
        }
        // The next heartbeat changes it.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_leaves_a_server_that_goes_on_answering() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let rig = Rig::with(suite, 100, Some(300));
        let quick = |settings: &mut Settings| {
            let short = Duration::from_millis(1);
            settings.sequencer.heartbeat = short;
            settings.pruning.grace = short;
        };
        let (server, mut owner) = rig.start_with("quorum none\n", "127.0.0.1:0", quick).await;
        published(&server, 1).await;
        let mut old_friend = owner.stranger();
        let mut account = Owner::new(1);
        owner.own(LABEL).await;
        let mut records: Vec<Vec<u8>> = Vec::new();
        for _ in 0..3 {
            records.push(account.next(&rig.origin));
            owner.update(LABEL, vec![records.last().unwrap().clone()]).await;
        }
        assert_eq!(old_friend.search(LABEL, None).await, (2, records[2].clone()));
        let old_size = old_friend.state.last().unwrap();

        pruned(&owner, old_size + 300).await;
        let mut stranger = owner.stranger();
        assert_eq!(stranger.search(LABEL, None).await, (2, records[2].clone()));
        for version in [0, 1] {
            let request = stranger.verifier.search_request(&stranger.state, LABEL, Some(version));
            let response = stranger.post("/v1/search", request.encode().unwrap()).await;
            refused(response, Problem::ExpiredVersion).await;
        }
        // Who comes back after all that time.
        assert_eq!(old_friend.search(LABEL, None).await, (2, records[2].clone()));
        let record = account.next(&rig.origin);
        let request = owner.verifier.update_request(&owner.state, LABEL, vec![record.clone()]).unwrap();
        owner.learn(&request, &owner.ask("/v1/update", request.encode().unwrap()).await);
        assert_eq!(stranger.search(LABEL, None).await, (3, record.clone()));

        let bundle = |index| Tile::new(Content::Entries, index, 256).unwrap();
        let first = owner.get(&format!("/{}", bundle(0))).await;
        match suite {
            CipherSuite::Draft => drop(refused(first, Problem::NotFound).await),
            CipherSuite::Tlog => {
                refused(first, Problem::Pruned).await;
                // The tiles above it stay, and so does the bundle that the first unexpired entry is in.
                let hashes = Tile::new(Content::Hashes { level: 0 }, 0, 256).unwrap();
                assert_eq!(owner.get(&format!("/{hashes}")).await.status(), StatusCode::OK);
                let last = (server.log().head().unwrap().size - 1) / 256;
                let partial = Tile::new(Content::Entries, last, 1).unwrap();
                assert_eq!(owner.get(&format!("/{partial}")).await.status(), StatusCode::OK);
            }
        }

        // A restart goes on where it was.
        let address = owner.address.to_string();
        let position = server.log().store().snapshot().unwrap().pruned().unwrap();
        server.stop().await;
        let (server, _) = rig.start_with("quorum none\n", &address, quick).await;
        assert!(server.log().store().snapshot().unwrap().pruned().unwrap() >= position);
        let size = server.log().head().unwrap().size;
        pruned_further(&owner, size).await;
        assert_eq!(stranger.search(LABEL, None).await, (3, record));
        server.stop().await;
    }
}

/// Waits until pruning has passed a log entry, in a process that may have pruned pages of nothing.
async fn pruned_further(client: &Client, position: u64) {
    loop {
        let metrics = client.get("/metrics").await.text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("keyglass_log_pruned_position "));
        if line.unwrap().parse::<u64>().unwrap() >= position {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
