//! Keeps a book in step with its venue: buffer, snapshot, replay, then verify every update.
//!
//! Sources: Binance spot and USDⓈ-M, "How to manage a local order book correctly"; Bybit v5, "Orderbook".
//! Every update names the one that it follows ([`DepthDelta::prev_id`]), so one rule serves all venues:
//! what follows something unseen is a gap, what lies behind us is a repetition. The book is valid only
//! while every update since the snapshot was seen; any doubt makes it invalid at once.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::book::Book;
use crate::kernel::event::{BookFault, DepthDelta, DepthSnapshot, Quote};
use crate::kernel::types::Side;

/// Updates that wait for a snapshot at most.
const BUFFER_MAX: usize = 8_192;

/// A book and whether it can be trusted.
#[derive(Debug)]
pub struct SyncedBook {
    book: Book,
    state: State,
    last_id: u64,
    /// What orders the last applied event among the venue's streams.
    seq: u64,
    /// Levels a side that the stream shows, where it shows a window.
    window: Option<u16>,
    quote: Option<Quote>,
    fault: Option<BookFault>,
    was_valid: bool,
    /// Depth events applied.
    pub updates: u64,
    /// Holes found in the sequence.
    pub gaps: u64,
    /// Times the book became valid again.
    pub resyncs: u64,
    /// Times it was found crossed.
    pub crossed: u64,
}

#[derive(Debug)]
enum State {
    /// Waiting for a snapshot; updates that came meanwhile.
    Waiting(VecDeque<DepthDelta>),
    /// Every update since the snapshot was applied.
    Valid,
}

/// What an event did to the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing that a reader could see.
    Unchanged,
    /// The book changed and is valid.
    Changed,
    /// The book became valid.
    BecameValid,
    /// The book cannot be trusted (any more): a snapshot is needed.
    NeedsSnapshot(BookFault),
}

impl SyncedBook {
    /// An empty book that waits for its first snapshot.
    pub fn new(levels_max: usize) -> Self {
        Self {
            book: Book::new(levels_max),
            state: State::Waiting(VecDeque::new()),
            last_id: 0,
            seq: 0,
            window: None,
            quote: None,
            fault: None,
            was_valid: false,
            updates: 0,
            gaps: 0,
            resyncs: 0,
            crossed: 0,
        }
    }

    /// The book, if it can be trusted.
    #[inline]
    pub fn valid(&self) -> Option<&Book> {
        matches!(self.state, State::Valid).then_some(&self.book)
    }

    /// Why the book is not valid; `None` while it is, or before its first snapshot.
    pub fn fault(&self) -> Option<BookFault> {
        self.fault
    }

    /// Update id of the last applied event.
    pub fn last_id(&self) -> u64 {
        self.last_id
    }

    /// What orders the last applied event among the venue's streams.
    #[inline]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A difference came.
    pub fn delta(&mut self, delta: &DepthDelta) -> Step {
        match &mut self.state {
            State::Waiting(buffer) => {
                if buffer.back().is_some_and(|b| delta.last_id <= b.last_id) {
                    return Step::Unchanged; // repeated
                }
                if buffer.back().is_some_and(|b| delta.prev_id > b.last_id) {
                    self.gaps = self.gaps.saturating_add(1);
                    buffer.clear();
                }
                if buffer.len() >= BUFFER_MAX {
                    return self.invalidate(BookFault::BufferFull);
                }
                buffer.push_back(delta.clone());
                Step::Unchanged
            }
            State::Valid if delta.last_id <= self.last_id => Step::Unchanged,
            State::Valid if delta.prev_id > self.last_id => {
                self.gaps = self.gaps.saturating_add(1);
                let step = self.invalidate(BookFault::Gap);
                if let State::Waiting(buffer) = &mut self.state {
                    buffer.push_back(delta.clone());
                }
                step
            }
            State::Valid => {
                self.apply(delta);
                self.verify()
                    .map_or(Step::Changed, |fault| self.invalidate(fault))
            }
        }
    }

    /// A snapshot came. One from REST joins a book that waits and is ignored by a valid one; the
    /// stream's own replaces whatever is here.
    pub fn snapshot(&mut self, snapshot: &DepthSnapshot) -> Step {
        self.window = snapshot.window;
        if snapshot.window.is_some() {
            let was_valid = matches!(self.state, State::Valid);
            self.replace(snapshot);
            return match self.verify() {
                Some(fault) => self.invalidate(fault),
                None if was_valid => Step::Changed,
                None => self.became_valid(),
            };
        }
        let State::Waiting(buffer) = &mut self.state else {
            return Step::Unchanged;
        };
        if buffer
            .front()
            .is_some_and(|first| first.prev_id > snapshot.last_id)
        {
            // Keep the buffer: the next snapshot will be newer.
            self.fault = Some(BookFault::SnapshotTooOld);
            return Step::NeedsSnapshot(BookFault::SnapshotTooOld);
        }
        let buffer = std::mem::take(buffer);
        self.replace(snapshot);
        for delta in buffer.iter().filter(|d| d.last_id > snapshot.last_id) {
            // The buffer has no hole, so the first one left joins the snapshot.
            self.apply(delta);
        }
        match self.verify() {
            Some(fault) => self.invalidate(fault),
            None => self.became_valid(),
        }
    }

    fn replace(&mut self, snapshot: &DepthSnapshot) {
        self.book.replace(&snapshot.bids, &snapshot.asks);
        self.last_id = snapshot.last_id;
        self.seq = snapshot.seq;
        self.state = State::Valid;
    }

    fn became_valid(&mut self) -> Step {
        self.fault = None;
        if std::mem::replace(&mut self.was_valid, true) {
            self.resyncs = self.resyncs.saturating_add(1);
        }
        Step::BecameValid
    }

    /// The venue's own best prices: a free check whenever both speak of the same update.
    pub fn quote(&mut self, quote: Quote) -> Step {
        self.quote = Some(quote);
        match self.state {
            State::Valid => self
                .verify()
                .map_or(Step::Unchanged, |fault| self.invalidate(fault)),
            State::Waiting(_) => Step::Unchanged,
        }
    }

    /// Whatever is here must not be trusted any more.
    pub fn invalidate(&mut self, fault: BookFault) -> Step {
        self.crossed = self
            .crossed
            .saturating_add(u64::from(fault == BookFault::Crossed));
        self.book.clear();
        self.state = State::Waiting(VecDeque::new());
        self.fault = Some(fault);
        Step::NeedsSnapshot(fault)
    }

    fn apply(&mut self, delta: &DepthDelta) {
        for level in &delta.bids {
            self.book.set(Side::Buy, *level);
        }
        for level in &delta.asks {
            self.book.set(Side::Sell, *level);
        }
        if let Some(window) = self.window {
            // What better levels pushed out of the window is no longer kept up to date.
            self.book.cut(usize::from(window));
        }
        self.last_id = delta.last_id;
        self.seq = delta.seq;
        self.updates = self.updates.saturating_add(1);
    }

    #[inline]
    fn verify(&self) -> Option<BookFault> {
        if self.book.is_crossed() {
            return Some(BookFault::Crossed);
        }
        let quote = self.quote.filter(|q| q.update_id == self.last_id)?;
        let same =
            self.book.best_bid() == Some(quote.bid) && self.book.best_ask() == Some(quote.ask);
        (!same).then_some(BookFault::TickerMismatch)
    }
}

impl Hash for SyncedBook {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.book.hash(state);
        matches!(self.state, State::Valid).hash(state);
        (
            self.last_id,
            self.seq,
            self.window,
            self.updates,
            self.gaps,
            self.resyncs,
            self.quote,
            self.fault,
        )
            .hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::Level;
    use crate::kernel::types::{Price, Qty};

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price(price),
            qty: Qty(qty),
        }
    }

    fn delta(first_id: u64, last_id: u64, bid: i64) -> DepthDelta {
        DepthDelta {
            prev_id: first_id - 1,
            first_id,
            last_id,
            seq: last_id,
            bids: vec![level(bid, 1)],
            asks: vec![],
        }
    }

    fn snapshot(last_id: u64) -> DepthSnapshot {
        DepthSnapshot {
            last_id,
            seq: last_id,
            window: None,
            bids: vec![level(10, 1)],
            asks: vec![level(100, 1)],
        }
    }

    fn synced() -> SyncedBook {
        let mut book = SyncedBook::new(100);
        assert_eq!(book.snapshot(&snapshot(100)), Step::BecameValid);
        book
    }

    #[test]
    fn buffered_updates_join_the_snapshot() {
        let mut book = SyncedBook::new(100);
        for d in [delta(90, 95, 11), delta(96, 103, 12), delta(104, 104, 13)] {
            assert_eq!(book.delta(&d), Step::Unchanged);
        }
        assert_eq!(book.valid(), None);
        assert_eq!(book.snapshot(&snapshot(100)), Step::BecameValid);
        // The first one lies before the snapshot and was dropped.
        assert_eq!((book.updates, book.last_id(), book.gaps), (2, 104, 0));
        assert_eq!(book.valid().and_then(Book::best_bid), Some(level(13, 1)));
        assert_eq!(
            book.valid().map(|b| b.qty_at(Side::Buy, Price(11))),
            Some(Qty::ZERO)
        );
    }

    #[test]
    fn a_gap_is_seen_at_once_and_healed_by_a_snapshot() {
        let mut book = synced();
        assert_eq!(book.delta(&delta(101, 102, 11)), Step::Changed);
        assert_eq!(
            book.delta(&delta(104, 105, 12)),
            Step::NeedsSnapshot(BookFault::Gap)
        );
        assert_eq!((book.valid(), book.gaps), (None, 1));
        assert_eq!(book.delta(&delta(106, 106, 13)), Step::Unchanged);
        assert_eq!(
            book.snapshot(&snapshot(101)),
            Step::NeedsSnapshot(BookFault::SnapshotTooOld)
        );
        assert_eq!(book.snapshot(&snapshot(104)), Step::BecameValid);
        assert_eq!((book.last_id(), book.gaps, book.resyncs), (106, 1, 1));
    }

    #[test]
    fn repeated_and_overlapping_updates_do_no_harm() {
        let mut book = synced();
        assert_eq!(book.delta(&delta(99, 100, 50)), Step::Unchanged);
        assert_eq!(book.delta(&delta(99, 101, 11)), Step::Changed);
        assert_eq!(book.delta(&delta(99, 101, 11)), Step::Unchanged);
        assert_eq!(book.snapshot(&snapshot(500)), Step::Unchanged);
        assert_eq!(book.last_id(), 101);
    }

    #[test]
    fn a_crossed_book_and_a_contradicting_ticker_are_faults() {
        let mut book = synced();
        assert_eq!(
            book.delta(&delta(101, 101, 100)),
            Step::NeedsSnapshot(BookFault::Crossed)
        );
        let mut book = synced();
        let quote = |id, bid| Quote {
            update_id: id,
            bid: level(bid, 1),
            ask: level(100, 1),
        };
        assert_eq!(book.quote(quote(100, 10)), Step::Unchanged);
        assert_eq!(
            book.quote(quote(101, 11)),
            Step::Unchanged,
            "a later ticker proves nothing"
        );
        assert_eq!(book.delta(&delta(101, 101, 11)), Step::Changed);
        assert_eq!(
            book.quote(quote(101, 12)),
            Step::NeedsSnapshot(BookFault::TickerMismatch)
        );
    }

    #[test]
    fn futures_updates_join_by_the_id_that_they_follow() {
        let linked = |prev_id, first_id, last_id, bid| DepthDelta {
            prev_id,
            ..delta(first_id, last_id, bid)
        };
        let mut book = SyncedBook::new(100);
        // Ids jump: the first one lies before the snapshot, the second one spans it.
        book.delta(&linked(80, 85, 90, 11));
        book.delta(&linked(90, 97, 105, 12));
        assert_eq!(book.snapshot(&snapshot(100)), Step::BecameValid);
        assert_eq!((book.last_id(), book.updates), (105, 1));
        assert_eq!(book.delta(&linked(105, 120, 130, 13)), Step::Changed);
        assert_eq!(book.delta(&linked(105, 120, 130, 13)), Step::Unchanged);
        assert_eq!(
            book.delta(&linked(131, 132, 140, 14)),
            Step::NeedsSnapshot(BookFault::Gap)
        );
    }

    #[test]
    fn a_snapshot_of_the_stream_replaces_whatever_is_there() {
        let windowed = |last_id| DepthSnapshot {
            window: Some(2),
            bids: vec![level(10, 1), level(9, 1)],
            ..snapshot(last_id)
        };
        let mut book = SyncedBook::new(100);
        assert_eq!(book.snapshot(&windowed(50)), Step::BecameValid);
        assert_eq!(book.delta(&delta(51, 51, 11)), Step::Changed);
        let bids = |book: &SyncedBook| {
            let book = book.valid().expect("valid");
            book.levels(Side::Buy)
                .map(|l| l.price.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(bids(&book), [11, 10], "cut to the window");
        // The service was restarted and counts anew.
        assert_eq!(book.snapshot(&windowed(1)), Step::Changed);
        assert_eq!((bids(&book), book.last_id()), (vec![10, 9], 1));
        assert_eq!(book.delta(&delta(2, 2, 12)), Step::Changed);
        assert_eq!(
            book.delta(&delta(4, 4, 12)),
            Step::NeedsSnapshot(BookFault::Gap)
        );
        assert_eq!(book.snapshot(&windowed(9)), Step::BecameValid);
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut book = SyncedBook::new(10);
        let mut full = 0;
        for id in 1..20_001 {
            full += usize::from(
                book.delta(&delta(id, id, 1)) == Step::NeedsSnapshot(BookFault::BufferFull),
            );
        }
        assert_eq!(full, 2);
    }
}
