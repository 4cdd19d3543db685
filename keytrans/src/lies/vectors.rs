//! The vectors in `testvectors/keytrans/keyglass`: the lies and the histories of this crate, for other implementations.
//! `KEYGLASS_WRITE_VECTORS=1 cargo test --release -p keyglass-keytrans keyglass_vectors` writes them.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};

use super::{
    auditing,
    histories::histories,
    scene::{POLICY, Scene, Session},
};
use crate::{
    audit::AuditedLog,
    client::tests::run_sessions_of,
    config::{CipherSuite, DeploymentMode},
    log_hash::LogHash,
    vectors::bytes,
    wire::{AuditorUpdate, BatchAuditorUpdate, Context, PrefixProof, Wire},
};

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testvectors/keytrans/keyglass"))
}

/// A file: what holds for all of it, and a list of which every element gets a line.
fn file(comment: &str, list: &str, elements: &[Value]) -> String {
    let elements: Vec<String> = elements.iter().map(|element| element.to_string()).collect();
    format!("{{\"comment\":{},\"{list}\":[\n{}\n]}}\n", json!(comment), elements.join(",\n"))
}

fn session_json(name: &str, session: &Session, steps: Vec<Value>) -> Value {
    let policy = (session.log.suite() == CipherSuite::Tlog).then_some(POLICY);
    let config = hex::encode(session.log.config.encode().unwrap());
    json!({"name": name, "config": config, "policy": policy, "steps": steps})
}

fn suite_name(suite: CipherSuite) -> String {
    format!("{:#06x}", suite.number())
}

/// The bytes at which the lie differs from the truth, as `[offset, how many are taken out, what is put in]`.
fn patch(honest: &[u8], lie: &[u8]) -> Value {
    let start = honest.iter().zip(lie).take_while(|(a, b)| a == b).count();
    let (honest, lie) = (&honest[start..], &lie[start..]);
    let end = honest.iter().rev().zip(lie.iter().rev()).take_while(|(a, b)| a == b).count();
    json!([start, honest.len() - end, hex::encode(&lie[..lie.len() - end])])
}

/// Where the honest answer of a lie's scene is: lies about the same answer go into one step.
fn place(scene: &Scene) -> Option<String> {
    let steps = scene.session.steps.as_ref()?;
    let config = hex::encode(scene.session.log.config.encode().unwrap());
    Some(format!("{config} {} {:?} {}", json!(steps), scene.op, hex::encode(&scene.response)))
}

/// The sessions in which somebody lies.
fn lying_sessions() -> Vec<Value> {
    let mut order = Vec::new();
    let mut told: BTreeMap<String, (String, Scene, Vec<Value>)> = BTreeMap::new();
    for lie in super::all() {
        for &suite in lie.suites {
            let story = (lie.told)(suite);
            let (honest, liar) = (&story.honest, &story.lie);
            let (Some(key), Some(steps)) = (place(honest), &liar.session.steps) else { continue };
            let name = format!("{} ({})", lie.lie, suite_name(suite));
            let mut refused = json!({
                "name": lie.lie, "expect": "reject", "now": liar.now, "section": lie.section, "why": lie.sentence,
                "error": story.verdict.to_string(),
            });
            let same = liar.session.log.config == honest.session.log.config
                && honest.session.steps.as_ref() == Some(steps)
                && liar.op == honest.op;
            if !told.contains_key(&key) {
                order.push(key.clone());
                told.insert(key.clone(), (name.clone(), honest.clone(), Vec::new()));
            }
            if same {
                refused["patch"] = patch(&honest.response, &liar.response);
                told.get_mut(&key).unwrap().2.push(refused);
            } else {
                // The lie has a history of its own, in which nothing is honest to go on with.
                refused["response"] = json!(hex::encode(&liar.response));
                let (op, params) = liar.op.to_json();
                let request = hex::encode(liar.session.request(&liar.op).encode());
                let mut steps = steps.clone();
                steps.push(json!({
                    "op": op, "params": params, "request": request, "responses": [refused], "state": null,
                }));
                let key = format!("{key} {name}");
                order.push(key.clone());
                let alone = Scene { op: liar.op.clone(), ..liar.clone() };
                told.insert(key, (format!("only a lie: {name}"), alone, steps));
            }
        }
    }
    let session = |key: &String| {
        let (name, scene, parts) = &told[key];
        if name.starts_with("only a lie: ") {
            return session_json(name.trim_start_matches("only a lie: "), &scene.session, parts.clone());
        }
        let mut steps = scene.session.steps.clone().unwrap();
        steps.push(scene.session.step(&scene.op, &scene.response, scene.now, parts).0);
        session_json(&format!("the truth beside: {name}"), &scene.session, steps)
    };
    order.iter().map(session).collect()
}

fn honest_sessions() -> Vec<Value> {
    let mut sessions = Vec::new();
    for suite in [CipherSuite::Draft, CipherSuite::Tlog] {
        for (name, session) in histories(suite) {
            let name = format!("{name} ({})", suite_name(suite));
            sessions.push(session_json(&name, &session, session.steps.clone().unwrap()));
        }
    }
    sessions
}

/// An update as a log of that suite serves it.
fn encoded(hash: LogHash, update: &BatchAuditorUpdate) -> String {
    let bytes = match hash {
        LogHash::Rfc6962 => update.encode(),
        LogHash::Draft => {
            let BatchAuditorUpdate { timestamp, added, removed, proof } = update.clone();
            let proof = PrefixProof { results: proof.results, elements: proof.elements };
            AuditorUpdate { timestamp, added, removed, proof }.encode()
        }
    };
    hex::encode(bytes.unwrap())
}

fn decoded(hash: LogHash, update: &Value) -> BatchAuditorUpdate {
    let context = Context::new(DeploymentMode::ThirdPartyAuditing);
    match hash {
        LogHash::Rfc6962 => BatchAuditorUpdate::decode(&bytes(update), context).unwrap(),
        LogHash::Draft => AuditorUpdate::decode(&bytes(update), context).unwrap().into(),
    }
}

/// What an auditor of each suite is told of the town's log, and at its end the lies.
fn audits() -> Vec<Value> {
    let mut audits = Vec::new();
    for (hash, suite) in [(LogHash::Draft, CipherSuite::Draft), (LogHash::Rfc6962, CipherSuite::Tlog)] {
        let mut world = auditing::World::new(hash);
        let mut steps = Vec::new();
        let next = |world: &mut auditing::World, steps: &mut Vec<Value>, update: &BatchAuditorUpdate| {
            let audited = world.apply(update).unwrap();
            steps.push(json!({
                "expect": "accept", "update": encoded(hash, update), "position": audited.position,
                "prefix_tree": hex::encode(audited.entry.prefix_tree), "root": hex::encode(audited.root),
            }));
        };
        for update in auditing::World::town(hash).updates {
            next(&mut world, &mut steps, &update);
        }
        for lie in auditing::lies() {
            steps.push(json!({
                "expect": "reject", "name": lie.lie, "why": lie.sentence, "section": "Auditing",
                "error": lie.verdict.to_string(), "update": encoded(hash, &(lie.told)(&world)),
            }));
        }
        // Removals, an entry without changes, and more.
        for (timestamp, added, removed) in [
            (5_500, &[][..], &[8_u8, 9][..]),
            (5_500, &[], &[]),
            (5_600, &[30, 31, 32], &[]),
            (9_000, &[], &[0, 1, 2, 3]),
            (9_100, &[], &[4, 5, 6, 7, 10, 11, 12, 30, 31, 32]),
            (9_200, &[40], &[]),
        ] {
            let update = world.update(timestamp, added, removed);
            next(&mut world, &mut steps, &update);
        }
        audits.push(json!({
            "suite": suite_name(suite), "reasonable_monitoring_window": auditing::WINDOW, "steps": steps,
        }));
    }
    audits
}

fn files() -> Vec<(&'static str, String)> {
    vec![
        ("histories.json", file("Sessions of honest logs. See README.md.", "sessions", &honest_sessions())),
        ("lies.json", file("Sessions of lying logs. See README.md.", "sessions", &lying_sessions())),
        ("auditing.json", file("What auditors are told. See README.md.", "audits", &audits())),
    ]
}

#[test]
fn keyglass_vectors_are_what_the_generator_makes() {
    let mut total = 0;
    for (name, text) in files() {
        let path = directory().join(name);
        if std::env::var_os("KEYGLASS_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(directory()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let differs = stored.lines().zip(text.lines()).position(|(stored, made)| stored != made);
        assert!(stored == text, "{name} is not what the generator makes; first at line {differs:?}");
        println!("{name}: {} bytes", text.len());
        total += text.len();
    }
    assert!(total < 3 << 20, "{total} bytes");
}

fn parsed(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(directory().join(name)).unwrap()).unwrap()
}

#[test]
fn keyglass_vectors_of_sessions() {
    let (accepted, refused) = run_sessions_of("histories.json", &parsed("histories.json"));
    assert!(accepted > 100 && refused == 0);
    let (accepted, refused) = run_sessions_of("lies.json", &parsed("lies.json"));
    assert!(accepted > 50 && refused > 100);
}

#[test]
fn keyglass_vectors_of_audits() {
    let (mut accepted, mut refused) = (0, 0);
    for audit in parsed("auditing.json")["audits"].as_array().unwrap() {
        let hash = if audit["suite"] == "0x0002" { LogHash::Draft } else { LogHash::Rfc6962 };
        let window = audit["reasonable_monitoring_window"].as_u64().unwrap();
        let mut log = AuditedLog::new(hash, window);
        let mut first = BTreeMap::new();
        for step in audit["steps"].as_array().unwrap() {
            let update = decoded(hash, &step["update"]);
            let published = first.clone();
            let outcome = log.apply(&update, |leaf| published.get(&leaf.vrf_output).copied());
            if step["expect"] == "reject" {
                assert_eq!(json!(outcome.unwrap_err().to_string()), step["error"], "{}", step["name"]);
                refused += 1;
                continue;
            }
            let audited = outcome.unwrap();
            assert_eq!(json!(audited.position), step["position"]);
            assert_eq!(json!(hex::encode(audited.root)), step["root"]);
            assert_eq!(json!(hex::encode(audited.entry.prefix_tree)), step["prefix_tree"]);
            for leaf in &update.added {
                first.entry(leaf.vrf_output).or_insert(audited.position);
            }
            accepted += 1;
        }
    }
    println!("auditing.json: {accepted} updates accepted, {refused} refused");
    assert!(accepted > 0 && refused > 0);
}
