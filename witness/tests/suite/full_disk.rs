//! The real program on a real file system that is full.

use std::{fs, io::Write as _, path::Path, process::Command};

use hyper::{Method, StatusCode};
use keyglass_tlog::witness::checkpoint_path;

use crate::{
    log::ORIGIN,
    process::{Home, add},
};

/// A small file system in memory, as long as it is not dropped. Only root may have one.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(path: &'a Path) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(path).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_signs_nothing_and_room_lets_it_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("small");
    let Some(_mounted) = Mounted::new(&path) else {
        println!("skipped: this user may not mount a tmpfs");
        return;
    };
    let home = Home::in_directory(path.join("data"));
    let running = home.start("127.0.0.1:0");
    let mut connection = running.connect().await;
    let log = &home.log;
    assert_eq!(add(&mut connection, log, 0, 1).await.status, StatusCode::OK);

    let filler = path.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    // The database has some room of its own, which the heads of other sizes use up.
    let (mut size, mut failed) = (1, None);
    while failed.is_none() && size < 1000 {
        let answer = add(&mut connection, log, size, size + 1).await;
        match answer.status {
            StatusCode::OK => size += 1,
            _ => failed = Some(answer),
        }
    }
    let Some(failed) = failed else {
        println!("the database needed no more room for {size} heads");
        return;
    };
    assert_eq!((failed.status, failed.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store-failed"));
    let ready = connection.send(Method::GET, "/readyz", String::new()).await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(file);
    fs::remove_file(&filler).unwrap();
    // The head that failed may have been stored; it was not answered, and asking again finds out.
    let again = add(&mut connection, log, size, size + 1).await;
    assert!(matches!(again.status, StatusCode::OK | StatusCode::CONFLICT), "{again:?}");
    assert_eq!(add(&mut connection, log, size + 1, size + 2).await.status, StatusCode::OK);
    let path = format!("/{}", checkpoint_path(ORIGIN));
    let served = connection.send(Method::GET, &path, String::new()).await.unwrap().body;
    assert!(served.starts_with(log.note(size + 2).text()));
    assert_eq!(connection.send(Method::GET, "/readyz", String::new()).await.unwrap().status, StatusCode::OK);
    assert!(running.terminate().0.success());
}
