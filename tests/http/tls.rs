//! TLS: only TLS, versions, a certificate that is replaced, handshakes that never end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hean::http::HttpConfig;
use hean::runtime::hangup::Hangups;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::harness::{Harness, PATIENCE};

/// Certificates for localhost in a directory: `one` and `two`, each with its key.
struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    /// `None` (said so) without openssl, except in CI.
    #[expect(clippy::print_stdout, reason = "the test says that it did nothing")]
    fn make() -> Option<Self> {
        let dir = tempfile::tempdir().expect("directory");
        for name in ["one", "two"] {
            let line = format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {name}.key \
                 -out {name}.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost,DNS:trade.example \
                 -addext basicConstraints=critical,CA:FALSE"
            );
            let run = Command::new("openssl")
                .args(line.split_whitespace())
                .current_dir(dir.path())
                .output();
            let Ok(output) = run else {
                let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
                assert!(!ci, "openssl is not installed");
                println!("skipped: no openssl");
                return None;
            };
            let log = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {line}: {log}");
        }
        for (name, kind) in [("one", "pem"), ("one", "key")] {
            std::fs::copy(
                dir.path().join(format!("{name}.{kind}")),
                dir.path().join(format!("server.{kind}")),
            )
            .expect("copied");
        }
        Some(Self { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> HttpConfig {
        HttpConfig {
            tls_cert: Some(self.path("server.pem")),
            tls_key: Some(self.path("server.key")),
            allowed_hosts: vec!["trade.example".to_owned()],
            ..HttpConfig::default()
        }
    }

    fn use_pair(&self, cert: &str, key: &str) {
        std::fs::copy(self.path(cert), self.path("server.pem")).expect("copied");
        std::fs::copy(self.path(key), self.path("server.key")).expect("copied");
    }
}

/// A connection to the server by somebody who trusts the certificate in `ca` alone.
async fn connect(server: &Harness, ca: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    let config = hean::venue::tls::client_config(Some(ca)).expect("a certificate");
    let socket = TcpStream::connect(server.addr).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(config).connect(name, socket).await
}

async fn get(socket: &mut TlsStream<TcpStream>, host: &str, origin: &str) -> String {
    let request = format!(
        "GET /health HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    // A connection that ends without goodbye is the same to us.
    drop(socket.read_to_string(&mut answer).await);
    answer
}

#[tokio::test]
async fn everything_is_served_over_tls_and_nothing_without() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = Harness::reading(certificates.config()).await;
    let port = server.addr.port();
    let mut socket = connect(&server, &certificates.path("one.pem"))
        .await
        .expect("TLS");
    let own = format!("https://localhost:{port}");
    let answer = get(&mut socket, "localhost", &own).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // It would bind the browser for all servers on this machine.
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    let mut socket = connect(&server, &certificates.path("one.pem"))
        .await
        .expect("TLS");
    let answer = get(&mut socket, "trade.example", "https://trade.example").await;
    assert!(
        answer.contains("strict-transport-security: max-age=31536000"),
        "{answer}"
    );
    let mut socket = connect(&server, &certificates.path("one.pem"))
        .await
        .expect("TLS");
    let answer = get(&mut socket, "trade.example", "http://trade.example").await;
    assert!(answer.contains("origin_not_allowed"), "{answer}");
    assert!(
        connect(&server, &certificates.path("two.pem"))
            .await
            .is_err()
    );
    let mut plain = server.connect().await;
    plain
        .send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut told = Vec::new();
    drop(plain.socket.read_to_end(&mut told).await);
    assert!(!told.starts_with(b"HTTP"), "{told:?}");
}

#[tokio::test]
async fn large_answers_arrive_whole() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = Harness::reading(certificates.config()).await;
    let mut socket = connect(&server, &certificates.path("one.pem"))
        .await
        .expect("TLS");
    let request = "GET /api/v1/klines/BTCUSDT?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket
        .write_all(request.repeat(20).as_bytes())
        .await
        .expect("sent");
    let end = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(end.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let read = socket.read_to_string(&mut answer);
    drop(tokio::time::timeout(PATIENCE, read).await.expect("in time"));
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 21);
    assert!(
        answer.len() > 2_000_000 && answer.ends_with('}'),
        "{}",
        answer.len()
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_the_connection() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = Harness::reading(HttpConfig {
        header_timeout: Duration::from_millis(50),
        ..certificates.config()
    })
    .await;
    let mut silent = server.connect().await;
    silent.ended().await;
    let mut half = server.connect().await;
    // The beginning of a ClientHello.
    half.socket
        .write_all(&[22, 3, 1, 1, 0, 1])
        .await
        .expect("sent");
    half.ended().await;
    // After it the first request has its own deadline.
    let mut socket = connect(&server, &certificates.path("one.pem"))
        .await
        .expect("TLS");
    let mut nothing = Vec::new();
    let read = socket.read_to_end(&mut nothing);
    drop(tokio::time::timeout(PATIENCE, read).await.expect("it ends"));
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_hangup_brings_another_certificate_if_it_is_good() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let server = Harness::reading(certificates.config()).await;
    let mut hangups = Hangups::listen().expect("a signal");
    let upkeep = tokio::spawn(Arc::clone(&server.access).upkeep(hangups.part()));
    let renewing = tokio::spawn(hangups.run(|| {}, || {}));
    let hang_up = || {
        let pid = std::process::id().to_string();
        let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(sent.expect("kill runs").success());
    };
    let mut open = connect(&server, &certificates.path("one.pem"))
        .await
        .expect("TLS");
    // The key is not that of the certificate: both stay as they were.
    certificates.use_pair("two.pem", "one.key");
    hang_up();
    certificates.use_pair("two.pem", "two.key");
    hang_up();
    let until = async {
        while connect(&server, &certificates.path("two.pem"))
            .await
            .is_err()
        {}
    };
    tokio::time::timeout(PATIENCE, until)
        .await
        .expect("in time");
    assert!(
        connect(&server, &certificates.path("one.pem"))
            .await
            .is_err()
    );
    let answer = get(
        &mut open,
        "localhost",
        &format!("https://localhost:{}", server.addr.port()),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    renewing.abort();
    upkeep.abort();
}
