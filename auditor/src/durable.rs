//! Files that are there whole or not at all, also after the machine lost its power: written beside their place, made durable,
//! and renamed; then the directory is made durable, without which the new name could be lost.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// What the name of a file ends with while it is written. Such a file was never reported, and the next attempt replaces it.
pub const UNFINISHED: &str = ".unfinished";

/// Replaces a file.
///
/// # Errors
/// From the operating system; then the file is as it was.
pub fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut name = OsString::from(path);
    name.push(UNFINISHED);
    let unfinished = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_parent(path)
}

/// Makes a directory, and those above it that are not there.
///
/// # Errors
/// From the operating system.
pub fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    let missing =
        path.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir());
    let missing: Vec<&Path> = missing.collect();
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    missing.into_iter().try_for_each(sync_parent)
}

/// Makes durable what happened in a directory.
///
/// # Errors
/// From the operating system.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|directory| directory.sync_all())
}

/// Makes durable what happened in the directory that this is in.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("a").join("b");
        create_directory(&home, 0o700).unwrap();
        create_directory(&home, 0o700).unwrap();
        assert_eq!(home.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let file = home.join("file");
        // What a crash left is in nobody's way.
        fs::write(home.join("file.unfinished"), "half of something longer").unwrap();
        for text in ["one", "another"] {
            write(&file, 0o600, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
        assert!(write(&home.join("none").join("file"), 0o600, b"").is_err());
    }
}
