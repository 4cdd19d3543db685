//! What a device lacks.

use keyglass_account::{api::PreKeyStatus, time::UnixMillis};

use super::{BATCH_LIFETIME, ROTATION, SIGNED_LIFETIME};
use crate::state::OwnDeviceState;

/// How far into the future something may have been made by this device's own clock: a clock that is set right a little is
/// no reason to make prekeys anew. It is half of what a server allows.
const TOLERANCE: u64 = 12 * 3_600_000;

/// What is to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// A signed prekey.
    pub signed_prekey: bool,
    /// A last-resort KEM prekey.
    pub last_resort: bool,
    /// A batch of X25519 one-time prekeys.
    pub batch: bool,
    /// A batch of ML-KEM one-time prekeys.
    pub kem_batch: bool,
}

impl Needs {
    /// Everything: what was before is void. ML-KEM prekeys only if the device announces PQXDH.
    #[must_use]
    pub fn everything(kem: bool) -> Self {
        Self { signed_prekey: true, last_resort: kem, batch: true, kem_batch: kem }
    }

    /// What `device` lacks at `now`, where the server says that it holds `status`; fewer than `refill_below` one-time prekeys of
    /// a type are too few. Call [`forget_future`] first.
    ///
    /// Where the handshakes without a one-time prekey have filled the memory, a new signed prekey makes room.
    #[must_use]
    pub fn of(
        device: &OwnDeviceState,
        status: &PreKeyStatus,
        now: UnixMillis,
        kem: bool,
        refill_below: u32,
    ) -> Self {
        let is_full = device.is_memory_full();
        let signed = device.signed_prekeys.last();
        let last_resort = device.kem.last_resorts.last();
        let is_pending = device.batches.iter().any(|batch| !batch.uploaded);
        let is_kem_pending = device.kem.batches.iter().any(|batch| !batch.uploaded);
        Self {
            signed_prekey: is_full || !signed.is_some_and(|key| is_fresh(key.created, key.expires, now)),
            last_resort: kem
                && (is_full || !last_resort.is_some_and(|key| is_fresh(key.created, key.expires, now))),
            batch: status.one_time < refill_below && !is_pending,
            kem_batch: kem && status.one_time_kem < refill_below && !is_kem_pending,
        }
    }
}

/// Whether a signed prekey need not be replaced yet. One that was made while the clock was far ahead is not fresh: no server
/// takes it, or it would be the newest for too long.
fn is_fresh(created: u64, expires: u64, now: UnixMillis) -> bool {
    created <= now.0.saturating_add(TOLERANCE)
        && UnixMillis(created).saturating_add(ROTATION) > now
        && UnixMillis(expires) > now
}

/// Erases what the device made while its clock was far ahead and the server has not taken: it would be refused together with
/// everything that is uploaded beside it, until that time has come. Settle the device with the server's numbers first, which
/// tell what was taken.
pub fn forget_future(device: &mut OwnDeviceState, now: UnixMillis) {
    let within =
        |lifetime| move |expires: u64| expires <= now.saturating_add(lifetime).0.saturating_add(TOLERANCE);
    let (signed, batch) = (within(SIGNED_LIFETIME), within(BATCH_LIFETIME));
    device.signed_prekeys.retain(|key| key.uploaded || signed(key.expires));
    device.kem.last_resorts.retain(|key| key.uploaded || signed(key.expires));
    device.batches.retain(|key| key.uploaded || batch(key.expires));
    device.kem.batches.retain(|key| key.uploaded || batch(key.expires));
}

#[cfg(test)]
mod tests {
    use keyglass_account::{api::SignedPreKeyStatus, prekey::SignedPreKey};
    use keyglass_crypto::{dh::DhSecretKey, secret::Secret};

    use super::*;
    use crate::{
        prekeys::settle,
        state::{BatchState, SignedPreKeyState},
    };

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
    const DAY: u64 = 24 * 3_600_000;

    fn device() -> OwnDeviceState {
        OwnDeviceState::new(1, Secret::new([1; 32]), Secret::new([2; 32]))
    }

    /// Adds a signed prekey that was made at this time.
    fn add_signed(device: &mut OwnDeviceState, created: u64) {
        let (id, secret) = (device.counters.signed_prekey, Secret::new([3; 32]));
        let expires = UnixMillis(created).saturating_add(SIGNED_LIFETIME);
        let key = DhSecretKey::from_bytes(secret.expose()).public_key();
        let signer = device.signing_key();
        let signed =
            SignedPreKey::sign("log", b"bob", &signer, 1, id, key, UnixMillis(created), expires, 1).unwrap();
        let (signed, expires) = (signed.encode(), expires.0);
        device.add_signed_prekey(SignedPreKeyState { id, secret, created, expires, signed, uploaded: false });
    }

    fn needs(device: &OwnDeviceState, status: &PreKeyStatus) -> Needs {
        Needs::of(device, status, NOW, false, 75)
    }

    #[test]
    fn a_new_device_needs_everything_and_one_that_is_supplied_nothing() {
        let mut device = device();
        assert_eq!(needs(&device, &PreKeyStatus::default()), Needs::everything(false));
        let kem = Needs::of(&device, &PreKeyStatus::default(), NOW, true, 75);
        assert_eq!(kem, Needs::everything(true));
        add_signed(&mut device, NOW.0);
        let supplied = PreKeyStatus { one_time: 75, one_time_kem: 75, ..PreKeyStatus::default() };
        assert_eq!(needs(&device, &supplied), Needs::default());
        let low = PreKeyStatus { one_time: 74, ..supplied.clone() };
        assert_eq!(needs(&device, &low), Needs { batch: true, ..Needs::default() });
        // What was made and is not confirmed is uploaded first.
        let keys = Vec::new();
        let batch = BatchState { number: 1, expires: NOW.0 + DAY, signed: vec![1], uploaded: false, keys };
        device.add_batch(batch);
        assert_eq!(needs(&device, &low), Needs::default());
    }

    #[test]
    fn a_signed_prekey_is_replaced_after_a_week() {
        for (age, fresh) in [(0, true), (7 * DAY - 1, true), (7 * DAY, false)] {
            let mut device = device();
            add_signed(&mut device, NOW.0 - age);
            assert_eq!(!needs(&device, &PreKeyStatus::default()).signed_prekey, fresh, "{age}");
        }
    }

    /// A signed prekey of a clock that was days ahead was taken for fresh until that time came: the server refused it, and with
    /// it everything else that the device had to upload.
    #[test]
    fn what_a_clock_that_was_ahead_has_made_is_replaced() {
        for ahead in [DAY, 4 * DAY, 400 * DAY] {
            let mut device = device();
            add_signed(&mut device, NOW.0 + ahead);
            let (keys, expires) = (Vec::new(), NOW.0 + ahead + 90 * DAY);
            device.add_batch(BatchState { number: 1, expires, signed: vec![1], uploaded: false, keys });
            let status = PreKeyStatus { next_batch: 1, next_id: 1, ..PreKeyStatus::default() };
            settle(&mut device, &status);
            forget_future(&mut device, NOW);
            assert!(device.signed_prekeys.is_empty() && device.batches.is_empty(), "{ahead}");
            assert_eq!(needs(&device, &status), Needs::everything(false));
            assert_eq!(
                (device.counters.signed_prekey, device.counters.batch),
                (2, 2),
                "numbers are not used again"
            );
        }
    }

    #[test]
    fn what_the_server_has_taken_stays_although_it_is_replaced() {
        let mut device = device();
        add_signed(&mut device, NOW.0 + 2 * DAY);
        let held = SignedPreKeyStatus { id: 1, expires: NOW.0 + 32 * DAY, floor: 1 };
        let status = PreKeyStatus { signed_prekey: Some(held), ..PreKeyStatus::default() };
        settle(&mut device, &status);
        forget_future(&mut device, NOW);
        assert_eq!(device.signed_prekeys.len(), 1, "messages that use it are on their way");
        assert!(needs(&device, &status).signed_prekey);
        let mut device = super::tests::device();
        add_signed(&mut device, NOW.0 + TOLERANCE);
        forget_future(&mut device, NOW);
        assert!(!needs(&device, &PreKeyStatus::default()).signed_prekey, "clocks are set right a little");
    }
}
