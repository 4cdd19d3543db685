//! `serve`: many logs at once, as processes. What one log does changes nothing for the others.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{
    fs,
    path::{Path, PathBuf},
};

use keyglass_crypto::hash::sha256;
use keyglass_tlog::{evidence::Evidence, witness::checkpoint_path};
use kit::{
    serve::{Home, command, now},
    *,
};
use serde_json::Value;

fn database(home: &Path, world: &World) -> PathBuf {
    home.join("logs").join(hex::encode(world.trust.id())).join("auditor.redb")
}

#[tokio::test]
async fn what_one_log_does_changes_nothing_for_another() {
    let (good, bad) = (World::new().await, World::other().await);
    assert_ne!(good.trust.origin(), bad.trust.origin());
    good.publish(&now(9), &ALL);
    bad.publish(&now(9), &ALL);
    let home = Home::new(&[("good", &good), ("bad", &bad)], "").await;
    let served = home.start().await;
    for log in [0, 1] {
        let status = served.until(log, |status| status["verdict"] == "ok").await;
        assert_eq!((&status["size"], &status["head"]["verified_size"]), (&9.into(), &9.into()), "{status}");
        assert_eq!(status["quorum"]["margin"], 1);
        assert_eq!(status["witnesses"][2]["state"], "agrees");
        assert!(status["witnesses"][0]["latency_ms"].is_u64());
        assert_eq!(status["growth"].as_array().unwrap().last().unwrap()["size"], 9);
    }
    let goes_on = async || {
        let before = served.json("/v1/status").await["logs"][0]["rounds"].as_u64().unwrap();
        served
            .until(0, |status| status["rounds"].as_u64().unwrap() > before + 2 && status["verdict"] == "ok")
            .await;
    };
    for (lie, verdict) in [
        (Lie::Silence, "unreachable"),
        (Lie::Stall, "unreachable"),
        (Lie::Endless, "invalid"),
        (Lie::Bytes(b"garbage".to_vec()), "invalid"),
        (Lie::Redirect(good.log.url.clone()), "invalid"),
    ] {
        bad.log.lie("checkpoint", lie);
        let status = served.until(1, |status| status["verdict"] == verdict).await;
        assert!(!status["findings"].as_array().unwrap().is_empty(), "{status}");
        goes_on().await;
    }
    // A fork of one convicts that one, whoever reports it.
    bad.log.be_honest();
    let mut forked = now(9);
    forked[3][39] ^= 1;
    let note = bad.keys.note(&forked, &[2]).to_string();
    let request = served.client.post(format!("{}/v1/heads", served.url)).header("content-type", "text/plain");
    let answer: Value = request.body(note).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["standing"], "contradicts");
    let status = served.until(1, |status| status["verdict"] == "misbehaving").await;
    let incident = &status["incidents"][0];
    assert_eq!((incident["kind"].as_str(), incident["resolved_ms"].is_null()), (Some("misbehaving"), true));
    let evidence = incident["evidence"].as_str().unwrap();
    let text = served.client.get(format!("{}{evidence}", served.url)).send().await.unwrap();
    assert!(text.text().await.unwrap().starts_with("keyglass-evidence/v1\n"));
    assert_eq!(status["vantage_points"][0]["kind"], "client");
    goes_on().await;
    // A log is named where there are several.
    assert_eq!(served.json("/v1/report").await["type"], "urn:keyglass:problem:malformed-query");
    let path = format!("/v1/report?log={}", hex::encode(good.trust.id()));
    assert_eq!(served.json(&path).await["verdict"], "ok");
    assert_eq!(served.json("/readyz").await["verdict"], "misbehaving");
    served.stop().await;
    // A directory that is damaged is one log's trouble, too.
    fs::write(database(&home.path("data"), &bad), b"nothing").unwrap();
    let served = home.start().await;
    let status = served.until(1, |status| status["verdict"] == "failed").await;
    assert!(status["failure"].as_str().unwrap().contains("auditor.redb"), "{status}");
    served.until(0, |status| status["verdict"] == "ok").await;
    served.stop().await;
}

#[tokio::test]
async fn what_peers_know_is_known_here_and_passed_on() {
    let (one, two) = (World::new().await, World::other().await);
    one.publish(&now(9), &ALL);
    two.publish(&now(9), &ALL);
    let mut home = Home::new(&[("one", &one), ("two", &two)], "").await;
    // The peer shows another head of the first log, and holds evidence against the second.
    let fork = |entries: &[Entry]| {
        let mut forked = entries.to_vec();
        forked[3][39] ^= 1;
        forked
    };
    let peer = Server::start().await;
    let shown = one.keys.note(&fork(&now(9)), &[2]).to_string();
    peer.put(&checkpoint_path(one.trust.origin()), shown.into_bytes());
    let entries = now(9);
    let both = [&entries, &fork(&entries)].map(|entries| two.keys.note(entries, &[1]));
    let evidence = Evidence::of_notes(&both[0], &both[1]).unwrap().to_string();
    let id = hex::encode(sha256(&[evidence.as_bytes()]));
    let list =
        format!("keyglass-gossip/v1\n{id} {}\n", hex::encode(sha256(&[two.trust.origin().as_bytes()])));
    peer.put("gossip/v1/evidence", list.into_bytes());
    peer.put(&format!("gossip/v1/evidence/{id}"), evidence.into_bytes());
    fs::write(home.path("peers"), format!("peer w {}\n", peer.url)).unwrap();
    home.arguments = vec!["--peers".into(), home.path("peers").into(), "--gossip-period".into(), "50".into()];
    let served = home.start().await;
    for log in [0, 1] {
        let status = served.until(log, |status| status["verdict"] == "misbehaving").await;
        assert!(status["incidents"][0]["evidence"].is_string(), "{status}");
    }
    let status = served.until(0, |status| status["vantage_points"][0]["kind"] == "peer").await;
    assert_eq!(status["vantage_points"][0]["name"], "w");
    // Both convictions are what others can pull, found here or heard of.
    let list = served.client.get(format!("{}/gossip/v1/evidence", served.url)).send().await.unwrap();
    let list = keyglass_gossip::listing::parse(&list.bytes().await.unwrap()).unwrap();
    assert_eq!(list.len(), 2);
    for (id, _) in list {
        let text = served.client.get(format!("{}/gossip/v1/evidence/{id}", served.url)).send().await.unwrap();
        let evidence = Evidence::parse(&text.bytes().await.unwrap()).unwrap();
        let proven = [&one, &two].map(|world| {
            evidence
                .verify(&world.trust.log_keys().iter().collect::<Vec<_>>(), Some(world.trust.policy()))
                .is_ok()
        });
        assert_eq!(proven.iter().filter(|proven| **proven).count(), 1);
    }
    // The figures follow with the round.
    loop {
        let metrics = served.client.get(format!("{}/metrics", served.url)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        if metrics.contains("keyglass_auditor_gossip_total{outcome=\"round\"}")
            && metrics.contains("keyglass_auditor_evidence 2")
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    served.stop().await;
    fs::write(home.path("peers"), "peer w\n").unwrap();
    let (code, detail) = home.fails().await;
    assert!(code == 2 && detail.contains("line 1"), "{code} {detail}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_what_and_where() {
    let world = World::new().await;
    let home = Home::new(&[("a", &world)], "").await;
    let text = fs::read_to_string(home.path("auditor.toml")).unwrap();
    for (changed, words) in [
        (String::new(), "names no log"),
        (text.replace("a.policy", "b.policy"), "b.policy"),
        (text.replace("http://", "ftp://"), "the log a: ftp://"),
        (format!("{text}monitoring = {{ w9 = \"http://x\" }}\n"), "no witness w9"),
        (format!("{text}{}", text.replace("\"a\"", "\"b\"")), "another one of the file"),
        (format!("{text}[[auditor]]\nname = \"x\"\nurl = \"x\"\n"), "x: not an http"),
    ] {
        fs::write(home.path("auditor.toml"), changed).unwrap();
        let (code, detail) = home.fails().await;
        assert!(code == 2 && detail.contains(words), "{code} {detail}");
    }
    fs::remove_file(home.path("auditor.toml")).unwrap();
    let (code, detail) = home.fails().await;
    assert!(code == 2 && detail.contains("auditor.toml"), "{code} {detail}");
}

#[tokio::test]
async fn serve_goes_on_where_follow_was_and_shares_with_nobody() {
    let world = World::new().await;
    world.publish(&now(9), &ALL);
    let home = Home::new(&[("a", &world)], "").await;
    let mut follow = command();
    follow.arg("follow").args(["--url", &world.log.url, "--once"]).arg("--data").arg(home.path("data"));
    follow.arg("--policy").arg(home.path("a.policy"));
    follow.arg("--configuration").arg(home.path("a.configuration"));
    assert_eq!(follow.output().await.unwrap().status.code(), Some(0));
    world.log.asked();
    let served = home.start().await;
    served.until(0, |status| status["verdict"] == "ok").await;
    assert!(!home.path("data").join("logs").exists(), "it is where it was");
    assert!(world.log.asked().iter().all(|path| path == "checkpoint"), "nothing is replayed again");
    let (code, detail) = home.fails().await;
    assert!(code == 1 && detail.contains("another process"), "{code} {detail}");
    served.stop().await;
}

#[tokio::test]
async fn other_urls_and_other_auditors_are_vantage_points() {
    let world = World::new().await;
    let entries = now(9);
    world.publish(&entries, &ALL);
    let (mirror, other) = (Server::start().await, Server::start().await);
    let note = world.keys.note(&entries, &ALL).to_string().into_bytes();
    mirror.put("checkpoint", note.clone());
    let more = format!("[[auditor]]\nname = \"other\"\nurl = \"{}\"\n", other.url);
    let home = Home::new(&[("a", &world)], &more).await;
    let text = fs::read_to_string(home.path("auditor.toml")).unwrap();
    let urls = format!("[\"{}\"]", world.log.url);
    let both = format!("[\"{}\", \"{}\"]", world.log.url, mirror.url);
    fs::write(home.path("auditor.toml"), text.replace(&urls, &both)).unwrap();
    let served = home.start().await;
    let states = |status: &Value| {
        let points = status["vantage_points"].as_array().unwrap().iter();
        points.map(|p| format!("{} {}", p["kind"].as_str().unwrap(), p["state"].as_str().unwrap())).collect()
    };
    let status = served.until(0, |status| status["verdict"] == "ok").await;
    let seen: Vec<String> = states(&status);
    assert_eq!(seen, ["log agrees", "auditor never"]);
    other.put(&world.monitoring_path(), note);
    served.until(0, |status| states(status).contains(&"auditor agrees".to_owned())).await;
    // The log at its other address shows another history: that is evidence.
    let mut forked = entries.clone();
    forked[8][39] ^= 1;
    mirror.put("checkpoint", world.keys.note(&forked, &[2]).to_string().into_bytes());
    let status = served.until(0, |status| status["verdict"] == "misbehaving").await;
    assert_eq!(status["evidence"][0]["kind"], "same-size");
    served.until(0, |status| states(status).contains(&"log contradicts".to_owned())).await;
    served.stop().await;
}
