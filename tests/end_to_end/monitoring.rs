//! A real Prometheus that scrapes a real demo with a store: every query of the dashboards evaluates to data,
//! and alerts fire on what they are for and clear again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::client::{json, request};
use super::process::{HUNG, Process, command, skip, until, until_within};
use super::queries::queries;
use super::redis::Redis;

/// Queries of exporters that are no part of this test.
const FOREIGN: [&str; 3] = ["node_", "container_", "redis_"];
/// From the first scrape until rates over windows of a minute exist.
const PATIENCE: Duration = Duration::from_mins(2);

/// A Prometheus with our rules, ten times as fast as they are meant to be evaluated.
pub(crate) struct Prometheus {
    _process: Process,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `targets`; `change` may change a line of the rules once more.
    pub(crate) fn start(targets: &[SocketAddr], change: fn(&str) -> String) -> Option<Self> {
        if Command::new("prometheus")
            .arg("--version")
            .output()
            .is_err()
        {
            skip("no prometheus");
            return None;
        }
        let dir = tempfile::tempdir().expect("directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let addr = free.expect("a free port");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
        for name in ["recording.yml", "alerts.yml"] {
            let text = fs::read_to_string(rules.join(name)).expect("rules");
            // How long a state must last is held by promtool; here it is the state that counts.
            let mut quick = String::new();
            for line in text.lines().filter(|l| !l.trim().starts_with("for: ")) {
                let line = line.replace("interval: 15s", "interval: 1s");
                writeln!(quick, "{}", change(&line)).expect("memory");
            }
            fs::write(dir.path().join(name), quick).expect("rules");
        }
        let targets: Vec<String> = targets.iter().map(|t| format!("'{t}'")).collect();
        let targets = targets.join(", ");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{0}/recording.yml, {0}/alerts.yml]\n\
             scrape_configs: [{{job_name: hean, static_configs: [{{targets: [{targets}]}}]}}]\n",
            dir.path().display()
        );
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, config).expect("configuration");
        let process = Process::run(
            command("prometheus")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    dir.path().join("data").display()
                ))
                .arg(format!("--web.listen-address={addr}")),
        );
        let prometheus = Self {
            _process: process,
            addr,
            _dir: dir,
        };
        until("Prometheus", || prometheus.get("/-/ready").map(drop));
        Some(prometheus)
    }

    /// The body of an answer with status 200. HTTP/1.0: the answer ends with the connection.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.addr).ok()?;
        stream.set_read_timeout(Some(HUNG)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.addr).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        head.lines()
            .next()?
            .contains(" 200 ")
            .then(|| body.to_owned())
    }

    /// How many series a query gives now.
    pub(crate) fn series(&self, query: &str) -> usize {
        let mut text = String::new();
        for byte in query.bytes() {
            write!(text, "%{byte:02X}").expect("memory");
        }
        let body = self.get(&format!("/api/v1/query?query={text}"));
        let body = body.unwrap_or_else(|| panic!("Prometheus refuses {query}"));
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }

    fn fires(&self, alert: &str) -> bool {
        self.series(&format!(
            "ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}"
        )) > 0
    }

    fn wait(&self, alert: &str, fires: bool) {
        let what = format!("{alert} that fires: {fires}");
        until_within(PATIENCE, &what, || {
            (self.fires(alert) == fires).then_some(())
        });
    }
}

#[test]
fn heavy_every_query_has_data_and_alerts_fire_and_clear() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let daemon = Process::serve(&[
        "run",
        "--demo",
        "--listen",
        "127.0.0.1:0",
        "--keydb",
        &redis.url(),
    ]);
    let addr = daemon.addr();
    let Some(prometheus) = Prometheus::start(&[addr], str::to_owned) else {
        return;
    };
    until("a position", || {
        let order = r#"{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":"0.001"}"#;
        let answer = request(addr, "POST", "/api/v1/orders", order).ok()?;
        (answer.status == 201).then_some(())
    });

    let mut waiting: BTreeSet<(String, String)> = queries()
        .into_iter()
        .filter(|(_, query)| !FOREIGN.iter().any(|name| query.contains(name)))
        .map(|(place, query)| (place, query.replace("$instance", ".*")))
        .collect();
    assert!(waiting.len() > 50, "only {} queries", waiting.len());
    let all = waiting.len();
    until_within(PATIENCE, "data for every query", || {
        waiting.retain(|(_, query)| prometheus.series(query) == 0);
        // Everything but what a panic message would be about.
        (waiting.is_empty() || prometheus.series("count_over_time(up[90s]) >= 85") > 0)
            .then_some(())
    });
    assert!(
        waiting.is_empty(),
        "no data for {} of {all}: {waiting:#?}",
        waiting.len()
    );

    for alert in ["HeanKillSwitch", "HeanStoreDown", "HeanDown"] {
        assert!(!prometheus.fires(alert), "{alert} fires without a reason");
    }
    assert_eq!(
        request(addr, "POST", "/api/v1/halt", "{}")
            .expect("answer")
            .status,
        200
    );
    prometheus.wait("HeanKillSwitch", true);
    assert_eq!(
        request(addr, "POST", "/api/v1/resume", "")
            .expect("answer")
            .status,
        200
    );
    prometheus.wait("HeanKillSwitch", false);

    redis.kill();
    prometheus.wait("HeanStoreDown", true);
    redis.start_again();
    prometheus.wait("HeanStoreDown", false);

    daemon.signal("STOP");
    prometheus.wait("HeanDown", true);
    daemon.signal("CONT");
    prometheus.wait("HeanDown", false);
    assert_eq!(json(addr, "/health")["status"], "healthy");
}
