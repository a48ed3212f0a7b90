//! Recordings through the engine against answers that an independent program computed.

#![expect(
    clippy::print_stdout,
    reason = "tests say what they skip and how fast they ran"
)]

#[path = "support/lines.rs"]
mod lines;
#[path = "support/recordings.rs"]
mod recordings;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use hean::kernel::KernelConfig;
use hean::kernel::event::{Candle, Level};
use hean::kernel::market::Market;
use hean::kernel::strategies::{Source, StrategyConfig};
use hean::kernel::types::{
    Instrument, InstrumentId, Interval, Money, Price, Qty, Rate, Scale, Side, VenueId, parse_fixed,
};
use hean::replay::{ReplayConfig, Replayed, replay};
use hean::runtime::clock::Clock;
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::latency::Latency;
use recordings::recordings;

/// One level far from the market, at 200,000, has a sixth digit: older than today's lot size.
const SPOT_DIGITS: (u8, u8) = (2, 6);

fn config(venue: VenueId, files: &[PathBuf]) -> ReplayConfig {
    ReplayConfig {
        files: files.to_vec(),
        venue,
        kernel: KernelConfig::default(),
        cash: ("USDT".to_owned(), Money::parse("100000").expect("amount")),
        paper: PaperConfig {
            order_latency: Latency::Constant(5_000_000),
            ..PaperConfig::default()
        },
        fees: (Rate(100_000), Rate(100_000)),
        depth: 50,
    }
}

fn run(config: &ReplayConfig) -> Replayed {
    let replayed = replay(config, &Clock::start()).expect("replay");
    println!(
        "{} frames, {:.0} frames/s",
        replayed.frames,
        replayed.frames as f64 * 1e9 / replayed.elapsed_ns as f64
    );
    replayed
}

#[derive(serde::Deserialize)]
struct Expected {
    depth_events_applied: u64,
    final_update_id: u64,
    final_top50: Side50,
    trades: Trades,
    candles_1m_from_trades: Vec<ExpectedCandle>,
}

#[derive(serde::Deserialize)]
struct Side50 {
    bids: Vec<(String, String)>,
    asks: Vec<(String, String)>,
}

#[derive(serde::Deserialize)]
struct Trades {
    count: u64,
    volume: String,
}

#[derive(serde::Deserialize)]
struct ExpectedCandle {
    open_time: i64,
    open: String,
    high: String,
    low: String,
    close: String,
    volume: String,
    quote_volume: String,
    trades: u64,
}

fn levels(texts: &[(String, String)], price: Scale, qty: Scale) -> Vec<Level> {
    let level = |(p, q): &(String, String)| Level {
        price: Price::parse(p.as_bytes(), price).expect("price"),
        qty: Qty::parse(q.as_bytes(), qty).expect("quantity"),
    };
    texts.iter().map(level).collect()
}

/// Trades, their volume and their candles.
fn equal_trades(market: &Market, instrument: &Instrument, expected: &Expected) {
    let (price, qty) = (instrument.price_scale, instrument.qty_scale);
    assert_eq!(market.trades, expected.trades.count);
    let volume = parse_fixed(expected.trades.volume.as_bytes(), qty.digits());
    assert_eq!(Ok(market.volume), volume);
    let series = market.series_of(Interval::MINUTE).expect("series");
    let candles: Vec<Candle> = series
        .closed()
        .iter()
        .chain(series.forming())
        .copied()
        .collect();
    // The venue's clock may be in a minute without a trade when the recording ends.
    let (candles, quiet): (Vec<_>, Vec<_>) = candles.into_iter().partition(|c| c.trades > 0);
    assert!(quiet.len() <= 1 && quiet.iter().all(|c| c.volume == 0));
    assert_eq!(candles.len(), expected.candles_1m_from_trades.len());
    for (ours, theirs) in candles.iter().zip(&expected.candles_1m_from_trades) {
        let p = |text: &String| Price::parse(text.as_bytes(), price).expect("price");
        let wide = |text: &String, scale| parse_fixed(text.as_bytes(), scale).expect("volume");
        let theirs = Candle {
            open_time: hean::kernel::types::Time::from_millis(theirs.open_time).expect("time"),
            open: p(&theirs.open),
            high: p(&theirs.high),
            low: p(&theirs.low),
            close: p(&theirs.close),
            volume: wide(&theirs.volume, qty.digits()),
            quote_volume: wide(&theirs.quote_volume, price.digits() + qty.digits()),
            trades: theirs.trades,
        };
        assert_eq!(*ours, theirs);
    }
}

fn equals_expected(venue: VenueId, files: &[&str], digits: (u8, u8), answers: &str) {
    let Some(data) = recordings() else { return };
    let files: Vec<_> = files
        .iter()
        .map(|f| data.join("hftbacktest").join(f))
        .collect();
    let text = std::fs::read_to_string(data.join("expected").join(answers)).expect("answers");
    let expected: Expected = serde_json::from_str(&text).expect("answers");
    let config = config(venue, &files);
    let replayed = run(&config);
    assert_eq!((replayed.errors, &replayed.faults), (0, &vec![]));

    let kernel = replayed.engine.kernel();
    let instrument = kernel
        .ledger()
        .instrument(InstrumentId(0))
        .expect("instrument");
    let market = kernel.market_of(InstrumentId(0)).expect("market");
    let (price, qty) = (instrument.price_scale, instrument.qty_scale);
    assert_eq!((price.digits(), qty.digits()), digits);
    assert_eq!(market.book.updates, expected.depth_events_applied);
    assert_eq!(market.book.last_id(), expected.final_update_id);
    assert_eq!((market.book.gaps, market.trade_gaps), (0, 0));
    let book = market.book.valid().expect("a valid book");
    let top = |side| book.levels(side).take(50).collect::<Vec<_>>();
    assert_eq!(
        top(Side::Buy),
        levels(&expected.final_top50.bids, price, qty)
    );
    assert_eq!(
        top(Side::Sell),
        levels(&expected.final_top50.asks, price, qty)
    );

    equal_trades(market, instrument, &expected);
    let again = run(&config);
    assert_eq!(again.engine.state_hash(), replayed.engine.state_hash());
}

#[test]
fn one_recording_gives_the_expected_book_trades_and_candles() {
    equals_expected(
        VenueId::Binance,
        &["binance_spot_btcusdt_20240808.txt.gz"],
        SPOT_DIGITS,
        "binance_spot_btcusdt_20240808.expected.json",
    );
}

#[test]
fn two_recordings_in_a_row_give_the_expected_book_trades_and_candles() {
    equals_expected(
        VenueId::Binance,
        &[
            "binance_spot_btcusdt_20240808.txt.gz",
            "binance_spot_btcusdt_20240809.txt.gz",
        ],
        SPOT_DIGITS,
        "binance_spot_btcusdt_20240808_09.expected.json",
    );
}

#[test]
fn a_recording_of_futures_gives_the_expected_book_trades_and_candles() {
    equals_expected(
        VenueId::BinanceUsdm,
        &["binance_usdm_btcusdt_20240808.txt.gz"],
        (1, 3),
        "binance_usdm_btcusdt_20240808.expected.json",
    );
}

/// The recording was made from the one of futures: the same trades in Bybit's words.
#[test]
fn a_recording_of_bybit_gives_the_trades_that_it_was_made_from() {
    let Some(data) = recordings() else { return };
    let file = "derived_bybit_v5/bybit_linear_BTCUSDT_derived_from_binance_usdm.txt.gz";
    let answers = data.join("expected/binance_usdm_btcusdt_20240808.expected.json");
    let text = std::fs::read_to_string(answers).expect("answers");
    let expected: Expected = serde_json::from_str(&text).expect("answers");
    let config = config(VenueId::BybitLinear, &[data.join(file)]);
    let replayed = run(&config);
    assert_eq!((replayed.errors, &replayed.faults), (0, &vec![]));
    assert_eq!(replayed.instruments, [InstrumentId(0)]);
    let kernel = replayed.engine.kernel();
    let instrument = kernel.ledger().instrument(InstrumentId(0));
    let instrument = instrument.expect("instrument");
    assert_eq!(instrument.name.to_string(), "bybit-linear:BTCUSDT");
    let market = kernel.market_of(InstrumentId(0)).expect("market");
    equal_trades(market, instrument, &expected);
    let book = &market.book;
    assert_eq!((book.gaps, book.resyncs), (0, 0));
    assert!(book.updates > 6_000 && !book.valid().expect("valid").is_crossed());
    let derivative = market.derivative().expect("a ticker");
    assert!(derivative.mark.is_some() && derivative.open_interest.is_some());
    assert_eq!(
        run(&config).engine.state_hash(),
        replayed.engine.state_hash()
    );
}

#[test]
fn a_recording_of_eight_symbols_of_bybit_is_replayed() {
    let Some(data) = recordings() else { return };
    let file = "derived_bybit_v5/bybit_linear_8symbols_reenveloped_from_2021_v2.txt.gz";
    let replayed = run(&config(VenueId::BybitLinear, &[data.join(file)]));
    assert_eq!((replayed.errors, &replayed.faults), (0, &vec![]));
    let kernel = replayed.engine.kernel();
    let mut trades = BTreeMap::new();
    for id in &replayed.instruments {
        let market = kernel.market_of(*id).expect("market");
        let instrument = kernel.ledger().instrument(*id).expect("instrument");
        assert_eq!((market.book.gaps, market.book.resyncs), (0, 0));
        assert!(market.book.valid().is_some());
        trades.insert(instrument.name.symbol.as_str(), market.trades);
    }
    let counted = [
        ("ADAUSDT", 5),
        ("BCHUSDT", 15),
        ("DOTUSDT", 1),
        ("ETHUSDT", 5),
        ("LINKUSDT", 2),
        ("LTCUSDT", 20),
        ("UNIUSDT", 5),
        ("XTZUSDT", 13),
    ];
    // One message may bring several trades.
    for (symbol, messages) in counted {
        assert!(trades[symbol] >= messages, "{symbol}: {}", trades[symbol]);
    }
    assert_eq!(trades.len(), counted.len());
}

/// The one recording of Bybit's own: frames without receive times, which a replay needs.
#[test]
fn a_recording_of_bybits_own_is_replayed() {
    let Some(data) = recordings() else { return };
    let file = data.join("nautilus_trader/bybit_linear_xrpusdt_ob500_20241201.jsonl.gz");
    let folder = tempfile::tempdir().expect("folder");
    let timed = folder.path().join("timed.txt");
    let lines: Vec<String> = lines::plain(&lines::unpacked(&file))
        .into_iter()
        .map(|message| format!("{} {}", message.time_ns, message.text))
        .collect();
    std::fs::write(&timed, lines.join("\n")).expect("write");
    let replayed = run(&config(VenueId::BybitLinear, &[timed]));
    assert_eq!((replayed.errors, &replayed.faults), (0, &vec![]));
    let market = replayed.engine.kernel().market_of(InstrumentId(0));
    let book = &market.expect("market").book;
    assert_eq!((book.updates, book.gaps), (49, 0));
    let levels = |side| book.valid().expect("valid").levels(side).len();
    assert_eq!((levels(Side::Buy), levels(Side::Sell)), (500, 500));
}

#[test]
fn a_strategy_trades_the_same_on_every_run() {
    let Some(data) = recordings() else { return };
    let files = [data.join("hftbacktest/binance_spot_btcusdt_20240808.txt.gz")];
    let mut config = config(VenueId::Binance, &files);
    config.kernel.intervals = vec![Interval::SECOND];
    let mut strategy = StrategyConfig::new("ema_cross", Interval::SECOND);
    strategy.set("fast", "5").expect("a parameter");
    strategy.set("slow", "20").expect("a parameter");
    config.kernel.strategies = vec![strategy];
    let first = run(&config);
    let second = run(&config);
    assert!(first.orders >= 10, "{} orders", first.orders);
    assert_eq!(first.engine.state_hash(), second.engine.state_hash());
    let kernel = first.engine.kernel();
    let (account, stats) = (kernel.ledger().account(), kernel.ledger().statistics());
    assert!(stats.fills >= first.orders, "{} fills", stats.fills);
    assert!(account.fees > Money::ZERO);
    // Without the strategy the state is another one: the hash sees it.
    config.kernel.strategies.clear();
    assert_ne!(run(&config).engine.state_hash(), first.engine.state_hash());
}

/// A rule and the script with the same words, each twice: the same state, and the two the same orders.
#[test]
fn a_rule_and_a_script_trade_the_same_on_every_run() {
    let Some(data) = recordings() else { return };
    let files = [data.join("hftbacktest/binance_spot_btcusdt_20240808.txt.gz")];
    let mut config = config(VenueId::Binance, &files);
    config.kernel.intervals = vec![Interval::SECOND];
    let mut rule = StrategyConfig::new("rules", Interval::SECOND);
    let enter = "rsi(7) < 40.0 and close < sma(20) and spread < 5.0";
    let exit = "rsi(7) > 60.0 or bars_held >= 30.0";
    rule.set("enter_long", enter).expect("a condition");
    rule.set("exit_long", exit).expect("a condition");
    let mut script = StrategyConfig::new("script", Interval::SECOND);
    let text = format!(
        "if position == 0 and ({enter}) {{ state.n = (state.n ?? 0) + 1; buy() }}\n\
         if position > 0 and ({exit}) {{ exit() }}\n"
    );
    let name = "same.rhai".to_owned();
    script.source = Some(Arc::new(Source { name, text }));
    let mut orders = Vec::new();
    for strategy in [rule, script] {
        config.kernel.strategies = vec![strategy];
        let (first, second) = (run(&config), run(&config));
        assert!(first.orders >= 10, "{} orders", first.orders);
        assert_eq!(first.engine.state_hash(), second.engine.state_hash());
        let stats = first.engine.kernel().ledger().statistics();
        orders.push((
            first.orders,
            stats.fills,
            first.engine.kernel().ledger().account().cash,
        ));
    }
    assert_eq!(orders[0], orders[1]);
}

#[test]
fn a_missing_frame_is_a_gap_at_the_next_depth_event() {
    let Some(data) = recordings() else { return };
    let file = data.join("hftbacktest/binance_spot_btcusdt_20240808.txt.gz");
    let mut text = String::new();
    let packed = std::fs::File::open(file).expect("recording");
    flate2::read::MultiGzDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("gzip");
    let mut depths = text
        .lines()
        .enumerate()
        .filter(|(_, l)| l.contains("@depth"));
    let (missing, _) = depths.nth(1_000).expect("depth frames");
    let (next, _) = depths.next().expect("depth frames");
    let folder = tempfile::tempdir().expect("folder");
    let cut = |name: &str, lines: usize| {
        let path = folder.path().join(name);
        let kept = text
            .lines()
            .take(lines)
            .enumerate()
            .filter(|(i, _)| *i != missing);
        let kept: Vec<_> = kept.map(|(_, line)| line).collect();
        std::fs::write(&path, kept.join("\n")).expect("write");
        path
    };
    let state = |path: PathBuf| {
        let replayed = run(&config(VenueId::Binance, &[path]));
        let market = replayed
            .engine
            .kernel()
            .market_of(InstrumentId(0))
            .expect("market");
        (
            market.book.gaps,
            market.book.valid().is_some(),
            market.book.updates,
        )
    };
    let (gaps, valid, before) = state(cut("before.txt", next));
    assert_eq!((gaps, valid), (0, true));
    assert_eq!(
        state(cut("after.txt", next + 1)),
        (1, false, before),
        "at once"
    );
    assert_eq!(
        state(cut("whole.txt", usize::MAX)),
        (1, false, before),
        "and never guessed"
    );
}
