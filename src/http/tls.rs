//! TLS of the server: rustls with ring, TLS 1.2 and 1.3, a certificate that can be replaced while
//! connections are open.
//!
//! Invariant: what is in force has been checked as a whole; a new pair that does not fit leaves the
//! old one in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::tokens::hex;

/// The certificate or the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not readable, or not PEM.
    #[error("{key} = {path}: {why}: name a readable PEM file")]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// They do not go together, or are of a kind that is not supported.
    #[error("http.tls_cert = {cert} with http.tls_key = {key}: {error}")]
    Pair {
        /// The file of the certificates.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the library says.
        error: rustls::Error,
    },
}

/// A certificate with its key, ready for use.
#[derive(Debug)]
struct Pair {
    config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, which people compare.
    fingerprint: String,
}

/// The TLS side of a listening socket.
#[derive(Debug)]
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    pair: ArcSwap<Pair>,
}

impl Tls {
    /// Reads the chain, leaf first, and its key.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = read(cert, key)?;
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            pair: ArcSwap::from_pointee(pair),
        })
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.pair.load().config))
    }

    /// Reads both files anew. Returns the fingerprints, old and new; on an error the old pair stays.
    pub(crate) fn reload(&self) -> Result<(String, String), TlsError> {
        let pair = read(&self.cert, &self.key)?;
        let new = pair.fingerprint.clone();
        let old = self.pair.swap(Arc::new(pair)).fingerprint.clone();
        Ok((old, new))
    }
}

fn read(cert: &Path, key: &Path) -> Result<Pair, TlsError> {
    let file = |setting, path: &Path, why: String| TlsError::File {
        key: setting,
        path: path.to_owned(),
        why,
    };
    let in_cert = |why: String| file("http.tls_cert", cert, why);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .map_err(|e| in_cert(e.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|e| in_cert(e.to_string()))?;
    let leaf = chain
        .first()
        .ok_or_else(|| in_cert("there is no certificate in it".to_owned()))?;
    let fingerprint = hex(digest(&SHA256, leaf).as_ref());
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|e| file("http.tls_key", key, e.to_string()))?;
    let pair = |error| TlsError::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        error,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Pair {
        config: Arc::new(config),
        fingerprint,
    })
}
