//! Texts to the devices of proven accounts: bundles for all of them at once, one handshake each, and what was made is posted
//! once it is stored.

use std::collections::BTreeMap;

use keyglass_account::{
    api::{Base64, BundleResult, Id128, MAX_TARGETS, SendMessage, Target, TargetBundle},
    prekey::PreKeyBundle,
};

use super::{
    context::{Context, now},
    lookup::usable,
    outcome::Failure,
    random,
    service::Authorized,
};
use crate::{
    http::printable,
    messaging::{self, Answer, MAX_ATTEMPTS, Post, Randomness, StartError, Started, View, WrittenText},
    proven::{ProvenAccount, Unverified},
    state::OwnAccount,
    verdict::Verdict,
    x3dh::InitiateError,
};

/// A text to an account, and how it went.
pub(super) struct Recipient {
    /// The account's label.
    pub label: String,
    /// The account.
    pub account: ProvenAccount,
    /// The text's id.
    pub id: [u8; 16],
    /// The text.
    pub text: String,
    /// Whether the text goes to every device of the record, rather than to those alone that could not open it before.
    pub to_all: bool,
    /// The devices that a handshake is to be started with.
    pub devices: Vec<u32>,
    /// What came of each device.
    pub results: BTreeMap<u32, Result<Started, Failure>>,
    /// Whether the person accepts an identity that only the provider vouches for.
    pub accept_change: bool,
}

impl Recipient {
    /// The devices of the record that the text is still to be sent to.
    pub fn plan(&mut self, own: &mut OwnAccount) {
        let planned = messaging::plan(own, self.id, &self.account);
        let record = self.account.valid().record();
        self.results.retain(|device, _| record.device(*device).is_some());
        let due = |device: &u32| self.to_all || self.devices.contains(device);
        self.devices = planned.into_iter().filter(due).collect();
    }
}

impl Context {
    /// Sends each recipient's text to the devices that are planned. Where the server says that a record has changed since it was
    /// proven, the account is looked up again, and the text goes to the devices of the new record too.
    ///
    /// # Errors
    /// [`Verdict::Failed`], and the verdicts of fetching bundles. What went wrong with a device is in the results.
    pub(super) async fn fan_out(
        &mut self,
        service: &Authorized<'_>,
        own: &mut OwnAccount,
        from: usize,
        recipients: &mut [Recipient],
        view: &View,
    ) -> Result<(), Failure> {
        for _ in 0..MAX_ATTEMPTS {
            start_all(service, own, from, recipients, view).await?;
            self.home.store_account(own)?;
            let stale = post_all(service, own, recipients).await;
            self.home.store_account(own)?;
            let mut again = false;
            for recipient in recipients.iter_mut() {
                recipient.devices.clear();
                if stale.contains(&recipient.id) {
                    again |= self.look_again(own, recipient).await?;
                }
            }
            if !again {
                break;
            }
        }
        Ok(())
    }

    /// Looks an account up that handshakes may be run with, and remembers it.
    ///
    /// # Errors
    /// The verdicts of a look-up.
    pub(super) async fn prove_account(
        &mut self,
        label: &str,
        accept_change: bool,
    ) -> Result<ProvenAccount, Failure> {
        let mut resolved = self.resolve(label).await?;
        let account = usable(&mut resolved, accept_change)?.clone();
        self.remember_changes(label, &resolved)?;
        Ok(account)
    }

    /// Proves a recipient anew whose record the server says has changed. Whether there is anything more to send.
    async fn look_again(&mut self, own: &mut OwnAccount, recipient: &mut Recipient) -> Result<bool, Failure> {
        let before = recipient.account.valid().version();
        let proven = self.prove_account(&recipient.label, recipient.accept_change).await;
        let account = match proven {
            Ok(account) if account.valid().version() > before => account,
            Ok(_) => return Ok(false),
            Err(failure) => {
                // The devices of the record that was proven first have their results; this is why there are no others.
                for result in recipient.results.values_mut().filter(|result| is_stale(result)) {
                    *result = Err(failure.clone());
                }
                return Ok(false);
            }
        };
        recipient.account = account;
        recipient.devices =
            recipient.account.valid().record().devices.iter().map(|device| device.id).collect();
        recipient.plan(own);
        self.home.store_account(own)?;
        Ok(!recipient.devices.is_empty())
    }
}

fn is_stale(result: &Result<Started, Failure>) -> bool {
    result.as_ref().is_err_and(|failure| failure.reason == STALE)
}

/// The reason where a server says that a record has changed.
const STALE: &str = "stale_record";

/// Starts a handshake with each planned device, with bundles that are fetched together.
async fn start_all(
    service: &Authorized<'_>,
    own: &mut OwnAccount,
    from: usize,
    recipients: &mut [Recipient],
    view: &View,
) -> Result<(), Failure> {
    let mut wanted: Vec<(usize, Target)> = Vec::new();
    for (index, recipient) in recipients.iter().enumerate() {
        for device in &recipient.devices {
            wanted.push((index, target(&recipient.label, *device)?));
        }
    }
    for chunk in wanted.chunks(MAX_TARGETS) {
        let targets = chunk.iter().map(|(_, target)| target.clone()).collect();
        let bundles = service.bundles(Id128(random::bytes()?), targets).await?;
        for ((index, _), bundle) in chunk.iter().zip(bundles) {
            let Some(recipient) = recipients.get_mut(*index) else { continue };
            let device = bundle.target.device;
            let started = start(own, from, recipient, bundle, view);
            recipient.results.insert(device, started);
        }
    }
    Ok(())
}

/// Starts the handshake with one device.
fn start(
    own: &mut OwnAccount,
    from: usize,
    recipient: &Recipient,
    bundle: TargetBundle,
    view: &View,
) -> Result<Started, Failure> {
    let bytes = match bundle.result {
        BundleResult::Bundle(bytes) => bytes.into_bytes(),
        BundleResult::Problem(problem) => {
            let title = printable(problem.title.unwrap_or_else(|| problem.kind.clone()));
            return Err(
                Failure::new(Verdict::Declined, "no_bundle", title).with("problem", printable(problem.kind))
            );
        }
    };
    let decoded = PreKeyBundle::decode(&bytes)
        .map_err(|error| Failure::new(Verdict::Refused, "bundle_malformed", error))?;
    let randomness = Randomness {
        ephemeral: random::secret()?,
        encapsulation: random::secret()?,
        message: random::bytes()?,
    };
    let decoded = Unverified::from_wire(decoded);
    let text = WrittenText { id: recipient.id, text: &recipient.text, view, now: now() };
    let device = bundle.target.device;
    Ok(messaging::start(own, from, &recipient.account, device, decoded, &text, randomness)?)
}

/// Posts what the recipients' texts have waiting. Gives the texts whose recipient's record has changed.
async fn post_all(
    service: &Authorized<'_>,
    own: &mut OwnAccount,
    recipients: &mut [Recipient],
) -> Vec<[u8; 16]> {
    let mut stale = Vec::new();
    for post in messaging::unsent(own) {
        let Some(recipient) = recipients.iter_mut().find(|recipient| recipient.id == post.text) else {
            continue;
        };
        if let Err(failure) = deliver(service, own, &post).await {
            if failure.reason == STALE {
                stale.push(post.text);
            }
            recipient.results.insert(post.device, Err(failure));
        }
    }
    stale
}

/// Posts a message that is stored, and takes in what came of it. What was not taken and may be later stays in the home.
///
/// # Errors
/// The verdicts of a request.
pub(super) async fn deliver(
    service: &Authorized<'_>,
    own: &mut OwnAccount,
    post: &Post,
) -> Result<(), Failure> {
    let body = Base64::new(post.body.clone())
        .map_err(|error| Failure::new(Verdict::Usage, "text_too_long", error))?;
    let version = Some(post.version);
    let message = SendMessage { target: target(&post.to, post.device)?, id: Id128(post.id), body, version };
    let error = match service.send(&message).await {
        Ok(()) => {
            messaging::posted(own, post, Answer::Taken);
            return Ok(());
        }
        Err(error) => error,
    };
    let answer = error.known_problem().map_or(Answer::Later, Answer::of);
    messaging::posted(own, post, answer);
    let mut failure = Failure::from(error).with("waits", answer == Answer::Later);
    match answer {
        Answer::Later => {
            failure.message.push_str("; the message waits here, and `keyglass receive` sends it");
        }
        Answer::StaleRecord => failure.reason = STALE,
        Answer::Taken | Answer::Declined => {}
    }
    Err(failure)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Bundle(error) => error.into(),
            StartError::Payload(error) => Self::new(Verdict::Usage, "text_too_long", error),
            StartError::Initiate(InitiateError::TooLong) => Self::new(Verdict::Usage, "text_too_long", error),
            StartError::Initiate(_) => Self::new(Verdict::Refused, "handshake", error),
            StartError::NoOwnDevice => Self::new(Verdict::Usage, "no_account", error),
            StartError::OtherLog => Self::new(Verdict::Refused, "other_log", error),
            StartError::OutboxFull => Self::new(Verdict::Failed, "outbox_full", error),
            StartError::OnItsWay | StartError::Exhausted => Self::new(Verdict::Failed, "outbox", error),
        }
    }
}

/// A device as the service names it.
///
/// # Errors
/// [`Verdict::Usage`] for a label that none can have.
pub(super) fn target(label: &str, device: u32) -> Result<Target, Failure> {
    let label = Base64::new(label.as_bytes().to_vec());
    let label = label.map_err(|error| Failure::new(Verdict::Usage, "label", error))?;
    Ok(Target { label, device })
}
