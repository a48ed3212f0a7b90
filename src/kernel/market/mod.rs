//! What the kernel knows of one instrument's market: book, trades, candles, indicators.

mod book;
mod candles;
mod levels;
mod candle_log;
mod signals;
mod sync;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

pub use book::Book;
pub use candle_log::{CandleLog, Candles};
pub use candles::{Progress, Series};
pub use signals::{BOOK_SIGNALS, BookSignal, BookSpec, MICROPRICE};
pub use sync::{Step, SyncedBook};

use super::event::{
    BookFault, DayStats, Derivative, Level, Liquidation, LossReason, Lost, MarketData, MarketEvent,
    Quote, Trade,
};
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
    /// Whether the trade was new, the book changed, or a derivative's figures came.
    pub applied: bool,
}

/// One instrument's market.
#[derive(Debug)]
pub struct Market {
    /// The order book.
    pub book: SyncedBook,
    quote: Option<Quote>,
    last_trade: Option<Trade>,
    /// Trades up to this id were seen; `None` at the start of a session. Of a venue that does not
    /// number its trades, the last id.
    trade_floor: Option<u64>,
    day: Option<DayStats>,
    derivative: Option<Derivative>,
    last_liquidation: Option<Liquidation>,
    /// When the book was last known to be the venue's: by an update, or by a look over REST.
    book_seen: Time,
    /// Venue time of the newest difference or whole book that was heard.
    book_time: Time,
    recent: VecDeque<Trade>,
    series: Vec<Series>,
    /// Trades seen.
    pub trades: u64,
    /// Holes in the trade ids.
    pub trade_gaps: u64,
    /// Base volume traded, at the quantity scale.
    pub volume: i128,
    /// Liquidations seen.
    pub liquidations: u64,
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
            derivative: None,
            last_liquidation: None,
            book_seen: Time::ZERO,
            book_time: Time::ZERO,
            recent: VecDeque::with_capacity(TRADES_PUBLISHED),
            series,
            trades: 0,
            trade_gaps: 0,
            volume: 0,
            liquidations: 0,
            time: Time::ZERO,
            received: Time::ZERO,
            venue_ahead_ns: 0,
        }
    }

    /// Price of the last trade; before the first one, close of the last known candle.
    #[inline]
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

    /// The last trades, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Trade> {
        self.recent.iter().rev()
    }

    /// 24-hour figures.
    pub fn day(&self) -> Option<DayStats> {
        self.day
    }

    /// Best bid and ask, from whichever of book and ticker stream is newer.
    pub fn best(&self) -> (Option<Level>, Option<Level>) {
        let book = self.book.valid();
        match self.quote {
            Some(q) if book.is_none() || q.update_id > self.book.seq() => {
                (Some(q.bid), Some(q.ask))
            }
            _ => (book.and_then(Book::best_bid), book.and_then(Book::best_ask)),
        }
    }

    /// Mark and index price, funding and open interest, of a derivative.
    pub fn derivative(&self) -> Option<Derivative> {
        self.derivative
    }

    /// The newest liquidation.
    pub fn last_liquidation(&self) -> Option<Liquidation> {
        self.last_liquidation
    }

    /// The price that positions are valued at: the venue's mark price, else the middle of the valid
    /// book, else the last trade.
    #[inline]
    pub fn mark(&self, instrument: &Instrument) -> Option<Price> {
        let venue = || self.derivative?.mark?.to_price(instrument.price_scale);
        let middle = || self.book.valid().and_then(Book::mid);
        venue().or_else(middle).or_else(|| self.last_price())
    }

    /// When the book was last known to be the venue's, by our clock: an update came, or a look over
    /// REST found nothing newer there.
    pub fn book_seen(&self) -> Time {
        self.book_seen
    }

    /// The venue's time of the newest difference or whole book that was heard, valid or not: a trade that is
    /// not after it may be in the book already. A book from REST counts as ours at its receipt, by the venue's
    /// clock as [`Market::venue_now`] tells it.
    pub fn book_time(&self) -> Time {
        self.book_time
    }

    /// All series.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The series of an interval.
    pub fn series_of(&self, interval: Interval) -> Option<&Series> {
        self.series.iter().find(|s| s.interval() == interval)
    }

    /// Where the series of an interval stands among [`Market::series`].
    pub fn place_of(&self, interval: Interval) -> Option<usize> {
        self.series.iter().position(|s| s.interval() == interval)
    }

    /// The same, to keep more indicators on it.
    pub fn series_mut(&mut self, place: usize) -> Option<&mut Series> {
        self.series.get_mut(place)
    }

    /// When, by our clock, a candle is to be closed although nothing comes.
    #[inline]
    pub fn deadline(&self) -> Option<Time> {
        let due = self.series.iter().filter_map(Series::due).min()?;
        Some(due.plus(self.venue_ahead_ns.saturating_neg()))
    }

    /// The venue's time now, as its last events tell it: our own clock may be wrong.
    #[inline]
    pub fn venue_now(&self, now: Time) -> Time {
        now.plus(self.venue_ahead_ns)
    }

    /// Applies an event.
    pub fn apply(&mut self, event: &MarketEvent, instrument: &Instrument) -> Outcome {
        let mut outcome = Outcome::default();
        if !matches!(
            event.data,
            MarketData::Lost(..) | MarketData::Listing(_) | MarketData::Verified { .. }
        ) {
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
            MarketData::Depth(delta) => {
                self.book_seen = self.book_seen.max(event.received);
                self.book_time = self.book_time.max(event.venue_time);
                outcome.step = Some(self.book.delta(delta));
            }
            MarketData::Snapshot(snapshot) => {
                self.book_seen = self.book_seen.max(event.received);
                let time = match snapshot.window {
                    Some(_) => event.venue_time,
                    None => self.venue_now(event.received),
                };
                self.book_time = self.book_time.max(time);
                outcome.step = Some(self.book.snapshot(snapshot));
            }
            MarketData::Quote(quote) => {
                // The streams are not ordered against each other: never step back.
                if self.quote.is_none_or(|q| q.update_id <= quote.update_id) {
                    self.quote = Some(*quote);
                }
                if instrument.name.venue.quotes_verify_books() {
                    outcome.step = Some(self.book.quote(*quote));
                }
            }
            MarketData::Trade(trade) => self.trade(trade, instrument, &mut outcome),
            MarketData::OffBook(id) => {
                self.number(*id, &mut outcome);
            }
            MarketData::Kline(kline) => {
                for series in &mut self.series {
                    if series.interval() == kline.interval
                        && series.kline(kline, instrument).mismatch
                    {
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
            MarketData::Stats(stats) => self.day.get_or_insert_default().merge(stats),
            MarketData::Derivative(figures) => {
                self.derivative.get_or_insert_default().merge(figures);
                outcome.applied = true;
            }
            MarketData::Liquidation(liquidation) => {
                self.last_liquidation = Some(*liquidation);
                self.liquidations = self.liquidations.saturating_add(1);
            }
            MarketData::Verified { seq } => {
                if self.book.valid().is_some() && *seq <= self.book.seq() {
                    self.book_seen = self.book_seen.max(event.received);
                }
            }
            MarketData::Listing(_) => {}
            MarketData::Lost(reason, what) => {
                if matches!(what, Lost::All | Lost::Trades) {
                    if matches!(reason, LossReason::Disconnected | LossReason::Unsubscribed) {
                        self.trade_floor = None;
                    }
                    self.series.iter_mut().for_each(Series::break_seam);
                }
                if matches!(what, Lost::All | Lost::Book) {
                    self.quote = None;
                    outcome.step = Some(self.book.invalidate(BookFault::Lost(*reason)));
                }
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

    /// Notes the ids of a message of a numbered trade stream. `None`: it was seen before; else whether
    /// others before it were missed.
    fn number(&mut self, id: u64, outcome: &mut Outcome) -> Option<bool> {
        if self.trade_floor.is_some_and(|floor| id <= floor) {
            return None;
        }
        let next = self.trade_floor.map(|floor| floor.saturating_add(1));
        let gap = next.is_some_and(|next| id > next);
        // A new session may begin anywhere, at a restarted venue even with smaller ids.
        let missed = gap || (next.is_none() && self.last_trade.is_some());
        if missed {
            self.series.iter_mut().for_each(Series::break_seam);
        }
        if gap {
            self.trade_gaps = self.trade_gaps.saturating_add(1);
        }
        self.trade_floor = Some(id);
        outcome.applied = true;
        Some(missed)
    }

    /// The same where trades have no numbers: one that is among the last ones was seen before. Trades
    /// come in the order of time, so the search ends at the first older one.
    fn recognise(&mut self, trade: &Trade, outcome: &mut Outcome) -> Option<bool> {
        let newer = self.recent.iter().rev();
        let mut newer = newer.take_while(|known| known.time >= trade.time);
        if newer.any(|known| known.id == trade.id) {
            return None;
        }
        // Older than all that is remembered: nobody can tell any more, and counting twice is worse.
        let full = self.recent.len() == TRADES_PUBLISHED;
        if full
            && self
                .recent
                .front()
                .is_some_and(|oldest| trade.time < oldest.time)
        {
            return None;
        }
        let missed = self.trade_floor.is_none() && self.last_trade.is_some();
        if missed {
            self.series.iter_mut().for_each(Series::break_seam);
        }
        self.trade_floor = Some(trade.id);
        outcome.applied = true;
        Some(missed)
    }

    fn trade(&mut self, trade: &Trade, instrument: &Instrument, outcome: &mut Outcome) {
        let new = if instrument.name.venue.numbers_trades() {
            self.number(trade.id, outcome)
        } else {
            self.recognise(trade, outcome)
        };
        let Some(missed) = new else {
            return; // repeated
        };
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
        (self.day, self.derivative, self.last_liquidation).hash(state);
        (self.liquidations, self.time, self.received).hash(state);
        (self.book_seen, self.book_time).hash(state);
        self.series.hash(state);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernel::types::{InstrumentName, Money, Qty, Scale, VenueId};

    /// BTCUSDT with a tick of 0.01, a lot of 0.00001 and a minimum notional of 5.
    pub(crate) fn instrument() -> Instrument {
        Instrument {
            qty_min: Qty(1),
            qty_max: Qty(900_000_000),
            notional_min: Money::parse("5").expect("amount"),
            ..Instrument::unlimited(
                InstrumentName {
                    venue: VenueId::Sim,
                    symbol: "BTCUSDT".to_owned(),
                },
                "BTC",
                "USDT",
                (Scale::new(2).expect("scale"), Scale::new(5).expect("scale")),
            )
        }
    }
}
