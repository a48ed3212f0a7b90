//! An order book as two sorted vectors, best price at the end: most changes touch the last few levels.

use std::hash::{Hash, Hasher};

use crate::kernel::event::Level;
use crate::kernel::types::{Instrument, Money, MoneyError, Price, Qty, Side};

/// Levels beyond the cap that are tolerated before a side is cut, so that a cut is rare.
const SLACK: usize = 64;

/// Both sides of a market, at most `levels_max` (plus a little slack) levels each.
///
/// Levels outside of a snapshot become known only when they change, and levels beyond the cap are
/// forgotten: nobody may take this for the full book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    bids: Vec<Level>,
    asks: Vec<Level>,
    levels_max: usize,
}

impl Book {
    /// An empty book.
    pub fn new(levels_max: usize) -> Self {
        Self {
            bids: Vec::new(),
            asks: Vec::new(),
            levels_max,
        }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Replaces everything. Levels may come in any order; of equal prices the last one counts.
    pub fn replace(&mut self, bids: &[Level], asks: &[Level]) {
        self.clear();
        for level in bids {
            self.set(Side::Buy, *level);
        }
        for level in asks {
            self.set(Side::Sell, *level);
        }
    }

    /// Sets the level of a price to an absolute quantity; zero removes it. Removing a level that is
    /// not there is normal.
    pub fn set(&mut self, side: Side, level: Level) {
        let levels = match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let found = levels.binary_search_by(|l| match side {
            Side::Buy => l.price.cmp(&level.price),
            Side::Sell => level.price.cmp(&l.price),
        });
        match (found, level.qty) {
            (Ok(at), Qty::ZERO) => {
                levels.remove(at);
            }
            (Ok(at), qty) => {
                if let Some(known) = levels.get_mut(at) {
                    known.qty = qty;
                }
            }
            (Err(_), Qty::ZERO) => {}
            (Err(at), _) => {
                levels.insert(at, level);
                if levels.len() > self.levels_max.saturating_add(SLACK) {
                    let excess = levels.len().saturating_sub(self.levels_max);
                    levels.drain(..excess);
                }
            }
        }
    }

    /// Forgets all but the best `levels` of each side.
    pub fn cut(&mut self, levels: usize) {
        for side in [&mut self.bids, &mut self.asks] {
            let excess = side.len().saturating_sub(levels);
            side.drain(..excess);
        }
    }

    /// Best bid.
    pub fn best_bid(&self) -> Option<Level> {
        self.bids.last().copied()
    }

    /// Best ask.
    pub fn best_ask(&self) -> Option<Level> {
        self.asks.last().copied()
    }

    /// Whether the best bid is at or above the best ask.
    pub fn is_crossed(&self) -> bool {
        matches!((self.best_bid(), self.best_ask()), (Some(b), Some(a)) if b.price >= a.price)
    }

    /// One side, best first.
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> + '_ {
        match side {
            Side::Buy => self.bids.iter().rev().copied(),
            Side::Sell => self.asks.iter().rev().copied(),
        }
    }

    /// The quantity at a price.
    pub fn qty_at(&self, side: Side, price: Price) -> Qty {
        let found = match side {
            Side::Buy => self
                .bids
                .binary_search_by(|l| l.price.cmp(&price))
                .map(|i| &self.bids[i]),
            Side::Sell => self
                .asks
                .binary_search_by(|l| price.cmp(&l.price))
                .map(|i| &self.asks[i]),
        };
        found.map_or(Qty::ZERO, |l| l.qty)
    }

    /// Half way between best bid and best ask, rounded down.
    pub fn mid(&self) -> Option<Price> {
        let (bid, ask) = (self.best_bid()?, self.best_ask()?);
        Some(Price(bid.price.0.checked_add(ask.price.0)?.div_euclid(2)))
    }

    /// What a market order of `qty` would pay or bring: the walk over the known levels, the rest at
    /// the last of them. `None` when that side is empty.
    pub fn cost_to_take(
        &self,
        side: Side,
        qty: Qty,
        instrument: &Instrument,
    ) -> Result<Option<Money>, MoneyError> {
        let mut left = qty;
        let mut cost = Money::ZERO;
        let mut last = None;
        for level in self.levels(side.opposite()) {
            let part = level.qty.min(left);
            cost = cost.plus(instrument.notional(level.price, part)?)?;
            left = left.checked_sub(part).unwrap_or(Qty::ZERO);
            last = Some(level.price);
            if left == Qty::ZERO {
                break;
            }
        }
        let Some(last) = last else { return Ok(None) };
        cost.plus(instrument.notional(last, left)?).map(Some)
    }
}

impl Hash for Book {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bids.hash(state);
        self.asks.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price(price),
            qty: Qty(qty),
        }
    }

    proptest! {
        /// The naive twin: a map per side.
        #[test]
        fn equals_a_map(changes in prop::collection::vec((any::<bool>(), 1..50_i64, 0..4_i64), 0..300)) {
            let mut book = Book::new(1_000);
            let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
            for (buy, price, qty) in changes {
                let (side, map) =
                    if buy { (Side::Buy, &mut bids) } else { (Side::Sell, &mut asks) };
                book.set(side, level(price, qty));
                if qty == 0 { map.remove(&price); } else { map.insert(price, qty); }
                prop_assert_eq!(book.qty_at(side, Price(price)), Qty(qty));
            }
            let naive: Vec<_> = bids.iter().rev().map(|(p, q)| level(*p, *q)).collect();
            prop_assert_eq!(book.levels(Side::Buy).collect::<Vec<_>>(), naive);
            let naive: Vec<_> = asks.iter().map(|(p, q)| level(*p, *q)).collect();
            prop_assert_eq!(book.levels(Side::Sell).collect::<Vec<_>>(), naive);
        }
    }

    #[test]
    fn the_cap_forgets_the_worst_levels() {
        let mut book = Book::new(100);
        for price in 1..=1_000 {
            book.set(Side::Buy, level(price, 1));
            book.set(Side::Sell, level(2_001 - price, 1));
        }
        for side in [Side::Buy, Side::Sell] {
            assert!((100..=100 + SLACK).contains(&book.levels(side).len()));
        }
        assert_eq!(book.best_bid(), Some(level(1_000, 1)));
        assert_eq!(book.best_ask(), Some(level(1_001, 1)));
        book.set(Side::Buy, level(1, 0));
        assert_eq!(book.mid(), Some(Price(1_000)));
    }
}
