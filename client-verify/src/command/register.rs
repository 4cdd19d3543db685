//! `keyglass register`: an account, its publication, its prekeys. Each step is durable before the next, so that running
//! it again goes on where it stopped.

use std::path::Path;

use keyglass_account::{author::Draft, label};
use keyglass_crypto::sign::SigningKey;
use keyglass_keytrans::{
    client::{StateUpdate, UserState, decode_update_responses},
    wire::{UpdateRequest, UpdateResponse, Wire as _},
};
use zeroize::Zeroizing;

use super::{
    context::{Context, now},
    outcome::{Failure, Outcome},
    own,
    ownership::{Beginning, MAX_UPDATE_RESPONSE},
    random,
};
use crate::{
    http::{OCTETS, Request},
    state::{OwnAccount, OwnIdentity},
    verdict::Verdict,
};

/// The longest registration token that is read, in bytes.
const MAX_TOKEN: usize = 8192;

/// Runs the command. `token` is a file with what the log's operator gave the person, where it asks for that.
///
/// # Errors
/// The verdicts of the command.
pub async fn run(
    context: &mut Context,
    name: &str,
    token: Option<&Path>,
    devices: Option<u32>,
) -> Result<Outcome, Failure> {
    label::check(name.as_bytes()).map_err(|error| Failure::new(Verdict::Usage, "label", error))?;
    let existing = context.home.account(name)?;
    let resumed = existing.is_some();
    let mut account = match existing {
        Some(account) => account,
        None => {
            let account = create(&context.origin, name, devices.unwrap_or(1))?;
            context.home.store_account(&account)?;
            account
        }
    };
    if devices.is_some_and(|devices| usize::try_from(devices) != Ok(account.devices.len())) {
        let message = format!("{name} is already being registered with {} devices", account.devices.len());
        return Err(Failure::new(Verdict::Usage, "device_count", message));
    }
    let version = match account.published {
        Some(version) => version,
        None => {
            let version = publish(context, &account, token).await?;
            account.published = Some(version);
            context.home.store_account(&account)?;
            version
        }
    };
    let mut supplied = false;
    for index in 0..account.devices.len() {
        supplied |= context.supply_prekeys(&mut account, index).await?;
    }
    Ok(report(context, &account, version, resumed, supplied))
}

fn report(context: &Context, account: &OwnAccount, version: u32, resumed: bool, supplied: bool) -> Outcome {
    let mut outcome = Outcome::new(Verdict::Verified);
    let now = now().0;
    let size = context.state.last().unwrap_or(0);
    outcome.line(format!("{}: registered, version {version}, in a log of {size} entries", account.label));
    for device in &account.devices {
        outcome.line(format!("  device {}: {} one-time prekeys", device.id, device.live_one_time(now)));
    }
    if resumed && !supplied {
        outcome.line("  nothing was left to do");
    }
    outcome.field("label", &account.label);
    outcome.field("version", version);
    outcome.field("tree_size", size);
    outcome.field("resumed", resumed);
    let devices: Vec<_> = account
        .devices
        .iter()
        .map(|device| serde_json::json!({ "id": device.id, "one_time_prekeys": device.live_one_time(now) }))
        .collect();
    outcome.field("devices", devices);
    outcome
}

/// A new identity with its devices, and the record that announces them.
fn create(origin: &str, name: &str, devices: u32) -> Result<OwnAccount, Failure> {
    let identity_seed = random::secret()?;
    let mut draft = Draft::new(origin, name.as_bytes(), 0);
    let mut states = Vec::new();
    for id in 1..=devices {
        let (state, device) = own::device::new(origin, name.as_bytes(), id)?;
        draft = draft.add_device(device);
        states.push(state);
    }
    let record = draft
        .sign_genesis(&SigningKey::from_seed(identity_seed.expose()))
        .map_err(|error| Failure::new(Verdict::Failed, "record", error))?;
    let identity = OwnIdentity::Held(identity_seed);
    Ok(OwnAccount::new(origin.to_owned(), name.to_owned(), identity, record.encode(), states))
}

/// Has the log store the record, and verifies that it did. Gives the version.
async fn publish(context: &mut Context, account: &OwnAccount, token: Option<&Path>) -> Result<u32, Failure> {
    let authorization = token.map(read_token).transpose()?;
    let name = account.label.as_bytes();
    let Beginning { start, version, mut state } = context.begin_to_own(name).await?;
    if version.is_some() {
        return recognise(context, account, start).await;
    }
    let mut request = update_request(context, &state, name, vec![account.record.clone()])?;
    let body = request.encode().map_err(|error| Failure::new(Verdict::Failed, "encoding", error))?;
    let mut sent = Request::post("v1/update", OCTETS, body);
    if let Some(authorization) = &authorization {
        sent = sent.authorized(authorization);
    }
    let answer = context.server.send(MAX_UPDATE_RESPONSE, sent).await?;
    let responses = decode_update_responses(&answer, context.verifier.response_context())
        .map_err(|error| Failure::new(Verdict::Invalid, "malformed", error))?;
    for response in responses {
        let (update, versions) = verify(context, &state, &request, &response)?;
        // Versions of one's own making are those whose value is the record, whichever run of this command sent it.
        let is_mine = |value: &Option<Vec<u8>>| value.as_ref() == Some(&account.record);
        if let Some((version, _)) = versions.iter().find(|(_, value)| is_mine(value)) {
            context.retain(update)?;
            return Ok(*version);
        }
        // The versions are somebody else's: what was learned of the log is kept, and of the label nothing.
        context.retain(StateUpdate { label: None, ..update.clone() })?;
        if versions.iter().any(|(version, _)| *version == 0) {
            return Err(taken(account));
        }
        state.apply(update);
        let values = request.values.iter().map(|value| value.value.clone()).collect();
        request = update_request(context, &state, name, values)?;
    }
    Err(Failure::new(Verdict::Invalid, "not_stored", "the log's answer does not contain the record"))
}

/// The header that shows the token of the log's operator.
fn read_token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = super::passphrase::read_secret(path, MAX_TOKEN)?;
    let token = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("{}: not a registration token", path.display());
        return Err(Failure::new(Verdict::Usage, "token", message));
    }
    Ok(Zeroizing::new(format!("Bearer {token}")))
}

/// The label had versions at the log entry where owning it is to begin. It may be that an earlier run of this command made
/// the first of them.
async fn recognise(context: &mut Context, account: &OwnAccount, start: u64) -> Result<u32, Failure> {
    let found = context.search(account.label.as_bytes(), Some(0)).await?;
    if found.value.bytes() != account.record {
        return Err(taken(account));
    }
    context.own_from(account.label.as_bytes(), start).await?;
    Ok(0)
}

fn taken(account: &OwnAccount) -> Failure {
    let message = format!("{} already belongs to another account", account.label);
    Failure::new(Verdict::Taken, "taken", message)
}

fn update_request(
    context: &Context,
    state: &UserState,
    name: &[u8],
    values: Vec<Vec<u8>>,
) -> Result<UpdateRequest, Failure> {
    let request = context.verifier.update_request(state, name, values);
    request.ok_or_else(|| Failure::new(Verdict::Failed, "not_owned", "the label is not owned"))
}

type Versions = Vec<(u32, Option<Vec<u8>>)>;

fn verify(
    context: &Context,
    state: &UserState,
    request: &UpdateRequest,
    response: &UpdateResponse,
) -> Result<(StateUpdate, Versions), Failure> {
    let verified = context
        .verifier
        .verify_update(state, request, response, now())
        .map_err(|error| context.refused(error))?;
    context.require_witnesses(&verified.head)?;
    Ok((verified.update, verified.result.versions))
}
