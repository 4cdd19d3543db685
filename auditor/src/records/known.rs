//! Heads that are remembered: where they came from and how they stand to what was replayed.

use core::fmt;

use keyglass_tlog::{policy::Name, time::UnixMillis};
use serde::Serialize;

use crate::head::SignedHead;

/// Who showed a head first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The log itself.
    Log,
    /// The witness with this name in the policy.
    Witness(Name),
    /// The log at another of its URLs.
    Mirror(String),
    /// The auditor with this name in the configuration.
    Auditor(String),
    /// The peer with this name in the configuration.
    Peer(String),
    /// Somebody who reported it.
    Client,
}

impl Source {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "log" => Some(Self::Log),
            "client" => Some(Self::Client),
            _ => {
                let (kind, name) = text.split_once(' ')?;
                match kind {
                    "witness" => Some(Self::Witness(name.into())),
                    "mirror" => Some(Self::Mirror(name.to_owned())),
                    "auditor" => Some(Self::Auditor(name.to_owned())),
                    "peer" => Some(Self::Peer(name.to_owned())),
                    _ => None,
                }
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Client => f.write_str("client"),
            Self::Witness(name) => write!(f, "witness {name}"),
            Self::Mirror(url) => write!(f, "mirror {url}"),
            Self::Auditor(name) => write!(f, "auditor {name}"),
            Self::Peer(name) => write!(f, "peer {name}"),
        }
    }
}

/// How a head stands to what was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// What was replayed begins with its tree.
    Agrees,
    /// It is larger than what was replayed: still to be compared.
    Open,
    /// It does not agree, and there is no evidence yet.
    Disputed,
    /// It does not agree, and there is evidence.
    Contradicts,
}

impl Standing {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Agrees => 0,
            Self::Open => 1,
            Self::Disputed => 2,
            Self::Contradicts => 3,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Agrees, Self::Open, Self::Disputed, Self::Contradicts].get(usize::from(number)).copied()
    }
}

/// A head that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The head, with the lines of everybody who showed it.
    pub head: SignedHead,
    /// How it stands.
    pub standing: Standing,
    /// When it was first seen, by this auditor's clock.
    pub first_seen: UnixMillis,
    /// Who showed it first.
    pub source: Source,
}
