//! The thread that owns the engine: drains the queues, steps, journals, publishes, answers, sleeps.
//!
//! It waits for nobody. The journal, the feeds and the callers are other threads behind bounded
//! queues; a full journal queue stops orders that add risk, never the loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::mailbox::{KernelInbox, TaskQueue};
use crate::engine::Engine;
use crate::journal::JournalHandle;
use crate::kernel::event::{
    Command, Correlation, Effect, Effects, Input, MarketEvent, Notice, Outcome, Reply, Seq,
    Sequenced, Stamped,
};
use crate::kernel::snapshot::Published;
use crate::kernel::types::{InstrumentId, MILLISECOND, Time};
use crate::status::{JournalStatus, KernelStatus};
use crate::trace::Probe;

/// Market events stepped between two looks at the other queues.
const MARKET_BATCH: usize = 512;
/// Commands stepped between two looks at the reports.
const COMMAND_BATCH: usize = 128;
/// Longest sleep: the heartbeat must go on.
const SLEEP_NS_MAX: i64 = 100 * MILLISECOND;

/// What the kernel thread is connected to.
#[derive(Debug)]
pub struct Wiring {
    /// Its queues.
    pub inbox: KernelInbox,
    /// Where records go; taken when the thread ends. Without one nothing survives it.
    pub journal: Option<JournalHandle>,
    /// How far they are durable.
    pub journal_status: Arc<JournalStatus>,
    /// Where views go.
    pub published: Arc<Published>,
    /// Where requests for snapshots go, by instrument; `None` without a feed.
    pub resync: Vec<Option<Arc<TaskQueue<InstrumentId>>>>,
    /// Where notices go; full, they are dropped: nothing depends on them.
    pub notices: Arc<TaskQueue<Notice>>,
    /// What it says of itself.
    pub status: Arc<KernelStatus>,
    /// The clock that stamps inputs.
    pub clock: Clock,
    /// Tells of sampled orders; `None` where nothing is traced.
    pub trace: Option<Probe>,
    /// How long it spins before it sleeps, in nanoseconds.
    pub spin_ns: i64,
}

/// Starts the thread. A panic in it aborts the process at once: its state cannot be trusted.
pub fn spawn(
    engine: Engine,
    first: Effects,
    wiring: Wiring,
) -> std::io::Result<JoinHandle<Engine>> {
    std::thread::Builder::new()
        .name("kernel".to_owned())
        .spawn(move || {
            let run = std::panic::AssertUnwindSafe(|| Shell::new(engine, wiring).run(first));
            std::panic::catch_unwind(run).unwrap_or_else(|_| {
                tracing::error!("the kernel thread panicked; aborting, the journal has everything");
                std::process::abort()
            })
        })
}

struct Shell {
    engine: Engine,
    wiring: Wiring,
    effects: Effects,
    /// Records that the journal's queue had no room for.
    backlog: Vec<Sequenced>,
    journal_full: bool,
    durable: Seq,
    next_correlation: u64,
    callers: BTreeMap<Correlation, oneshot::Sender<Outcome>>,
    /// Answers that wait for their records to be durable.
    replies: VecDeque<Reply>,
    resync: BTreeSet<InstrumentId>,
    last_time: Time,
    step_seconds: metrics::Histogram,
    queue_seconds: metrics::Histogram,
}

impl Shell {
    fn new(engine: Engine, wiring: Wiring) -> Self {
        let durable = wiring.journal_status.durable();
        Self {
            engine,
            wiring,
            effects: Effects::new(),
            backlog: Vec::new(),
            journal_full: false,
            durable,
            next_correlation: 0,
            callers: BTreeMap::new(),
            replies: VecDeque::new(),
            resync: BTreeSet::new(),
            last_time: Time::ZERO,
            step_seconds: metrics::histogram!("hean_stage_seconds", "stage" => "step"),
            queue_seconds: metrics::histogram!("hean_stage_seconds", "stage" => "queue"),
        }
    }

    fn run(mut self, first: Effects) -> Engine {
        self.wiring.inbox.bell().adopt();
        self.effects = first;
        self.engine
            .kernel_mut()
            .publish_all(&Arc::clone(&self.wiring.published));
        self.flush();
        let mut idle_since = None;
        loop {
            self.wiring.status.heartbeat.set(self.wiring.clock.now());
            if self.round() {
                idle_since = None;
                continue;
            }
            if self.wiring.inbox.is_closed() && self.drained() {
                break;
            }
            let now = self.wiring.clock.now();
            let since = *idle_since.get_or_insert(now);
            if now.since(since) < self.wiring.spin_ns {
                std::hint::spin_loop();
            } else {
                self.sleep(now);
            }
        }
        if let Some(journal) = self.wiring.journal.take() {
            journal.close();
        }
        self.engine
    }

    /// One look at every queue. Whether there was anything.
    fn round(&mut self) -> bool {
        let began = self.wiring.clock.now();
        let mut steps = 0_u64;
        let durable = self.wiring.journal_status.durable();
        if durable > self.durable {
            self.durable = durable;
            self.step(Input::Journaled { through: durable });
            steps += 1;
        }
        steps += u64::from(self.tell_full());
        while let Some(report) = self.wiring.inbox.report() {
            self.step(Input::Report(report));
            steps += 1;
        }
        let mut lost = Vec::new();
        self.wiring
            .inbox
            .take_lost(|instrument, data| lost.push((instrument, data)));
        for (instrument, data) in lost {
            let now = self.wiring.clock.now();
            let event = MarketEvent {
                instrument,
                venue_time: now,
                received: now,
                data,
            };
            self.step(Input::Market(event));
            steps += 1;
        }
        for _ in 0..COMMAND_BATCH {
            let Some(envelope) = self.wiring.inbox.command() else {
                break;
            };
            let correlation = Correlation(self.next_correlation);
            self.next_correlation += 1;
            self.callers.insert(correlation, envelope.reply);
            self.step(Input::Command(Command {
                correlation,
                kind: envelope.kind,
            }));
            steps += 1;
        }
        for first in 0..MARKET_BATCH {
            let Some((event, decoded)) = self.wiring.inbox.market() else {
                break;
            };
            if first == 0 {
                // The first one has waited longest.
                let waited = began.since(event.received).max(0);
                self.queue_seconds.record(waited as f64 / 1e9);
            }
            self.step_decoded(Input::Market(event), decoded);
            steps += 1;
        }
        let now = self.wiring.clock.now();
        if self.engine.deadline().is_some_and(|due| due <= now) {
            self.step(Input::Tick);
            steps += 1;
        }
        if steps > 0 {
            self.wiring.status.steps.fetch_add(steps, Ordering::Relaxed);
            let took = self.wiring.clock.now().since(began) as f64 / 1e9;
            self.step_seconds.record(took / steps as f64);
            self.flush();
        } else if !self.backlog.is_empty() {
            self.journal(Vec::new());
        }
        steps > 0
    }

    fn step(&mut self, input: Input) {
        self.step_decoded(input, None);
    }

    fn step_decoded(&mut self, input: Input, decoded: Option<Time>) {
        // The clock cannot go back, but two reads of it may be equal: fine, times never go back.
        self.last_time = self.last_time.max(self.wiring.clock.now());
        let first = self.effects.len();
        let stamped = Stamped {
            time: self.last_time,
            input,
        };
        self.engine.step(&stamped, &mut self.effects);
        if let Some(probe) = &mut self.wiring.trace {
            let made = self.effects.get(first..).unwrap_or_default();
            probe.stepped(&stamped, decoded, made, &self.wiring.clock);
        }
    }

    /// Hands out the effects of a round: journal, then views, then answers.
    fn flush(&mut self) {
        let mut records = Vec::new();
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Record(record) => records.push(record),
                Effect::Reply(reply) => self.replies.push_back(reply),
                Effect::Resync(instrument) => {
                    self.resync.insert(instrument);
                }
                Effect::Notice(notice) => drop(self.wiring.notices.offer(notice)),
                Effect::Submit { .. } => unreachable!("the engine keeps these for its venue"),
            }
        }
        // Keeps its room; what `journal` adds below comes behind.
        self.effects = effects;
        self.journal(records);
        self.engine.kernel_mut().publish(&self.wiring.published);
        let queues = &self.wiring.resync;
        self.resync.retain(|id| match queues.get(id.index()) {
            Some(Some(queue)) => queue.offer(*id).is_err(),
            _ => false,
        });
        while self
            .replies
            .front()
            .is_some_and(|reply| reply.after <= self.durable)
        {
            let Some(reply) = self.replies.pop_front() else {
                break;
            };
            if let Some(caller) = self.callers.remove(&reply.correlation) {
                // A caller that gave up finds its order in the views.
                drop(caller.send(reply.outcome));
            }
        }
    }

    fn journal(&mut self, mut records: Vec<Sequenced>) {
        if !self.backlog.is_empty() {
            self.backlog.append(&mut records);
            records = std::mem::take(&mut self.backlog);
        }
        if records.is_empty() {
            return;
        }
        let Some(journal) = &self.wiring.journal else {
            // Nobody keeps anything: there is nothing to wait for.
            if let Some(last) = records.last() {
                self.wiring.journal_status.set_durable(last.seq);
                self.durable = last.seq;
            }
            return;
        };
        if let Err(back) = journal.append(records) {
            self.backlog = back;
        }
        self.tell_full();
    }

    /// Tells the kernel that the journal is full: its queue, or its disk. Whether that was news.
    fn tell_full(&mut self) -> bool {
        let full = !self.backlog.is_empty() || self.wiring.journal_status.is_full();
        let news = full != self.journal_full;
        if news {
            self.journal_full = full;
            self.step(Input::JournalFull(full));
        }
        news
    }

    fn drained(&self) -> bool {
        let seq = self.engine.kernel().ledger().seq();
        !self.wiring.inbox.has_work()
            && self.backlog.is_empty()
            && self.durable == seq
            && self.engine.is_settled()
    }

    fn sleep(&self, now: Time) {
        let until = self
            .engine
            .deadline()
            .map_or(SLEEP_NS_MAX, |due| due.since(now));
        let until = if self.backlog.is_empty() {
            until
        } else {
            MILLISECOND
        };
        let until = u64::try_from(until.clamp(1, SLEEP_NS_MAX)).unwrap_or(1);
        let (inbox, journal, durable) = (
            &self.wiring.inbox,
            &self.wiring.journal_status,
            self.durable,
        );
        let (told, quiet) = (self.journal_full, self.backlog.is_empty());
        let ready = || {
            inbox.has_work() || journal.durable() > durable || (quiet && journal.is_full() != told)
        };
        inbox.bell().wait(Duration::from_nanos(until), ready);
    }
}
