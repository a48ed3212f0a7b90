//! Orders that hang together: OCO and bracket. The exits follow what their order has executed, and what one
//! exit executes the other loses.
//!
//! What is to be done follows from the orders as they are, each time one of them changes, so a restart loses
//! nothing. Only refusals are remembered: after a restart they may be asked for once more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Kernel;
use super::event::{Effect, Effects, Notice};
use super::orders::{
    Bracket, Exit, Link, Order, OrderId, OrderSpec, OrderState, Origin, Role, Size, TimeInForce,
};
use super::types::{InstrumentId, Qty, Side};

/// Refusals that are remembered; beyond it the oldest order's is forgotten.
const REMEMBERED_MAX: usize = 1_024;

fn remember(refused: &mut BTreeSet<OrderId>, id: OrderId) {
    if refused.len() >= REMEMBERED_MAX {
        refused.pop_first();
    }
    refused.insert(id);
}

impl Kernel {
    /// An order changed: whoever hangs together with it follows.
    pub(super) fn follow(&mut self, id: OrderId, effects: &mut Effects) {
        let parent = match self.ledger.orders().get(id).map(Order::link) {
            None | Some(Link::None) => return,
            Some(Link::Oco(_) | Link::Bracket(_)) => id,
            Some(Link::Exit { parent, .. }) => *parent,
        };
        self.settle_exits(parent, effects);
    }

    /// Brings the exits of an order in line with it.
    pub(super) fn settle_exits(&mut self, parent: OrderId, effects: &mut Effects) {
        match self.ledger.orders().get(parent).map(Order::link) {
            Some(Link::Oco(stop)) => {
                let stop = **stop;
                self.settle_oco(parent, stop, effects);
            }
            Some(Link::Bracket(bracket)) => {
                let bracket = **bracket;
                self.settle_bracket(parent, bracket, effects);
            }
            None | Some(Link::None | Link::Exit { .. }) => {}
        }
    }

    /// The limit order and its stop live and die together; what the limit order executes the stop loses, and a
    /// stop that was set off ends the limit order.
    fn settle_oco(&mut self, head: OrderId, stop: Exit, effects: &mut Effects) {
        let orders = self.ledger.orders();
        let Some(order) = orders.get(head) else {
            return;
        };
        let (is_open, at_venue, want) = (order.is_open(), is_at_venue(order), order.remaining());
        let [_, child] = orders.exits(head);
        match child.and_then(|id| orders.get(id)) {
            None if child.is_none() && is_open && at_venue => {
                self.place_exit(head, Role::StopLoss, stop, want, effects);
            }
            None => {}
            // Set off, refused, or cancelled by the operator: the other one goes with it.
            Some(child) if !child.is_open() && is_open => self.cancel_linked(head, effects),
            Some(child) if !child.is_open() => {}
            Some(child) => {
                let (id, gone) = (child.id, child.triggered || child.filled > Qty::ZERO);
                if gone && is_open {
                    self.cancel_linked(head, effects);
                } else if !is_open && !gone {
                    self.cancel_linked(id, effects);
                } else if !gone {
                    self.resize(id, want, effects);
                }
            }
        }
    }

    /// Exits for what was executed of the entry, less what they executed themselves. Once one of them is set off
    /// the entry is over; what it executes until it hears of that gets exits again.
    fn settle_bracket(&mut self, entry: OrderId, bracket: Bracket, effects: &mut Effects) {
        let orders = self.ledger.orders();
        let Some(order) = orders.get(entry) else {
            return;
        };
        let exits = orders.exits(entry);
        let (mut want, mut set_off, mut again) = (order.filled, false, false);
        for exit in exits.iter().flatten().filter_map(|id| orders.get(*id)) {
            want = want.checked_sub(exit.filled).unwrap_or(Qty::ZERO);
            set_off |= exit.triggered || exit.filled > Qty::ZERO;
            again |= exit.state == OrderState::Filled;
        }
        if again && want > Qty::ZERO {
            let left = order.filled.checked_sub(orders.exited(entry));
            want = left.unwrap_or(Qty::ZERO);
        }
        // What the venue has kept as its fee, or what is closed already, cannot be closed once more.
        let position = self.ledger.position(order.instrument, order.position_side);
        let held = match order.side {
            Side::Buy => position.qty.max(0),
            Side::Sell => position.qty.min(0).saturating_neg(),
        };
        let want = want.min(Qty(held));
        let is_done = |id: OrderId| orders.get(id).is_none_or(|o| !o.is_open());
        let ended = exits.map(|id| id.is_some_and(is_done));
        if set_off && order.is_open() {
            self.cancel_linked(entry, effects);
        }
        let plan = [
            (Role::TakeProfit, bracket.take_profit),
            (Role::StopLoss, bracket.stop_loss),
        ];
        for (((role, exit), placed), ended) in plan.into_iter().zip(exits).zip(ended) {
            let Some(exit) = exit else { continue };
            match placed {
                Some(id) if !ended => self.resize(id, want, effects),
                Some(_) if !again => {}
                Some(_) | None if want > Qty::ZERO => {
                    self.place_exit(entry, role, exit, want, effects);
                }
                Some(_) | None => {}
            }
        }
    }

    /// Gives an exit another quantity, if it can take one now.
    fn resize(&mut self, id: OrderId, want: Qty, effects: &mut Effects) {
        let Some(order) = self.ledger.orders().get(id).filter(|o| o.is_open()) else {
            return;
        };
        let lot = self.on_lot(order.instrument, want);
        if lot == Qty::ZERO {
            self.cancel_linked(id, effects);
            return;
        }
        let total = order.filled.checked_add(lot).unwrap_or(order.qty);
        // One that was set off is being executed: the venue cuts what is too much.
        if total == order.qty || (order.triggered && order.limit().is_none()) {
            return;
        }
        let shrinks = total < order.qty;
        if self.stubborn.contains(&id) {
            if shrinks {
                self.cancel_linked(id, effects);
            }
            return;
        }
        let refused = self.amend(id, (None, None, Some(total)), effects).is_err();
        if refused && shrinks {
            self.cancel_linked(id, effects);
        }
    }

    /// Cancels an order that hangs together with others, unless the venue has said already that there is nothing to
    /// cancel: then it has ended, and the reports of how are on their way. Nor is one of which nobody knows whether
    /// it ever arrived asked about by cancels: the one that is wanted goes out when it is found.
    fn cancel_linked(&mut self, id: OrderId, effects: &mut Effects) {
        let waits = |o: &Order| o.cancel_wanted && o.state == OrderState::Unknown;
        if self.uncancellable.contains(&id) || self.ledger.orders().get(id).is_some_and(waits) {
            return;
        }
        self.cancel(id, effects);
    }

    /// The venue knows nothing to cancel.
    pub(super) fn cancel_refused(&mut self, id: OrderId) {
        remember(&mut self.uncancellable, id);
    }

    /// A change of an exit was refused by the venue: it is not asked for again.
    pub(super) fn amend_refused(&mut self, id: OrderId) {
        let linked = self
            .ledger
            .orders()
            .get(id)
            .is_some_and(|o| matches!(o.link(), Link::Exit { .. }) && o.is_open());
        if linked {
            remember(&mut self.stubborn, id);
        }
    }

    fn on_lot(&self, instrument: InstrumentId, qty: Qty) -> Qty {
        let lot = self.ledger.instrument(instrument).map_or(1, |i| i.lot.0);
        let rest = qty.0.checked_rem(lot).unwrap_or(0);
        Qty(qty.0.saturating_sub(rest))
    }

    fn place_exit(
        &mut self,
        parent: OrderId,
        role: Role,
        exit: Exit,
        want: Qty,
        effects: &mut Effects,
    ) {
        let Some(order) = self.ledger.orders().get(parent) else {
            return;
        };
        let (instrument, side) = match order.link() {
            Link::Oco(_) => (order.instrument, order.side),
            _ => (order.instrument, order.side.opposite()),
        };
        let qty = self.on_lot(instrument, want);
        if qty == Qty::ZERO || self.refused_exits.get(&(parent, role)) == Some(&want) {
            return;
        }
        if self.ledger.risk().halted {
            // The kill switch ends everything; what is executed meanwhile is its own to close.
            if !self.ledger.risk().flatten {
                effects.push(Effect::Notice(Notice::Unprotected(instrument)));
            }
            return;
        }
        let spec = OrderSpec {
            position_side: order.position_side,
            reduce_only: order.reduce_only || matches!(order.link(), Link::Bracket(_)),
            time_in_force: TimeInForce::Gtc,
            origin: match order.origin {
                Origin::KillSwitch => Origin::Operator,
                origin => origin,
            },
            link: Link::Exit { parent, role },
            ..OrderSpec::new(instrument, side, role.order_type(exit), Size::Base(qty))
        };
        if self.place(Arc::new(spec), None, effects).is_err() {
            // Not again for the same quantity: each attempt would be refused and written down.
            if self.refused_exits.len() >= REMEMBERED_MAX {
                self.refused_exits.pop_first();
            }
            self.refused_exits.insert((parent, role), want);
            effects.push(Effect::Notice(Notice::Unprotected(instrument)));
            if matches!(
                self.ledger.orders().get(parent).map(Order::link),
                Some(Link::Oco(_))
            ) {
                self.cancel_linked(parent, effects);
            }
        }
    }
}

/// Whether the venue is known to have the order.
fn is_at_venue(order: &Order) -> bool {
    matches!(
        order.state,
        OrderState::Untriggered
            | OrderState::Acked
            | OrderState::PartiallyFilled
            | OrderState::AmendPending
    )
}
