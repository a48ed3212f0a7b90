//! Backtests: candles with and without a strategy, recordings by level change, without orders, with an order every
//! ten events and with a market maker that quotes all the time; trades alone. What lies decoded in memory is timed
//! without decoding; the same from frames in memory, and from the compressed files, stands beside it.

use std::io::Write as _;
use std::sync::Arc;

use hean::backtest::candles::Play;
use hean::backtest::market::{CandleMarket, Row};
use hean::backtest::{Setup, Source, run};
use hean::kernel::KernelConfig;
use hean::kernel::event::{
    CancelFilter, Command, CommandKind, Correlation, Input, MarketData, Stamped, Wait,
};
use hean::kernel::orders::{OrderSpec, OrderType, Size};
use hean::kernel::risk::RiskLimits;
use hean::kernel::strategies::StrategyConfig;
use hean::kernel::types::{
    InstrumentId, Interval, MINUTE, Money, Price, Qty, Rate, Side, Time, VenueId,
};
use hean::tape::Tape;
use hean::venue::sim::paper::PaperConfig;
use hean::venue::sim::paper::queue::QueueModel;

use crate::recordings::{Recording, instrument};
use crate::{Bench, Case, decode};

/// Candles of a run.
const CANDLES: usize = 200_000;
/// Events, or level changes, from one order to the next.
const ORDER_EVERY: usize = 10;

fn setup(interval: Interval, strategy: Option<StrategyConfig>) -> Setup {
    Setup {
        kernel: KernelConfig {
            intervals: vec![interval],
            indicators: Vec::new(),
            strategies: strategy.into_iter().collect(),
            limits: RiskLimits {
                // Recorded minutes run in milliseconds, with more orders than anybody is allowed.
                orders_per_second_max: 100_000,
                ..RiskLimits::default()
            },
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

/// Events as inputs, with what follows each of them.
fn source(
    recording: &Recording,
    mut then: impl FnMut(&mut Vec<Stamped>, usize),
) -> (Source, usize) {
    let mut changes = 0;
    let mut inputs = Vec::new();
    for (count, event) in decode::events(recording).into_iter().enumerate() {
        if let MarketData::Depth(delta) = &event.data {
            changes += delta.bids.len() + delta.asks.len();
        }
        inputs.push(Stamped {
            time: event.received,
            input: Input::Market(event),
        });
        then(&mut inputs, count);
    }
    let source = Source::Decoded {
        instruments: vec![recording.instrument.clone()],
        inputs,
    };
    (source, changes)
}

/// A recording in memory, and how many level changes it holds.
fn decoded(recording: &Recording) -> (Source, usize) {
    source(recording, |_, _| ())
}

/// The same with orders, so many after an event as `due` says of its number and its level changes: each rests a
/// tenth of a percent below the best bid, and is cancelled when the next one comes.
fn ordered(recording: &Recording, mut due: impl FnMut(usize, usize) -> usize) -> (Source, usize) {
    let instrument = &recording.instrument;
    let qty = Qty(instrument.qty_scale.unit() / 1_000);
    let mut bid = None;
    source(recording, |inputs, count| {
        let Some(Stamped {
            time,
            input: Input::Market(event),
        }) = inputs.last()
        else {
            return;
        };
        let (time, mut changes) = (*time, 0);
        match &event.data {
            MarketData::Quote(quote) => bid = Some(quote.bid.price),
            MarketData::Depth(delta) => changes = delta.bids.len() + delta.asks.len(),
            _ => {}
        }
        let orders = due(count, changes);
        let Some(bid) = bid else {
            return;
        };
        let price = Price((bid.0 - bid.0 / 1_000) / instrument.tick.0 * instrument.tick.0);
        let kind = OrderType::Limit { price };
        let order = OrderSpec::new(InstrumentId(0), Side::Buy, kind, Size::Base(qty));
        let cancel = CommandKind::CancelAll(CancelFilter {
            instrument: Some(InstrumentId(0)),
            side: None,
            strategy: None,
        });
        let place = CommandKind::Place {
            order: Arc::new(order),
            wait: Wait::Venue,
        };
        for kind in (0..orders).flat_map(|_| [cancel.clone(), place.clone()]) {
            let correlation = Correlation(count as u64);
            let input = Input::Command(Command { correlation, kind });
            inputs.push(Stamped { time, input });
        }
    })
}

/// The trades of a recording alone.
fn trades(source: &Source) -> (Source, usize) {
    let Source::Decoded {
        instruments,
        inputs,
    } = source
    else {
        panic!("it is decoded");
    };
    let trade = |s: &&Stamped| matches!(&s.input, Input::Market(e) if matches!(e.data, MarketData::Trade(_)));
    let inputs: Vec<Stamped> = inputs.iter().filter(trade).cloned().collect();
    let count = inputs.len();
    let source = Source::Decoded {
        instruments: instruments.clone(),
        inputs,
    };
    (source, count)
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
    let run = run(&source, &crossing).expect("a run");
    drop(writeln!(
        std::io::stdout(),
        "  EMA cross: {} orders, state hash {:016x}",
        run.trades.orders,
        run.state_hash
    ));
    for recording in recordings {
        over(bench, recording);
    }
}

fn over(bench: &Bench, recording: &Recording) {
    let hash = |source: &Source, setup: &Setup| run(source, setup).expect("a run").state_hash;
    let (source, changes) = decoded(recording);
    let each_event = |count: usize, _| usize::from(count.is_multiple_of(ORDER_EVERY));
    let (with_orders, _) = ordered(recording, each_event);
    let mut seen = 0;
    let (with_more, _) = ordered(recording, |_, changes| {
        seen += changes;
        let orders = seen / ORDER_EVERY;
        seen %= ORDER_EVERY;
        orders
    });
    let mut maker = StrategyConfig::new("market_maker", Interval::SECOND);
    maker.set("every_ms", "10").expect("a parameter");
    let mut fast = StrategyConfig::new("ema_cross", Interval::SECOND);
    fast.set("fast", "3").expect("a parameter");
    let plain = setup(Interval::SECOND, None);
    let crossing = setup(Interval::SECOND, Some(fast));
    let making = setup(Interval::SECOND, Some(maker));
    let venue = match recording.instrument.name.venue {
        VenueId::Binance if recording.name == "usdm" => VenueId::BinanceUsdm,
        venue => venue,
    };
    let tape = Source::Tape(Tape::open(&recording.files, venue).expect("a recording"));
    bench.compare(
        &format!("backtest of {}, per level change", recording.name),
        vec![
            Case::new("no strategy", changes, || hash(&source, &plain)),
            Case::new("an order every ten events", changes, || {
                hash(&with_orders, &plain)
            }),
            Case::new("an order every ten level changes", changes, || {
                hash(&with_more, &plain)
            }),
            Case::new("EMA cross of seconds", changes, || hash(&source, &crossing)),
            Case::new("market maker every 10 ms", changes, || {
                hash(&source, &making)
            }),
            Case::new("no strategy, frames decoded first", changes, || {
                hash(&decoded(recording).0, &plain)
            }),
            Case::new("no strategy, from the files", changes, || {
                hash(&tape, &plain)
            }),
        ],
    );
    let (trades, count) = trades(&source);
    bench.compare(
        &format!("backtest of the trades of {}, per trade", recording.name),
        vec![Case::new("no strategy", count, || hash(&trades, &plain))],
    );
    let said = |what: &str, source: &Source, setup: &Setup| {
        let run = run(source, setup).expect("a run");
        let (orders, fills) = (run.trades.orders, run.trades.marks.len());
        drop(writeln!(
            std::io::stdout(),
            "  {what}: {orders} orders, {fills} fills, {} inputs, state hash {:016x}",
            run.inputs,
            run.state_hash
        ));
    };
    said("without orders", &source, &plain);
    said("an order every ten events", &with_orders, &plain);
    said("an order every ten level changes", &with_more, &plain);
    said("market maker", &source, &making);
}
