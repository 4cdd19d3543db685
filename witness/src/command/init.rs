//! `init`: a new witness.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use keyglass_crypto::sealed::Passphrase;
use keyglass_tlog::note::{KeyName, Vkey};
use keyglass_witness::{
    key,
    store::{self, STATE_FILE},
};

use super::CommandError;

/// Makes a key and an empty state in `data`, which is made if it is not there.
pub(super) fn run(data: &Path, name: KeyName, passphrase: Option<&Passphrase>) -> Result<Vkey, CommandError> {
    let failed = |source: io::Error| CommandError::Directory { path: data.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    if key::exists(data) {
        return Err(CommandError::AlreadyMade(data.to_owned()));
    }
    if fs::symlink_metadata(data.join(STATE_FILE)).is_ok() {
        return Err(CommandError::NoKey(data.join(STATE_FILE)));
    }
    let cosigner = key::generate(name)?;
    // The state comes first: a key without state could be taken for one that has signed nothing yet.
    store::create(data, cosigner.vkey())?;
    key::save(data, &cosigner, passphrase)?;
    Ok(cosigner.vkey().clone())
}
