//! Writing the journal into a real redis-server, beside a client without manners that sends the same commands, or the
//! same events and nothing else, and beside what `redis-benchmark` can do.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark prints, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hean::journal::SyncPolicy;
use hean::kernel::event::Seq;
use hean::runtime::clock::Clock;
use hean::status::StoreStatus;
use hean::store::{self, StoreConfig};
use hean::venue::dns::Resolver;
use tokio::sync::watch;

use crate::journal;
use crate::migrate::{Server, is_installed};

/// Records when it is measured.
const RECORDS: u64 = 300_000;
/// Commands that the raw client writes before it reads their answers; what the projection takes into one call.
const TOGETHER: usize = 1_024;
const EVENTS: &str = "hean:{default}:events";

pub(crate) fn bench(measure: bool) {
    if !is_installed() {
        println!("\nstore: no redis-server");
        return;
    }
    let records = if measure { RECORDS } else { 2_000 };
    let rounds = if measure { 3 } else { 1 };
    println!("\nstore: {records} records of the journal into a redis-server, events a second");
    let dir = tempfile::tempdir().expect("directory");
    journal::fill(dir.path(), records);
    let commands = commands(dir.path(), records);
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for _ in 0..rounds {
        let server = Server::start();
        Raw::connect(&server);
        let projected = Cost::of(&server, records, || project(dir.path(), &server, records));
        let (raw, bytes) = raw(&server);
        let tool = redis_benchmark(&server, records, bytes / records as usize);
        drop(server);
        let server = Server::start();
        let floor = Cost::of(&server, records, || send(&server, &commands));
        for (name, rate) in [
            ("the projection", projected.rate),
            ("raw pipelined client, the same commands", floor.rate),
            ("raw pipelined client, the events alone", raw),
            ("redis-benchmark -P 16 XADD of as many bytes", tool),
        ] {
            let best = best.entry(name).or_default();
            *best = best.max(rate);
        }
        println!(
            "  projection {:.0} (us of a CPU each: server {:.2}, we {:.2})   same commands raw {:.0} (server {:.2}, we \
             {:.2})   events raw {raw:.0}   redis-benchmark {tool:.0}",
            projected.rate, projected.server, projected.own, floor.rate, floor.server, floor.own
        );
    }
    println!("  best:");
    for (name, rate) in best {
        println!("  {name:<50} {rate:>10.0}");
    }
}

/// What events cost.
struct Cost {
    /// Events a second.
    rate: f64,
    /// CPU time of the server for each event, in microseconds: what remains the same on a busy machine.
    server: f64,
    /// The same of this process.
    own: f64,
}

impl Cost {
    fn of(server: &Server, events: u64, work: impl FnOnce()) -> Self {
        let mut client = Raw::connect(server);
        let each = |seconds: f64| seconds * 1e6 / events as f64;
        let (theirs, ours) = (client.cpu_seconds(), own_cpu_seconds());
        let clock = Clock::start();
        let began = clock.now();
        work();
        let took = clock.now().since(began) as f64 / 1e9;
        Self {
            rate: events as f64 / took,
            server: each(client.cpu_seconds() - theirs),
            own: each(own_cpu_seconds() - ours),
        }
    }
}

/// CPU time that this process has used; 100 ticks a second on every Linux.
fn own_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let (_, fields) = text.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    ticks.map(|n| n.expect("a number")).sum::<f64>() / 100.0
}

/// The commands that the server executes when the journal is written into it, without the scripts around them, as its
/// append-only file has them.
fn commands(dir: &Path, records: u64) -> Vec<(usize, Vec<u8>)> {
    let server = Server::with(&[
        "--appendonly",
        "yes",
        "--appendfsync",
        "no",
        "--auto-aof-rewrite-percentage",
        "0",
    ]);
    Raw::connect(&server);
    project(dir, &server, records);
    let files = std::fs::read_dir(server.dir().join("appendonlydir")).expect("files");
    let file = files
        .map(|file| file.expect("a file").path())
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .expect("an append-only file");
    let text = std::fs::read(file).expect("readable");
    let mut batches = vec![(0, Vec::new())];
    let mut rest = &text[..];
    while !rest.is_empty() {
        let (command, length) = command(rest);
        let (text, after) = rest.split_at(length);
        rest = after;
        // What is written and in which order; not that it is one transaction.
        if ["MULTI", "EXEC", "SELECT"].contains(&command.to_uppercase().as_str()) {
            continue;
        }
        if batches.last().is_some_and(|(count, _)| *count == TOGETHER) {
            batches.push((0, Vec::new()));
        }
        let (count, batch) = batches.last_mut().expect("one");
        *count += 1;
        batch.extend_from_slice(text);
    }
    batches
}

/// The first word of a command, and how many bytes it has.
fn command(text: &[u8]) -> (String, usize) {
    let mut at = 0;
    let number = |at: &mut usize| {
        let line = text[*at..].split(|b| *b == b'\r').next().expect("a line");
        *at += line.len() + 2;
        let digits = std::str::from_utf8(&line[1..]).expect("ASCII");
        digits.parse::<usize>().expect("a number")
    };
    let words = number(&mut at);
    let mut name = String::new();
    for index in 0..words {
        let length = number(&mut at);
        if index == 0 {
            name = String::from_utf8_lossy(&text[at..at + length]).into_owned();
        }
        at += length + 2;
    }
    (name, at)
}

/// Writes commands as fast as the server takes them.
fn send(server: &Server, batches: &[(usize, Vec<u8>)]) {
    let mut client = Raw::connect(server);
    std::thread::scope(|threads| {
        let mut stream = client.stream.try_clone().expect("a copy");
        // Writes on while the answers are read.
        threads.spawn(move || {
            for (_, text) in batches {
                stream.write_all(text).expect("written");
            }
        });
        for (count, _) in batches {
            for _ in 0..*count {
                let line = client.line();
                assert!(!line.starts_with('-'), "{line}");
                if line.starts_with('$') {
                    client.line();
                }
            }
        }
    });
}

/// From the start of the task until the store has all records.
fn project(dir: &Path, server: &Server, records: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    let clock = Clock::start();
    let status = Arc::new(StoreStatus::default());
    let (_durable, durable) = watch::channel(Seq(records));
    let (stop, stopping) = watch::channel(false);
    let task = runtime.spawn(store::run(
        StoreConfig::new(server.url()),
        journal::config(dir, SyncPolicy::Os, u64::MAX).journal_dir(),
        durable,
        Arc::clone(&status),
        Arc::new(Resolver::from_system()),
        clock,
        stopping,
    ));
    while status.applied().0 < records {
        assert!(!task.is_finished(), "the projection has ended");
        // Not a spinning look: the cores are for those that are measured.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    stop.send_replace(true);
    runtime.block_on(task).expect("no panic").expect("in order");
}

/// A connection that knows no more of the protocol than it needs.
struct Raw {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Raw {
    /// As soon as the server takes connections.
    fn connect(server: &Server) -> Self {
        let stream = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", server.port())) {
                break stream;
            }
            std::thread::yield_now();
        };
        stream.set_nodelay(true).expect("set");
        let answers = BufReader::with_capacity(1 << 18, stream.try_clone().expect("a copy"));
        Self { stream, answers }
    }

    /// A line of the answer without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    fn bulk(&mut self) -> Vec<u8> {
        let length = self.line();
        let length = length
            .strip_prefix('$')
            .unwrap_or_else(|| panic!("{length}"));
        let mut text = vec![0; length.parse::<usize>().expect("a length") + 2];
        self.answers.read_exact(&mut text).expect("a text");
        text.truncate(text.len() - 2);
        text
    }

    /// CPU time that the server has used.
    fn cpu_seconds(&mut self) -> f64 {
        let mut text = Vec::new();
        put(&mut text, &[b"INFO", b"cpu"]);
        self.stream.write_all(&text).expect("written");
        let answer = String::from_utf8(self.bulk()).expect("UTF-8");
        let used = |name: &str| {
            let line = answer.lines().find_map(|l| l.strip_prefix(name));
            line.expect("a line").parse::<f64>().expect("a number")
        };
        used("used_cpu_user:") + used("used_cpu_sys:")
    }

    fn count(&mut self) -> usize {
        let line = self.line();
        line.strip_prefix('*')
            .expect("a list")
            .parse()
            .expect("a number")
    }

    /// All entries of the stream.
    fn entries(&mut self) -> Vec<Vec<Vec<u8>>> {
        let mut text = Vec::new();
        put(&mut text, &[b"XRANGE", EVENTS.as_bytes(), b"-", b"+"]);
        self.stream.write_all(&text).expect("written");
        (0..self.count())
            .map(|_| {
                assert_eq!(self.count(), 2);
                let id = self.bulk();
                let fields = (0..self.count()).map(|_| self.bulk());
                std::iter::once(id).chain(fields).collect()
            })
            .collect()
    }
}

fn put(to: &mut Vec<u8>, words: &[&[u8]]) {
    write!(to, "*{}\r\n", words.len()).expect("memory");
    for word in words {
        write!(to, "${}\r\n", word.len()).expect("memory");
        to.extend_from_slice(word);
        to.extend_from_slice(b"\r\n");
    }
}

/// Events a second that a raw client writes into a stream of its own, and how many bytes they are.
fn raw(server: &Server) -> (f64, usize) {
    let mut client = Raw::connect(server);
    let entries = client.entries();
    let batches: Vec<(usize, Vec<u8>)> = entries
        .chunks(TOGETHER)
        .map(|entries| {
            let mut text = Vec::new();
            for entry in entries {
                let mut words: Vec<&[u8]> = vec![b"XADD", b"raw"];
                words.extend(entry.iter().map(Vec::as_slice));
                put(&mut text, &words);
            }
            (entries.len(), text)
        })
        .collect();
    let clock = Clock::start();
    let began = clock.now();
    for (count, text) in &batches {
        client.stream.write_all(text).expect("written");
        for _ in 0..*count {
            client.bulk();
        }
    }
    let took = clock.now().since(began) as f64 / 1e9;
    let bytes = entries.iter().flatten().map(Vec::len).sum();
    (entries.len() as f64 / took, bytes)
}

fn redis_benchmark(server: &Server, records: u64, bytes: usize) -> f64 {
    let output = Command::new("redis-benchmark")
        .args(["-p", &server.port().to_string(), "-P", "16", "-q"])
        .args(["-n", &records.to_string()])
        .args(["XADD", "tool", "*", "type", "fill", "time", "1700000000000"])
        .args(["data", &"x".repeat(bytes.saturating_sub(30))])
        .output()
        .expect("redis-benchmark");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text
        .rsplit(['\r', '\n'])
        .find_map(|line| line.split_once(" requests per second"))
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("redis-benchmark said {text}"))
}
