//! Writing the journal into a real redis-server, beside a client without manners that sends the same events and
//! nothing else, and beside what `redis-benchmark` can do.

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
const TOGETHER: usize = 512;
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
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for _ in 0..rounds {
        let server = Server::start();
        while TcpStream::connect(("127.0.0.1", server.port())).is_err() {
            std::thread::yield_now();
        }
        let projected = project(dir.path(), &server, records);
        let (raw, bytes) = raw(&server);
        let tool = redis_benchmark(&server, records, bytes / records as usize);
        for (name, rate) in [
            ("the projection: events, and hashes once a call", projected),
            ("raw pipelined XADD of the same events alone", raw),
            ("redis-benchmark -P 16 XADD of as many bytes", tool),
        ] {
            let best = best.entry(name).or_default();
            *best = best.max(rate);
        }
        println!(
            "  projection {projected:.0}   raw {raw:.0} ({:.2} x)   redis-benchmark {tool:.0} ({:.2} x)",
            projected / raw,
            projected / tool
        );
    }
    println!("  best:");
    for (name, rate) in best {
        println!("  {name:<50} {rate:>10.0}");
    }
}

/// Events a second from the start of the task until the store has them all.
fn project(dir: &Path, server: &Server, records: u64) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    let clock = Clock::start();
    let status = Arc::new(StoreStatus::default());
    let (_durable, durable) = watch::channel(Seq(records));
    let (stop, stopping) = watch::channel(false);
    let began = clock.now();
    let task = runtime.spawn(store::run(
        StoreConfig::new(server.url()),
        journal::config(dir, SyncPolicy::Os, u64::MAX).journal_dir(),
        durable,
        Arc::clone(&status),
        Arc::new(Resolver::from_system()),
        clock.clone(),
        stopping,
    ));
    while status.applied().0 < records {
        assert!(!task.is_finished(), "the projection has ended");
        // Not a spinning look: the cores are for those that are measured.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let took = clock.now().since(began) as f64 / 1e9;
    stop.send_replace(true);
    runtime.block_on(task).expect("no panic").expect("in order");
    records as f64 / took
}

/// A connection that knows no more of the protocol than it needs.
struct Raw {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Raw {
    fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
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
