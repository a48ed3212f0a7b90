//! TLS for everything that goes out: rustls with ring, the built-in roots or those of a CA file.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The CA file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not readable, or not PEM.
    #[error("CA file {path}: {why}: give a readable PEM file with --ca-file")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// No certificate in it.
    #[error("CA file {0} holds no certificate: give a PEM file with at least one")]
    Empty(String),
    /// The provider lacks a protocol version: a fault of the build.
    #[error("TLS: {0}")]
    Provider(#[from] rustls::Error),
}

/// Client configuration that trusts the web's roots, or only those in `ca_file`.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca_file {
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
        Some(path) => roots_of(path)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let file_error = |why: String| TlsError::File {
        path: path.display().to_string(),
        why,
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|e| file_error(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| file_error(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| file_error(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty(path.display().to_string()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roots_make_a_configuration() {
        assert!(client_config(None).is_ok());
    }

    #[test]
    fn a_bad_ca_file_is_named() {
        let dir = tempfile::tempdir().expect("directory");
        let missing = client_config(Some(&dir.path().join("none.pem"))).expect_err("missing");
        assert!(missing.to_string().contains("none.pem"), "{missing}");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing\n").expect("write");
        assert!(matches!(
            client_config(Some(&empty)),
            Err(TlsError::Empty(_))
        ));
        let broken = dir.path().join("broken.pem");
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&broken, pem).expect("write");
        assert!(matches!(
            client_config(Some(&broken)),
            Err(TlsError::File { .. })
        ));
    }
}
