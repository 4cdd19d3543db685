//! A client's disk: what was written survives, what was not is gone. A crash can come before or after any write.

use std::collections::{BTreeMap, BTreeSet};

/// The client stopped. Everything that is not on its disk is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crashed;

/// What a disk holds.
///
/// `taken` is no file: the simulation notes there, in the same step as a file, what this state has taken in, so that putting
/// an old copy back takes the note back too.
#[derive(Debug, Clone, Default)]
pub struct Image {
    files: BTreeMap<&'static str, Vec<u8>>,
    /// The handshakes, one-time keys and texts that the durable state has taken in, each once, by hashes.
    pub taken: BTreeSet<[u8; 32]>,
}

/// A disk.
#[derive(Debug, Default)]
pub struct Disk {
    image: Image,
    crash_in: Option<u64>,
    backup: Option<Image>,
}

impl Disk {
    /// A file's contents.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<&[u8]> {
        self.image.files.get(name).map(Vec::as_slice)
    }

    /// Replaces a file. It is durable when this returns `Ok`, and may be when it does not.
    ///
    /// # Errors
    /// [`Crashed`].
    pub fn write(&mut self, name: &'static str, contents: Vec<u8>) -> Result<(), Crashed> {
        self.step()?;
        self.image.files.insert(name, contents);
        self.step()
    }

    /// Like [`Self::write`], and notes that the file's state has taken these in.
    ///
    /// # Errors
    /// [`Crashed`].
    pub fn write_with(
        &mut self,
        name: &'static str,
        contents: Vec<u8>,
        taken: impl IntoIterator<Item = [u8; 32]>,
    ) -> Result<(), Crashed> {
        self.step()?;
        self.image.files.insert(name, contents);
        self.image.taken.extend(taken);
        self.step()
    }

    /// A place where the client may crash.
    ///
    /// # Errors
    /// [`Crashed`], if it does.
    pub fn step(&mut self) -> Result<(), Crashed> {
        match self.crash_in {
            None => Ok(()),
            Some(0) => {
                self.crash_in = None;
                Err(Crashed)
            }
            Some(left) => {
                self.crash_in = Some(left - 1);
                Ok(())
            }
        }
    }

    /// Has the client crash after so many more steps, or not at all.
    pub fn crash_in(&mut self, steps: Option<u64>) {
        self.crash_in = steps;
    }

    /// Removes a file.
    pub fn lose(&mut self, name: &str) {
        self.image.files.remove(name);
    }

    /// Removes everything.
    pub fn lose_everything(&mut self) {
        self.image = Image::default();
    }

    /// What the disk holds.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Copies everything away.
    pub fn back_up(&mut self) {
        self.backup = Some(self.image.clone());
    }

    /// Puts a file back from the copy, as it was then. Says whether there is one.
    pub fn put_back(&mut self, name: &'static str) -> bool {
        let Some(backup) = &self.backup else { return false };
        let Some(contents) = backup.files.get(name) else { return false };
        self.image.files.insert(name, contents.clone());
        self.image.taken = backup.taken.clone();
        true
    }
}
