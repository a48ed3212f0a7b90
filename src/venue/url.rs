//! Base URLs of venues: scheme, host, port and an optional path in front.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// Where a venue's REST or WebSocket side lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Whether to speak TLS (`https`, `wss`).
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path that comes before every target, without a slash at its end.
    pub prefix: String,
}

/// The text is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no base URL: write http://, https://, ws:// or wss://, a host, and a port if needed"
)]
pub struct UrlError(String);

impl FromStr for BaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UrlError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| error())?;
        let (tls, port) = match uri.scheme_str() {
            Some("http" | "ws") => (false, 80),
            Some("https" | "wss") => (true, 443),
            _ => return Err(error()),
        };
        let authority = uri.authority().ok_or_else(error)?;
        let host = authority.host().trim_matches(['[', ']']);
        // A port that is none would pass for none given.
        let named = authority.as_str().len() > authority.host().len();
        if named && uri.port_u16().is_none() {
            return Err(error());
        }
        if host.is_empty() || authority.as_str().contains('@') || uri.query().is_some() {
            return Err(error());
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(port),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl BaseUrl {
    /// Path and query of `target` (which begins with a slash) at this base.
    pub fn target(&self, target: &str) -> String {
        format!("{}{target}", self.prefix)
    }

    /// Value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == if self.tls { 443 } else { 80 } {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let security = if self.tls { "TLS" } else { "plain" };
        write!(f, "{}{} ({security})", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_url() {
        let url: BaseUrl = "wss://stream.binance.com:9443".parse().expect("URL");
        assert_eq!((url.tls, url.port, url.prefix.as_str()), (true, 9443, ""));
        assert_eq!(url.authority(), "stream.binance.com:9443");
        let url: BaseUrl = "http://[::1]/a/b/".parse().expect("URL");
        assert_eq!((url.host.as_str(), url.port), ("::1", 80));
        assert_eq!(url.target("/c?d=e"), "/a/b/c?d=e");
        assert_eq!(url.authority(), "[::1]");
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in [
            "",
            "localhost",
            "localhost:80",
            "ftp://x",
            "http://",
            "http://u:p@x",
            "https://x?y=z",
            "/path",
            "http://x:99999",
            "http://x:",
            "http://x y",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
