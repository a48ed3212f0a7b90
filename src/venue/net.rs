//! Outgoing connections: resolve, connect, TLS. Everything has an end in time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dns::{DnsError, Resolver};
use super::url::BaseUrl;

/// One address: TCP's own three retries of a lost SYN take 7 s.
const TCP_TIMEOUT: Duration = Duration::from_secs(7);
/// The TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// A byte stream to a venue, plain or TLS.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// No connection.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// TCP, at every address.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// TLS: certificate, protocol, or a peer that speaks something else.
    #[error("TLS with {0}: {1}; behind an inspecting proxy, give its CA with --ca-file")]
    Tls(String, std::io::Error),
    /// The host is no name that a certificate could carry.
    #[error("{0:?} is no host name for TLS")]
    Name(String),
}

/// How to get out: resolver and TLS trust. Cheap to clone.
#[derive(Clone)]
pub struct Net {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

impl Net {
    /// From its parts.
    pub fn new(resolver: Resolver, tls: Arc<ClientConfig>) -> Self {
        Self { resolver, tls }
    }

    /// The resolver, for clients that connect by themselves.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Connects to the host of `url`, trying its addresses in turn.
    pub async fn connect(&self, url: &BaseUrl) -> Result<Box<dyn Io>, NetError> {
        let stream = self.tcp(url).await?;
        if !url.tls {
            return Ok(Box::new(stream));
        }
        let name =
            ServerName::try_from(url.host.clone()).map_err(|_| NetError::Name(url.host.clone()))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = timeout(TLS_TIMEOUT, connector.connect(name, stream))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|e| NetError::Tls(url.authority(), e))?;
        Ok(Box::new(stream))
    }

    async fn tcp(&self, url: &BaseUrl) -> Result<TcpStream, NetError> {
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for address in self.resolver.lookup(&url.host, url.port).await? {
            let attempt = timeout(TCP_TIMEOUT, TcpStream::connect(address)).await;
            match attempt.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    if let Err(e) = stream.set_nodelay(true) {
                        tracing::debug!(error = %e, "TCP_NODELAY not set");
                    }
                    return Ok(stream);
                }
                Err(e) => last = e,
            }
        }
        Err(NetError::Connect(url.authority(), last))
    }
}
