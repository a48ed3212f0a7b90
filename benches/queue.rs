//! From another thread through the queue: a caller gives the kernel thread an order and waits for the
//! decision. Beside it, in turns, the bare way there and back over the same kind of queue and the same
//! bell, with nobody who decides anything.
//!
//! Spinning, no side ever sleeps. Parked, the answering thread sleeps before each question, so that the
//! time has its wake-up in it. The caller spins in both.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use hean::engine::Engine;
use hean::kernel::KernelConfig;
use hean::kernel::event::{
    Command, CommandKind, Correlation, DepthSnapshot, Effects, Input, Level, MarketData,
    MarketEvent, Outcome, Stamped, Wait,
};
use hean::kernel::orders::{OrderSpec, OrderType, Size};
use hean::kernel::risk::RiskLimits;
use hean::kernel::snapshot::Published;
use hean::kernel::types::{InstrumentId, Money, Price, Qty, Rate, SECOND, Side, Time};
use hean::runtime::bell::Bell;
use hean::runtime::clock::Clock;
use hean::runtime::kernel_thread::{self, Wiring};
use hean::runtime::mailbox::{Capacities, KernelHandle, TaskQueue, kernel_queues};
use hean::status::{JournalStatus, KernelStatus};

use crate::latency::{self, Latencies, Stages, Stopwatch};
use crate::{recordings, step};

/// Turns of either side; a pair of threads is started anew for each.
const TURNS: usize = 5;
/// So long nobody asks, that the answering thread is asleep.
const PAUSE_NS: u64 = 50_000;
/// Longest sleep without a ring.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// A turn ends after its samples or after this: on a machine where others want the same processors, a
/// spinning side may stand still for milliseconds.
const TURN_MAX_NS: u64 = 2_000_000_000;
/// So many questions between two new books, and between two looks at the time.
const BOOK_EACH: u64 = 64;
/// Longer than any turn.
const SPIN_FOR_EVER_NS: i64 = 3_600 * SECOND;

/// How the answering thread waits for a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Spinning,
    Parked,
}

pub(crate) fn bench(measure: bool) {
    let watch = Stopwatch::new();
    alone(&watch, if measure { 100_000 } else { 100 });
    for (waiting, count, title) in [
        (
            Waiting::Spinning,
            100_000,
            "through the queue and back, both sides spin",
        ),
        (
            Waiting::Parked,
            5_000,
            "through the queue and back, the answering thread sleeps first",
        ),
    ] {
        let count = if measure { count } else { 50 };
        let mut bare = Latencies::new(count * TURNS);
        let mut refused = Latencies::new(count * TURNS);
        let mut filled = Latencies::new(count * TURNS);
        for _ in 0..TURNS {
            ping_pong(&watch, waiting, count, &mut bare);
            kernel(&watch, waiting, count, (&mut refused, &mut filled));
        }
        latency::head(title);
        drop(writeln!(
            std::io::stdout().lock(),
            "  ({} round trips, {} orders of each kind)",
            bare.len(),
            filled.len()
        ));
        let bare = bare.print("bare ping-pong");
        for (name, mut latencies) in [
            ("order to refusal by risk", refused),
            ("market order to its fill", filled),
        ] {
            let spread = latencies.print(name);
            drop(writeln!(
                std::io::stdout().lock(),
                "  {:<44} {:>8.2}x {:>9} {:>8.2}x",
                "  of the ping-pong",
                spread.p50 as f64 / bare.p50.max(1) as f64,
                "",
                spread.p99 as f64 / bare.p99.max(1) as f64,
            ));
        }
        watch.print_cost(count);
    }
}

/// A thread that sends back what it is sent.
struct Echo {
    there: ArrayQueue<u64>,
    back: ArrayQueue<u64>,
    bell: Bell,
    closed: AtomicBool,
}

fn ping_pong(watch: &Stopwatch, waiting: Waiting, count: usize, out: &mut Latencies) {
    let echo = Arc::new(Echo {
        there: ArrayQueue::new(Capacities::default().commands),
        back: ArrayQueue::new(Capacities::default().commands),
        bell: Bell::default(),
        closed: AtomicBool::new(false),
    });
    let thread = std::thread::spawn({
        let echo = Arc::clone(&echo);
        move || {
            echo.bell.adopt();
            while !echo.closed.load(Ordering::Acquire) {
                if let Some(message) = echo.there.pop() {
                    echo.back.push(message).expect("one at a time");
                } else if waiting == Waiting::Parked {
                    let ready = || !echo.there.is_empty() || echo.closed.load(Ordering::Acquire);
                    echo.bell.wait(SLEEP_MAX, ready);
                } else {
                    std::hint::spin_loop();
                }
            }
        }
    });
    let start = watch.now();
    for number in 0..count as u64 {
        if watch.ns(start, watch.now()) > TURN_MAX_NS {
            break;
        }
        if waiting == Waiting::Parked {
            watch.spin(PAUSE_NS);
        }
        let began = watch.now();
        echo.there.push(number).expect("one at a time");
        echo.bell.ring();
        let answer = loop {
            if let Some(answer) = echo.back.pop() {
                break answer;
            }
            std::hint::spin_loop();
        };
        let ended = watch.now();
        assert_eq!(answer, number);
        out.record(watch.ns(began, ended));
    }
    echo.closed.store(true, Ordering::Release);
    echo.bell.ring();
    thread.join().expect("the echo");
}

fn order(side: Side, qty: i64) -> CommandKind {
    let size = Size::Base(Qty(qty));
    let spec = OrderSpec::new(InstrumentId(0), side, OrderType::Market, size);
    let order = Arc::new(spec);
    let wait = Wait::Venue;
    CommandKind::Place { order, wait }
}

/// Without a bound on orders a second: it would be what is measured.
fn config() -> KernelConfig {
    let limits = RiskLimits {
        orders_per_second_max: 0,
        // Thousands of market orders pay the spread.
        daily_loss_max: Money::ZERO,
        drawdown_max: Rate(0),
        ..RiskLimits::default()
    };
    KernelConfig {
        limits,
        ..KernelConfig::default()
    }
}

/// What the kernel's work for the same orders takes with no queue and no other thread.
fn alone(watch: &Stopwatch, count: usize) {
    for (qty, title) in [
        (0, "the refusal by risk, in one thread"),
        (100_000, "the market order to its fill, in one thread"),
    ] {
        let config = config();
        let instrument = recordings::instrument(2, 8);
        let published = Published::new(vec![instrument.clone()], &config.intervals);
        let mut engine = step::engine(config, instrument);
        let mut effects = Effects::new();
        let time = Time(2);
        let input = Input::Market(book(time));
        engine.step(&Stamped { time, input }, &mut effects);
        engine.kernel_mut().publish_all(&published);
        let mut stages = Stages::new(watch, &["engine step", "publication"], count);
        for number in 0..count as u64 {
            let input = Input::Command(Command {
                correlation: Correlation(number),
                kind: order(side(number), qty),
            });
            let stamped = Stamped { time, input };
            effects.clear();
            stages.begin();
            engine.step(&stamped, &mut effects);
            stages.lap();
            engine.kernel_mut().publish(&published);
            stages.lap();
        }
        stages.print(title);
    }
}

fn book(now: Time) -> MarketEvent {
    let level = |price| Level {
        price: Price(price),
        qty: Qty(i64::MAX / 4),
    };
    MarketEvent {
        instrument: InstrumentId(0),
        venue_time: now,
        received: now,
        data: MarketData::Snapshot(Box::new(DepthSnapshot {
            last_id: 1,
            seq: 1,
            window: None,
            bids: vec![level(6_000_000)],
            asks: vec![level(6_000_001)],
        })),
    }
}

/// Buys and sells in turns, so that no position grows.
fn side(number: u64) -> Side {
    if number.is_multiple_of(2) {
        Side::Buy
    } else {
        Side::Sell
    }
}

/// A running kernel thread without a journal, and its views.
struct Kernel {
    handle: KernelHandle,
    published: Arc<Published>,
    clock: Clock,
    thread: JoinHandle<Engine>,
}

impl Kernel {
    fn start(waiting: Waiting) -> Self {
        let config = config();
        let instrument = recordings::instrument(2, 8);
        let published = Arc::new(Published::new(vec![instrument.clone()], &config.intervals));
        let (handle, inbox) = kernel_queues(Capacities::default(), 1);
        let clock = Clock::start();
        let wiring = Wiring {
            inbox,
            journal: None,
            journal_status: Arc::new(JournalStatus::default()),
            published: Arc::clone(&published),
            resync: vec![None],
            notices: TaskQueue::new(4_096),
            status: Arc::new(KernelStatus::default()),
            clock: clock.clone(),
            trace: None,
            spin_ns: match waiting {
                Waiting::Spinning => SPIN_FOR_EVER_NS,
                Waiting::Parked => 0,
            },
        };
        let engine = step::engine(config, instrument);
        let thread = kernel_thread::spawn(engine, Effects::new(), wiring).expect("a thread");
        Self {
            handle,
            published,
            clock,
            thread,
        }
    }

    /// Brings a book that every market order finds enough in, and that is not old yet.
    fn book(&self) {
        let taken = self.handle.offer_market(book(self.clock.now()));
        assert!(taken, "an empty queue");
        self.handle.ring();
        while self.handle.depths()[0].1 > 0 {
            std::hint::spin_loop();
        }
    }

    /// One order there and its outcome back, with the time that took.
    fn ask(&self, watch: &Stopwatch, command: CommandKind) -> (Outcome, u64) {
        let began = watch.now();
        let mut outcome = self.handle.command(command).expect("room");
        let outcome = loop {
            if let Ok(outcome) = outcome.try_recv() {
                break outcome;
            }
            std::hint::spin_loop();
        };
        let ended = watch.now();
        (outcome, watch.ns(began, ended))
    }
}

fn kernel(
    watch: &Stopwatch,
    waiting: Waiting,
    count: usize,
    (refused, filled): (&mut Latencies, &mut Latencies),
) {
    let kernel = Kernel::start(waiting);
    let start = watch.now();
    for number in 0..count as u64 {
        if number.is_multiple_of(BOOK_EACH) {
            if watch.ns(start, watch.now()) > TURN_MAX_NS {
                break;
            }
            kernel.book();
        }
        for (qty, out) in [(0, &mut *refused), (100_000, &mut *filled)] {
            let command = order(side(number), qty);
            if waiting == Waiting::Parked {
                watch.spin(PAUSE_NS);
            }
            let (outcome, took) = kernel.ask(watch, command);
            match outcome {
                // The view of an order is there before the answer about it.
                Outcome::Placed(id) if qty > 0 => {
                    assert!(kernel.published.orders.contains_key(&id));
                }
                Outcome::Refused(_) if qty == 0 => {}
                other => panic!("quantity {qty}: {other:?}"),
            }
            out.record(took);
        }
    }
    kernel.handle.close();
    kernel.thread.join().expect("the kernel thread");
}
