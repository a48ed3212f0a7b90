//! Funding and liquidation of paper positions in derivatives. The rules are in `RULES.md`, section 10.

use super::PaperVenue;
use crate::kernel::Kernel;
use crate::kernel::event::{AccountReportKind, Derivative, ReportKind};
use crate::kernel::ledger::Holding;
use crate::kernel::margin::{funding_payment, is_liquidated};
use crate::kernel::orders::{OrderId, PositionSide};
use crate::kernel::portfolio::{MarginMode, Position};
use crate::kernel::types::{
    Contract, Instrument, InstrumentId, MINUTE, Money, MoneyError, Price, Qty, Rate, Side, Time,
};

/// What is known of an instrument's next funding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Funding {
    due: Time,
    rate: Rate,
    /// It is due, and nobody knows a mark: paid as soon as there is one.
    waits: bool,
}

/// A position to be closed by the venue.
struct Doomed {
    id: InstrumentId,
    side: PositionSide,
    qty: i64,
    mark: Price,
    fee: Money,
    /// What it brings or costs, with the fee.
    result: Money,
    /// Margin of its own; `None`: the account stands for it.
    isolated: Option<Money>,
}

impl PaperVenue {
    /// The venue announces when funding is paid next, and at which rate. A time that has come is no news: it was
    /// paid for, or nothing was held then.
    pub(super) fn learn_funding(&mut self, id: InstrumentId, figures: &Derivative, now: Time) {
        let known = self.funding.get(&id).copied();
        let next = figures.next_funding.filter(|due| *due > now);
        let due = next.or(known.map(|k| k.due));
        let rate = figures.funding_rate.or(known.map(|k| k.rate));
        let (Some(due), Some(rate)) = (due, rate) else {
            return;
        };
        // What was announced stays due, even if the announcement of the next one comes first.
        let pending = known.filter(|k| k.due < due && self.holds(id));
        if pending.is_none() {
            let waits = known.is_some_and(|k| k.waits && k.due == due);
            self.funding.insert(id, Funding { due, rate, waits });
        }
    }

    pub(super) fn holds(&self, id: InstrumentId) -> bool {
        self.positions_of(id).any(|(_, qty)| qty != 0)
    }

    fn positions_of(&self, id: InstrumentId) -> impl Iterator<Item = (PositionSide, i64)> {
        let range = (id, PositionSide::Both)..=(id, PositionSide::Short);
        self.positions.range(range).map(|((_, s), q)| (*s, *q))
    }

    /// When funding is paid next for a position.
    pub(super) fn funding_due(&self) -> Option<Time> {
        if self.funding.is_empty() {
            return None;
        }
        let held = self.positions.iter().filter(|(_, qty)| **qty != 0);
        let due = held.filter_map(|((id, _), _)| self.funding.get(id));
        due.filter(|f| !f.waits).map(|f| f.due).min()
    }

    /// Nothing is held: what has come due until now is nobody's to pay.
    pub(super) fn pass_funding(&mut self, id: InstrumentId, instrument: &Instrument, now: Time) {
        let Some(funding) = self.funding.get(&id).filter(|f| f.due <= now) else {
            return;
        };
        let (due, rate) = (later(funding.due, instrument, now), funding.rate);
        self.expect_funding(id, due.map(|due| (due, rate)));
    }

    fn expect_funding(&mut self, id: InstrumentId, next: Option<(Time, Rate)>) {
        let waits = false;
        match next {
            Some((due, rate)) => self.funding.insert(id, Funding { due, rate, waits }),
            None => self.funding.remove(&id),
        };
    }

    /// Pays what is due, at the mark of now.
    pub(super) fn pay_funding(&mut self, kernel: &Kernel, now: Time) {
        if self.positions.is_empty() || self.funding.is_empty() {
            return;
        }
        let mut due: Vec<InstrumentId> = Vec::new();
        for ((id, _), qty) in &self.positions {
            let comes = |f: &Funding| f.due <= now;
            if *qty != 0 && self.funding.get(id).is_some_and(comes) && due.last() != Some(id) {
                due.push(*id);
            }
        }
        for id in due {
            self.pay(kernel, id, now);
        }
    }

    fn pay(&mut self, kernel: &Kernel, id: InstrumentId, now: Time) {
        let (Some(instrument), Some(market), Some(funding)) = (
            kernel.ledger().instrument(id),
            kernel.market_of(id),
            self.funding.get(&id).copied(),
        ) else {
            return;
        };
        let Some(mark) = market.mark(instrument) else {
            let waits = true;
            self.funding.insert(id, Funding { waits, ..funding });
            return;
        };
        let held: Vec<(PositionSide, i64)> = self.positions_of(id).collect();
        for (position_side, qty) in held {
            let amount = instrument
                .notional(mark, Qty(qty))
                .and_then(|value| funding_payment(value, funding.rate));
            if let (Ok(amount), true) = (amount, qty != 0) {
                self.say(
                    now,
                    AccountReportKind::Funding {
                        instrument: id,
                        position_side,
                        due: funding.due,
                        rate: funding.rate,
                        amount,
                    },
                );
            }
        }
        // The next one: as announced since, or an interval later.
        let announced = market.derivative().and_then(|d| {
            let due = d.next_funding.filter(|next| *next > now)?;
            Some((due, d.funding_rate?))
        });
        let computed = || Some((later(funding.due, instrument, now)?, funding.rate));
        self.expect_funding(id, announced.or_else(computed));
    }

    /// Positions whose margin is used up are closed at the mark price.
    pub(super) fn liquidate(&mut self, kernel: &Kernel, id: InstrumentId, now: Time) {
        let derivative = |i: &Instrument| i.contract != Contract::Spot;
        if self.positions.is_empty()
            || !kernel.ledger().instrument(id).is_some_and(derivative)
            || !self.holds(id)
        {
            return;
        }
        // What was carried at this mark is carried still, unless the account changed.
        let instrument = kernel.ledger().instrument(id);
        let mark = instrument.and_then(|i| kernel.market_of(id)?.mark(i));
        let look = mark.map(|mark| (mark, kernel.ledger().seq()));
        if look.is_none() || look == self.carried.get(&id).copied() {
            return;
        }
        if self.carries(kernel) == Ok(true) {
            if let Some(look) = look {
                self.carried.insert(id, look);
            }
            return;
        }
        let Ok(doomed) = self.doomed(kernel, id) else {
            return;
        };
        if doomed.is_empty() {
            if let Some(look) = look {
                self.carried.insert(id, look);
            }
            return;
        }
        for order in self.orders_of_derivatives(kernel, &doomed) {
            self.forget(order);
            let reason = "the venue liquidates the position".to_owned();
            self.report(order, now, ReportKind::Cancelled { reason });
        }
        let mut cross = None;
        for position in &doomed {
            self.close(position, now);
            if let Some(margin) = position.isolated {
                let left = margin.plus(position.result).unwrap_or_default();
                self.insure(left, now);
            } else {
                let wallet = cross.unwrap_or_else(|| self.wallet(kernel));
                cross = Some(wallet.plus(position.result).unwrap_or(wallet));
            }
        }
        if let Some(left) = cross {
            self.insure(left, now);
        }
    }

    /// The insurance fund pays what the margin does not.
    fn insure(&mut self, left: Money, now: Time) {
        if left < Money::ZERO
            && let Ok(amount) = left.negated()
        {
            self.liquidations = self.liquidations.saturating_add(1);
            let id = self.event_id(now);
            self.say(now, AccountReportKind::Insurance { id, amount });
        }
    }

    /// Money of the account that stands for cross positions: all of it but what is set aside for isolated ones.
    #[expect(clippy::unused_self, reason = "a figure of the venue")]
    fn wallet(&self, kernel: &Kernel) -> Money {
        let ledger = kernel.ledger();
        let mut wallet = ledger.account().cash;
        for (_, _, holding) in ledger.holdings() {
            for position in holding.positions() {
                wallet = wallet.minus(position.isolated).unwrap_or(wallet);
            }
        }
        wallet
    }

    /// Whether the account stands for all of its positions with ease: none has a margin of its own, and what is
    /// there is more than what is needed. What most marks come to, without a list of positions.
    fn carries(&self, kernel: &Kernel) -> Result<bool, MoneyError> {
        let ledger = kernel.ledger();
        let (mut balance, mut needed) = (self.wallet(kernel), Money::ZERO);
        for ((id, side), qty) in self.positions.iter().filter(|(_, qty)| **qty != 0) {
            let (Some(instrument), Some(holding)) = (ledger.instrument(*id), ledger.holding(*id))
            else {
                return Ok(false);
            };
            if instrument.contract == Contract::Spot {
                continue;
            }
            let position = holding.position(*side);
            let mark = kernel.market_of(*id).and_then(|m| m.mark(instrument));
            let Some(mark) = mark.filter(|_| position.qty == *qty) else {
                return Ok(false);
            };
            if holding.margin().mode == MarginMode::Isolated {
                return Ok(false);
            }
            let value = position.value(mark, instrument)?;
            balance = balance.plus(value.minus(position.cost)?)?;
            needed = needed.plus(ledger.brackets().maintenance_margin(value)?)?;
        }
        Ok(!is_liquidated(balance, needed))
    }

    fn doomed(&self, kernel: &Kernel, moved: InstrumentId) -> Result<Vec<Doomed>, MoneyError> {
        let ledger = kernel.ledger();
        let brackets = ledger.brackets();
        let mut isolated = Vec::new();
        let mut cross = Vec::new();
        let (mut balance, mut needed) = (self.wallet(kernel), Money::ZERO);
        for (id, instrument, holding) in ledger.holdings() {
            if instrument.contract == Contract::Spot {
                continue;
            }
            let mark = kernel.market_of(id).and_then(|m| m.mark(instrument));
            for side in PositionSide::of(ledger.account().positions, instrument.contract) {
                let Some((position, mark)) = self.open(holding, id, *side).zip(mark) else {
                    continue;
                };
                let value = position.value(mark, instrument)?;
                let profit = value.minus(position.cost)?;
                let maintenance = brackets.maintenance_margin(value)?;
                let fee = value.magnitude()?.at_rate(self.config.liquidation_fee)?;
                let doomed = Doomed {
                    id,
                    side: *side,
                    qty: position.qty,
                    mark,
                    fee,
                    result: profit.minus(fee)?,
                    isolated: Some(position.isolated)
                        .filter(|_| holding.margin().mode == MarginMode::Isolated),
                };
                if doomed.isolated.is_none() {
                    balance = balance.plus(profit)?;
                    needed = needed.plus(maintenance)?;
                    cross.push(doomed);
                } else if id == moved && is_liquidated(position.isolated.plus(profit)?, maintenance)
                {
                    isolated.push(doomed);
                }
            }
        }
        if is_liquidated(balance, needed) {
            isolated.extend(cross);
        }
        Ok(isolated)
    }

    /// A position that venue and ledger agree on.
    fn open<'a>(
        &self,
        holding: &'a Holding,
        id: InstrumentId,
        side: PositionSide,
    ) -> Option<&'a Position> {
        let own = self.positions.get(&(id, side)).copied().unwrap_or(0);
        let position = holding.position(side);
        (own != 0 && position.qty == own).then_some(position)
    }

    /// Open orders that go with the positions: all of the derivatives that the account stands for, or of the
    /// isolated position alone.
    fn orders_of_derivatives(&self, kernel: &Kernel, doomed: &[Doomed]) -> Vec<OrderId> {
        let cross = doomed.iter().any(|d| d.isolated.is_none());
        let derivative = |id: InstrumentId| {
            let instrument = kernel.ledger().instrument(id);
            instrument.is_some_and(|i| i.contract != Contract::Spot)
        };
        let concerned =
            |id: InstrumentId| (cross && derivative(id)) || doomed.iter().any(|d| d.id == id);
        let instruments = kernel.ledger().holdings().map(|(id, _, _)| id);
        let mut ids: Vec<OrderId> = instruments
            .filter(|id| concerned(*id))
            .flat_map(|id| self.waiting.of(id).chain(self.resting.of(id)))
            .map(|ticket| ticket.id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Unique after a restart, too: no process starts and liquidates within a nanosecond.
    fn event_id(&self, now: Time) -> u64 {
        let time = u64::try_from(now.0).unwrap_or(0);
        time.wrapping_add(self.liquidations)
    }

    fn close(&mut self, position: &Doomed, now: Time) {
        self.positions.remove(&(position.id, position.side));
        self.liquidations = self.liquidations.saturating_add(1);
        let side = if position.qty > 0 {
            Side::Sell
        } else {
            Side::Buy
        };
        let trade_id = self.event_id(now);
        self.say(
            now,
            AccountReportKind::Liquidated {
                instrument: position.id,
                position_side: position.side,
                side,
                trade_id,
                price: position.mark,
                qty: Qty(position.qty.saturating_abs()),
                fee: position.fee,
            },
        );
    }
}

/// The first time after `now` that lies whole funding intervals after `due`; `None` where the venue does not say how
/// long they are.
fn later(due: Time, instrument: &Instrument, now: Time) -> Option<Time> {
    let step = i64::from(instrument.funding_minutes).checked_mul(MINUTE)?;
    let steps = now.since(due).checked_div(step)?.checked_add(1)?;
    Some(due.plus(steps.checked_mul(step)?))
}
