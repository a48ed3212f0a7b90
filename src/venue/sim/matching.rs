//! How an order that takes liquidity eats a book. The one place where this is written: paper orders
//! against live or recorded books and the synthetic market's own aggressors both come through here.
//!
//! Pure: no clock, no I/O, no randomness.

use crate::kernel::event::Level;
use crate::kernel::types::{Price, Qty, Side};

/// What a taker gets from a book.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Executions, best price first.
    pub executions: Vec<Level>,
    /// What found no counterpart at an acceptable price.
    pub remaining: Qty,
}

/// Whether a taker of `side` with limit `limit` trades at `price`.
pub fn acceptable(side: Side, limit: Option<Price>, price: Price) -> bool {
    match (side, limit) {
        (_, None) => true,
        (Side::Buy, Some(limit)) => price <= limit,
        (Side::Sell, Some(limit)) => price >= limit,
    }
}

/// Walks the opposite side of the book (`levels`, best first) with an order of `qty`.
///
/// Levels without quantity are passed over; the walk ends at the first unacceptable price.
pub fn take(
    levels: impl IntoIterator<Item = Level>,
    side: Side,
    limit: Option<Price>,
    qty: Qty,
) -> Taken {
    let mut taken = Taken {
        executions: Vec::new(),
        remaining: qty,
    };
    for level in levels {
        if taken.remaining == Qty::ZERO || !acceptable(side, limit, level.price) {
            break;
        }
        let qty = level.qty.min(taken.remaining);
        if qty > Qty::ZERO {
            taken.executions.push(Level {
                price: level.price,
                qty,
            });
            taken.remaining = taken.remaining.checked_sub(qty).unwrap_or(Qty::ZERO);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price(price),
            qty: Qty(qty),
        }
    }

    #[test]
    fn a_market_order_walks_the_book() {
        let book = [level(100, 5), level(101, 0), level(102, 5)];
        let taken = take(book, Side::Buy, None, Qty(8));
        assert_eq!(taken.executions, [level(100, 5), level(102, 3)]);
        assert_eq!(taken.remaining, Qty::ZERO);
    }

    #[test]
    fn a_limit_stops_the_walk_and_leaves_the_rest() {
        let asks = [level(100, 5), level(102, 5)];
        let taken = take(asks, Side::Buy, Some(Price(101)), Qty(8));
        assert_eq!(
            (taken.executions, taken.remaining),
            (vec![level(100, 5)], Qty(3))
        );
        let bids = [level(100, 5), level(98, 5)];
        let taken = take(bids, Side::Sell, Some(Price(101)), Qty(8));
        assert_eq!((taken.executions, taken.remaining), (vec![], Qty(8)));
    }
}
