//! Servers of our own, what fills them, and what they say about their contents.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use hean::store::wire::{Address, Commands, Connection, Peer, Reply};
use hean::venue::dns::Resolver;
use hean::venue::net::Net;
use hean::venue::tls::client_config;

/// A running redis-server. Dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
}

/// Starts one; `None` (said so) where it is not installed, except in CI.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn server(args: &[&str]) -> Option<Server> {
    let installed = Command::new("redis-server")
        .arg("--version")
        .output()
        .is_ok();
    if !installed {
        let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
        assert!(!ci, "redis-server is not installed");
        println!("skipped: no redis-server");
        return None;
    }
    let dir = tempfile::tempdir().expect("directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let port = free.expect("port").port();
    let mut child = Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ])
        .args([
            "--logfile",
            "",
            "--daemonize",
            "no",
            "--enable-debug-command",
            "yes",
            "--dir",
        ])
        .arg(dir.path())
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let ready = |line: String| line.contains("Ready to accept connections");
    assert!(
        lines.by_ref().map_while(Result::ok).any(ready),
        "redis-server did not start"
    );
    // Its log must be read, or it blocks.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Server {
        child,
        port,
        _dir: dir,
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

/// A connection to a port of this machine.
pub(crate) async fn connect(port: u16) -> Client {
    let net = Net::new(Resolver::from_system(), client_config(None).expect("TLS"));
    let address = Address::parse(&format!("redis://127.0.0.1:{port}")).expect("URL");
    Client(Peer::new(net, address).connect().await.expect("connects"))
}

/// A client that looks and fills.
pub(crate) struct Client(pub(crate) Connection);

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

impl Client {
    /// A command, its words apart by blanks; it must be taken.
    pub(crate) async fn ask(&mut self, line: &str) -> Reply {
        self.0.ask(&words(line)).await.expect(line)
    }

    /// A command whose reply is a text.
    pub(crate) async fn text(&mut self, line: &str) -> String {
        let text = self.ask(line).await.bytes().expect(line);
        String::from_utf8(text).expect("UTF-8")
    }

    pub(crate) async fn int(&mut self, line: &str) -> i64 {
        self.ask(line).await.int().expect(line)
    }

    /// Many commands; all must be taken.
    pub(crate) async fn all(&mut self, commands: &Commands) {
        for reply in self.0.send(commands).await.expect("sent") {
            assert_eq!(reply.error(), None);
        }
    }

    /// Many commands, a line each.
    pub(crate) async fn lines(&mut self, lines: &[&str]) {
        let mut commands = Commands::default();
        for line in lines {
            commands.push(&words(line));
        }
        self.all(&commands).await;
    }

    /// The server's own digest of everything that it holds.
    pub(crate) async fn digest(&mut self) -> String {
        self.text("DEBUG DIGEST").await
    }

    /// All keys of a database with their ends, in milliseconds since the epoch.
    pub(crate) async fn ends(&mut self, db: u16) -> BTreeMap<Vec<u8>, i64> {
        self.0.select(db).await.expect("database");
        let keys = self.ask("KEYS *").await.array().expect("keys");
        let keys: Vec<Vec<u8>> = keys.into_iter().filter_map(Reply::bytes).collect();
        let mut commands = Commands::default();
        for key in &keys {
            commands.push(&[b"PEXPIRETIME", key]);
        }
        let ends = self.0.send(&commands).await.expect("sent");
        let ends = ends.into_iter().map(|end| end.int().expect("a moment"));
        keys.into_iter().zip(ends).collect()
    }

    /// Groups, consumers and pending entries of a stream, as far as they can be the same.
    pub(crate) async fn stream(&mut self, db: u16, key: &str) -> String {
        self.0.select(db).await.expect("database");
        let full = self.ask(&format!("XINFO STREAM {key} FULL COUNT 0")).await;
        let mut out = String::new();
        flatten(full, &mut out);
        out
    }

    /// Commands that were run since the statistics were reset, and that write.
    pub(crate) async fn writes(&mut self) -> Vec<String> {
        let text = self.text("INFO commandstats").await;
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
        let mut out = Vec::new();
        for name in names {
            let info = format!("{:?}", self.ask(&format!("COMMAND INFO {name}")).await);
            let flag = format!("{:?}", Reply::Bytes(b"write".to_vec()));
            if info.contains(&flag) {
                out.push(name.to_owned());
            }
        }
        out
    }
}

/// Names and values of a description; what only one server can know is left out.
fn flatten(reply: Reply, out: &mut String) {
    match reply {
        Reply::Array(items) => {
            let mut skip = false;
            for item in items {
                let name = match &item {
                    Reply::Bytes(name) => String::from_utf8_lossy(name).into_owned(),
                    _ => String::new(),
                };
                let own =
                    ["radix-tree-keys", "radix-tree-nodes", "seen-time"].contains(&name.as_str());
                if !own && !skip {
                    flatten(item, out);
                }
                skip = own;
            }
            out.push('\n');
        }
        // The time of a delivery is known by what has passed since: to some milliseconds.
        Reply::Int(int) if int > 1_000_000_000_000 => out.push_str("time "),
        other => out.push_str(&format!("{other:?} ")),
    }
}

/// Fills the databases 0 and 5 with `count` small keys of all types each, a quarter of the strings with
/// an end, and with a few large ones.
pub(crate) async fn fill(client: &mut Client, count: usize) {
    for db in [0_u16, 5] {
        client.0.select(db).await.expect("database");
        small(client, count).await;
        large(client).await;
    }
}

/// The entries of a stream of two, of which one is pending and deleted.
const STREAM: [&str; 5] = [
    "XADD KEY 1-1 f a",
    "XADD KEY 2-5 f b g c",
    "XGROUP CREATE KEY group 0",
    "XREADGROUP GROUP group me COUNT 1 STREAMS KEY >",
    "XDEL KEY 1-1",
];

pub(crate) async fn small(client: &mut Client, count: usize) {
    let mut commands = Commands::default();
    for i in 0..count {
        let key = |kind: &str| format!("{kind}:{i}");
        match i % 6 {
            0 => {
                let (key, value) = (
                    key("string"),
                    [&[0, 255, b'\r', b'\n'][..], i.to_string().as_bytes()].concat(),
                );
                commands.push(&[b"SET", key.as_bytes(), &value]);
                if i % 4 == 0 {
                    let end = (4_000_000_000_000_u64 + i as u64).to_string();
                    commands.push(&[b"PEXPIREAT", key.as_bytes(), end.as_bytes()]);
                }
            }
            1 => commands.push(&words(&format!("HSET {} a {i} b x", key("hash")))),
            2 => commands.push(&words(&format!("RPUSH {} c a b a {i}", key("list")))),
            3 => commands.push(&words(&format!("SADD {} m n {i}", key("set")))),
            4 => {
                let score = i as f64 / 3.0;
                commands.push(&words(&format!(
                    "ZADD {} {score} m -inf n 1e300 o 5e-324 p",
                    key("zset")
                )));
            }
            _ => {
                for line in STREAM {
                    commands.push(&words(&line.replace("KEY", &key("stream"))));
                }
            }
        }
        if commands.len() > 5_000 {
            client.all(&commands).await;
            commands.clear();
        }
    }
    client.all(&commands).await;
}

/// Keys of more than a megabyte, and streams that are hard to copy.
async fn large(client: &mut Client) {
    let mut commands = Commands::default();
    let text = "t".repeat(80);
    for i in 0..12_000 {
        commands.push(&words(&format!("HSET large:hash f{i} {text}{i}")));
        commands.push(&words(&format!("SADD large:set {text}{i}")));
        commands.push(&words(&format!("RPUSH large:list {text}{text}{}", i % 7)));
        commands.push(&words(&format!(
            "ZADD large:zset {} {text}{i}",
            f64::from(i) / 7.0
        )));
        commands.push(&words(&format!(
            "XADD large:stream {}-1 f {text}{text}",
            i + 1
        )));
    }
    client.all(&commands).await;
    client
        .lines(&[
            "SETRANGE large:string 5000000 end",
            "PEXPIREAT large:hash 4000000000123",
            "PFADD hll a b c d e",
            "SETBIT bits 100000 1",
            // Pending entries that were trimmed and deleted, a consumer with nothing, several groups.
            "XGROUP CREATE large:stream one 0",
            "XGROUP CREATE large:stream two 500-1",
            "XREADGROUP GROUP one me COUNT 3000 STREAMS large:stream >",
            "XREADGROUP GROUP one you COUNT 700 STREAMS large:stream >",
            "XREADGROUP GROUP two me COUNT 2000 STREAMS large:stream >",
            "XACK large:stream one 5-1 1500-1 2999-1",
            "XCLAIM large:stream one you 0 2000-1 RETRYCOUNT 9",
            "XGROUP CREATECONSUMER large:stream one idle",
            "XDEL large:stream 900-1 1700-1 1701-1",
            "XTRIM large:stream MINID 800",
            "XGROUP CREATE empty group $ MKSTREAM",
            "XGROUP CREATECONSUMER empty group nobody",
        ])
        .await;
}
