//! Host names to addresses, without getaddrinfo: a static glibc cannot load its name service.
//!
//! The system's `resolv.conf` and `hosts` are used; where there is no `resolv.conf` (an empty chroot,
//! a scratch container), public resolvers answer. Addresses and `localhost` need no query.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use fred::bytes_utils::Str;
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::FredResult;
use hickory_resolver::TokioAsyncResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfigGroup, ResolverConfig};
use hickory_resolver::system_conf::read_system_conf;

/// A whole look-up, with all its attempts, ends after this.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(8);
/// One query to one server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// A name could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The servers said no, or said nothing that helps.
    #[error("cannot resolve {host}: {why}")]
    Failed {
        /// The name.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// No server answered in time.
    #[error("cannot resolve {0}: no name server answered in 8 s; check /etc/resolv.conf")]
    Timeout(String),
}

/// Resolves names for every outgoing connection. Cheap to clone; the clones share one cache.
#[derive(Debug, Clone)]
pub struct Resolver {
    inner: TokioAsyncResolver,
}

impl Resolver {
    /// With the system's configuration, or public servers where it has none.
    pub fn from_system() -> Self {
        let (config, mut options) = match read_system_conf() {
            Ok((config, options)) if !config.name_servers().is_empty() => (config, options),
            Ok((_, options)) => (public_servers(), options),
            Err(e) => {
                tracing::warn!(error = %e, "no usable /etc/resolv.conf: asking public name servers");
                (
                    public_servers(),
                    hickory_resolver::config::ResolverOpts::default(),
                )
            }
        };
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 2;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Self {
            inner: TokioAsyncResolver::tokio(config, options),
        }
    }

    /// Addresses of `host`, IPv4 first; never empty.
    pub async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DnsError> {
        if let Some(known) = without_query(host) {
            return Ok(known
                .into_iter()
                .map(|ip| SocketAddr::new(ip, port))
                .collect());
        }
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, self.inner.lookup_ip(host))
            .await
            .map_err(|_| DnsError::Timeout(host.to_owned()))?
            .map_err(|e| DnsError::Failed {
                host: host.to_owned(),
                why: e.to_string(),
            })?;
        let mut addresses: Vec<SocketAddr> =
            answer.iter().map(|ip| SocketAddr::new(ip, port)).collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        if addresses.is_empty() {
            return Err(DnsError::Failed {
                host: host.to_owned(),
                why: "the name has no address".to_owned(),
            });
        }
        Ok(addresses)
    }
}

/// Cloudflare and Google, so that one of them being blocked is no outage.
fn public_servers() -> ResolverConfig {
    let mut servers = NameServerConfigGroup::cloudflare();
    servers.merge(NameServerConfigGroup::google());
    ResolverConfig::from_parts(None, Vec::new(), servers)
}

fn without_query(host: &str) -> Option<Vec<IpAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Some(vec![ip]);
    }
    // RFC 6761: never ask a server for localhost.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (name == "localhost" || name.ends_with(".localhost"))
        .then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

/// Fred's own resolver calls getaddrinfo. (Written out as the `async_trait` macro would.)
impl fred::types::Resolve for Resolver {
    fn resolve<'life0, 'async_trait>(
        &'life0 self,
        host: Str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = FredResult<Vec<SocketAddr>>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.lookup(&host, port)
                .await
                .map_err(|e| FredError::new(ErrorKind::IO, e.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fred::types::Resolve as _;

    #[tokio::test]
    async fn addresses_and_localhost_need_no_query() {
        let resolver = Resolver::from_system();
        for (host, first) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("localhost", "127.0.0.1:80"),
            ("LocalHost.", "127.0.0.1:80"),
            ("redis.localhost", "127.0.0.1:80"),
        ] {
            let found = resolver.lookup(host, 80).await.expect("known");
            assert_eq!(
                found.first().map(ToString::to_string).as_deref(),
                Some(first),
                "{host}"
            );
        }
        let for_fred = resolver
            .resolve(Str::from("localhost"), 6379)
            .await
            .expect("known");
        assert_eq!(for_fred.len(), 2);
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_is_an_error_with_its_name() {
        let error = Resolver::from_system()
            .lookup("no host", 80)
            .await
            .expect_err("no name");
        assert!(error.to_string().contains("no host"), "{error}");
    }
}
