//! A provider that puts a device into Bob's record, and one that resets his account.

use std::{fs, time::Duration};

use keyglass_account::{
    author::{Draft, sign},
    chain::Chain,
    device::{Device, Suite},
    record::{Authorisation, RecordError},
    time::UnixMillis,
    verify::ValidRecord,
};
use keyglass_crypto::{dh::DhSecretKey, sign::SigningKey};

use crate::{
    Failed,
    daemon::run as run_program,
    lying::log::{LyingLog, copy_data},
    report::Report,
    system::{System, path, write},
};

const BOB: &[u8] = b"bob";

/// The provider adds a device that Bob never added, with a log entry and witnesses and all; then it resets his account.
/// Afterwards a copy of the log, from before the reset, is at `fork` under the system's directory.
///
/// # Errors
/// [`Failed`] if it cannot go on.
pub async fn run(report: &mut Report, system: &mut System) -> Result<(), Failed> {
    report.title("4b. A device that Bob never added is put into his record, in a witnessed log entry");
    report.doing("the provider writes Bob's next version itself");
    let address = system.stop_log().await?;
    let policy = fs::read_to_string(&system.policy).map_err(|error| Failed::Lying(error.to_string()))?;
    let log =
        LyingLog::start(&system.log.data, &policy, Duration::from_millis(system.timing.heartbeat)).await?;
    let genuine = log.value(BOB, 0)?;
    log.insert(BOB, with_another_device(&system.log.origin, &genuine)?).await?;
    let answer = system.client_of("alice", &log.url()).run(&["lookup", "bob"]).await?;
    let why =
        "version 1 is in the log, but Bob's identity did not sign it; version 0 is not used in its place";
    report.answer("4b. added device", &answer, "refused", why);
    log.stop().await;
    copy_data(&system.log.data, &system.directory().join("fork"))?;
    system.start_log(&address).await?;

    report.title("4b. The provider resets Bob's account");
    report.doing("the provider resets the account");
    let record = system.directory().join("reset.record");
    write(&record, reset(&system.log.origin, &genuine)?)?;
    let arguments = ["reset", "--data", path(&system.log.data), "--label", "bob", "--record", path(&record)];
    run_program("keyglass-log-server", &arguments).await?;
    let answer = system.client("alice")?.run(&["lookup", "bob"]).await?;
    let why = "the identity is not the one that Alice met, and only the provider vouches for it";
    report.answer("4b. reset", &answer, "changed", why);
    let answer = system.client("alice")?.run(&["send", "bob", "Is that you?"]).await?;
    report.answer(
        "4b. send after reset",
        &answer,
        "changed",
        "nothing is encrypted to it unless Alice accepts it",
    );
    Ok(())
}

/// The provider's own device, as number `id` of Bob's account.
fn intruder(origin: &str, id: u32) -> Device {
    let signing_key = SigningKey::from_seed(&[0x68; 32]);
    let dh_key = DhSecretKey::from_bytes(&[0x69; 32]).public_key();
    Device::sign(origin, BOB, id, &signing_key, dh_key, vec![Suite::X3DH], UnixMillis(0))
}

fn valid(origin: &str, genuine: &[u8]) -> Result<ValidRecord, Failed> {
    ValidRecord::restore(origin, BOB, 0, genuine).map_err(|error| Failed::Lying(error.to_string()))
}

/// Bob's record with one device more, as version 1. Everything is right but the signature, which is of another key.
fn with_another_device(origin: &str, genuine: &[u8]) -> Result<Vec<u8>, Failed> {
    let before = valid(origin, genuine)?;
    let lying = |error: RecordError| Failed::Lying(error.to_string());
    let mut record = before.record().clone();
    record.version = 1;
    record.authorisation = Authorisation::Identity;
    record.predecessor = Some(before.as_predecessor());
    record.chain = Some(Chain::after(before.record()).map_err(lying)?);
    record.devices.push(intruder(origin, record.next_device_id));
    record.next_device_id = record.next_device_id.saturating_add(1);
    sign(origin, BOB, &mut record, &SigningKey::from_seed(&[0x6a; 32]), None);
    Ok(record.encode())
}

/// A reset of Bob's account to an identity and a device of the provider's, as version 2.
fn reset(origin: &str, genuine: &[u8]) -> Result<Vec<u8>, Failed> {
    let before = valid(origin, genuine)?;
    let old: Vec<u32> = before.record().devices.iter().map(|device| device.id).collect();
    let draft =
        old.into_iter().fold(Draft::after(origin, BOB, &before, 2), |draft, id| draft.remove_device(id));
    let id = draft.next_device_id();
    let identity = SigningKey::from_seed(&[0x6b; 32]);
    let record = draft.add_device(intruder(origin, id)).sign_reset(&identity);
    Ok(record.map_err(|error| Failed::Lying(error.to_string()))?.encode())
}
