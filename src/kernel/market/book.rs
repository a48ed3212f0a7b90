//! An order book: two sides of levels, best price first for its readers.

use std::hash::{Hash, Hasher};

use super::levels::Levels;
use crate::kernel::event::Level;
use crate::kernel::types::{Price, Qty, Side};

/// Both sides of a market, at most `levels_max` (plus a little slack) levels each.
///
/// Levels outside of a snapshot become known only when they change, and levels beyond the cap are
/// forgotten: nobody may take this for the full book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    bids: Levels,
    asks: Levels,
    levels_max: usize,
}

impl Book {
    /// An empty book.
    pub fn new(levels_max: usize) -> Self {
        Self {
            bids: Levels::default(),
            asks: Levels::default(),
            levels_max,
        }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids = Levels::default();
        self.asks = Levels::default();
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
    #[inline]
    pub fn set(&mut self, side: Side, level: Level) {
        let max = self.levels_max;
        match side {
            Side::Buy => self.bids.set(rank_of(side, level.price), level.qty, max),
            Side::Sell => self.asks.set(rank_of(side, level.price), level.qty, max),
        }
    }

    /// Forgets all but the best `levels` of each side.
    pub fn cut(&mut self, levels: usize) {
        self.bids.cut(levels);
        self.asks.cut(levels);
    }

    /// Best bid.
    #[inline]
    pub fn best_bid(&self) -> Option<Level> {
        self.bids
            .best()
            .map(|(rank, qty)| level_of(Side::Buy, rank, qty))
    }

    /// Best ask.
    #[inline]
    pub fn best_ask(&self) -> Option<Level> {
        self.asks
            .best()
            .map(|(rank, qty)| level_of(Side::Sell, rank, qty))
    }

    /// Whether the best bid is at or above the best ask.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        matches!((self.best_bid(), self.best_ask()), (Some(b), Some(a)) if b.price >= a.price)
    }

    /// One side, best first.
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> + '_ {
        let levels = self.half(side).iter();
        levels.map(move |(rank, qty)| level_of(side, rank, qty))
    }

    /// The quantity at a price.
    pub fn qty_at(&self, side: Side, price: Price) -> Qty {
        self.half(side).get(rank_of(side, price))
    }

    /// The price of the last level that is known of a side; what lies beyond it nobody has told.
    pub fn worst(&self, side: Side) -> Option<Price> {
        let rank = self.half(side).worst()?;
        Some(level_of(side, rank, Qty::ZERO).price)
    }

    /// The quantity displayed at a price, zero between levels; `None` beyond the last known one.
    pub fn displayed(&self, side: Side, price: Price) -> Option<Qty> {
        let rank = rank_of(side, price);
        let half = self.half(side);
        (rank >= half.worst()?).then(|| half.get(rank))
    }

    #[inline]
    fn half(&self, side: Side) -> &Levels {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    /// Levels way between best bid and best ask, rounded down.
    #[inline]
    pub fn mid(&self) -> Option<Price> {
        let (bid, ask) = (self.best_bid()?, self.best_ask()?);
        Some(Price(bid.price.0.checked_add(ask.price.0)?.div_euclid(2)))
    }

    /// The worst price that a market order of `qty` would meet now; beyond the last stored level its price.
    pub fn worst_price_to_take(&self, side: Side, qty: Qty) -> Option<Price> {
        let mut left = qty;
        let mut worst = None;
        for level in self.levels(side.opposite()) {
            worst = Some(level.price);
            left = left.checked_sub(level.qty).unwrap_or(Qty::ZERO);
            if left == Qty::ZERO {
                break;
            }
        }
        worst
    }
}

impl Hash for Book {
    /// Of the levels alone: how they are stored is no part of it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        for side in [Side::Buy, Side::Sell] {
            let half = self.half(side);
            half.len().hash(state);
            for (rank, qty) in half.iter() {
                level_of(side, rank, qty).hash(state);
            }
        }
    }
}

/// A price as a number that grows towards the best price of its side.
#[inline]
fn rank_of(side: Side, price: Price) -> i64 {
    match side {
        Side::Buy => price.0,
        Side::Sell => !price.0,
    }
}

#[inline]
fn level_of(side: Side, rank: i64, qty: Qty) -> Level {
    let price = match side {
        Side::Buy => Price(rank),
        Side::Sell => Price(!rank),
    };
    Level { price, qty }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::BuildHasher as _;

    use proptest::prelude::*;

    use super::super::levels::SLACK;
    use super::*;

    /// Of a book of a thousand levels a side.
    const MEMORY_MAX: usize = 48 * 1_024;

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price(price),
            qty: Qty(qty),
        }
    }

    /// The naive twin: a map per side, by rank, cut by the same rule.
    #[derive(Default)]
    struct Naive {
        sides: [BTreeMap<i64, i64>; 2],
    }

    impl Naive {
        fn set(&mut self, side: Side, level: Level, levels_max: usize) {
            let map = &mut self.sides[usize::from(side == Side::Sell)];
            let rank = rank_of(side, level.price);
            if level.qty == Qty::ZERO {
                map.remove(&rank);
            } else {
                map.insert(rank, level.qty.0);
            }
            if map.len() > levels_max + SLACK {
                while map.len() > levels_max {
                    map.pop_first();
                }
            }
        }

        fn levels(&self, side: Side) -> Vec<Level> {
            let map = &self.sides[usize::from(side == Side::Sell)];
            let level = |(rank, qty): (&i64, &i64)| level_of(side, *rank, Qty(*qty));
            map.iter().rev().map(level).collect()
        }
    }

    fn hash_of(book: &Book) -> u64 {
        std::hash::BuildHasherDefault::<xxhash_rust::xxh3::Xxh3>::default().hash_one(book)
    }

    fn check(changes: &[(bool, i64, i64)], levels_max: usize) {
        let mut book = Book::new(levels_max);
        let mut naive = Naive::default();
        for (buy, price, qty) in changes {
            let side = if *buy { Side::Buy } else { Side::Sell };
            book.set(side, level(*price, *qty));
            naive.set(side, level(*price, *qty), levels_max);
            let kept = naive.sides[usize::from(!*buy)].get(&rank_of(side, Price(*price)));
            let kept = kept.copied().unwrap_or(0);
            assert_eq!(book.qty_at(side, Price(*price)), Qty(kept));
            let best = naive.sides[usize::from(!*buy)].last_key_value();
            let best = best.map(|(rank, qty)| level_of(side, *rank, Qty(*qty)));
            let ours = match side {
                Side::Buy => book.best_bid(),
                Side::Sell => book.best_ask(),
            };
            assert_eq!(ours, best);
        }
        for half in [&book.bids, &book.asks] {
            half.check();
        }
        let mut other = Book::new(levels_max);
        for side in [Side::Buy, Side::Sell] {
            let levels: Vec<_> = book.levels(side).collect();
            assert_eq!(book.levels(side).len(), levels.len());
            assert_eq!(levels, naive.levels(side));
            let worst = levels.last().map(|l| l.price);
            assert_eq!(book.worst(side), worst);
            if let Some(price) = worst {
                assert!(book.displayed(side, price) > Some(Qty::ZERO));
                let beyond = rank_of(side, price).checked_sub(1);
                let beyond = beyond.map(|rank| level_of(side, rank, Qty::ZERO).price);
                assert!(beyond.is_none_or(|p| book.displayed(side, p).is_none()));
            }
            levels.iter().rev().for_each(|l| other.set(side, *l));
        }
        // Other blocks, the same levels.
        assert_eq!(book, other);
        assert_eq!(hash_of(&book), hash_of(&other));
    }

    /// Prices that come in no order at all.
    fn scattered(count: i64, prices: i64) -> impl Iterator<Item = (bool, i64, i64)> {
        let mut state = 1_u64;
        (0..count).map(move |n| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let price = i64::try_from(state >> 33).expect("31 bits") % prices;
            (
                n % 3 == 0,
                price,
                i64::try_from(state >> 20 & 3).expect("2 bits"),
            )
        })
    }

    proptest! {
        #[test]
        fn equals_a_map(changes in prop::collection::vec((any::<bool>(), 1..50_i64, 0..4_i64), 0..300)) {
            check(&changes, 1_000);
        }

        /// Enough levels for blocks to split, to lean on their neighbours, and to join.
        #[test]
        fn equals_a_map_when_large(
            grow in prop::collection::vec((any::<bool>(), 1..2_000_i64, 0..8_i64), 0..2_000),
            shrink in prop::collection::vec((any::<bool>(), 1..2_000_i64, 0..2_i64), 0..2_000),
            levels_max in prop_oneof![Just(10_000_usize), 1..300_usize],
        ) {
            check(&[grow, shrink].concat(), levels_max);
        }

        #[test]
        fn the_ends_of_the_number_line_are_prices_too(
            changes in prop::collection::vec((
                any::<bool>(),
                prop_oneof![Just(i64::MIN), Just(i64::MAX), i64::MIN.., -99..99_i64],
                0..3_i64,
            ), 0..400),
        ) {
            check(&changes, 100);
        }
    }

    #[test]
    fn large_books_and_runs_of_one_direction_equal_a_map() {
        check(&scattered(60_000, 10_000).collect::<Vec<_>>(), 20_000);
        check(&scattered(60_000, 10_000).collect::<Vec<_>>(), 1_000);
        let up = |qty| (0..5_000).map(move |n| (true, n, qty));
        let down = |qty| (0..5_000).map(move |n| (true, 5_000 - n, qty));
        for max in [10, 1_000, 10_000] {
            check(&up(1).chain(up(0)).collect::<Vec<_>>(), max);
            check(&up(1).chain(down(0)).collect::<Vec<_>>(), max);
            check(
                &down(1).chain(up(0)).chain(down(2)).collect::<Vec<_>>(),
                max,
            );
        }
    }

    #[test]
    fn a_thousand_levels_a_side_stay_small() {
        let mut book = Book::new(1_000);
        for (buy, price, qty) in scattered(200_000, 4_000) {
            let side = if buy { Side::Buy } else { Side::Sell };
            book.set(side, level(price, qty));
            assert!(book.bids.bytes() + book.asks.bytes() <= MEMORY_MAX);
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
