//! Certificates of our own, and a server that shows one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::redis::{Server, server};

/// A certification authority, the certificate of a server called `store.test`, and a stranger's authority.
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) other_ca: PathBuf,
    key: PathBuf,
    certificate: PathBuf,
}

/// A server that takes connections with TLS too.
pub(crate) struct TlsServer {
    pub(crate) plain: Server,
    port: u16,
}

impl std::ops::Deref for TlsServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.plain
    }
}

impl TlsServer {
    pub(crate) fn tls_url(&self) -> String {
        format!("rediss://store.test:{}", self.port)
    }
}

fn openssl(dir: &Path, line: &str) -> bool {
    let run = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output();
    run.is_ok_and(|output| {
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {log}");
        true
    })
}

impl Certificates {
    /// Makes them in `dir`; `None` (said so) without openssl, except in CI.
    #[expect(clippy::print_stdout, reason = "the test says that it did nothing")]
    pub(crate) fn make(dir: &Path) -> Option<Self> {
        if !openssl(dir, "version") {
            let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
            assert!(!ci, "openssl is not installed");
            println!("skipped: no openssl");
            return None;
        }
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        for name in ["ca", "other"] {
            let line =
                format!("req -x509 {curve} -keyout {name}.key -out {name}.pem -subj /CN={name}");
            openssl(dir, &line);
        }
        let names = "-subj /CN=store.test -addext subjectAltName=DNS:store.test";
        openssl(
            dir,
            &format!("req -new {curve} -keyout server.key -out server.csr {names}"),
        );
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
        openssl(
            dir,
            &format!("{sign} -copy_extensions copy -out server.pem"),
        );
        Some(Self {
            ca: dir.join("ca.pem"),
            other_ca: dir.join("other.pem"),
            key: dir.join("server.key"),
            certificate: dir.join("server.pem"),
        })
    }

    /// A server with the certificate; `None` (said so) without redis-server, except in CI.
    pub(crate) fn server(&self) -> Option<TlsServer> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("port")
            .port();
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (tls, key) = (port.to_string(), text(&self.key));
        let (certificate, ca) = (text(&self.certificate), text(&self.ca));
        let plain = server(&[
            "--tls-port",
            &tls,
            "--tls-key-file",
            &key,
            "--tls-cert-file",
            &certificate,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ])?;
        Some(TlsServer { plain, port })
    }
}
