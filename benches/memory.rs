//! Memory of kernel and published views, full to their bounds, in a process of its own.

use std::io::Write as _;
use std::process::Command;

use hean::engine::Engine;
use hean::kernel::event::{
    Candle, DepthSnapshot, Effects, History, Input, Level, MarketData, MarketEvent, Stamped, Trade,
};
use hean::kernel::ledger::Ledger;
use hean::kernel::snapshot::Published;
use hean::kernel::types::{
    Instrument, InstrumentId, InstrumentName, Interval, Money, Price, Qty, SECOND, Scale, Side,
    Time, VenueId,
};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::venue::sim::paper::PaperConfig;

const INTERVALS: [&str; 5] = ["1s", "1m", "5m", "15m", "1h"];
const NOW: Time = Time(1_791_284_980_000_000_000);
/// The argument by which this program asks itself to fill up.
pub(crate) const FILL: &str = "--fill-memory=";

/// Prints the memory of a process that holds so many instruments, beside the limits.
pub(crate) fn bench() {
    let mut out = std::io::stdout().lock();
    drop(writeln!(
        out,
        "\nmemory: 1,000 levels a side, 5 intervals × 1,000 candles, default indicators, views published"
    ));
    for (instruments, limit) in [(10, 20), (200, 150)] {
        let mb = in_child(&format!("{FILL}{instruments}")) / f64::from(1 << 20);
        drop(writeln!(
            out,
            "  {instruments:>3} instruments {mb:>10.1} MB resident, {:.2} of the {limit} MB allowed",
            mb / f64::from(limit)
        ));
    }
}

/// Runs this program with one argument, by which it fills itself with something, and returns the bytes
/// that it tells of.
pub(crate) fn in_child(argument: &str) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let told = Command::new(program).arg(argument).output();
    let told = String::from_utf8(told.expect("a child").stdout).expect("text");
    told.trim().parse().expect("a number of bytes")
}

/// Bytes of this process that are in memory.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: Option<u64> = status.split(' ').nth(1).and_then(|n| n.parse().ok());
    pages.expect("resident pages") * 4_096
}

/// Fills a kernel with `instruments` and says how much of this process is resident.
pub(crate) fn fill(instruments: u16) {
    let intervals: Vec<Interval> = INTERVALS
        .iter()
        .map(|text| text.parse().expect("an interval"))
        .collect();
    let all: Vec<Instrument> = (0..instruments).map(instrument).collect();
    let config = KernelConfig {
        intervals: intervals.clone(),
        ..KernelConfig::default()
    };
    let kernel = Kernel::new(config, Ledger::new(10_000)).expect("kernel");
    let mut engine = Engine::new(kernel, PaperConfig::default(), false);
    let mut effects = Effects::new();
    let published = Published::new(all.clone(), &intervals);
    let start = Start {
        time: NOW,
        version: "bench".to_owned(),
        instruments: all,
        cash: ("USDT".to_owned(), Money::whole(1_000)),
    };
    engine.start(start, &mut effects).expect("start");
    for id in (0..instruments).map(InstrumentId) {
        let mut step = |data: MarketData| {
            let input = Input::Market(MarketEvent {
                instrument: id,
                venue_time: NOW,
                received: NOW,
                data,
            });
            engine.step(&Stamped { time: NOW, input }, &mut effects);
            effects.clear();
        };
        step(MarketData::Snapshot(Box::new(snapshot())));
        for interval in &intervals {
            step(MarketData::History(Box::new(history(*interval))));
        }
        for n in 0..200 {
            step(MarketData::Trade(trade(n)));
        }
        engine.kernel_mut().publish(&published);
    }
    engine.kernel_mut().publish_all(&published);
    drop(writeln!(std::io::stdout().lock(), "{}", resident()));
    drop(published);
}

fn instrument(n: u16) -> Instrument {
    let name = InstrumentName {
        venue: VenueId::Sim,
        symbol: format!("M{n}USDT"),
    };
    let scale = |digits| Scale::new(digits).expect("scale");
    Instrument::unlimited(name, "M", "USDT", (scale(2), scale(5)))
}

fn snapshot() -> DepthSnapshot {
    let side = |first: i64, step: i64| {
        let level = move |n: i64| Level {
            price: Price(first + n * step),
            qty: Qty(1 + n),
        };
        (0..1_000).map(level).collect()
    };
    DepthSnapshot {
        last_id: 1,
        seq: 1,
        window: None,
        bids: side(5_999_999, -1),
        asks: side(6_000_001, 1),
    }
}

fn history(interval: Interval) -> History {
    let len = interval.nominal_len();
    let last = interval.open_of(NOW);
    let candle = |n: i64| Candle {
        open_time: last.plus((n - 1_000) * len),
        open: Price(6_000_000 + n),
        high: Price(6_000_100 + n),
        low: Price(5_999_900 + n),
        close: Price(6_000_001 + n),
        volume: 1_000,
        quote_volume: 1_000,
        trades: 7,
    };
    History {
        interval,
        candles: (0..1_000).map(candle).collect(),
    }
}

fn trade(n: u64) -> Trade {
    Trade {
        id: n,
        first_id: n,
        last_id: n,
        price: Price(6_000_000),
        qty: Qty(1),
        taker: Side::Buy,
        time: NOW.plus(SECOND / 1_000),
    }
}
