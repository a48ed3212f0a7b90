//! Where faults are ordered and looked up, and what was done is written down.
//!
//! Invariants: faults and log are bounded; a fault that is over never happens again; what happens
//! depends on the order of events and the seed alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Fault, FaultKind, MarketKind, Target, Trigger};
use crate::kernel::types::Time;
use crate::venue::sim::synthetic::Random;

/// Faults at a time; further ones take the place of the oldest.
const ARMED_MAX: usize = 1_024;
/// Entries of the log.
const LOG_MAX: usize = 16_384;
/// The stream of draws that chances come from.
const DRAWS: u64 = 0xfa17;

/// A fault that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u64);

/// Something that was done on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// Which fault.
    pub fault: FaultId,
    /// Its kind's name.
    pub kind: &'static str,
    /// In which market.
    pub market: MarketKind,
    /// On which stream or REST endpoint; empty where it is about connections.
    pub name: String,
    /// The venue's id in the message: last update id of depth (`u`), id of a trade; zero without one.
    pub id: u64,
    /// The connection, where it is about one.
    pub connection: Option<u64>,
    /// When, in market time.
    pub at: Time,
}

/// What a fault may happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::venue::sim) enum Occasion {
    /// A frame of the source has been played.
    Frame,
    /// A depth frame of the source is about to be told.
    Depth,
    /// A message is about to be sent.
    Message,
    /// A REST request.
    Request,
    /// A subscription.
    Subscribe,
    /// A connection's beginning.
    Join,
}

/// An occasion in full.
#[derive(Debug, Clone, Copy)]
pub(in crate::venue::sim) struct Event<'a> {
    pub(in crate::venue::sim) occasion: Occasion,
    pub(in crate::venue::sim) market: MarketKind,
    /// Stream or endpoint.
    pub(in crate::venue::sim) name: &'a str,
    /// The venue's id.
    pub(in crate::venue::sim) id: u64,
    /// The number of the frame, or depth frame.
    pub(in crate::venue::sim) frame: u64,
    pub(in crate::venue::sim) now: Time,
    /// Time since the market's first event.
    pub(in crate::venue::sim) age: i64,
    /// The connection, where there is one already.
    pub(in crate::venue::sim) connection: Option<u64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::venue::sim) struct Order {
    pub(in crate::venue::sim) fault: FaultId,
    pub(in crate::venue::sim) kind: FaultKind,
    pub(in crate::venue::sim) target: Target,
    /// When it is over; `None` is never.
    pub(in crate::venue::sim) until: Option<Time>,
    pub(in crate::venue::sim) lasts: Option<Duration>,
}

#[derive(Debug)]
struct Armed {
    id: FaultId,
    fault: Fault,
    seen: u64,
    fired: u64,
    /// Since it began.
    until: Option<Time>,
}

#[derive(Debug)]
struct Inner {
    armed: Vec<Armed>,
    log: VecDeque<Injected>,
    forgotten: u64,
    lifted: Vec<FaultId>,
    random: Random,
    next: u64,
}

/// The desk.
#[derive(Debug)]
pub(in crate::venue::sim) struct Desk {
    inner: Mutex<Inner>,
    /// How many faults are armed: nothing is locked while there are none.
    armed: AtomicUsize,
    /// Rung when something was ordered.
    pub(in crate::venue::sim) ordered: Notify,
    /// Rung when something was done.
    done: Notify,
}

impl Desk {
    /// A desk with these faults.
    pub(in crate::venue::sim) fn new(seed: u64, faults: Vec<Fault>) -> Self {
        let desk = Self {
            inner: Mutex::new(Inner {
                armed: Vec::new(),
                log: VecDeque::new(),
                forgotten: 0,
                lifted: Vec::new(),
                random: Random::new(seed, DRAWS),
                next: 1,
            }),
            armed: AtomicUsize::new(0),
            ordered: Notify::new(),
            done: Notify::new(),
        };
        for fault in faults {
            desk.order(fault);
        }
        desk
    }

    /// Orders a fault.
    pub(in crate::venue::sim) fn order(&self, fault: Fault) -> FaultId {
        let mut inner = self.inner.lock();
        let id = FaultId(inner.next);
        inner.next += 1;
        if inner.armed.len() >= ARMED_MAX {
            inner.armed.remove(0);
        }
        inner.armed.push(Armed {
            id,
            fault,
            seen: 0,
            fired: 0,
            until: None,
        });
        self.armed.store(inner.armed.len(), Ordering::Release);
        drop(inner);
        self.ordered.notify_one();
        id
    }

    /// Ends a fault early; `false` if it was over.
    pub(in crate::venue::sim) fn lift(&self, id: FaultId) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.armed.len();
        inner.armed.retain(|armed| armed.id != id);
        self.armed.store(inner.armed.len(), Ordering::Release);
        if inner.lifted.len() >= ARMED_MAX {
            inner.lifted.remove(0);
        }
        inner.lifted.push(id);
        inner.armed.len() < before
    }

    /// Whether a fault was ended early: what it held back is free.
    pub(in crate::venue::sim) fn was_lifted(&self, id: FaultId) -> bool {
        self.inner.lock().lifted.contains(&id)
    }

    /// What is to be done at this event, written down already.
    pub(in crate::venue::sim) fn orders(&self, event: &Event<'_>) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.armed.load(Ordering::Acquire) == 0 {
            return orders;
        }
        let mut inner = self.inner.lock();
        let Inner { armed, random, .. } = &mut *inner;
        armed.retain_mut(|armed| {
            let (fires, over) = armed.look(event, random);
            if fires {
                orders.push(Order {
                    fault: armed.id,
                    kind: armed.fault.kind,
                    target: armed.fault.target.clone(),
                    until: armed.until,
                    lasts: armed.fault.lasts,
                });
            }
            !over
        });
        self.armed.store(inner.armed.len(), Ordering::Release);
        for order in &orders {
            let injected = Injected {
                fault: order.fault,
                kind: order.kind.name(),
                market: event.market,
                name: event.name.to_owned(),
                id: event.id,
                connection: order.target.connection.or(event.connection),
                at: event.now,
            };
            tracing::info!(
                "fault on demand: {} {} {} {}",
                injected.kind,
                injected.market,
                injected.name,
                injected.id
            );
            if inner.log.len() >= LOG_MAX {
                inner.log.pop_front();
                inner.forgotten += 1;
            }
            inner.log.push_back(injected);
        }
        drop(inner);
        if !orders.is_empty() {
            self.done.notify_waiters();
        }
        orders
    }

    /// What was done, oldest first, and how many entries were forgotten.
    pub(in crate::venue::sim) fn log(&self) -> (Vec<Injected>, u64) {
        let inner = self.inner.lock();
        (inner.log.iter().cloned().collect(), inner.forgotten)
    }

    /// Waits until a fault has happened, and says how the first time.
    pub(in crate::venue::sim) async fn happened(&self, id: FaultId) -> Injected {
        loop {
            let done = self.done.notified();
            let found = {
                let inner = self.inner.lock();
                inner.log.iter().find(|entry| entry.fault == id).cloned()
            };
            if let Some(found) = found {
                return found;
            }
            done.await;
        }
    }
}

impl Armed {
    /// Whether it happens at this event, and whether it is over with it.
    fn look(&mut self, event: &Event<'_>, random: &mut Random) -> (bool, bool) {
        let fault = &self.fault;
        if !concerns(fault, event.occasion) || !fault.target.fits(event.market, self.name(event)) {
            return (false, false);
        }
        if let (Some(only), Some(connection)) = (fault.target.connection, event.connection)
            && only != connection
        {
            return (false, false);
        }
        if let Some(until) = self.until
            && event.now >= until
        {
            return (false, true);
        }
        self.seen += 1;
        let begins = match fault.trigger {
            Trigger::Now => true,
            Trigger::Frame(n) => event.frame >= n,
            Trigger::Nth(n) => self.seen >= n,
            Trigger::At(after) => u128::from(event.age.unsigned_abs()) >= after.as_nanos(),
            Trigger::Rate(chance) => random.chance(chance),
        };
        if !begins && self.until.is_none() {
            return (false, false);
        }
        if self.until.is_none() {
            self.until = fault.lasts.map(|lasts| {
                event
                    .now
                    .plus(i64::try_from(lasts.as_nanos()).unwrap_or(i64::MAX))
            });
        }
        self.fired += 1;
        let standing = matches!(
            fault.kind,
            FaultKind::Life { .. } | FaultKind::Silence | FaultKind::Stall
        ) || matches!(fault.trigger, Trigger::Rate(_))
            || (fault.lasts.is_some() && !fault.kind.ends_or_holds_connections());
        let most = fault.count.unwrap_or(if standing { u64::MAX } else { 1 });
        // A stall is over by its time or when it is lifted: what it held is sent then.
        (true, self.fired >= most)
    }

    /// The name that the target's pattern is about: a fault of connections that waits for frames or
    /// time looks for the connections' streams later.
    fn name<'a>(&'a self, event: &Event<'a>) -> &'a str {
        match (&self.fault.target.name, event.occasion) {
            (Some(pattern), Occasion::Frame | Occasion::Join | Occasion::Depth) => &pattern.0,
            _ => event.name,
        }
    }
}

/// Whether a fault may happen at such an occasion.
fn concerns(fault: &Fault, occasion: Occasion) -> bool {
    let by_message = matches!(fault.trigger, Trigger::Nth(_) | Trigger::Rate(_));
    match fault.kind {
        FaultKind::Drop
        | FaultKind::Duplicate
        | FaultKind::Reorder
        | FaultKind::Delay(_)
        | FaultKind::Stall
        | FaultKind::Truncate
        | FaultKind::FlipBit => occasion == Occasion::Message,
        FaultKind::DropDepth => occasion == Occasion::Depth,
        FaultKind::Silence => occasion == Occasion::Subscribe,
        FaultKind::Life { .. } => occasion == Occasion::Join,
        FaultKind::Status { .. } => occasion == Occasion::Request,
        FaultKind::Cut
        | FaultKind::Close(_)
        | FaultKind::Deaf
        | FaultKind::Mute
        | FaultKind::Shutdown(_)
        | FaultKind::Restart
        | FaultKind::Resend => {
            occasion
                == if by_message {
                    Occasion::Message
                } else {
                    Occasion::Frame
                }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::types::SECOND;

    fn message(name: &str, id: u64, seconds: i64) -> Event<'_> {
        Event {
            occasion: Occasion::Message,
            market: MarketKind::Usdm,
            name,
            id,
            frame: 0,
            now: Time((1_000 + seconds) * SECOND),
            age: seconds * SECOND,
            connection: None,
        }
    }

    /// Ids of the messages, one a second, that a fault happens to.
    fn hit(text: &str) -> Vec<u64> {
        let desk = Desk::new(7, vec![text.parse().expect("fault")]);
        for id in 1..=10 {
            let seconds = i64::try_from(id).expect("small");
            desk.orders(&message("x@trade", 100 + id, seconds));
            desk.orders(&message("x@depth", id, seconds));
        }
        let (log, forgotten) = desk.log();
        assert_eq!(forgotten, 0);
        log.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn target_trigger_and_extent_decide() {
        for (text, ids) in [
            ("drop@/x@depth:n=3", vec![3]),
            ("drop@/x@depth", vec![1]),
            ("drop@/*depth:n=3:count=2", vec![3, 4]),
            ("drop@/x@depth:at=4s:for=3s", vec![4, 5, 6]),
            ("drop@binance-usdm/x@depth:n=9:for=1h", vec![9, 10]),
            ("drop@binance/x@depth", vec![]),
            ("drop@/y@depth", vec![]),
            ("drop@/x@depth:p=1", (1..=10).collect()),
            ("status:code=500", vec![]),
        ] {
            assert_eq!(hit(text), ids, "{text}");
        }
        let some = hit("drop@/x@depth:p=0.5");
        assert_eq!(some, hit("drop@/x@depth:p=0.5"), "the seed decides");
        assert!((1..10).contains(&some.len()), "{some:?}");
    }

    #[test]
    fn a_lifted_fault_is_over() {
        let desk = Desk::new(1, Vec::new());
        let id = desk.order("stall@/x@depth".parse().expect("fault"));
        assert_eq!(desk.orders(&message("x@depth", 1, 1)).len(), 1);
        assert!(desk.lift(id) && !desk.lift(id) && desk.was_lifted(id));
        assert!(desk.orders(&message("x@depth", 2, 2)).is_empty());
    }
}
