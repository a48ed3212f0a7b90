//! Every order that is kept, open or ended, in bounded memory.
//!
//! The table changes only through the methods below, which the ledger calls for journal records; the
//! one exception is [`OrderTable::sent`], a step of the life cycle that is not journaled.

use std::collections::{BTreeMap, VecDeque};

use super::order::Amend;
use super::slab::Slab;
use super::{ClientOrderId, Link, Order, OrderEvent, OrderId, OrderSpec, OrderState, Role};
use crate::kernel::event::{Fill, ReportKind, VenueReport};
use crate::kernel::types::{DAY, Money, MoneyError, Price, Qty, Time};

/// How long a caller's idempotency key is kept at least, unless the table overflows first.
const KEY_KEPT_NS: i64 = DAY;

/// What a report did to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The order changed.
    Changed,
    /// The order changed and the fill must be booked.
    Filled,
    /// As [`Applied::Filled`], but the venue executed more than was ordered, or after the end.
    Disputed {
        /// Whether there is a fill to book.
        filled: bool,
    },
    /// Heard before; nothing changed.
    Duplicate,
}

/// Where an order stands in the table.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernel) struct Slot(u32);

/// What a venue has changed.
#[derive(Debug, Clone, Copy)]
struct Amended {
    price: Option<Price>,
    trigger: Option<Price>,
    qty: Qty,
}

/// The orders that the kernel placed for another one, by [`Role::index`].
pub type Exits = [Option<OrderId>; 2];

/// The table.
#[derive(Debug)]
pub struct OrderTable {
    pub(super) slab: Slab,
    /// Slots of the orders that can still change, in no order that means anything.
    pub(super) open: Vec<u32>,
    /// Ended orders, oldest end first: the next to be forgotten in front.
    pub(super) ended: VecDeque<OrderId>,
    pub(super) keys: BTreeMap<ClientOrderId, OrderId>,
    pub(super) exits: BTreeMap<OrderId, Exits>,
    /// Changed since the last look, each once.
    touched: Vec<OrderId>,
    /// Removed since the last look.
    forgotten: Vec<OrderId>,
    /// Orders whose state nobody knows.
    pub(super) unknown: usize,
    kept_max: usize,
}

impl OrderTable {
    /// An empty table that keeps `kept_max` ended orders.
    pub fn new(kept_max: usize) -> Self {
        Self {
            slab: Slab::new(kept_max),
            open: Vec::new(),
            ended: VecDeque::with_capacity(kept_max.saturating_add(1)),
            keys: BTreeMap::new(),
            exits: BTreeMap::new(),
            touched: Vec::new(),
            forgotten: Vec::new(),
            unknown: 0,
            kept_max,
        }
    }

    /// An order, if it is still kept.
    pub fn get(&self, id: OrderId) -> Option<&Order> {
        self.slab.slot(id).and_then(|slot| self.slab.get(slot))
    }

    /// The order that a caller's idempotency key named first.
    pub fn by_key(&self, key: &ClientOrderId) -> Option<&Order> {
        self.keys.get(key).and_then(|id| self.get(*id))
    }

    /// Orders that can still change, in no order that means anything.
    pub fn open(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().filter_map(|slot| self.slab.get(*slot))
    }

    /// How many orders can still change.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// How many orders are in a state that nobody knows.
    pub fn unknown_len(&self) -> usize {
        self.unknown
    }

    /// How many orders are kept, open or ended.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no order is kept.
    pub fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// All orders that are kept, oldest first. Sorts: not for the hot path.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Order> {
        let mut all: Vec<&Order> = self.slab.iter().collect();
        all.sort_unstable_by_key(|o| o.id);
        all.into_iter()
    }

    /// The orders that were placed for another one.
    pub fn exits(&self, parent: OrderId) -> Exits {
        self.exits.get(&parent).copied().unwrap_or_default()
    }

    /// What every exit of an order has executed, those that were replaced as well. Looks at every order: not
    /// for the hot path.
    pub(in crate::kernel) fn exited(&self, entry: OrderId) -> Qty {
        let exits = self
            .slab
            .iter()
            .filter(|o| matches!(o.link(), Link::Exit { parent, .. } if *parent == entry));
        exits.fold(Qty::ZERO, |sum, o| Qty(sum.0.saturating_add(o.filled.0)))
    }

    /// Orders for which others were placed, or are to be.
    pub fn parents(&self) -> impl Iterator<Item = OrderId> {
        self.exits.keys().copied()
    }

    /// Enters a new order; its id is the sequence of its intent.
    pub(in crate::kernel) fn insert(
        &mut self,
        id: OrderId,
        time: Time,
        spec: &OrderSpec,
        qty: Qty,
        hold: Price,
    ) -> &Order {
        assert!(self.slab.slot(id).is_none(), "order {id} was entered twice");
        if let Some(key) = spec.client_order_id {
            self.keys.insert(key, id);
        }
        let mut order = Order::new(id, time, spec, qty, hold);
        match spec.link {
            Link::None => {}
            Link::Oco(_) | Link::Bracket(_) => {
                self.exits.insert(id, Exits::default());
            }
            Link::Exit { parent, role } => {
                order.shadow = self.would_be_shadow(parent, role);
                let exits = self.exits.entry(parent).or_default();
                if let Some(room) = exits.get_mut(role.index()) {
                    *room = Some(id);
                }
            }
        }
        order.kept.open_at = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        order.kept.touched = true;
        self.touched.push(id);
        let slot = self.slab.insert(order);
        self.open.push(slot);
        let Some(order) = self.slab.get(slot) else {
            unreachable!("the order was just entered");
        };
        order
    }

    /// Whether another order would be executed in place of this exit, and holds what it needs: the limit order
    /// of an OCO, the take-profit of a bracket.
    pub(in crate::kernel) fn would_be_shadow(&self, parent: OrderId, role: Role) -> bool {
        if role != Role::StopLoss {
            return false;
        }
        let is_open = |id: OrderId| self.get(id).is_some_and(Order::is_open);
        if let Some(Link::Oco(_)) = self.get(parent).map(Order::link) {
            return is_open(parent);
        }
        let [profit, _] = self.exits(parent);
        profit.is_some_and(is_open)
    }

    /// The stop that needs its own holding now that its rival `ended`.
    pub(in crate::kernel) fn stop_left_by(&self, ended: &Order) -> Option<OrderId> {
        let parent = match ended.link() {
            Link::None | Link::Bracket(_) => return None,
            Link::Oco(_) => ended.id,
            Link::Exit { parent, role } => {
                if *role == Role::StopLoss {
                    return None;
                }
                *parent
            }
        };
        let [_, stop] = self.exits(parent);
        stop.filter(|id| self.get(*id).is_some_and(|o| o.shadow && o.is_open()))
    }

    /// Where an order stands, to look at it and change it without another search. Good until the next change.
    pub(in crate::kernel) fn find(&self, id: OrderId) -> Option<Slot> {
        self.slab.slot(id).map(Slot)
    }

    /// The order that stands there.
    pub(in crate::kernel) fn at(&self, slot: Slot) -> &Order {
        let Some(order) = self.slab.get(slot.0) else {
            unreachable!("slots are never taken away");
        };
        order
    }

    /// Changes an order, and keeps the lists in step with what it has become.
    pub(in crate::kernel) fn change<T>(
        &mut self,
        slot: Slot,
        time: Time,
        change: impl FnOnce(&mut Order) -> T,
    ) -> T {
        let Some(order) = self.slab.get_mut(slot.0) else {
            unreachable!("slots are never taken away");
        };
        let (was_open, was_unknown) = (order.is_open(), order.state == OrderState::Unknown);
        let result = change(order);
        match (was_unknown, order.state == OrderState::Unknown) {
            (false, true) => self.unknown = self.unknown.saturating_add(1),
            (true, false) => self.unknown = self.unknown.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        let (id, at) = (order.id, order.kept.open_at as usize);
        if !order.kept.touched {
            order.kept.touched = true;
            self.touched.push(id);
        }
        if was_open && !order.is_open() {
            self.open.swap_remove(at);
            if let Some(moved) = self.open.get(at).copied()
                && let Some(moved) = self.slab.get_mut(moved)
            {
                moved.kept.open_at = u32::try_from(at).unwrap_or(u32::MAX);
            }
            self.ended.push_back(id);
            self.forget_oldest(time);
        }
        result
    }

    /// The intent is durable and the gateway has the order. Not journaled: after a restart an
    /// intent without a venue's word is unknown, whether it had been sent or not.
    pub(in crate::kernel) fn sent(&mut self, id: OrderId) {
        if let Some(slot) = self.find(id) {
            self.change(slot, Time::ZERO, |order| order.move_to(OrderEvent::Sent));
        }
    }

    /// Orders that changed since the last call, and orders that were forgotten.
    pub(in crate::kernel) fn take_changes(&mut self) -> (Vec<OrderId>, Vec<OrderId>) {
        for index in 0..self.touched.len() {
            let slot = self.touched.get(index).and_then(|id| self.slab.slot(*id));
            if let Some(order) = slot.and_then(|slot| self.slab.get_mut(slot)) {
                order.kept.touched = false;
            }
        }
        (
            std::mem::take(&mut self.touched),
            std::mem::take(&mut self.forgotten),
        )
    }

    /// Converts all numbers of one instrument's orders to new scales.
    pub(in crate::kernel) fn rescale(
        &mut self,
        concerns: impl Fn(&Order) -> bool,
        mut each: impl FnMut(&mut Order) -> Option<()>,
    ) -> Option<()> {
        self.slab
            .iter_mut()
            .filter(|o| concerns(o))
            .try_for_each(&mut each)
    }

    /// Forgets ended orders beyond the bound, oldest end first; a key younger than a day, or an exit that is
    /// still open, keeps its order until twice the bound is reached.
    fn forget_oldest(&mut self, now: Time) {
        while self.ended.len() > self.kept_max {
            let Some(oldest) = self.ended.front().copied() else {
                return;
            };
            let needed = self.get(oldest).is_some_and(|o| {
                let keyed_and_young =
                    o.client_order_id().is_some() && now.since(o.created) < KEY_KEPT_NS;
                let open = |id: &OrderId| self.get(*id).is_some_and(Order::is_open);
                keyed_and_young || self.exits(oldest).iter().flatten().any(open)
            });
            if needed && self.ended.len() <= self.kept_max.saturating_mul(2) {
                return;
            }
            self.ended.pop_front();
            self.forgotten.push(oldest);
            self.exits.remove(&oldest);
            let Some(order) = self.slab.remove(oldest) else {
                continue;
            };
            if let Some(key) = order.client_order_id()
                && self.keys.get(key) == Some(&oldest)
            {
                self.keys.remove(key);
            }
        }
    }
}

impl Order {
    /// Whether the sums can take a fill that is worth `worth`.
    pub(in crate::kernel) fn can_fill(&self, fill: &Fill, worth: Money) -> Result<(), MoneyError> {
        self.filled.checked_add(fill.qty).ok_or(MoneyError)?;
        self.filled_notional.plus(worth)?;
        self.fee.plus(fill.fee)?;
        Ok(())
    }

    /// Applies a venue's report; a fill is worth `worth` and [can be taken](Order::can_fill).
    pub(in crate::kernel) fn report(
        &mut self,
        report: &VenueReport,
        worth: Money,
        time: Time,
    ) -> Applied {
        let applied = match &report.kind {
            ReportKind::Fill(fill) => self.fill(fill, worth),
            other => self.settle(other, report.time),
        };
        if applied != Applied::Duplicate {
            // These say nothing of the order itself.
            if matches!(
                report.kind,
                ReportKind::CancelRejected { .. } | ReportKind::Lost { .. }
            ) {
                self.updated = time;
            } else {
                self.heard(time);
            }
            self.disputed |= matches!(applied, Applied::Disputed { .. });
        }
        applied
    }

    fn fill(&mut self, fill: &Fill, worth: Money) -> Applied {
        if self.has_trade(fill.trade_id) {
            return Applied::Duplicate;
        }
        self.add_trade(fill.trade_id);
        self.filled = Qty(self.filled.0.saturating_add(fill.qty.0));
        self.filled_notional = Money(self.filled_notional.0.saturating_add(worth.0));
        self.fee = Money(self.fee.0.saturating_add(fill.fee.0));
        let event = if self.filled >= self.target() {
            OrderEvent::FullyFilled
        } else {
            OrderEvent::PartFilled
        };
        // Executed: a condition must have been met, whether we were told or not.
        self.triggered |= self.is_waiting();
        // The report of a fill may come after that of the end which it came before.
        let late = matches!(self.state, OrderState::Cancelled | OrderState::Expired);
        // One that closes a position is as large as the position is when it is executed.
        let grown = self.closes_position() && self.state == OrderState::Filled;
        let late = late || grown;
        let fits = late || self.move_to(event);
        if fits && (self.filled <= self.target() || self.closes_position()) {
            Applied::Filled
        } else {
            Applied::Disputed { filled: true }
        }
    }

    /// Everything that a venue says except a fill.
    fn settle(&mut self, report: &ReportKind, venue_time: Time) -> Applied {
        let (event, reason) = match report {
            ReportKind::Acked { venue_order_id } | ReportKind::Held { venue_order_id } => {
                let new = self.add_venue_id(*venue_order_id);
                let late = self.state.is_terminal() || self.answered().is_some();
                let held = matches!(report, ReportKind::Held { .. });
                if self.state == OrderState::Unknown {
                    // In the book: its condition was met.
                    self.triggered |= !held && self.is_waiting();
                    return self.moved(OrderEvent::Found(self.standing()));
                }
                let event = if held {
                    OrderEvent::Held
                } else {
                    OrderEvent::Acked
                };
                let no_news = late && self.state.after(event) == Ok(self.state);
                if no_news || self.state.is_terminal() {
                    return if new {
                        Applied::Changed
                    } else {
                        Applied::Duplicate
                    };
                }
                (event, None)
            }
            ReportKind::Triggered { venue_order_id } => {
                let new = self.add_venue_id(*venue_order_id);
                if self.triggered {
                    return if new {
                        Applied::Changed
                    } else {
                        Applied::Duplicate
                    };
                }
                if !self.state.is_terminal() {
                    self.triggered = true;
                }
                (OrderEvent::Triggered, None)
            }
            ReportKind::Rejected { reason } => (OrderEvent::Rejected, Some(reason.as_str())),
            ReportKind::Cancelled { reason } => (OrderEvent::Cancelled, Some(reason.as_str())),
            ReportKind::Expired { reason } => (OrderEvent::Expired, Some(reason.as_str())),
            ReportKind::CancelRejected { reason } => {
                // Of an order that the venue has never spoken of, this says that it has not come yet, or never
                // will: nobody knows.
                let event = if self.answered().is_some() {
                    self.cancel_wanted = false;
                    OrderEvent::CancelRefused(self.standing_amended())
                } else {
                    OrderEvent::Lost
                };
                (event, Some(reason.as_str()))
            }
            ReportKind::Amended {
                price,
                trigger,
                qty,
            } => {
                let new = Amended {
                    price: *price,
                    trigger: *trigger,
                    qty: *qty,
                };
                return self.amended(&new, venue_time);
            }
            ReportKind::AmendRejected { reason } => {
                if self.end_amend().is_none() || self.state.is_terminal() {
                    return Applied::Duplicate;
                }
                if self.filled >= self.qty {
                    // More than that can only be of a change that was made before it was lost.
                    self.qty = self.filled;
                    return self.moved(OrderEvent::FullyFilled);
                }
                (
                    OrderEvent::AmendRefused(self.standing()),
                    Some(reason.as_str()),
                )
            }
            ReportKind::Lost { reason } => (OrderEvent::Lost, Some(reason.as_str())),
            ReportKind::NotFound if self.answered().is_some() => {
                (OrderEvent::Expired, Some("the venue knows it no longer"))
            }
            ReportKind::NotFound => (OrderEvent::Rejected, Some("never reached the venue")),
            ReportKind::Fill(_) => unreachable!("fills go through Order::fill"),
        };
        if self.move_to(event) {
            if let Some(reason) = reason {
                self.set_reason(reason);
            }
            Applied::Changed
        } else if self.state.is_terminal() || matches!(event, OrderEvent::Lost) {
            // A repeated end, or an answer that came too late, is no contradiction.
            Applied::Duplicate
        } else {
            Applied::Disputed { filled: false }
        }
    }

    /// The venue has changed the order. A quantity that is executed already ends it.
    fn amended(&mut self, new: &Amended, time: Time) -> Applied {
        // Old news: the venue has changed or executed more since.
        if self.amended_at() > time || new.qty < self.filled {
            return Applied::Duplicate;
        }
        let trigger = self.kind().trigger().map(|t| t.price);
        let same = |a: Option<Price>, b: Option<Price>| a.is_none() || a == b;
        let news =
            new.qty != self.qty || !same(new.price, self.limit()) || !same(new.trigger, trigger);
        let asked = self.amend().copied();
        let answers = asked.is_some_and(|a| {
            new.qty == a.qty.unwrap_or(self.qty)
                && same(a.price, new.price.or(self.limit()))
                && same(a.trigger, new.trigger.or(trigger))
        });
        // A change that the venue made by itself leaves ours under way, unless nobody knew of it any more.
        let under_way = [OrderState::AmendPending, OrderState::CancelPending];
        let over = answers || !under_way.contains(&self.state);
        if !news && (asked.is_none() || !over) {
            return Applied::Duplicate;
        }
        self.set_amended_at(time);
        self.set_prices(new.price, new.trigger);
        self.qty = new.qty;
        if let Some(amend) = asked.filter(|_| answers) {
            self.hold = amend.hold;
        }
        if over {
            self.end_amend();
        }
        if self.state.is_terminal() {
            // It came after the end that it came before.
            return Applied::Changed;
        }
        if self.filled >= self.target() {
            return self.moved(OrderEvent::FullyFilled);
        }
        if over {
            return self.moved(OrderEvent::Amended(self.standing()));
        }
        Applied::Changed
    }

    fn moved(&mut self, event: OrderEvent) -> Applied {
        if self.move_to(event) {
            Applied::Changed
        } else {
            Applied::Disputed { filled: false }
        }
    }

    /// The executed quantity that ends the order: while a change is under way, the larger one.
    fn target(&self) -> Qty {
        let asked = self.amend().and_then(|a| a.qty).unwrap_or(self.qty);
        asked.max(self.qty)
    }

    /// A cancel was asked for. Whether the order can take it.
    pub(in crate::kernel) fn cancel_requested(&mut self, time: Time) -> bool {
        let moved = self.move_to(OrderEvent::CancelSent);
        if moved {
            self.updated = time;
            self.cancel_wanted = true;
        }
        moved
    }

    /// A change was asked for. Whether the order can take it.
    pub(in crate::kernel) fn amend_requested(&mut self, amend: Amend, time: Time) -> bool {
        let moved = self.move_to(OrderEvent::AmendSent);
        if moved {
            self.updated = time;
            self.begin_amend(amend);
        }
        moved
    }

    /// Nobody knows what became of a request.
    pub(in crate::kernel) fn lost(&mut self) -> bool {
        self.move_to(OrderEvent::Lost)
    }
}
