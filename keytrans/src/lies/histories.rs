//! Honest histories of users, one idea each.

use super::scene::{START, Session, add, greatest, grow, town_in, version};
use crate::{
    client::session::Op,
    config::{CipherSuite, DeploymentMode},
    ladder::base_ladder,
    prover::model::{NaiveLog, NewVersion},
};

fn walk(stop: Option<u64>) -> Op {
    Op::Distinguished { stop, recent: 10 }
}

fn monitor(label: &[u8]) -> Op {
    Op::ContactMonitor { label: label.to_vec() }
}

fn owner_monitor(label: &[u8]) -> Op {
    Op::OwnerMonitor { label: label.to_vec() }
}

fn init(label: &[u8], start: u64) -> Op {
    Op::OwnerInit { label: label.to_vec(), start }
}

/// The histories of a log of this suite, by name.
pub(super) fn histories(suite: CipherSuite) -> Vec<(&'static str, Session)> {
    vec![
        ("a log of one entry", one_entry(suite)),
        ("a user returns at every size", every_size(suite)),
        ("a contact, until a distinguished entry ends the monitoring", contact(suite)),
        ("an owner that begins late, with new versions one by one and together", owner(suite)),
        ("an owner of a label that nobody has used", new_label(suite)),
        ("versions that the owner is told of, from several entries", told(suite)),
        ("expired entries", ageing(suite)),
        ("every entry is distinguished", no_window(suite)),
        ("the greatest version there can be", greatest_version_of_all(suite)),
        ("an auditor's heads", audited(suite)),
        ("third-party management, with skipped versions", managed(suite)),
    ]
}

fn one_entry(suite: CipherSuite) -> Session {
    let mut log = NaiveLog::new(suite, 1000, None);
    add(&mut log, 0, b"alice", &[b"alice 0"]);
    let mut session = Session::new(log);
    session.perform(&greatest(b"alice"));
    session.perform(&version(b"alice", 0));
    session.perform(&walk(None));
    session.perform(&init(b"alice", 0));
    session.perform(&owner_monitor(b"alice"));
    session
}

fn every_size(suite: CipherSuite) -> Session {
    let mut session = Session::new(NaiveLog::new(suite, 1000, None));
    add(&mut session.log, 0, b"alice", &[b"alice 0"]);
    for size in [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 31, 32, 33, 47, 64] {
        grow(&mut session.log, size);
        session.perform(&if size % 2 == 0 { walk(Some(size / 2)) } else { version(b"alice", 0) });
    }
    session
}

fn contact(suite: CipherSuite) -> Session {
    let mut log = town_in(suite, DeploymentMode::ContactMonitoring, 14);
    let rest = log.entries.split_off(12);
    let mut session = Session::new(log);
    session.perform(&greatest(b"alice"));
    session.perform(&greatest(b"bob"));
    session.log.entries.extend(rest);
    session.perform(&version(b"dave", 0));
    session.perform(&version(b"alice", 1));
    session.perform(&greatest(b"alice"));
    session.perform(&monitor(b"alice"));
    session.perform(&monitor(b"alice"));
    for size in [15, 16] {
        grow(&mut session.log, size);
        session.perform(&monitor(b"alice"));
    }
    session
}

fn owner(suite: CipherSuite) -> Session {
    let mut log = NaiveLog::new(suite, 1000, None);
    add(&mut log, 1, b"alice", &[b"alice 0"]);
    add(&mut log, 5, b"alice", &[b"alice 1", b"alice 2"]);
    grow(&mut log, 18);
    let mut session = Session::new(log);
    session.perform(&walk(None));
    session.perform(&init(b"alice", 15));
    session.update(b"alice", &[b"alice 3"]);
    session.perform(&owner_monitor(b"alice"));
    grow(&mut session.log, 26);
    session.update(b"alice", &[b"alice 4", b"alice 5", b"alice 6", b"alice 7", b"alice 8"]);
    session.perform(&owner_monitor(b"alice"));
    grow(&mut session.log, 40);
    session.perform(&owner_monitor(b"alice"));
    grow(&mut session.log, 64);
    session.perform(&owner_monitor(b"alice"));
    session
}

fn new_label(suite: CipherSuite) -> Session {
    let mut session = Session::new(NaiveLog::new(suite, 1000, None));
    grow(&mut session.log, 9);
    session.perform(&init(b"alice", 7));
    session.perform(&owner_monitor(b"alice"));
    session.update(b"alice", &[b"alice 0"]);
    grow(&mut session.log, 30);
    session.perform(&owner_monitor(b"alice"));
    session.perform(&greatest(b"alice"));
    session
}

fn told(suite: CipherSuite) -> Session {
    let mut log = NaiveLog::new(suite, 1000, None);
    grow(&mut log, 8);
    let mut session = Session::new(log);
    session.perform(&init(b"alice", 7));
    for position in [9, 12, 15, 16] {
        add(&mut session.log, position, b"alice", &[b"one", b"two"]);
    }
    grow(&mut session.log, 28);
    // The answer stops before the first version that the owner does not know.
    session.perform(&owner_monitor(b"alice"));
    let update = Op::Update { label: b"alice".to_vec(), values: vec![b"disregarded".to_vec()] };
    session.perform(&update);
    session.perform(&owner_monitor(b"alice"));
    session
}

fn ageing(suite: CipherSuite) -> Session {
    let mut log = NaiveLog::new(suite, 800, Some(1100));
    add(&mut log, 3, b"alice", &[b"alice 0"]);
    add(&mut log, 17, b"alice", &[b"alice 1"]);
    add(&mut log, 20, b"bob", &[b"bob 0", b"bob 1"]);
    add(&mut log, 21, b"alice", &[b"alice 2"]);
    grow(&mut log, 30);
    let mut session = Session::new(log);
    session.perform(&walk(None));
    session.perform(&version(b"alice", 1));
    session.perform(&version(b"bob", 0));
    session.perform(&greatest(b"alice"));
    session.perform(&init(b"alice", 23));
    grow(&mut session.log, 36);
    session.perform(&owner_monitor(b"alice"));
    session.perform(&version(b"alice", 2));
    session
}

fn no_window(suite: CipherSuite) -> Session {
    let mut log = NaiveLog::new(suite, 0, None);
    add(&mut log, 0, b"alice", &[b"alice 0"]);
    grow(&mut log, 6);
    let mut session = Session::new(log);
    session.perform(&greatest(b"alice"));
    session.perform(&walk(None));
    session.perform(&init(b"alice", 5));
    session.update(b"alice", &[b"alice 1"]);
    session.perform(&owner_monitor(b"alice"));
    session
}

fn greatest_version_of_all(suite: CipherSuite) -> Session {
    let mut log = NaiveLog::new(suite, 1000, None);
    grow(&mut log, 2);
    // Of the lesser versions, those that the ladder looks up.
    let versions: Vec<NewVersion<'_>> =
        base_ladder(u32::MAX).into_iter().map(|version| (&b"alice"[..], version, Some(&b"x"[..]))).collect();
    log.append_versions(START + 200, &versions);
    let mut session = Session::new(log);
    session.perform(&greatest(b"alice"));
    session.perform(&version(b"alice", u32::MAX));
    grow(&mut session.log, 4);
    session.perform(&monitor(b"alice"));
    session
}

fn audited(suite: CipherSuite) -> Session {
    let mut log = town_in(suite, DeploymentMode::ThirdPartyAuditing, 14);
    log.unaudited = 5;
    let mut session = Session::new(log);
    session.perform(&greatest(b"alice"));
    session.perform(&version(b"dave", 0));
    for (size, unaudited) in [(15, 2), (20, 0), (33, 10)] {
        grow(&mut session.log, size);
        session.log.unaudited = unaudited;
        session.perform(&walk(None));
        session.perform(&greatest(b"carol"));
    }
    session.perform(&init(b"alice", 31));
    session.log.unaudited = 1;
    session.update(b"alice", &[b"alice 3", b"alice 4", b"alice 5"]);
    session.perform(&owner_monitor(b"alice"));
    session
}

fn managed(suite: CipherSuite) -> Session {
    let mut session = Session::new(town_in(suite, DeploymentMode::ThirdPartyManagement, 14));
    session.perform(&greatest(b"alice"));
    session.perform(&version(b"dave", 1));
    session.perform(&init(b"alice", 7));
    for _ in 0..2 {
        session.tell(b"alice");
    }
    session.update(b"alice", &[b"alice 3"]);
    let updates: [(&[u8], Option<&[u8]>); 3] =
        [(b"alice", None), (b"alice", None), (b"alice", Some(b"alice 6"))];
    session.log.append_with_skipped(START + 1500, &updates);
    session.tell(b"alice");
    grow(&mut session.log, 30);
    session.perform(&owner_monitor(b"alice"));
    session.perform(&greatest(b"alice"));
    session
}
