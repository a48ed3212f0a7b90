//! The simulated venue's own order book of a symbol: what its REST snapshot serves.
//!
//! Invariant: the book holds exactly what the depth events up to `last_id` say, on top of the
//! snapshot it began with. It is never behind what clients were sent.

use std::collections::BTreeMap;

use crate::kernel::event::{DepthDelta, DepthSnapshot, Level, Quote};
use crate::kernel::types::{Price, Qty};

/// Levels a side that are kept; what lies further from the best price is dropped.
const LEVELS_MAX: usize = 20_000;

/// Price levels of both sides.
#[derive(Debug, Default)]
pub(super) struct Book {
    bids: BTreeMap<Price, Qty>,
    asks: BTreeMap<Price, Qty>,
    last_id: u64,
}

impl Book {
    /// Replaces the book.
    pub(super) fn reset(&mut self, snapshot: &DepthSnapshot) {
        self.bids.clear();
        self.asks.clear();
        self.last_id = snapshot.last_id;
        set(&mut self.bids, &snapshot.bids);
        set(&mut self.asks, &snapshot.asks);
    }

    /// Applies an event, unless the book contains it already. A gap in a recording is a gap of the
    /// recorder, not of this book: what the events give is what is served.
    pub(super) fn apply(&mut self, delta: &DepthDelta) -> bool {
        if delta.last_id <= self.last_id {
            return false;
        }
        self.last_id = delta.last_id;
        set(&mut self.bids, &delta.bids);
        set(&mut self.asks, &delta.asks);
        while self.bids.len() > LEVELS_MAX {
            self.bids.pop_first();
        }
        while self.asks.len() > LEVELS_MAX {
            self.asks.pop_last();
        }
        true
    }

    /// Last update id that the book contains.
    pub(super) const fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Bids, best first.
    pub(super) fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.bids.iter().rev().map(level)
    }

    /// Asks, best first.
    pub(super) fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.asks.iter().map(level)
    }

    /// Best bid and ask; `None` while a side is empty.
    pub(super) fn quote(&self) -> Option<Quote> {
        Some(Quote {
            update_id: self.last_id,
            bid: self.bids().next()?,
            ask: self.asks().next()?,
        })
    }
}

fn level((price, qty): (&Price, &Qty)) -> Level {
    Level {
        price: *price,
        qty: *qty,
    }
}

fn set(side: &mut BTreeMap<Price, Qty>, levels: &[Level]) {
    for level in levels {
        if level.qty == Qty::ZERO {
            side.remove(&level.price);
        } else {
            side.insert(level.price, level.qty);
        }
    }
}
