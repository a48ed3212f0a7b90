//! Between a reader and the kernel: open, or holding events back while the connection that shall be
//! replaced still delivers.
//!
//! Before an old connection is given up, a new one is subscribed and its events are held. Once the old
//! one has delivered all that came before the first held event of each stream, it is ended, and the held
//! events are let through: nothing is missed, and what both brought is recognised by its ids.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Shared;
use super::streams::Feeding;
use crate::kernel::event::{MarketData, MarketEvent};
use crate::kernel::types::Time;
use crate::venue::protocol::TopicKind;

/// Events that are held back at most; a connection that brings more is let through as it is.
const HELD_MAX: usize = 100_000;

/// The way of one connection's events to the kernel.
#[derive(Debug)]
pub(super) struct Gate {
    open: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    events: Vec<MarketEvent>,
    /// Raw frames, to be recorded when their events are let through.
    frames: Vec<(Time, Box<[u8]>)>,
}

impl Gate {
    pub(super) fn new(open: bool) -> Self {
        Self {
            open: AtomicBool::new(open),
            held: Mutex::default(),
        }
    }

    /// Whether events go straight to the kernel.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// An event came, and was decoded then.
    pub(super) fn pass(&self, shared: &Shared, event: MarketEvent, decoded: Time) {
        if self.open.load(Ordering::Acquire) {
            return deliver(shared, event, Some(decoded));
        }
        let mut held = self.held.lock();
        // It may have been opened meanwhile.
        if self.open.load(Ordering::Acquire) {
            drop(held);
            return deliver(shared, event, Some(decoded));
        }
        held.events.push(event);
        if held.events.len() >= HELD_MAX {
            self.release(shared, &mut held);
        }
    }

    /// A raw frame came; it is recorded where its place in the order is.
    pub(super) fn record(&self, shared: &Shared, received: Time, frame: &[u8]) {
        let Some(recorder) = &shared.config.recorder else {
            return;
        };
        let venue = shared.status.venue;
        if self.open.load(Ordering::Acquire) {
            return recorder.frame(venue, received, frame);
        }
        let mut held = self.held.lock();
        if self.open.load(Ordering::Acquire) || held.frames.len() >= HELD_MAX {
            return recorder.frame(venue, received, frame);
        }
        held.frames.push((received, frame.into()));
    }

    /// Whether everything before the first held event of each stream has been delivered.
    pub(super) fn caught_up(&self, shared: &Shared) -> bool {
        let held = self.held.lock();
        let mut seen: Vec<(usize, TopicKind)> = Vec::new();
        for event in &held.events {
            let Some(feeding) = shared.feeding(event.instrument) else {
                continue;
            };
            let (kind, joins) = match &event.data {
                MarketData::Depth(delta) => {
                    let joins = feeding.depth_id.load(Ordering::Relaxed) >= delta.prev_id;
                    (TopicKind::Depth, joins)
                }
                MarketData::Snapshot(snapshot) => {
                    let joins = feeding.depth_id.load(Ordering::Relaxed) >= snapshot.last_id;
                    (TopicKind::Depth, joins)
                }
                MarketData::Trade(trade) => {
                    let id = feeding.trade_id.load(Ordering::Relaxed);
                    let joins = if feeding.instrument.name.venue.numbers_trades() {
                        id.saturating_add(1) >= trade.id
                    } else {
                        let at = feeding.traded_at.load(Ordering::Relaxed);
                        id == trade.id || at > trade.time.0
                    };
                    (TopicKind::Trades, joins)
                }
                MarketData::OffBook(id) => {
                    let delivered = feeding.trade_id.load(Ordering::Relaxed);
                    (TopicKind::Trades, delivered.saturating_add(1) >= *id)
                }
                _ => continue,
            };
            let stream = (event.instrument.index(), kind);
            if seen.contains(&stream) {
                continue;
            }
            if !joins {
                return false;
            }
            seen.push(stream);
        }
        true
    }

    /// Lets everything through, from now on directly.
    pub(super) fn open(&self, shared: &Shared) {
        let mut held = self.held.lock();
        self.release(shared, &mut held);
    }

    fn release(&self, shared: &Shared, held: &mut Held) {
        if let Some(recorder) = &shared.config.recorder {
            for (received, frame) in held.frames.drain(..) {
                recorder.frame(shared.status.venue, received, &frame);
            }
        }
        for event in std::mem::take(&mut held.events) {
            let reached = |f: &Feeding, last_id| f.depth_id.load(Ordering::Relaxed) >= last_id;
            // The book is further already, and goes on from the updates behind this snapshot; unless
            // the venue was restarted and counts from one.
            if let MarketData::Snapshot(snapshot) = &event.data
                && snapshot.last_id > 1
                && let Some(feeding) = shared.feeding(event.instrument)
                && !feeding.wants_book.load(Ordering::Relaxed)
                && reached(feeding, snapshot.last_id)
            {
                feeding.awaits_snapshot.set(Time::ZERO);
                continue;
            }
            deliver(shared, event, None);
        }
        shared.kernel.ring();
        self.open.store(true, Ordering::Release);
    }
}

fn deliver(shared: &Shared, event: MarketEvent, decoded: Option<Time>) {
    if let Some(feeding) = shared.feeding(event.instrument) {
        feeding.note(&event);
    }
    shared.kernel.offer_decoded(event, decoded);
}
