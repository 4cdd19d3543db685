//! TLS of the server's own: a certificate and its key from PEM files, which are read again on SIGHUP.
//!
//! Connections that are open keep what they were made with. A certificate that cannot be used is reported and changes
//! nothing, so that a half-written renewal does not stop a server.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use thiserror::Error;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{PrivateKeyDer, pem::PemObject as _},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};
use zeroize::Zeroizing;

pub use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::private_file::{self, Access, Kind, PrivateFileError};

/// The longest file of certificates or of a key that is read, in bytes.
const MAX_PEM_LEN: u64 = 1024 * 1024;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One of two options that need each other.
    #[error("--tls-cert and --tls-key need each other")]
    Incomplete,
    /// A file of certificates cannot be read.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A file of certificates is longer than any.
    #[error("{}: longer than {MAX_PEM_LEN} bytes", .0.display())]
    TooLong(PathBuf),
    /// A file has no certificate, or something that is none.
    #[error("{}: not a PEM file of certificates", .0.display())]
    NoCertificate(PathBuf),
    /// The key's file is refused.
    #[error(transparent)]
    KeyFile(#[from] PrivateFileError),
    /// A file has no private key.
    #[error("{}: not a PEM file of a private key", .0.display())]
    NoKey(PathBuf),
    /// Certificate and key cannot be used together.
    #[error("{} and {}: {error}", .cert.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library says.
        error: rustls::Error,
    },
    /// The TLS library has no use for the configuration.
    #[error("TLS cannot be set up: {0}")]
    Library(rustls::Error),
}

/// Options of a server for its TLS.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsOptions {
    /// Serve HTTPS: a PEM file with the server's certificate and those that lead to its root; needs --tls-key. Both are
    /// read again on SIGHUP
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The PEM file of the certificate's private key, which only its owner, or a group beside it, may read
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl TlsOptions {
    /// The TLS that is asked for, if any.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(&self) -> Result<Option<Tls>, TlsError> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Tls::load(cert.clone(), key.clone()).map(Some),
            _ => Err(TlsError::Incomplete),
        }
    }
}

/// Options of a program that asks others over HTTPS.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RootOptions {
    /// A PEM file with certificates of authorities that are trusted in outgoing HTTPS beside the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

impl RootOptions {
    /// The certificates of the file; none without the option.
    ///
    /// # Errors
    /// As [`read_certificates`].
    pub fn load(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        self.ca.as_deref().map_or(Ok(Vec::new()), read_certificates)
    }
}

/// Makes aws-lc-rs what TLS is computed with, here and in HTTP clients. For the beginning of `main`; again, it does
/// nothing.
pub fn install_provider() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Reads the certificates of a PEM file, such as that of a private authority.
///
/// # Errors
/// [`TlsError::Io`], [`TlsError::TooLong`], [`TlsError::NoCertificate`].
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PEM_LEN + 1).read_to_end(&mut pem));
    let length = read.map_err(|error| TlsError::Io { path: path.to_owned(), error })?;
    if u64::try_from(length).unwrap_or(u64::MAX) > MAX_PEM_LEN {
        return Err(TlsError::TooLong(path.to_owned()));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate(path.to_owned())),
    }
}

/// A server's side of TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Arc::new(Current(RwLock::new(read(&cert, &key, &provider)?)));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { cert, key, provider, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads certificate and key again, for connections from now on.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let next = read(&self.cert, &self.key, &self.provider)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Reads a certificate and a key that belongs to it.
fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(cert)?;
    let pem: Zeroizing<Vec<u8>> = private_file::read(key, Kind::File, Access::GroupReads, MAX_PEM_LEN)?;
    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    CertifiedKey::from_der(chain, secret, provider).map(Arc::new).map_err(|error| TlsError::Unusable {
        cert: cert.to_owned(),
        key: key.to_owned(),
        error,
    })
}

/// The certificate that is shown to whoever connects now.
struct Current(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(..)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
