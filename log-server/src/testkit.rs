//! Witnesses in this process, honest and otherwise, and other things that tests share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::post,
};
use futures::stream;
use keyglass_crypto::{ml_dsa::MlDsaSigningKey, sign::SigningKey};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::KeyName,
    policy::Policy,
    rfc6962::verify_consistency,
    time::{UnixMillis, UnixSeconds},
    witness::{AddCheckpoint, SIZE_MEDIA_TYPE, format_size},
};

use crate::clock::Clock;

/// The time of clocks that stand still.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        NOW
    }
}

/// What a witness does with a request.
#[derive(Clone)]
pub(crate) enum Manner {
    Honest,
    /// Never answers.
    Silent,
    /// Begins an answer and sends a byte of it now and then, for ever.
    Drips,
    /// Promises a longer answer than it sends, and closes the connection.
    Breaks,
    /// Refuses with one size after the other.
    Conflicts,
    /// Sends the asker to this place, which would answer honestly.
    Redirects(String),
    /// Hides its line among ten megabytes of others' lines.
    Buries,
    /// Answers the honest line of another witness.
    Relays(Arc<Cosigner>),
    /// Cosigns another checkpoint of the log's.
    OtherTree,
    /// Answers with the line of its first key only.
    FirstKeyOnly,
    /// Answers with the line of its first key, and one of its second that does not verify.
    SpoilsSecond,
    /// Answers these bytes with this status and media type.
    Says(u16, &'static str, Vec<u8>),
    /// Cosigns whatever it gets with a time that is this many seconds ahead.
    Ahead(u64),
    /// Cosigns with the key of nobody.
    WrongKey,
    /// Answers an honest line, then another of the same key that does not verify.
    Spoilt,
    /// Fails this often, then is honest.
    FailsFirst(u32),
}

pub(crate) struct FakeWitness {
    pub(crate) cosigner: Cosigner,
    /// Its second key, which cosigns at the same place.
    pub(crate) second: Cosigner,
    pub(crate) asked: AtomicU64,
    pub(crate) manner: Mutex<Manner>,
    clock: Arc<dyn Clock>,
    last: Mutex<(u64, keyglass_crypto::hash::Digest)>,
}

impl FakeWitness {
    fn answer(&self, body: &[u8]) -> axum::response::Response {
        let request = AddCheckpoint::parse(body).unwrap();
        let checkpoint = request.checkpoint();
        let mut last = self.last.lock().unwrap();
        if request.old_size() != last.0 {
            return (StatusCode::CONFLICT, [("content-type", SIZE_MEDIA_TYPE)], format_size(last.0))
                .into_response();
        }
        let consistent =
            verify_consistency(last.0, &last.1, checkpoint.tree_size(), checkpoint.root(), request.proof());
        if consistent.is_err() {
            return StatusCode::UNPROCESSABLE_ENTITY.into_response();
        }
        *last = (checkpoint.tree_size(), *checkpoint.root());
        let lines = [&self.cosigner, &self.second].map(|key| self.line(key, checkpoint));
        lines.concat().into_response()
    }

    fn line(&self, key: &Cosigner, checkpoint: &Checkpoint) -> String {
        format!("{}\n", key.cosign(checkpoint, self.clock.now().to_seconds()).unwrap())
    }
}

async fn add_checkpoint(State(witness): State<Arc<FakeWitness>>, body: Bytes) -> axum::response::Response {
    witness.asked.fetch_add(1, Ordering::Relaxed);
    let manner = witness.manner.lock().unwrap().clone();
    let request = || AddCheckpoint::parse(&body).unwrap();
    let sign = |cosigner: &Cosigner, seconds: u64| {
        let request = AddCheckpoint::parse(&body).unwrap();
        format!("{}\n", cosigner.cosign(request.checkpoint(), UnixSeconds(seconds)).unwrap())
    };
    match manner {
        Manner::Honest => witness.answer(&body),
        Manner::Silent => core::future::pending().await,
        Manner::Says(status, media_type, bytes) => {
            (StatusCode::from_u16(status).unwrap(), [("content-type", media_type)], bytes).into_response()
        }
        Manner::Ahead(seconds) => {
            sign(&witness.cosigner, witness.clock.now().to_seconds().0 + seconds).into_response()
        }
        Manner::Drips => Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"\n")), ()))
        }))
        .into_response(),
        Manner::Breaks => {
            let line = witness.line(&witness.cosigner, request().checkpoint());
            let parts = [Ok(Bytes::from(line)), Err(std::io::Error::other("the witness breaks off"))];
            Body::from_stream(stream::iter(parts)).into_response()
        }
        Manner::Conflicts => {
            let size = request().old_size() + 1;
            (StatusCode::CONFLICT, [("content-type", SIZE_MEDIA_TYPE)], format_size(size)).into_response()
        }
        Manner::Redirects(place) => (StatusCode::TEMPORARY_REDIRECT, [("location", place)]).into_response(),
        Manner::Buries => {
            let line = witness.line(&witness.cosigner, request().checkpoint());
            let key = SigningKey::from_seed(&[0xed; 32]);
            let stranger = Cosigner::new(KeyName::new("stranger.example").unwrap(), key);
            let junk = witness.line(&stranger, request().checkpoint());
            let half = junk.repeat((5 << 20) / junk.len());
            format!("{half}{line}{half}").into_response()
        }
        Manner::Relays(other) => witness.line(&other, request().checkpoint()).into_response(),
        Manner::OtherTree => {
            let size = request().checkpoint().tree_size() + 1;
            let other = Checkpoint::new(request().checkpoint().origin(), size, [9; 32]).unwrap();
            witness.line(&witness.cosigner, &other).into_response()
        }
        Manner::FirstKeyOnly => witness.line(&witness.cosigner, request().checkpoint()).into_response(),
        Manner::SpoilsSecond => {
            let other = Checkpoint::new("other.example", 99, [9; 32]).unwrap();
            let lines = [
                witness.line(&witness.cosigner, request().checkpoint()),
                witness.line(&witness.second, &other),
            ];
            lines.concat().into_response()
        }
        Manner::WrongKey => {
            let name = witness.cosigner.vkey().name().clone();
            sign(&Cosigner::new(name, SigningKey::from_seed(&[0xee; 32])), witness.clock.now().to_seconds().0)
                .into_response()
        }
        Manner::Spoilt => {
            let good = sign(&witness.cosigner, witness.clock.now().to_seconds().0);
            let other = Checkpoint::new("other.example", 99, [9; 32]).unwrap();
            let bad = witness.cosigner.cosign(&other, witness.clock.now().to_seconds()).unwrap();
            format!("{good}{bad}\n").into_response()
        }
        Manner::FailsFirst(0) => witness.answer(&body),
        Manner::FailsFirst(left) => {
            *witness.manner.lock().unwrap() = Manner::FailsFirst(left - 1);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A witness that serves on a port of its own, at [`NOW`].
pub(crate) async fn witness(index: u8, manner: Manner) -> (Arc<FakeWitness>, String) {
    witness_at(index, manner, Arc::new(FixedClock)).await
}

/// A witness that serves on a port of its own.
pub(crate) async fn witness_at(
    index: u8,
    manner: Manner,
    clock: Arc<dyn Clock>,
) -> (Arc<FakeWitness>, String) {
    let name = KeyName::new(&format!("witness.example/w{index}")).unwrap();
    let cosigner = Cosigner::new(name.clone(), SigningKey::from_seed(&[index; 32]));
    let second = Cosigner::ml_dsa_44(name, MlDsaSigningKey::from_seed(&[index; 32])).unwrap();
    let last = Mutex::new((0, keyglass_tlog::rfc6962::empty_root()));
    let (asked, manner) = (AtomicU64::new(0), Mutex::new(manner));
    let witness = Arc::new(FakeWitness { cosigner, second, asked, manner, clock, last });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/w/", listener.local_addr().unwrap());
    let router =
        Router::new().route("/w/add-checkpoint", post(add_checkpoint)).with_state(Arc::clone(&witness));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (witness, url)
}

pub(crate) fn policy_of(witnesses: &[(Arc<FakeWitness>, String)], k: usize) -> Policy {
    let mut text = String::new();
    for (i, (witness, url)) in witnesses.iter().enumerate() {
        text.push_str(&format!("witness w{i} {} {url}\n", witness.cosigner.vkey()));
    }
    let names: Vec<String> = (0..witnesses.len()).map(|i| format!("w{i}")).collect();
    text.push_str(&format!("group g {k} {}\nquorum g\n", names.join(" ")));
    Policy::parse(text.as_bytes()).unwrap()
}
