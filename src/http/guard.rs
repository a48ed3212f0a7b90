//! Host and Origin are checked on every route, before anything else. A web page that rebinds its
//! DNS name to this machine sends its own name in `Host`; a page of another site that posts here
//! sends its own in `Origin`. Neither is on the list.

use std::net::SocketAddr;

use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::{Request, Uri};

use super::problem::{Code, Problem};

/// Names that always mean this machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The allow-list.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Authorities in lower case, each with and without the listening port.
    allowed: Vec<String>,
    /// The listening port.
    port: u16,
    /// Whether pages are served over TLS alone.
    secure: bool,
}

impl Guard {
    /// The local names and those `configured`. A name with a port allows exactly that, a name
    /// without one also allows the port of `listen`.
    pub(crate) fn new(listen: SocketAddr, configured: &[String], secure: bool) -> Self {
        let own =
            (!listen.ip().is_unspecified()).then(|| SocketAddr::new(listen.ip(), 0).to_string());
        let own = own.as_deref().and_then(|own| own.strip_suffix(":0"));
        let configured = configured.iter().map(String::as_str).chain(own);
        let mut allowed = Vec::new();
        for host in LOCAL.into_iter().chain(configured) {
            let host = host.to_ascii_lowercase();
            if !has_port(&host) {
                allowed.push(format!("{host}:{}", listen.port()));
            }
            allowed.push(host);
        }
        Self {
            allowed,
            port: listen.port(),
            secure,
        }
    }

    /// Refuses a request that was not meant for this server; `origin`: whether it names one.
    pub(crate) fn check<B>(&self, request: &Request<B>, origin: bool) -> Result<(), Box<Problem>> {
        self.check_host(request.uri(), request.headers())?;
        if origin {
            self.check_origin(request.headers())?;
        }
        Ok(())
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Problem>> {
        let bad = |detail: &str| {
            Problem::new(Code::BadHost, detail)
                .hint("send exactly one Host header, such as Host: localhost")
                .close()
        };
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().ok_or_else(|| bad("there is no Host header"))?;
        if hosts.next().is_some() {
            return Err(bad("there is more than one Host header"));
        }
        let host = host
            .to_str()
            .map_err(|_| bad("the Host header is not plain text"))?;
        if host.is_empty() {
            return Err(bad("the Host header is empty"));
        }
        self.check_authority(host)?;
        // A request line with a whole URL names its host a second time.
        match uri.authority() {
            Some(authority) => self.check_authority(authority.as_str()),
            None => Ok(()),
        }
    }

    fn check_authority(&self, authority: &str) -> Result<(), Box<Problem>> {
        if self.allows(authority) {
            return Ok(());
        }
        Err(Problem::new(
            Code::HostNotAllowed,
            format!("{authority:?} is not one of the hosts that this server answers for"),
        )
        .hint("call it by localhost, or add the name to the allowed hosts of the HTTP settings"))
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Box<Problem>> {
        for origin in headers.get_all(ORIGIN) {
            let authority = origin
                .to_str()
                .ok()
                .and_then(|o| match o.strip_prefix("https://") {
                    // What comes in clear may come from anybody on the way.
                    None if !self.secure => o.strip_prefix("http://"),
                    authority => authority,
                });
            // A local page without a port is another server's: ours has its port in its origin.
            let usual = if self.secure { 443 } else { 80 };
            let foreign =
                |a: &str| self.port != usual && LOCAL.iter().any(|l| l.eq_ignore_ascii_case(a));
            let ours = |a: &str| self.allows(a) && !foreign(a);
            if !authority.is_some_and(ours) {
                return Err(Problem::new(
                    Code::OriginNotAllowed,
                    format!("a page of origin {origin:?} may not call this server"),
                )
                .hint("open the dashboard by an allowed host, or add the origin's host to the allowed hosts of the HTTP settings"));
            }
        }
        Ok(())
    }

    fn allows(&self, authority: &str) -> bool {
        self.allowed
            .iter()
            .any(|a| a.eq_ignore_ascii_case(authority))
    }
}

/// Whether a request names this machine by a name that every machine has.
pub(crate) fn is_local<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    host.is_some_and(|host| {
        let name = match host.rsplit_once(':') {
            Some((name, _)) if has_port(host) => name,
            _ => host,
        };
        LOCAL.iter().any(|local| local.eq_ignore_ascii_case(name))
    })
}

/// Whether `host` ends in `:port`; the colons inside of `[::1]` are none.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let listen = "127.0.0.1:8080".parse().expect("address");
        Guard::new(
            listen,
            &["Trade.example".to_owned(), "other.example:443".to_owned()],
            false,
        )
    }

    fn answer(hosts: &[&str], origins: &[&str], uri: &str) -> Option<&'static str> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        for origin in origins {
            request = request.header(ORIGIN, *origin);
        }
        let request = request.body(()).expect("request");
        let reply = guard().check(&request, true).err()?.into_reply();
        let body: serde_json::Value = serde_json::from_slice(reply.whole()).expect("JSON");
        Some(match body["code"].as_str() {
            Some("bad_host") => "bad_host",
            Some("host_not_allowed") => "host_not_allowed",
            Some("origin_not_allowed") => "origin_not_allowed",
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn hosts_on_the_list_pass() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "trade.example",
            "trade.example:8080",
            "other.example:443",
        ] {
            assert_eq!(answer(&[host], &[], "/"), None, "{host}");
        }
    }

    #[test]
    fn other_hosts_do_not() {
        for host in [
            "evil.example",
            "localhost:8081",
            "localhost.",
            "localhost.evil.example",
            "evil.example:8080",
            "127.0.0.1:80",
            "127.0.0.2",
            "0.0.0.0",
            "::1",
            "other.example",
            "user@localhost",
            "localhost, evil.example",
            " ",
        ] {
            assert_eq!(
                answer(&[host], &[], "/"),
                Some("host_not_allowed"),
                "{host}"
            );
        }
    }

    #[test]
    fn a_host_is_named_once() {
        assert_eq!(answer(&[], &[], "/"), Some("bad_host"));
        assert_eq!(answer(&[""], &[], "/"), Some("bad_host"));
        assert_eq!(
            answer(&["localhost", "localhost"], &[], "/"),
            Some("bad_host")
        );
        assert_eq!(
            answer(&["localhost"], &[], "http://evil.example/"),
            Some("host_not_allowed")
        );
        assert_eq!(answer(&["localhost"], &[], "http://localhost:8080/"), None);
    }

    #[test]
    fn an_origin_is_absent_or_on_the_list() {
        for origin in [
            "http://localhost:8080",
            "https://trade.example",
            "http://[::1]:8080",
        ] {
            assert_eq!(answer(&["localhost"], &[origin], "/"), None, "{origin}");
        }
        for origin in [
            "null",
            "",
            "localhost",
            "http://evil.example",
            "file://localhost",
            "http://localhost:9999",
            "http://localhost/",
            "http://localhost@evil.example",
        ] {
            assert_eq!(
                answer(&["localhost"], &[origin], "/"),
                Some("origin_not_allowed"),
                "{origin}"
            );
        }
        assert_eq!(
            answer(
                &["localhost"],
                &["http://localhost:8080", "http://evil.example"],
                "/"
            ),
            Some("origin_not_allowed")
        );
    }
}
