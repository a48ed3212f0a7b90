//! Candles of one interval, built from one trade stream, and the indicators over them.
//!
//! A candle closes when a trade, or any event of the venue well past its end, proves that it is over.
//! Closed candles never change, except that history from the venue may replace what is known to be
//! incomplete: the candle that was running when the stream began, and those of an outage.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::log::CandleLog;
use crate::kernel::event::{Candle, History, Kline, Trade};
use crate::kernel::indicators::{Kept, Values};
use crate::kernel::types::{Instrument, Interval, MILLISECOND, Price, Time};

/// How far past the end of a candle another stream's event must be to close it: trades and depth
/// share a connection but not a clock.
const SETTLE_NS: i64 = 500 * MILLISECOND;
/// Trades of an incomplete candle that wait for the venue's own figures at most.
const SEAM_MAX: usize = 20_000;
/// Candles without trades that are filled in at most; a longer silence starts the series anew.
const FLAT_MAX: i64 = 1_500;

/// Candles of one interval.
#[derive(Debug)]
pub struct Series {
    interval: Interval,
    closed: CandleLog,
    /// Of each closed candle, whether it is complete.
    complete: VecDeque<bool>,
    forming: Option<Forming>,
    kept_max: usize,
    indicators: Vec<Kept>,
    /// Candles closed since the start.
    pub closes: u64,
    /// Trades that came after their candle had closed.
    pub late_trades: u64,
    /// Closed venue candles that differed from ours.
    pub mismatches: u64,
}

#[derive(Debug, Clone, Copy, Hash)]
struct Closed {
    candle: Candle,
    complete: bool,
}

#[derive(Debug)]
struct Forming {
    candle: Candle,
    /// `None` when every trade since its start was seen. Otherwise the trades seen so far, which
    /// wait for a venue candle that ends before or within them.
    seam: Option<Vec<Trade>>,
    /// The venue's own final figures, if they came before ours were final.
    venue_final: Option<Candle>,
}

/// What an event did to the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Candles that closed.
    pub closed: u32,
    /// Whether a venue candle contradicted ours.
    pub mismatch: bool,
}

impl Series {
    /// An empty series that keeps `kept_max` closed candles and these indicators.
    pub fn new(interval: Interval, kept_max: usize, indicators: Vec<Kept>) -> Self {
        Self {
            interval,
            closed: CandleLog::default(),
            complete: VecDeque::new(),
            forming: None,
            kept_max,
            indicators,
            closes: 0,
            late_trades: 0,
            mismatches: 0,
        }
    }

    /// The interval.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// Closed candles, oldest first.
    pub fn closed(&self) -> &CandleLog {
        &self.closed
    }

    /// The last closed candle.
    pub fn last(&self) -> Option<&Candle> {
        self.closed.last()
    }

    /// The candle that still changes.
    pub fn forming(&self) -> Option<&Candle> {
        self.forming.as_ref().map(|f| &f.candle)
    }

    /// The indicators that are kept up to date.
    pub fn indicators(&self) -> &[Kept] {
        &self.indicators
    }

    /// The values of a kept indicator after the last closed candle, and after the one before.
    pub fn indicator(&self, name: &str) -> Option<(Option<Values>, Option<Values>)> {
        self.indicators
            .iter()
            .find(|k| k.name() == name)
            .map(|k| (k.value(), k.before()))
    }

    /// When the forming candle should have closed, with time for stragglers.
    pub fn due(&self) -> Option<Time> {
        let forming = self.forming.as_ref()?;
        Some(
            self.interval
                .next_open(forming.candle.open_time)
                .plus(4 * SETTLE_NS),
        )
    }

    /// Trades were lost: the forming candle is incomplete until the venue's own figures come.
    pub fn break_seam(&mut self) {
        if let Some(forming) = &mut self.forming {
            forming.seam.get_or_insert_with(Vec::new).clear();
        }
    }

    /// A trade; `missed` says that others before it were not seen.
    pub fn trade(&mut self, trade: &Trade, missed: bool, instrument: &Instrument) -> Progress {
        let open_time = self.interval.open_of(trade.time);
        let mut progress = Progress::default();
        match self.forming.as_mut().map(|f| f.candle.open_time) {
            Some(forming) if open_time < forming => {
                self.late_trades = self.late_trades.saturating_add(1);
                return progress;
            }
            None if self.last().is_some_and(|l| open_time <= l.open_time) => {
                self.late_trades = self.late_trades.saturating_add(1);
                return progress;
            }
            Some(forming) if open_time > forming => {
                progress.closed = self.close_until(open_time, missed, instrument);
            }
            Some(_) | None => {}
        }
        // Without a candle before it, nobody knows what was traded before this one's first trade.
        let forming = self.forming.get_or_insert_with(|| Forming {
            candle: flat(open_time, trade.price),
            seam: Some(Vec::new()),
            venue_final: None,
        });
        if forming.candle.trades == 0 {
            forming.candle = flat(open_time, trade.price);
        }
        if let Some(seam) = &mut forming.seam
            && seam.len() < SEAM_MAX
        {
            seam.push(*trade);
        }
        add(&mut forming.candle, trade);
        progress
    }

    /// The venue's time has reached `time`: closes what must be over.
    pub fn advance(&mut self, time: Time, instrument: &Instrument) -> Progress {
        let Some(forming) = &self.forming else {
            return Progress::default();
        };
        let end = self.interval.next_open(forming.candle.open_time);
        if time < end.plus(SETTLE_NS) {
            return Progress::default();
        }
        let open_time = self.interval.open_of(time.plus(-SETTLE_NS));
        Progress {
            closed: self.close_until(open_time, false, instrument),
            mismatch: false,
        }
    }

    /// The venue's own candle: completes ours where trades were missed, checks it otherwise.
    pub fn kline(&mut self, kline: &Kline, instrument: &Instrument) -> Progress {
        let mut progress = Progress::default();
        if let Some(forming) = &mut self.forming
            && forming.candle.open_time == kline.candle.open_time
        {
            if kline.closed {
                forming.venue_final = Some(kline.candle);
            }
            let Some(seam) = forming.seam.as_ref().filter(|s| s.len() < SEAM_MAX) else {
                return progress;
            };
            if let Some((_, last)) = kline.trade_ids {
                // Exact when no trade lies between the venue's last and our first.
                let joins = match seam.first() {
                    Some(first) => first.first_id <= last.saturating_add(1),
                    None => forming.candle.trades == 0,
                };
                if joins {
                    let mut candle = kline.candle;
                    seam.iter()
                        .filter(|t| t.last_id > last)
                        .for_each(|t| add(&mut candle, t));
                    (forming.candle, forming.seam) = (candle, None);
                }
            } else if let Some(time) = kline.traded_at {
                // By time it is exact but for trades of one millisecond: so every further candle of
                // the venue is taken as the new ground, and its final figures stand.
                let mut candle = kline.candle;
                seam.iter()
                    .filter(|t| t.time > time)
                    .for_each(|t| add(&mut candle, t));
                forming.candle = candle;
            }
        } else if kline.closed
            && let Some(own) = self.closed.last()
            && own.open_time == kline.candle.open_time
        {
            if self.complete.back() == Some(&false) {
                self.closed.set_last(kline.candle);
                if let Some(complete) = self.complete.back_mut() {
                    *complete = true;
                }
                self.rebuild(instrument);
            } else if !agree(own, &kline.candle) {
                self.mismatches = self.mismatches.saturating_add(1);
                progress.mismatch = true;
            }
        }
        progress
    }

    /// Candles from the venue's history. Complete candles of ours stand; the rest is filled in, and
    /// the indicators are built anew.
    pub fn history(&mut self, history: &History, now: Time, instrument: &Instrument) {
        let forming_open = self.forming.as_ref().map(|f| f.candle.open_time);
        let limit = forming_open.unwrap_or_else(|| self.interval.open_of(now));
        let mut merged: VecDeque<Closed> = VecDeque::new();
        let known = std::mem::take(&mut self.closed);
        let complete = std::mem::take(&mut self.complete);
        let closed = |(candle, complete): (&Candle, bool)| Closed {
            candle: *candle,
            complete,
        };
        let mut own = known.iter().zip(complete).map(closed).peekable();
        for candle in history.candles.iter().filter(|c| c.open_time < limit) {
            while let Some(mine) = own.next_if(|m| m.candle.open_time < candle.open_time) {
                append(&mut merged, mine, self.interval);
            }
            let mine = own.next_if(|m| m.candle.open_time == candle.open_time);
            let chosen = mine.filter(|m| m.complete && m.candle.trades > 0);
            let venue = Closed {
                candle: *candle,
                complete: true,
            };
            append(&mut merged, chosen.unwrap_or(venue), self.interval);
        }
        own.for_each(|mine| append(&mut merged, mine, self.interval));
        while merged.len() > self.kept_max {
            merged.pop_front();
        }
        self.closed = merged.iter().map(|c| c.candle).collect();
        self.complete = merged.iter().map(|c| c.complete).collect();
        if self.forming.is_none()
            && let Some(open) = history.candles.last().filter(|c| c.open_time == limit)
        {
            self.forming = Some(Forming {
                candle: *open,
                seam: Some(Vec::new()),
                venue_final: None,
            });
        }
        self.rebuild(instrument);
    }

    /// Indicators anew, from the candles that are kept.
    fn rebuild(&mut self, instrument: &Instrument) {
        for kept in &mut self.indicators {
            kept.reset();
        }
        for candle in &self.closed {
            for kept in &mut self.indicators {
                kept.push(candle, instrument);
            }
        }
    }

    /// Closes the forming candle and fills in those without trades up to (not including) the one
    /// that opens at `open_time`, which becomes the forming one. If trades were `missed`, none of
    /// these is complete.
    fn close_until(&mut self, open_time: Time, missed: bool, instrument: &Instrument) -> u32 {
        let Some(forming) = self.forming.take() else {
            return 0;
        };
        let mut next = self.interval.next_open(forming.candle.open_time);
        let mut closed = 1;
        let whole = forming.seam.is_none();
        let (candle, complete) = match forming.venue_final {
            Some(venue) if !whole => (venue, true),
            Some(venue) if !agree(&forming.candle, &venue) => {
                self.mismatches = self.mismatches.saturating_add(1);
                (forming.candle, true)
            }
            _ => (forming.candle, whole),
        };
        let close = candle.close;
        self.push(Closed { candle, complete }, instrument);
        let silence = open_time
            .since(next)
            .div_euclid(self.interval.nominal_len().max(1));
        if silence > FLAT_MAX {
            self.closed = CandleLog::default();
            self.complete.clear();
            self.indicators.iter_mut().for_each(Kept::reset);
            return closed;
        }
        while next < open_time {
            self.push(
                Closed {
                    candle: flat(next, close),
                    complete: !missed,
                },
                instrument,
            );
            next = self.interval.next_open(next);
            closed = closed.saturating_add(1);
        }
        self.forming = Some(Forming {
            candle: flat(next, close),
            seam: missed.then(Vec::new),
            venue_final: None,
        });
        closed
    }

    fn push(&mut self, closed: Closed, instrument: &Instrument) {
        for kept in &mut self.indicators {
            kept.push(&closed.candle, instrument);
        }
        self.closed.push(closed.candle);
        self.complete.push_back(closed.complete);
        self.closes = self.closes.saturating_add(1);
        if self.complete.len() > self.kept_max {
            self.closed.drop_first();
            self.complete.pop_front();
        }
    }
}

/// Appends unless that would leave a hole or run back; after a hole the series starts anew.
fn append(merged: &mut VecDeque<Closed>, next: Closed, interval: Interval) {
    if let Some(last) = merged.back() {
        let expected = interval.next_open(last.candle.open_time);
        if next.candle.open_time < expected {
            return;
        }
        if next.candle.open_time > expected {
            merged.clear();
        }
    }
    merged.push_back(next);
}

/// A candle without trades at the last price.
fn flat(open_time: Time, price: Price) -> Candle {
    Candle {
        open_time,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: 0,
        quote_volume: 0,
        trades: 0,
    }
}

/// Whether two candles agree. Turnover does not count: the venue rounds it. Nor does the number of
/// trades where the venue does not say.
fn agree(ours: &Candle, venue: &Candle) -> bool {
    let untold = venue.trades == 0 && venue.volume > 0;
    *venue
        == Candle {
            quote_volume: venue.quote_volume,
            trades: if untold { 0 } else { ours.trades },
            ..*ours
        }
}

fn add(candle: &mut Candle, trade: &Trade) {
    candle.high = candle.high.max(trade.price);
    candle.low = candle.low.min(trade.price);
    candle.close = trade.price;
    let turnover = i128::from(trade.price.0).saturating_mul(i128::from(trade.qty.0));
    candle.volume = candle.volume.saturating_add(i128::from(trade.qty.0));
    candle.quote_volume = candle.quote_volume.saturating_add(turnover);
    let executions = trade
        .last_id
        .saturating_sub(trade.first_id)
        .saturating_add(1);
    candle.trades = candle.trades.saturating_add(executions);
}

impl Hash for Series {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.interval.hash(state);
        self.closed.hash(state);
        self.complete.hash(state);
        if let Some(forming) = &self.forming {
            (forming.candle, &forming.seam, forming.venue_final).hash(state);
        }
        (self.closes, self.late_trades, self.mismatches).hash(state);
        for kept in &self.indicators {
            kept.hash_bits(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::market::tests::instrument;
    use crate::kernel::types::{Qty, SECOND, Side};

    fn trade(id: u64, second: i64, price: i64) -> Trade {
        let time = Time(second * SECOND);
        Trade {
            id,
            first_id: id,
            last_id: id,
            price: Price(price),
            qty: Qty(1),
            taker: Side::Buy,
            time,
        }
    }

    fn series() -> Series {
        Series::new(Interval::MINUTE, 100, Vec::new())
    }

    fn candle(minute: i64, prices: [i64; 4], trades: u64) -> Candle {
        let [open, high, low, close] = prices.map(Price);
        let open_time = Time(minute * 60 * SECOND);
        let volume = i128::from(trades);
        Candle {
            open_time,
            open,
            high,
            low,
            close,
            volume,
            quote_volume: 0,
            trades,
        }
    }

    fn shape(candle: &Candle) -> (i64, [i64; 4], u64) {
        let c = candle;
        let minute = c.open_time.0 / (60 * SECOND);
        (minute, [c.open.0, c.high.0, c.low.0, c.close.0], c.trades)
    }

    #[test]
    fn candles_close_by_trade_and_silence_is_flat() {
        let (mut s, i) = (series(), instrument());
        for (id, second, price) in [(1, 5, 10), (2, 30, 12), (3, 59, 9)] {
            assert_eq!(
                s.trade(&trade(id, second, price), false, &i),
                Progress::default()
            );
        }
        assert_eq!(s.trade(&trade(4, 185, 11), false, &i).closed, 3);
        let closed: Vec<_> = s.closed().iter().map(shape).collect();
        assert_eq!(
            closed,
            [
                (0, [10, 12, 9, 9], 3),
                (1, [9, 9, 9, 9], 0),
                (2, [9, 9, 9, 9], 0)
            ]
        );
        assert_eq!(s.forming().map(shape), Some((3, [11, 11, 11, 11], 1)));
        s.trade(&trade(5, 100, 50), false, &i);
        assert_eq!(s.late_trades, 1);
    }

    #[test]
    fn another_stream_closes_a_candle_only_well_past_its_end() {
        let (mut s, i) = (series(), instrument());
        s.trade(&trade(1, 5, 10), false, &i);
        assert_eq!(s.advance(Time(60 * SECOND + SETTLE_NS - 1), &i).closed, 0);
        assert_eq!(
            s.trade(&trade(2, 59, 11), false, &i).closed,
            0,
            "a straggler still counts"
        );
        assert_eq!(s.advance(Time(60 * SECOND + SETTLE_NS), &i).closed, 1);
        assert_eq!(s.last().map(shape), Some((0, [10, 11, 10, 11], 2)));
    }

    #[test]
    fn the_candle_that_ran_at_the_start_is_completed_by_the_venue() {
        let (mut s, i) = (series(), instrument());
        s.trade(&trade(10, 30, 20), false, &i);
        s.trade(&trade(11, 31, 21), false, &i);
        let mut kline = Kline {
            interval: Interval::MINUTE,
            candle: candle(0, [15, 22, 14, 18], 5),
            trade_ids: Some((4, 8)),
            traded_at: None,
            closed: false,
        };
        s.kline(&kline, &i);
        assert_eq!(
            s.forming().map(|c| c.trades),
            Some(2),
            "trade 9 is in neither"
        );
        (kline.trade_ids, kline.candle.trades) = (Some((4, 10)), 7);
        s.kline(&kline, &i);
        // The venue's figures up to trade 10, plus our trade 11.
        assert_eq!(s.forming().map(shape), Some((0, [15, 22, 14, 21], 8)));
        s.trade(&trade(12, 61, 30), false, &i);
        assert_eq!(s.complete.back(), Some(&true));
    }

    #[test]
    fn history_fills_in_what_we_do_not_know_for_sure() {
        let (mut s, i) = (series(), instrument());
        s.trade(&trade(1, 3 * 60 + 30, 10), false, &i); // incomplete
        s.trade(&trade(2, 4 * 60 + 1, 11), false, &i); // complete
        s.trade(&trade(3, 5 * 60 + 1, 12), false, &i); // forming
        let candles = (0..=5).map(|m| candle(m, [1, 2, 1, 2], 9)).collect();
        let history = History {
            interval: Interval::MINUTE,
            candles,
        };
        s.history(&history, Time(5 * 60 * SECOND + SECOND), &i);
        let trades: Vec<_> = s.closed().iter().map(|c| c.trades).collect();
        assert_eq!(trades, [9, 9, 9, 9, 1]);
        assert_eq!(s.forming().map(|c| c.trades), Some(1));
    }

    #[test]
    fn a_candle_that_began_while_trades_were_missed_is_not_complete() {
        let (mut s, i) = (series(), instrument());
        s.trade(&trade(1, 1, 10), false, &i);
        s.trade(&trade(2, 61, 11), false, &i);
        s.break_seam();
        s.trade(&trade(9, 185, 12), true, &i); // 3 to 8 were lost, from minute 1 to 3
        let complete: Vec<_> = s.complete.iter().copied().collect();
        assert_eq!(complete, [false, false, false]);
        let mut kline = Kline {
            interval: Interval::MINUTE,
            candle: candle(3, [11, 12, 9, 9], 4),
            trade_ids: Some((7, 10)),
            traded_at: None,
            closed: true,
        };
        s.kline(&kline, &i);
        assert_eq!(
            s.forming().map(|c| c.trades),
            Some(4),
            "the venue's figures stand"
        );
        s.break_seam();
        kline.candle.trades = 5;
        kline.trade_ids = None;
        s.kline(&kline, &i);
        s.trade(&trade(12, 241, 13), false, &i);
        assert_eq!(
            s.last().map(|c| c.trades),
            Some(5),
            "its final word, though it does not join"
        );
    }

    #[test]
    fn a_contradiction_of_the_venue_is_counted() {
        let (mut s, i) = (series(), instrument());
        s.trade(&trade(1, 1, 10), false, &i);
        s.trade(&trade(2, 61, 10), false, &i);
        let mut kline = Kline {
            interval: Interval::MINUTE,
            candle: candle(1, [10, 10, 10, 10], 1),
            trade_ids: Some((2, 2)),
            traded_at: None,
            closed: true,
        };
        s.kline(&kline, &i);
        s.trade(&trade(3, 121, 10), false, &i);
        assert_eq!(s.mismatches, 0);
        kline.candle = candle(2, [10, 11, 10, 10], 1);
        s.kline(&kline, &i);
        s.trade(&trade(4, 181, 10), false, &i);
        assert_eq!(s.mismatches, 1);
        kline.candle = candle(2, [10, 12, 10, 10], 1);
        assert!(s.kline(&kline, &i).mismatch, "also when it comes late");
    }
}
