//! What the simulated venue knows of a symbol at its present position, and the changes to it.

use std::collections::VecDeque;

use super::book::Book;
use super::candles::{Bar, Candles};
use crate::kernel::event::{DepthDelta, DepthSnapshot, Quote, Trade};
use crate::kernel::types::{Instrument, Side, Time};

/// Trades kept for `GET /api/v3/trades`.
const TRADES_MAX: usize = 1_000;

/// A change of a symbol's market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A difference to the book.
    Depth(DepthDelta),
    /// A whole book (recordings).
    Snapshot(DepthSnapshot),
    /// A trade.
    Trade(Trade),
    /// New best prices.
    Quote(Quote),
}

/// State of a symbol.
#[derive(Debug)]
pub(super) struct Symbol {
    /// Name and scales.
    pub(super) instrument: Instrument,
    /// Own book.
    pub(super) book: Book,
    /// Candles from trades.
    pub(super) candles: Candles,
    /// The last trades, newest last.
    pub(super) trades: VecDeque<Trade>,
    /// Best prices, from the newest of book and ticker.
    pub(super) quote: Option<Quote>,
}

/// Candles that ended: place of the interval, candle.
pub(super) type Closed = Vec<(usize, Bar)>;

impl Symbol {
    /// A symbol about which nothing is known yet.
    pub(super) fn new(instrument: Instrument) -> Self {
        Self {
            instrument,
            book: Book::default(),
            candles: Candles::new(),
            trades: VecDeque::new(),
            quote: None,
        }
    }

    /// Takes a change in; says which candles ended by it.
    pub(super) fn apply(&mut self, change: &Change) -> Closed {
        let mut closed = Vec::new();
        match change {
            Change::Depth(delta) => {
                if self.book.apply(delta) {
                    self.refresh_quote();
                }
            }
            Change::Snapshot(snapshot) => {
                if snapshot.last_id > self.book.last_id() {
                    self.book.reset(snapshot);
                    self.refresh_quote();
                }
            }
            Change::Trade(trade) => {
                self.candles.add(trade, |at, bar| closed.push((at, bar)));
                if self.trades.len() >= TRADES_MAX {
                    self.trades.pop_front();
                }
                self.trades.push_back(*trade);
            }
            Change::Quote(quote) => self.take_quote(*quote),
        }
        closed
    }

    /// Ends the candles whose time is over.
    pub(super) fn advance(&mut self, now: Time) -> Closed {
        let mut closed = Vec::new();
        self.candles.advance(now, |at, bar| closed.push((at, bar)));
        closed
    }

    fn refresh_quote(&mut self) {
        if let Some(quote) = self.book.quote() {
            self.take_quote(quote);
        }
    }

    fn take_quote(&mut self, quote: Quote) {
        if self
            .quote
            .is_none_or(|old| old.update_id <= quote.update_id)
        {
            self.quote = Some(quote);
        }
    }
}

/// Binance's `m`: the aggressor sold.
pub(super) const fn buyer_is_maker(trade: &Trade) -> bool {
    matches!(trade.taker, Side::Sell)
}
