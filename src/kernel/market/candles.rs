//! Candles of one interval, built from one trade stream, and the indicators over them.
//!
//! A candle closes when a trade, or any event of the venue well past its end, proves that it is over.
//! Closed candles never change, except that history from the venue may replace what is known to be
//! incomplete: the candle that was running when the stream began, and those of an outage.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::candle_log::CandleLog;
use crate::kernel::event::{Candle, History, Kline, Trade};
use crate::kernel::indicators::{Bar, Kept, Spec, Values};
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
    /// Where it ends.
    end: Time,
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

impl Forming {
    fn new(candle: Candle, seam: Option<Vec<Trade>>, interval: Interval) -> Self {
        Self {
            candle,
            end: interval.next_open(candle.open_time),
            seam,
            venue_final: None,
        }
    }
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
    #[inline]
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// Closed candles, oldest first.
    pub fn closed(&self) -> &CandleLog {
        &self.closed
    }

    /// The last closed candle.
    #[inline]
    pub fn last(&self) -> Option<&Candle> {
        self.closed.last()
    }

    /// The candle that still changes.
    #[inline]
    pub fn forming(&self) -> Option<&Candle> {
        self.forming.as_ref().map(|f| &f.candle)
    }

    /// The indicators that are kept up to date.
    pub fn indicators(&self) -> &[Kept] {
        &self.indicators
    }

    /// The place of an indicator among those that are kept; one that is not yet is built from the candles there are.
    pub fn keep(&mut self, spec: Spec, instrument: &Instrument) -> usize {
        let name = spec.to_string();
        if let Some(place) = self.indicators.iter().position(|k| k.name() == name) {
            return place;
        }
        let mut kept = Kept::new(spec);
        for candle in &self.closed {
            kept.push(Bar::new(candle, instrument));
        }
        self.indicators.push(kept);
        self.indicators.len().saturating_sub(1)
    }

    /// The values of a kept indicator after the last closed candle, and after the one before.
    pub fn indicator(&self, name: &str) -> Option<(Option<Values>, Option<Values>)> {
        self.indicators
            .iter()
            .find(|k| k.name() == name)
            .map(|k| (k.value(), k.before()))
    }

    /// When the forming candle should have closed, with time for stragglers.
    #[inline]
    pub fn due(&self) -> Option<Time> {
        let forming = self.forming.as_ref()?;
        Some(forming.end.plus(4 * SETTLE_NS))
    }

    /// Trades were lost: the forming candle is incomplete until the venue's own figures come.
    pub fn break_seam(&mut self) {
        if let Some(forming) = &mut self.forming {
            forming.seam.get_or_insert_with(Vec::new).clear();
        }
    }

    /// A trade; `missed` says that others before it were not seen.
    pub fn trade(&mut self, trade: &Trade, missed: bool, instrument: &Instrument) -> Progress {
        let mut progress = Progress::default();
        let open_time = match &self.forming {
            // Most trades come into the candle that is there.
            Some(f) if f.candle.open_time <= trade.time && trade.time < f.end => f.candle.open_time,
            Some(_) | None => self.interval.open_of(trade.time),
        };
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
        let interval = self.interval;
        let forming = self.forming.get_or_insert_with(|| {
            let candle = flat(open_time, trade.price);
            Forming::new(candle, Some(Vec::new()), interval)
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
        if time < forming.end.plus(SETTLE_NS) {
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
            self.forming = Some(Forming::new(*open, Some(Vec::new()), self.interval));
        }
        self.rebuild(instrument);
    }

    /// Indicators anew, from the candles that are kept.
    fn rebuild(&mut self, instrument: &Instrument) {
        for kept in &mut self.indicators {
            kept.reset();
        }
        for candle in &self.closed {
            let bar = Bar::new(candle, instrument);
            for kept in &mut self.indicators {
                kept.push(bar);
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
        let mut next = forming.end;
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
        let seam = missed.then(Vec::new);
        self.forming = Some(Forming::new(flat(next, close), seam, self.interval));
        closed
    }

    fn push(&mut self, closed: Closed, instrument: &Instrument) {
        let bar = Bar::new(&closed.candle, instrument);
        for kept in &mut self.indicators {
            kept.push(bar);
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

#[inline]
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
#[path = "candle_tests.rs"]
mod tests;
