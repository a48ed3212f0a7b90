//! A million keys of all types from one redis-server to another, killed twice on the way and gone on
//! with, beside the same keys one by one; every key compared afterwards.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hean::kernel::types::SECOND;
use hean::runtime::clock::Clock;
use hean::store::wire::{Address, Commands, Connection, Peer, Reply};
use hean::venue::dns::Resolver;
use hean::venue::net::Net;
use hean::venue::tls::client_config;

/// Keys that are copied when it is measured.
const KEYS: usize = 1_000_000;
/// Keys that are copied one by one: enough for a rate.
const ONE_BY_ONE: usize = 50_000;
/// Commands in one write.
const BATCH: usize = 1_000;

/// A redis-server of its own.
pub(crate) struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With settings of its own.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let port = free.expect("port").port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir"])
            .arg(dir.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        Self { child, port, dir }
    }

    /// Where it keeps its files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection, as soon as the server takes it.
    async fn client(&self) -> Connection {
        let net = Net::new(Resolver::from_system(), client_config(None).expect("TLS"));
        let peer = Peer::new(net, Address::parse(&self.url()).expect("URL"));
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            again.tick().await;
            if let Ok(client) = peer.connect().await {
                return client;
            }
        }
    }
}

/// Whether there is a redis-server.
pub(crate) fn is_installed() -> bool {
    Command::new("redis-server")
        .arg("--version")
        .output()
        .is_ok()
}

/// Measures, or with few keys shows that it works.
pub(crate) fn bench(measure: bool) {
    if !is_installed() {
        print("\nmigrate: no redis-server");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let keys = if measure { KEYS } else { 20_000 };
    print(&format!(
        "\nmigrate: {keys} keys of all types between two redis-servers"
    ));
    let singles = ONE_BY_ONE.min(keys / 4);
    runtime.expect("runtime").block_on(run(keys, singles));
}

async fn run(keys: usize, singles: usize) {
    let (source, target) = (Server::start(), Server::start());
    let (mut a, mut b) = (source.client().await, target.client().await);
    fill(&mut a, keys).await;
    let clock = Clock::start();
    let seconds = |began| clock.now().since(began) as f64 / SECOND as f64;
    let began = clock.now();
    one_by_one(&mut a, &mut b, singles).await;
    let single = singles as f64 / seconds(began);
    print(&format!(
        "  {:<21} {single:>10.0} keys/s ({singles} of them)",
        "key by key"
    ));
    let line = |name: &str, rate: f64| {
        let ratio = rate / single;
        print(&format!("  {name:<21} {rate:>10.0} keys/s  {ratio:.1} x"));
    };
    let args = [source.url(), target.url()];
    b.ask(&[b"FLUSHALL"]).await.expect("emptied");
    let began = clock.now();
    hean("migrate", &args, None).await;
    line("migrate", keys as f64 / seconds(began));
    let began = clock.now();
    hean("verify", &args, None).await;
    line("verify", keys as f64 / seconds(began));
    b.ask(&[b"FLUSHALL"]).await.expect("emptied");
    let began = clock.now();
    let mut kills = 0;
    for share in [3, 2] {
        kills += u32::from(killed_at(&args, &mut b, keys / share).await);
    }
    hean("migrate", &args, Some("--overwrite")).await;
    let name = format!("killed {kills} x, resumed");
    line(&name, keys as f64 / seconds(began));
    hean("verify", &args, None).await;
    b.ask(&[b"FLUSHALL"]).await.expect("emptied");
    let began = clock.now();
    hean("migrate", &args, Some("--by-type")).await;
    line("migrate --by-type", keys as f64 / seconds(began));
    hean("verify", &args, None).await;
}

fn print(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn command(tool: &str, args: &[String], way: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hean"));
    command.args(["keydb", tool]).args(args).args(way);
    command.stdout(Stdio::null());
    command
}

/// Runs it to its end, which must be a good one.
async fn hean(tool: &'static str, args: &[String], way: Option<&str>) {
    let mut command = command(tool, args, way);
    let ended = tokio::task::spawn_blocking(move || command.status()).await;
    assert!(
        ended.expect("a thread").expect("it starts").success(),
        "{tool} failed"
    );
}

/// `kill -9` as soon as the target holds so many keys; `false` if it was complete before.
async fn killed_at(args: &[String], target: &mut Connection, keys: usize) -> bool {
    let way = Some("--overwrite");
    let mut child = command("migrate", args, way).spawn().expect("it starts");
    loop {
        let size = target.ask(&[b"DBSIZE"]).await.expect("size").int();
        if size.and_then(|size| usize::try_from(size).ok()) >= Some(keys) {
            break;
        }
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    true
}

/// The way without pipelines: each key is read, then written.
async fn one_by_one(source: &mut Connection, target: &mut Connection, count: usize) {
    let mut cursor = b"0".to_vec();
    let mut done = 0;
    while done < count {
        let words = [&b"SCAN"[..], &cursor, b"COUNT", b"1000"];
        let mut parts = source
            .ask(&words)
            .await
            .expect("scan")
            .array()
            .expect("parts");
        let keys = parts.pop().and_then(Reply::array).expect("keys");
        cursor = parts.pop().and_then(Reply::bytes).expect("cursor");
        for key in keys.into_iter().filter_map(Reply::bytes) {
            let ttl = source.ask(&[b"PTTL", &key]).await.expect("ttl");
            let ttl = ttl.int().unwrap_or(0).max(0).to_string();
            let dump = source.ask(&[b"DUMP", &key]).await.expect("dump");
            let dump = dump.bytes().expect("payload");
            let words = [&b"RESTORE"[..], &key, ttl.as_bytes(), &dump, b"REPLACE"];
            target.ask(&words).await.expect("restored");
            done += 1;
        }
        if cursor == b"0" {
            break;
        }
    }
    assert!(done >= count, "only {done} keys");
}

/// Keys of all types in equal shares, a part of them with an end.
async fn fill(client: &mut Connection, keys: usize) {
    let mut commands = Commands::default();
    for i in 0..keys {
        let (key, value) = (format!("key:{i}"), format!("value of number {i}"));
        let (key, value) = (key.as_bytes(), value.as_bytes());
        match i % 6 {
            0 => commands.push(&[b"SET", key, value]),
            1 => commands.push(&[b"HSET", key, b"price", value, b"side", b"buy"]),
            2 => commands.push(&[b"RPUSH", key, b"a", b"b", value]),
            3 => commands.push(&[b"SADD", key, b"a", b"b", value]),
            4 => commands.push(&[b"ZADD", key, b"0.1", b"a", b"-inf", b"b", b"1e300", value]),
            _ => {
                commands.push(&[b"XADD", key, b"1-1", b"data", value]);
                if i % 4 == 1 {
                    commands.push(&[b"XGROUP", b"CREATE", key, b"group", b"0"]);
                }
            }
        }
        if i % 10 == 0 {
            commands.push(&[b"PEXPIREAT", key, b"4000000000000"]);
        }
        if commands.len() >= BATCH || i + 1 == keys {
            for reply in client.send(&commands).await.expect("sent") {
                assert_eq!(reply.error(), None);
            }
            commands.clear();
        }
    }
}
