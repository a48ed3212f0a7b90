//! The kernel's shell in this test: every event is judged as soon as the kernel has seen it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hean::engine::Engine;
use hean::kernel::event::{Effect, Effects, Input, Level, MarketEvent, Notice, Stamped};
use hean::kernel::ledger::Ledger;
use hean::kernel::types::{
    Instrument, InstrumentId, Interval, Money, Scale, Side, Time, VenueId, format_fixed,
};
use hean::kernel::{Kernel, KernelConfig, Start};
use hean::runtime::clock::Clock;
use hean::runtime::mailbox::{KernelInbox, TaskQueue};
use hean::venue::sim::paper::PaperConfig;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::naive::{Naive, Seen};

/// A kernel's book as the test sees it.
#[derive(Debug, Clone, Default)]
pub(crate) enum Watched {
    #[default]
    Invalid,
    Valid {
        seq: u64,
        bids: Vec<Level>,
        asks: Vec<Level>,
    },
}

/// What the kernel's thread tells.
#[derive(Debug)]
pub(crate) struct Night {
    books: Vec<Mutex<Watched>>,
    events: AtomicU64,
    gaps: AtomicU64,
    recoveries: AtomicU64,
    wrong: Mutex<Option<String>>,
    ended: AtomicBool,
    pub(crate) changed: Notify,
}

impl Night {
    pub(crate) fn new(instruments: usize) -> Self {
        Self {
            books: (0..instruments).map(|_| Mutex::default()).collect(),
            events: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            recoveries: AtomicU64::new(0),
            wrong: Mutex::default(),
            ended: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    pub(crate) fn book(&self, at: usize) -> Watched {
        self.books[at].lock().clone()
    }

    /// The `seq` of a book that the kernel calls valid.
    pub(crate) fn valid_seq(&self, at: usize) -> Option<u64> {
        match &*self.books[at].lock() {
            Watched::Valid { seq, .. } => Some(*seq),
            Watched::Invalid => None,
        }
    }

    pub(crate) fn invalid(&self) -> Vec<usize> {
        (0..self.books.len())
            .filter(|at| self.valid_seq(*at).is_none())
            .collect()
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Relaxed)
    }

    /// Fails if the kernel's thread found something wrong.
    pub(crate) fn check(&self) {
        let wrong = self.wrong.lock().clone();
        assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// Starts the kernel's thread.
pub(crate) fn spawn(
    inbox: KernelInbox,
    instruments: Vec<Instrument>,
    resync: Vec<Arc<TaskQueue<InstrumentId>>>,
    of_venue: usize,
    clock: Clock,
    night: Arc<Night>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let config = KernelConfig {
            intervals: vec![Interval::MINUTE],
            candles_kept: 50,
            ..KernelConfig::default()
        };
        let kernel = Kernel::new(config, Ledger::new(10)).unwrap();
        let mut engine = Engine::new(kernel, PaperConfig::default(), false);
        let mut effects = Effects::new();
        let verifies = |i: &Instrument| i.name.venue.quotes_verify_books();
        let naive = instruments
            .iter()
            .map(|i| Naive::new(verifies(i)))
            .collect();
        let start = Start {
            time: clock.now(),
            version: "night".to_owned(),
            instruments,
            cash: ("USDT".to_owned(), Money::whole(10_000)),
        };
        engine.start(start, &mut effects).unwrap();
        let shell = Shell {
            engine,
            naive,
            resync,
            of_venue,
            night,
        };
        shell.run(&inbox, &clock);
    })
}

struct Shell {
    engine: Engine,
    naive: Vec<Naive>,
    resync: Vec<Arc<TaskQueue<InstrumentId>>>,
    of_venue: usize,
    night: Arc<Night>,
}

impl Shell {
    fn run(mut self, inbox: &KernelInbox, clock: &Clock) {
        inbox.bell().adopt();
        let mut effects = Effects::new();
        while !self.night.ended.load(Ordering::Acquire) {
            let mut touched = BTreeSet::new();
            let now = clock.now();
            let mut lost = Vec::new();
            inbox.take_lost(|instrument, data| {
                lost.push(MarketEvent {
                    instrument,
                    venue_time: now,
                    received: now,
                    data,
                });
            });
            for event in lost {
                self.step(now, event, &mut effects, &mut touched);
            }
            for _ in 0..1_024 {
                let Some((event, _)) = inbox.market() else {
                    break;
                };
                self.step(now, event, &mut effects, &mut touched);
            }
            if self.engine.deadline().is_some_and(|due| due <= now) {
                let input = Input::Tick;
                self.engine
                    .step(&Stamped { time: now, input }, &mut effects);
                effects.clear();
            }
            if touched.is_empty() {
                inbox
                    .bell()
                    .wait(Duration::from_millis(50), || inbox.has_work());
                continue;
            }
            for at in touched {
                *self.night.books[at].lock() = self.watched(at);
            }
            self.night.changed.notify_waiters();
        }
    }

    fn watched(&self, at: usize) -> Watched {
        let market = self.engine.kernel().market_of(id(at));
        let Some(book) = market.and_then(|m| m.book.valid().map(|b| (m.book.seq(), b))) else {
            return Watched::Invalid;
        };
        let (seq, book) = book;
        let side = |side| book.levels(side).take(20).collect();
        Watched::Valid {
            seq,
            bids: side(Side::Buy),
            asks: side(Side::Sell),
        }
    }

    fn step(
        &mut self,
        time: Time,
        event: MarketEvent,
        effects: &mut Effects,
        touched: &mut BTreeSet<usize>,
    ) {
        let at = event.instrument.index();
        touched.insert(at);
        let number = self.night.events.fetch_add(1, Ordering::Relaxed);
        let seen = self.naive[at].read(&event.data);
        let words = format!("{:?}", event.data);
        let input = Input::Market(event);
        self.engine.step(&Stamped { time, input }, effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Resync(id) => {
                    // Full means that the feed has been asked for as many already.
                    self.resync[id.index() / self.of_venue].offer(id).ok();
                }
                Effect::Notice(Notice::BookValid(_)) => {
                    self.night.recoveries.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        self.judge(at, &seen, number, &words);
    }

    /// The kernel may believe only what the naive reader believes, and must see every gap at once.
    fn judge(&self, at: usize, seen: &Seen, number: u64, words: &str) {
        let market = self.engine.kernel().market_of(id(at)).unwrap();
        let valid = market.book.valid();
        let complain = |what: &str| {
            let words: String = words.chars().take(300).collect();
            let mut wrong = self.night.wrong.lock();
            wrong.get_or_insert(format!("instrument {at}, event {number}: {what}: {words}"));
        };
        if *seen == Seen::Gap {
            self.night.gaps.fetch_add(1, Ordering::Relaxed);
            if valid.is_some() {
                complain("a gap was not noticed");
            }
        }
        match (valid, self.naive[at].synced()) {
            (None, None) => {}
            (Some(_), None) => complain("valid, although nobody can know it"),
            (None, Some(last)) => complain(&format!("invalid, although all is known up to {last}")),
            (Some(book), Some(last)) => {
                if market.book.last_id() != last {
                    complain(&format!("at {}, not at {last}", market.book.last_id()));
                }
                let shown = if number.is_multiple_of(256) {
                    usize::MAX
                } else {
                    3
                };
                let side = |side| -> Vec<(i64, i64)> {
                    let levels = book.levels(side).take(shown);
                    levels.map(|l| (l.price.0, l.qty.0)).collect()
                };
                if [side(Side::Buy), side(Side::Sell)] != self.naive[at].best(shown) {
                    complain("another book than the naive one");
                }
            }
        }
    }
}

fn id(at: usize) -> InstrumentId {
    InstrumentId(u16::try_from(at).unwrap())
}

/// Levels at the venue's scales and at ours are the same numbers.
pub(crate) fn assert_same(
    symbol: &str,
    venue: VenueId,
    truth: (&[Level], (Scale, Scale)),
    ours: (&[Level], (Scale, Scale)),
) {
    let text = |(levels, (price, qty)): (&[Level], (Scale, Scale))| -> Vec<String> {
        let level = |l: &Level| {
            let price = format_fixed(i128::from(l.price.0), price.digits());
            format!(
                "{price} {}",
                format_fixed(i128::from(l.qty.0), qty.digits())
            )
        };
        levels.iter().map(level).collect()
    };
    assert_eq!(text(truth), text(ours), "{venue}:{symbol}");
}

/// Memory of this process in RAM.
pub(crate) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
