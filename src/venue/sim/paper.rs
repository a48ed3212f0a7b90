//! The paper venue: orders matched against live or recorded books, where only levels are known.
//!
//! It lives on the kernel thread, without I/O, clock or randomness, so a replay gives the same fills.
//! The rules, pessimistic where the truth cannot be known:
//!
//! * An order that takes walks the book ([`super::matching::take`]) and pays the taker fee. What it
//!   took stays taken until the venue updates that level.
//! * A resting order waits behind everything that was displayed at its price when it arrived. Only
//!   trades at its price move it forward, cancels of others never do.
//! * A trade at a worse price than the order's, or a book that has moved through it, fills it at its
//!   own price with the maker fee, up to the quantity seen there.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use super::matching::{Taken, acceptable, take};
use crate::kernel::Kernel;
use crate::kernel::event::{
    Fill, Level, MarketData, MarketEvent, ReportKind, Seq, Trade, VenueCommand, VenueReport,
};
use crate::kernel::market::Book;
use crate::kernel::orders::{ApprovedOrder, Order, OrderId, OrderState, TimeInForce};
use crate::kernel::types::{Instrument, InstrumentId, Money, Price, Qty, Side, Time};

/// Levels whose liquidity we took that are remembered at most; beyond it some are forgotten.
const TAKEN_MAX: usize = 10_000;

/// The paper venue.
#[derive(Debug, Default)]
pub struct PaperVenue {
    /// Time from the release of a command to its arrival, in nanoseconds.
    latency_ns: i64,
    /// Commands whose intent is not durable yet.
    held: VecDeque<(Seq, VenueCommand)>,
    /// Commands on their way, in order of release.
    travelling: VecDeque<(Time, VenueCommand)>,
    resting: BTreeMap<OrderId, Resting>,
    /// Liquidity that we took, by the side of the book that it lay on.
    taken: BTreeMap<(InstrumentId, Side, Price), Qty>,
    reports: VecDeque<VenueReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Resting {
    instrument: InstrumentId,
    side: Side,
    price: Price,
    remaining: Qty,
    fills: u64,
    /// What was displayed before us at our price; `None` until a valid book has told.
    ahead: Option<Qty>,
}

impl PaperVenue {
    /// Without orders; commands take `latency_ns` to arrive.
    pub fn new(latency_ns: i64) -> Self {
        Self {
            latency_ns,
            ..Self::default()
        }
    }

    /// Takes over an open order after a restart. The journal is all that this venue remembers: an
    /// order that it never reported on never reached it.
    pub fn restore(&mut self, order: &Order, now: Time) {
        let id = order.id;
        let kind = match (order.state, order.spec.kind.limit()) {
            (OrderState::Unknown | OrderState::Intent | OrderState::Sent, _) => {
                ReportKind::NotFound
            }
            (OrderState::CancelPending, _) => ReportKind::Cancelled {
                reason: "cancelled before the restart".to_owned(),
            },
            (_, Some(price)) if order.spec.time_in_force == TimeInForce::Gtc => {
                let resting = Resting {
                    instrument: order.spec.instrument,
                    side: order.spec.side,
                    price,
                    remaining: order.remaining(),
                    fills: order.trade_ids.len() as u64,
                    ahead: None,
                };
                self.resting.insert(id, resting);
                return;
            }
            _ => ReportKind::Expired {
                reason: "the process restarted".to_owned(),
            },
        };
        self.reports.push_back(VenueReport {
            order: id,
            time: now,
            kind,
        });
    }

    /// A command of the kernel; it leaves when `after` is durable. A cancel leaves at once.
    pub fn submit(&mut self, after: Seq, command: VenueCommand, durable: Seq, now: Time) {
        match command {
            VenueCommand::Cancel { order, .. } if self.drop_held(order) => {
                let reason = "cancelled before it was sent".to_owned();
                self.report(order, now, ReportKind::Cancelled { reason });
            }
            command if after <= durable => self.travel(command, now),
            command => self.held.push_back((after, command)),
        }
    }

    /// Everything up to `through` is durable.
    pub fn journaled(&mut self, through: Seq, now: Time) {
        while self
            .held
            .front()
            .is_some_and(|(after, _)| *after <= through)
        {
            let Some((_, command)) = self.held.pop_front() else {
                return;
            };
            self.travel(command, now);
        }
    }

    /// When the next command arrives.
    pub fn deadline(&self) -> Option<Time> {
        self.travelling.front().map(|(due, _)| *due)
    }

    /// Whether no command is on its way.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty() && self.travelling.is_empty()
    }

    /// Commands that have arrived by `now` take effect.
    pub fn arrive(&mut self, kernel: &Kernel, now: Time) {
        while self.travelling.front().is_some_and(|(due, _)| *due <= now) {
            match self.travelling.pop_front() {
                Some((_, VenueCommand::Place(order))) => self.place(kernel, &order, now),
                Some((_, VenueCommand::Cancel { order, .. })) => self.cancel(order, now),
                None => return,
            }
        }
    }

    /// The market moved; the kernel has applied the event already.
    pub fn on_market(&mut self, kernel: &Kernel, event: &MarketEvent, now: Time) {
        let id = event.instrument;
        match &event.data {
            MarketData::Depth(delta) => {
                if !self.taken.is_empty() {
                    for level in &delta.bids {
                        self.taken.remove(&(id, Side::Buy, level.price));
                    }
                    for level in &delta.asks {
                        self.taken.remove(&(id, Side::Sell, level.price));
                    }
                }
                self.book_moved(kernel, id, now);
            }
            MarketData::Snapshot(_) => {
                self.taken.retain(|(i, _, _), _| *i != id);
                self.book_moved(kernel, id, now);
            }
            MarketData::Trade(trade) => self.traded(kernel, id, trade, now),
            MarketData::Quote(_)
            | MarketData::Kline(_)
            | MarketData::History(_)
            | MarketData::Stats(_)
            | MarketData::Derivative(_)
            | MarketData::Liquidation(_)
            | MarketData::OffBook(_)
            | MarketData::Verified { .. }
            | MarketData::Listing(_)
            | MarketData::Lost(..) => {}
        }
    }

    /// The next report for the kernel.
    pub fn next_report(&mut self) -> Option<VenueReport> {
        self.reports.pop_front()
    }

    fn travel(&mut self, command: VenueCommand, now: Time) {
        self.travelling
            .push_back((now.plus(self.latency_ns), command));
    }

    /// Whether the order was still waiting for the journal, and is gone now.
    fn drop_held(&mut self, id: OrderId) -> bool {
        let before = self.held.len();
        self.held
            .retain(|(_, c)| !matches!(c, VenueCommand::Place(o) if o.id() == id));
        self.held.len() < before
    }

    fn report(&mut self, order: OrderId, time: Time, kind: ReportKind) {
        self.reports.push_back(VenueReport { order, time, kind });
    }

    fn cancel(&mut self, id: OrderId, now: Time) {
        let kind = if self.resting.remove(&id).is_some() {
            ReportKind::Cancelled {
                reason: "cancelled on request".to_owned(),
            }
        } else {
            ReportKind::CancelRejected {
                reason: "unknown order".to_owned(),
            }
        };
        self.report(id, now, kind);
    }

    fn place(&mut self, kernel: &Kernel, order: &ApprovedOrder, now: Time) {
        let (id, spec) = (order.id(), order.spec());
        let Some(instrument) = kernel.ledger().instrument(spec.instrument) else {
            return;
        };
        let book = kernel
            .market_of(spec.instrument)
            .and_then(|m| m.book.valid());
        let limit = spec.kind.limit();
        let taken = match book {
            Some(book) => take(
                self.left(spec.instrument, spec.side.opposite(), book),
                spec.side,
                limit,
                order.qty(),
            ),
            None => Taken {
                executions: Vec::new(),
                remaining: order.qty(),
            },
        };
        if spec.post_only && !taken.executions.is_empty() {
            let reason = "post-only, and it would take liquidity".to_owned();
            return self.report(id, now, ReportKind::Rejected { reason });
        }
        self.report(
            id,
            now,
            ReportKind::Acked {
                venue_order_id: format!("P{id}"),
            },
        );
        if spec.time_in_force == TimeInForce::Fok && taken.remaining > Qty::ZERO {
            let reason = "fill-or-kill, and the book holds too little".to_owned();
            return self.report(id, now, ReportKind::Expired { reason });
        }
        let mut fills = 0;
        for execution in &taken.executions {
            let key = (spec.instrument, spec.side.opposite(), execution.price);
            let before = self.taken.get(&key).copied().unwrap_or(Qty::ZERO);
            self.taken
                .insert(key, before.checked_add(execution.qty).unwrap_or(before));
            self.fill(id, *execution, &mut fills, false, instrument, now);
        }
        while self.taken.len() > TAKEN_MAX {
            self.taken.pop_first();
        }
        if taken.remaining == Qty::ZERO {
            return;
        }
        if let (TimeInForce::Gtc, Some(price)) = (spec.time_in_force, limit) {
            let ahead = book.map(|b| b.qty_at(spec.side, price));
            let (instrument, side) = (spec.instrument, spec.side);
            let remaining = taken.remaining;
            self.resting.insert(
                id,
                Resting {
                    instrument,
                    side,
                    price,
                    remaining,
                    fills,
                    ahead,
                },
            );
            return;
        }
        let reason = match (fills, limit) {
            (0, _) => "nothing to trade with at an acceptable price",
            (_, None) => "the book holds no more",
            (_, Some(_)) => "immediate-or-cancel remainder",
        };
        self.report(
            id,
            now,
            ReportKind::Expired {
                reason: reason.to_owned(),
            },
        );
    }

    /// One side of the book, best first, less what we took from it.
    fn left<'a>(
        &'a self,
        id: InstrumentId,
        side: Side,
        book: &'a Book,
    ) -> impl Iterator<Item = Level> + 'a {
        book.levels(side).map(move |level| {
            let gone = self
                .taken
                .get(&(id, side, level.price))
                .copied()
                .unwrap_or(Qty::ZERO);
            Level {
                qty: level.qty.checked_sub(gone).unwrap_or(Qty::ZERO),
                ..level
            }
        })
    }

    fn fill(
        &mut self,
        id: OrderId,
        execution: Level,
        fills: &mut u64,
        maker: bool,
        instrument: &Instrument,
        now: Time,
    ) {
        let rate = if maker {
            instrument.maker_fee
        } else {
            instrument.taker_fee
        };
        let fee = instrument
            .notional(execution.price, execution.qty)
            .and_then(|n| n.at_rate(rate))
            .unwrap_or(Money::ZERO);
        *fills = fills.saturating_add(1);
        // Unique over all orders as well, and the same after a restart.
        let trade_id = (id.0 << 20) | *fills;
        let fill = Fill {
            trade_id,
            price: execution.price,
            qty: execution.qty,
            fee,
            maker,
        };
        self.report(id, now, ReportKind::Fill(fill));
    }

    /// Fills a resting order at its own price.
    fn fill_resting(&mut self, id: OrderId, qty: Qty, instrument: &Instrument, now: Time) {
        let Some(mut resting) = self.resting.remove(&id) else {
            return;
        };
        let qty = qty.min(resting.remaining);
        let execution = Level {
            price: resting.price,
            qty,
        };
        self.fill(id, execution, &mut resting.fills, true, instrument, now);
        resting.remaining = resting.remaining.checked_sub(qty).unwrap_or(Qty::ZERO);
        if resting.remaining > Qty::ZERO {
            self.resting.insert(id, resting);
        }
    }

    /// Orders of one instrument and side, best price first, then oldest first.
    fn queue(&self, id: InstrumentId, side: Side) -> Vec<(OrderId, Price)> {
        let mut queue: Vec<_> = self
            .resting
            .iter()
            .filter(|(_, r)| r.instrument == id && r.side == side)
            .map(|(order, r)| (*order, r.price))
            .collect();
        queue.sort_by_key(|(order, price)| match side {
            Side::Buy => (price.0.saturating_neg(), *order),
            Side::Sell => (price.0, *order),
        });
        queue
    }

    /// The book changed: whoever it has moved through is filled.
    fn book_moved(&mut self, kernel: &Kernel, id: InstrumentId, now: Time) {
        if self.resting.is_empty() {
            return;
        }
        let Some(instrument) = kernel.ledger().instrument(id) else {
            return;
        };
        let Some(book) = kernel.market_of(id).and_then(|m| m.book.valid()) else {
            return;
        };
        for side in [Side::Buy, Side::Sell] {
            for (order, price) in self.queue(id, side) {
                if let Some(resting) = self.resting.get_mut(&order)
                    && resting.ahead.is_none()
                {
                    resting.ahead = Some(book.qty_at(side, price));
                }
                let remaining = self.resting.get(&order).map_or(Qty::ZERO, |r| r.remaining);
                let through = take(
                    self.left(id, side.opposite(), book),
                    side,
                    Some(price),
                    remaining,
                );
                if through.executions.is_empty() {
                    continue;
                }
                for level in &through.executions {
                    let key = (id, side.opposite(), level.price);
                    let before = self.taken.get(&key).copied().unwrap_or(Qty::ZERO);
                    self.taken
                        .insert(key, before.checked_add(level.qty).unwrap_or(before));
                }
                let qty = remaining
                    .checked_sub(through.remaining)
                    .unwrap_or(Qty::ZERO);
                self.fill_resting(order, qty, instrument, now);
            }
        }
    }

    /// Others traded: those in front are served first, then we are.
    fn traded(&mut self, kernel: &Kernel, id: InstrumentId, trade: &Trade, now: Time) {
        if self.resting.is_empty() {
            return;
        }
        let Some(instrument) = kernel.ledger().instrument(id) else {
            return;
        };
        let side = trade.taker.opposite();
        let mut left = trade.qty;
        for (order, price) in self.queue(id, side) {
            if left == Qty::ZERO || !acceptable(side, Some(price), trade.price) {
                return;
            }
            let Some(resting) = self.resting.get_mut(&order) else {
                continue;
            };
            let reaches_us = if price == trade.price {
                // Before a valid book has told, everybody may be in front.
                let Some(ahead) = resting.ahead else { continue };
                resting.ahead = Some(ahead.checked_sub(left).unwrap_or(Qty::ZERO));
                left.checked_sub(ahead).unwrap_or(Qty::ZERO)
            } else {
                left
            };
            let qty = reaches_us.min(resting.remaining);
            if qty > Qty::ZERO {
                left = left.checked_sub(qty).unwrap_or(Qty::ZERO);
                self.fill_resting(order, qty, instrument, now);
            }
        }
    }
}

impl Hash for PaperVenue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.resting.hash(state);
        self.taken.hash(state);
        (self.held.len(), self.travelling.len(), self.reports.len()).hash(state);
    }
}
