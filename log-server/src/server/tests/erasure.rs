//! Erasing versions of a label in a running server.

use std::{collections::HashSet, path::Path};

use keyglass_account::api::{Base64, Label};

use super::*;
use crate::operator::{Command, Outcome};

/// The pieces of 16 bytes of `secret` that are in none of `others`.
fn windows(secret: &[u8], others: &[&[u8]]) -> HashSet<[u8; 16]> {
    let all = |bytes: &[u8]| -> HashSet<[u8; 16]> {
        bytes.windows(16).map(|window| window.try_into().unwrap()).collect()
    };
    let mut windows = all(secret);
    for other in others {
        windows.retain(|window| !all(other).contains(window));
    }
    windows.remove(&[0; 16]);
    windows
}

/// How many places in the files of a directory hold one of these pieces.
fn occurrences(directory: &Path, wanted: &HashSet<[u8; 16]>) -> usize {
    let files = std::fs::read_dir(directory).unwrap();
    // One that the server has deleted meanwhile holds nothing.
    let files = files.filter_map(|entry| std::fs::read(entry.unwrap().path()).ok());
    files.map(|bytes| bytes.windows(16).filter(|window| wanted.contains(*window)).count()).sum()
}

async fn erase(rig: &Rig, label: &[u8], version: u32) -> Outcome {
    let label = Label::new(label.to_vec()).unwrap();
    operator::send(&rig.path(), &Command::Erase { label, version }).await.unwrap()
}

async fn erased(rig: &Rig, version: u32) {
    assert_eq!(erase(rig, LABEL, version).await, Outcome::Done { version });
}

/// Looks a version up and is told that it was erased.
async fn finds_erased(client: &Client, version: Option<u32>) {
    let request = client.verifier.search_request(&client.state, LABEL, version);
    let response = client.post("/v1/search", request.encode().unwrap()).await;
    refused(response, Problem::ErasedVersion).await;
}

async fn monitors_as_contact(client: &mut Client) {
    let request = client.verifier.contact_monitor_request(&client.state, LABEL).unwrap();
    let answer = client.ask("/v1/contact-monitor", request.encode().unwrap()).await;
    let verified = client.verifier.verify_contact_monitor(&client.state, &request, &answer, now()).unwrap();
    client.state.apply(verified.update);
}

async fn monitors_as_owner(client: &mut Client) {
    let request = client.verifier.owner_monitor_request(&client.state, LABEL).unwrap();
    let answer = client.ask("/v1/owner-monitor", request.encode().unwrap()).await;
    let verified = client.verifier.verify_owner_monitor(&client.state, &request, &answer, now()).unwrap();
    client.state.apply(verified.update);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_version_is_gone_and_its_label_lives_on() {
    for suite in [CipherSuite::Tlog, CipherSuite::Draft] {
        let rig = Rig::new(suite);
        let (server, mut owner) = rig.start("quorum none\n", "127.0.0.1:0").await;
        published(&server, 1).await;
        let mut account = Owner::new(1);
        owner.own(LABEL).await;
        let mut records: Vec<Vec<u8>> = Vec::new();
        for _ in 0..4 {
            records.push(account.next(&rig.origin));
            owner.update(LABEL, vec![records.last().unwrap().clone()]).await;
        }
        let mut contact = owner.stranger();
        assert_eq!(contact.search(LABEL, None).await, (3, records[3].clone()));
        contact.search(LABEL, Some(1)).await;

        let opening = |version: u32| {
            let stored = server.log().store().snapshot().unwrap().version(LABEL, version).unwrap().unwrap();
            stored.opened.unwrap().opening
        };
        let mut secrets = windows(&records[1], &[&records[0], &records[2], &records[3]]);
        secrets.extend(windows(&records[3], &[&records[0], &records[1], &records[2]]));
        secrets.extend([opening(1), opening(3)]);
        assert!(secrets.len() > 100);
        let database = rig.path().join("db");
        assert!(occurrences(&database, &secrets) > 100, "what is to be erased is there first");
        let accounts = crate::accounts::PublishedAccounts::new(
            Arc::clone(server.log().store()),
            Arc::clone(server.log().published()),
            rig.origin.clone(),
        );
        assert_eq!(accounts.record(LABEL).unwrap().unwrap().version(), 3);

        erased(&rig, 1).await;
        erased(&rig, 3).await;
        assert_eq!(occurrences(&database, &secrets), 0);
        erased(&rig, 1).await;
        for version in [None, Some(1), Some(3)] {
            finds_erased(&owner.stranger(), version).await;
            finds_erased(&contact, version).await;
        }
        assert_eq!(owner.stranger().search(LABEL, Some(2)).await, (2, records[2].clone()));
        for (label, version, problem) in [
            (LABEL, 4, Problem::UnknownVersion),
            (b"carol", 0, Problem::UnknownLabel),
            (&[b'x'; 255], 0, Problem::UnknownLabel),
        ] {
            let Outcome::Refused(details) = erase(&rig, label, version).await else { panic!("not refused") };
            assert_eq!(details.problem(), Some(problem), "{details:?}");
        }
        // The record before does not come back into force.
        assert_eq!(accounts.record(LABEL).unwrap().unwrap().version(), 3, "what is remembered");
        accounts.forget(LABEL);
        assert_eq!(accounts.record(LABEL), Ok(None));

        monitors_as_contact(&mut contact).await;
        monitors_as_owner(&mut owner).await;
        // What is gone may have replaced every key that the version before names. Whoever holds those does not go on with
        // them, and the owner cannot be told from them: only a reset can follow.
        let before = account.last.clone().unwrap();
        let request = owner.verifier.update_request(&owner.state, LABEL, vec![account.next(&rig.origin)]);
        let request = request.unwrap().encode().unwrap();
        refused(owner.post("/v1/update", request).await, Problem::ErasedVersion).await;
        let reset = Draft::after(&rig.origin, LABEL, &before, 4).sign_reset(&SigningKey::from_seed(&[9; 32]));
        let next = reset.unwrap().encode();
        let (label, record) = (Label::new(LABEL.to_vec()).unwrap(), Base64::new(next.clone()).unwrap());
        let sent = operator::send(&rig.path(), &Command::Reset { label, record }).await.unwrap();
        assert_eq!(sent, Outcome::Done { version: 4 });
        owner.update(LABEL, Vec::new()).await;
        assert_eq!(contact.search(LABEL, None).await, (4, next.clone()));
        assert_eq!(accounts.record(LABEL).unwrap().unwrap().version(), 4);
        finds_erased(&contact, Some(3)).await;
        monitors_as_contact(&mut contact).await;
        monitors_as_owner(&mut owner).await;

        let address = owner.address.to_string();
        drop(accounts);
        server.stop().await;
        // Devices are the same in every record that has them.
        let repeated = windows(&next, &[]);
        secrets.retain(|window| !repeated.contains(window));
        assert!(secrets.len() > 50);
        assert_eq!(occurrences(&database, &secrets), 0);
        let (server, client) = rig.start("quorum none\n", &address).await;
        finds_erased(&client, Some(1)).await;
        assert_eq!(client.stranger().search(LABEL, None).await, (4, next));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_over_a_label_whose_records_are_erased() {
    let rig = Rig::new(CipherSuite::Tlog);
    let (server, mut owner) = rig.start("quorum none\n", "127.0.0.1:0").await;
    published(&server, 1).await;
    let mut account = Owner::new(1);
    owner.own(LABEL).await;
    owner.update(LABEL, vec![account.next(&rig.origin)]).await;
    let before_reset = account.last.clone().unwrap();
    let reset_key = SigningKey::from_seed(&[9; 32]);
    let reset = |last: &ValidRecord, version| {
        let record = Draft::after(&rig.origin, LABEL, last, version).sign_reset(&reset_key).unwrap();
        Command::Reset {
            label: Label::new(LABEL.to_vec()).unwrap(),
            record: Base64::new(record.encode()).unwrap(),
        }
    };
    let sent = operator::send(&rig.path(), &reset(&before_reset, 1)).await.unwrap();
    assert_eq!(sent, Outcome::Done { version: 1 });

    // Somebody's account of their own, for the same label, which the log has never seen.
    let mut thief = Owner::new(7);
    thief.next(&rig.origin);
    let forged = |version| {
        let draft = Draft::after(&rig.origin, LABEL, thief.last.as_ref().unwrap(), version);
        draft.sign(&thief.identity).unwrap().encode()
    };
    let update = |greatest_version, value| {
        let values = vec![LabelValue { value }];
        UpdateRequest { last: None, label: LABEL.to_vec(), greatest_version, values }.encode().unwrap()
    };
    let refuse = async |version: u32, problem| {
        let request = update(version.checked_sub(1), forged(version));
        refused(owner.post("/v1/update", request).await, problem).await;
    };
    refuse(2, Problem::WrongPredecessor).await;
    // The reset, which says whose the label is now. Nobody goes on with what it replaced either.
    erased(&rig, 1).await;
    refuse(2, Problem::WrongPredecessor).await;
    let replaced = Draft::after(&rig.origin, LABEL, &before_reset, 2).sign(&account.identity).unwrap();
    let request = update(Some(1), replaced.encode());
    refused(owner.post("/v1/update", request).await, Problem::ErasedVersion).await;
    // A reset of their own making, as if it were the erased one.
    let fake_reset =
        Draft::after(&rig.origin, LABEL, &before_reset, 1).sign_reset(&thief.identity).unwrap().encode();
    let Verified::Valid { record: fake_reset, .. } =
        verify(&rig.origin, LABEL, 1, &fake_reset, Some(&before_reset)).unwrap()
    else {
        panic!("the record before is known")
    };
    let after_fake = Draft::after(&rig.origin, LABEL, &fake_reset, 2).sign(&thief.identity).unwrap().encode();
    refused(owner.post("/v1/update", update(Some(1), after_fake)).await, Problem::ErasedVersion).await;
    // Everything.
    erased(&rig, 0).await;
    refuse(2, Problem::ErasedVersion).await;
    let sent = operator::send(&rig.path(), &reset(&before_reset, 2)).await.unwrap();
    assert_eq!(sent, Outcome::Done { version: 2 });
    refuse(3, Problem::WrongPredecessor).await;
    server.stop().await;
}
