//! What people were shown and told stays so over a restart: how a log grew, what is wrong with it, and since when.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::as_conversions)]

mod kit;

use std::{fs, sync::Arc, time::Duration};

use keyglass_auditor::{
    alert::{
        desk::{AlertMetrics, Desk},
        watch::observations,
        webhook,
    },
    clock::Clock,
    followed::Logs,
    overview::LogOverview,
};
use kit::{
    serve::{Home, now},
    *,
};

const HOLD: Duration = Duration::from_secs(60);

/// An auditor from one start to the next, whose rounds are told to its desk.
struct Life<'a> {
    world: &'a World,
    auditor: Auditor,
    logs: Arc<Logs>,
    desk: Desk,
}

impl<'a> Life<'a> {
    fn begin(world: &'a World) -> Self {
        let auditor = world.follower();
        let logs = world.logs(&auditor.records);
        let clock: Arc<dyn Clock> = Arc::clone(&world.clock) as _;
        let (path, client) = (world.data.path().join("alerts.json"), webhook::client(&[]).unwrap());
        let desk = Desk::open(path, HOLD, Vec::new(), client, clock, AlertMetrics::default()).unwrap();
        Self { world, auditor, logs, desk }
    }

    /// A round, `seconds` after what was before.
    async fn round(&self, seconds: u64) -> LogOverview {
        self.world.clock.advance(seconds * 1000);
        let log = self.logs.only().unwrap();
        log.observe(Arc::new(self.auditor.round().await)).await.unwrap();
        let overview = log.overview();
        self.desk.observe(log.trust().origin(), &observations(&overview)).await;
        overview
    }

    /// The numbers and keys of the alerts that are open.
    fn alerts(&self) -> Vec<(u64, String)> {
        self.desk.alerts().into_iter().map(|open| (open.alert, open.what.key)).collect()
    }
}

fn open(overview: &LogOverview) -> Vec<&str> {
    overview.incidents.iter().map(|incident| incident.key.as_str()).collect()
}

#[tokio::test]
async fn growth_and_incidents_go_on_and_an_alert_is_told_once_and_ends() {
    keyglass_service::tls::install_provider();
    let world = World::new().await;
    let life = Life::begin(&world);
    for size in 1..=9 {
        world.publish(&honest(size), &ALL);
        life.round(1).await;
    }
    world.publish(&honest(12), &[0]);
    life.round(1).await;
    let before = life.round(30).await;
    assert_eq!((open(&before), before.growth.len()), (vec!["unwitnessed"], 11));
    let told = life.alerts();
    assert!(matches!(told.as_slice(), [(_, key)] if key == "unwitnessed"), "{told:?}");
    drop(life);

    // Before the first round all is there that was there.
    let life = Life::begin(&world);
    let after = life.logs.only().unwrap().overview();
    assert_eq!((after.rounds, after.verdict, &after.incidents), (0, None, &before.incidents));
    assert_eq!(after.growth, before.growth);
    // It is still wrong: the same incident, and nothing new to tell.
    let again = life.round(5).await;
    assert_eq!((open(&again), life.alerts()), (vec!["unwitnessed"], told.clone()));
    assert_eq!(again.incidents[0].opened_ms, before.incidents[0].opened_ms);
    assert_eq!(again.growth[..10], before.growth[..10]);
    drop(life);

    // It ended while nobody looked: that is seen by the first round, and told after the hold.
    world.publish(&honest(12), &ALL);
    let life = Life::begin(&world);
    let over = life.round(61).await;
    assert_eq!((open(&over).len(), over.resolved.len(), life.alerts()), (0, 1, told));
    life.round(60).await;
    assert!(life.alerts().is_empty());
    drop(life);
    let life = Life::begin(&world);
    let overview = life.logs.only().unwrap().overview();
    assert_eq!((overview.resolved, life.alerts().len()), (over.resolved, 0));
}

#[tokio::test]
async fn a_killed_auditor_shows_what_it_showed_and_wakes_nobody_twice() {
    let world = World::new().await;
    let entries = now(12);
    world.publish(&entries[..9], &ALL);
    let file = tempfile::tempdir().unwrap();
    let out = file.path().join("out");
    let script = format!("cat >> {0}; echo >> {0}", out.display());
    let more = format!("[[alerts.command]]\nname = \"c\"\nargv = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
    let home = Home::new(&[("log", &world)], &more).await;
    let served = home.start().await;
    served.until(0, |status| status["verdict"] == "ok").await;
    world.publish(&entries, &ALL);
    world.log.lie("v1/audit/updates", Lie::Bytes(vec![0xff; 100]));
    served.until(0, |status| status["incidents"][0]["key"] == "update_too_large").await;
    for _ in 0..600 {
        if fs::read_to_string(&out).is_ok_and(|told| told.ends_with('\n')) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    served.kill().await;

    // No round can end.
    world.log.lie("checkpoint", Lie::Silence);
    let text = fs::read_to_string(home.path("auditor.toml")).unwrap();
    fs::write(home.path("auditor.toml"), text.replace("timeout_ms = 300", "timeout_ms = 60000")).unwrap();
    let served = home.start().await;
    let status = served.until(0, |status| !status["incidents"].as_array().unwrap().is_empty()).await;
    assert_eq!((&status["rounds"], &status["incidents"][0]["key"]), (&0.into(), &"update_too_large".into()));
    assert_eq!(status["growth"][0]["size"], 9, "{status}");
    served.kill().await;

    fs::write(home.path("auditor.toml"), text).unwrap();
    world.log.lie("checkpoint", Lie::Bytes(world.keys.note(&entries, &ALL).to_string().into_bytes()));
    let served = home.start().await;
    let status = served.until(0, |status| status["rounds"].as_u64() > Some(5)).await;
    assert_eq!(status["incidents"][0]["key"], "update_too_large", "{status}");
    served.stop().await;
    let told = fs::read_to_string(&out).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("\"opened\""), "{told}");
}
