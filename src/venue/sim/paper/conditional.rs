//! Orders that wait for their trigger. The rules are in `RULES.md`, section 9.
//!
//! They lie by instrument and trigger price, so that a price costs what it reaches; only trailing stops are
//! looked at whenever their price moves.

use std::collections::{BTreeMap, BTreeSet};

use super::ticket::Ticket;
use super::{PaperVenue, venue_id};
use crate::kernel::Kernel;
use crate::kernel::event::{MarketData, ReportKind};
use crate::kernel::market::Market;
use crate::kernel::orders::{Amend, OrderId, OrderType, TriggerBy};
use crate::kernel::types::{Instrument, InstrumentId, Price, Rate, Side, Time};

/// The prices that triggers look at, by [`index`].
type Prices = [Option<Price>; 3];

/// Where an order is remembered: which price, whether it has to rise, how far, and whose.
type Place = (usize, bool, i64, OrderId);

/// An order that waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Waiting {
    ticket: Ticket,
    /// The best price since a trailing stop is active.
    best: Option<Price>,
}

/// The orders of one instrument.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Watch {
    orders: BTreeMap<OrderId, Waiting>,
    /// Those with a trigger of their own, the ones that are reached first first.
    triggers: BTreeSet<Place>,
    trailing: BTreeSet<OrderId>,
    /// Reached while nobody knew the book.
    reached: BTreeSet<OrderId>,
    /// The prices at the last look.
    seen: Prices,
}

/// The orders that wait.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct WaitingOrders {
    watches: BTreeMap<InstrumentId, Watch>,
    instruments: BTreeMap<OrderId, InstrumentId>,
}

impl Waiting {
    /// Where it lies among the triggers; `None` for a trailing stop.
    fn place(&self) -> Option<Place> {
        let trigger = self.ticket.kind.trigger()?;
        let stop = matches!(
            self.ticket.kind,
            OrderType::StopMarket { .. } | OrderType::StopLimit { .. }
        );
        let rising = stop == (self.ticket.side == Side::Buy);
        let rank = rank_of(rising, trigger.price);
        Some((index(trigger.by), rising, rank, self.ticket.id))
    }

    /// Where a trailing stop that is active is set off, if its price turns now.
    fn comes_back_at(&self) -> Option<Price> {
        let OrderType::TrailingStop { callback, .. } = self.ticket.kind else {
            return None;
        };
        let one = i128::from(Rate::ONE.0);
        let (best, share) = (i128::from(self.best?.0), i128::from(callback.0));
        let price = match self.ticket.side {
            Side::Sell => best
                .saturating_mul(one.saturating_sub(share))
                .div_euclid(one),
            // Rounded up.
            Side::Buy => best
                .saturating_neg()
                .saturating_mul(one.saturating_add(share))
                .div_euclid(one)
                .saturating_neg(),
        };
        i64::try_from(price).ok().map(Price)
    }

    /// A trailing stop looks at a price; whether it sets the order off.
    fn look(&mut self, price: Price) -> bool {
        let OrderType::TrailingStop {
            callback,
            activation,
            ..
        } = self.ticket.kind
        else {
            return false;
        };
        let side = self.ticket.side;
        let active = self.best.is_some()
            || activation.is_none_or(|from| match side {
                Side::Sell => price >= from,
                Side::Buy => price <= from,
            });
        if !active {
            return false;
        }
        let best = self.best.map_or(price, |best| match side {
            Side::Sell => best.max(price),
            Side::Buy => best.min(price),
        });
        self.best = Some(best);
        came_back(side, best, price, callback)
    }
}

impl Watch {
    fn insert(&mut self, waiting: Waiting) {
        let id = waiting.ticket.id;
        match waiting.place() {
            Some(place) => self.triggers.insert(place),
            None => self.trailing.insert(id),
        };
        // The next look is a new one for it.
        self.seen = Prices::default();
        self.orders.insert(id, waiting);
    }

    fn remove(&mut self, id: OrderId) -> Option<Waiting> {
        let waiting = self.orders.remove(&id)?;
        if let Some(place) = waiting.place() {
            self.triggers.remove(&place);
        }
        self.trailing.remove(&id);
        self.reached.remove(&id);
        Some(waiting)
    }

    /// Everybody looks at the prices.
    fn look(&mut self, prices: Prices) {
        if self.seen == prices {
            return;
        }
        self.seen = prices;
        for (by, price) in prices.into_iter().enumerate() {
            let Some(price) = price else { continue };
            for rising in [false, true] {
                let first = (by, rising, i64::MIN, OrderId(0));
                let last = (by, rising, rank_of(rising, price), OrderId(u64::MAX));
                while let Some(place) = self.triggers.range(first..=last).next().copied() {
                    self.triggers.remove(&place);
                    self.reached.insert(place.3);
                }
            }
        }
        let (orders, reached) = (&mut self.orders, &mut self.reached);
        self.trailing.retain(|id| {
            let waiting = orders.get_mut(id);
            let set_off = waiting.is_some_and(|w| {
                let price = watched_by(w.ticket.kind).and_then(|by| prices.get(by).copied()?);
                price.is_some_and(|p| w.look(p))
            });
            if set_off {
                reached.insert(*id);
            }
            !set_off
        });
    }

    /// One order that has just come looks at the prices.
    fn look_alone(&mut self, id: OrderId, prices: Prices) {
        let Some(waiting) = self.orders.get_mut(&id) else {
            return;
        };
        let price = watched_by(waiting.ticket.kind).and_then(|by| prices.get(by).copied()?);
        let Some(price) = price else { return };
        let set_off =
            waiting.ticket.kind.is_triggered(waiting.ticket.side, price) || waiting.look(price);
        if set_off {
            if let Some(place) = waiting.place() {
                self.triggers.remove(&place);
            }
            self.trailing.remove(&id);
            self.reached.insert(id);
        }
    }
}

impl WaitingOrders {
    pub(super) fn insert(&mut self, ticket: Ticket) {
        self.instruments.insert(ticket.id, ticket.instrument);
        let watch = self.watches.entry(ticket.instrument).or_default();
        watch.insert(Waiting { ticket, best: None });
    }

    pub(super) fn remove(&mut self, id: OrderId) -> Option<Ticket> {
        let instrument = self.instruments.remove(&id)?;
        let watch = self.watches.get_mut(&instrument)?;
        let waiting = watch.remove(id)?;
        if watch.orders.is_empty() {
            self.watches.remove(&instrument);
        }
        Some(waiting.ticket)
    }

    pub(super) fn ticket(&self, id: OrderId) -> Option<&Ticket> {
        let watch = self.watches.get(self.instruments.get(&id)?)?;
        watch.orders.get(&id).map(|w| &w.ticket)
    }

    pub(super) fn contains(&self, id: OrderId) -> bool {
        self.instruments.contains_key(&id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = OrderId> {
        self.instruments.keys().copied()
    }

    /// Orders of one instrument.
    pub(super) fn of(&self, id: InstrumentId) -> impl Iterator<Item = &Ticket> {
        let watch = self.watches.get(&id).into_iter();
        watch.flat_map(|w| w.orders.values().map(|w| &w.ticket))
    }

    /// The first price behind `from` on the way up (or down) that sets an order off, if last, mark and index
    /// price all go that way.
    pub(super) fn next_trigger(
        &self,
        id: InstrumentId,
        rising: bool,
        from: Price,
    ) -> Option<Price> {
        let watch = self.watches.get(&id)?;
        let fixed = (0..3).filter_map(|by| {
            let first = (by, rising, rank_of(rising, from), OrderId(u64::MAX));
            let last = (by, rising, i64::MAX, OrderId(u64::MAX));
            let place = watch.triggers.range(first..=last).next()?;
            Some(Price(if rising { place.2 } else { !place.2 }))
        });
        let trailing = watch.trailing.iter().filter_map(|id| {
            let price = watch.orders.get(id)?.comes_back_at()?;
            let on_the_way = if rising { price > from } else { price < from };
            on_the_way.then_some(price)
        });
        let all = fixed.chain(trailing);
        if rising { all.min() } else { all.max() }
    }

    /// Changes an order; the quantity it has then, or `None` if there is no such order. With another trigger it
    /// waits anew.
    pub(super) fn amend(&mut self, id: OrderId, wish: &Amend) -> Option<&Ticket> {
        let watch = self.watches.get_mut(self.instruments.get(&id)?)?;
        if wish.trigger.is_some() {
            let mut waiting = watch.remove(id)?;
            waiting.ticket.amend(wish);
            watch.insert(waiting);
        } else {
            watch.orders.get_mut(&id)?.ticket.amend(wish);
        }
        watch.orders.get(&id).map(|w| &w.ticket)
    }
}

/// Whether a price has come back from the best one by a share of it. Exact: both sides times ten to the eighth.
fn came_back(side: Side, best: Price, price: Price, callback: Rate) -> bool {
    let one = i128::from(Rate::ONE.0);
    let share = i128::from(callback.0);
    let factor = match side {
        Side::Sell => one.saturating_sub(share),
        Side::Buy => one.saturating_add(share),
    };
    let bound = i128::from(best.0).saturating_mul(factor);
    let now = i128::from(price.0).saturating_mul(one);
    match side {
        Side::Sell => now <= bound,
        Side::Buy => now >= bound,
    }
}

/// The number of a price that triggers look at.
const fn index(by: TriggerBy) -> usize {
    match by {
        TriggerBy::Last => 0,
        TriggerBy::Mark => 1,
        TriggerBy::Index => 2,
    }
}

/// Which price an order waits for; `None` if it waits for none.
fn watched_by(kind: OrderType) -> Option<usize> {
    let by = match kind {
        OrderType::TrailingStop { by, .. } => Some(by),
        _ => kind.trigger().map(|t| t.by),
    };
    by.map(index)
}

/// A trigger price as a number below which the lower ones are reached before it.
const fn rank_of(rising: bool, price: Price) -> i64 {
    if rising { price.0 } else { !price.0 }
}

/// What triggers are held against.
fn prices(market: &Market, instrument: &Instrument) -> Prices {
    let mark = market.mark(instrument);
    let figures = market.derivative();
    let index = figures.and_then(|d| d.index?.to_price(instrument.price_scale));
    [market.last_price(), mark, index.or(mark)]
}

impl PaperVenue {
    /// Sets off whatever the prices after an event reach, oldest order first. While nobody knows the book, what was
    /// reached waits for it: a stop that expires for want of a book would be no stop.
    pub(super) fn set_off(
        &mut self,
        kernel: &Kernel,
        id: InstrumentId,
        data: &MarketData,
        now: Time,
    ) {
        let Some(watch) = self.waiting.watches.get_mut(&id) else {
            return;
        };
        let (Some(market), Some(instrument)) =
            (kernel.market_of(id), kernel.ledger().instrument(id))
        else {
            return;
        };
        if !may_trigger(data) {
            return;
        }
        watch.look(prices(market, instrument));
        if watch.reached.is_empty() || market.book.valid().is_none() {
            return;
        }
        let due: Vec<OrderId> = watch.reached.iter().copied().collect();
        for order in due {
            self.trigger(kernel, order, now);
        }
    }

    /// An order has come, or has another trigger: what has been reached already sets it off at once.
    pub(super) fn set_off_alone(
        &mut self,
        kernel: &Kernel,
        id: InstrumentId,
        order: OrderId,
        now: Time,
    ) {
        let (Some(watch), Some(market), Some(instrument)) = (
            self.waiting.watches.get_mut(&id),
            kernel.market_of(id),
            kernel.ledger().instrument(id),
        ) else {
            return;
        };
        watch.look_alone(order, prices(market, instrument));
        if watch.reached.contains(&order) && market.book.valid().is_some() {
            self.trigger(kernel, order, now);
        }
    }

    fn trigger(&mut self, kernel: &Kernel, order: OrderId, now: Time) {
        // One that was set off before it may have closed the position, and ended it.
        let Some(mut ticket) = self.forget(order) else {
            return;
        };
        let venue_order_id = venue_id(order);
        self.report(order, now, ReportKind::Triggered { venue_order_id });
        ticket.kind = ticket
            .kind
            .limit()
            .map_or(OrderType::Market, |price| OrderType::Limit { price });
        self.enter(kernel, ticket, false, now);
    }
}

/// Whether an event can move a price that triggers look at, or bring the book back.
const fn may_trigger(data: &MarketData) -> bool {
    matches!(
        data,
        MarketData::Trade(_)
            | MarketData::Depth(_)
            | MarketData::Snapshot(_)
            | MarketData::Derivative(_)
    )
}
