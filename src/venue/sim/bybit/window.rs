//! The best levels of a book, and what changed between two of them.

use std::cmp::Ordering;

use crate::kernel::event::Level;
use crate::kernel::types::{Price, Qty, Time};
use crate::venue::sim::symbol::{Change, Symbol};

/// A book topic: its window as its subscribers know it.
#[derive(Debug)]
pub(super) struct BookTopic {
    pub(super) name: String,
    pub(super) depth: usize,
    pub(super) pace: i64,
    /// The source has it: its frames are sent as they are, and only greetings are written here.
    pub(super) recorded: bool,
    /// Update id of the window.
    pub(super) u: u64,
    pub(super) sent: Time,
    pub(super) window: Option<Window>,
}

impl BookTopic {
    pub(super) const fn new(name: String, depth: usize, pace: i64, recorded: bool) -> Self {
        Self {
            name,
            depth,
            pace,
            recorded,
            u: 0,
            sent: Time::ZERO,
            window: None,
        }
    }

    /// Follows a recorded frame of this topic, of this update id.
    pub(super) fn take(&mut self, symbol: &Symbol, change: &Change, u: u64) {
        match change {
            Change::Snapshot(snapshot) => {
                let mut window = Window {
                    bids: snapshot.bids.clone(),
                    asks: snapshot.asks.clone(),
                    seq: snapshot.seq,
                    changed: symbol.book_time,
                };
                window
                    .bids
                    .sort_by_key(|level| std::cmp::Reverse(level.price));
                window.asks.sort_by_key(|level| level.price);
                self.u = u;
                self.window = Some(window);
            }
            Change::Depth(delta) => {
                if let Some(window) = &mut self.window {
                    for level in &delta.bids {
                        set(&mut window.bids, *level, |a, b| b.cmp(&a));
                    }
                    for level in &delta.asks {
                        set(&mut window.asks, *level, |a, b| a.cmp(&b));
                    }
                    window.bids.truncate(self.depth);
                    window.asks.truncate(self.depth);
                    window.seq = delta.seq;
                    window.changed = symbol.book_time;
                    self.u = u;
                }
            }
            _ => {}
        }
    }
}

fn set(side: &mut Vec<Level>, level: Level, order: impl Fn(Price, Price) -> Ordering) {
    match side.binary_search_by(|have| order(have.price, level.price)) {
        Ok(at) if level.qty == Qty::ZERO => {
            side.remove(at);
        }
        Ok(at) => {
            if let Some(have) = side.get_mut(at) {
                *have = level;
            }
        }
        Err(_) if level.qty == Qty::ZERO => {}
        Err(at) => side.insert(at, level),
    }
}

/// Levels of both sides, best first; in a difference, levels to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
    /// What orders it among all topics.
    pub(super) seq: u64,
    /// When the book changed last.
    pub(super) changed: Time,
}

impl Window {
    /// The best `depth` levels of a symbol's book. The very best ones may be newer than the rest of
    /// the book, so a window of one is made of them.
    pub(super) fn of(symbol: &Symbol, depth: usize) -> Self {
        let (bids, asks, seq) = match symbol.quote {
            Some(quote) if depth == 1 => (vec![quote.bid], vec![quote.ask], quote.update_id),
            _ => (
                symbol.book.bids().take(depth).collect(),
                symbol.book.asks().take(depth).collect(),
                symbol.book.last_id(),
            ),
        };
        Self {
            bids,
            asks,
            seq,
            changed: symbol.book_time,
        }
    }

    /// Whether the levels are the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.bids == other.bids && self.asks == other.asks
    }

    /// Whether there is nothing to set.
    pub(super) fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// What turns `old` into this window. Levels that were pushed out by better ones are deleted as
    /// well.
    pub(super) fn since(&self, old: &Self) -> Self {
        Self {
            bids: changes(&old.bids, &self.bids, |a, b| b.cmp(&a)),
            asks: changes(&old.asks, &self.asks, |a, b| a.cmp(&b)),
            seq: self.seq,
            changed: self.changed,
        }
    }
}

/// Merges two sorted sides; `better` orders prices best first.
fn changes(old: &[Level], new: &[Level], order: impl Fn(Price, Price) -> Ordering) -> Vec<Level> {
    let gone = |level: &Level| Level {
        price: level.price,
        qty: Qty::ZERO,
    };
    let mut changed = Vec::new();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changed,
            (Some(_), None) => changed.extend(old.next().map(gone)),
            (None, Some(_)) => changed.extend(new.next()),
            (Some(before), Some(after)) => match order(before.price, after.price) {
                Ordering::Less => changed.extend(old.next().map(gone)),
                Ordering::Greater => changed.extend(new.next()),
                Ordering::Equal => {
                    if before.qty != after.qty {
                        changed.push(**after);
                    }
                    old.next();
                    new.next();
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(levels: &[(i64, i64)]) -> Vec<Level> {
        let level = |&(price, qty): &(i64, i64)| Level {
            price: Price(price),
            qty: Qty(qty),
        };
        levels.iter().map(level).collect()
    }

    #[test]
    fn a_difference_deletes_what_was_pushed_out() {
        let old = side(&[(10, 1), (11, 2), (13, 3)]);
        let new = side(&[(9, 5), (10, 1), (11, 4)]);
        let delta = changes(&old, &new, |a, b| a.cmp(&b));
        assert_eq!(delta, side(&[(9, 5), (11, 4), (13, 0)]));
        // Applied to the old side it is the new one.
        let mut applied = old;
        for level in delta {
            set(&mut applied, level, |a, b| a.cmp(&b));
        }
        assert_eq!(applied, new);
    }
}
