//! Telling a command: a program that is run without a shell, with the notice as JSON on its standard input.

use std::{path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// Where programs that the command starts are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command has not taken a notice.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It cannot be run.
    #[error("cannot be run: {0}")]
    Spawn(std::io::Error),
    /// It ran for too long, and was killed with everything that it started.
    #[error("killed after {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It ended, and says that it failed; the code is absent if a signal ended it.
    #[error("ended with {}", .0.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}")))]
    Failed(Option<i32>),
}

/// Kills a process group, unless the process that leads it has been waited for.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Nobody is left, or nothing helps.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Runs a command. Code 0 says that the notice was taken. Its environment has a PATH and nothing else.
///
/// # Errors
/// [`CommandError`].
pub async fn run(
    program: &Path,
    arguments: &[String],
    body: &[u8],
    timeout: Duration,
) -> Result<(), CommandError> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map_err(CommandError::Spawn)?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut group = Group(leader);
    let told = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A command need not read what it is told.
            let _ = stdin.write_all(body).await;
            let _ = stdin.shutdown().await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(timeout, told).await;
    match ended {
        Ok(Ok(status)) => {
            group.0 = None;
            if status.success() { Ok(()) } else { Err(CommandError::Failed(status.code())) }
        }
        Ok(Err(error)) => Err(CommandError::Spawn(error)),
        Err(_) => {
            drop(group);
            // So that no zombie stays: it was killed, and ends now.
            let _ = child.wait().await;
            Err(CommandError::TimedOut(timeout))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: String) -> (std::path::PathBuf, Vec<String>) {
        ("/bin/sh".into(), vec!["-c".to_owned(), script])
    }

    #[tokio::test]
    async fn a_command_reads_the_notice_and_sees_nothing_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let (program, arguments) = shell(format!("cat > {0}; env >> {0}", out.display()));
        run(&program, &arguments, b"{\"id\":1}\n", LONG).await.unwrap();
        let read = fs::read_to_string(&out).unwrap();
        assert!(read.starts_with("{\"id\":1}\n"), "{read}");
        assert!(!read.contains("CARGO"), "{read}");
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let failed = |script: &str| {
            let (program, arguments) = shell(script.to_owned());
            async move { run(&program, &arguments, b"{}", LONG).await }
        };
        assert!(matches!(failed("exit 3").await, Err(CommandError::Failed(Some(3)))));
        assert!(matches!(failed("kill -9 $$").await, Err(CommandError::Failed(None))));
        let none = run(Path::new("/does/not/exist"), &[], b"{}", LONG).await;
        assert!(matches!(none, Err(CommandError::Spawn(_))));
        // Arguments are arguments, whatever a shell would make of them.
        let echo = vec!["$(exit 1)".to_owned(), "; exit 1".to_owned()];
        assert!(run(Path::new("/bin/true"), &echo, b"{}", LONG).await.is_ok());
    }

    /// The grandchild holds a pipe open until it is dead: then the reader sees its end.
    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (program, arguments) = shell(format!("(echo alive; sleep 1000) > {} & wait", pipe.display()));
        let reader = tokio::task::spawn_blocking({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        let ended = run(&program, &arguments, b"{}", Duration::from_millis(500)).await;
        assert!(matches!(ended, Err(CommandError::TimedOut(_))));
        assert_eq!(reader.await.unwrap(), "alive\n");
    }
}
