//! `keys`: what a log signs its heads with.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keyglass_log_server::{
    data_dir::{Place, read_identity},
    signing_keys::{self, Kind},
};
use keyglass_tlog::note::{KeyId, Vkey};
use rand::{
    SeedableRng as _,
    rngs::{StdRng, SysRng},
};

use super::{CommandError, print_line};

/// What to do with the keys.
#[derive(clap::Subcommand)]
pub(super) enum KeysCommand {
    /// Print the log's verifier keys, origin and configuration
    List,
    /// Draw one more key, of Ed25519 or with --ml-dsa of ML-DSA-44. Heads carry a signature of every key
    Add,
    /// Destroy a key
    ///
    /// If the configuration names it, another Ed25519 key takes its place there; the log stays the same log. Whoever knows
    /// none of the other keys refuses the log's heads from then on.
    Retire {
        /// The key: its verifier key, or the id in that (eight hexadecimal digits)
        #[arg(value_name = "VKEY", value_parser = parse_id)]
        key: KeyId,
    },
}

fn parse_id(text: &str) -> Result<KeyId, String> {
    if let Ok(vkey) = Vkey::parse(text) {
        return Ok(vkey.id());
    }
    let mut id = [0; 4];
    hex::decode_to_slice(text, &mut id).map_err(|_| "neither a verifier key nor a key id".to_owned())?;
    Ok(KeyId(id))
}

/// Runs the command.
pub(super) fn run(place: Place<'_>, command: &KeysCommand, ml_dsa: bool) -> Result<(), CommandError> {
    match command {
        KeysCommand::List => {}
        KeysCommand::Add => {
            let kind = if ml_dsa { Kind::MlDsa44 } else { Kind::Ed25519 };
            let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(std::io::Error::other)?;
            signing_keys::add(place, kind, &mut rng)?;
        }
        KeysCommand::Retire { key } => signing_keys::retire(place, *key)?,
    }
    print_identity(place)
}

/// Prints what others need to know of a log.
pub(super) fn print_identity(place: Place<'_>) -> Result<(), CommandError> {
    let identity = read_identity(place)?;
    let vkeys: Vec<String> = identity.log_vkeys.iter().map(Vkey::to_string).collect();
    let printed = serde_json::json!({
        "vkey": vkeys.first(),
        "vkeys": vkeys,
        "origin": identity.origin,
        "configuration": STANDARD.encode(&identity.encoded),
    });
    print_line(&printed.to_string())
}
