//! What the order book was before: two sorted vectors, best price at the end. Kept to compare with.

use hean::kernel::event::Level;
use hean::kernel::types::{Qty, Side};

/// Both sides.
#[derive(Default)]
pub(crate) struct SortedVectors {
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl SortedVectors {
    /// Sets or, with a quantity of zero, removes a level.
    pub(crate) fn set(&mut self, side: Side, level: Level, levels_max: usize) {
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
            (Ok(at), qty) => levels[at].qty = qty,
            (Err(_), Qty::ZERO) => {}
            (Err(at), _) => {
                levels.insert(at, level);
                if levels.len() > levels_max + 64 {
                    let excess = levels.len() - levels_max;
                    levels.drain(..excess);
                }
            }
        }
    }

    /// Levels of both sides.
    pub(crate) fn len(&self) -> usize {
        self.bids.len() + self.asks.len()
    }
}
