//! Backtests: against a second program, against replay, against truncated inputs, and the page in a browser.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "support/recordings.rs"]
mod recordings;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use hean::backtest::candles::Play;
use hean::backtest::command::backtest;
use hean::backtest::{Setup, Source, run};
use hean::cli::{Cli, Command as Cmd};
use hean::kernel::KernelConfig;
use hean::kernel::strategies::{STRATEGIES, StrategyConfig};
use hean::kernel::types::{Interval, Money, Rate, Time, VenueId};
use hean::replay::{ReplayConfig, replay};
use hean::runtime::clock::Clock;
use hean::tape::Tape;
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::latency::Latency;
use recordings::recordings;
use serde::Deserialize;
use serde_json::value::RawValue;

const MINUTES: &str = "nautilus_trader/csv/btc-perp-20211231-20220201_1m.csv.gz";

/// `hean backtest` with these arguments, as JSON.
fn json(file: &Path, args: &[&str]) -> String {
    let file = file.display().to_string();
    let line = ["hean", "backtest", &file]
        .into_iter()
        .chain(args.iter().copied());
    let Cmd::Backtest(args) = Cli::try_parse_from(line).expect("arguments").command else {
        panic!("another command");
    };
    String::from_utf8(backtest(&args, true).expect("backtest")).expect("text")
}

/// The parts that are compared, numbers as they are written.
#[derive(Debug, Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    totals: Totals<'a>,
    fills: Vec<Fill<'a>>,
    trades: Vec<Trip>,
}

#[derive(Debug, Deserialize)]
struct Totals<'a> {
    #[serde(borrow)]
    equity: &'a RawValue,
    net_pnl: &'a RawValue,
    realized_pnl: &'a RawValue,
    fees: &'a RawValue,
    funding: &'a RawValue,
    turnover: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct Fill<'a> {
    timestamp: i64,
    side: &'a str,
    #[serde(borrow)]
    price: &'a RawValue,
    quantity: &'a RawValue,
    fee: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct Trip {
    exit_price: Option<f64>,
    net_pnl: f64,
}

fn parsed(text: &str) -> Report<'_> {
    serde_json::from_str(text).expect("a report")
}

#[derive(Debug, Deserialize)]
struct Reference {
    fills: Vec<ReferenceFill>,
    equity: String,
    net_pnl: String,
    realized_pnl: String,
    fees: String,
    turnover: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct ReferenceFill {
    side: String,
    price: String,
    quantity: String,
    fee: String,
}

/// A second program, written from the rules, comes to the same fills and the same money, to the last digit.
fn equals_the_reference(strategy: &str, params: &[(&str, &str)], bps: &str) {
    let Some(data) = recordings() else { return };
    let file = data.join(MINUTES);
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backtest_reference/reference.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(&file).arg(strategy);
    python.args([
        "--cash", "20000", "--taker", "0.0007", "--quote", "1500", "--bps", bps,
    ]);
    let sized = format!("{strategy}.size=quote 1500");
    let mut args = vec![
        "--symbol",
        "binance:BTCUSDT",
        "--strategy",
        strategy,
        "--cash",
        "20000",
        "--fee-taker",
        "0.0007",
        "--slippage-bps",
        bps,
        "--param",
        &sized,
    ];
    let set: Vec<String> = params
        .iter()
        .map(|(k, v)| format!("{strategy}.{k}={v}"))
        .collect();
    for ((key, value), set) in params.iter().zip(&set) {
        python.arg("--param").arg(format!("{key}={value}"));
        args.extend(["--param", set]);
    }
    let output = match python.output() {
        Ok(output) => output,
        Err(error) => {
            let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
            assert!(!ci, "no python3: {error}");
            println!("skipped 1 test: no python3: {error}");
            return;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected: Reference = serde_json::from_slice(&output.stdout).expect("the reference");
    let text = json(&file, &args);
    let ours = parsed(&text);
    assert!(
        expected.fills.len() > 100,
        "only {} fills",
        expected.fills.len()
    );
    assert_eq!(ours.fills.len(), expected.fills.len());
    for (at, (ours, theirs)) in ours.fills.iter().zip(&expected.fills).enumerate() {
        let ours = ReferenceFill {
            side: ours.side.to_owned(),
            price: ours.price.get().to_owned(),
            quantity: ours.quantity.get().to_owned(),
            fee: ours.fee.get().to_owned(),
        };
        assert_eq!(ours, *theirs, "fill {at}");
    }
    let totals = &ours.totals;
    for (name, ours, theirs) in [
        ("equity", totals.equity, &expected.equity),
        ("net profit", totals.net_pnl, &expected.net_pnl),
        ("realized", totals.realized_pnl, &expected.realized_pnl),
        ("fees", totals.fees, &expected.fees),
        ("turnover", totals.turnover, &expected.turnover),
    ] {
        assert_eq!(ours.get(), theirs, "{name}");
    }
}

#[test]
fn ema_cross_equals_the_reference() {
    equals_the_reference("ema_cross", &[("fast", "12"), ("slow", "48")], "1.5");
}

#[test]
fn rsi_reversion_equals_the_reference() {
    let params = [
        ("period", "14"),
        ("oversold", "30"),
        ("exit", "50"),
        ("overbought", "70"),
    ];
    equals_the_reference("rsi_reversion", &params, "0");
}

/// Candles of a price that swings, some with long shadows.
fn swinging(rows: i64) -> String {
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    let mut open = 10_000;
    for n in 0..rows {
        // A few sines would do, but whole numbers are the same everywhere.
        let pull = (10_000 - open) / 40;
        let kick = (n * 7_919 + n * n * 31).rem_euclid(101) - 50;
        let close = open + pull + kick;
        let (high, low) = (open.max(close) + n % 13 * 3, open.min(close) - n % 7 * 4);
        let time = 1_700_000_040_000_i64 + n * 60_000;
        let number = |n: i64| format!("{}.{:02}", n / 100, n % 100);
        let [o, h, l, c] = [open, high, low, close].map(number);
        writeln!(text, "{time},{o},{h},{l},{c},{}", 50 + n % 40).expect("text");
        open = close;
    }
    text
}

fn written(dir: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("binance-BTCUSDT-1m.csv");
    std::fs::write(&path, text).expect("written");
    path
}

/// Nothing that a strategy does up to a time depends on what comes after it.
#[test]
fn truncated_inputs_give_the_same_decisions_up_to_there() {
    let dir = tempfile::tempdir().expect("directory");
    let whole = swinging(900);
    let lines: Vec<&str> = whole.lines().collect();
    let mut compared = 0;
    for row in STRATEGIES {
        let one = StrategyConfig::new(row.name, Interval::MINUTE);
        if hean::kernel::strategies::build(&one).is_err() {
            continue; // one that needs a program of the user's
        }
        let args = ["--strategy", row.name, "--cash", "1000000"];
        let text = json(&written(&dir, &whole), &args);
        let all = parsed(&text);
        for cut in [60, 61, 199, 333, 500, 750, 899] {
            let part = format!("{}\n", lines[..=cut].join("\n"));
            let text = json(&written(&dir, &part), &args);
            let part = parsed(&text);
            let end = 1_700_000_040_000 + i64::try_from(cut).expect("small") * 60_000;
            let before: Vec<_> = all.fills.iter().take_while(|f| f.timestamp < end).collect();
            assert_eq!(part.fills.len(), before.len(), "{} cut at {cut}", row.name);
            for (a, b) in part.fills.iter().zip(before) {
                let told = |f: &Fill<'_>| {
                    let side = f.side.to_owned();
                    (
                        f.timestamp,
                        side,
                        f.price.get().to_owned(),
                        f.quantity.get().to_owned(),
                    )
                };
                assert_eq!(told(a), told(b), "{} cut at {cut}", row.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "only {compared} fills compared");
}

#[test]
fn every_strategy_trades_on_real_minutes_and_twice_the_same() {
    let Some(data) = recordings() else { return };
    let file = data.join(MINUTES);
    for row in STRATEGIES {
        let one = StrategyConfig::new(row.name, Interval::MINUTE);
        if hean::kernel::strategies::build(&one).is_err() {
            continue;
        }
        let args = [
            "--symbol",
            "binance-usdm:BTCUSDT",
            "--strategy",
            row.name,
            "--to",
            "2022-01-08",
        ];
        let (first, second) = (json(&file, &args), json(&file, &args));
        assert!(
            !parsed(&first).fills.is_empty(),
            "{} does not trade",
            row.name
        );
        assert_eq!(first, second, "{}", row.name);
        println!("{}: {} fills", row.name, parsed(&first).fills.len());
    }
}

/// The rows that make EMA cross enter at 100.01, and then one more.
fn entered(then: &str) -> String {
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    let mut row = |n: i64, prices: &str| {
        let time = 1_700_000_040_000_i64 + n * 60_000;
        writeln!(text, "{time},{prices},100").expect("text");
    };
    for n in 0..30 {
        row(n, "99.00,99.00,99.00,99.00");
    }
    row(30, "99.00,100.00,99.00,100.00");
    row(31, then);
    row(32, "100.00,100.00,100.00,100.00");
    row(33, "100.00,100.00,100.00,100.00");
    text
}

/// Both a stop and a target lie within one candle: the stop is hit, at its own price.
#[test]
fn within_a_candle_the_stop_comes_before_the_target() {
    let dir = tempfile::tempdir().expect("directory");
    let file = written(&dir, &entered("100.00,103.00,97.00,100.00"));
    let exit = |path: &str| {
        let args = [
            "--strategy",
            "ema_cross",
            "--param",
            "ema_cross.fast=2",
            "--param",
            "ema_cross.slow=3",
            "--param",
            "ema_cross.stop_loss=1%",
            "--param",
            "ema_cross.take_profit=2%",
            "--param",
            "ema_cross.cooldown=100",
            "--tick",
            "0.01",
            "--path",
            path,
        ];
        let text = json(&file, &args);
        let trips = parsed(&text).trades;
        assert_eq!(trips.len(), 1, "{trips:?}");
        (trips[0].exit_price.expect("closed"), trips[0].net_pnl > 0.0)
    };
    // One tick of slippage each.
    assert_eq!(exit("pessimistic"), (98.99, false));
    assert_eq!(exit("low-first"), (98.99, false));
    assert_eq!(exit("high-first"), (101.99, true));
}

/// A limit that a price only touches is not filled, unless that is asked for.
#[test]
fn a_limit_is_filled_by_a_price_beyond_it() {
    let dir = tempfile::tempdir().expect("directory");
    // The grid of one per cent has levels at 99.0115… and 98.0312…: the lows lie at one exactly, then below it.
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    for n in 0..6_i64 {
        let time = 1_700_000_040_000_i64 + n * 60_000;
        let low = if n == 3 { "99.00" } else { "100.00" };
        writeln!(text, "{time},100.00,100.00,{low},100.00,1000000").expect("text");
    }
    let file = written(&dir, &text);
    let fills = |low: &str, fill: &str| {
        let text = std::fs::read_to_string(&file)
            .expect("text")
            .replace("99.00", low);
        let file = written(&dir, &text);
        let args = [
            "--strategy",
            "grid",
            "--param",
            "grid.spacing=1",
            "--tick",
            "0.01",
            "--fill",
            fill,
        ];
        let found = parsed(&json(&file, &args)).fills.len();
        std::fs::write(&file, text.replace(low, "99.00")).expect("written");
        found
    };
    // The level below 100 is 1.01^462 = 99.1953…, on the tick away from the market 99.19.
    assert_eq!(fills("99.19", "through"), 0);
    assert_eq!(fills("99.19", "touch"), 1);
    assert_eq!(fills("99.18", "through"), 1);
}

/// Funding of a constant rate: what is held at eight o'clock pays.
#[test]
fn funding_is_paid_by_what_is_held() {
    let dir = tempfile::tempdir().expect("directory");
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    // 2023-11-14 22:14 UTC; funding at midnight.
    for n in 0..200_i64 {
        let time = 1_700_000_040_000_i64 + n * 60_000;
        let price = format!("{}.00", 100 + n.min(40));
        writeln!(text, "{time},{price},{price},{price},{price},100").expect("text");
    }
    let path = dir.path().join("binance-usdm-BTCUSDT-1m.csv");
    std::fs::write(&path, text).expect("written");
    let args = ["--strategy", "ema_cross", "--funding-rate", "0.001"];
    let text = json(&path, &args);
    let report = parsed(&text);
    let qty: f64 = report.fills[0].quantity.get().parse().expect("number");
    let funding: f64 = report.totals.funding.get().parse().expect("number");
    assert!(
        (funding + qty * 140.0 * 0.001).abs() < 1e-9,
        "{funding} of {qty}"
    );
}

/// The same strategy over the same recording: replay and backtest place the same orders at the same ticks.
#[test]
fn a_recording_gives_the_orders_of_its_replay() {
    let Some(data) = recordings() else { return };
    let files = vec![data.join("hftbacktest/binance_spot_btcusdt_20240808.txt.gz")];
    for name in ["ema_cross", "market_maker"] {
        let second: Interval = "1s".parse().expect("interval");
        let mut strategy = StrategyConfig::new(name, second);
        if name == "ema_cross" {
            strategy.set("fast", "3").expect("parameter");
            strategy.set("slow", "8").expect("parameter");
        }
        let kernel = KernelConfig {
            intervals: vec![second],
            strategies: vec![strategy],
            ..KernelConfig::default()
        };
        let paper = PaperConfig {
            order_latency: Latency::Constant(5_000_000),
            report_latency: Latency::Constant(1_000_000),
            ..PaperConfig::default()
        };
        let cash = ("USDT".to_owned(), Money::whole(100_000));
        let fees = (Rate(20_000), Rate(50_000));
        let replayed = replay(
            &ReplayConfig {
                files: files.clone(),
                venue: VenueId::Binance,
                kernel: kernel.clone(),
                cash: cash.clone(),
                paper: paper.clone(),
                fees,
                depth: 0,
            },
            &Clock::start(),
        )
        .expect("replay");
        let setup = Setup {
            kernel,
            paper,
            cash,
            fees,
            play: Play::default(),
            from: Time(i64::MIN),
            to: Time(i64::MAX),
            warm_from: Time(i64::MIN),
            chart: None,
        };
        let tape = Tape::open(&files, VenueId::Binance).expect("tape");
        let tested = run(&Source::Tape(tape), &setup).expect("backtest");
        assert!(
            tested.trades.marks.len() > 10,
            "{name}: {} fills",
            tested.trades.marks.len()
        );
        assert_eq!(replayed.orders, tested.trades.orders, "{name}");
        assert_eq!(replayed.engine.state_hash(), tested.state_hash, "{name}");
        let tape = Tape::open(&files, VenueId::Binance).expect("tape");
        let (decoded, _) = Source::Tape(tape).decoded().expect("decoded");
        let again = run(&decoded, &setup).expect("backtest");
        assert_eq!(again.trades.marks, tested.trades.marks, "{name}");
        assert_eq!(again.state_hash, tested.state_hash, "{name}");
    }
}

/// The number of threads changes nothing, and the best of a sweep runs as it does alone.
#[test]
fn heavy_a_sweep_is_the_same_over_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("directory");
    let file = written(&dir, &swinging(2_000));
    let sweep = |jobs: &str, more: &[&str]| {
        let mut args = vec![
            "--strategy",
            "ema_cross",
            "--sweep",
            "ema_cross.fast=2..8:3",
            "--sweep",
            "ema_cross.slow=5..15:5",
            "--objective",
            "pnl",
            "--jobs",
            jobs,
        ];
        args.extend(more);
        json(&file, &args)
    };
    let text = sweep("1", &[]);
    assert_eq!(text, sweep("3", &[]));
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let results = report["sweep"]["results"].as_array().expect("results");
    // Of nine combinations two have a fast average that is not faster.
    assert_eq!(
        (results.len(), &report["sweep"]["skipped"]),
        (7, &serde_json::json!(2))
    );
    assert_eq!(results[0]["net_pnl"], report["totals"]["net_pnl"]);
    let walk = sweep("2", &["--walk-forward", "10h:5h"]);
    assert_eq!(walk, sweep("1", &["--walk-forward", "10h:5h"]));
    let walk: serde_json::Value = serde_json::from_str(&walk).expect("JSON");
    let windows = walk["walk_forward"]["windows"].as_array().expect("windows");
    assert_eq!(windows.len(), 5);
    let sum = |key: &str| windows.iter().filter_map(|w| w[key].as_f64()).sum::<f64>();
    let net = walk["totals"]["net_pnl"].as_f64().expect("number");
    assert!((sum("net_pnl_test") - net).abs() < 1e-6, "{net}");
}

/// The page in a real browser: it draws, complains of nothing, and names no address.
#[test]
fn heavy_the_page_works_in_a_browser_and_asks_nobody() {
    let dir = tempfile::tempdir().expect("directory");
    let page = dir.path().join("report.html");
    let path = page.display().to_string();
    json(
        &written(&dir, &swinging(3_000)),
        &["--strategy", "ema_cross", "--html", &path],
    );
    let html = std::fs::read_to_string(&page).expect("page");
    for address in ["http://", "https://", "//cdn", "src=", "@import", "url("] {
        assert!(!html.contains(address), "the page names {address}");
    }
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(browser) = browser else {
        let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
        assert!(!ci, "no chromium");
        println!("skipped 1 test: no chromium");
        return;
    };
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
        ])
        .args([
            "--no-first-run",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
        ])
        .args([&profile, "--dump-dom", &format!("file://{path}")])
        .output()
        .expect("a browser");
    let (dom, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let complaints: Vec<&str> = log.lines().filter(|l| l.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    for drawn in [
        "<h1 id=\"title\">ema_cross</h1>",
        "class=\"card\"",
        "aria-pressed=\"true\"",
        "aria-sort=",
    ] {
        assert!(
            dom.contains(drawn),
            "{drawn} is missing; the browser said: {log}"
        );
    }
    // A canvas that was drawn on has another size than the standard's.
    assert_eq!(dom.matches("<canvas width=").count(), 2, "{log}");
}
