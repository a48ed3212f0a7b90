//! Where the daemon is, and the token it wants: flags, then the environment, then the default.
//!
//! A token comes from a file or the environment, never from a flag that every user of the machine can
//! read; it is never printed, and never sent unencrypted to another machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hyper::header::HeaderValue;

use super::ClientError;
use crate::venue::tls;
use crate::venue::url::BaseUrl;

/// Where the daemon listens unless it is told otherwise.
const DEFAULT: &str = "127.0.0.1:8080";
/// Where it listens on a host that is named alone.
const PORT: u16 = 8080;
/// Longer than any token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(pub BaseUrl);

impl FromStr for ServerUrl {
    type Err = String;

    /// `http://…`, `https://…`, or a host with or without a port: TLS unless that is this machine.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "{text:?} is no address: write host:port, http://host:port or https://host:port"
            )
        };
        if text.contains("://") {
            let http = text.starts_with("http://") || text.starts_with("https://");
            let url: BaseUrl = text.parse().map_err(|_| wrong())?;
            return if http { Ok(Self(url)) } else { Err(wrong()) };
        }
        let authority = match text.strip_prefix(':') {
            Some(port) => format!("127.0.0.1:{port}"),
            None if text.ends_with(']') || !text.contains(':') => format!("{text}:{PORT}"),
            None => text.to_owned(),
        };
        let mut url: BaseUrl = format!("http://{authority}").parse().map_err(|_| wrong())?;
        // A daemon that listens everywhere is asked here.
        match url.host.as_str() {
            "0.0.0.0" => "127.0.0.1".clone_into(&mut url.host),
            "::" => "::1".clone_into(&mut url.host),
            _ => {}
        }
        if !is_local(&url.host) {
            url = format!("https://{authority}")
                .parse()
                .map_err(|_| wrong())?;
        }
        Ok(Self(url))
    }
}

/// Whether a host is this machine.
fn is_local(host: &str) -> bool {
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn new(text: &str, from: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        let legal = |c: u8| c.is_ascii_graphic();
        if text.is_empty() || !text.bytes().all(legal) {
            return Err(ClientError::Setup(format!(
                "{from} holds no token: it should hold one line, as hean token create printed it"
            )));
        }
        Ok(Self(text.to_owned()))
    }

    fn of_file(path: &Path) -> Result<Self, ClientError> {
        use std::io::Read as _;
        let failed = |why: String| {
            ClientError::Setup(format!(
                "cannot read the token in {}: {why}",
                path.display()
            ))
        };
        let file = std::fs::File::open(path).map_err(|e| failed(e.to_string()))?;
        let mut text = String::new();
        let read = file.take(TOKEN_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|e| failed(e.to_string()))?;
        Self::new(&text, &path.display().to_string())
    }

    /// The `Authorization` header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The token itself, for the first message of a WebSocket.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Where the daemon is and how to be let in.
#[derive(Debug, Clone)]
pub struct Place {
    pub(crate) url: BaseUrl,
    pub(crate) token: Option<Token>,
    pub(crate) tls: std::sync::Arc<rustls::ClientConfig>,
}

impl Place {
    /// From flags and the environment.
    pub fn find(
        server: Option<&ServerUrl>,
        token_file: Option<&PathBuf>,
        ca_file: Option<&PathBuf>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ClientError> {
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let setup = |name: &str, why: String| ClientError::Setup(format!("{name}: {why}"));
        let url = if let Some(url) = server {
            url.0.clone()
        } else {
            let said = ["HEAN_SERVER", "HEAN__HTTP__LISTEN"]
                .into_iter()
                .find_map(|name| Some((name, env(name)?)));
            let (name, text) = said.unwrap_or(("the default", DEFAULT.to_owned()));
            let url: ServerUrl = text.parse().map_err(|why| setup(name, why))?;
            url.0
        };
        let token = match (token_file, env("HEAN_TOKEN"), env("CREDENTIALS_DIRECTORY")) {
            (Some(path), _, _) => Some(Token::of_file(path)?),
            (None, Some(text), _) => Some(Token::new(&text, "HEAN_TOKEN")?),
            (None, None, Some(dir)) => {
                let path = Path::new(&dir).join("api_token");
                path.exists().then(|| Token::of_file(&path)).transpose()?
            }
            (None, None, None) => None,
        };
        if token.is_some() && !url.tls && !is_local(&url.host) {
            return Err(ClientError::Setup(format!(
                "a token is not sent unencrypted to another machine: write --server https://{}",
                url.authority()
            )));
        }
        let tls = tls::client_config(ca_file.map(PathBuf::as_path))
            .map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self { url, token, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<(bool, String), String> {
        let ServerUrl(url) = text.parse()?;
        Ok((url.tls, format!("{}{}", url.authority(), url.prefix)))
    }

    #[test]
    fn an_address_is_a_url_or_a_host_and_a_port() {
        for (text, tls, wanted) in [
            ("127.0.0.1:8080", false, "127.0.0.1:8080"),
            ("[::1]:8080", false, "[::1]:8080"),
            ("localhost:1", false, "localhost:1"),
            (":8081", false, "127.0.0.1:8081"),
            ("localhost", false, "localhost:8080"),
            ("[::1]", false, "[::1]:8080"),
            ("0.0.0.0:8080", false, "127.0.0.1:8080"),
            ("[::]:8080", false, "[::1]:8080"),
            ("hean.example:8443", true, "hean.example:8443"),
            ("192.0.2.7:8080", true, "192.0.2.7:8080"),
            ("http://192.0.2.7:8080", false, "192.0.2.7:8080"),
            ("https://hean.example/behind/", true, "hean.example/behind"),
        ] {
            assert_eq!(url(text), Ok((tls, wanted.to_owned())), "{text}");
        }
        for text in [
            "",
            "ws://x:1",
            "ftp://x",
            "http://",
            "a b:1",
            "http://u:p@x",
            "x:99999",
        ] {
            let error = url(text).expect_err(text);
            assert!(error.contains("https://host:port"), "{text}: {error}");
        }
    }

    fn find(
        server: Option<&str>,
        file: Option<&PathBuf>,
        env: &[(&str, &str)],
    ) -> Result<Place, String> {
        let server = server.map(|text| text.parse().expect("an address"));
        let env = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Place::find(server.as_ref(), file, None, &env).map_err(|error| {
            assert_eq!(error.exit(), crate::cli::Exit::Usage);
            error.to_string()
        })
    }

    #[test]
    fn the_daemon_is_where_flag_variable_or_default_say() {
        let port = |server, env: &[_]| find(server, None, env).map(|place| place.url.port);
        let both = [
            ("HEAN__HTTP__LISTEN", "127.0.0.1:3"),
            ("HEAN_SERVER", " 127.0.0.1:2"),
        ];
        assert_eq!(port(Some("127.0.0.1:1"), &both), Ok(1));
        assert_eq!(port(None, &both), Ok(2));
        assert_eq!(port(None, &both[..1]), Ok(3));
        assert_eq!(port(None, &[("HEAN_SERVER", "")]), Ok(8080));
        assert!(port(None, &[("HEAN_SERVER", "a b")]).is_err_and(|e| e.contains("HEAN_SERVER")));
    }

    #[test]
    fn tokens_come_from_files_and_the_environment() {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("token");
        std::fs::write(&file, "hean_from_file\n").expect("write");
        std::fs::write(dir.path().join("api_token"), "hean_from_dir").expect("write");
        let path = dir.path().to_str().expect("UTF-8");
        let all = [
            ("HEAN_TOKEN", "hean_from_env"),
            ("CREDENTIALS_DIRECTORY", path),
        ];
        let token = |file: Option<PathBuf>, env: &[_]| {
            let token = find(None, file.as_ref(), env).expect("a place").token;
            token.map(|token| token.text().to_owned())
        };
        assert_eq!(token(Some(file), &all).as_deref(), Some("hean_from_file"));
        assert_eq!(token(None, &all).as_deref(), Some("hean_from_env"));
        assert_eq!(token(None, &all[1..]).as_deref(), Some("hean_from_dir"));
        assert_eq!(token(None, &[("CREDENTIALS_DIRECTORY", "/nowhere")]), None);
        for (file, word) in [("none", "none"), ("empty", "holds no token")] {
            std::fs::write(dir.path().join("empty"), " \n").expect("write");
            let error = find(None, Some(&dir.path().join(file)), &[]).expect_err("no token");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_token_is_neither_printed_nor_sent_in_the_clear() {
        let env = [("HEAN_TOKEN", "hean_0123abcd")];
        let place = find(Some("https://192.0.2.7:1"), None, &env).expect("TLS");
        assert!(!format!("{place:?}").contains("0123abcd"));
        assert!(!format!("{:?}", place.token.and_then(|t| t.header())).contains("0123abcd"));
        let error = find(Some("http://192.0.2.7:1"), None, &env).expect_err("in the clear");
        assert!(
            error.contains("https://192.0.2.7:1") && !error.contains("0123abcd"),
            "{error}"
        );
        assert!(find(Some("http://192.0.2.7:1"), None, &[]).is_ok());
        assert!(find(Some("http://localhost:1"), None, &env).is_ok());
    }
}
