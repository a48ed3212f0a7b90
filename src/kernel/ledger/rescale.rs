//! An instrument's numbers at new scales: exactly, or not at all.

use super::holding::Holding;
use crate::kernel::orders::OrderTable;
use crate::kernel::types::{Instrument, InstrumentId, Price, Qty, Scale};

/// Moves integers from one pair of scales to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rescale {
    price: (Scale, Scale),
    qty: (Scale, Scale),
}

impl Rescale {
    pub(super) fn between(old: &Instrument, new: &Instrument) -> Self {
        Self {
            price: (old.price_scale, new.price_scale),
            qty: (old.qty_scale, new.qty_scale),
        }
    }

    fn price(self, price: Price) -> Option<Price> {
        shift(price.0, self.price).map(Price)
    }

    fn qty(self, qty: Qty) -> Option<Qty> {
        shift(qty.0, self.qty).map(Qty)
    }

    /// History: its numbers are shown, not traded; what does not fit is cut off.
    fn cut(value: i64, (from, to): (Scale, Scale)) -> i64 {
        shift(value, (from, to)).unwrap_or_else(|| {
            let unit = from.unit().checked_div(to.unit()).unwrap_or(1);
            value.checked_div(unit).unwrap_or(0)
        })
    }

    /// Numbers of an execution that was booked.
    pub(super) fn shown(self, price: Price, qty: Qty) -> (Price, Qty) {
        (
            Price(Self::cut(price.0, self.price)),
            Qty(Self::cut(qty.0, self.qty)),
        )
    }

    /// All orders of the instrument.
    pub(super) fn orders(self, orders: &mut OrderTable, id: InstrumentId) -> Option<()> {
        orders.rescale(
            |o| o.instrument == id,
            |o| {
                if o.is_open() {
                    o.rescale(|p| self.price(p), |q| self.qty(q))
                } else {
                    o.rescale(
                        |p| Some(Price(Self::cut(p.0, self.price))),
                        |q| Some(Qty(Self::cut(q.0, self.qty))),
                    )
                }
            },
        )
    }

    /// The positions. (The sums over open orders are made anew afterwards.)
    pub(super) fn holding(self, holding: &mut Holding) -> Option<()> {
        for position in holding.positions_mut() {
            position.qty = shift(position.qty, self.qty)?;
        }
        Some(())
    }

    pub(super) fn signed(self, qty: i64) -> Option<i64> {
        shift(qty, self.qty)
    }
}

fn shift(value: i64, (from, to): (Scale, Scale)) -> Option<i64> {
    if to >= from {
        value.checked_mul(to.unit().checked_div(from.unit())?)
    } else {
        let unit = from.unit().checked_div(to.unit())?;
        (value.checked_rem(unit)? == 0)
            .then(|| value.checked_div(unit))
            .flatten()
    }
}
