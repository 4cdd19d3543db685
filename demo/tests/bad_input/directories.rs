//! Data directories that are damaged, or somebody else's: the programs say what and where, and do not start.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use keyglass_demo::system::System;

use crate::{
    bench::publish,
    support::{
        account::Account,
        programs::{QUIET, WitnessPlace, api, run_to_end, serve},
    },
};

/// The exit code for a data directory that was refused.
const REFUSED: i32 = 3;

/// Copies a directory and everything in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&source, &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(&source, &target).unwrap();
        }
    }
}

/// The files directly in a directory, with their bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The only file of the database with this ending, or the last if there are several.
fn of_database(directory: &Path, ending: &str) -> PathBuf {
    let names = fs::read_dir(directory.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let is_it =
        |path: &PathBuf| path.to_str().unwrap().ends_with(ending) && fs::metadata(path).unwrap().len() > 0;
    names.filter(is_it).max().unwrap_or_else(|| panic!("no *{ending}"))
}

fn copy_file(from: &Path, to: &Path, name: &str) {
    fs::copy(from.join(name), to.join(name)).unwrap();
}

fn cut_in_half(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The directory of a log that has served, and of another one.
struct Logs {
    system: System,
    data: PathBuf,
    other: PathBuf,
}

async fn logs() -> Logs {
    let mut system = System::start(QUIET).await.unwrap();
    let api = api(&system);
    for n in 0..20 {
        publish(&api, &Account::new(&api.origin, &format!("user-{n}"), 1)).await;
    }
    // The second life writes what the first had only in its write-ahead log into tables.
    let address = system.stop_log().await.unwrap();
    system.start_log(&address).await.unwrap();
    publish(&api, &Account::new(&api.origin, "later", 1)).await;
    system.stop_log().await.unwrap();
    let other = keyglass_demo::system::Log::init(system.directory(), "other", QUIET).await.unwrap();
    Logs { data: system.log.data.clone(), other: other.data, system }
}

/// Runs a log-server in a damaged copy of the directory; gives what is wrong with how it refuses, if anything is.
async fn refuses(
    logs: &Logs,
    index: usize,
    what: &str,
    names: &str,
    damage: impl FnOnce(&Path, &Logs),
) -> Option<String> {
    let directory = logs.system.directory().join(format!("damaged-{index}"));
    copy(&logs.data, &directory);
    damage(&directory, logs);
    let before = files(&directory);
    let output =
        run_to_end("keyglass-log-server", &serve(&directory, &logs.system.policy, "127.0.0.1:0")).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let place = if names.is_empty() { directory.clone() } else { directory.join(names) };
    let says =
        |line: &str| line.starts_with("keyglass-log-server: ") && line.contains(place.to_str().unwrap());
    let said = words.lines().any(says);
    let good = output.status.code() == Some(REFUSED)
        && output.stdout.is_empty()
        && said
        && files(&directory) == before;
    (!good).then(|| format!("{what}: {:?}, {words}", output.status.code()))
}

#[tokio::test]
async fn damaged_and_foreign_directories_of_a_log_server_are_refused() {
    let logs = logs().await;
    type Damage = fn(&Path, &Logs);
    let cases: [(&str, &str, Damage); 21] = [
        ("no directory", "", |d, _| fs::remove_dir_all(d).unwrap()),
        ("an empty directory", "", |d, _| {
            fs::remove_dir_all(d).unwrap();
            fs::create_dir(d).unwrap();
        }),
        ("a witness's directory", "", |d, logs| {
            fs::remove_dir_all(d).unwrap();
            copy(&logs.system.directory().join("w1"), d);
        }),
        ("no marker", "", |d, _| fs::remove_file(d.join("log-server")).unwrap()),
        ("another format", "log-server", |d, _| fs::write(d.join("log-server"), "format 2\n").unwrap()),
        ("no configuration", "configuration", |d, _| fs::remove_file(d.join("configuration")).unwrap()),
        ("half a configuration", "", |d, _| cut_in_half(&d.join("configuration"))),
        ("a flipped configuration", "", |d, _| {
            let last = fs::metadata(d.join("configuration")).unwrap().len() as usize - 2;
            flip(&d.join("configuration"), last);
        }),
        ("no key", "", |d, _| fs::remove_file(d.join("log.key")).unwrap()),
        ("half a key", "log.key", |d, _| cut_in_half(&d.join("log.key"))),
        ("a key that others may read", "vrf.key", |d, _| {
            fs::set_permissions(d.join("vrf.key"), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("another log's key", "", |d, logs| copy_file(&logs.other, d, "log.key")),
        ("another log's VRF key", "", |d, logs| copy_file(&logs.other, d, "vrf.key")),
        ("a token key that is none", "token.key", |d, _| fs::write(d.join("token.key"), "00\n").unwrap()),
        ("no database", "db", |d, _| fs::remove_dir_all(d.join("db")).unwrap()),
        ("another log's database", "db", |d, logs| {
            fs::remove_dir_all(d.join("db")).unwrap();
            copy(&logs.other.join("db"), &d.join("db"));
        }),
        ("no CURRENT", "db", |d, _| fs::remove_file(d.join("db/CURRENT")).unwrap()),
        ("a CURRENT that names nothing", "db", |d, _| {
            fs::write(d.join("db/CURRENT"), "MANIFEST-999999\n").unwrap()
        }),
        ("a table that is gone", "db", |d, _| fs::remove_file(of_database(d, ".sst")).unwrap()),
        ("half a table", "db", |d, _| cut_in_half(&of_database(d, ".sst"))),
        ("damage at the start of the write-ahead log", "db", |d, _| flip(&of_database(d, ".log"), 20)),
    ];
    let mut defects = Vec::new();
    let count = cases.len();
    for (index, (what, names, damage)) in cases.into_iter().enumerate() {
        defects.extend(refuses(&logs, index, what, names, damage).await);
    }
    println!("directories of a log-server: {count} cases");
    assert!(defects.is_empty(), "{} defects:\n{}", defects.len(), defects.join("\n"));
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_left_alone() {
    let system = System::start(QUIET).await.unwrap();
    let api = api(&system);
    let output =
        run_to_end("keyglass-log-server", &serve(&system.log.data, &system.policy, "127.0.0.1:0")).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(REFUSED), "{words}");
    assert!(words.contains(system.log.data.join("db").to_str().unwrap()), "{words}");
    publish(&api, &Account::new(&api.origin, "still-there", 1)).await;
    // Not even an empty directory is taken for a new log without being asked, nor a full one when asked.
    let data = system.log.data.display().to_string();
    let init = ["init", "--data", &data, "--prefix", "x.example"].map(str::to_owned);
    let output = run_to_end("keyglass-log-server", &init).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(&data));
    publish(&api, &Account::new(&api.origin, "still-here", 1)).await;
}

#[tokio::test]
async fn damaged_and_foreign_directories_of_a_witness_are_refused() {
    let mut system = System::start(QUIET).await.unwrap();
    let api = api(&system);
    publish(&api, &Account::new(&api.origin, "cosigned", 1)).await;
    let place = WitnessPlace::of(&system, 0);
    system.witnesses.remove(0).stop().await.unwrap();
    type Damage = fn(&Path, &System);
    let cases: [(&str, Damage); 7] = [
        ("no directory", |d, _| fs::remove_dir_all(d).unwrap()),
        ("a log-server's directory", |d, system| {
            fs::remove_dir_all(d).unwrap();
            copy(&system.log.data, d);
        }),
        ("no key", |d, _| fs::remove_file(d.join("witness.key")).unwrap()),
        ("another witness's key", |d, system| copy_file(&system.directory().join("w2"), d, "witness.key")),
        ("no state", |d, _| fs::remove_file(d.join("witness.redb")).unwrap()),
        ("half a state", |d, _| cut_in_half(&d.join("witness.redb"))),
        ("a state that is none", |d, _| fs::write(d.join("witness.redb"), vec![7; 9000]).unwrap()),
    ];
    let mut defects = Vec::new();
    for (index, (what, damage)) in cases.into_iter().enumerate() {
        let data = system.directory().join(format!("damaged-{index}"));
        copy(&place.data, &data);
        damage(&data, &system);
        let output = run_to_end("keyglass-witness", &serve(&data, &place.policy, "127.0.0.1:0")).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = words.contains(data.to_str().unwrap());
        if output.status.code() != Some(REFUSED) || !said || !output.stdout.is_empty() {
            defects.push(format!("{what}: {:?}, {words}", output.status.code()));
        }
    }
    println!("directories of a witness: {} cases", cases.len());
    assert!(defects.is_empty(), "{} defects:\n{}", defects.len(), defects.join("\n"));
}
