//! What the simulated venue knows of a symbol at its present position, and the changes to it.

use std::collections::VecDeque;

use super::book::Book;
use super::candles::{Bar, Candles};
use super::market::MarketKind;
use super::number::Scales;
use crate::kernel::event::{DepthDelta, DepthSnapshot, Derivative, Liquidation, Quote, Trade};
use crate::kernel::types::{Instrument, Price, Qty, Side, Time};

/// Trades kept for REST.
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
    /// Figures of a perpetual.
    Derivative(Derivative),
    /// Somebody was liquidated; the trade is told of apart.
    Liquidation(Liquidation),
    /// The service has started anew, with this book under new ids.
    Restart(DepthSnapshot),
}

/// State of a symbol.
#[derive(Debug)]
pub(super) struct Symbol {
    /// Its market.
    pub(super) kind: MarketKind,
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
    /// What is known of a perpetual.
    pub(super) derivative: Derivative,
    /// What orders books and trades among each other (`seq` of Bybit): the newest update id.
    pub(super) seq: u64,
    /// When the book changed last.
    pub(super) book_time: Time,
}

/// Candles that ended: place of the interval, candle.
pub(super) type Closed = Vec<(usize, Bar)>;

impl Symbol {
    /// A symbol about which nothing is known yet.
    pub(super) fn new(kind: MarketKind, instrument: Instrument) -> Self {
        Self {
            kind,
            instrument,
            book: Book::default(),
            candles: Candles::new(),
            trades: VecDeque::new(),
            quote: None,
            derivative: Derivative::default(),
            seq: 0,
            book_time: Time::ZERO,
        }
    }

    /// How its venue writes its numbers.
    pub(super) fn scales(&self) -> Scales {
        Scales::of(self.kind, &self.instrument)
    }

    /// The last price; the close of the history before the first trade.
    pub(super) fn last_price(&self) -> Option<Price> {
        let last = self.trades.back().map(|trade| trade.price);
        last.or_else(|| self.candles.open(0).map(|bar| bar.close))
    }

    /// Takes a change of time `now` in; says which candles ended by it.
    pub(super) fn apply(&mut self, now: Time, change: &Change) -> Closed {
        let mut closed = Vec::new();
        match change {
            Change::Depth(delta) => {
                if self.book.apply(delta) {
                    self.seq = self.seq.max(delta.seq);
                    self.book_time = now;
                    self.refresh_quote();
                }
            }
            Change::Snapshot(snapshot) => {
                // One from a stream replaces the book whatever its state.
                if snapshot.window.is_some() || snapshot.last_id > self.book.last_id() {
                    self.book.reset(snapshot);
                    self.seq = self.seq.max(snapshot.seq);
                    self.book_time = now;
                    self.refresh_quote();
                }
            }
            Change::Restart(snapshot) => {
                self.book.reset(snapshot);
                self.quote = None;
                self.seq = snapshot.seq;
                self.book_time = now;
                self.refresh_quote();
            }
            Change::Trade(trade) => {
                self.candles.add(trade, |at, bar| closed.push((at, bar)));
                if self.trades.len() >= TRADES_MAX {
                    self.trades.pop_front();
                }
                self.trades.push_back(*trade);
            }
            Change::Quote(quote) => {
                self.seq = self.seq.max(quote.update_id);
                self.take_quote(*quote);
            }
            Change::Derivative(figures) => self.derivative.merge(figures),
            Change::Liquidation(_) => {}
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

/// The executions that a trade sums up, each with its own id: equal parts, the first one takes the
/// rest.
pub(super) fn executions(trade: &Trade) -> impl Iterator<Item = Trade> + '_ {
    let count = i64::try_from(trade.last_id.saturating_sub(trade.first_id)).unwrap_or(0) + 1;
    let part = (trade.qty.0 / count).max(1);
    let first = trade.qty.0.saturating_sub(part.saturating_mul(count - 1));
    (trade.first_id..=trade.last_id).map(move |id| Trade {
        id,
        first_id: id,
        last_id: id,
        qty: Qty(if id == trade.first_id { first } else { part }),
        ..*trade
    })
}

/// Binance's `m`: the aggressor sold.
pub(super) const fn buyer_is_maker(trade: &Trade) -> bool {
    matches!(trade.taker, Side::Sell)
}
