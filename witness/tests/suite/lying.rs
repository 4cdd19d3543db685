//! A lying witness behind the honest one's endpoints, as a test of what others make of it would build.

use std::sync::{Arc, Mutex};

use hyper::{Method, StatusCode};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    cosignature::Cosigner,
    note::{SignedNote, format_signature_lines},
    time::UnixSeconds,
    witness::{AddCheckpoint, checkpoint_path},
};
use keyglass_witness::{
    head::OriginHash,
    http::{Answer, Limits, Problem, Responder, router, serve},
    key::{self, KeyType},
};

use crate::{
    client::Connection,
    log::{Log, ORIGIN},
};

/// Signs whatever it is asked to, and serves what it signed first.
struct Liar {
    cosigner: Cosigner,
    shown: Mutex<Option<String>>,
}

impl Responder for Liar {
    async fn add_checkpoint(&self, request: AddCheckpoint) -> Answer {
        let line = self.cosigner.cosign(request.checkpoint(), UnixSeconds(1_700_000_000)).unwrap();
        let note = format!("{}{line}\n", request.note());
        self.shown.lock().unwrap().get_or_insert(note);
        Answer::Cosignatures(format_signature_lines(&[line]))
    }

    async fn latest(&self, _: OriginHash) -> Answer {
        let shown = self.shown.lock().unwrap().clone();
        shown.map_or(Answer::Problem(Problem::NEVER_COSIGNED), Answer::Checkpoint)
    }

    fn unready(&self) -> Option<&'static str> {
        None
    }
}

#[tokio::test]
async fn a_key_and_the_endpoints_make_a_colluding_witness() {
    let data = tempfile::tempdir().unwrap();
    let made = key::generate(KeyType::MlDsa44, "liar.example".parse().unwrap()).unwrap();
    key::save(data.path(), &made, None).unwrap();
    let cosigner = key::load(data.path(), None).unwrap().remove(0);
    let vkey = cosigner.vkey().clone();
    let liar = Liar { cosigner, shown: Mutex::new(None) };
    let router = router(Arc::new(liar), Arc::default(), Limits::default());
    let server = serve("127.0.0.1:0".parse().unwrap(), router).unwrap();
    let mut connection = Connection::open(server.address()).await.unwrap();
    let (honest, fork) = (Log::new(ORIGIN), Log::forked(ORIGIN, 0, 1));
    for log in [&honest, &fork] {
        let body = log.request(0, 9).to_string();
        let answer = connection.send(Method::POST, "/add-checkpoint", body).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let note = format!("{}\n{}", log.checkpoint(9).text(), answer.body);
        SignedNote::parse(note.as_bytes()).unwrap().verify(&[&vkey]).unwrap();
    }
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let shown = connection.send(Method::GET, &path, String::new()).await.unwrap();
    let shown = Checkpoint::from_note(&SignedNote::parse(shown.body.as_bytes()).unwrap()).unwrap();
    assert_eq!(shown, honest.checkpoint(9));
    server.stop().await;
}
