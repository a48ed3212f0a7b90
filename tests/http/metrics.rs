//! The scrape: every metric of the table, and promtool's opinion.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hean::http::HttpConfig;
use hean::metrics::{EVENTS, Kind, METRICS};

use super::harness::Harness;

async fn scrape() -> String {
    let server = Harness::reading(HttpConfig::default()).await;
    assert_eq!(server.get("/api/v1/ticker/BTCUSDT").await.status, 200);
    assert_eq!(server.get("/nowhere").await.status, 404);
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    answer.body
}

#[tokio::test]
async fn every_row_of_the_table_is_exported() {
    let text = scrape().await;
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = metric.name;
        assert!(
            text.contains(&format!("# TYPE {name} {kind}\n")),
            "{name} in {text}"
        );
        assert!(
            text.contains(&format!("# HELP {name} {}\n", metric.help)),
            "{name}"
        );
        let sample = text
            .lines()
            .find(|line| {
                let rest = line.strip_prefix(name).unwrap_or_default();
                rest.starts_with([' ', '{']) || rest.starts_with("_bucket{")
            })
            .unwrap_or_else(|| panic!("no sample of {name}"));
        for label in metric.labels {
            assert!(
                sample.contains(&format!("{label}=\"")),
                "{label} in {sample}"
            );
        }
    }
    for line in [
        "trading_total_trades 12",
        "trading_portfolio_value_usd 100001.5",
        "trading_active_positions 2",
        "trading_sharpe_ratio NaN",
        "hean_book_gaps_total{venue=\"binance\",symbol=\"BTCUSDT\"} 2",
        "hean_book_valid{venue=\"binance\",symbol=\"ETHUSDT\"} 1",
        "hean_store_lag_records 2",
        "hean_journal_lag_records 1",
        "hean_journal_disk_full 0",
        "hean_journal_recovery_seconds 0.0025",
        "hean_kill_switch 0",
        "hean_risk_mode 1",
        "hean_exposure_usd 150.75",
        "hean_margin_usd 12.5",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    // Nothing is exported that the table does not know.
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|l| l.split(' ').next())
        {
            let mut table = METRICS.iter().chain(EVENTS);
            let known = table.any(|m| m.name == name) || name.starts_with("process_");
            assert!(known, "{name} is not in METRICS");
        }
    }
}

#[tokio::test]
async fn promtool_finds_nothing_but_the_old_names() {
    let text = scrape().await;
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        writeln!(std::io::stdout(), "skipped: promtool is not installed").unwrap();
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let legacy = ["trading_total_trades ", "trading_order_latency_ms "];
    for line in said.lines() {
        assert!(legacy.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

/// What of this process is in memory.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.expect("VmRSS").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") * 1_024
}
