//! Orders in the book, and what market events do to them. The rules are in `RULES.md`, sections 4 to 7.
//!
//! An event costs what it touches: an update only the own orders at the levels that it names, a trade and a
//! book that moved only those that they reach.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};

use super::super::matching::{Taken, acceptable, take};
use super::queue::{Queue, QueueModel};
use super::ticket::Ticket;
use super::{PaperVenue, venue_id};
use crate::kernel::Kernel;
use crate::kernel::event::{Level, ReportKind, Trade};
use crate::kernel::market::{Book, Market};
use crate::kernel::orders::{OrderId, TimeInForce};
use crate::kernel::types::{Instrument, InstrumentId, Price, Qty, Side, Time};

/// An order in the book.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Resting {
    pub(super) ticket: Ticket,
    queue: Queue,
    /// The venue's time of the book on which it joined the queue: older trades are in that book already.
    since: Time,
}

/// Best price first, and at the same price whoever arrived first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    instrument: InstrumentId,
    side: Side,
    rank: i64,
    turn: u64,
}

impl Key {
    fn new(instrument: InstrumentId, side: Side, price: Price, turn: u64) -> Self {
        Self {
            instrument,
            side,
            rank: rank_of(side, price),
            turn,
        }
    }

    fn price(&self) -> Price {
        match self.side {
            Side::Buy => Price(!self.rank),
            Side::Sell => Price(self.rank),
        }
    }

    /// Before or behind all of a side.
    fn end(instrument: InstrumentId, side: Side, last: bool) -> Self {
        Self {
            instrument,
            side,
            rank: if last { i64::MAX } else { i64::MIN },
            turn: if last { u64::MAX } else { 0 },
        }
    }
}

/// A price as a number that grows away from the best price of its side.
fn rank_of(side: Side, price: Price) -> i64 {
    match side {
        Side::Buy => !price.0,
        Side::Sell => price.0,
    }
}

/// The orders in the book.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct RestingOrders {
    orders: BTreeMap<Key, Resting>,
    keys: BTreeMap<OrderId, Key>,
    /// Those of which no book has told yet what is in front of them.
    unknown: BTreeSet<Key>,
    /// How many came to rest.
    turns: u64,
}

impl RestingOrders {
    /// Rests an order at its limit, behind all that is displayed there in `book`.
    pub(super) fn insert(&mut self, ticket: Ticket, book: Option<&Book>, since: Time) {
        let price = ticket.kind.limit().unwrap_or_default();
        let key = Key::new(ticket.instrument, ticket.side, price, self.turns);
        self.turns = self.turns.saturating_add(1);
        let displayed = book.and_then(|b| b.displayed(ticket.side, price));
        if displayed.is_none() {
            self.unknown.insert(key);
        }
        self.keys.insert(ticket.id, key);
        let resting = Resting {
            ticket,
            queue: displayed.map_or_else(Queue::unknown, Queue::join),
            since,
        };
        self.orders.insert(key, resting);
    }

    pub(super) fn remove(&mut self, id: OrderId) -> Option<Resting> {
        let key = self.keys.remove(&id)?;
        self.unknown.remove(&key);
        self.orders.remove(&key)
    }

    pub(super) fn get(&self, id: OrderId) -> Option<&Resting> {
        self.orders.get(self.keys.get(&id)?)
    }

    /// What the venue knows of an order changes; its price and its place do not.
    pub(super) fn ticket_mut(&mut self, id: OrderId) -> Option<&mut Ticket> {
        let resting = self.orders.get_mut(self.keys.get(&id)?)?;
        Some(&mut resting.ticket)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    pub(super) fn contains(&self, id: OrderId) -> bool {
        self.keys.contains_key(&id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = OrderId> {
        self.keys.keys().copied()
    }

    /// Orders of one instrument.
    pub(super) fn of(&self, id: InstrumentId) -> impl Iterator<Item = &Ticket> {
        let range = Key::end(id, Side::Buy, false)..=Key::end(id, Side::Sell, true);
        self.orders.range(range).map(|(_, r)| &r.ticket)
    }

    /// Orders of one instrument and side that a price reaches, best first.
    fn reached(&self, id: InstrumentId, side: Side, price: Price) -> Vec<(Key, OrderId)> {
        let last = Key::new(id, side, price, u64::MAX);
        self.orders
            .range(Key::end(id, side, false)..=last)
            .map(|(key, resting)| (*key, resting.ticket.id))
            .collect()
    }

    /// The first price behind `from` that lies `beyond` the limit of a seller (on the way up) or of a buyer.
    pub(super) fn next_limit(
        &self,
        id: InstrumentId,
        rising: bool,
        from: Price,
        beyond: Price,
    ) -> Option<Price> {
        let side = if rising { Side::Sell } else { Side::Buy };
        let past = |limit: i64| {
            if rising {
                limit.saturating_add(beyond.0)
            } else {
                limit.saturating_sub(beyond.0)
            }
        };
        // The limits whose price beyond is `from` have been passed.
        let passed = if rising {
            from.0.saturating_sub(beyond.0)
        } else {
            from.0.saturating_add(beyond.0)
        };
        let first = Key::new(id, side, Price(passed), u64::MAX);
        let last = Key::end(id, side, true);
        let (key, _) = self
            .orders
            .range((Excluded(first), Included(last)))
            .next()?;
        Some(Price(past(key.price().0)))
    }

    /// The ranks of the best and the worst own price of a side.
    fn span(&self, id: InstrumentId, side: Side) -> Option<(i64, i64)> {
        let ends = Key::end(id, side, false)..=Key::end(id, side, true);
        let mut keys = self.orders.range(ends).map(|(key, _)| key.rank);
        let best = keys.next()?;
        Some((best, keys.next_back().unwrap_or(best)))
    }

    /// An update named these levels of a valid book, which holds them now. What it says of a level beyond the
    /// last known one is nothing: it may have left a window, or the cap.
    pub(super) fn on_levels(
        &mut self,
        id: InstrumentId,
        model: QueueModel,
        (bids, asks): (&[Level], &[Level]),
        book: Option<&Book>,
    ) {
        if self.orders.is_empty() {
            return;
        }
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            let Some((best, worst)) = self.span(id, side) else {
                continue;
            };
            for level in levels {
                let rank = rank_of(side, level.price);
                if !(best..=worst).contains(&rank)
                    || book.is_none_or(|b| b.displayed(side, level.price).is_none())
                {
                    continue;
                }
                let first = Key::new(id, side, level.price, 0);
                let last = Key::new(id, side, level.price, u64::MAX);
                for (_, resting) in self.orders.range_mut(first..=last) {
                    if resting.queue.ahead().is_some() {
                        resting.queue.on_level(model, level.qty);
                    }
                }
            }
        }
    }

    /// A snapshot shows the whole book, as far as it goes.
    pub(super) fn on_snapshot(&mut self, id: InstrumentId, book: &Book, book_time: Time) {
        let range = Key::end(id, Side::Buy, false)..=Key::end(id, Side::Sell, true);
        for (key, resting) in self.orders.range_mut(range) {
            if resting.queue.ahead().is_some()
                && let Some(displayed) = book.displayed(key.side, key.price())
            {
                resting.queue.on_snapshot(displayed);
                resting.since = resting.since.max(book_time);
            }
        }
    }

    /// Orders that did not know their place learn it, as far as the book goes.
    fn learn(&mut self, id: InstrumentId, side: Side, book: &Book, book_time: Time) {
        let Some(worst) = book.worst(side) else {
            return;
        };
        let range = Key::end(id, side, false)..=Key::new(id, side, worst, u64::MAX);
        while let Some(key) = self.unknown.range(range.clone()).next().copied() {
            self.unknown.remove(&key);
            if let (Some(resting), Some(displayed)) =
                (self.orders.get_mut(&key), book.displayed(side, key.price()))
            {
                resting.queue = Queue::join(displayed);
                resting.since = resting.since.max(book_time);
            }
        }
    }
}

impl PaperVenue {
    /// Whether an order would take anything at all.
    pub(super) fn would_take(
        &self,
        id: InstrumentId,
        side: Side,
        limit: Option<Price>,
        book: &Book,
    ) -> bool {
        let levels = self.left(id, side.opposite(), book);
        !take(levels, side, limit, Qty(1)).executions.is_empty()
    }

    /// An order comes to the book: it takes, and what remains rests or ends. `new`: the venue has not said yet that
    /// it has it.
    pub(super) fn enter(&mut self, kernel: &Kernel, mut ticket: Ticket, new: bool, now: Time) {
        let id = ticket.id;
        let (Some(instrument), Some(market)) = (
            kernel.ledger().instrument(ticket.instrument),
            kernel.market_of(ticket.instrument),
        ) else {
            return;
        };
        let book = market.book.valid();
        let limit = ticket.kind.limit();
        if ticket.post_only
            && let Some(book) = book
            && self.would_take(ticket.instrument, ticket.side, limit, book)
        {
            let reason = "post-only, and it would take liquidity".to_owned();
            let kind = if new {
                ReportKind::Rejected { reason }
            } else {
                // It existed.
                ReportKind::Expired { reason }
            };
            return self.report(id, now, kind);
        }
        if new {
            let venue_order_id = venue_id(id);
            self.report(id, now, ReportKind::Acked { venue_order_id });
        }
        let Some(cut) = self.cut(kernel, &mut ticket, now) else {
            return;
        };
        let mut taken = match book {
            Some(book) => take(
                self.left(ticket.instrument, ticket.side.opposite(), book),
                ticket.side,
                limit,
                ticket.remaining(),
            ),
            None => Taken {
                executions: Vec::new(),
                remaining: ticket.remaining(),
            },
        };
        let short_of_money = ticket.afford(&mut taken, instrument);
        if ticket.time_in_force == TimeInForce::Fok && taken.remaining > Qty::ZERO {
            let reason = "fill-or-kill, and the book holds too little".to_owned();
            return self.report(id, now, ReportKind::Expired { reason });
        }
        for execution in &taken.executions {
            let side = ticket.side.opposite();
            self.gone
                .take(ticket.instrument, side, execution.price, execution.qty);
            self.fill(&mut ticket, *execution, false, instrument, now);
        }
        let (key, filled) = (
            (ticket.instrument, ticket.position_side),
            !taken.executions.is_empty(),
        );
        if taken.remaining == Qty::ZERO {
            self.after_fill(key, now);
            return;
        }
        let rests = ticket.time_in_force.rests() && limit.is_some() && !short_of_money;
        if rests {
            self.rest(ticket, market);
        } else {
            let reason = match (filled, limit) {
                _ if short_of_money => "the money that was held for it does not pay for more",
                _ if cut => "no more is left to reduce",
                (false, _) => "nothing to trade with at an acceptable price",
                (_, None) => "the book holds no more",
                (_, Some(_)) => "immediate-or-cancel remainder",
            };
            let reason = reason.to_owned();
            self.report(id, now, ReportKind::Expired { reason });
        }
        if filled {
            self.after_fill(key, now);
        }
    }

    /// An order stays in the book at its limit.
    pub(super) fn rest(&mut self, ticket: Ticket, market: &Market) {
        self.date(&ticket);
        self.resting
            .insert(ticket, market.book.valid(), market.book_time());
    }

    /// Fills a resting order at its own price.
    fn fill_resting(
        &mut self,
        kernel: &Kernel,
        id: OrderId,
        qty: Qty,
        instrument: &Instrument,
        now: Time,
    ) {
        let Some(mut ticket) = self.resting.get(id).map(|r| r.ticket.clone()) else {
            return;
        };
        let key = (ticket.instrument, ticket.position_side);
        if self.cut(kernel, &mut ticket, now).is_none() {
            self.forget(id);
            return;
        }
        let price = ticket.kind.limit().unwrap_or_default();
        let qty = qty.min(ticket.remaining());
        self.fill(&mut ticket, Level { price, qty }, true, instrument, now);
        if ticket.remaining() == Qty::ZERO {
            self.forget(id);
        } else if let Some(kept) = self.resting.ticket_mut(id) {
            *kept = ticket;
        }
        self.after_fill(key, now);
    }

    /// The book changed: whoever it has moved through is filled.
    pub(super) fn book_moved(&mut self, kernel: &Kernel, id: InstrumentId, now: Time) {
        if self.resting.orders.is_empty() {
            return;
        }
        let (Some(instrument), Some(market)) =
            (kernel.ledger().instrument(id), kernel.market_of(id))
        else {
            return;
        };
        let Some(book) = market.book.valid() else {
            return;
        };
        for side in [Side::Buy, Side::Sell] {
            self.resting.learn(id, side, book, market.book_time());
            let best = match side {
                Side::Buy => book.best_ask(),
                Side::Sell => book.best_bid(),
            };
            let Some(best) = best else { continue };
            for (key, order) in self.resting.reached(id, side, best.price) {
                let Some(resting) = self.resting.get(order) else {
                    continue;
                };
                let remaining = self.allowance(kernel, &resting.ticket);
                let through = take(
                    self.left(id, side.opposite(), book),
                    side,
                    Some(key.price()),
                    remaining,
                );
                for level in &through.executions {
                    self.gone.take(id, side.opposite(), level.price, level.qty);
                }
                let qty = remaining
                    .checked_sub(through.remaining)
                    .unwrap_or(Qty::ZERO);
                if qty > Qty::ZERO {
                    self.fill_resting(kernel, order, qty, instrument, now);
                }
            }
        }
    }

    /// Others traded: those in front are served first, then we are.
    pub(super) fn traded(&mut self, kernel: &Kernel, id: InstrumentId, trade: &Trade, now: Time) {
        if self.resting.orders.is_empty() {
            return;
        }
        let side = trade.taker.opposite();
        let reached = self.resting.reached(id, side, trade.price);
        let Some(instrument) = kernel
            .ledger()
            .instrument(id)
            .filter(|_| !reached.is_empty())
        else {
            return;
        };
        let mut left = trade.qty;
        for (key, order) in reached {
            if left == Qty::ZERO || !acceptable(side, Some(key.price()), trade.price) {
                return;
            }
            let Some(resting) = self.resting.orders.get_mut(&key) else {
                continue;
            };
            if trade.time <= resting.since {
                continue; // it was in the book already when this order joined
            }
            let reaches_us = if key.price() != trade.price {
                left
            } else if self.config.queue == QueueModel::Through {
                Qty::ZERO
            } else {
                // Before a valid book has told, everybody may be in front.
                resting.queue.on_trade(left)
            };
            let ticket = resting.ticket.clone();
            let qty = reaches_us.min(self.allowance(kernel, &ticket));
            if qty > Qty::ZERO {
                left = left.checked_sub(qty).unwrap_or(Qty::ZERO);
                self.fill_resting(kernel, order, qty, instrument, now);
            }
        }
    }
}
