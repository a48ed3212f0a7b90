//! Where a server is, and how to log in. The password is in here and is never printed.

use std::fmt;

use crate::config::StoreUrl;
use crate::venue::url::BaseUrl;

/// The usual port.
const PORT: u16 = 6379;

/// A server's address with the credentials for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) endpoint: BaseUrl,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// The database in the URL's path.
    pub db: Option<u16>,
}

impl Address {
    /// From `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS. The error never
    /// repeats the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = StoreUrl::parse(text.trim())?;
        if url.is_cluster() {
            return Err("expected a single server: redis:// or rediss:// (with TLS)");
        }
        let (_, rest) = url.expose().split_once("://").ok_or("no URL")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':')) {
            None => (None, None),
            Some(None) => return Err("expected user:password or :password before the @"),
            Some(Some((user, password))) => {
                let user = decode(user)?;
                ((!user.is_empty()).then_some(user), Some(decode(password)?))
            }
        };
        let (host, port) = match host.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or("no ']' after the address")?;
                (host, port.strip_prefix(':'))
            }
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        let port = match port {
            None => PORT,
            Some(port) => port
                .parse()
                .map_err(|_| "the port is no number up to 65535")?,
        };
        Ok(Self {
            endpoint: BaseUrl {
                tls: url.is_tls(),
                host: host.to_owned(),
                port,
                prefix: String::new(),
            },
            user,
            password,
            db: path.parse().ok(),
        })
    }
}

/// Host and port, without credentials.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BaseUrl { host, port, .. } = &self.endpoint;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Resolves `%2F` and its like.
fn decode(text: &str) -> Result<String, &'static str> {
    const WRONG: &str =
        "a % in user or password is written %25, and two hex digits follow every other";
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(bytes.next().ok_or(WRONG)?).to_digit(16);
            u8::try_from(digit.ok_or(WRONG)?).map_err(|_| WRONG)
        };
        out.push(digit()? << 4 | digit()?);
    }
    String::from_utf8(out).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_shows_no_password() {
        let address = Address::parse("rediss://me:p%2Fa%40ss%25@db.example:7000/3").expect("URL");
        assert_eq!(address.user.as_deref(), Some("me"));
        assert_eq!(address.password.as_deref(), Some("p/a@ss%"));
        assert_eq!((address.db, address.endpoint.tls), (Some(3), true));
        assert_eq!(address.to_string(), "db.example:7000");
        assert_eq!(format!("{address:?}"), "Address(db.example:7000)");
        let address = Address::parse("redis://:only@[::1]\n").expect("URL");
        assert_eq!(
            (address.user, address.password.as_deref()),
            (None, Some("only"))
        );
        assert_eq!(
            (address.endpoint.host.as_str(), address.endpoint.port),
            ("::1", PORT)
        );
        assert_eq!(Address::parse("redis://h").expect("URL").db, None);
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for text in [
            "",
            "h:1",
            "http://h",
            "redis://secret@h",
            "redis://:sec%zzret@h",
            "redis://:secret%2@h",
            "redis://:secret%ff@h",
            "redis://h:secret",
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
