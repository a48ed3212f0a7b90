//! Bounded lock-free queues with a doorbell.
//!
//! A sender never blocks. What happens when a queue is full is part of its type: market data is
//! dropped and counted (and the instrument told so), commands are refused, reports wait.
//! A crossbeam `recv` would block a tokio worker, so receivers are woken by a bell instead:
//! [`Bell`] unparks the kernel thread, [`tokio::sync::Notify`] wakes a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use tokio::sync::{Notify, oneshot};

pub use super::bell::Bell;
use super::lost::LostMarks;
use crate::kernel::event::{
    CommandKind, LossReason, Lost, MarketData, MarketEvent, Outcome, VenueReport,
};
use crate::kernel::types::{InstrumentId, Time};

/// A caller's command on its way to the kernel, with the place for the answer.
#[derive(Debug)]
pub struct Envelope {
    /// What the caller wants.
    pub kind: CommandKind,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Outcome>,
}

/// The command queue is full: answer 503 with `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command queue is full; try again in a second")]
pub struct Busy;

/// The sending side of the kernel's three queues. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KernelHandle(Arc<Shared>);

/// The kernel's side of its queues. There is one.
#[derive(Debug)]
pub struct KernelInbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// With when each was decoded, where it came from a decoder.
    market: ArrayQueue<(MarketEvent, Option<Time>)>,
    reports: ArrayQueue<VenueReport>,
    commands: ArrayQueue<Envelope>,
    report_space: Notify,
    /// Whose data was dropped since the kernel looked last.
    lost: LostMarks,
    market_dropped: AtomicU64,
    commands_refused: AtomicU64,
    closed: AtomicBool,
    bell: Arc<Bell>,
}

/// Queue capacities, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacities {
    /// Market data.
    pub market: usize,
    /// Venue reports.
    pub reports: usize,
    /// Commands.
    pub commands: usize,
}

impl Default for Capacities {
    fn default() -> Self {
        Self {
            market: 16_384,
            reports: 4_096,
            commands: 4_096,
        }
    }
}

/// Makes the kernel's queues for `instruments` instruments.
pub fn kernel_queues(capacities: Capacities, instruments: usize) -> (KernelHandle, KernelInbox) {
    let shared = Arc::new(Shared {
        market: ArrayQueue::new(capacities.market),
        reports: ArrayQueue::new(capacities.reports),
        commands: ArrayQueue::new(capacities.commands),
        report_space: Notify::new(),
        lost: LostMarks::new(instruments),
        market_dropped: AtomicU64::new(0),
        commands_refused: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        bell: Arc::new(Bell::default()),
    });
    (KernelHandle(Arc::clone(&shared)), KernelInbox(shared))
}

impl KernelHandle {
    /// Queues market data without ringing; ring once after a batch. When the queue is full the
    /// event is dropped and counted, and the kernel marks the instrument invalid.
    pub fn offer_market(&self, event: MarketEvent) -> bool {
        self.offer_decoded(event, None)
    }

    /// The same for an event that comes straight from a decoder, with the time at which it was ready.
    pub fn offer_decoded(&self, event: MarketEvent, decoded: Option<Time>) -> bool {
        let instrument = event.instrument;
        if self.0.market.push((event, decoded)).is_ok() {
            return true;
        }
        self.0.market_dropped.fetch_add(1, Ordering::Relaxed);
        self.0.lost.mark(instrument.index());
        false
    }

    /// Wakes the kernel if it sleeps.
    pub fn ring(&self) {
        self.0.bell.ring();
    }

    /// The bell that wakes the kernel thread, for those who tell it something by another way.
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.0.bell)
    }

    /// Queues a venue report, waiting for space as long as it takes: reports are never dropped.
    pub async fn report(&self, report: VenueReport) {
        let mut report = report;
        loop {
            let space = self.0.report_space.notified();
            match self.0.reports.push(report) {
                Ok(()) => {
                    self.0.bell.ring();
                    return;
                }
                Err(back) => report = back,
            }
            space.await;
        }
    }

    /// Queues a command; the receiver gets the outcome. Refused when the queue is full or the
    /// kernel is shutting down.
    pub fn command(&self, kind: CommandKind) -> Result<oneshot::Receiver<Outcome>, Busy> {
        let (reply, outcome) = oneshot::channel();
        if self.0.closed.load(Ordering::Acquire)
            || self.0.commands.push(Envelope { kind, reply }).is_err()
        {
            self.0.commands_refused.fetch_add(1, Ordering::Relaxed);
            return Err(Busy);
        }
        self.0.bell.ring();
        Ok(outcome)
    }

    /// Lets the kernel thread finish what is queued and end.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.bell.ring();
    }

    /// Messages waiting: market, reports, commands.
    pub fn depths(&self) -> [(&'static str, usize); 3] {
        [
            ("market", self.0.market.len()),
            ("reports", self.0.reports.len()),
            ("commands", self.0.commands.len()),
        ]
    }

    /// Messages dropped or refused since the start, by queue.
    pub fn dropped(&self) -> [(&'static str, u64); 2] {
        [
            ("market", self.0.market_dropped.load(Ordering::Relaxed)),
            ("commands", self.0.commands_refused.load(Ordering::Relaxed)),
        ]
    }
}

impl KernelInbox {
    /// The bell to sleep on.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// Next venue report. Reports are drained before everything else.
    pub fn report(&self) -> Option<VenueReport> {
        let report = self.0.reports.pop();
        if report.is_some() {
            self.0.report_space.notify_waiters();
        }
        report
    }

    /// Next command.
    pub fn command(&self) -> Option<Envelope> {
        self.0.commands.pop()
    }

    /// Next market event, and when it was decoded, if that is known.
    pub fn market(&self) -> Option<(MarketEvent, Option<Time>)> {
        self.0.market.pop()
    }

    /// Instruments whose data was dropped since the last call, as events for the kernel.
    pub fn take_lost(&self, mut each: impl FnMut(InstrumentId, MarketData)) {
        self.0.lost.take(|index| {
            each(
                InstrumentId(index),
                MarketData::Lost(LossReason::QueueFull, Lost::All),
            );
        });
    }

    /// Whether [`KernelHandle::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Whether anything waits.
    pub fn has_work(&self) -> bool {
        !self.0.market.is_empty()
            || !self.0.reports.is_empty()
            || !self.0.commands.is_empty()
            || self.0.lost.any()
    }
}

/// A bounded queue towards a tokio task.
#[derive(Debug)]
pub struct TaskQueue<T> {
    queue: ArrayQueue<T>,
    bell: Notify,
    refused: AtomicU64,
}

impl<T> TaskQueue<T> {
    /// An empty queue of `capacity` messages.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(capacity),
            bell: Notify::new(),
            refused: AtomicU64::new(0),
        })
    }

    /// Queues a message and wakes the task; gives it back when the queue is full. Never blocks.
    pub fn offer(&self, message: T) -> Result<(), T> {
        if let Err(back) = self.queue.push(message) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(back);
        }
        self.bell.notify_one();
        Ok(())
    }

    /// Messages given back because the queue was full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The next message; waits for one. One task only. Cancel-safe.
    pub async fn next(&self) -> T {
        loop {
            if let Some(message) = self.queue.pop() {
                return message;
            }
            self.bell.notified().await;
        }
    }

    /// The next message if there is one.
    pub fn try_next(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(instrument: u16) -> MarketEvent {
        MarketEvent {
            instrument: InstrumentId(instrument),
            venue_time: Time::ZERO,
            received: Time::ZERO,
            data: MarketData::Lost(LossReason::Disconnected, Lost::All),
        }
    }

    #[test]
    fn a_full_market_queue_marks_the_instrument_once() {
        let (handle, inbox) = kernel_queues(
            Capacities {
                market: 1,
                reports: 1,
                commands: 1,
            },
            2,
        );
        assert!(handle.offer_market(event(0)));
        assert!(!handle.offer_market(event(1)));
        assert!(!handle.offer_market(event(1)));
        let mut lost = Vec::new();
        inbox.take_lost(|id, _| lost.push(id));
        inbox.take_lost(|id, _| lost.push(id));
        assert_eq!(lost, [InstrumentId(1)]);
        assert_eq!(handle.dropped()[0], ("market", 2));
    }

    #[tokio::test]
    async fn a_report_waits_for_space_and_is_not_dropped() {
        use crate::kernel::event::ReportKind;
        use crate::kernel::orders::OrderId;
        let (handle, inbox) = kernel_queues(
            Capacities {
                market: 1,
                reports: 1,
                commands: 1,
            },
            0,
        );
        let report = |id| VenueReport {
            order: OrderId(id),
            time: Time::ZERO,
            kind: ReportKind::NotFound,
        };
        handle.report(report(1)).await;
        let waiting = tokio::spawn({
            let handle = handle.clone();
            async move { handle.report(report(2)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(inbox.report().map(|r| r.order), Some(OrderId(1)));
        waiting.await.expect("sender");
        assert_eq!(inbox.report().map(|r| r.order), Some(OrderId(2)));
    }

    #[test]
    fn a_rung_sleeper_wakes() {
        let (handle, inbox) = kernel_queues(
            Capacities {
                market: 4,
                reports: 1,
                commands: 1,
            },
            1,
        );
        let kernel = std::thread::spawn(move || {
            inbox.bell().adopt();
            let mut seen = 0;
            while seen < 1_000 {
                inbox
                    .bell()
                    .wait(Duration::from_mins(1), || inbox.has_work());
                while inbox.market().is_some() {
                    seen += 1;
                }
            }
            seen
        });
        let mut sent = 0;
        while sent < 1_000 {
            if handle.offer_market(event(0)) {
                sent += 1;
            }
            handle.ring();
        }
        assert_eq!(kernel.join().expect("kernel"), 1_000);
    }
}
