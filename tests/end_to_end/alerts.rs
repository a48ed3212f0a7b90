//! Every alert is made to fire by a fault, and clears again when the fault is over: two daemons, their venues and
//! a store, with a real Prometheus that evaluates the real rules.
//!
//! What is shortened is time: no `for`, windows of seconds ([`quick`]). How long a state must last is held by
//! promtool's cases. Two thresholds are lowered as well, which would take tens of thousands of records.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hean::runtime::clock::Clock;
use hean::venue::sim::{self, Fault, SimConfig, SimHandle, Source};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::client::{Answer, get, json, metric, request, wait_books};
use super::monitoring::Prometheus;
use super::process::{HEAN, Process, command, pause, until, until_within};
use super::redis::Redis;

/// Alerts that cannot be made to fire here, and why. Their rules are held by promtool's cases alone.
const NOT_MADE: &[(&str, &str)] = &[
    (
        "HeanDiskSpaceLow",
        "a series of node-exporter, which is not part of this test",
    ),
    (
        "HeanMemoryHigh",
        "nothing makes the daemon take two gigabytes: its buffers are bounded",
    ),
    (
        "HeanJournalOverQuota",
        "takes a whole segment of records that the store lacks; the journal's own tests make it",
    ),
];

/// Longest wait for an alert: from the fault over scrape and rule, with a machine that does other things.
const PATIENCE: Duration = Duration::from_mins(1);

/// Shorter windows, and two thresholds of records that are within reach.
fn quick(line: &str) -> String {
    let mut line = line.to_owned();
    for (long, short) in [
        ("[1m]", "[5s]"),
        ("[5m]", "[8s]"),
        ("[15m]", "[20s]"),
        ("[1h]", "[10s]"),
        ("[7d]", "[15s]"),
        (
            "hean_journal_lag_records > 10000",
            "hean_journal_lag_records > 5",
        ),
        (
            "hean_store_lag_records > 50000",
            "hean_store_lag_records > 50",
        ),
    ] {
        line = line.replace(long, short);
    }
    line
}

/// What fires, and has fired, of whom.
struct Watch {
    prometheus: Prometheus,
    fired: BTreeSet<&'static str>,
}

impl Watch {
    fn fires(&self, alert: &str, of: SocketAddr) -> bool {
        let query =
            format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",instance=\"{of}\"}}");
        self.prometheus.series(&query) > 0
    }

    /// Waits until each of `alerts` has fired for this daemon, each at its own time.
    fn fire(&mut self, of: SocketAddr, alerts: &[&'static str]) {
        let mut left = alerts.to_vec();
        for alert in alerts {
            until_within(PATIENCE, &format!("{alert} that fires"), || {
                left.retain(|alert| !self.fires(alert, of));
                (!left.contains(alert)).then_some(())
            });
        }
        self.fired.extend(alerts);
    }

    /// Waits until none of `alerts` fires any more.
    fn clear(&self, of: SocketAddr, alerts: &[&'static str]) {
        for alert in alerts {
            until_within(PATIENCE, &format!("{alert} that clears"), || {
                (!self.fires(alert, of)).then_some(())
            });
        }
    }

    /// None of `alerts` may fire yet: a fault makes them, not the weather.
    fn quiet(&self, of: SocketAddr, alerts: &[&'static str]) {
        for alert in alerts {
            assert!(!self.fires(alert, of), "{alert} fires without a reason");
        }
    }
}

/// A venue in this process, whose faults are ordered.
struct Venue {
    sim: SimHandle,
    _runtime: Runtime,
    _stop: watch::Sender<bool>,
}

impl Venue {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let stop = watch::Sender::new(false);
        let config = SimConfig::new(Source::Synthetic {
            seed: 3,
            symbols: vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()],
            speed: 1.0,
            rate: 1.0,
        });
        let sim = runtime.block_on(sim::start(config, Clock::start(), stop.subscribe()));
        Self {
            sim: sim.expect("a venue"),
            _runtime: runtime,
            _stop: stop,
        }
    }

    /// Uses up its request weight, as another program behind our address might.
    fn use_weight(&self) {
        until("a minute in which most weight is used", || {
            let mut stream = TcpStream::connect(self.sim.local_addr).expect("the venue");
            let target = "/api/v3/depth?symbol=BTCUSDT&limit=5000";
            let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("sent");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer");
            let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let used = answer
                .split("x-mbx-used-weight-1m:")
                .nth(1)
                .expect("a header");
            let used = used.lines().next().expect("a line").trim();
            (used.parse::<u32>().expect("a number") > 5_300).then_some(())
        });
    }
}

fn fault(text: &str) -> Fault {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn free_port() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    free.expect("a free port")
}

/// A daemon without strategies, with settings of its own.
fn daemon(venue: SocketAddr, listen: SocketAddr, dir: &Path, settings: &[(&str, &str)]) -> Process {
    let mut run = command(HEAN);
    run.args([
        "run",
        "--exchange",
        "binance",
        "--symbols",
        "BTCUSDT,ETHUSDT",
    ])
    .args(["--interval", "1s", "--listen", &listen.to_string()])
    .args(["--base-url", &format!("binance=http://{venue}")])
    .arg("--data-dir")
    .arg(dir);
    for (key, value) in settings {
        run.env(format!("HEAN__{key}"), value);
    }
    let mut process = Process::run(&mut run);
    process.wait_listening();
    wait_books(listen, &["BTCUSDT", "ETHUSDT"]);
    process
}

fn order(addr: SocketAddr, body: &str) -> Answer {
    request(addr, "POST", "/api/v1/orders", body).expect("an answer")
}

/// An order at the market; the status of its answer.
fn trade(addr: SocketAddr, side: &str, quantity: &str) -> u16 {
    let body = format!(
        r#"{{"symbol":"BTCUSDT","side":"{side}","type":"market","quantity":"{quantity}"}}"#
    );
    order(addr, &body).status
}

fn buy(addr: SocketAddr, quantity: &str) -> u16 {
    trade(addr, "buy", quantity)
}

/// Orders that are far beyond a limit; each makes a record.
fn refused(addr: SocketAddr, count: usize) {
    for _ in 0..count {
        assert_eq!(buy(addr, "1000"), 422);
    }
}

fn post(addr: SocketAddr, path: &str) {
    let answer = request(addr, "POST", path, "{}").expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
}

/// Does something to a call of one thread of a process, for as long as this lives. `None` where nothing may be
/// traced.
fn disturb(process: &Process, thread: &str, call: &str, how: &str) -> Option<Process> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).expect("threads");
    let of_name = |dir: &fs::DirEntry| {
        fs::read_to_string(dir.path().join("comm")).is_ok_and(|name| name.trim() == thread)
    };
    let mut found = tasks.filter_map(Result::ok).filter(of_name);
    let task = found.next().unwrap_or_else(|| panic!("no thread {thread}"));
    let works = Command::new("strace").args(["-qq", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return None;
    }
    Some(Process::run(
        command("strace")
            .args(["-qq", "-o", "/dev/null", "-p"])
            .arg(task.file_name())
            .arg("-e")
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:{how}")),
    ))
}

/// The soft limit of open files, without touching the hard one.
fn limit_files(process: &Process, soft: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &process.pid().to_string()])
        .arg(format!("--nofile={soft}:"))
        .status();
    assert!(status.expect("prlimit runs").success());
}

/// Every alert of the rules.
fn all_alerts() -> BTreeSet<String> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules/alerts.yml");
    let text = fs::read_to_string(rules).expect("rules");
    let names = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// A small disk of our own, or a directory where nothing may be mounted.
struct Disk {
    dir: tempfile::TempDir,
    mounted: bool,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=160m", "hean-test"])
            .arg(dir.path())
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        Self { dir, mounted }
    }

    /// Takes what is free. A write that is refused has taken it.
    fn fill(&self) {
        let filled = fs::write(self.dir.path().join("filler"), vec![1_u8; 200 << 20]);
        assert!(filled.is_err(), "more room than expected");
    }

    fn free(&self) {
        fs::remove_file(self.dir.path().join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            drop(
                Command::new("umount")
                    .arg("-l")
                    .arg(self.dir.path())
                    .status(),
            );
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "what cannot be made here is said")]
fn heavy_each_alert_is_made_to_fire_by_a_fault_and_clears_again() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let venue = Venue::start();
    // Its time runs away from ours.
    let other_venue = free_port();
    let fast = [
        "sim",
        "--seed",
        "4",
        "--speed",
        "3",
        "--symbols",
        "BTCUSDT,ETHUSDT",
        "--listen",
    ];
    let listen = other_venue.to_string();
    let sim = |args: &[&str]| Process::serve(&[args, &[listen.as_str()]].concat());
    let skewed = sim(&fast);
    let (disk, dir) = (Disk::new(), tempfile::tempdir().expect("directory"));
    let (a, b) = (free_port(), free_port());
    let data = disk.dir.path().join("data");
    let url = redis.url();
    let first = daemon(
        venue.sim.local_addr,
        a,
        &data,
        &[
            ("STORE__URL", &url),
            ("STORE__TIMEOUT_MS", "500"),
            ("KERNEL__QUEUE_MARKET", "256"),
            ("KERNEL__QUEUE_COMMANDS", "64"),
            ("JOURNAL__SNAPSHOT_EVERY", "100"),
        ],
    );
    let settings = [
        ("PAPER__LATENCY", "4s"),
        ("PAPER__TAKER_FEE", "0.1"),
        ("RISK__ORDER_NOTIONAL_MAX", "100000"),
        ("ORDERS__ANSWER_TIMEOUT_MS", "1000"),
    ];
    let start_second = || daemon(other_venue, b, dir.path(), &settings);
    let second = start_second();
    let Some(prometheus) = Prometheus::start(&[a, b], quick) else {
        return;
    };
    let mut watch = Watch {
        prometheus,
        fired: BTreeSet::new(),
    };
    until("both daemons' data", || {
        (watch.prometheus.series("up{job=\"hean\"} == 1") == 2).then_some(())
    });
    let mut not_here = Vec::new();

    // Another program behind our address takes the venue's patience, until the next minute.
    watch.quiet(a, &["HeanWeightHigh"]);
    venue.use_weight();
    let lost = venue.sim.inject(fault("drop@binance/ethusdt@depth*:n=1"));
    watch.fire(a, &["HeanWeightHigh"]);
    venue.sim.lift(lost);

    // The second one: a venue whose clock is wrong, an expensive and slow one.
    watch.fire(b, &["HeanClockSkew"]);
    let money = [
        "HeanOrdersUnknown",
        "HeanOrderLatencyHigh",
        "HeanRejectRatioHigh",
    ];
    let losses = ["HeanDrawdown", "HeanReduceOnly"];
    watch.quiet(b, &money);
    watch.quiet(b, &losses);
    let ask = json(b, "/api/v1/ticker/BTCUSDT")["ask"]
        .as_f64()
        .expect("a price");
    for _ in 0..2 {
        let price = (ask * 1.01).round();
        let crossing = format!(
            r#"{{"symbol":"BTCUSDT","side":"buy","type":"limit","price":"{price}","quantity":"0.001","post_only":true}}"#
        );
        assert_eq!(order(b, &crossing).status, 202);
    }
    // To and fro at a fee of a tenth.
    assert_eq!(trade(b, "buy", "1"), 202, "nobody knows yet");
    until("the purchase", || {
        let positions = json(b, "/api/v1/positions").to_string();
        positions.contains("BTCUSDT").then_some(())
    });
    assert_eq!(trade(b, "sell", "1"), 202, "nobody knows yet");
    watch.fire(b, &money);
    watch.fire(b, &losses);
    post(b, "/api/v1/resume");
    watch.clear(b, &losses);
    watch.clear(b, &money);
    // From here on its venue is frozen, while the first one has troubles of its own.
    skewed.signal("STOP");

    // The store is gone, risk refuses, somebody halts, and files are short.
    let trouble = [
        "HeanStoreDown",
        "HeanStoreLag",
        "HeanRiskRefusals",
        "HeanKillSwitch",
    ];
    let files = ["HeanFileDescriptorsLow"];
    watch.quiet(a, &files);
    watch.quiet(a, &trouble);
    redis.kill();
    refused(a, 80);
    post(a, "/api/v1/halt");
    watch.fire(a, &trouble);
    // A few more than are open.
    let open = metric(a, "process_open_fds");
    limit_files(&first, &format!("{:.0}", open / 0.9 + 1.0));
    watch.fire(a, &files);
    limit_files(&first, "1024");
    watch.clear(a, &files);
    post(a, "/api/v1/resume");
    redis.start_again();
    watch.clear(a, &trouble);

    // A full disk.
    let full = ["HeanJournalFull"];
    if disk.mounted {
        watch.quiet(a, &full);
        disk.fill();
        watch.fire(a, &full);
        disk.free();
        watch.clear(a, &full);
    } else {
        not_here.extend(full);
    }

    // Threads that stand still.
    let stuck = ["HeanKernelStuck", "HeanQueueDrops", "HeanHttpErrors"];
    let journal = ["HeanJournalSlow", "HeanSnapshotsFail"];
    watch.quiet(a, &stuck);
    watch.quiet(a, &journal);
    if let Some(tracer) = disturb(&first, "kernel", "futex", "delay_enter=12000000") {
        // Callers whose commands nobody takes, until no more fit.
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        buy(a, "0.001");
                        pause(Duration::from_millis(100));
                    }
                });
            }
            watch.fire(a, &stuck);
            stop.store(true, Ordering::Relaxed);
        });
        drop(tracer);
        watch.clear(a, &stuck);
        // A disk that takes seconds, and one that takes no snapshot.
        let slow = disturb(&first, "hean-journal", "fdatasync", "delay_enter=2000000");
        let unwilling = disturb(&first, "hean-keeper", "openat", "error=ENOSPC");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        buy(a, "1000");
                    }
                });
            }
            watch.fire(a, &journal[..1]);
            stop.store(true, Ordering::Relaxed);
        });
        drop(slow);
        refused(a, 110);
        watch.fire(a, &journal[1..]);
        drop(unwilling);
        watch.clear(a, &journal);
    } else {
        not_here.extend(stuck.into_iter().chain(journal));
    }

    // Bad weather between the first one and its venue.
    let weather = ["HeanGapStorm", "HeanFeedSlow", "HeanBookInvalid"];
    watch.clear(a, &["HeanWeightHigh"]);
    watch.clear(a, &weather);
    let faults = [
        "delay@binance/*@trade:by=2s:p=1",
        "drop@binance/btcusdt@depth*:p=0.3",
        "drop@binance/ethusdt@depth*:n=1",
    ]
    .map(|text| venue.sim.inject(fault(text)));
    watch.fire(a, &["HeanGapStorm", "HeanFeedSlow"]);
    let unserved = venue.sim.inject(fault("status@binance/depth:code=503:p=1"));
    watch.fire(a, &["HeanBookInvalid"]);
    for fault in faults.into_iter().chain([unserved]) {
        venue.sim.lift(fault);
    }
    watch.clear(a, &weather);

    // The second one's venue has been silent for long enough; then it is gone, and comes back with the right time.
    watch.fire(b, &["HeanFeedStale"]);
    skewed.kill();
    watch.fire(b, &["HeanFeedDisconnected"]);
    let mut slow = fast;
    slow[4] = "1";
    let right = sim(&slow);
    watch.clear(
        b,
        &["HeanFeedStale", "HeanFeedDisconnected", "HeanClockSkew"],
    );

    // Starts again and again.
    watch.quiet(b, &["HeanRestarts"]);
    let mut second = second;
    for _ in 0..3 {
        let ended = second.terminate(Duration::from_secs(20));
        assert!(ended.success(), "{ended}");
        second = start_second();
        let started = format!("process_start_time_seconds{{instance=\"{b}\"}}");
        let began = get(b, "/metrics").body;
        let began = began
            .lines()
            .find_map(|l| l.strip_prefix("process_start_time_seconds "));
        let began = began.expect("a start").to_owned();
        until("the start in Prometheus", || {
            let query = format!("{started} == {began}");
            (watch.prometheus.series(&query) > 0).then_some(())
        });
    }
    watch.fire(b, &["HeanRestarts"]);
    watch.clear(b, &["HeanRestarts"]);
    drop((second, right));

    // Nothing answers at all.
    watch.quiet(a, &["HeanDown"]);
    first.signal("STOP");
    watch.fire(a, &["HeanDown"]);
    first.signal("CONT");
    watch.clear(a, &["HeanDown"]);

    if !not_here.is_empty() {
        println!("skipped: {not_here:?}, because nothing may be mounted or traced here");
    }
    let told: Vec<&str> = watch.fired.iter().copied().chain(not_here).collect();
    let not_made = NOT_MADE.iter().map(|(alert, _)| *alert);
    let mut listed: Vec<String> = told
        .into_iter()
        .chain(not_made)
        .map(str::to_owned)
        .collect();
    listed.sort_unstable();
    let all: Vec<String> = all_alerts().into_iter().collect();
    assert_eq!(
        listed, all,
        "each alert fires here, or is listed with the reason, and never both"
    );
}
