//! The file of peers. `docs/operations/witness.md` describes it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The longest file, in bytes.
pub const MAX_PEERS_LEN: usize = 64 * 1024;
/// The most peers.
pub const MAX_PEERS: usize = 256;
/// The longest name of a peer, in bytes.
const MAX_NAME_LEN: usize = 64;
/// The longest URL, in bytes.
const MAX_URL_LEN: usize = 2048;

/// Why there are no peers.
#[derive(Debug, Error)]
pub enum PeersFileError {
    /// The file cannot be read.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// It is no file of peers.
    #[error("{}: {error}", .path.display())]
    Peers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: PeersError,
    },
}

/// Why a text is not a file of peers, and where; lines are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct PeersError {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub kind: PeersErrorKind,
}

/// What is wrong with a file of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeersErrorKind {
    /// Longer than [`MAX_PEERS_LEN`].
    #[error("the file is longer than {MAX_PEERS_LEN} bytes")]
    TooLong,
    /// An octet that is neither printable ASCII nor a tab, outside of comments too.
    #[error("the line has an octet other than printable ASCII and tabs")]
    BadOctet,
    /// Not three items.
    #[error("a line is `peer NAME URL`")]
    WrongItems,
    /// Not a name.
    #[error("a name is 1 to {MAX_NAME_LEN} letters, digits, dots, dashes, underscores and slashes")]
    BadName,
    /// Not a URL that paths can be appended to.
    #[error("not an http or https URL, without user, query and fragment")]
    BadUrl,
    /// A name or URL that an earlier line has.
    #[error("the name or the URL is listed twice")]
    Duplicate,
    /// Too many.
    #[error("more than {MAX_PEERS} peers")]
    TooMany,
}

/// A witness or an auditor to ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    name: String,
    url: String,
}

impl Peer {
    /// What this party calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The prefix of its paths, which ends in a slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Reads the file at this path.
///
/// # Errors
/// [`PeersFileError`].
pub fn read(path: &Path) -> Result<Vec<Peer>, PeersFileError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_PEERS_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| PeersFileError::Io { path: path.to_owned(), error })?;
    parse(&bytes).map_err(|error| PeersFileError::Peers { path: path.to_owned(), error })
}

/// Reads the text of a file of peers: `peer NAME URL` on a line, empty lines, and comments, whose first octet is `#`.
///
/// # Errors
/// [`PeersError`].
pub fn parse(file: &[u8]) -> Result<Vec<Peer>, PeersError> {
    if file.len() > MAX_PEERS_LEN {
        return Err(PeersError { line: 1, kind: PeersErrorKind::TooLong });
    }
    let (mut peers, mut names, mut urls) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (index, line) in file.split(|octet| *octet == b'\n').enumerate() {
        let failed = |kind| PeersError { line: index.saturating_add(1), kind };
        if !line.iter().all(|octet| matches!(octet, b'\t' | 0x20..=0x7e)) {
            return Err(failed(PeersErrorKind::BadOctet));
        }
        let line = core::str::from_utf8(line).map_err(|_| failed(PeersErrorKind::BadOctet))?;
        if line.starts_with('#') || line.trim_ascii().is_empty() {
            continue;
        }
        let items: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
        let ["peer", name, url] = items.as_slice() else {
            return Err(failed(PeersErrorKind::WrongItems));
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
        if name.len() > MAX_NAME_LEN || !name.bytes().all(named) {
            return Err(failed(PeersErrorKind::BadName));
        }
        let url = prefix(url).ok_or_else(|| failed(PeersErrorKind::BadUrl))?;
        if !names.insert((*name).to_owned()) || !urls.insert(url.clone()) {
            return Err(failed(PeersErrorKind::Duplicate));
        }
        if peers.len() >= MAX_PEERS {
            return Err(failed(PeersErrorKind::TooMany));
        }
        peers.push(Peer { name: (*name).to_owned(), url });
    }
    Ok(peers)
}

/// The URL with a slash at its end.
fn prefix(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split('/').next()?;
    let good = url.len() <= MAX_URL_LEN
        && !authority.is_empty()
        && !authority.contains('@')
        && !rest.contains(['?', '#', '\\']);
    good.then(|| if url.ends_with('/') { url.to_owned() } else { format!("{url}/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_peers() {
        let file =
            b"# of this network\n\npeer w2 https://witness.example/w2\n\tpeer  a/1\thttp://127.0.0.1:7390/\n";
        let peers = parse(file).unwrap();
        let all: Vec<_> = peers.iter().map(|peer| (peer.name(), peer.url())).collect();
        assert_eq!(all, [("w2", "https://witness.example/w2/"), ("a/1", "http://127.0.0.1:7390/")]);
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_file_of_peers_is_refused_by_line() {
        let many: String = (0..=MAX_PEERS).map(|i| format!("peer p{i} http://p{i}\n")).collect();
        let url = "x".repeat(MAX_URL_LEN);
        for (file, line, kind) in [
            ("x".repeat(MAX_PEERS_LEN + 1), 1, PeersErrorKind::TooLong),
            ("\npeer a\u{e9} http://a".into(), 2, PeersErrorKind::BadOctet),
            ("peer a http://a\r\n".into(), 1, PeersErrorKind::BadOctet),
            ("witness a http://a".into(), 1, PeersErrorKind::WrongItems),
            ("peer a".into(), 1, PeersErrorKind::WrongItems),
            ("peer a http://a b".into(), 1, PeersErrorKind::WrongItems),
            (format!("peer {} http://a", "a".repeat(65)), 1, PeersErrorKind::BadName),
            ("peer a:b http://a".into(), 1, PeersErrorKind::BadName),
            ("peer a ftp://a".into(), 1, PeersErrorKind::BadUrl),
            ("peer a http:///x".into(), 1, PeersErrorKind::BadUrl),
            ("peer a http://u:p@a".into(), 1, PeersErrorKind::BadUrl),
            ("peer a http://a/?q".into(), 1, PeersErrorKind::BadUrl),
            ("peer a http://a/#f".into(), 1, PeersErrorKind::BadUrl),
            (format!("peer a http://{url}"), 1, PeersErrorKind::BadUrl),
            ("peer a http://a\npeer a http://b".into(), 2, PeersErrorKind::Duplicate),
            ("peer a http://a\npeer b http://a/".into(), 2, PeersErrorKind::Duplicate),
            (many, MAX_PEERS + 1, PeersErrorKind::TooMany),
        ] {
            assert_eq!(parse(file.as_bytes()), Err(PeersError { line, kind }), "{file:.60}");
        }
    }
}
