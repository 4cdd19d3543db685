//! Networks that fail between a log and its witnesses: hosts of their own, whose cables are cut and joined again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod network;
#[allow(dead_code, reason = "each test program uses another part")]
#[path = "../support/mod.rs"]
mod support;
mod world;

use keyglass_account::problem::Problem;
use keyglass_demo::system::WITNESSES;

use crate::{
    network::Network,
    support::account::Account,
    world::{LOG, World},
};

/// Runs a test on the log's host, where the machine lets a network be made.
fn on_a_network(name: &str, test: impl AsyncFnOnce(&Network) + Send) {
    match Network::new(&[LOG, WITNESSES[0], WITNESSES[1], WITNESSES[2]]) {
        Ok(network) => network.run_on(LOG, async || test(&network).await),
        Err(reason) => println!("skipped: {name} needs network namespaces of its own ({reason})"),
    }
}

#[test]
fn a_witness_that_is_cut_off_costs_its_cosignature_and_catches_up() {
    on_a_network("a_witness_that_is_cut_off", async |network| {
        let mut world = World::start(network).await;
        world.publish("before").await;
        network.cut("w3");
        for label in ["first", "second", "third"] {
            world.publish(label).await;
        }
        let size = world.log_head().await.tree_size();
        let behind = world.witness_head("w3").await.unwrap();
        assert!(behind.tree_size() < size, "{behind} and a log of {size}");
        assert!(world.readyz_names_a_failure_of("w3").await);

        network.join("w3");
        world.until_witness_has("w3", size).await;
        world.expect_one_history().await;
    });
}

#[test]
fn without_a_quorum_nothing_is_published_and_nothing_is_lost() {
    on_a_network("without_a_quorum", async |network| {
        let mut world = World::start(network).await;
        world.publish("before").await;
        let before = world.log_head().await;
        network.cut("w1");
        network.cut("w2");
        let waiting = Account::new(&world.api.origin, "waiting", 1);
        let answer = world.update(&waiting).await;
        assert_eq!(answer.problem(), Some(Problem::UpdatePending), "{}", answer.text());
        assert!(world.log_head().await.is_same_tree(&before), "what is not witnessed is not served");
        // The log dies with what waits, and comes back into the same broken network.
        world.restart_log().await;
        assert!(world.log_head().await.is_same_tree(&before), "the last published head survives");

        network.join("w2");
        world.publish_account(&waiting).await;
        network.join("w1");
        let size = world.log_head().await.tree_size();
        assert!(size > before.tree_size());
        world.until_witness_has("w1", size).await;
        world.expect_one_history().await;
    });
}

#[test]
fn a_witness_whose_answers_are_lost_is_found_at_the_size_that_it_has() {
    on_a_network("answers_lost", async |network| {
        let mut world = World::start(network).await;
        world.publish("before").await;
        let before = world.log_head().await.tree_size();
        // Its connections stand, so the next request reaches it; its answer does not come back.
        network.silence("w1", LOG);
        network.cut("w2");
        let waiting = Account::new(&world.api.origin, "waiting", 1);
        let answer = world.update(&waiting).await;
        assert_eq!(answer.problem(), Some(Problem::UpdatePending), "{}", answer.text());
        world.until_witness_has("w1", before + 1).await;
        assert_eq!(world.log_head().await.tree_size(), before, "two of three are needed");
        // What the witness cosigned last is known to nobody but itself: not to this log-server, nor to the next one.
        world.restart_log().await;
        world.restart_witness("w1").await;
        assert_eq!(world.witness_head("w1").await.unwrap().tree_size(), before + 1);

        network.let_speak("w1", LOG);
        world.publish_account(&waiting).await;
        world.publish("after").await;
        network.join("w2");
        let size = world.log_head().await.tree_size();
        world.until_witness_has("w2", size).await;
        world.expect_one_history().await;
    });
}

#[test]
fn cables_that_are_cut_and_joined_all_the_time_never_make_a_second_history() {
    on_a_network("cut_and_joined", async |network| {
        let mut world = World::start(network).await;
        for turn in 0..12 {
            let cut = WITNESSES[turn % 3];
            network.cut(cut);
            // The other two suffice; every fourth time somebody dies meanwhile.
            let account = Account::new(&world.api.origin, &format!("turn-{turn}"), 1);
            let answer = world.update(&account).await;
            match turn % 4 {
                1 => world.restart_witness(cut).await,
                3 => world.restart_log().await,
                _ => {}
            }
            network.join(cut);
            if answer.status != 200 {
                world.publish_account(&account).await;
            }
            world.note_heads().await;
        }
        let size = world.log_head().await.tree_size();
        for witness in WITNESSES {
            world.until_witness_has(witness, size).await;
        }
        world.expect_one_history().await;
    });
}
