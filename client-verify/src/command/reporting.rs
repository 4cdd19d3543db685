//! Telling auditors which heads this user was shown (`--auditor`): a log whose witnesses collude can hide a fork from everybody
//! but the users on it.
//!
//! What a command has verified is noted while it runs, and reported once its answer is out. Both heads are always reported when
//! the log's answer could not be reconciled, and evidence when there is some. A report is a plain POST of what the log signed,
//! without anything about the user. It is bounded in time, and no failure of it changes what the command came to.

use std::{cell::RefCell, io::Write, sync::Arc, time::Duration};

use keyglass_tlog::{evidence::Evidence, note::SignedNote};
use reqwest::Url;
use serde::Deserialize;
use tokio::{task::JoinSet, time::timeout};

use super::args::Common;
use crate::http::{HttpError, Request, Server};

/// How long all reports of a command may take together.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one of them is tried.
const PATIENCE_EACH: Duration = Duration::from_secs(3);
/// The media type of notes and evidence.
const TEXT: &str = "text/plain";
/// The most heads in dispute, and the most pieces of evidence, that a command reports beside the head verified last.
const MAX_HEADS: usize = 8;
/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 16 << 10;

/// What a command has seen and not reported yet.
#[derive(Default)]
struct Seen {
    /// The head that was verified last.
    verified: Option<String>,
    /// Heads that could not be reconciled.
    disputed: Vec<String>,
    /// Evidence that convicts the log.
    evidence: Vec<String>,
}

tokio::task_local! {
    static SEEN: RefCell<Seen>;
}

/// An auditor's address.
#[derive(Debug, Clone)]
pub struct Auditor(Url);

impl std::str::FromStr for Auditor {
    type Err = HttpError;

    fn from_str(address: &str) -> Result<Self, HttpError> {
        let url = Url::parse(address).map_err(|_| HttpError::Address)?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(HttpError::Address);
        }
        Ok(Self(url))
    }
}

impl std::fmt::Display for Auditor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Runs a command that notes what it sees. [`tell`] works within it.
pub async fn noting<T>(command: impl Future<Output = T>) -> T {
    SEEN.scope(RefCell::default(), command).await
}

/// Notes a head that was verified.
pub fn verified(head: Option<&SignedNote>) {
    note(|seen| seen.verified = head.map(ToString::to_string).or(seen.verified.take()));
}

/// Notes a head that could not be reconciled with another one.
pub fn disputed(head: &SignedNote) {
    note(|seen| {
        let head = head.to_string();
        if seen.disputed.len() < MAX_HEADS && !seen.disputed.contains(&head) {
            seen.disputed.push(head);
        }
    });
}

/// Notes evidence against the log.
pub fn convicted(evidence: &Evidence) {
    note(|seen| {
        if seen.evidence.len() < MAX_HEADS {
            seen.evidence.push(evidence.to_string());
        }
    });
}

fn note(what: impl FnOnce(&mut Seen)) {
    // Outside of a command nobody is told anything.
    let _ = SEEN.try_with(|seen| what(&mut seen.borrow_mut()));
}

/// What an auditor says about a head.
#[derive(Deserialize)]
struct Compared {
    standing: String,
}

/// Tells the auditors of the options what was seen since the last time. What they answer, and that they do not, is said on
/// `stderr`.
pub async fn tell(common: &Common, stderr: &mut dyn Write) {
    let seen = SEEN.try_with(RefCell::take).unwrap_or_default();
    if seen.verified.is_none() && seen.disputed.is_empty() && seen.evidence.is_empty() {
        return;
    }
    let seen = Arc::new(seen);
    let mut reports = JoinSet::new();
    for auditor in &common.auditor {
        let (seen, name) = (Arc::clone(&seen), auditor.to_string());
        let server = common.reach_within(&name, PATIENCE_EACH);
        reports.spawn(async move {
            let told = async { report(&server.map_err(|_| ())?, &seen).await };
            match timeout(PATIENCE, told).await {
                Ok(Ok(None)) => None,
                Ok(Ok(Some(standing))) => Some(format!("THE AUDITOR {name} SAYS THAT THIS HEAD {standing}")),
                Ok(Err(())) | Err(_) => {
                    Some(format!("the auditor {name} could not be told which head was shown"))
                }
            }
        });
    }
    for said in reports.join_all().await.into_iter().flatten() {
        // That nobody reads it changes nothing about the answer.
        let _ = writeln!(stderr, "keyglass: {said}");
    }
}

/// Reports to one auditor; says what it holds against a head, if it does.
async fn report(auditor: &Server, seen: &Seen) -> Result<Option<&'static str>, ()> {
    let post = async |path: &'static str, body: &String| {
        let request = Request::post(path, TEXT, body.clone().into_bytes());
        auditor.send(MAX_ANSWER, request).await.map_err(|_| ())
    };
    let mut worst = None;
    let mut failed = false;
    let verified = seen.verified.iter().filter(|head| !seen.disputed.contains(head));
    for head in seen.disputed.iter().chain(verified) {
        let answer = post("v1/heads", head).await;
        let standing = answer.ok().and_then(|body| serde_json::from_slice::<Compared>(&body).ok());
        match standing.as_ref().map(|compared| compared.standing.as_str()) {
            Some("contradicts") => {
                worst = Some("CONTRADICTS THE LOG'S OTHER HEADS, and that it holds evidence");
            }
            Some("disputed") => {
                worst = worst.or(Some("IS NOT THAT OF THE LOG IT SEES, and that it holds no evidence yet"));
            }
            Some(_) => {}
            None => failed = true,
        }
    }
    for evidence in &seen.evidence {
        failed |= post("v1/evidence", evidence).await.is_err();
    }
    if failed && worst.is_none() { Err(()) } else { Ok(worst) }
}
