//! Lies that the log itself holds, and forks.

use keyglass_account::{
    api::{Base64, UploadPreKeys},
    author::{self, Draft},
    device::{Device, Suite},
    prekey::{LastResortPreKey, SignedPreKey},
    time::UnixMillis,
    verify::ValidRecord,
};
use keyglass_crypto::kem::KemSecretKey;
use keyglass_log_server::{store::Store as _, values::last_valid};

use crate::{
    branch::{Updates, at, greatest},
    clock::DAY,
    env::{Env, Trouble},
    lies::Lie,
    oracle::By,
    setting::setting,
};

/// The last valid record of a label on a branch, and the version that comes next.
#[must_use]
pub fn last_record(env: &Env, branch: usize, label: &str) -> Option<(ValidRecord, u32)> {
    let snapshot = env.branches[branch].store().snapshot().unwrap();
    let next = greatest(&*snapshot, label.as_bytes())? + 1;
    let record = last_valid(&*snapshot, &setting().origin, label.as_bytes(), u64::from(next)).unwrap()?;
    Some((record, next))
}

/// Puts a lie about a label into the log. Says whether there was occasion.
pub fn lie_in_the_log(env: &mut Env, lie: Lie, branch: usize, label: &str) -> bool {
    let Some((before, version)) = last_record(env, branch, label) else { return false };
    let attacker = &setting().attacker;
    let (origin, name) = (&setting().origin, label.as_bytes());
    let suites = before.record().devices.first().map_or(vec![Suite::X3DH], |device| device.suites.clone());
    let draft = Draft::after(origin, name, &before, version);
    let id = draft.next_device_id();
    let device = Device::sign(
        origin,
        name,
        id,
        &attacker.device,
        attacker.dh.public_key(),
        suites,
        UnixMillis(env.time.now()),
    );
    let values = match lie {
        Lie::AddDevice => {
            // Nobody but the owner could sign it, so the signature is another's.
            let Ok(mut record) =
                Draft::new(origin, name, 0).add_device(device.clone()).sign_genesis(&attacker.identity)
            else {
                return false;
            };
            let genuine = before.record();
            record.version = version;
            record.authorisation = keyglass_account::record::Authorisation::Identity;
            record.predecessor = Some(before.as_predecessor());
            record.identity_key = genuine.identity_key;
            record.devices = genuine.devices.iter().cloned().chain([device]).collect();
            record.next_device_id = id + 1;
            record.flags = genuine.flags;
            author::sign(origin, name, &mut record, &attacker.identity, None);
            vec![record.encode()]
        }
        Lie::OldRecord => vec![before.record().encode()],
        Lie::Reset | Lie::BuriedReset | Lie::ResetInLockdown => {
            let lockdown = before.record().flags.lockdown;
            if (lie == Lie::ResetInLockdown) != lockdown {
                return false;
            }
            let mut draft = draft.set_lockdown(false).set_recovery(None);
            for old in &before.record().devices {
                draft = draft.remove_device(old.id);
            }
            match draft.add_device(device).sign_reset(&attacker.identity) {
                Ok(record) if lie == Lie::BuriedReset => {
                    let reset = ValidRecord::restore(origin, name, version, &record.encode()).unwrap();
                    let next =
                        Draft::after(origin, name, &reset, version + 1).sign(&attacker.identity).unwrap();
                    vec![record.encode(), next.encode()]
                }
                Ok(record) => vec![record.encode()],
                Err(_) => vec![forced_reset(&before, version, &attacker.identity, origin, name)],
            }
        }
        _ => return false,
    };
    env.tell(lie);
    for value in values {
        // One entry has one version of a label here.
        let added = env.add_versions(branch, vec![(label.to_owned(), value, By::Lie(lie))]);
        if added == Err(Trouble::Crashed) {
            continue;
        }
    }
    leave_prekeys(env, label, id);
    true
}

/// A reset that no honest tool would sign, because the account is in lockdown.
fn forced_reset(
    before: &ValidRecord,
    version: u32,
    identity: &keyglass_crypto::sign::SigningKey,
    origin: &str,
    label: &[u8],
) -> Vec<u8> {
    let mut record = before.record().clone();
    record.version = version;
    record.authorisation = keyglass_account::record::Authorisation::Reset;
    record.predecessor = Some(before.as_predecessor());
    record.chain = None;
    record.recovery = None;
    record.identity_key = identity.verifying_key();
    record.devices = Vec::new();
    record.flags.lockdown = false;
    record.new_identity_signature = None;
    author::sign(origin, label, &mut record, identity, None);
    record.encode()
}

/// The attacker's device is ready for whoever falls for it.
fn leave_prekeys(env: &mut Env, label: &str, id: u32) {
    let Ok(caller) = env.caller(label, id) else { return };
    let attacker = &setting().attacker;
    let now = at(&env.clock);
    let signed = SignedPreKey::sign(
        &setting().origin,
        label.as_bytes(),
        &attacker.device,
        id,
        1,
        attacker.dh.public_key(),
        now,
        UnixMillis(now.0 + 30 * DAY),
        1,
    );
    let kem = LastResortPreKey::sign(
        &setting().origin,
        label.as_bytes(),
        &attacker.device,
        id,
        2,
        KemSecretKey::from_seed(&[69; 64]).public_key().clone(),
        now,
        UnixMillis(now.0 + 30 * DAY),
        1,
    );
    let signed_prekey = Some(Base64::new(signed.unwrap().encode()).unwrap());
    let last_resort = Some(Base64::new(kem.unwrap().encode()).unwrap());
    let upload = UploadPreKeys { signed_prekey, last_resort, ..UploadPreKeys::default() };
    let _ = env.services.prekeys.upload(&caller, &upload);
}

/// Forks the log: the other side asks these witnesses, and has an entry of its own.
pub fn fork(env: &mut Env, asks: Vec<usize>, unwitnessed: bool) -> bool {
    if env.branches.len() > 1 || env.branches[0].published_size() == 0 {
        return false;
    }
    let branch = env.branches[0].fork(asks);
    env.deceit.fork_size = branch.published_size();
    env.branches.push(branch);
    while env.oracle.versions.is_empty() {
        env.oracle.versions.push(Default::default());
    }
    let mut versions = env.oracle.versions[0].clone();
    let size = env.deceit.fork_size;
    let snapshot = env.branches[0].store().snapshot().unwrap();
    for (label, versions) in &mut versions {
        let known =
            snapshot.greatest_below(label.as_bytes(), size).unwrap().map_or(0, |greatest| greatest + 1);
        versions.truncate(known as usize);
    }
    drop(snapshot);
    env.oracle.versions.truncate(1);
    env.oracle.versions.push(versions);
    if unwitnessed {
        env.deceit.unwitnessed = Some(1);
    }
    // The sides differ from here on, if only by a millisecond.
    let now = UnixMillis(at(&env.clock).0 + 1);
    env.branches[1].sequence(Updates::new(), now, &mut env.dice);
    let _ = env.publish(1);
    env.note(format!("      the log forks at {size}"));
    true
}
