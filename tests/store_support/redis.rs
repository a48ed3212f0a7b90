//! A redis-server of our own, a client to look at it, and a proxy that loses answers.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fred::interfaces::{
    ClientLike as _, HashesInterface as _, KeysInterface as _, SetsInterface as _,
    StreamsInterface as _,
};
use fred::types::config::Config;
use fred::types::{Builder, ClusterHash, CustomCommand, Value};
use hean::kernel::event::Seq;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running redis-server.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    dir: tempfile::TempDir,
    args: Vec<String>,
}

/// The server that is tested: redis-server, or what `HEAN_REDIS_SERVER` names, such as a valkey-server.
fn program() -> std::ffi::OsString {
    std::env::var_os("HEAN_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// Starts one; `None` (said so) where it is not installed, except in CI.
pub(crate) fn server(args: &[&str]) -> Option<Server> {
    let installed = Command::new(program()).arg("--version").output().is_ok();
    if !installed {
        let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
        assert!(!ci, "redis-server is not installed");
        #[expect(clippy::print_stdout, reason = "the test says that it did nothing")]
        {
            println!("skipped: no redis-server");
        }
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("port")
        .port();
    let mut server = Server {
        child: None,
        port,
        dir: tempfile::tempdir().expect("directory"),
        args: args.iter().map(|a| (*a).to_owned()).collect(),
    };
    server.start();
    Some(server)
}

impl Server {
    /// Starts it, and returns when it takes connections.
    pub(crate) fn start(&mut self) {
        let mut child = Command::new(program())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--save",
                "",
            ])
            .args(["--logfile", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.dir.path())
            .args(&self.args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("Ready to accept connections"));
        assert!(ready, "redis-server did not start");
        // Its log must be read, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
    }

    /// Ends it, with or without warning.
    pub(crate) fn stop(&mut self, hard: bool) {
        self.signal(if hard { "KILL" } else { "TERM" });
        let mut child = self.child.take().expect("runs");
        child.wait().expect("ends");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("runs").id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill").success());
    }

    /// A copy of its files. It must be stopped.
    pub(crate) fn backup(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("directory");
        copy_files(self.dir.path(), copy.path());
        copy
    }

    /// Puts a copy back.
    pub(crate) fn restore(&self, copy: &tempfile::TempDir) {
        std::fs::remove_dir_all(self.dir.path()).expect("removed");
        std::fs::create_dir(self.dir.path()).expect("created");
        copy_files(copy.path(), self.dir.path());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A setting that it was started with.
    pub(crate) fn setting(&self, name: &str) -> String {
        let mut args = self.args.iter().skip_while(|a| *a != name);
        args.nth(1).expect("a setting").clone()
    }

    /// With a name that only our resolver knows.
    pub(crate) fn url(&self) -> String {
        format!("redis://store.test:{}", self.port)
    }

    pub(crate) async fn client(&self) -> Looker {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let client = Builder::from_config(Config::from_url(&url).expect("URL"))
            .build()
            .expect("client");
        client.init().await.expect("connects");
        Looker(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("ended");
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            std::fs::create_dir(&target).expect("created");
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Looks at what is in a server.
pub(crate) struct Looker(fred::clients::Client);

impl Looker {
    pub(crate) async fn hash(&self, key: &str) -> BTreeMap<String, String> {
        self.0.hgetall(key).await.expect("hash")
    }

    pub(crate) async fn set(&self, key: &str) -> Vec<String> {
        let mut members: Vec<String> = self.0.smembers(key).await.expect("set");
        members.sort();
        members
    }

    pub(crate) async fn stream(&self, key: &str) -> Vec<(String, HashMap<String, String>)> {
        self.0
            .xrange_values(key, "-", "+", None)
            .await
            .expect("stream")
    }

    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let command = CustomCommand::new_static("KEYS", ClusterHash::Random, false);
        self.0.custom(command, vec![pattern]).await.expect("keys")
    }

    pub(crate) async fn command(&self, name: &'static str, args: &[&str]) -> Value {
        let command = CustomCommand::new_static(name, ClusterHash::Random, false);
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        self.0.custom(command, args).await.expect("command")
    }

    /// Returns when a stream has so many entries.
    pub(crate) async fn until_length(&self, key: &str, entries: usize) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            while self.stream(key).await.len() != entries {
                look.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .expect("the stream has another length");
    }

    /// Returns when there is no key left.
    pub(crate) async fn until_empty(&self) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            while !self.keys("*").await.is_empty() {
                look.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .expect("the server keeps its keys");
    }

    /// Returns when the store says that it holds everything up to `seq`.
    pub(crate) async fn until_watermark(&self, seq: Seq) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            loop {
                look.tick().await;
                let meta = self.hash("hean:{default}:meta").await;
                if meta.get("watermark") == Some(&seq.0.to_string()) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .expect("the store did not catch up");
        assert!(
            self.0
                .exists::<bool, _>("hean:{default}:meta")
                .await
                .expect("meta")
        );
    }
}

/// Stands before a server; can swallow the answer to the next script call and hang up.
pub(crate) struct Proxy {
    port: u16,
    armed: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let (armed, lost) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let state = (Arc::clone(&armed), Arc::clone(&lost));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server))
                    .await
                    .expect("server");
                let (armed, lost) = state.clone();
                tokio::spawn(forward(client, server, armed, lost));
            }
        });
        Self { port, armed, lost }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://store.test:{}", self.port)
    }

    pub(crate) fn lose_next_answer(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

/// Copies both ways until an end hangs up, or an answer is lost.
async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    armed: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
) {
    let (mut ask, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut lose = false;
    loop {
        tokio::select! {
            read = client.read(&mut ask) => match read {
                Ok(1..) => {
                    let bytes = &ask[..read.expect("read")];
                    let batch = bytes.windows(7).any(|w| w == b"EVALSHA");
                    lose |= batch && bytes.windows(4).any(|w| w == b"fill")
                        && armed.swap(false, Ordering::SeqCst);
                    server.write_all(bytes).await.expect("server");
                }
                _ => return,
            },
            read = server.read(&mut answer) => match read {
                Ok(1..) if lose => {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Ok(1..) => {
                    let bytes = &answer[..read.expect("read")];
                    if client.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
