//! What a strategy sees. Everything is as of the input that the kernel is working on: no clock, no future.

use crate::kernel::event::{Candle, Level};
use crate::kernel::indicators::Values;
use crate::kernel::ledger::Ledger;
use crate::kernel::market::{Book, BookSpec, MICROPRICE, Market, Series};
use crate::kernel::orders::{Order, OrderId};
use crate::kernel::types::{Contract, Instrument, InstrumentId, Interval, Money, Price, Qty, Time};
use crate::kernel::valuation::Valuation;

/// The position that a strategy's own fills made, as far as the account still has it: what an operator has closed
/// of it is not the strategy's any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnPosition {
    /// Signed quantity at the instrument's scale; negative is short.
    pub qty: i64,
    /// What it cost, signed like it.
    pub cost: Money,
    /// The part of it that the venue would take: on the lot, and not below its minimum. What is less is dust, and
    /// counts as flat.
    pub standing: i64,
}

impl OwnPosition {
    /// Its size that the venue would take.
    pub fn size(self) -> Qty {
        Qty(self.standing.saturating_abs())
    }

    /// Average price of entry; `None` when flat.
    pub fn entry(self, instrument: &Instrument) -> Option<f64> {
        let qty = self.qty as f64 / instrument.qty_scale.unit() as f64;
        (self.qty != 0).then(|| self.cost.to_f64() / qty)
    }
}

/// What a strategy sees of its instrument, its own position and orders, and the account.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(in crate::kernel) now: Time,
    pub(in crate::kernel) id: InstrumentId,
    pub(in crate::kernel) instrument: &'a Instrument,
    pub(in crate::kernel) market: &'a Market,
    pub(in crate::kernel) series: &'a Series,
    /// Where the strategy's indicators stand in the series, in the order of its needs.
    pub(in crate::kernel) slots: &'a [usize],
    pub(in crate::kernel) position: OwnPosition,
    pub(in crate::kernel) open: &'a [OrderId],
    pub(in crate::kernel) ledger: &'a Ledger,
    pub(in crate::kernel) valuation: &'a Valuation,
}

impl<'a> View<'a> {
    /// The time of the input that is being worked on.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Which instrument.
    pub fn instrument_id(&self) -> InstrumentId {
        self.id
    }

    /// What the venue says of it: tick, lot, minimum, fees.
    pub fn instrument(&self) -> &'a Instrument {
        self.instrument
    }

    /// Whether a short position can be had.
    pub fn may_short(&self) -> bool {
        self.instrument.contract != Contract::Spot
    }

    /// The interval of the strategy's candles.
    pub fn interval(&self) -> Interval {
        self.series.interval()
    }

    /// The candle that closed last.
    pub fn candle(&self) -> Option<&'a Candle> {
        self.series.last()
    }

    /// The candle that closed so many before the last one; 0 is the last one.
    pub fn candle_before(&self, back: usize) -> Option<&'a Candle> {
        self.series.closed().back(back)
    }

    /// Its close, for indicators.
    pub fn close(&self) -> Option<f64> {
        let close = self.candle()?.close;
        Some(close.to_f64(self.instrument.price_scale))
    }

    /// The indicator `slot` of the strategy's needs after the last closed candle; `None` until warm.
    pub fn value(&self, slot: usize) -> Option<Values> {
        self.series
            .indicators()
            .get(*self.slots.get(slot)?)?
            .value()
    }

    /// The same after the closed candle before that.
    pub fn before(&self, slot: usize) -> Option<Values> {
        self.series
            .indicators()
            .get(*self.slots.get(slot)?)?
            .before()
    }

    /// The strategy's own position.
    pub fn position(&self) -> OwnPosition {
        self.position
    }

    /// Own orders that can still change, exits that the kernel placed for its entries among them.
    pub fn orders(&self) -> impl Iterator<Item = &'a Order> + use<'a> {
        let orders = self.ledger.orders();
        self.open.iter().filter_map(|id| orders.get(*id))
    }

    /// How many.
    pub fn orders_open(&self) -> usize {
        self.open.len()
    }

    /// The order book, where it is valid now.
    pub fn book(&self) -> Option<&'a Book> {
        self.market.book.valid()
    }

    /// Best bid and ask of the valid book.
    pub fn best(&self) -> Option<(Level, Level)> {
        let book = self.book()?;
        Some((book.best_bid()?, book.best_ask()?))
    }

    /// Best bid and ask of the valid book, each weighed by the quantity at the other.
    pub fn microprice(&self) -> Option<f64> {
        self.signal(MICROPRICE)
    }

    /// A signal of book and trades, [`crate::kernel::market::BOOK_SIGNALS`].
    pub fn signal(&self, signal: BookSpec) -> Option<f64> {
        signal.value(self.market, self.instrument)
    }

    /// The price that positions are valued at: the venue's mark, else the middle of the book, else the last trade.
    pub fn mark(&self) -> Option<Price> {
        self.market.mark(self.instrument)
    }

    /// Price of the last trade.
    pub fn last_price(&self) -> Option<Price> {
        self.market.last_price()
    }

    /// The market: its trades, its candles of other intervals, a derivative's figures.
    pub fn market(&self) -> &'a Market {
        self.market
    }

    /// What the account is worth.
    pub fn equity(&self) -> Money {
        self.valuation.equity(self.ledger).unwrap_or_default()
    }
}
