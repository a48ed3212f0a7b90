//! Backtests over what lies decoded in memory: candles with and without a strategy, recordings by level change,
//! without orders and with a market maker that quotes all the time.

use std::io::Write as _;

use hean::backtest::candles::Play;
use hean::backtest::market::{CandleMarket, Row};
use hean::backtest::{Setup, Source, run};
use hean::kernel::KernelConfig;
use hean::kernel::event::{Input, MarketData, Stamped};
use hean::kernel::strategies::StrategyConfig;
use hean::kernel::types::{Interval, MINUTE, Money, Price, Qty, Rate, Time};
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::queue::QueueModel;

use crate::recordings::{Recording, instrument};
use crate::{Bench, Case, decode};

/// Candles of a run.
const CANDLES: usize = 200_000;

fn setup(interval: Interval, strategy: Option<StrategyConfig>) -> Setup {
    Setup {
        kernel: KernelConfig {
            intervals: vec![interval],
            indicators: Vec::new(),
            strategies: strategy.into_iter().collect(),
            ..KernelConfig::default()
        },
        paper: PaperConfig {
            queue: QueueModel::Through,
            ..PaperConfig::default()
        },
        cash: ("USDT".to_owned(), Money::whole(1_000_000)),
        fees: (Rate(0), Rate(0)),
        play: Play::default(),
        from: Time(i64::MIN),
        to: Time(i64::MAX),
        warm_from: Time(i64::MIN),
        chart: None,
    }
}

/// Candles of a price that swings as a market does, over and over.
fn candles() -> Source {
    let mut open = 5_000_000_i64;
    let mut seed = 1_u64;
    let mut draw = |range: i64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(seed >> 33).unwrap_or(0) % range
    };
    let rows = (0..CANDLES).map(|n| {
        let close = open + draw(4_001) - 2_000 + (5_000_000 - open) / 500;
        let (high, low) = (open.max(close) + draw(900), open.min(close) - draw(900));
        let row = Row {
            time: Time(i64::try_from(n).unwrap_or(0) * MINUTE),
            open: Price(open),
            high: Price(high),
            low: Price(low),
            close: Price(close),
            volume: Qty(100_000_000 + draw(50_000_000)),
        };
        open = close;
        row
    });
    Source::Candles(vec![CandleMarket {
        instrument: instrument(2, 8),
        interval: Interval::MINUTE,
        rows: rows.collect(),
        funding: Vec::new(),
    }])
}

/// A recording in memory, and how many level changes it holds.
fn decoded(recording: &Recording) -> (Source, usize) {
    let events = decode::events(recording);
    let changes = events.iter().map(|event| match &event.data {
        MarketData::Depth(delta) => delta.bids.len() + delta.asks.len(),
        _ => 0,
    });
    let changes = changes.sum();
    let stamped = |event: hean::kernel::event::MarketEvent| Stamped {
        time: event.received,
        input: Input::Market(event),
    };
    let source = Source::Decoded {
        instruments: vec![recording.instrument.clone()],
        inputs: events.into_iter().map(stamped).collect(),
    };
    (source, changes)
}

pub(crate) fn bench(bench: &Bench, recordings: &[Recording]) {
    let ema = || StrategyConfig::new("ema_cross", Interval::MINUTE);
    let hash = |source: &Source, setup: &Setup| run(source, setup).expect("a run").state_hash;
    let source = candles();
    let (plain, crossing) = (
        setup(Interval::MINUTE, None),
        setup(Interval::MINUTE, Some(ema())),
    );
    bench.compare(
        "backtest, per candle",
        vec![
            Case::new("EMA cross", CANDLES, || hash(&source, &crossing)),
            Case::new("no strategy", CANDLES, || hash(&source, &plain)),
        ],
    );
    for recording in recordings {
        let (source, changes) = decoded(recording);
        let mut maker = StrategyConfig::new("market_maker", Interval::SECOND);
        maker.set("every_ms", "10").expect("a parameter");
        let mut fast = StrategyConfig::new("ema_cross", Interval::SECOND);
        fast.set("fast", "3").expect("a parameter");
        let plain = setup(Interval::SECOND, None);
        let crossing = setup(Interval::SECOND, Some(fast));
        let making = setup(Interval::SECOND, Some(maker));
        bench.compare(
            &format!("backtest of {}, per level change", recording.name),
            vec![
                Case::new("no strategy", changes, || hash(&source, &plain)),
                Case::new("EMA cross of seconds", changes, || hash(&source, &crossing)),
                Case::new("market maker every 10 ms", changes, || {
                    hash(&source, &making)
                }),
            ],
        );
        let made = run(&source, &making).expect("a run");
        let (orders, fills) = (made.trades.orders, made.trades.marks.len());
        let Source::Decoded { inputs, .. } = &source else {
            continue;
        };
        drop(writeln!(
            std::io::stdout(),
            "  {changes} level changes in {} events; the market maker: {orders} orders, {fills} fills",
            inputs.len()
        ));
    }
}
