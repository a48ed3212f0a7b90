//! Displayed liquidity that is there no longer: what our own orders took from a book that does not know
//! of them, and what others took since the book last spoke of a level.
//!
//! Taken once: what is gone stays gone until the venue updates that level. Its new number is what others
//! leave there without us, so it stands as it is. A snapshot speaks of every level.

use std::collections::BTreeMap;

use crate::kernel::event::Level;
use crate::kernel::types::{InstrumentId, Price, Qty, Side};

/// Levels that are remembered at most, over all instruments; beyond it the one that was taken from
/// longest ago is forgotten.
pub const LEVELS_MAX: usize = 10_000;

/// An instrument, the side of its book, a price.
type Key = (InstrumentId, Side, Price);

/// What is gone from displayed levels. Costs one comparison where nothing is gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Gone {
    levels: BTreeMap<Key, Entry>,
    /// The same levels by age.
    ages: BTreeMap<u64, Key>,
    /// Of the next entry.
    age: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    qty: Qty,
    age: u64,
}

impl Gone {
    /// Nothing is gone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is gone from any level.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Levels from which something is gone.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// `qty` was taken from the level at `price` of `side` of the book. Nothing happens for a quantity
    /// that is not above zero.
    pub fn take(&mut self, instrument: InstrumentId, side: Side, price: Price, qty: Qty) {
        if qty <= Qty::ZERO {
            return;
        }
        let key = (instrument, side, price);
        let before = self.forget(key);
        let qty = before.checked_add(qty).unwrap_or(Qty(i64::MAX));
        if self.levels.len() >= LEVELS_MAX
            && let Some((_, oldest)) = self.ages.pop_first()
        {
            self.levels.remove(&oldest);
        }
        let age = self.age;
        self.age = age.saturating_add(1);
        self.ages.insert(age, key);
        self.levels.insert(key, Entry { qty, age });
    }

    /// What is gone from the level at `price` of `side` of the book.
    pub fn at(&self, instrument: InstrumentId, side: Side, price: Price) -> Qty {
        if self.is_empty() {
            return Qty::ZERO;
        }
        let entry = self.levels.get(&(instrument, side, price));
        entry.map_or(Qty::ZERO, |entry| entry.qty)
    }

    /// The displayed `level` less what is gone from it; zero at least.
    pub fn left(&self, instrument: InstrumentId, side: Side, level: Level) -> Level {
        let gone = self.at(instrument, side, level.price);
        let left = level.qty.checked_sub(gone).unwrap_or(Qty::ZERO);
        Level {
            qty: left.max(Qty::ZERO),
            ..level
        }
    }

    /// The venue updated these levels: its numbers stand.
    pub fn on_levels(&mut self, instrument: InstrumentId, bids: &[Level], asks: &[Level]) {
        if self.is_empty() {
            return;
        }
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            for level in levels {
                self.forget((instrument, side, level.price));
            }
        }
    }

    /// The venue sent the whole book of `instrument`.
    pub fn on_snapshot(&mut self, instrument: InstrumentId) {
        if self.is_empty() {
            return;
        }
        self.levels.retain(|(id, _, _), _| *id != instrument);
        self.ages.retain(|_, (id, _, _)| *id != instrument);
    }

    /// Removes a level and returns what was gone from it.
    fn forget(&mut self, key: Key) -> Qty {
        let Some(entry) = self.levels.remove(&key) else {
            return Qty::ZERO;
        };
        self.ages.remove(&entry.age);
        entry.qty
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: InstrumentId = InstrumentId(0);
    const B: InstrumentId = InstrumentId(1);

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price(price),
            qty: Qty(qty),
        }
    }

    #[test]
    fn what_is_taken_stays_taken_until_the_level_is_updated() {
        let mut gone = Gone::new();
        gone.take(A, Side::Sell, Price(100), Qty(3));
        gone.take(A, Side::Sell, Price(100), Qty(1));
        gone.take(A, Side::Sell, Price(101), Qty(1));
        assert_eq!(gone.left(A, Side::Sell, level(100, 10)), level(100, 6));
        assert_eq!(gone.left(A, Side::Sell, level(100, 2)), level(100, 0));
        assert_eq!(gone.left(A, Side::Buy, level(100, 10)), level(100, 10));
        assert_eq!(gone.left(B, Side::Sell, level(100, 10)), level(100, 10));
        // Other levels, another side, another instrument say nothing of it.
        gone.on_levels(A, &[level(100, 5)], &[level(99, 5), level(102, 0)]);
        gone.on_levels(B, &[], &[level(100, 5)]);
        gone.on_snapshot(B);
        assert_eq!(gone.at(A, Side::Sell, Price(100)), Qty(4));
        gone.on_levels(A, &[], &[level(100, 7)]);
        assert_eq!(gone.left(A, Side::Sell, level(100, 7)), level(100, 7));
        assert_eq!(gone.len(), 1);
    }

    #[test]
    fn a_snapshot_speaks_of_every_level_of_its_instrument() {
        let mut gone = Gone::new();
        for (id, price) in [(A, 100), (A, 101), (B, 100)] {
            gone.take(id, Side::Buy, Price(price), Qty(1));
        }
        gone.on_snapshot(A);
        assert_eq!((gone.len(), gone.at(B, Side::Buy, Price(100))), (1, Qty(1)));
        gone.on_snapshot(B);
        assert_eq!(
            gone,
            Gone {
                age: 3,
                ..Gone::new()
            }
        );
    }

    #[test]
    fn nothing_is_not_taken() {
        let mut gone = Gone::new();
        gone.take(A, Side::Buy, Price(1), Qty(0));
        gone.take(A, Side::Buy, Price(1), Qty(-5));
        assert!(gone.is_empty());
        gone.take(A, Side::Buy, Price(1), Qty(i64::MAX));
        gone.take(A, Side::Buy, Price(1), Qty(i64::MAX));
        assert_eq!(gone.left(A, Side::Buy, level(1, i64::MAX)).qty, Qty(0));
    }

    #[test]
    fn the_level_of_longest_ago_is_forgotten_first() {
        let mut gone = Gone::new();
        let most = i64::try_from(LEVELS_MAX).expect("small");
        for price in 0..most {
            gone.take(A, Side::Buy, Price(price), Qty(1));
        }
        gone.take(A, Side::Buy, Price(0), Qty(1));
        gone.take(A, Side::Buy, Price(most), Qty(1));
        let at = |price| gone.at(A, Side::Buy, Price(price)).0;
        assert_eq!((at(0), at(1), at(2), at(most)), (2, 0, 1, 1));
        assert_eq!((gone.len(), gone.ages.len()), (LEVELS_MAX, LEVELS_MAX));
    }

    proptest! {
        #[test]
        fn both_maps_hold_the_same(steps in prop::collection::vec((0..4_u8, 0..2_u16, any::<bool>(), 0..5_i64), 0..100)) {
            let mut gone = Gone::new();
            let mut naive: BTreeMap<Key, i64> = BTreeMap::new();
            for (kind, id, buy, price) in steps {
                let (id, side) = (InstrumentId(id), if buy { Side::Buy } else { Side::Sell });
                let own = [level(price, 1)];
                match kind {
                    0 | 1 => {
                        gone.take(id, side, Price(price), Qty(1));
                        *naive.entry((id, side, Price(price))).or_default() += 1;
                    }
                    2 => {
                        let (bids, asks): (&[Level], &[Level]) = if buy { (&own, &[]) } else { (&[], &own) };
                        gone.on_levels(id, bids, asks);
                        naive.remove(&(id, side, Price(price)));
                    }
                    _ => {
                        gone.on_snapshot(id);
                        naive.retain(|(i, _, _), _| *i != id);
                    }
                }
                prop_assert_eq!(gone.len(), naive.len());
                prop_assert_eq!(gone.ages.len(), naive.len());
                for ((id, side, price), qty) in &naive {
                    prop_assert_eq!(gone.at(*id, *side, *price), Qty(*qty));
                }
            }
        }
    }
}
