//! Recordings with known answers: through `hean replay`, and as a venue that the daemon reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hean::cli::{Cli, Command};
use hean::config;
use hean::kernel::types::Interval;
use hean::replay::{ReplayConfig, replay};
use hean::runtime::clock::Clock;
use hean::setup;
use hean::venue::sim::paper::PaperConfig;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Levels, Sides, decimal, get, json, metric};
use super::process::{Process, stdout, until};
pub(crate) use super::support::recordings as data;

/// First and second recording, one follows the other without a gap.
pub(crate) const FIRST: &str = "hftbacktest/binance_spot_btcusdt_20240808.txt.gz";
const SECOND: &str = "hftbacktest/binance_spot_btcusdt_20240809.txt.gz";
/// What they must come to.
pub(crate) const FIRST_EXPECTED: &str = "binance_spot_btcusdt_20240808.expected.json";
const BOTH_EXPECTED: &str = "binance_spot_btcusdt_20240808_09.expected.json";

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// An answer file, made by a rebuild that shares nothing with this program.
#[derive(Deserialize)]
pub(crate) struct Expected {
    pub(crate) depth_events_applied: u64,
    pub(crate) final_update_id: u64,
    final_top50: BTreeMap<String, Levels>,
    pub(crate) trades: ExpectedTrades,
    candles_1m_from_trades: Vec<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedTrades {
    pub(crate) count: u64,
    volume: String,
}

impl Expected {
    pub(crate) fn load(data: &Path, name: &str) -> Self {
        let path = data.join("expected").join(name);
        let text = std::fs::read_to_string(&path).expect("an answer file");
        serde_json::from_str(&text).expect("an answer file of the known form")
    }

    /// The best 50 levels at the end.
    pub(crate) fn top(&self) -> Sides {
        let side = |name: &str| {
            let levels = self.final_top50[name].iter();
            levels.map(|l| l.each_ref().map(|n| decimal(n))).collect()
        };
        let (bids, asks): (Levels, Levels) = (side("bids"), side("asks"));
        assert_eq!((bids.len(), asks.len()), (50, 50));
        Sides { bids, asks }
    }

    /// The candles as text, each in the order of [`CANDLE`].
    fn candles(&self) -> Vec<Vec<String>> {
        let value = |v: &Value| match v {
            Value::String(text) => decimal(text),
            other => other.to_string(),
        };
        let row = |c: &BTreeMap<String, Value>| CANDLE.map(|name| value(&c[name])).to_vec();
        self.candles_1m_from_trades.iter().map(row).collect()
    }
}

/// Fields of a candle in the answer files.
const CANDLE: [&str; 8] = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
];

/// What `hean replay --json` prints.
#[derive(Deserialize)]
pub(crate) struct Replayed {
    pub(crate) frames: u64,
    pub(crate) errors: u64,
    pub(crate) frames_per_s: f64,
    pub(crate) state_hash: String,
    instruments: BTreeMap<String, Box<RawValue>>,
}

/// The part about one instrument.
#[derive(Deserialize)]
pub(crate) struct ReplayedInstrument {
    pub(crate) valid: bool,
    pub(crate) book_updates: u64,
    pub(crate) gaps: u64,
    pub(crate) resyncs: u64,
    pub(crate) last_update_id: u64,
    pub(crate) trades: u64,
    trade_gaps: u64,
    volume: Box<RawValue>,
    candles: BTreeMap<String, ReplayedCandles>,
}

#[derive(Deserialize)]
struct ReplayedCandles {
    last: BTreeMap<String, Box<RawValue>>,
    forming: BTreeMap<String, Box<RawValue>>,
}

impl Replayed {
    /// Runs `hean replay` over these files.
    pub(crate) fn run(files: &[PathBuf]) -> Self {
        let mut args = vec!["replay".to_owned()];
        args.extend(files.iter().map(|file| text(file)));
        args.extend(["--depth", "50", "--json"].map(str::to_owned));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        serde_json::from_str(&stdout(&args)).expect("the object that was promised")
    }

    /// The one instrument of these recordings: its text and what is in it.
    pub(crate) fn btcusdt(&self) -> (&str, ReplayedInstrument) {
        let text = self.instruments["binance:BTCUSDT"].get();
        (text, serde_json::from_str(text).expect("an instrument"))
    }
}

/// `hean sim` over a recording.
pub(crate) fn sim(files: &[PathBuf], more: &[&str]) -> Process {
    let mut args = vec!["sim".to_owned(), "--listen".into(), "127.0.0.1:0".into()];
    args.push("--input".into());
    args.extend(files.iter().map(|file| text(file)));
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Process::serve(&args)
}

/// The daemon reading BTCUSDT from a venue at these URLs.
pub(crate) fn daemon(urls: &[String], dir: &Path) -> Process {
    let dir = text(dir);
    let mut args = vec!["run", "--exchange", "binance", "--symbols", "BTCUSDT"];
    args.extend(["--listen", "127.0.0.1:0", "--data-dir", &dir]);
    for url in urls {
        args.extend(["--base-url", url]);
    }
    Process::serve(&args)
}

/// Waits until the recording was played to its end and the daemon has all of it.
pub(crate) fn wait_played(sim: SocketAddr, daemon: SocketAddr, expected: &Expected) {
    until("the end of the recording", || {
        (json(sim, "/sim/status")["finished"] == true).then_some(())
    });
    until("the last depth event", || {
        let book = json(daemon, "/api/v1/orderbook/BTCUSDT?depth=1");
        (book["valid"] == true && book["update_id"] == expected.final_update_id).then_some(())
    });
    until("the last trade", || {
        (trades(daemon) >= expected.trades.count).then_some(())
    });
}

/// A counter of the one instrument.
pub(crate) fn count(daemon: SocketAddr, name: &str) -> u64 {
    let value = metric(
        daemon,
        &format!("{name}{{venue=\"binance\",symbol=\"BTCUSDT\"}}"),
    );
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter of these tests is a small whole number"
    )]
    let whole = value as u64;
    whole
}

fn trades(daemon: SocketAddr) -> u64 {
    count(daemon, "hean_market_trades_total")
}

/// The best 50 levels that the daemon shows.
pub(crate) fn top(daemon: SocketAddr) -> Sides {
    Sides::parse(&get(daemon, "/api/v1/orderbook/BTCUSDT?depth=50").body)
}

/// Plays the first recording to the daemon and compares it with replay and with the answer file.
fn played(speed: &str) {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, FIRST_EXPECTED);
    let files = [data.join(FIRST)];
    let dir = tempfile::tempdir().expect("directory");
    let sim = sim(&files, &["--speed", speed]);
    let daemon = daemon(&[format!("binance=http://{}", sim.addr())], dir.path());
    wait_played(sim.addr(), daemon.addr(), &expected);

    let replayed = Replayed::run(&files);
    let (text, btcusdt) = replayed.btcusdt();
    assert_eq!(Sides::parse(text), expected.top());
    assert_eq!(top(daemon.addr()), expected.top());
    assert_eq!(btcusdt.trades, expected.trades.count);
    assert_eq!(trades(daemon.addr()), expected.trades.count);
    assert_eq!(count(daemon.addr(), "hean_book_gaps_total"), 0);
    assert_eq!(count(daemon.addr(), "hean_book_resyncs_total"), 0);
    assert_eq!(count(daemon.addr(), "hean_book_valid"), 1);
    let status = json(daemon.addr(), "/api/v1/status");
    assert_eq!(status["queues"]["market"]["dropped"], 0, "{status}");
    assert_eq!(status["feeds"][0]["decode_errors"], 0, "{status}");
    assert_eq!(status["feeds"][0]["reconnects"], 0, "{status}");
}

#[test]
fn heavy_a_recording_played_at_full_speed_ends_in_the_known_book() {
    played("max");
}

#[test]
fn heavy_a_recording_played_at_twenty_times_its_pace_ends_in_the_known_book() {
    played("20");
}

#[test]
#[expect(clippy::print_stdout, reason = "the measured rate is for people")]
fn heavy_two_recordings_replay_to_the_known_state_every_time() {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, BOTH_EXPECTED);
    let files = [data.join(FIRST), data.join(SECOND)];
    let replayed = Replayed::run(&files);
    let (text, btcusdt) = replayed.btcusdt();
    assert_eq!(Sides::parse(text), expected.top());
    assert_eq!((replayed.frames, replayed.errors), (41_249 + 58_325, 0));
    assert_eq!(btcusdt.book_updates, expected.depth_events_applied);
    assert_eq!(btcusdt.last_update_id, expected.final_update_id);
    assert_eq!((btcusdt.valid, btcusdt.gaps, btcusdt.resyncs), (true, 0, 0));
    assert_eq!(btcusdt.trades, expected.trades.count);
    assert_eq!(btcusdt.trade_gaps, 0);
    assert_eq!(
        decimal(btcusdt.volume.get()),
        decimal(&expected.trades.volume)
    );
    let candles = expected.candles();
    let [.., last, forming] = candles.as_slice() else {
        panic!("two candles at least");
    };
    assert_eq!(&row(&btcusdt.candles["1m"].last), last);
    assert_eq!(&row(&btcusdt.candles["1m"].forming), forming);

    let again = Replayed::run(&files);
    assert_eq!(again.state_hash, replayed.state_hash);
    assert!(replayed.frames_per_s > 0.0);
    println!("{:.0} frames/s in this build", replayed.frames_per_s);
}

/// A candle of ours, named as in the answer files.
fn row(candle: &BTreeMap<String, Box<RawValue>>) -> Vec<String> {
    let ours = |name| {
        if name == "open_time" {
            "timestamp"
        } else {
            name
        }
    };
    CANDLE
        .map(|name| decimal(candle[ours(name)].get()))
        .to_vec()
}

#[test]
fn heavy_every_candle_of_a_replay_equals_the_known_one() {
    let Some(data) = data() else { return };
    let expected = Expected::load(&data, BOTH_EXPECTED);
    let files = [text(&data.join(FIRST)), text(&data.join(SECOND))];
    let args = ["hean", "replay", &files[0], &files[1]];
    let cli = <Cli as clap::Parser>::try_parse_from(args).expect("arguments");
    let Command::Replay(args) = cli.command else {
        panic!("a replay was asked for");
    };
    let settings = config::load(&args.sources()).expect("settings").settings;
    let config = ReplayConfig {
        files: args.files.clone(),
        venue: args.exchange,
        kernel: setup::kernel_config(&settings, Vec::new()).expect("kernel"),
        cash: (settings.paper.currency.clone(), settings.paper.cash),
        paper: PaperConfig::default(),
        fees: (settings.paper.maker_fee, settings.paper.taker_fee),
        depth: 0,
    };
    let replayed = replay(&config, &Clock::start()).expect("replay");
    let id = *replayed.instruments.first().expect("an instrument");
    let kernel = replayed.engine.kernel();
    let instrument = kernel.ledger().instrument(id).expect("known");
    let market = kernel.market_of(id).expect("a market");
    let minute: Interval = "1m".parse().expect("an interval");
    let series = market.series_of(minute).expect("a series");
    let (price, qty) = (instrument.price_scale, instrument.qty_scale);
    let fixed = |value: i128, scale: u8| {
        let text = hean::kernel::types::format_fixed(value, scale).to_string();
        decimal(&text)
    };
    let rows: Vec<Vec<String>> = series
        .closed()
        .iter()
        .chain(series.forming())
        .map(|c| {
            let prices = [c.open, c.high, c.low, c.close];
            let mut row = vec![c.open_time.millis().to_string()];
            row.extend(prices.map(|p| fixed(i128::from(p.0), price.digits())));
            row.push(fixed(c.volume, qty.digits()));
            row.push(fixed(c.quote_volume, price.digits() + qty.digits()));
            row.push(c.trades.to_string());
            row
        })
        .collect();
    assert_eq!(rows, expected.candles());
}
