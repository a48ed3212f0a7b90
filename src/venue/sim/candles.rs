//! Candles of every interval that Binance knows, built from trades.
//!
//! Invariants: within an interval candles follow each other without a hole (an interval without
//! trades gets a flat candle at the last close), the last one is the open one, and each candle is
//! reported closed once.

use std::cell::Cell;
use std::collections::VecDeque;

use crate::kernel::event::Trade;
use crate::kernel::types::{Interval, MILLISECOND, Price, Side, Time};

/// The intervals of Binance spot, in its order of documentation.
pub(super) const INTERVALS: [&str; 16] = [
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
    "1M",
];
/// Place of `1m` in [`INTERVALS`].
const MINUTE_AT: usize = 1;
/// Candles kept per interval: more than the 1,000 that a request may ask for, and a day of minutes.
const BARS_MAX: usize = 1_500;
/// How long after its end a candle waits for a trade that is still on its way.
const GRACE: i64 = 250 * MILLISECOND;
/// Longest run of flat candles that is filled in; a longer silence starts afresh.
const FLAT_MAX: i64 = 3_000;

/// One candle with all that a kline shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Start of the interval.
    pub open_time: Time,
    /// Start of the next one.
    pub end: Time,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Base volume at the quantity scale.
    pub volume: i128,
    /// Quote volume at price scale + quantity scale.
    pub quote_volume: i128,
    /// The part of `volume` whose aggressor bought.
    pub taker_volume: i128,
    /// The part of `quote_volume` whose aggressor bought.
    pub taker_quote_volume: i128,
    /// Number of trades.
    pub trades: u64,
    /// First and last trade id; `None` without trades.
    pub ids: Option<(u64, u64)>,
}

impl Bar {
    fn flat(open_time: Time, end: Time, price: Price) -> Self {
        Self {
            open_time,
            end,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            quote_volume: 0,
            taker_volume: 0,
            taker_quote_volume: 0,
            trades: 0,
            ids: None,
        }
    }

    fn add(&mut self, trade: &Trade) {
        let volume = i128::from(trade.qty.0);
        let quote = volume.saturating_mul(i128::from(trade.price.0));
        if self.trades == 0 {
            *self = Self::flat(self.open_time, self.end, trade.price);
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.volume = self.volume.saturating_add(volume);
        self.quote_volume = self.quote_volume.saturating_add(quote);
        if trade.taker == Side::Buy {
            self.taker_volume = self.taker_volume.saturating_add(volume);
            self.taker_quote_volume = self.taker_quote_volume.saturating_add(quote);
        }
        let count = trade
            .last_id
            .saturating_sub(trade.first_id)
            .saturating_add(1);
        self.trades = self.trades.saturating_add(count);
        let first = self.ids.map_or(trade.first_id, |(first, _)| first);
        self.ids = Some((first, trade.last_id));
    }

    /// This bar and the one that follows it, as one.
    pub(super) fn merge(&mut self, next: &Self) {
        if next.trades == 0 {
            return;
        }
        if self.trades == 0 {
            let (open_time, end) = (self.open_time, self.end);
            *self = Self {
                open_time,
                end,
                ..*next
            };
            return;
        }
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
        self.volume = self.volume.saturating_add(next.volume);
        self.quote_volume = self.quote_volume.saturating_add(next.quote_volume);
        self.taker_volume = self.taker_volume.saturating_add(next.taker_volume);
        self.taker_quote_volume = self
            .taker_quote_volume
            .saturating_add(next.taker_quote_volume);
        self.trades = self.trades.saturating_add(next.trades);
        self.ids = match (self.ids, next.ids) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (one, other) => one.or(other),
        };
    }
}

/// Candles of all intervals of a symbol.
#[derive(Debug)]
pub(super) struct Candles {
    series: Vec<Series>,
    /// The closed minutes of the last day as one: it is asked for often, and changes once a minute.
    day: Cell<Option<Closed>>,
}

/// Closed minutes as one.
#[derive(Debug, Clone, Copy)]
struct Closed {
    /// Where the first of them and the open candle begin.
    window: (Time, Time),
    bar: Bar,
}

#[derive(Debug)]
struct Series {
    interval: Interval,
    bars: VecDeque<Bar>,
}

/// Figures of the last 24 hours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    /// All candles of the window as one.
    pub(super) bar: Bar,
    /// The close before the window; the open where there was none.
    pub(super) before: Price,
}

impl Candles {
    /// No candles yet.
    pub(super) fn new() -> Self {
        Self {
            series: INTERVALS
                .iter()
                .filter_map(|text| text.parse().ok())
                .map(|interval| Series {
                    interval,
                    bars: VecDeque::new(),
                })
                .collect(),
            day: Cell::new(None),
        }
    }

    /// Fills the history from bars, oldest first, whose lengths shrink towards the present. Each
    /// interval takes those that are not longer than itself.
    pub(super) fn load(&mut self, bars: &[Bar]) {
        self.day.set(None);
        for series in &mut self.series {
            series.load(bars);
        }
    }

    /// Adds a trade; `closed` is told of each candle that ends by it, with its interval's place.
    pub(super) fn add(&mut self, trade: &Trade, mut closed: impl FnMut(usize, Bar)) {
        for (at, series) in self.series.iter_mut().enumerate() {
            series.roll(trade.time, |bar| closed(at, bar));
            if !series.add(trade) {
                self.day.set(None);
            }
        }
    }

    /// Closes what has ended [`GRACE`] ago.
    pub(super) fn advance(&mut self, now: Time, mut closed: impl FnMut(usize, Bar)) {
        let now = now.plus(-GRACE);
        for (at, series) in self.series.iter_mut().enumerate() {
            series.roll(now, |bar| closed(at, bar));
        }
    }

    /// The candles of an interval, oldest first; `None` where Binance does not know it.
    pub(super) fn bars(&self, interval: &str) -> Option<&VecDeque<Bar>> {
        let at = INTERVALS.iter().position(|known| *known == interval)?;
        self.series.get(at).map(|series| &series.bars)
    }

    /// The open candle of the interval at `at` in [`INTERVALS`].
    pub(super) fn open(&self, at: usize) -> Option<Bar> {
        self.series.get(at)?.bars.back().copied()
    }

    /// The last 24 hours before `now`, by whole minutes.
    pub(super) fn day(&self, now: Time) -> Option<Day> {
        let from = now.plus(-crate::kernel::types::DAY);
        let minutes = &self.series.get(MINUTE_AT)?.bars;
        let first = minutes.partition_point(|bar| bar.open_time <= from);
        let open = minutes.back().filter(|_| first < minutes.len())?;
        let before = first.checked_sub(1).and_then(|at| minutes.get(at));
        let window = (minutes.get(first)?.open_time, open.open_time);
        let known = self.day.get().filter(|known| known.window == window);
        let mut bar = known.map_or_else(
            || {
                let closed = minutes.len() - 1 - first;
                let mut closed = minutes.iter().skip(first).take(closed);
                let none = Bar::flat(open.open_time, open.open_time, open.open);
                let mut bar = closed.next().copied().unwrap_or(none);
                for next in closed {
                    bar.merge(next);
                    bar.end = next.end;
                }
                bar
            },
            |known| known.bar,
        );
        self.day.set(Some(Closed { window, bar }));
        bar.merge(open);
        bar.end = open.end;
        let before = before.map_or(bar.open, |bar| bar.close);
        Some(Day { bar, before })
    }
}

impl Series {
    /// Ends candles until `time` lies in the open one (or before it).
    fn roll(&mut self, time: Time, mut closed: impl FnMut(Bar)) {
        let Some(last) = self.bars.back().copied() else {
            return;
        };
        if time < last.end {
            return;
        }
        closed(last);
        let silence = time.since(last.end) / self.interval.nominal_len();
        if silence > FLAT_MAX {
            self.push(self.interval.open_of(time), last.close);
            return;
        }
        self.push(last.end, last.close);
        while let Some(flat) = self.bars.back().copied().filter(|bar| time >= bar.end) {
            closed(flat);
            self.push(flat.end, flat.close);
        }
    }

    fn push(&mut self, open_time: Time, price: Price) {
        if self.bars.len() >= BARS_MAX {
            self.bars.pop_front();
        }
        let end = self.interval.next_open(open_time);
        self.bars.push_back(Bar::flat(open_time, end, price));
    }

    /// Adds a trade to its candle; `false` if that was not the open one.
    fn add(&mut self, trade: &Trade) -> bool {
        if self.bars.is_empty() {
            self.push(self.interval.open_of(trade.time), trade.price);
        }
        // A late trade belongs to a candle before the open one; one before all candles is dropped.
        let bars = self.bars.iter_mut().rev().enumerate();
        let mut bars = bars.skip_while(|(_, bar)| bar.open_time > trade.time);
        match bars.next() {
            Some((behind, bar)) => {
                bar.add(trade);
                behind == 0
            }
            None => false,
        }
    }

    fn load(&mut self, bars: &[Bar]) {
        self.bars.clear();
        let len = self.interval.nominal_len();
        // A month may have 31 days, a day's bar is the longest there is: nominal is good enough.
        for bar in bars
            .iter()
            .filter(|bar| bar.end.since(bar.open_time) <= len)
        {
            let open_time = self.interval.open_of(bar.open_time);
            match self.bars.back_mut() {
                Some(last) if last.open_time == open_time => last.merge(bar),
                // The first one must be whole.
                None if bar.open_time != open_time => {}
                _ => {
                    self.push(open_time, bar.open);
                    if let Some(last) = self.bars.back_mut() {
                        last.merge(bar);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::types::{Qty, SECOND};

    fn trade(id: u64, seconds: i64, price: i64) -> Trade {
        Trade {
            id,
            first_id: id,
            last_id: id,
            price: Price(price),
            qty: Qty(2),
            taker: if id.is_multiple_of(2) {
                Side::Buy
            } else {
                Side::Sell
            },
            time: Time(seconds * SECOND),
        }
    }

    #[test]
    fn candles_follow_without_a_hole_and_close_once() {
        let mut candles = Candles::new();
        let mut closed = Vec::new();
        for trade in [trade(1, 60, 10), trade(2, 61, 12), trade(3, 200, 9)] {
            candles.add(&trade, |at, bar| {
                if at == MINUTE_AT {
                    closed.push((bar.open_time.0 / SECOND, bar.close.0, bar.trades));
                }
            });
        }
        assert_eq!(closed, [(60, 12, 2), (120, 12, 0)]);
        let minutes = candles.bars("1m").expect("known");
        let last = minutes.back().expect("open");
        assert_eq!((last.open, last.ids), (Price(9), Some((3, 3))));
        let first = minutes.front().expect("closed");
        assert_eq!(
            (first.volume, first.quote_volume, first.taker_volume),
            (4, 44, 2)
        );
        assert!(candles.bars("7m").is_none());
        assert_eq!(candles.bars("1s").map(VecDeque::len), Some(141));
    }

    #[test]
    fn a_late_trade_finds_its_candle() {
        let mut candles = Candles::new();
        for trade in [trade(1, 60, 10), trade(3, 121, 9), trade(2, 119, 20)] {
            candles.add(&trade, |_, _| {});
        }
        let minutes = candles.bars("1m").expect("known");
        assert_eq!(
            minutes.front().map(|b| (b.high, b.trades)),
            Some((Price(20), 2))
        );
        assert_eq!(
            minutes.back().map(|b| (b.high, b.trades)),
            Some((Price(9), 1))
        );
    }

    #[test]
    fn a_long_silence_does_not_fill_memory() {
        let mut candles = Candles::new();
        candles.add(&trade(1, 60, 10), |_, _| {});
        let mut closed = 0;
        candles.advance(Time(10_000_000 * SECOND), |_, _| closed += 1);
        assert!(closed < 16 * 2 * BARS_MAX, "{closed}");
        let seconds = candles.bars("1s").expect("known");
        assert_eq!(
            seconds.back().map(|b| b.open_time.0 / SECOND),
            Some(9_999_999)
        );
    }
}
