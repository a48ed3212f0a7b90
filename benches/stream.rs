//! Many clients of `/ws` on a demo of several symbols: what they cost the daemon, how late they are told, and
//! whether the kernel notices. The clients are this process, the daemon another one.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hean::runtime::clock::Clock;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::latency::Latencies;

const SYMBOLS: [&str; 4] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT"];
/// Ticks of the clock that `/proc/PID/stat` counts in, in a second.
const TICKS: f64 = 100.0;

struct Daemon {
    child: Child,
    addr: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Daemon {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hean"))
            .args([
                "run",
                "--demo",
                "--listen",
                "127.0.0.1:0",
                "--symbols",
                &SYMBOLS.join(","),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the daemon");
        let stdout = child.stdout.take().expect("piped");
        let line = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("listening on"))
            .expect("it says where it listens");
        let addr = line
            .rsplit("http://")
            .next()
            .expect("an address")
            .trim()
            .to_owned();
        Self { child, addr }
    }

    /// Seconds of CPU used so far.
    fn cpu(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .expect("fields")
            .split(' ')
            .collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / TICKS
    }

    fn resident_mib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("a number")
            / 1_024
    }

    /// Counts of the buckets of `hean_stage_seconds` of the kernel's steps.
    async fn steps(&self) -> Vec<(String, f64)> {
        let mut socket = TcpStream::connect(&self.addr).await.expect("connect");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("ask");
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("metrics");
        text.lines()
            .filter(|line| {
                line.starts_with("hean_stage_seconds_bucket") && line.contains("\"step\"")
            })
            .filter_map(|line| {
                let (labels, count) = line.rsplit_once(' ')?;
                let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
                Some((bound.to_owned(), count.parse().ok()?))
            })
            .collect()
    }
}

/// The bound of the bucket below which a share of the steps between two scrapes lies.
fn quantile(before: &[(String, f64)], after: &[(String, f64)], share: f64) -> String {
    let new: Vec<(&str, f64)> = after
        .iter()
        .map(|(bound, count)| {
            let old = before
                .iter()
                .find(|(b, _)| b == bound)
                .map_or(0.0, |(_, count)| *count);
            (bound.as_str(), count - old)
        })
        .collect();
    let all = new.last().map_or(0.0, |(_, count)| *count);
    let found = new.iter().find(|(_, count)| *count >= share * all);
    found.map_or_else(|| "?".to_owned(), |(bound, _)| (*bound).to_owned())
}

/// When each update was seen first, by its text; and how much later the others saw it.
struct Seen {
    first: HashMap<u64, i64>,
    late: Latencies,
    messages: u64,
    bytes: u64,
    recording: bool,
}

/// The texts of the frames in `buffer`, which are taken out of it.
fn take_frames(buffer: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    let mut at = 0;
    loop {
        let rest = &buffer[at..];
        let [first, short, ..] = rest else { break };
        let (head, length) = match short {
            126 if rest.len() >= 4 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
            126 => break,
            127 if rest.len() >= 10 => (
                10,
                rest[2..10].iter().fold(0, |n, b| n << 8 | usize::from(*b)),
            ),
            127 => break,
            short => (2, usize::from(*short)),
        };
        let Some(payload) = rest.get(head..head + length) else {
            break;
        };
        if *first == 0x81 {
            each(payload);
        }
        at += head + length;
    }
    buffer.drain(..at);
}

async fn client(addr: String, number: usize, clock: Clock, seen: Arc<Mutex<Seen>>) {
    let mut socket = TcpStream::connect(addr).await.expect("connect");
    let symbol = SYMBOLS[number % SYMBOLS.len()];
    let request = format!(
        "{{\"id\":1,\"method\":\"SUBSCRIBE\",\"params\":[\"{symbol}@ticker\",\"{symbol}@book\",\"orders\"]}}"
    );
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(handshake.as_bytes()).await.expect("ask");
    let mut buffer = Vec::with_capacity(1 << 14);
    let end = loop {
        assert!(
            socket.read_buf(&mut buffer).await.expect("read") > 0,
            "refused"
        );
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
    };
    buffer.drain(..end);
    // A mask of zeros changes nothing.
    let length = u8::try_from(request.len()).expect("short");
    let mut frame = if length < 126 {
        vec![0x81, 0x80 | length]
    } else {
        vec![0x81, 0x80 | 0x7e, 0, length]
    };
    frame.extend([0; 4]);
    frame.extend(request.as_bytes());
    socket.write_all(&frame).await.expect("ask");
    loop {
        match socket.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let now = clock.now().0;
        let mut seen = seen.lock();
        take_frames(&mut buffer, |text| {
            seen.messages += 1;
            seen.bytes += text.len() as u64;
            // `seq` differs between clients; what follows it does not.
            let Some(at) = text.windows(8).position(|w| w == b"\"data\":{") else {
                return;
            };
            let key = xxhash_rust::xxh3::xxh3_64(&text[at..]);
            if seen.recording && text.windows(8).any(|w| w == b"\"update\"") {
                let first = *seen.first.entry(key).or_insert(now);
                let late = u64::try_from(now - first).unwrap_or(0);
                seen.late.record(late);
            }
        });
    }
}

pub(crate) fn bench(measure: bool) {
    let (clients, seconds) = if measure { (1_000, 20) } else { (20, 1) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(run(clients, Duration::from_secs(seconds)));
}

async fn run(clients: usize, time: Duration) {
    let daemon = Daemon::start();
    let clock = Clock::start();
    // Its market is on its way.
    tokio::time::sleep(time.min(Duration::from_secs(5))).await;
    let (cpu, steps) = (daemon.cpu(), daemon.steps().await);
    tokio::time::sleep(time).await;
    let (idle_cpu, idle_steps) = (daemon.cpu() - cpu, daemon.steps().await);
    let idle = [0.5, 0.99].map(|share| quantile(&steps, &idle_steps, share));
    let idle_mib = daemon.resident_mib();

    let seen = Arc::new(Mutex::new(Seen {
        first: HashMap::new(),
        late: Latencies::new(4_000_000),
        messages: 0,
        bytes: 0,
        recording: false,
    }));
    let mut all = tokio::task::JoinSet::new();
    for number in 0..clients {
        all.spawn(client(
            daemon.addr.clone(),
            number,
            clock.clone(),
            Arc::clone(&seen),
        ));
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    tokio::time::sleep(time.min(Duration::from_secs(3))).await;
    let (cpu, steps) = (daemon.cpu(), daemon.steps().await);
    {
        let mut seen = seen.lock();
        seen.recording = true;
        (seen.messages, seen.bytes) = (0, 0);
    }
    tokio::time::sleep(time).await;
    let (busy_cpu, busy_steps) = (daemon.cpu() - cpu, daemon.steps().await);
    let busy = [0.5, 0.99].map(|share| quantile(&steps, &busy_steps, share));
    let mut out = std::io::stdout().lock();
    let mut seen = seen.lock();
    let secs = time.as_secs_f64();
    drop(writeln!(
        out,
        "\nstreams: {clients} clients with 3 topics each on {} symbols, {secs} s\n  \
         {} are still connected\n  \
         {:.0} messages/s, {:.1} MB/s\n  \
         CPU of the daemon: {:.1} % of a core without clients, {:.1} % with them\n  \
         resident memory: {idle_mib} MiB without, {} MiB with them\n  \
         kernel step below, p50 and p99: {} and {} s without, {} and {} s with them",
        SYMBOLS.len(),
        all.len(),
        seen.messages as f64 / secs,
        seen.bytes as f64 / secs / 1e6,
        100.0 * idle_cpu / secs,
        100.0 * busy_cpu / secs,
        daemon.resident_mib(),
        idle[0],
        idle[1],
        busy[0],
        busy[1],
    ));
    drop(out);
    seen.late
        .print("an update, behind the first client that has it");
    all.abort_all();
}
