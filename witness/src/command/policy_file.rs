//! The file with the policy.

use std::{fs::File, io::Read as _, path::Path};

use keyglass_tlog::policy::{MAX_POLICY_LEN, Policy};

use super::CommandError;

/// Reads and parses a policy.
pub(super) fn read(path: &Path) -> Result<Policy, CommandError> {
    let failed = |source| CommandError::PolicyFile { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_POLICY_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    Policy::parse(&bytes).map_err(|source| CommandError::Policy { path: path.to_owned(), source })
}

/// Reads a policy that is to be served.
pub(super) fn read_for_serving(path: &Path, allow_no_logs: bool) -> Result<Policy, CommandError> {
    let policy = read(path)?;
    if policy.logs().is_empty() && !allow_no_logs {
        return Err(CommandError::NoLogs(path.to_owned()));
    }
    Ok(policy)
}
