//! What the venue knows of an order, how much of it may still be executed, and its fills. The rules are in
//! `RULES.md`, sections 4 and 8.

use super::super::matching::Taken;
use super::PaperVenue;
use crate::kernel::Kernel;
use crate::kernel::event::{FeeAsset, Fill, Level, ReportKind};
use crate::kernel::orders::{Amend, OrderId, OrderType, PositionSide, TimeInForce};
use crate::kernel::types::{Contract, Instrument, InstrumentId, Money, Price, Qty, Side, Time};

/// Binary digits of a trade id that number an order's fills.
const FILL_BITS: u32 = 20;

/// The number of the last fill among these, however many of them are known.
pub(super) fn last_fill(trade_ids: impl Iterator<Item = u64>) -> u64 {
    let number = |id: u64| id & ((1 << FILL_BITS) - 1);
    trade_ids.map(number).max().unwrap_or(0)
}

/// What the venue knows of an order as long as it can be executed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    pub(super) id: OrderId,
    pub(super) instrument: InstrumentId,
    pub(super) side: Side,
    pub(super) position_side: PositionSide,
    pub(super) kind: OrderType,
    pub(super) time_in_force: TimeInForce,
    pub(super) post_only: bool,
    pub(super) reduce_only: bool,
    /// Closes the position, however large it is then.
    pub(super) whole_position: bool,
    pub(super) qty: Qty,
    pub(super) executed: Qty,
    pub(super) fills: u64,
    /// The price at which a buy was paid for in advance: at most this much can be spent on it.
    pub(super) paid_up_to: Option<Price>,
}

impl Ticket {
    pub(super) fn remaining(&self) -> Qty {
        self.qty.checked_sub(self.executed).unwrap_or(Qty::ZERO)
    }

    /// Takes over a change that was asked for.
    pub(super) fn amend(&mut self, wish: &Amend) {
        self.kind = self.kind.with_prices(wish.price, wish.trigger);
        self.qty = wish.qty.unwrap_or(self.qty);
        if self.paid_up_to.is_some() && wish.hold > Price(0) {
            self.paid_up_to = Some(wish.hold);
        }
    }

    pub(super) fn expires(&self) -> Option<Time> {
        match self.time_in_force {
            TimeInForce::Gtd { expires } => Some(expires),
            TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Fok => None,
        }
    }

    /// Cuts what was taken to what the money that was held for a spot buy pays for, fees and all; whether it had to.
    pub(super) fn afford(&self, taken: &mut Taken, instrument: &Instrument) -> bool {
        let Some(price) = self
            .paid_up_to
            .filter(|_| instrument.contract == Contract::Spot)
        else {
            return false;
        };
        // Whoever pays no more than the price that was held has the money.
        if taken.executions.iter().all(|level| level.price <= price) {
            return false;
        }
        let Ok(mut budget) = instrument.notional(price, self.remaining()) else {
            return false;
        };
        let mut short = false;
        let mut kept = Vec::with_capacity(taken.executions.len());
        for level in &taken.executions {
            let unit = instrument
                .notional(level.price, Qty(1))
                .unwrap_or(Money(i128::MAX));
            let most = budget
                .0
                .checked_div(unit.0)
                .and_then(|q| i64::try_from(q).ok());
            let most = most.unwrap_or(i64::MAX);
            let most = most.saturating_sub(most.checked_rem(instrument.lot.0).unwrap_or(0));
            let qty = level.qty.min(Qty(most.max(0)));
            short |= qty < level.qty;
            if short && qty == Qty::ZERO {
                break;
            }
            let cost = instrument.notional(level.price, qty).unwrap_or(budget);
            budget = budget.minus(cost).unwrap_or(Money::ZERO);
            kept.push(Level { qty, ..*level });
            if short {
                break;
            }
        }
        let sum: i64 = kept.iter().map(|l| l.qty.0).fold(0, i64::saturating_add);
        taken.remaining = self.remaining().checked_sub(Qty(sum)).unwrap_or(Qty::ZERO);
        taken.executions = kept;
        short
    }
}

impl PaperVenue {
    /// How much of an order may still be executed: no more than there is to sell on spot, and no more than there
    /// is to reduce.
    pub(super) fn allowance(&self, kernel: &Kernel, ticket: &Ticket) -> Qty {
        let spot = kernel
            .ledger()
            .instrument(ticket.instrument)
            .is_none_or(|i| i.contract == Contract::Spot);
        let limited = ticket.reduce_only
            || ticket.whole_position
            || (spot && ticket.side == Side::Sell)
            || matches!(
                (ticket.position_side, ticket.side),
                (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy)
            );
        if !limited {
            return ticket.remaining();
        }
        let key = (ticket.instrument, ticket.position_side);
        let held = self.positions.get(&key).copied().unwrap_or(0);
        let open = match ticket.side {
            Side::Sell => held.max(0),
            Side::Buy => held.min(0).saturating_neg(),
        };
        if ticket.whole_position {
            Qty(open)
        } else {
            ticket.remaining().min(Qty(open))
        }
    }

    pub(super) fn fill(
        &mut self,
        ticket: &mut Ticket,
        execution: Level,
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
        ticket.fills = ticket.fills.saturating_add(1);
        ticket.executed = ticket
            .executed
            .checked_add(execution.qty)
            .unwrap_or(ticket.qty);
        let fill = Fill {
            // Unique over all orders as well, and the same after a restart.
            trade_id: (ticket.id.0 << FILL_BITS) | ticket.fills,
            price: execution.price,
            qty: execution.qty,
            fee,
            paid_in: FeeAsset::Quote,
            maker,
        };
        let signed = match ticket.side {
            Side::Buy => execution.qty.0,
            Side::Sell => execution.qty.0.saturating_neg(),
        };
        if !self.holds(ticket.instrument) {
            self.pass_funding(ticket.instrument, instrument, now);
        }
        let position = self
            .positions
            .entry((ticket.instrument, ticket.position_side))
            .or_default();
        *position = position.saturating_add(signed);
        self.report(ticket.id, now, ReportKind::Fill(fill));
    }

    /// Cuts an order to what it may still execute and says so; `None` if that is nothing, and the order has ended.
    pub(super) fn cut(&mut self, kernel: &Kernel, ticket: &mut Ticket, now: Time) -> Option<bool> {
        let allowed = self.allowance(kernel, ticket);
        if allowed == ticket.remaining() {
            return Some(false);
        }
        if allowed == Qty::ZERO {
            let reason = "nothing is left to reduce or to sell".to_owned();
            self.report(ticket.id, now, ReportKind::Expired { reason });
            return None;
        }
        ticket.qty = ticket.executed.checked_add(allowed).unwrap_or(ticket.qty);
        self.report(
            ticket.id,
            now,
            ReportKind::Amended {
                price: None,
                trigger: None,
                qty: ticket.qty,
            },
        );
        Some(true)
    }

    /// A position may be closed now: orders that could only reduce it have nothing to do any more.
    pub(super) fn after_fill(&mut self, key: (InstrumentId, PositionSide), now: Time) {
        if self.positions.get(&key).is_some_and(|qty| *qty != 0) {
            return;
        }
        self.positions.remove(&key);
        let idle = |t: &Ticket| {
            (t.instrument, t.position_side) == key && (t.reduce_only || t.whole_position)
        };
        let orders = self.waiting.of(key.0).chain(self.resting.of(key.0));
        let mut ids: Vec<OrderId> = orders.filter(|t| idle(t)).map(|t| t.id).collect();
        ids.sort_unstable();
        for id in ids {
            self.forget(id);
            let reason = "the position is closed".to_owned();
            self.report(id, now, ReportKind::Cancelled { reason });
        }
    }
}
