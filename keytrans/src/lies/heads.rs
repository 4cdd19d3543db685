//! Lies about heads.

use super::{
    response::Response,
    scene::{
        Lie, Scene, Session, Told, another_key, greatest, grow, lie, signed_by_another, town, town_in,
        unsigned,
    },
};
use crate::{
    client::HeadError,
    client::ProofError,
    config::{AuditingFields, CipherSuite, DeploymentMode, ModeFields},
    log_tree::LogTreeError,
    prover::model::{NaiveLog, auditor, log_key},
    wire::{AuditorTreeHead, FullTreeHead, TreeHead},
};
use keyglass_tlog::{checkpoint::Checkpoint, cosignature::Cosigner, note::KeyName, time::UnixSeconds};

const VIEWS: &str = "Updating Views of the Tree: Algorithm";
const FULL: &str = "Full Tree Head Verification";
const AUDITOR: &str = "Auditor Tree Head Signature";
const SAME: &str = "If `head_type` is `same`, verify that the user advertised a previously observed tree size and that the timestamp of the rightmost log entry of this tree is still within the bounds set by `max_ahead` and `max_behind`.";
const GROWN: &str = "If the user advertised a previously observed tree size, verify that `TreeHead.tree_size` is greater than the advertised tree size.";
const SIGNED: &str = "Verify `TreeHead.signature` as a signature over the `TreeHeadTBS` structure.";
const BOUNDS: &str =
    "Users verify this against their local clock at the time they receive the query response.";
const STARTED: &str = "If the user advertised a previously observed tree head, verify that the `tree_size` of the `AuditorTreeHead` structure in the previous tree head (which may be from a different auditor) is greater than or equal to `auditor_start_pos` for the current auditor.";
const LAG: &str = "Verify that the timestamp of the rightmost log entry is greater than or equal to `timestamp`, and that the difference between the two is less than or equal to `Configuration.max_auditor_lag`.";
const SIZE: &str = "Verify that `tree_size` is less than or equal to that of the `TreeHead` provided by the Transparency Log.";
const AUDITED: &str = "Verify `signature` as a signature over the `AuditorTreeHeadTBS` structure:";

/// A user that has asked the log before.
fn returning(log: NaiveLog) -> Session {
    let mut session = Session::new(log);
    session.perform(&greatest(b"bob"));
    session
}

fn tree_head(response: &mut Response) -> &mut TreeHead {
    let FullTreeHead::Updated { tree_head, .. } = response.head() else { panic!("the head is kept") };
    tree_head
}

fn auditor_head(response: &mut Response) -> &mut AuditorTreeHead {
    let FullTreeHead::Updated { auditor_tree_head: Some(head), .. } = response.head() else {
        panic!("no auditor's head")
    };
    head
}

/// The same answer, read at two times.
fn read_at(session: Session, in_time: u64, out_of_time: u64, verdict: HeadError) -> Told {
    let honest = Scene { now: in_time, ..Scene::honest(session, greatest(b"bob")) };
    let lie = Scene { now: out_of_time, ..honest.clone() };
    Told { honest, lie, verdict: verdict.into() }
}

/// An auditor's head of a log of eleven entries, whose rightmost is at a full second, one second after the first.
fn audited(suite: CipherSuite, change: impl FnOnce(&mut AuditingFields)) -> Session {
    let mut log = NaiveLog::in_mode(suite, DeploymentMode::ThirdPartyAuditing, 1000, None);
    super::scene::add(&mut log, 2, b"bob", &[b"bob 0"]);
    grow(&mut log, 11);
    log.reconfigure(|config| {
        let ModeFields::ThirdPartyAuditing(fields) = &mut config.mode else { panic!("no auditor") };
        fields.max_auditor_lag = 1000;
        change(fields);
    });
    Session::new(log)
}

/// Two auditor's heads, of which the second is a lie.
fn audited_as(
    session: Session,
    honest: impl FnOnce(&NaiveLog) -> AuditorTreeHead,
    lie: impl FnOnce(&NaiveLog) -> AuditorTreeHead,
    verdict: HeadError,
) -> Told {
    let scene = Scene::honest(session, greatest(b"bob"));
    let honest = scene.edited(|log, response| *auditor_head(response) = honest(log));
    let lie = honest.edited(|log, response| *auditor_head(response) = lie(log));
    Told { honest, lie, verdict: verdict.into() }
}

fn at(log: &NaiveLog, timestamp: u64) -> AuditorTreeHead {
    log.auditor_head(timestamp, log.size(), log.root(log.size()))
}

pub(super) fn lies() -> Vec<Lie> {
    vec![
        lie(FULL, SAME, "Verifier::response_size", "a new user is told to keep its head", |suite| {
            let keep = |_: &NaiveLog, response: &mut Response| *response.head() = FullTreeHead::Same;
            Told::edited(Session::new(town(suite)), greatest(b"bob"), keep, HeadError::NothingToKeep)
        }),
        lie(FULL, SAME, "Verifier::verify_clock", "a head is kept for too long", |suite| {
            let (session, last) = (returning(town(suite)), town(suite).now());
            read_at(session, last + 1_000_000, last + 1_000_001, HeadError::TooFarBehind(1_000_001))
        }),
        lie(FULL, SAME, "Verifier::verify_clock", "a kept head is from the future", |suite| {
            let (session, last) = (returning(town(suite)), town(suite).now());
            read_at(session, last - 1000, last - 1001, HeadError::TooFarAhead(1001))
        }),
        lie(VIEWS, BOUNDS, "Verifier::verify_clock", "a new head is too old", |suite| {
            let last = town(suite).now();
            let session = Session::new(town(suite));
            read_at(session, last + 1_000_000, last + 1_000_001, HeadError::TooFarBehind(1_000_001))
        }),
        lie(VIEWS, BOUNDS, "Verifier::verify_clock", "a new head is from the future", |suite| {
            let last = town(suite).now();
            read_at(Session::new(town(suite)), last - 1000, last - 1001, HeadError::TooFarAhead(1001))
        }),
        lie(
            FULL,
            GROWN,
            "Verifier::response_size",
            "the head that the user has is given as a new one",
            |suite| {
                let renew = |log: &NaiveLog, response: &mut Response| {
                    let tree_head = log.head().tree_head;
                    *response.head() = FullTreeHead::Updated { tree_head, auditor_tree_head: None };
                };
                let verdict = HeadError::NotGrown { last: 14, tree_size: 14 };
                Told::edited(returning(town(suite)), greatest(b"bob"), renew, verdict)
            },
        ),
        lie(FULL, GROWN, "Verifier::response_size", "the log has shrunk", |suite| {
            let shrink = |log: &NaiveLog, response: &mut Response| {
                let mut log = log.clone();
                log.entries.pop();
                let tree_head = log.head().tree_head;
                *response.head() = FullTreeHead::Updated { tree_head, auditor_tree_head: None };
            };
            let verdict = HeadError::NotGrown { last: 14, tree_size: 13 };
            Told::edited(returning(town(suite)), greatest(b"bob"), shrink, verdict)
        }),
        lie(FULL, SIGNED, "Verifier::verify_tree_head", "another key signed the head", |suite| {
            let session = Session::new(town(suite));
            let sign = |log: &NaiveLog, response: &mut Response| {
                tree_head(response).signature =
                    log.sign_head(another_key(), log.size(), log.root(log.size()));
            };
            let verdict = signed_by_another(&session.log);
            Told::edited(session, greatest(b"bob"), sign, verdict)
        }),
        lie(FULL, SIGNED, "Verifier::verify_tree_head", "the signature is over another root", |suite| {
            let session = Session::new(town(suite));
            let sign = |log: &NaiveLog, response: &mut Response| {
                tree_head(response).signature = log.sign_head(log_key(), log.size(), log.root(13));
            };
            let verdict = unsigned(&session.log);
            Told::edited(session, greatest(b"bob"), sign, verdict)
        }),
        lie(FULL, SIGNED, "Verifier::verify_tree_head", "the signature is over another size", |suite| {
            let session = Session::new(town(suite));
            let sign = |log: &NaiveLog, response: &mut Response| {
                tree_head(response).signature = log.sign_head(log_key(), 13, log.root(log.size()));
            };
            let verdict = unsigned(&session.log);
            Told::edited(session, greatest(b"bob"), sign, verdict)
        }),
        lie(
            FULL,
            SIGNED,
            "Verifier::verify_tree_head",
            "the head is of a log with another configuration",
            |suite| {
                let session = Session::new(town(suite));
                let sign = |log: &NaiveLog, response: &mut Response| {
                    let mut other = log.clone();
                    other.reconfigure(|config| config.max_behind += 1);
                    tree_head(response).signature = other.sign_head(log_key(), 14, log.root(14));
                };
                let verdict = signed_by_another(&session.log);
                Told::edited(session, greatest(b"bob"), sign, verdict)
            },
        ),
        lie(
            AUDITOR,
            STARTED,
            "Verifier::verify_auditor_head",
            "the auditor began after the head seen before",
            |suite| {
                let scene = |unaudited| {
                    let mut log = town_in(suite, DeploymentMode::ThirdPartyAuditing, 14);
                    log.reconfigure(|config| {
                        let ModeFields::ThirdPartyAuditing(fields) = &mut config.mode else {
                            panic!("no auditor")
                        };
                        fields.auditor_start_pos = 10;
                    });
                    log.unaudited = unaudited;
                    let mut session = returning(log);
                    grow(&mut session.log, 16);
                    session.log.unaudited = 0;
                    Scene::honest(session, greatest(b"bob"))
                };
                Told { honest: scene(4), lie: scene(5), verdict: HeadError::AuditorStart.into() }
            },
        ),
        lie(AUDITOR, LAG, "Verifier::verify_auditor_head", "the auditor lags too far behind", |suite| {
            let at_lag = |seconds: u64| move |log: &NaiveLog| at(log, log.now() - 1000 * seconds);
            audited_as(audited(suite, |_| ()), at_lag(1), at_lag(2), HeadError::AuditorTime)
        }),
        lie(
            AUDITOR,
            LAG,
            "Verifier::verify_auditor_head",
            "the auditor's head is later than it may be",
            |suite| {
                // Under 0xF001 the auditor signs after the entries that it signs for: up to `max_ahead` after the clock.
                let (latest, beyond) = match suite {
                    CipherSuite::Draft => (0, 1),
                    CipherSuite::Tlog => (1000, 2000),
                };
                let ahead = |by: u64| move |log: &NaiveLog| at(log, log.now() + by);
                audited_as(audited(suite, |_| ()), ahead(latest), ahead(beyond), HeadError::AuditorTime)
            },
        ),
        lie(
            AUDITOR,
            SIZE,
            "log_tree::batch::Question::new",
            "the auditor's head is larger than the log's",
            |suite| {
                let larger = |log: &NaiveLog, response: &mut Response| {
                    *auditor_head(response) = log.auditor_head(log.now(), 12, log.root(11));
                };
                let verdict = ProofError::LogTree(LogTreeError::AuditorSize);
                Told::edited(audited(suite, |_| ()), greatest(b"bob"), larger, verdict)
            },
        ),
        lie(
            AUDITOR,
            AUDITED,
            "Verifier::verify_auditor_head",
            "another key signed the auditor's head",
            |suite| {
                let another = |log: &NaiveLog| {
                    let mut head = at(log, log.now());
                    head.signature = match log.suite() {
                        CipherSuite::Draft => {
                            let tbs = crate::wire::AuditorTreeHeadTbs {
                                config: log.config.clone(),
                                timestamp: head.timestamp,
                                tree_size: head.tree_size,
                                root: log.root(11),
                            };
                            another_key().sign(&crate::wire::Wire::encode(&tbs).unwrap()).0.to_vec()
                        }
                        CipherSuite::Tlog => {
                            let cosigner = Cosigner::new(auditor().vkey().name().clone(), another_key());
                            let checkpoint = Checkpoint::new(&log.origin(), 11, log.root(11)).unwrap();
                            let line =
                                cosigner.cosign(&checkpoint, UnixSeconds(head.timestamp / 1000)).unwrap();
                            format!("{line}\n").into_bytes()
                        }
                    };
                    head
                };
                audited_as(
                    audited(suite, |_| ()),
                    |log| at(log, log.now()),
                    another,
                    HeadError::AuditorSignature,
                )
            },
        ),
        lie(AUDITOR, AUDITED, "Verifier::verify_auditor_head", "the auditor signed another root", |suite| {
            let other = |log: &NaiveLog| log.auditor_head(log.now(), 11, log.root(10));
            audited_as(audited(suite, |_| ()), |log| at(log, log.now()), other, HeadError::AuditorSignature)
        }),
        lie(
            AUDITOR,
            AUDITED,
            "Verifier::verify_auditor_head",
            "the auditor signed at another time",
            |suite| {
                let earlier =
                    |log: &NaiveLog| AuditorTreeHead { timestamp: log.now() - 1, ..at(log, log.now()) };
                audited_as(
                    audited(suite, |_| ()),
                    |log| at(log, log.now()),
                    earlier,
                    HeadError::AuditorSignature,
                )
            },
        ),
        lie(
            AUDITOR,
            "The `root` field contains the root value of the log tree when it had `tree_size` leaves.",
            "Verifier::verify_auditor_head",
            "the auditor signed the root of the log, not of its own size",
            |suite| {
                let mut session = audited(suite, |_| ());
                session.log.unaudited = 3;
                let whole = |log: &NaiveLog| log.auditor_head(log.now(), 8, log.root(11));
                let own = |log: &NaiveLog| log.auditor_head(log.now(), 8, log.root(8));
                audited_as(session, own, whole, HeadError::AuditorSignature)
            },
        ),
        lie(
            AUDITOR,
            AUDITED,
            "Verifier::verify_auditor_head",
            "two lines under an auditor's head",
            |suite| {
                let twice = |log: &NaiveLog| {
                    let mut head = at(log, log.now());
                    let checkpoint = Checkpoint::new(&log.origin(), 11, log.root(11)).unwrap();
                    let other = Cosigner::new(KeyName::new("witness.example").unwrap(), another_key());
                    let line = other.cosign(&checkpoint, UnixSeconds(head.timestamp / 1000)).unwrap();
                    head.signature.extend_from_slice(format!("{line}\n").as_bytes());
                    head
                };
                audited_as(
                    audited(suite, |_| ()),
                    |log| at(log, log.now()),
                    twice,
                    HeadError::AuditorSignature,
                )
            },
        )
        .only(&[CipherSuite::Tlog]),
    ]
}
