//! `init`: a new witness. `add-key`: another key for one.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use keyglass_crypto::sealed::Passphrase;
use keyglass_tlog::{cosignature::Cosigner, note::KeyName};
use keyglass_witness::{
    key::{self, KeyType},
    store::{self, STATE_FILE},
};

use super::{
    CommandError,
    options::{InitOptions, OnlyKey},
    vkeys,
};

fn name_of(key_type: KeyType, name: &KeyName, options: &InitOptions) -> KeyName {
    let own = options.ml_dsa_name.as_ref().filter(|_| key_type == KeyType::MlDsa44);
    own.unwrap_or(name).clone()
}

/// Makes keys and an empty state in `data`, which is made if it is not there.
pub(super) fn run(
    data: &Path,
    name: &KeyName,
    options: &InitOptions,
    passphrase: Option<&Passphrase>,
) -> Result<Vec<Cosigner>, CommandError> {
    let failed = |source: io::Error| CommandError::Directory { path: data.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    if KeyType::ALL.into_iter().any(|key_type| key::exists(data, key_type)) {
        return Err(CommandError::AlreadyMade(data.to_owned()));
    }
    if fs::symlink_metadata(data.join(STATE_FILE)).is_ok() {
        return Err(CommandError::NoKey(data.join(STATE_FILE)));
    }
    let wanted = |key_type: &KeyType| match options.only {
        None => true,
        Some(OnlyKey::Ed25519) => *key_type == KeyType::Ed25519,
        Some(OnlyKey::MlDsa44) => *key_type == KeyType::MlDsa44,
    };
    let make = |key_type| key::generate(key_type, name_of(key_type, name, options));
    let cosigners: Vec<Cosigner> =
        KeyType::ALL.into_iter().filter(wanted).map(make).collect::<Result<_, _>>()?;
    // The state comes first: a key without state could be taken for one that has signed nothing yet.
    store::create(data, &vkeys(&cosigners))?;
    cosigners.iter().try_for_each(|cosigner| key::save(data, cosigner, passphrase))?;
    Ok(cosigners)
}

/// Makes the key that is missing, under the name of the one that is there unless the options have another.
pub(super) fn add_key(
    data: &Path,
    options: &InitOptions,
    passphrase: Option<&Passphrase>,
) -> Result<Vec<Cosigner>, CommandError> {
    let before = key::load(data, passphrase)?;
    let missing = KeyType::ALL.into_iter().find(|key_type| !key::exists(data, *key_type));
    match (missing, before.first()) {
        (Some(missing), Some(first)) => {
            // What would refuse the new key must do so before it is there.
            store::bind(data, &vkeys(&before))?;
            let name = options.name.as_ref().unwrap_or(first.vkey().name());
            key::save(data, &key::generate(missing, name_of(missing, name, options))?, passphrase)?;
        }
        // A key that the state does not know yet is what an add-key that was cut off has left.
        _ => {
            if store::DurableStore::open(data, &vkeys(&before)).is_ok() {
                return Err(CommandError::NoKeyToAdd(data.to_owned()));
            }
        }
    }
    let cosigners = key::load(data, passphrase)?;
    store::bind(data, &vkeys(&cosigners))?;
    Ok(cosigners)
}
