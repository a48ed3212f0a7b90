//! What the kernel knows of one instrument's market: book, trades, candles, indicators.

mod book;
mod candles;
mod levels;
mod sync;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

pub use book::Book;
pub use candles::{Progress, Series};
pub use sync::{Step, SyncedBook};

use super::event::{BookFault, DayStats, Level, LossReason, MarketData, MarketEvent, Quote, Trade};
use super::snapshot::TRADES_PUBLISHED;
use super::types::{Instrument, Interval, Price, Time};

/// What an event changed, for readers and for strategies.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The book changed its state, or needs a snapshot.
    pub step: Option<Step>,
    /// Intervals of which a candle closed.
    pub closed: Vec<Interval>,
    /// Intervals whose venue candle contradicted ours.
    pub mismatched: Vec<Interval>,
    /// Whether the trade was new, or the book changed.
    pub applied: bool,
}

/// One instrument's market.
#[derive(Debug)]
pub struct Market {
    /// The order book.
    pub book: SyncedBook,
    quote: Option<Quote>,
    last_trade: Option<Trade>,
    /// Trades up to this id were seen; `None` at the start of a session.
    trade_floor: Option<u64>,
    day: Option<DayStats>,
    recent: VecDeque<Trade>,
    series: Vec<Series>,
    /// Trades seen.
    pub trades: u64,
    /// Holes in the trade ids.
    pub trade_gaps: u64,
    /// Base volume traded, at the quantity scale.
    pub volume: i128,
    /// Venue time of the newest event.
    pub time: Time,
    /// When the newest event was received.
    pub received: Time,
    /// How far the venue's clock was before ours at its last event, in nanoseconds.
    venue_ahead_ns: i64,
}

impl Market {
    /// Nothing known yet.
    pub fn new(levels_max: usize, series: Vec<Series>) -> Self {
        Self {
            book: SyncedBook::new(levels_max),
            quote: None,
            last_trade: None,
            trade_floor: None,
            day: None,
            recent: VecDeque::with_capacity(TRADES_PUBLISHED),
            series,
            trades: 0,
            trade_gaps: 0,
            volume: 0,
            time: Time::ZERO,
            received: Time::ZERO,
            venue_ahead_ns: 0,
        }
    }

    /// Price of the last trade; before the first one, close of the last known candle.
    pub fn last_price(&self) -> Option<Price> {
        let candle = || {
            self.series
                .iter()
                .find_map(|s| s.forming().or(s.last()))
                .map(|c| c.close)
        };
        self.last_trade.map(|t| t.price).or_else(candle)
    }

    /// The last trades, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Trade> {
        self.recent.iter()
    }

    /// 24-hour figures.
    pub fn day(&self) -> Option<DayStats> {
        self.day
    }

    /// Best bid and ask, from whichever of book and ticker stream is newer.
    pub fn best(&self) -> (Option<Level>, Option<Level>) {
        let book = self.book.valid();
        match self.quote {
            Some(q) if book.is_none() || q.update_id > self.book.last_id() => {
                (Some(q.bid), Some(q.ask))
            }
            _ => (book.and_then(Book::best_bid), book.and_then(Book::best_ask)),
        }
    }

    /// The price that positions are valued at: the middle of the valid book, else the last trade.
    pub fn mark(&self) -> Option<Price> {
        self.book
            .valid()
            .and_then(Book::mid)
            .or_else(|| self.last_price())
    }

    /// All series.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The series of an interval.
    pub fn series_of(&self, interval: Interval) -> Option<&Series> {
        self.series.iter().find(|s| s.interval() == interval)
    }

    /// When, by our clock, a candle is to be closed although nothing comes.
    pub fn deadline(&self) -> Option<Time> {
        let due = self.series.iter().filter_map(Series::due).min()?;
        Some(due.plus(self.venue_ahead_ns.saturating_neg()))
    }

    /// The venue's time now, as its last events tell it: our own clock may be wrong.
    pub fn venue_now(&self, now: Time) -> Time {
        now.plus(self.venue_ahead_ns)
    }

    /// Applies an event.
    pub fn apply(&mut self, event: &MarketEvent, instrument: &Instrument) -> Outcome {
        let mut outcome = Outcome::default();
        if !matches!(event.data, MarketData::Lost(_)) {
            self.time = self.time.max(event.venue_time);
            self.received = self.received.max(event.received);
        }
        // These carry the venue's own time.
        if matches!(
            event.data,
            MarketData::Depth(_)
                | MarketData::Trade(_)
                | MarketData::Kline(_)
                | MarketData::Stats(_)
        ) {
            self.venue_ahead_ns = event.venue_time.since(event.received);
        }
        match &event.data {
            MarketData::Depth(delta) => outcome.step = Some(self.book.delta(delta)),
            MarketData::Snapshot(snapshot) => outcome.step = Some(self.book.snapshot(snapshot)),
            MarketData::Quote(quote) => {
                // The streams are not ordered against each other: never step back.
                if self.quote.is_none_or(|q| q.update_id <= quote.update_id) {
                    self.quote = Some(*quote);
                }
                outcome.step = Some(self.book.quote(*quote));
            }
            MarketData::Trade(trade) => self.trade(trade, instrument, &mut outcome),
            MarketData::Kline(kline) => {
                for series in &mut self.series {
                    if series.interval() == kline.interval && series.kline(kline).mismatch {
                        outcome.mismatched.push(kline.interval);
                    }
                }
            }
            MarketData::History(history) => {
                let series = self
                    .series
                    .iter_mut()
                    .find(|s| s.interval() == history.interval);
                if let Some(series) = series {
                    series.history(history, event.venue_time, instrument);
                }
            }
            MarketData::Stats(stats) => self.day = Some(**stats),
            MarketData::Lost(reason) => {
                self.quote = None;
                if *reason == LossReason::Disconnected {
                    self.trade_floor = None;
                }
                self.series.iter_mut().for_each(Series::break_seam);
                outcome.step = Some(self.book.invalidate(BookFault::Lost(*reason)));
            }
        }
        outcome.applied |= matches!(outcome.step, Some(Step::Changed | Step::BecameValid));
        if matches!(event.data, MarketData::Depth(_) | MarketData::Stats(_)) {
            self.advance(event.venue_time, instrument, &mut outcome);
        }
        outcome
    }

    /// Closes candles that are over at `time` by the venue's clock.
    pub fn advance(&mut self, time: Time, instrument: &Instrument, outcome: &mut Outcome) {
        for series in &mut self.series {
            let progress = series.advance(time, instrument);
            if progress.closed > 0 {
                outcome.closed.push(series.interval());
            }
        }
    }

    fn trade(&mut self, trade: &Trade, instrument: &Instrument, outcome: &mut Outcome) {
        if self.trade_floor.is_some_and(|floor| trade.id <= floor) {
            return; // repeated
        }
        let next = self.trade_floor.map(|floor| floor.saturating_add(1));
        let gap = next.is_some_and(|next| trade.id > next);
        // A new session may begin anywhere, at a restarted venue even with smaller ids.
        let missed = gap || (next.is_none() && self.last_trade.is_some());
        if missed {
            self.series.iter_mut().for_each(Series::break_seam);
        }
        if gap {
            self.trade_gaps = self.trade_gaps.saturating_add(1);
        }
        self.trade_floor = Some(trade.id);
        outcome.applied = true;
        self.last_trade = Some(*trade);
        self.trades = self.trades.saturating_add(1);
        self.volume = self.volume.saturating_add(i128::from(trade.qty.0));
        if self.recent.len() == TRADES_PUBLISHED {
            self.recent.pop_front();
        }
        self.recent.push_back(*trade);
        for series in &mut self.series {
            if series.trade(trade, missed, instrument).closed > 0 {
                outcome.closed.push(series.interval());
            }
        }
    }
}

impl Hash for Market {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.book.hash(state);
        (
            self.quote,
            self.last_trade,
            self.trades,
            self.trade_gaps,
            self.volume,
        )
            .hash(state);
        (self.time, self.received).hash(state);
        self.series.hash(state);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernel::types::{
        InstrumentName, InstrumentStatus, Money, Qty, Rate, Scale, VenueId,
    };

    /// BTCUSDT with a tick of 0.01, a lot of 0.00001 and a minimum notional of 5.
    pub(crate) fn instrument() -> Instrument {
        Instrument {
            name: InstrumentName {
                venue: VenueId::Sim,
                symbol: "BTCUSDT".to_owned(),
            },
            base: "BTC".to_owned(),
            quote: "USDT".to_owned(),
            price_scale: Scale::new(2).expect("scale"),
            qty_scale: Scale::new(5).expect("scale"),
            tick: Price(1),
            lot: Qty(1),
            qty_min: Qty(1),
            qty_max: Qty(900_000_000),
            notional_min: Money::parse("5").expect("amount"),
            status: InstrumentStatus::Trading,
            maker_fee: Rate(100_000),
            taker_fee: Rate(100_000),
        }
    }
}
