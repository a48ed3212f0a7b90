//! The markets that the server can be, and what it knows of one: its symbols and its time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bybit;
use super::outlet::{Outlet, outlet};
use super::symbol::Symbol;
use crate::kernel::types::{Time, VenueId};

/// A market, and so the protocol that it is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarketKind {
    /// Binance spot.
    Spot,
    /// Binance USDⓈ-M futures.
    Usdm,
    /// Bybit v5 spot.
    BybitSpot,
    /// Bybit v5 linear.
    BybitLinear,
}

impl MarketKind {
    /// Every market.
    pub const ALL: [Self; 4] = [Self::Spot, Self::Usdm, Self::BybitSpot, Self::BybitLinear];

    /// The market that a venue's protocol belongs to.
    pub const fn of(venue: VenueId) -> Self {
        match venue {
            VenueId::Binance | VenueId::Sim => Self::Spot,
            VenueId::BinanceUsdm => Self::Usdm,
            VenueId::BybitSpot => Self::BybitSpot,
            VenueId::BybitLinear => Self::BybitLinear,
        }
    }

    /// The venue that is imitated.
    pub const fn venue(self) -> VenueId {
        match self {
            Self::Spot => VenueId::Binance,
            Self::Usdm => VenueId::BinanceUsdm,
            Self::BybitSpot => VenueId::BybitSpot,
            Self::BybitLinear => VenueId::BybitLinear,
        }
    }

    /// Whether it speaks Bybit's protocol.
    pub(super) const fn is_bybit(self) -> bool {
        matches!(self, Self::BybitSpot | Self::BybitLinear)
    }

    /// Whether perpetuals are traded.
    pub(super) const fn is_derivative(self) -> bool {
        matches!(self, Self::Usdm | Self::BybitLinear)
    }

    /// Its place in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for MarketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.venue().fmt(f)
    }
}

/// A symbol and how it is told of.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) symbol: Symbol,
    pub(super) outlet: Box<dyn Outlet>,
}

/// A market that runs.
#[derive(Debug)]
pub(super) struct Market {
    pub(super) kind: MarketKind,
    /// Symbols in the order of the source.
    pub(super) symbols: Vec<Arc<Mutex<Listed>>>,
    by_name: BTreeMap<String, usize>,
    /// Levels of the deepest recorded book topic of each symbol of Bybit.
    deepest: BTreeMap<String, u16>,
    time: AtomicI64,
    /// Its time at the first event; zero before.
    began: AtomicI64,
    frames: AtomicU64,
    /// Somebody ordered its service to start anew.
    restart: AtomicBool,
}

impl Market {
    /// A market of these symbols, of which the source itself has the streams `recorded`.
    pub(super) fn new(
        kind: MarketKind,
        symbols: Vec<Symbol>,
        recorded: &std::collections::BTreeSet<String>,
    ) -> Self {
        let by_name = symbols
            .iter()
            .enumerate()
            .map(|(at, symbol)| (symbol.instrument.name.symbol.clone(), at))
            .collect();
        let mut deepest: BTreeMap<String, u16> = BTreeMap::new();
        for topic in recorded {
            if let (Some(depth), Some((_, symbol))) =
                (bybit::recorded::depth(topic), topic.rsplit_once('.'))
            {
                let known = deepest.entry(symbol.to_owned()).or_default();
                *known = depth.max(*known);
            }
        }
        Self {
            kind,
            deepest,
            symbols: symbols
                .into_iter()
                .map(|symbol| {
                    let outlet = outlet(kind, &symbol, recorded);
                    Arc::new(Mutex::new(Listed { symbol, outlet }))
                })
                .collect(),
            by_name,
            time: AtomicI64::new(0),
            began: AtomicI64::new(0),
            frames: AtomicU64::new(0),
            restart: AtomicBool::new(false),
        }
    }

    /// Place of a symbol by its upper-case name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A symbol by its upper-case name.
    pub(super) fn find(&self, name: &str) -> Option<&Mutex<Listed>> {
        let at = self.place(name)?;
        self.symbols.get(at).map(AsRef::as_ref)
    }

    /// Levels of the book topic that the book of a symbol is made of; zero where none was recorded.
    pub(super) fn deepest(&self, symbol: &str) -> u16 {
        self.deepest.get(symbol).copied().unwrap_or(0)
    }

    /// The market's time; `None` before the first event.
    pub(super) fn time(&self) -> Option<Time> {
        Some(Time(self.time.load(Ordering::Acquire))).filter(|time| *time != Time::ZERO)
    }

    /// Time since its first event, in nanoseconds.
    pub(super) fn age(&self) -> i64 {
        let began = Time(self.began.load(Ordering::Acquire));
        self.time().map_or(0, |now| now.since(began))
    }

    /// Moves the time on (never back) and says what it is.
    pub(super) fn advance_to(&self, time: Option<Time>) -> Time {
        let Some(time) = time else {
            return Time(self.time.load(Ordering::Acquire));
        };
        let before = self.time.fetch_max(time.0, Ordering::AcqRel);
        if before == 0 {
            self.began.store(time.0, Ordering::Release);
        }
        Time(before.max(time.0))
    }

    /// Counts a frame of the source; how many there were with it.
    pub(super) fn count_frame(&self) -> u64 {
        self.frames.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Frames of the source so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    /// Orders a restart of the service; the driver gives new ids before its next event.
    pub(super) fn order_restart(&self) {
        self.restart.store(true, Ordering::Release);
    }

    /// Whether a restart is due, once.
    pub(super) fn take_restart(&self) -> bool {
        self.restart.swap(false, Ordering::AcqRel)
    }
}
