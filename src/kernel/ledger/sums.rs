//! The sums over open orders and positions, kept in step with every change of an order.

use super::Ledger;
use super::holding::{Holding, MarginSetting, Weight};
use crate::kernel::orders::{Order, OrderId, OrderState, PositionSide, Slot};
use crate::kernel::types::{InstrumentId, Money, MoneyError, Side, Time};

impl Ledger {
    /// Makes the sums over open orders anew and compares them with those that were kept in step; whether they
    /// are equal. For tests.
    pub fn sums_are_right(&self) -> bool {
        let mut fresh: Vec<Holding> = self.holdings.clone();
        for holding in &mut fresh {
            *holding = holding.without_orders();
        }
        let mut held = Money::ZERO;
        let unknown = |o: &&Order| o.state == OrderState::Unknown;
        if self.orders.open().filter(unknown).count() != self.orders.unknown_len() {
            return false;
        }
        for order in self.orders.open() {
            let Some(holding) = fresh.get_mut(order.instrument.index()) else {
                return false;
            };
            let Some(instrument) = self.instrument(order.instrument) else {
                return false;
            };
            let weight = Weight::of(order);
            let more = weight
                .held(instrument, holding.margin)
                .and_then(|h| held.plus(h));
            let shifted = holding.shift(order.position_side, order.side, &Weight::NONE, &weight);
            match (more, shifted) {
                (Ok(more), Ok(())) => held = more,
                _ => return false,
            }
        }
        let mut bound = Money::ZERO;
        for (holding, (instrument, kept)) in fresh
            .iter_mut()
            .zip(self.instruments.iter().zip(&self.holdings))
        {
            *holding.positions_mut() = *kept.positions();
            match kept.position_margin(instrument).and_then(|m| bound.plus(m)) {
                Ok(more) => bound = more,
                Err(_) => return false,
            }
        }
        fresh == self.holdings && held == self.held && bound == self.bound
    }

    /// Changes an order, and the sums with it.
    pub(super) fn change<T>(
        &mut self,
        id: OrderId,
        time: Time,
        change: impl FnOnce(&mut Order) -> T,
    ) -> Result<Option<T>, MoneyError> {
        match self.orders.find(id) {
            Some(slot) => self.change_at(slot, time, change).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn change_at<T>(
        &mut self,
        slot: Slot,
        time: Time,
        change: impl FnOnce(&mut Order) -> T,
    ) -> Result<T, MoneyError> {
        let order = self.orders.at(slot);
        let (instrument, position, side) = (order.instrument, order.position_side, order.side);
        let before = Weight::of(order);
        let (result, after) = self.orders.change(slot, time, |order| {
            let result = change(order);
            (result, Weight::of(order))
        });
        if before != after {
            self.weigh(instrument, position, side, &before, &after)?;
        }
        Ok(result)
    }

    /// Takes an order out of the sums, or back into them.
    pub(super) fn reweigh(&mut self, id: OrderId, enters: bool) -> Result<(), MoneyError> {
        let Some(order) = self.orders.get(id) else {
            return Ok(());
        };
        let (instrument, position, side) = (order.instrument, order.position_side, order.side);
        let weight = Weight::of(order);
        let (before, after) = if enters {
            (Weight::NONE, weight)
        } else {
            (weight, Weight::NONE)
        };
        self.weigh(instrument, position, side, &before, &after)
    }

    pub(super) fn weigh(
        &mut self,
        id: InstrumentId,
        position: PositionSide,
        side: Side,
        before: &Weight,
        after: &Weight,
    ) -> Result<(), MoneyError> {
        let (Some(instrument), Some(holding)) = (
            self.instruments.get(id.index()),
            self.holdings.get_mut(id.index()),
        ) else {
            return Ok(());
        };
        let freed = before.held(instrument, holding.margin)?;
        let held = after.held(instrument, holding.margin)?;
        holding.shift(position, side, before, after)?;
        self.held = self.held.minus(freed)?.plus(held)?;
        self.moved = true;
        Ok(())
    }

    /// The open orders of an instrument.
    pub(super) fn open_of(&self, id: InstrumentId) -> Vec<OrderId> {
        let open = self.orders.open().filter(|o| o.instrument == id);
        open.map(|o| o.id).collect()
    }

    pub(super) fn set_margin(
        &mut self,
        id: InstrumentId,
        setting: MarginSetting,
    ) -> Result<(), MoneyError> {
        let open = self.open_of(id);
        for order in &open {
            self.reweigh(*order, false)?;
        }
        if let (Some(instrument), Some(holding)) = (
            self.instruments.get(id.index()),
            self.holdings.get_mut(id.index()),
        ) {
            let before = holding.position_margin(instrument)?;
            holding.margin = setting;
            holding.set_aside()?;
            let after = holding.position_margin(instrument)?;
            self.bound = self.bound.minus(before)?.plus(after)?;
            self.changes.position(id);
            self.changes.account = true;
        }
        for order in &open {
            self.reweigh(*order, true)?;
        }
        Ok(())
    }
}
