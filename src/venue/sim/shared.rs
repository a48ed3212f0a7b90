//! What the server's connections and the market's driver share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::hub::Hub;
use super::symbol::Symbol;
use crate::kernel::types::{MINUTE, Time};
use crate::runtime::clock::Clock;

/// Request weight per minute, as Binance limits it.
pub(super) const WEIGHT_MAX: u64 = 6_000;

/// Everything that connections and driver share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Symbols in the order of the source.
    pub(super) symbols: Vec<Arc<Mutex<Symbol>>>,
    /// Place of a symbol by its upper-case name.
    pub(super) by_name: BTreeMap<String, usize>,
    /// Clients and subscriptions.
    pub(super) hub: Hub,
    /// What the venue says of itself.
    pub(super) status: Arc<SimStatus>,
    /// The clock.
    pub(super) clock: Clock,
    /// Weight used in the present minute, and which minute that is.
    weight: Mutex<(i64, u64)>,
}

impl Shared {
    /// Shared state of these symbols.
    pub(super) fn new(symbols: Vec<Symbol>, hub: Hub, status: SimStatus, clock: Clock) -> Self {
        let by_name = symbols
            .iter()
            .enumerate()
            .map(|(at, symbol)| (symbol.instrument.name.symbol.clone(), at))
            .collect();
        Self {
            symbols: symbols
                .into_iter()
                .map(|symbol| Arc::new(Mutex::new(symbol)))
                .collect(),
            by_name,
            hub,
            status: Arc::new(status),
            clock,
            weight: Mutex::default(),
        }
    }

    /// The venue's time: that of the newest event, the clock's before the first.
    pub(super) fn venue_time(&self) -> Time {
        match self.status.venue_time.load(Ordering::Acquire) {
            0 => self.clock.now(),
            time => Time(time),
        }
    }

    /// Moves the venue's time on (never back) and says what it is.
    pub(super) fn advance_to(&self, time: Option<Time>) -> Time {
        let Some(time) = time else {
            return Time(self.status.venue_time.load(Ordering::Acquire));
        };
        let before = self.status.venue_time.fetch_max(time.0, Ordering::AcqRel);
        Time(before.max(time.0))
    }

    /// Adds the weight of a request; what is used up in this minute, and seconds until the next.
    pub(super) fn use_weight(&self, weight: u64) -> (u64, i64) {
        let now = self.clock.now();
        let minute = now.0.div_euclid(MINUTE);
        let mut used = self.weight.lock();
        if used.0 != minute {
            *used = (minute, 0);
        }
        used.1 = used.1.saturating_add(weight);
        let rest = MINUTE - now.0.rem_euclid(MINUTE);
        (used.1, rest / 1_000_000_000 + 1)
    }
}

/// What the simulated venue says of itself; served at `GET /sim/status`.
#[derive(Debug)]
pub struct SimStatus {
    /// `recording` or `synthetic`.
    pub(super) source: &'static str,
    /// Frames of the source in all; `None` when it has no end.
    pub(super) frames_total: Option<u64>,
    /// Lines of the source that could not be read.
    pub(super) malformed: u64,
    position: AtomicU64,
    started: AtomicBool,
    finished: watch::Sender<bool>,
    venue_time: AtomicI64,
}

impl SimStatus {
    pub(super) fn new(source: &'static str, frames_total: Option<u64>, malformed: u64) -> Self {
        Self {
            source,
            frames_total,
            malformed,
            position: AtomicU64::new(0),
            started: AtomicBool::new(false),
            finished: watch::Sender::new(false),
            venue_time: AtomicI64::new(0),
        }
    }

    /// Frames played so far.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Whether playback (or the synthetic market) has begun.
    pub fn started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether the recording is at its end. A synthetic market never is.
    pub fn finished(&self) -> bool {
        *self.finished.borrow()
    }

    /// Waits for the end of the recording; `false` if the venue ended before.
    pub async fn wait_finished(&self) -> bool {
        let mut finished = self.finished.subscribe();
        finished.wait_for(|finished| *finished).await.is_ok()
    }

    /// Time of the newest event; `None` before the first.
    pub fn venue_time(&self) -> Option<Time> {
        Some(Time(self.venue_time.load(Ordering::Acquire))).filter(|time| *time != Time::ZERO)
    }

    pub(super) fn count_frame(&self) -> u64 {
        self.position.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(super) fn finish(&self) {
        self.finished.send_replace(true);
    }
}
