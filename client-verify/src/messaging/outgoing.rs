//! From a text to a handshake with every device of a proven account, and with no other.

use keyglass_account::{device::Suite, prekey::PreKeyBundle, problem::Problem, time::UnixMillis};
use keyglass_crypto::secret::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

use super::View;
use crate::{
    proven::{BundleError, ProvenAccount, Unverified},
    state::{OutgoingDevice, OutgoingText, OwnAccount, Step},
    x3dh::{self, FirstMessage, HandshakeRandomness, InitiateError, OwnDevice, PayloadError},
};

/// Handshakes that are started for one text with one device: the first, and two retries.
pub const MAX_ATTEMPTS: u32 = 3;

/// How long a text is kept for the case that a device cannot open it, in milliseconds: 30 days, for which a signed prekey
/// may be used.
pub const KEPT_FOR: u64 = 30 * 24 * 3600 * 1000;

/// Texts that are kept at most.
pub const MAX_KEPT: usize = 256;

/// Bytes of texts that are kept at most.
pub const MAX_KEPT_BYTES: usize = 1 << 20;

/// What is sent.
#[derive(Debug, Clone)]
pub struct WrittenText<'a> {
    /// Random for each text, and the same in all attempts.
    pub id: [u8; 16],
    /// What the person wrote.
    pub text: &'a str,
    /// What one's home knows of the log.
    pub view: &'a View,
    /// The local clock.
    pub now: UnixMillis,
}

/// Bytes from a cryptographic source, used for one handshake.
#[derive(Debug)]
pub struct Randomness {
    /// For the ephemeral key.
    pub ephemeral: Secret<32>,
    /// For the encapsulation of PQXDH.
    pub encapsulation: Secret<32>,
    /// The message's id in the mailbox.
    pub message: [u8; 16],
}

/// A handshake that was started. Its message is in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Whether it used a one-time X25519 prekey.
    pub one_time: bool,
    /// The suite that was run.
    pub suite: Suite,
    /// Whether it used a one-time ML-KEM prekey; false in X3DH. Without a one-time prekey of either type, the handshake can
    /// be replayed to the device.
    pub one_time_kem: bool,
}

/// Why no handshake was started. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StartError {
    /// The account here has no such device of its own.
    #[error("the account has no device here")]
    NoOwnDevice,
    /// The account is of another log.
    #[error("the recipient was proven by another log")]
    OtherLog,
    /// A handshake for this text with this device is on its way.
    #[error("this text is on its way to the device already")]
    OnItsWay,
    /// The device could not open as many handshakes for this text as are started.
    #[error("{MAX_ATTEMPTS} handshakes for this text with the device failed")]
    Exhausted,
    /// As many texts are on their way as are kept.
    #[error("too many texts are on their way; some have to arrive first")]
    OutboxFull,
    /// The bundle is not used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// There is no first message of such parts.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The handshake failed.
    #[error(transparent)]
    Initiate(#[from] InitiateError),
}

/// A message to leave in a device's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The text that it is of.
    pub text: [u8; 16],
    /// The recipient's label.
    pub to: String,
    /// The recipient's device.
    pub device: u32,
    /// The version of the label that proved the device.
    pub version: u32,
    /// The message's id in the mailbox.
    pub id: [u8; 16],
    /// The message.
    pub body: Vec<u8>,
}

/// What came of posting a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is in the mailbox.
    Taken,
    /// It is not, and may be later: there was no answer, or the mailbox is full.
    Later,
    /// The recipient has a newer record than the one that proved the device.
    StaleRecord,
    /// It is not, and will not be.
    Declined,
}

impl Answer {
    /// What a problem that the server answered means for the message.
    #[must_use]
    pub fn of(problem: Problem) -> Self {
        match problem {
            Problem::StaleRecord => Self::StaleRecord,
            problem if problem.status() >= 500 || problem.status() == 429 || problem.status() == 401 => {
                Self::Later
            }
            _ => Self::Declined,
        }
    }
}

/// The devices of the proven recipient that a handshake for the text is still to be started with. A text that is new goes to
/// every device of the record. Entries of devices that the record does not name any more are dropped, with what was waiting
/// to be sent to them.
pub fn plan(own: &mut OwnAccount, text: [u8; 16], to: &ProvenAccount) -> Vec<u32> {
    let record = to.valid().record();
    if let Some(entry) = own.outbox.iter_mut().find(|entry| entry.id == text) {
        entry.devices.retain(|entry| record.device(entry.device).is_some());
    }
    let entry = own.outbox.iter().find(|entry| entry.id == text);
    let lacks = |device: &u32| match entry.and_then(|entry| entry.device(*device)) {
        None => true,
        Some(entry) => matches!(entry.step, Step::Due { .. }),
    };
    record.devices.iter().map(|device| device.id).filter(lacks).collect()
}

/// The texts for which another handshake is to be started with some devices, because those could not open the one before.
#[must_use]
pub fn due(own: &OwnAccount) -> Vec<(&OutgoingText, Vec<u32>)> {
    let devices = |text: &OutgoingText| -> Vec<u32> {
        let due = text.devices.iter().filter(|entry| matches!(entry.step, Step::Due { .. }));
        due.map(|entry| entry.device).collect()
    };
    own.outbox.iter().map(|text| (text, devices(text))).filter(|(_, devices)| !devices.is_empty()).collect()
}

/// Starts a handshake for a text with a device of the proven recipient, as one's own device at index `from`.
///
/// The session and the message enter `own`; nothing is sent before it is stored, see [`unsent`].
///
/// # Errors
/// [`StartError`].
pub fn start(
    own: &mut OwnAccount,
    from: usize,
    to: &ProvenAccount,
    device: u32,
    bundle: Unverified<PreKeyBundle>,
    text: &WrittenText<'_>,
    randomness: Randomness,
) -> Result<Started, StartError> {
    let label = core::str::from_utf8(to.label()).map_err(|_| BundleError::NoSuchDevice(device))?;
    if to.origin() != own.origin {
        return Err(StartError::OtherLog);
    }
    let attempts = may_start(own, text, device)?;
    let bundle = to.prove_bundle(device, bundle, text.now)?;
    let (suite, one_time, one_time_kem) = (bundle.suite(), bundle.has_one_time(), bundle.has_one_time_kem());
    let View { checkpoint, heads } = text.view.clone();
    let recipient_version = Some(to.valid().version());
    let payload =
        FirstMessage { id: text.id, checkpoint, heads, recipient_version, text: text.text.to_owned() };
    let payload = Zeroizing::new(payload.encode()?);
    let sender = own.devices.get(from).ok_or(StartError::NoOwnDevice)?;
    let (party, dh_secret, from_device) = (own.party(sender), sender.dh_key(), sender.id);
    let version = own.published.unwrap_or(0);
    let initiated = x3dh::initiate(
        OwnDevice { party: &party, dh_secret: &dh_secret, version },
        bundle,
        HandshakeRandomness { ephemeral: randomness.ephemeral, encapsulation: randomness.encapsulation },
        &payload,
    )?;
    let entry = OutgoingDevice {
        device,
        attempts: attempts.saturating_add(1),
        handshake: initiated.session.handshake.0,
        version: to.valid().version(),
        step: Step::Unsent { id: randomness.message, body: initiated.message.encode() },
    };
    if let Some(sender) = own.devices.get_mut(from) {
        sender.keep_session(&initiated.session);
    }
    let known = own.outbox.iter_mut().find(|known| known.id == text.id);
    if let Some(known) = known {
        known.devices.retain(|known| known.device != device);
        known.devices.push(entry);
    } else {
        own.outbox.push(OutgoingText {
            id: text.id,
            to: label.to_owned(),
            from_device,
            written: text.now.0,
            text: text.text.to_owned(),
            devices: vec![entry],
        });
    }
    Ok(Started { one_time, suite, one_time_kem })
}

/// How many handshakes were started for the text with the device, if one more may be.
fn may_start(own: &mut OwnAccount, text: &WrittenText<'_>, device: u32) -> Result<u32, StartError> {
    let Some(known) = own.outbox.iter().find(|known| known.id == text.id) else {
        make_room(own, text.text.len())?;
        return Ok(0);
    };
    match known.device(device) {
        None => Ok(0),
        Some(entry) => match entry.step {
            Step::Unsent { .. } | Step::Sent => Err(StartError::OnItsWay),
            Step::Abandoned { .. } => Err(StartError::Exhausted),
            Step::Due { .. } if entry.attempts >= MAX_ATTEMPTS => Err(StartError::Exhausted),
            Step::Due { .. } => Ok(entry.attempts),
        },
    }
}

/// Makes room for a text of `len` bytes by forgetting the oldest texts that are settled.
fn make_room(own: &mut OwnAccount, len: usize) -> Result<(), StartError> {
    let fits = |outbox: &[OutgoingText]| {
        let bytes = outbox.iter().fold(len, |sum, text| sum.saturating_add(text.text.len()));
        outbox.len() < MAX_KEPT && bytes <= MAX_KEPT_BYTES
    };
    let settled = own.outbox.iter().filter(|text| text.is_settled()).count();
    for _ in 0..settled {
        if fits(&own.outbox) {
            break;
        }
        if let Some(oldest) = own.outbox.iter().position(OutgoingText::is_settled) {
            own.outbox.remove(oldest);
        }
    }
    if fits(&own.outbox) { Ok(()) } else { Err(StartError::OutboxFull) }
}

/// The messages that wait to be posted. Call it on an account that is stored.
#[must_use]
pub fn unsent(own: &OwnAccount) -> Vec<Post> {
    let of_text = |text: &OutgoingText| -> Vec<Post> {
        let posts = text.devices.iter().filter_map(|entry| match &entry.step {
            Step::Unsent { id, body } => Some(Post {
                text: text.id,
                to: text.to.clone(),
                device: entry.device,
                version: entry.version,
                id: *id,
                body: body.clone(),
            }),
            _ => None,
        });
        posts.collect()
    };
    own.outbox.iter().flat_map(of_text).collect()
}

/// Takes in what came of posting a message. Where it was not taken, its session goes with it.
pub fn posted(own: &mut OwnAccount, post: &Post, answer: Answer) {
    let Some(text) = own.outbox.iter_mut().find(|text| text.id == post.text) else {
        return;
    };
    let Some(at) = text.devices.iter().position(|entry| entry.device == post.device && waits(entry, post))
    else {
        return;
    };
    let Some(entry) = text.devices.get_mut(at) else {
        return;
    };
    let handshake = entry.handshake;
    match answer {
        Answer::Later => return,
        Answer::Taken => {
            entry.step = Step::Sent;
            return;
        }
        Answer::StaleRecord => {
            let reason = None;
            entry.step =
                if entry.attempts < MAX_ATTEMPTS { Step::Due { reason } } else { Step::Abandoned { reason } };
        }
        Answer::Declined => {
            text.devices.remove(at);
        }
    }
    own.outbox.retain(|text| !text.devices.is_empty());
    for device in &mut own.devices {
        device.sessions.retain(|session| session.handshake != handshake);
    }
}

/// Whether this message is what waits to be posted.
fn waits(entry: &OutgoingDevice, post: &Post) -> bool {
    matches!(&entry.step, Step::Unsent { id, .. } if *id == post.id)
}

/// Forgets texts that were written more than [`KEPT_FOR`] before `now`. What was not sent or could not be opened until then is
/// given up, and stays until the person was told.
pub fn forget_settled(own: &mut OwnAccount, now: UnixMillis) {
    for text in own.outbox.iter_mut().filter(|text| text.written.saturating_add(KEPT_FOR) <= now.0) {
        text.devices.retain(|entry| entry.step != Step::Sent);
        for entry in &mut text.devices {
            match entry.step {
                Step::Unsent { .. } => entry.step = Step::Abandoned { reason: None },
                Step::Due { reason } => entry.step = Step::Abandoned { reason },
                Step::Sent | Step::Abandoned { .. } => {}
            }
        }
    }
    own.outbox.retain(|text| !text.devices.is_empty());
}
