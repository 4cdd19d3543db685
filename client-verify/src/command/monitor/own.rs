//! Looking at one's own labels: no version that was not made here, and none gone.

use keyglass_account::verify::ValidRecord;

use super::{Event, Round};
use crate::{
    command::{
        context::{Context, now},
        outcome::Failure,
        ownership::Monitored,
        search::Found,
        withheld::hidden,
    },
    http::printable,
    proven::{Author, Identity},
    state::OwnAccount,
    verdict::Verdict,
    watching::words::{self, Maker},
};

/// How many of a label's older versions are looked for in one round; later rounds look for the others.
const ERASURES_A_ROUND: u32 = 8;

/// Checks that the log accounts for every version of a label as this home does.
///
/// # Errors
/// The verdicts of a look-up.
pub(super) async fn look(
    context: &mut Context,
    account: &OwnAccount,
    published: u32,
    round: &mut Round,
) -> Result<(), Failure> {
    let name = account.label.as_bytes();
    own(context, account, published).await?;
    let mut monitored = context.monitor_owned(name).await;
    if monitored.as_ref().is_err_and(|failure| failure.reason == "expired_version") {
        // Nobody has looked for so long that the log no longer keeps where this home left off.
        context.forget_monitored(name)?;
        let start = context.begin_to_own(name).await?.start;
        context.own_from(name, start).await?;
        round.events.push(unwatched(&account.label));
        monitored = context.monitor_owned(name).await;
    }
    // If this failed, the newest version may tell why.
    let is_cut_short = matches!(monitored, Ok(Monitored::Partly));
    round.take(&account.label, monitored.map(|_| ()))?;
    let newest = match context.search(name, None).await {
        Ok(found) => Some(found),
        Err(failure) if failure.reason == "erased_version" => None,
        Err(failure) => return Err(failure),
    };
    let is_mine = match newest {
        Some(found) if found.value.version() < published => {
            return Err(hidden(&account.label, found.value.version(), published));
        }
        Some(found) if found.value.version() == published && found.value.bytes() == account.record => true,
        Some(found) => {
            let maker = maker(context, account, published, &found).await?;
            round.events.push(unexpected(account, Some(found.value.version()), maker));
            false
        }
        None => {
            let is_mine = is_erased(context, account, published, round).await?;
            if !is_mine {
                round.events.push(unexpected(account, None, Maker::Erased));
            }
            is_mine
        }
    };
    if is_mine && is_cut_short {
        let message = "the log would not show that nobody else has made a version of your account";
        return Err(Failure::new(Verdict::Withheld, "monitoring_incomplete", message));
    }
    look_for_erasures(context, account, published, round).await
}

fn unwatched(label: &str) -> Event {
    let text = words::unwatched(&printable(label.to_owned()));
    Event::new("unwatched", Verdict::Updated, label, text).passing()
}

/// Makes sure that the label is owned up to what was published here: homes of old may have begun otherwise, or not at all.
async fn own(context: &mut Context, account: &OwnAccount, published: u32) -> Result<(), Failure> {
    let name = account.label.as_bytes();
    let owner = |context: &Context| context.state.label(name).and_then(|state| state.owner.clone());
    if owner(context).is_none() {
        let start = context.begin_to_own(name).await?.start;
        context.own_from(name, start).await?;
    }
    if owner(context).is_some_and(|owner| owner.greatest_version() < Some(published)) {
        context
            .learn_versions(name, |created| {
                created.versions.iter().all(|(version, value)| {
                    *version < published || (*version == published && value.as_ref() == Some(&account.record))
                })
            })
            .await?;
    }
    Ok(())
}

/// Who made a version of an own label that was not made here.
pub(super) async fn maker(
    context: &mut Context,
    account: &OwnAccount,
    published: u32,
    found: &Found,
) -> Result<Maker, Failure> {
    let label = &account.label;
    let known = ValidRecord::restore(&context.origin, label.as_bytes(), published, &account.record)
        .map_err(|error| Failure::new(Verdict::Failed, "home_damaged", format!("{label}: {error}")))?;
    let proven = match context.prove_newest(label, found.value.clone(), Some(&known)).await {
        Ok((proven, _)) => proven,
        Err(failure) if failure.verdict == Verdict::Refused => return Ok(Maker::Nobody),
        Err(failure) => return Err(failure),
    };
    if proven.identity() == Identity::Broken {
        return Ok(Maker::Provider);
    }
    if proven.valid().record().identity_key == account.identity_key() {
        return Ok(Maker::OwnIdentity);
    }
    let by = proven.change().identity.last().map_or(proven.change().by, |change| change.by);
    Ok(Maker::Successor(Author::from(by)))
}

fn unexpected(account: &OwnAccount, version: Option<u32>, maker: Maker) -> Event {
    let name = printable(account.label.clone());
    let text = words::unexpected(&name, version, maker);
    Event::new("unexpected_version", Verdict::Unexpected, &account.label, text)
        .with("version", version)
        .with("made_by", maker.name())
}

/// Looks for some of the versions before the newest, whose values only their owner may miss.
async fn look_for_erasures(
    context: &mut Context,
    account: &OwnAccount,
    published: u32,
    round: &mut Round,
) -> Result<(), Failure> {
    let first = round.watch.cursors.get(&account.label).copied().filter(|first| *first < published);
    let mut version = first.unwrap_or(0);
    for _ in 0..ERASURES_A_ROUND.min(published) {
        is_erased(context, account, version, round).await?;
        version = version.saturating_add(1);
        if version >= published {
            version = 0;
        }
    }
    if published > ERASURES_A_ROUND {
        round.watch.cursors.insert(account.label.clone(), version);
    }
    Ok(())
}

/// Whether the value of a version of one's own was erased. The first time, that is told.
async fn is_erased(
    context: &mut Context,
    account: &OwnAccount,
    version: u32,
    round: &mut Round,
) -> Result<bool, Failure> {
    let erased = round.watch.erased.get(&account.label);
    if erased.is_some_and(|erased| erased.contains_key(&version)) {
        return Ok(true);
    }
    match context.search(account.label.as_bytes(), Some(version)).await {
        Ok(_) => return Ok(false),
        Err(failure) if failure.reason == "erased_version" => {}
        Err(failure) if failure.reason == "expired_version" => return Ok(false),
        Err(failure) => return Err(failure),
    }
    let now = now();
    round.watch.erased.entry(account.label.clone()).or_default().insert(version, now.0);
    let text = words::erased(&printable(account.label.clone()), version, now, now);
    let event = Event::new("erased", Verdict::Updated, &account.label, text).with("version", version);
    round.events.push(event.passing());
    Ok(true)
}
