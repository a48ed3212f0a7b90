//! Where a price that moves along a straight way meets own orders. Candles say where the market was, not
//! when: whoever plays them stops at these prices, so that each order meets the market at its own.

use super::PaperVenue;
use crate::kernel::types::{InstrumentId, Price, Side};

impl PaperVenue {
    /// Whether nothing here depends on how this instrument's price moves: no order, no position, and
    /// nothing on its way that could become one.
    pub fn is_indifferent(&self, id: InstrumentId) -> bool {
        self.is_settled()
            && !self.holds(id)
            && (self.resting.is_empty() || self.resting.of(id).next().is_none())
            && self.waiting.of(id).next().is_none()
    }

    /// Whether orders to buy, and orders to sell, are here.
    pub fn wants(&self, id: InstrumentId) -> (bool, bool) {
        let mut wants = (false, false);
        for ticket in self.resting.of(id).chain(self.waiting.of(id)) {
            match ticket.side {
                Side::Buy => wants.0 = true,
                Side::Sell => wants.1 = true,
            }
        }
        wants
    }

    /// The first price behind `from`, up to and including `to`, at which an order that waits is set off, or
    /// one that rests has been passed by `beyond`.
    pub fn next_meeting(
        &self,
        id: InstrumentId,
        (from, to): (Price, Price),
        beyond: Price,
    ) -> Option<Price> {
        if from == to {
            return None;
        }
        let rising = from < to;
        let resting = self.resting.next_limit(id, rising, from, beyond);
        let waiting = self.waiting.next_trigger(id, rising, from);
        let both = resting.into_iter().chain(waiting);
        if rising {
            both.min().filter(|price| *price <= to)
        } else {
            both.max().filter(|price| *price >= to)
        }
    }
}
