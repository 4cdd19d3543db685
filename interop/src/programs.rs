//! Building the Go programs: versions are pinned by `go.mod` and `go.sum`, sources come through the Go client and stay
//! in its cache, and what is built lies beside this workspace's own programs.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use thiserror::Error;

/// The modules under `interop/go`, each with what is built of it.
const MODULES: [(&str, &[&str]); 2] = [
    ("programs", &["tool", "./judge", "./agent", "./litelogs", "./tesseralog"]),
    ("omniwitness", &["tool", "./feed"]),
];

/// What Go says where a module cannot be had, which is no fault of this workspace's.
const UNREACHABLE: [&str; 9] = [
    "dial tcp",
    "no such host",
    "connection refused",
    "i/o timeout",
    "Forbidden",
    "not available",
    "GOPROXY=off",
    "go.mod requires go >=",
    "TLS handshake",
];

/// Why there are no programs.
#[derive(Debug, Error)]
pub enum BuildError {
    /// They cannot be built on this machine: the tests that need them are skipped.
    #[error("{0}")]
    Unavailable(String),
    /// They should have been built.
    #[error("go {arguments} in {module}: {stderr}")]
    Failed {
        /// The module.
        module: &'static str,
        /// The arguments of `go`.
        arguments: String,
        /// What it said.
        stderr: String,
    },
    /// A file could not be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The programs, built.
#[derive(Debug)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// The path of one of them.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Builds the programs, once in a process. Go's own cache makes it quick where nothing has changed.
///
/// # Errors
/// [`BuildError`].
pub fn build() -> Result<&'static Programs, &'static BuildError> {
    static BUILT: OnceLock<Result<Programs, BuildError>> = OnceLock::new();
    BUILT.get_or_init(build_all).as_ref()
}

fn build_all() -> Result<Programs, BuildError> {
    let go = find_go().ok_or_else(|| BuildError::Unavailable("no Go".to_owned()))?;
    let top = directory();
    let (source, directory) = (top.join("source"), top.join("bin"));
    let lock_path = top.join("lock");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::File { path, source }
    };
    fs::create_dir_all(&directory).map_err(failed(&directory))?;
    let lock = fs::File::create(&lock_path).map_err(failed(&lock_path))?;
    lock.lock().map_err(failed(&lock_path))?;
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("go"), &source)?;
    for (module, packages) in MODULES {
        let place = source.join(module);
        if module == "omniwitness" {
            supply_merkle(&go, &place)?;
        }
        // Loading the packages fetches them: what fails here, fails for want of a module.
        run(&go, &place, module, &[&["list", "-deps"], packages].concat())?;
        let output = directory.display().to_string();
        run(&go, &place, module, &[&["build", "-trimpath", "-o", &output], packages].concat())?;
    }
    Ok(Programs { directory })
}

/// Where everything is built: beside this workspace's programs.
fn directory() -> PathBuf {
    let own = std::env::current_exe().ok();
    let release = own.as_deref().and_then(|own| own.ancestors().find(|path| path.ends_with("release")));
    release.map_or_else(std::env::temp_dir, Path::to_owned).join("interop-go")
}

fn find_go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/local/go/bin")])
        .map(|directory| directory.join("go"))
        .find(|go| go.is_file())
}

fn run(
    go: &Path,
    place: &Path,
    module: &'static str,
    arguments: &[impl AsRef<OsStr>],
) -> Result<Output, BuildError> {
    let output = Command::new(go)
        .args(arguments)
        .current_dir(place)
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BuildError::File { path: go.to_owned(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if let Some(why) = stderr.lines().find(|line| UNREACHABLE.iter().any(|word| line.contains(word))) {
        return Err(BuildError::Unavailable(why.to_owned()));
    }
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
    Err(BuildError::Failed { module, arguments: arguments.join(" "), stderr })
}

/// Puts the last version of the Merkle module that is served in place of the one that the witness asks for, together
/// with the function that it lacks.
fn supply_merkle(go: &Path, place: &Path) -> Result<(), BuildError> {
    let arguments = ["mod", "download", "-json", "github.com/transparency-dev/merkle@v0.0.2"];
    // The other module's go.sum has the checksum.
    let other = place.with_file_name("programs");
    let output = run(go, &other, "programs", &arguments)?;
    let missing = || BuildError::Unavailable("go mod download named no folder".to_owned());
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| missing())?;
    let downloaded = answer.get("Dir").and_then(Value::as_str).ok_or_else(missing)?;
    let merkle = place.join("merkle");
    copy(Path::new(downloaded), &merkle)?;
    copy_file(&place.join("subtree.go.txt"), &merkle.join("proof/subtree.go"))
}

/// Copies a folder, over what is there.
fn copy(from: &Path, to: &Path) -> Result<(), BuildError> {
    let failed = |source| BuildError::File { path: from.to_owned(), source };
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Copies a file's contents but not its mode: Go's cache is read-only. Unchanged files are left, for Go's sake.
fn copy_file(from: &Path, to: &Path) -> Result<(), BuildError> {
    let failed = |path: &Path, source| BuildError::File { path: path.to_owned(), source };
    let contents = fs::read(from).map_err(|source| failed(from, source))?;
    if fs::read(to).is_ok_and(|there| there == contents) {
        return Ok(());
    }
    fs::write(to, contents).map_err(|source| failed(to, source))
}
