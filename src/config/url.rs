//! URLs in settings: base URLs of venues, and the store's URL, whose password is never printed.

use std::fmt;

/// Schemes of clusters.
const CLUSTER: &str = "redis-cluster";
const CLUSTER_TLS: &str = "rediss-cluster";

/// The URL of the store, with its password if it has one. Prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Checks `redis://`, `rediss://`, or for a cluster `redis-cluster://`, `rediss-cluster://`, with a host. The error
    /// never repeats the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("expected a URL such as redis://127.0.0.1:6379/0");
        };
        if !matches!(scheme, "redis" | "rediss" | CLUSTER | CLUSTER_TLS) {
            return Err(
                "expected the scheme redis:// or rediss:// (with TLS), for a cluster redis-cluster:// or \
                 rediss-cluster://",
            );
        }
        if text.len() > 2_048 || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("expected a URL of 2048 characters at most, without blanks");
        }
        if rest.contains(['?', '#']) {
            return Err(
                "expected a URL without query and fragment; percent-encode '?' and '#' in a password",
            );
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err("percent-encode '/' in the password as %2F");
        }
        if !path.is_empty() && path.parse::<u16>().is_err() {
            return Err("expected the number of a database behind the host, such as /0");
        }
        if scheme.ends_with("-cluster") && !matches!(path, "" | "0") {
            return Err("a cluster has one database: leave out the number behind the host");
        }
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        check_host(host)?;
        Ok(Self(text.to_owned()))
    }

    /// The URL with its password, for the client alone.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        self.0.contains('@')
    }

    /// Whether it stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.rsplit(['@']).next().map_or(self.0.as_str(), |rest| {
            rest.split_once("://").map_or(rest, |(_, rest)| rest)
        });
        host.starts_with("127.") || host.starts_with("[::1]") || host.starts_with("localhost")
    }

    /// Whether it asks for TLS.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("rediss")
    }

    /// Whether it names a node of a cluster.
    pub fn is_cluster(&self) -> bool {
        let scheme = self.0.split_once("://").map(|(scheme, _)| scheme);
        matches!(scheme, Some(CLUSTER | CLUSTER_TLS))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://***@{host}"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// A base URL with one of `schemes`; trailing slashes are cut, a path is kept.
pub(super) fn base_url(text: &str, schemes: [&str; 2]) -> Result<String, String> {
    let wrong = |why: &str| {
        format!(
            "expected a URL such as {}://host[:port][/path]: {why}",
            schemes[0]
        )
    };
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| wrong("no scheme in it"))?;
    if !schemes.contains(&scheme) {
        return Err(wrong(&format!(
            "the scheme must be {} or {}",
            schemes[0], schemes[1]
        )));
    }
    if text.len() > 2_048 || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("too long, or with blanks in it"));
    }
    if rest.contains(['?', '#', '@']) {
        return Err(wrong("no user, query or fragment"));
    }
    let rest = rest.trim_end_matches('/');
    check_host(rest.split('/').next().unwrap_or_default()).map_err(wrong)?;
    Ok(format!("{scheme}://{rest}"))
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn check_host(text: &str) -> Result<(), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']').ok_or("no ']' after the address")?;
        inside
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| "no IPv6 address between '[' and ']'")?;
        let port = match port {
            "" => None,
            port => Some(
                port.strip_prefix(':')
                    .ok_or("expected ':' and a port after ']'")?,
            ),
        };
        (inside, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("no host in it");
    }
    if !host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
    {
        return Err("the host has characters that no host name has");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Err("the port is no number up to 65535"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_printed() {
        for text in [
            "redis://:hunter2@localhost:6379/1",
            "rediss://user:hunter2@10.0.0.1",
            "redis-cluster://user:hunter2@10.0.0.1",
            "redis://user:hunt@hunter2@[::1]:7000",
        ] {
            let url = StoreUrl::parse(text).expect(text);
            assert_eq!(url.expose(), text);
            assert!(url.has_password());
            for shown in [url.to_string(), format!("{url:?}")] {
                assert!(!shown.contains("hunt"), "{shown}");
            }
        }
        assert_eq!(
            StoreUrl::parse("redis://u:p@h:1/0")
                .expect("url")
                .to_string(),
            "redis://***@h:1/0"
        );
    }

    #[test]
    fn what_is_no_store_url_is_refused() {
        for text in [
            "",
            "localhost:6379",
            "http://localhost",
            "redis://",
            "redis://:6379",
            "redis://h:99999",
            "redis://h/zero",
            "redis://:a/b@h",
            "redis://h?x=1",
            "redis-cluster://h/1",
            "redis-sentinel://h",
            "redis://h h",
            "redis://[::1",
            "redis://[zz]",
        ] {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base_urls_lose_their_trailing_slash_and_nothing_else() {
        assert_eq!(
            base_url("https://api.binance.com/", ["https", "http"]).as_deref(),
            Ok("https://api.binance.com")
        );
        assert_eq!(
            base_url("ws://127.0.0.1:9/streamspot", ["wss", "ws"]).as_deref(),
            Ok("ws://127.0.0.1:9/streamspot")
        );
        for text in [
            "api.binance.com",
            "ftp://x",
            "https://",
            "https://a:b",
            "https://u:p@h",
            "https://h?q",
            "https:// h",
        ] {
            assert!(base_url(text, ["https", "http"]).is_err(), "{text}");
        }
    }
}
