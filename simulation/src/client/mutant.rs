//! Clients that are broken on purpose: each lacks one thing that the real one does. The invariants must notice every one.

/// How a client is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// It forgets which handshakes it has accepted.
    ForgetsHandshakes,
    /// It believes identities that only the provider vouches for.
    AcceptsResets,
    /// It uses heads that no quorum has cosigned.
    TrustsTheLogAlone,
    /// It shows a text before it has stored the session and erased the one-time key.
    ErasesLate,
    /// It acknowledges messages before it has stored them.
    AcknowledgesEarly,
    /// It does not look at the age of heads.
    IgnoresAge,
    /// It does not compare what its contacts say of the log.
    IgnoresViews,
    /// It forgets the version of an account that it has seen.
    ForgetsVersions,
    /// It does not look whether anything was published under its own label.
    IgnoresOwnLabel,
}

impl Mutant {
    /// Every way.
    pub const ALL: [Self; 9] = [
        Self::ForgetsHandshakes,
        Self::AcceptsResets,
        Self::TrustsTheLogAlone,
        Self::ErasesLate,
        Self::AcknowledgesEarly,
        Self::IgnoresAge,
        Self::IgnoresViews,
        Self::ForgetsVersions,
        Self::IgnoresOwnLabel,
    ];
}
